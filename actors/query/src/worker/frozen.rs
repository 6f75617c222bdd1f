//! What a ToolWorker keeps, as it is on the disk.

use perennial_runtime::{Play, Timestamp, frozen};

use super::older::ToolWorker1;
use super::*;
use crate::worker::breaker::{Breaker, OPEN, PROBES, THRESHOLD};

fn call(attempt: u32) -> CallId {
    let query = "q-1".to_owned();
    CallId { query, step: 1, instance: 2, alternative: 3, attempt, run: 5 }
}

fn old_sample(breaker: Breaker) -> ToolWorker1 {
    ToolWorker1 {
        running: BTreeSet::from([call(1), call(2)]),
        waiting: VecDeque::from([call(4), call(3)]),
        breaker,
    }
}

/// The same, with what failed at two hosts.
fn sample() -> ToolWorker {
    let rests = |target: &str| Rests { tool: "http".to_owned(), target: target.to_owned() };
    let (now, mut breakers) = (Timestamp::from_micros(1_000_000), Breakers::default());
    breakers.failed(rests("a.example.com:443"), now);
    (0..THRESHOLD).for_each(|_| breakers.failed(rests("b.example.com:443"), now));
    ToolWorker { breakers, ..old_sample(Breaker::default()).into() }
}

/// A breaker in each of its states.
fn breakers() -> Vec<Breaker> {
    let now = Timestamp::from_micros(1_000_000);
    let mut all = vec![Breaker::default()];
    let mut breaker = Breaker::default();
    (0..THRESHOLD).for_each(|_| {
        breaker.failed(now);
        all.push(breaker);
    });
    let later = now + OPEN;
    (0..PROBES).for_each(|_| {
        breaker.enter(later).unwrap();
        all.push(breaker);
        breaker.succeeded();
        all.push(breaker);
    });
    all
}

#[test]
fn the_format_of_what_a_tool_worker_keeps_is_frozen() {
    let all: Vec<ToolWorker1> = breakers().into_iter().map(old_sample).collect();
    frozen("query/tool-worker", 1, &all);
    frozen("query/tool-worker", ToolWorker::VERSION, &vec![ToolWorker::default(), sample()]);
}

#[test]
fn a_tool_worker_goes_on_from_what_was_stored_of_it() {
    for state in [sample(), old_sample(Breaker::default()).into()] {
        goes_on(state);
    }
    // Two lists, and a breaker that is closed after no failure.
    let nothing = [0; 4];
    assert_eq!(ToolWorker::migrate(1, &nothing).unwrap(), ToolWorker::default());
    assert!(ToolWorker::migrate(9, &nothing).is_err());
}

fn goes_on(state: ToolWorker) {
    let mut play = Play::<ToolWorker>::new("file", Settings::default());
    play.state = state;
    let halted = play.handle(WorkerMessage::Cancel(call(1))).unwrap().effects::<Halt>();
    assert_eq!(halted.iter().map(|halt| &halt.id).collect::<Vec<_>>(), [&call(1)]);
    play.handle(WorkerMessage::Cancel(call(4))).unwrap();
    assert_eq!(play.state.waiting, [call(3)]);
}
