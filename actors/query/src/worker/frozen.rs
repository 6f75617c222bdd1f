//! What a ToolWorker keeps, as it is on the disk.

use perennial_runtime::{Play, Timestamp, frozen};

use super::older::{ToolWorker1, ToolWorker2};
use super::*;
use crate::samples::stored;
use crate::worker::breaker::{Breaker, OPEN, PROBES, THRESHOLD};

fn call(attempt: u32) -> CallId {
    let query = "q-1".to_owned();
    CallId { query, step: 1, instance: 2, alternative: 3, attempt, run: 5 }
}

/// Two calls under way and two that wait, and what failed at two hosts, of which one is tried again.
fn sample() -> ToolWorker {
    let rests = |target: &str| Rests { tool: "http".to_owned(), target: target.to_owned() };
    let (now, mut breakers) = (Timestamp::from_micros(1_000_000), Breakers::default());
    breakers.failed(rests("a.example.com:443"), &call(1), now);
    for target in ["b.example.com:443", "c.example.com:443"] {
        (0..THRESHOLD).for_each(|_| breakers.failed(rests(target), &call(1), now));
    }
    breakers.enter(&rests("c.example.com:443"), &call(2), now + OPEN).unwrap();
    let running = BTreeSet::from([call(1), call(2)]);
    ToolWorker { running, waiting: VecDeque::from([call(4), call(3)]), breakers }
}

/// A breaker in each of its states.
fn breakers() -> Vec<Breaker> {
    let now = Timestamp::from_micros(1_000_000);
    let mut all = vec![Breaker::default()];
    let mut breaker = Breaker::default();
    (0..THRESHOLD).for_each(|_| {
        breaker.failed(&call(1), now);
        all.push(breaker.clone());
    });
    let later = now + OPEN;
    (0..PROBES).for_each(|_| {
        breaker.enter(&call(2), later).unwrap();
        all.push(breaker.clone());
        breaker.succeeded(&call(2));
        all.push(breaker.clone());
    });
    all
}

#[test]
fn the_format_of_what_a_tool_worker_keeps_is_frozen() {
    let all = vec![ToolWorker::default(), sample()];
    frozen("query/tool-worker", ToolWorker::VERSION, &all);
    frozen("query/tool-worker-breaker", ToolWorker::VERSION, &breakers());
}

#[test]
fn a_tool_worker_goes_on_from_what_was_stored_of_it() {
    goes_on(sample());
    let all: Vec<ToolWorker1> = stored("query/tool-worker", 1);
    frozen("query/tool-worker", 1, &all);
    // A breaker in each of its states.
    assert_eq!(all.len(), breakers().len());
    all.into_iter().map(ToolWorker::from).for_each(goes_on);
    // Two lists, and a breaker that is closed after no failure, or none.
    for (version, nothing) in [(1, &[0; 4][..]), (2, &[0; 3])] {
        assert_eq!(ToolWorker::migrate(version, nothing).unwrap(), ToolWorker::default());
    }
    assert!(ToolWorker::migrate(9, &[0; 4]).is_err());
}

#[test]
fn what_version_2_knew_of_what_is_out_of_order_is_known_still() {
    let all: Vec<ToolWorker2> = stored("query/tool-worker", 2);
    frozen("query/tool-worker", 2, &all);
    let [nothing, old] = <[ToolWorker2; 2]>::try_from(all).unwrap();
    assert_eq!(ToolWorker::from(nothing), ToolWorker::default());
    let mut expected = sample();
    expected.breakers.0.retain(|rests, _| !rests.target.starts_with('c'));
    assert_eq!(ToolWorker::from(old), expected);
    goes_on(expected);
    // A probe that was under way decides nothing: it is not known which it is.
    let all: Vec<ToolWorker1> = stored("query/tool-worker", 1);
    let now: Vec<Breaker> = all.into_iter().map(|old| old.breaker.into()).collect();
    let later = Timestamp::from_micros(1_000_000) + OPEN;
    for (mut then, mut now) in breakers().into_iter().zip(now) {
        then.undecided(&call(2));
        assert_eq!(now, then);
        assert!(now.enter(&call(3), later).is_ok(), "another call is let through");
    }
}

fn goes_on(state: ToolWorker) {
    let mut play = Play::<ToolWorker>::new("file", Settings::default());
    play.state = state;
    let halted = play.handle(WorkerMessage::Cancel(call(1))).unwrap().effects::<Halt>();
    assert_eq!(halted.iter().map(|halt| &halt.id).collect::<Vec<_>>(), [&call(1)]);
    play.handle(WorkerMessage::Cancel(call(4))).unwrap();
    assert_eq!(play.state.waiting, [call(3)]);
}
