//! The format of everything that queries store is frozen: a change fails here, and needs a new version and a
//! migration.

use std::time::Duration;

use perennial_runtime::{Durable, Effect, Timestamp, decode, frozen};
use perennial_store::encode;
use serde_json::json;

use crate::admission::older::{AdmissionMessage1, AdmissionMessage2};
use crate::admission::{Admission, AdmissionMessage, Admitted};
use crate::json::Json;
use crate::keys::{API_KEYS, KeyRow, Keys, KeysMessage, KeysMessage1, NewKey, SecretHash};
use crate::orchestrator::older::OrchestratorMessage1;
use crate::orchestrator::{Orchestrator, OrchestratorMessage, Ordered, QueryOrder, WATCHERS};
use crate::plan::{
    ErrorKind, Input, OnFailure, Plan, Repeat, Retry, Step, StepId, ToolCall, ValueType, Work,
};
use crate::record::older::Submission1;
use crate::record::{
    Answer, ByModel, DEAD_STEPS, DeadStep, EVENTS, Event, EventRow, Exchange, MODEL_CALLS,
    ModelCall, Origin, Outcome, Purpose, QUERIES, QueryRow, QueryStatus, STEPS, SUBMISSIONS,
    StepRow, StepStatus, Submission, Watcher,
};
use crate::schedule::{
    Firing, SCHEDULES, Schedule, ScheduleMessage, ScheduleOrder, ScheduleOrdered, ScheduleRow,
};
use crate::tool::{Citation, Identity, ToolAnswer, ToolError};
use crate::worker::invoke::{Halt, Invoke};
use crate::worker::{CallId, Order, ToolWorker, WorkerMessage};

mod conversations;
mod messages;
mod watchers;

fn at(second: u64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000)
}

fn call(tool: &str) -> ToolCall {
    ToolCall { tool: tool.to_owned(), arguments: Json(json!({"path": "{{ inputs.path }}"})) }
}

fn works() -> Vec<Work> {
    vec![
        Work::Call(call("file_read")),
        Work::Value(Json(json!([1, "two", null]))),
        Work::Gate { that: "true".to_owned(), reason: "because".to_owned() },
        Work::Approval { prompt: "Really?".to_owned(), wait: Duration::from_secs(3600) },
    ]
}

fn repeats() -> Vec<Repeat> {
    vec![
        Repeat::Once,
        Repeat::Each { items: Json(json!([1, 2])), max_parallel: 3, max_items: 4 },
        Repeat::While { condition: "last < 5".to_owned(), max_iterations: 6 },
        Repeat::Once,
    ]
}

fn policies() -> Vec<OnFailure> {
    vec![
        OnFailure::Fail,
        OnFailure::Continue,
        OnFailure::Skip,
        OnFailure::Route("s0".into()),
        OnFailure::Fallback(vec![call("http")]),
    ]
}

fn plan() -> Plan {
    let retry = Retry { kinds: ErrorKind::ALL.to_vec(), ..Retry::default() };
    let step = |(n, work): (usize, Work)| Step {
        needs: vec!["before".into()],
        condition: Some("inputs.path != ''".to_owned()),
        repeat: repeats()[n].clone(),
        retry: retry.clone(),
        timeout: Some(Duration::from_millis(1500)),
        on_success: Some("s1".into()),
        on_false: Some("s2".into()),
        on_failure: policies()[n + 1].clone(),
        ..Step::new(format!("s{n}"), work)
    };
    let input = |value_type| Input {
        name: "path".to_owned(),
        value_type,
        description: "Where.".to_owned(),
        default: Some(Json(json!("a.txt"))),
    };
    Plan {
        name: "sample".to_owned(),
        description: "All there is.".to_owned(),
        inputs: ValueType::ALL.map(input).to_vec(),
        steps: works().into_iter().enumerate().map(step).collect(),
        outputs: vec![("text".to_owned(), Json(json!("{{ steps.s0.result }}")))],
        answer: Some("It is so.".to_owned()),
        timeout: Some(Duration::from_secs(30)),
        max_parallel: Some(2),
    }
}

fn identity() -> Identity {
    let teams = vec!["blues".to_owned(), "reds".to_owned()];
    Identity { name: "ann".to_owned(), role: "analyst".to_owned(), teams, key: Some(7) }
}

