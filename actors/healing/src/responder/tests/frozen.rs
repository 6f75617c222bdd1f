//! What the Responder stores, as it is on the disk.

use std::iter::successors;

use perennial_runtime::{Effect, frozen};
use serde_json::{Value, json};

use super::super::audit::GENESIS;
use super::*;
use crate::tests::samples::{
    actions, by_name, container, facts, finished, gate, incident, second, standing, subject, texts,
};

fn request() -> Request {
    Request {
        incident: incident(),
        subject: subject(),
        facts: facts(),
        action: Action::Scale,
        confidence: 0.75,
        rule: "hung".to_owned(),
        reason: "its health check fails".to_owned(),
        symptoms: vec![SymptomKind::Unhealthy, SymptomKind::HighMemory],
        signature: "exit 3: unhealthy".to_owned(),
        requested_at: second(1),
        deadline: second(2),
    }
}

/// Each phase names the next, so that a new one has to be sampled.
fn phases() -> Vec<Phase> {
    let next = |phase: &Phase| match phase {
        Phase::Asking => Some(Phase::Acting(second(3))),
        Phase::Acting(_) => Some(Phase::Watching),
        Phase::Watching => Some(Phase::Looking),
        Phase::Looking => Some(Phase::Waiting),
        // Came later: they have a sample of their own.
        Phase::Waiting | Phase::AskingAgain | Phase::LookingAgain => None,
    };
    successors(Some(Phase::Asking), next).collect()
}

fn ongoing(phases: &[Phase]) -> Value {
    let remediation = |phase: &Phase| {
        json!({
            "request": request(),
            "rung": 2,
            "action": Action::Restart,
            "phase": phase,
            "since": second(4),
            "undecided": true,
            "left": "2023-11-14T22:13:20.5Z",
            "awaited": second(16),
            "withdrawn": "it was removed",
        })
    };
    let named =
        phases.iter().enumerate().map(|(n, phase)| (format!("inc-{n}"), remediation(phase)));
    Value::Object(named.collect())
}

fn state(phases: &[Phase]) -> Responder {
    by_name(json!({
        "ongoing": ongoing(phases),
        "past": {
            "containers": { container('a').0: {
                "project": "shop",
                "attempts": [second(5), second(6)],
                "touched": second(7),
                "ran": second(8),
                "breaker": { "failures": 3, "open_until": second(9), "probe": incident() },
                "identical": ["exit 3", 2],
            } },
            "attempts": [second(10)],
        },
        "answered": [[incident(), second(11)]],
        "projects": { "shop": 4 },
        "head": { "number": 300, "hash": GENESIS },
    }))
}

fn order() -> Order {
    let reason = "after the migration".to_owned();
    Order { subject: subject(), facts: facts(), action: Action::Stop, reason }
}

fn engine_action(action: Action) -> EngineAction {
    EngineAction {
        incident: incident(),
        subject: subject(),
        started_at: "2023-11-14T22:13:20.5Z".to_owned(),
        action,
        stop_timeout: 20,
        deadline: second(14),
        keep: vec![container('a'), container('b')],
    }
}

/// How the engine's answer comes back: an outcome, and each reason why there is none.
fn answers() -> Vec<ResponderMessage> {
    let outcome = ActionOutcome::Reconciled("it runs anew".to_owned());
    let ends = finished(&engine_action(Action::Restart), outcome);
    ends.into_iter().map(ResponderMessage::Finished).collect()
}

/// Each message names the next, so that a new one has to be sampled.
fn messages() -> Vec<ResponderMessage> {
    let next = |message: &ResponderMessage| match message {
        ResponderMessage::Remediate(_) => answers().pop(),
        ResponderMessage::Finished(_) => Some(ResponderMessage::Standing(standing())),
        ResponderMessage::Standing(_) => Some(ResponderMessage::VerifyDue(incident())),
        ResponderMessage::VerifyDue(_) => Some(ResponderMessage::RungDue(incident())),
        ResponderMessage::RungDue(_) => {
            let reason = "it recovered".to_owned();
            Some(ResponderMessage::Withdraw { incident: incident(), reason })
        }
        ResponderMessage::Withdraw { .. } => {
            let census = vec![("shop".to_owned(), vec![container('a'), container('b')])];
            Some(ResponderMessage::Census(census))
        }
        ResponderMessage::Census(_) => Some(ResponderMessage::Order(order())),
        ResponderMessage::Order(_) => None,
    };
    successors(Some(ResponderMessage::Remediate(request())), next).collect()
}

/// Each stage names the next, so that a new one has to be sampled.
fn stages() -> Vec<Stage> {
    let next = |stage: &Stage| match stage {
        Stage::Proposed => Some(Stage::Simulated),
        Stage::Simulated => Some(Stage::Refused),
        Stage::Refused => Some(Stage::Intended),
        Stage::Intended => Some(Stage::Finished),
        Stage::Finished => Some(Stage::Resolved),
        Stage::Resolved => Some(Stage::NotResolved),
        Stage::NotResolved => Some(Stage::Escalated),
        Stage::Escalated => Some(Stage::Withdrawn),
        Stage::Withdrawn => None,
    };
    successors(Some(Stage::Proposed), next).collect()
}

fn audited(stage: Stage) -> AuditEntry {
    AuditEntry {
        number: 300,
        at: second(15),
        incident: incident(),
        subject: subject(),
        action: Action::Exec(texts(&["nginx", "-s", "reload"])),
        stage,
        gates: vec![gate()],
        outcome: Some(ActionOutcome::Failed("the engine refused".to_owned())),
        reason: "its health check fails".to_owned(),
        confidence: 0.75,
        previous: GENESIS.to_owned(),
        hash: GENESIS.to_owned(),
    }
}

#[test]
fn the_format_of_the_responders_state_is_frozen() {
    let states = vec![state(&phases()), Responder::default()];
    frozen("healing/responder", Responder::VERSION, &states);
    let again = state(&[Phase::AskingAgain, Phase::LookingAgain]);
    frozen("healing/responder-asking-again", Responder::VERSION, &again);
}

#[test]
fn the_format_of_the_responders_messages_and_replies_is_frozen() {
    frozen("healing/responder-message", Responder::VERSION, &messages());
    frozen("healing/responder-answer", Responder::VERSION, &answers());
    frozen("healing/responder-reply", Responder::VERSION, &Ordered { incident: incident() });
}

#[test]
fn the_format_of_actions_on_the_engine_is_frozen() {
    let all: Vec<_> = actions().into_iter().map(engine_action).collect();
    frozen("healing/engine-action", EngineAction::VERSION, &all);
}

#[test]
fn the_format_of_the_audit_is_frozen() {
    let all: Vec<_> = stages().into_iter().map(audited).collect();
    frozen("healing/actions", ACTIONS.version(), &all);
}
