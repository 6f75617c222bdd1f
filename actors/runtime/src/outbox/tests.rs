use super::*;
use crate::address::Address;
use crate::effect::EffectPolicy;
use crate::message::StoredEffect;
use crate::turn::TraceId;

fn id(number: u64) -> MessageId {
    MessageId { unit: number, index: 0 }
}

fn job(number: u64, lane: Option<&str>) -> Job {
    let effect = StoredEffect {
        name: "deed".to_owned(),
        owner: Address::new("account", "a"),
        key: number.to_string(),
        lane: lane.map(str::to_owned),
        policy: EffectPolicy::default(),
        intended_at: Timestamp::from_micros(number),
        trace: TraceId::default(),
        attempts: 0,
        last_error: String::new(),
        deaths: 0,
        doubtful: false,
        version: 1,
        payload: Vec::new(),
    };
    Job { id: id(number), effect, reconcile: false, suspect: false, waits: 0, gave_way: 0 }
}

fn arrived(numbers: std::ops::Range<u64>, lane: Option<&str>) -> Outbox {
    let mut outbox = Outbox::default();
    numbers.for_each(|number| outbox.arrive(job(number, lane)));
    outbox
}

fn next(outbox: &mut Outbox) -> Option<u64> {
    outbox.next(true).map(|job| job.id.unit)
}

/// Performs what can be performed, to its end.
fn perform(outbox: &mut Outbox) -> Vec<u64> {
    let mut done = Vec::new();
    while let Some(job) = outbox.next(true) {
        assert!(outbox.end(job.id));
        outbox.ended(job.id);
        job.effect.lane.iter().for_each(|lane| outbox.advance(lane));
        done.push(job.id.unit);
    }
    done
}

#[test]
fn what_finds_no_room_is_read_from_where_it_begins() {
    let window = WINDOW as u64;
    let mut outbox = arrived(0..window + 10, None);
    assert_eq!((outbox.held(), outbox.depth().0), (WINDOW, WINDOW + 10));
    assert_eq!(outbox.wanted(), None, "there is no room yet");
    assert_eq!(perform(&mut outbox), (0..window).collect::<Vec<_>>());
    let wanted = outbox.wanted().unwrap();
    assert_eq!(wanted, Wanted { lane: None, from: id(window) });
    outbox.arrive(job(window + 10, None));
    outbox.load(&wanted, (window..window + 11).map(|n| job(n, None)).collect(), None);
    assert_eq!(perform(&mut outbox), (window..window + 11).collect::<Vec<_>>());
    assert_eq!((outbox.depth().0, outbox.wanted()), (0, None));
}

#[test]
fn a_lane_holds_no_more_than_its_share_and_goes_on_in_order() {
    let lane = LANE as u64;
    let mut outbox = arrived(0..lane + 3, Some("one"));
    outbox.arrive(job(1_000, Some("two")));
    outbox.arrive(job(1_001, None));
    assert_eq!(outbox.held(), LANE + 2);
    assert_eq!(
        [next(&mut outbox), next(&mut outbox), next(&mut outbox)],
        [Some(0), Some(1_000), Some(1_001)]
    );
    assert_eq!(next(&mut outbox), None, "a lane is one at a time");
    outbox.end(id(0));
    outbox.advance("one");
    perform(&mut outbox);
    let wanted = outbox.wanted().unwrap();
    assert_eq!(wanted, Wanted { lane: Some("one".to_owned()), from: id(lane) });
    let found = [job(lane, Some("one")), job(lane + 1, Some("one")), job(1_000, Some("two"))];
    outbox.load(&wanted, found.into(), Some(id(1_001)));
    outbox.arrive(job(2_000, Some("one")));
    assert_eq!(perform(&mut outbox), [lane, lane + 1], "2000 does not overtake what is stored");
    let wanted = outbox.wanted().unwrap();
    assert_eq!(wanted.from, id(1_001));
    outbox.load(&wanted, vec![job(2_000, Some("one"))], None);
    assert_eq!(perform(&mut outbox), [2_000]);
}

