//! What an Orchestrator keeps of itself, as it is on the disk.

use std::collections::BTreeMap;

use perennial_runtime::{Play, Timestamp, frozen};
use perennial_store::{decode, encode};
use serde_json::json;

use super::older::Orchestrator1;
use super::*;
use crate::json::Json;
use crate::plan::{ToolCall, Work};
use crate::record::{QUERIES, Watcher};
use crate::schedule::{Schedule, ScheduleMessage};
use crate::tool::ToolSpec;
use crate::worker::{ToolWorker, WorkerMessage};

fn at(second: u64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000)
}

fn instance(state: InstanceState) -> Instance {
    Instance { state, attempt: 2, alternative: 1 }
}

fn active() -> Active {
    let states = [
        InstanceState::Ready,
        InstanceState::Calling,
        InstanceState::Backoff,
        InstanceState::Succeeded,
        InstanceState::Failed,
    ];
    Active { instances: states.map(instance).to_vec(), attempts: 7 }
}

fn sample(phase: Phase) -> Orchestrator {
    let ends = [End::Succeeded, End::Failed, End::FailedForAll, End::Skipped, End::Cut];
    let mut steps = vec![StepState::Waiting, StepState::Active(active()), StepState::Asking];
    steps.extend(ends.map(StepState::Ended));
    Orchestrator {
        phase,
        query: None,
        steps,
        calling: 1,
        deadline: at(60),
        left: Duration::from_secs(30),
        events: 9,
        peak: 3,
        retries: 1,
        consulting: Consulting::default(),
    }
}

/// The same, as version 1 kept it.
fn older(phase: Phase) -> Orchestrator1 {
    let Orchestrator { phase, steps, calling, deadline, left, events, peak, retries, .. } =
        sample(phase);
    Orchestrator1 { phase, steps, calling, deadline, left, events, peak, retries }
}

#[test]
fn the_format_of_the_state_of_an_orchestrator_is_frozen() {
    let phases = [
        Phase::Unknown,
        Phase::Waiting,
        Phase::Running,
        Phase::Paused,
        Phase::Approval,
        Phase::Ended,
    ];
    let old: Vec<Orchestrator1> = phases.into_iter().map(older).collect();
    frozen("query/orchestrator", 1, &old);
    let all: Vec<Orchestrator> = phases.into_iter().map(sample).collect();
    frozen("query/orchestrator", Orchestrator::VERSION, &all);
    let mut halting = sample(Phase::Ending(Outcome::Cancelled));
    halting.steps.push(StepState::Halting(active()));
    frozen("query/orchestrator-halting", Orchestrator::VERSION, &halting);
}

/// A query whose call is under way.
fn calling() -> (Play<Orchestrator>, crate::worker::CallId) {
    let catalogue = Catalogue(BTreeMap::from([("say".to_owned(), ToolSpec::new("say", ""))]));
    let settings = Settings { catalogue: Arc::new(catalogue), ..Settings::default() };
    let call = ToolCall { tool: "say".to_owned(), arguments: Json(json!({})) };
    let steps = vec![Step::new("a", Work::Call(call))];
    let plan = Plan { name: "sample".to_owned(), steps, ..Plan::default() };
    let submission = Submission { plan, inputs: Json(json!({})), ..Submission::default() };
    let mut play = Play::new("q-1", settings);
    play.handle(OrchestratorMessage::Accept(Box::new(submission))).unwrap();
    play.handle(OrchestratorMessage::Begin).unwrap();
    let sent = play.handle(OrchestratorMessage::GoOn).unwrap().sent::<ToolWorker>();
    let [(_, WorkerMessage::Call(order))] = sent.as_slice() else { panic!("{sent:?}") };
    let call = order.id.clone();
    (play, call)
}

#[test]
fn whoever_waits_for_a_query_is_told_its_end_though_nobody_can_read_what_it_is() {
    let mut play = Play::<Orchestrator>::new("q-1", Settings::default());
    play.state.phase = Phase::Running;
    let due = at(5);
    let watcher = Watcher::Schedule { name: "nightly".to_owned(), due };
    play.handle(OrchestratorMessage::Watch(watcher)).unwrap();
    let told = play.handle(OrchestratorMessage::GoOn).unwrap().sent::<Schedule>();
    let ended = ScheduleMessage::Ended { due, query: "q-1".to_owned(), outcome: Outcome::Failed };
    assert_eq!(told, [("nightly".to_owned(), ended)]);
}

#[test]
fn a_query_goes_on_from_what_was_stored_of_it() {
    let (mut play, call) = calling();
    let stored = Orchestrator { query: None, ..play.state.clone() };
    frozen("query/orchestrator-calling", Orchestrator::VERSION, &stored);
    play.state = decode(&encode(&play.state).unwrap()).unwrap();
    let result = Ok(json!("said").into());
    play.handle(OrchestratorMessage::Answered { call, result }).unwrap();
    let row = play.row(&QUERIES, "q-1").unwrap().unwrap();
    assert_eq!((row.status, row.outcome), (QueryStatus::Finished, Some(Outcome::Succeeded)));
}