fn origins() -> Vec<Origin> {
    let name = || "name".to_owned();
    vec![
        Origin::Plan,
        Origin::Pipeline(name()),
        Origin::Rules(name()),
        Origin::Question(name()),
        Origin::Schedule(name()),
    ]
}

fn submission(origin: Origin) -> Submission {
    Submission {
        plan: plan(),
        inputs: Json(json!({"path": "b.txt"})),
        origin,
        identity: identity(),
        name: Some("query/once".to_owned()),
        cache_key: Some("abc".to_owned()),
        warnings: vec!["careful".to_owned()],
        problems: vec!["cannot".to_owned()],
        clarification: Some("What?".to_owned()),
        by_model: ByModel {
            plan: true,
            answer: true,
            earlier: vec![Exchange { question: "Who?".to_owned(), answer: "She.".to_owned() }],
        },
    }
}

fn error(kind: ErrorKind) -> ToolError {
    ToolError { retry_after: Some(Duration::from_secs(2)), ..ToolError::new(kind, "why") }
}

fn citation() -> Citation {
    Citation { id: "c1".to_owned(), source: "a.txt".to_owned(), place: "line 1".to_owned() }
}

fn answer() -> ToolAnswer {
    let warnings = vec!["old".to_owned()];
    ToolAnswer { value: Json(json!({"n": 1.5})), citations: vec![citation()], warnings }
}

fn call_id() -> CallId {
    let query = "q-1".to_owned();
    CallId { query, step: 1, instance: 2, alternative: 3, attempt: 4, run: 5 }
}

fn order() -> Order {
    Order {
        id: call_id(),
        step: "s1".into(),
        tool: "file_read".to_owned(),
        arguments: Json(json!({"path": "b.txt"})),
        identity: identity(),
        deadline: at(60),
        timeout: Some(Duration::from_secs(5)),
    }
}

#[test]
fn the_format_of_what_a_query_was_accepted_as_is_frozen() {
    let all: Vec<Submission> = origins().into_iter().map(submission).collect();
    frozen("query/submission", SUBMISSIONS.version(), &all);
}

#[test]
fn the_format_of_a_query_is_frozen() {
    let row = |status: QueryStatus| QueryRow {
        id: "q-1".to_owned(),
        name: "sample".to_owned(),
        origin: Origin::Plan,
        identity: identity(),
        status,
        outcome: None,
        reason: "because".to_owned(),
        accepted_at: at(1),
        started_at: Some(at(2)),
        ended_at: Some(at(3)),
        deadline: Some(at(4)),
        outputs: Json(json!({"text": "x"})),
        answer: Some(Answer {
            text: "It is so.".to_owned(),
            composed_by: "template".to_owned(),
            citations: vec![citation()],
        }),
        warnings: vec!["careful".to_owned()],
        parallel_peak: 3,
        retries: 1,
    };
    let ended = |outcome| QueryRow { outcome: Some(outcome), ..row(QueryStatus::Finished) };
    let mut all = QueryStatus::ALL.map(row).to_vec();
    all.extend(Outcome::ALL.map(ended));
    frozen("query/query", QUERIES.version(), &all);
}

#[test]
fn the_format_of_steps_is_frozen() {
    let row = |status: StepStatus| StepRow {
        id: "s1".into(),
        place: 1,
        instance: Some(2),
        tool: "file_read".to_owned(),
        status,
        attempts: 3,
        started_at: Some(at(1)),
        ended_at: Some(at(2)),
        result: Some(Json(json!("x"))),
        error: Some(error(ErrorKind::Timeout)),
        reason: "because".to_owned(),
        citations: vec![citation()],
        warnings: vec!["careful".to_owned()],
        fallback_from: Some("http".to_owned()),
    };
    let (first, later) = StepStatus::ALL.split_at(7);
    let rows = |all: &[StepStatus]| all.iter().copied().map(row).collect::<Vec<_>>();
    frozen("query/step", STEPS.version(), &rows(first));
    frozen("query/step-halting", STEPS.version(), &rows(later));
    let dead = |kind| DeadStep {
        query: "q-1".to_owned(),
        step: "s1".into(),
        tool: "file_read".to_owned(),
        attempts: 3,
        error: error(kind),
        at: at(5),
    };
    frozen("query/dead-step", DEAD_STEPS.version(), &ErrorKind::ALL.map(dead).to_vec());
}

