//! What a ToolWorker keeps, as it is on the disk.

use perennial_runtime::{Play, Timestamp, frozen};

use super::*;
use crate::worker::breaker::{PROBES, THRESHOLD};

fn call(attempt: u32) -> CallId {
    let query = "q-1".to_owned();
    CallId { query, step: 1, instance: 2, alternative: 3, attempt, run: 5 }
}

fn sample(breaker: Breaker) -> ToolWorker {
    ToolWorker {
        running: BTreeSet::from([call(1), call(2)]),
        waiting: VecDeque::from([call(4), call(3)]),
        breaker,
    }
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
    let later = now + breaker::OPEN;
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
    let all: Vec<ToolWorker> = breakers().into_iter().map(sample).collect();
    frozen("query/tool-worker", ToolWorker::VERSION, &all);
}

#[test]
fn a_tool_worker_goes_on_from_what_was_stored_of_it() {
    let mut play = Play::<ToolWorker>::new("file", Settings::default());
    play.state = sample(Breaker::default());
    let halted = play.handle(WorkerMessage::Cancel(call(1))).unwrap().effects::<Halt>();
    assert_eq!(halted.iter().map(|halt| &halt.id).collect::<Vec<_>>(), [&call(1)]);
    play.handle(WorkerMessage::Cancel(call(4))).unwrap();
    assert_eq!(play.state.waiting, [call(3)]);
}
