use super::*;

const START: i64 = 1_700_000_000_000_000_000;
const MILLISECOND: i64 = 1_000_000;

type Event = (i64, &'static str, &'static str);

/// Distinct events within the window, some at the same time, some of the same container.
const EVENTS: [Event; 7] = [
    (0, "a", "die"),
    (0, "b", "die"),
    (0, "a", "stop"),
    (1, "a", "die"),
    (90, "c", "health_status: unhealthy"),
    (90, "c", "kill"),
    (249, "b", "start"),
];

fn at(millisecond: i64) -> i64 {
    START + millisecond * MILLISECOND
}

/// How many of `events` are handled.
fn handled(position: &mut EventPosition, events: &[Event]) -> usize {
    let pass = |(ms, id, action): &&Event| position.pass(at(*ms), id, action);
    events.iter().filter(pass).count()
}

/// All orders of `events`.
fn orders(events: &[Event]) -> Vec<Vec<Event>> {
    let Some((first, rest)) = events.split_first() else { return vec![Vec::new()] };
    let place = |order: Vec<Event>| {
        (0..=order.len()).map(move |place| {
            let mut order = order.clone();
            order.insert(place, *first);
            order
        })
    };
    orders(rest).into_iter().flat_map(place).collect()
}

#[test]
fn in_whatever_order_events_come_within_the_window_each_is_handled_once() {
    let orders = orders(&EVENTS);
    assert_eq!(orders.len(), 5040);
    for order in &orders {
        let mut position = EventPosition::new(START);
        assert_eq!(handled(&mut position, order), EVENTS.len(), "{order:?}");
        let after = position.clone();
        for replay in [order.as_slice(), &EVENTS] {
            assert_eq!(handled(&mut position, replay), 0, "{order:?}");
        }
        assert_eq!(position, after);
    }
}

/// As after a crash: the events of a batch that did not commit come again among those that did.
#[test]
fn a_replay_from_any_stored_position_handles_exactly_what_was_not_handled() {
    for order in orders(&EVENTS) {
        let mut position = EventPosition::new(START);
        for committed in 0..=order.len() {
            let mut resumed = position.clone();
            assert!(EVENTS.iter().all(|(ms, ..)| at(*ms) >= resumed.from()), "{resumed:?}");
            assert_eq!(handled(&mut resumed, &EVENTS), order.len() - committed, "{order:?}");
            handled(&mut position, &order[committed..(committed + 1).min(order.len())]);
        }
    }
}

#[test]
fn an_event_is_too_late_at_the_end_of_the_window_and_not_before() {
    let table = [(249, true), (250, false), (251, false), (5_000, false)];
    for (behind, taken) in table {
        let mut position = EventPosition::new(START);
        assert!(position.pass(at(10_000), "a", "start"));
        assert_eq!(position.pass(at(10_000 - behind), "b", "die"), taken, "{behind} ms");
        assert_eq!(position.nanos, at(10_000), "a late event does not move it back");
    }
}

#[test]
fn nothing_from_before_the_first_start_is_handled() {
    let mut position = EventPosition::new(START);
    assert_eq!(position.from(), START);
    assert!(!position.pass(at(-1), "a", "die"));
    assert!(position.pass(at(0), "a", "die"));
    assert_eq!(EventPosition::default().from(), 1);
}

#[test]
fn a_quiet_stream_moves_on_without_forgetting_what_may_be_replayed() {
    let mut position = EventPosition::new(START);
    position.pass(at(0), "a", "die");
    position.advance(at(100));
    assert!(!position.pass(at(0), "a", "die"), "the engine repeats it");
    assert!(position.pass(at(50), "b", "die"), "it was still on its way");
    let before = position.clone();
    position.advance(at(60));
    assert_eq!(position, before, "never back");
    position.advance(at(1_000));
    assert_eq!((position.seen.len(), position.from()), (0, at(750) + 1));
}

#[test]
fn what_is_kept_is_bounded_and_what_is_no_longer_kept_is_not_handled_again() {
    let mut position = EventPosition::new(START);
    let count = i64::try_from(KEPT).unwrap() * 3;
    let burst: Vec<i64> = (0..count).map(|n| START + n).collect();
    for nanos in &burst {
        assert!(position.pass(*nanos, "a", "exec"));
        assert!(position.seen.len() <= KEPT);
    }
    assert_eq!(position.seen.len(), KEPT);
    assert!(burst.iter().all(|nanos| !position.pass(*nanos, "a", "exec")));
    let mut crowd = EventPosition::new(START);
    let passed = (0..KEPT * 2).filter(|n| crowd.pass(START, &n.to_string(), "die")).count();
    assert!(passed > KEPT && crowd.seen.len() <= KEPT, "{passed} of one moment");
    assert!((0..KEPT * 2).all(|n| !crowd.pass(START, &n.to_string(), "die")));
}