#[test]
fn what_is_known_or_has_just_ended_is_not_taken_in_again() {
    let window = WINDOW as u64;
    let mut outbox = arrived(0..window + 1, None);
    for number in 0..window {
        assert_eq!(next(&mut outbox), Some(number));
        assert!(outbox.end(id(number)));
    }
    // Their ends are not durable: a scan still finds them, and also one not announced yet.
    let wanted = outbox.wanted().unwrap();
    let found = [job(5, None), job(window, None), job(window + 1, None)];
    outbox.load(&wanted, found.into(), None);
    assert_eq!([next(&mut outbox), next(&mut outbox)], [Some(window), Some(window + 1)]);
    assert!(outbox.end(id(window + 1)));
    outbox.arrive(job(window + 1, None));
    assert_eq!(next(&mut outbox), None);
    assert_eq!(outbox.depth().0, 1);
}

#[test]
fn suspects_are_started_beside_the_others_also_when_no_worker_is_free() {
    let mut outbox = arrived(0..1, None);
    outbox.arrive(Job { suspect: true, ..job(1, None) });
    assert_eq!(outbox.next(false).unwrap().id, id(1));
    assert!(outbox.next(false).is_none());
    assert_eq!(next(&mut outbox), Some(0));
}

#[test]
fn a_pool_that_begins_again_starts_with_the_oldest_and_asks_first() {
    let mut outbox = arrived(0..3, Some("one"));
    assert_eq!(next(&mut outbox), Some(0));
    outbox.end(id(0));
    outbox.begin_again(true);
    let first = outbox.next(true).unwrap();
    assert!(first.id == id(1) && first.reconcile);
    assert_eq!(next(&mut outbox), None);
}

#[test]
fn a_lane_that_has_run_dry_is_given_one_although_the_window_is_full() {
    let mut outbox = arrived(0..LANE as u64 + 2, Some("one"));
    (1_000..3_000).for_each(|number| outbox.arrive(job(number, None)));
    assert_eq!(outbox.held(), WINDOW);
    for number in 0..LANE as u64 {
        assert_eq!(outbox.next(true).unwrap().id, if number == 0 { id(0) } else { id(number) });
        outbox.end(id(number));
        outbox.ready.clear();
        outbox.advance("one");
        outbox.arrive(job(5_000 + number, None));
    }
    let wanted = outbox.wanted().unwrap();
    assert_eq!(wanted, Wanted { lane: Some("one".to_owned()), from: id(LANE as u64) });
}

#[test]
fn an_effect_that_waits_for_another_try_keeps_its_lane_and_goes_on_as_it_stood() {
    let mut outbox = arrived(0..2, Some("one"));
    let mut tried = outbox.next(true).unwrap();
    tried.effect.attempts = 1;
    outbox.put_off(tried);
    outbox.arrive(job(7, None));
    assert_eq!([next(&mut outbox), next(&mut outbox)], [Some(7), None], "its lane waits");
    outbox.resume(id(0));
    let again = outbox.next(true).unwrap();
    assert_eq!((again.id, again.effect.attempts), (id(0), 1));
    assert!(outbox.end(id(0)));
    outbox.resume(id(0));
    assert_eq!(next(&mut outbox), None, "it has ended");
}

#[test]
fn what_arrives_in_a_lane_stands_behind_all_that_an_earlier_run_left() {
    let mut outbox = Outbox::default();
    outbox.expect();
    assert_eq!(outbox.depth().0, 1, "at least");
    outbox.arrive(job(100, Some("one")));
    outbox.arrive(job(101, None));
    outbox.find(job(1, None));
    outbox.find(job(2, Some("one")));
    assert_eq!(outbox.wanted(), None, "not before all is found");
    assert_eq!(perform(&mut outbox), [101, 1, 2]);
    outbox.note_found();
    let wanted = outbox.wanted().unwrap();
    assert_eq!(wanted, Wanted { lane: None, from: id(100) });
    outbox.load(&wanted, vec![job(100, Some("one"))], None);
    assert_eq!(perform(&mut outbox), [100]);
}

#[test]
fn what_an_earlier_run_left_and_finds_no_room_is_read_in_its_order() {
    let window = WINDOW as u64;
    let mut outbox = Outbox::default();
    outbox.expect();
    (0..window + 5).for_each(|number| outbox.find(job(number, None)));
    assert_eq!(perform(&mut outbox).len(), WINDOW);
    outbox.find(job(window + 5, None));
    assert_eq!(next(&mut outbox), None, "others were left before it");
    outbox.arrive(job(window + 6, None));
    outbox.note_found();
    assert_eq!(outbox.wanted(), Some(Wanted { lane: None, from: id(window) }));
    assert_eq!(outbox.depth().0, 7);
}