#[test]
fn the_format_of_what_models_were_asked_is_frozen() {
    let call = |purpose| ModelCall {
        number: 2,
        purpose,
        attempt: 1,
        asked_at: at(1),
        ended_at: Some(at(2)),
        model: "small".to_owned(),
        reply: Some("{}".to_owned()),
        error: Some(error(ErrorKind::Unavailable)),
        problems: vec!["wrong".to_owned()],
        tokens_read: 30,
        tokens_written: 12,
        cost: 0.5,
    };
    frozen("query/model-call", MODEL_CALLS.version(), &Purpose::ALL.map(call).to_vec());
}

/// Events that there were in version 1.
fn events() -> Vec<Event> {
    let (step, by): (StepId, String) = ("s1".into(), "ann".to_owned());
    vec![
        Event::Accepted,
        Event::Started,
        Event::StepStarted {
            step: step.clone(),
            instance: Some(1),
            attempt: 2,
            tool: "http".to_owned(),
        },
        Event::AttemptFailed {
            step: step.clone(),
            instance: None,
            attempt: 2,
            error: error(ErrorKind::Unavailable),
            again_at: at(9),
        },
        Event::StepEnded {
            step: step.clone(),
            instance: None,
            status: StepStatus::Skipped,
            reason: "because".to_owned(),
        },
        Event::ApprovalWanted { step: step.clone(), prompt: "Really?".to_owned(), until: at(9) },
        Event::Decided { step, by: by.clone(), approved: true, note: "fine".to_owned() },
        Event::Paused { by: by.clone() },
        Event::Resumed { by: by.clone() },
        Event::Retried { by },
        Event::Finished { outcome: Outcome::Failed, reason: "because".to_owned() },
    ]
}

fn numbered(events: Vec<Event>) -> Vec<EventRow> {
    let numbered = (1..).zip(events);
    numbered.map(|(number, event)| EventRow { number, at: at(number), event }).collect()
}

#[test]
fn the_format_of_events_is_frozen() {
    let mut all = events();
    all.extend(Purpose::ALL.map(|purpose| Event::ModelAsked { purpose, attempt: 2 }));
    all.extend(Purpose::ALL.map(|purpose| Event::ModelAnswered {
        purpose,
        attempt: 2,
        model: "small".to_owned(),
        reason: "because".to_owned(),
    }));
    frozen("query/event", EVENTS.version(), &numbered(all));
    let outcome = Outcome::Cancelled;
    let later = [
        Event::StoodIn {
            step: "s1".into(),
            instance: Some(2),
            attempt: 3,
            error: error(ErrorKind::Unknown),
            tool: "http".to_owned(),
        },
        Event::Ending { outcome, reason: "because".to_owned() },
    ];
    frozen("query/event-halting", EVENTS.version(), &numbered(later.to_vec()));
}

#[test]
fn what_version_1_stored_is_read() {
    frozen("query/event", 1, &numbered(events()));
    let without = |origin| Submission { by_model: ByModel::default(), ..submission(origin) };
    let all: Vec<Submission> = origins().into_iter().map(without).collect();
    let old: Vec<Submission1> = stored("query/submission", 1);
    frozen("query/submission", 1, &old);
    assert_eq!(old.into_iter().map(Submission::from).collect::<Vec<_>>(), all);
    let old: Vec<AdmissionMessage1> = stored("query/admission-message", 1);
    let first = AdmissionMessage::Submit(Box::new(without(Origin::Plan)));
    assert_eq!(old.len(), 5);
    let now = |old| AdmissionMessage::from(AdmissionMessage2::from(old));
    assert_eq!(old.into_iter().map(now).next(), Some(first));
    let old: Vec<OrchestratorMessage1> = stored("query/orchestrator-message", 1);
    let first = OrchestratorMessage::Accept(Box::new(without(Origin::Plan)));
    assert_eq!(old.len(), 14);
    assert_eq!(old.into_iter().map(OrchestratorMessage::from).next(), Some(first));
}

/// What the sample of this version holds.
pub(crate) fn stored<T: serde::de::DeserializeOwned>(name: &str, version: u16) -> T {
    decode(&payload(name, version)).unwrap()
}

/// The sample of this version.
fn payload(name: &str, version: u16) -> Vec<u8> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures");
    let text = std::fs::read_to_string(format!("{root}/{name}.{version}.hex")).unwrap();
    let digits: String = text.split_whitespace().collect();
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(byte).collect()
}
