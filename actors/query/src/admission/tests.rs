//! Who is let in, and who is turned away.

use std::collections::VecDeque;

use perennial_runtime::{Play, Recorded};
use proptest::prelude::*;

use super::*;
use crate::tool::Identity;

/// An Admission of which at most four queries wait, of one key two, and one runs.
struct Desk {
    play: Play<Admission>,
    /// Queries that were told to begin, and have not ended.
    begun: VecDeque<String>,
}

impl Desk {
    /// One whose only place is taken.
    fn new() -> Self {
        let settings =
            Settings { max_concurrent: 1, queue: 4, queue_per_key: 2, ..Settings::default() };
        let mut desk = Self { play: Play::new(ADMISSION, settings), begun: VecDeque::new() };
        assert!(is_let_in(&desk.submit(Some(99))));
        assert_eq!((desk.begun.len(), desk.waiting(Some(99))), (1, 0));
        desk
    }

    fn tell(&mut self, message: AdmissionMessage) -> Recorded {
        let recorded = self.play.handle(message).unwrap();
        for (id, said) in recorded.sent::<Orchestrator>() {
            if said == OrchestratorMessage::Begin {
                self.begun.push_back(id);
            }
        }
        recorded
    }

    fn submit(&mut self, key: Holder) -> Admitted {
        let identity = Identity { key, ..Identity::default() };
        let submission = Submission { identity, ..Submission::default() };
        self.tell(AdmissionMessage::Submit(Box::new(submission))).reply().unwrap()
    }

    fn readmit(&mut self, id: &str, key: Holder) -> Admitted {
        self.tell(AdmissionMessage::Readmit { id: id.to_owned(), key }).reply().unwrap()
    }

    /// So many queries that were accepted once want places again.
    fn come_back(&mut self, count: usize, key: Holder) {
        for number in 0..count {
            let id = format!("returned-{key:?}-{number}");
            self.tell(AdmissionMessage::Return { id, key });
        }
    }

    /// What has a place gives it back.
    fn release(&mut self) {
        if let Some(id) = self.begun.pop_front() {
            self.tell(AdmissionMessage::Release { id, result: None });
        }
    }

    fn waiting(&self, key: Holder) -> usize {
        self.play.state.lanes.waiting_of(key)
    }
}

fn is_let_in(admitted: &Admitted) -> bool {
    matches!(admitted, Admitted::Accepted { .. })
}

#[test]
fn however_many_queries_of_one_key_come_back_others_are_let_in_as_before() {
    let mut desk = Desk::new();
    desk.come_back(50, Some(1));
    assert_eq!(desk.waiting(Some(1)), 50, "what was accepted is not lost");
    assert_eq!(desk.submit(Some(1)), Admitted::KeyFull { waiting: 50 });
    for _ in 0..2 {
        assert!(is_let_in(&desk.submit(Some(2))));
    }
    assert_eq!(desk.submit(Some(2)), Admitted::KeyFull { waiting: 2 });
}

#[test]
fn however_much_of_the_operators_waits_keys_are_let_in_as_before() {
    let mut desk = Desk::new();
    desk.come_back(50, None);
    for _ in 0..2 {
        assert!(is_let_in(&desk.submit(Some(1))));
    }
    assert_eq!(desk.submit(Some(1)), Admitted::KeyFull { waiting: 2 });
}

#[test]
fn whoever_has_nothing_waiting_is_let_in_and_the_operator_up_to_the_whole_queue() {
    let mut desk = Desk::new();
    for key in [1, 1, 2, 2] {
        assert!(is_let_in(&desk.submit(Some(key))));
    }
    assert!(is_let_in(&desk.submit(Some(3))), "two others have filled the queue");
    assert_eq!(desk.submit(Some(3)), Admitted::Full { waiting: 5 });
    for _ in 0..4 {
        assert!(is_let_in(&desk.submit(None)), "keys take none of these places");
    }
    assert_eq!(desk.submit(None), Admitted::Full { waiting: 4 });
    assert!(is_let_in(&desk.submit(Some(4))));
    assert_eq!(desk.submit(Some(4)), Admitted::Full { waiting: 10 });
}

#[test]
fn a_query_that_is_begun_again_is_turned_away_where_one_that_is_submitted_is() {
    let mut desk = Desk::new();
    for id in ["a", "b"] {
        assert!(is_let_in(&desk.readmit(id, Some(1))));
    }
    assert_eq!(desk.readmit("c", Some(1)), Admitted::KeyFull { waiting: 2 });
    assert_eq!(desk.submit(Some(1)), Admitted::KeyFull { waiting: 2 });
    assert_eq!(desk.waiting(Some(1)), 2);
    let twice = Admitted::Accepted { id: "b".to_owned(), ahead: 1 };
    assert_eq!(desk.readmit("b", Some(1)), twice, "it waits already");
    desk.come_back(4, None);
    assert_eq!(desk.readmit("d", None), Admitted::Full { waiting: 4 });
}

#[test]
fn a_place_for_a_query_that_is_not_begun_again_after_all_is_given_back() {
    let mut desk = Desk::new();
    desk.readmit("again", Some(1));
    desk.release();
    assert_eq!(desk.begun, ["again"]);
    desk.release();
    assert!(!desk.play.state.lanes.has("again"));
    assert!(is_let_in(&desk.submit(Some(1))));
    assert_eq!(desk.begun.len(), 1, "the place is free");
}

/// Things that happen to the Admission: which, and whose.
fn happenings() -> impl Strategy<Value = Vec<(u8, Holder)>> {
    prop::collection::vec((0_u8..5, prop::option::of(0_u64..4)), 1..80)
}

proptest! {
    #[test]
    fn whatever_happens_each_is_let_in_by_what_is_its_own(happenings in happenings()) {
        let mut desk = Desk::new();
        for (number, (what, key)) in happenings.into_iter().enumerate() {
            let (own, id) = (desk.waiting(key), format!("q-{number}"));
            let admitted = match what {
                0 | 1 => desk.submit(key),
                2 => desk.readmit(&id, key),
                3 => {
                    desk.tell(AdmissionMessage::Return { id: id.clone(), key });
                    prop_assert!(desk.play.state.lanes.has(&id), "what was accepted is not lost");
                    continue;
                }
                _ => {
                    desk.release();
                    continue;
                }
            };
            match key {
                _ if own == 0 => prop_assert!(is_let_in(&admitted), "nothing of its own waits"),
                None => prop_assert_eq!(is_let_in(&admitted), own < 4, "the queue is its own"),
                Some(_) => prop_assert!(own < 2 || !is_let_in(&admitted), "it has its share"),
            }
        }
    }
}
