//! What the Analyzer stores, as it is on the disk.

use std::iter::successors;

use perennial_runtime::{Effect, frozen};
use serde_json::json;

use super::*;
use crate::tests::samples::{
    advice, by_name, conclusions, evidence, facts, finished, incident, key, second, standing,
    subject, symptom,
};

/// Each phase names the next, so that a new one has to be sampled.
fn phases() -> Vec<Phase> {
    let next = |phase: &Phase| match phase {
        Phase::Capturing(_) => Some(Phase::Remediating),
        Phase::Remediating => Some(Phase::Waiting),
        Phase::Waiting => Some(Phase::Held),
        Phase::Held => None,
    };
    successors(Some(Phase::Capturing(key())), next).collect()
}

fn state(phase: &Phase) -> Analyzer {
    by_name(json!({
        "history": { "episodes": [{
            "at": second(1),
            "run": "2023-11-14T22:13:20.5Z",
            "kinds": [SymptomKind::NonZeroExit, SymptomKind::CrashLoop],
            "cpu": 0.5,
            "memory": null,
        }] },
        "incident": {
            "id": incident(),
            "subject": subject(),
            "facts": facts(),
            "trend": [[0.5, 0.25]],
            "active": [symptom()],
            "seen": [SymptomKind::HighCpu, SymptomKind::Unhealthy],
            "phase": phase,
            "judged": ["high_cpu: hung"],
            "held": 2,
            "captured_at": second(2),
        },
        "closed": [incident(), second(3)],
    }))
}

fn capture() -> CaptureEvidence {
    CaptureEvidence { incident: incident(), subject: subject() }
}

/// Each message names the next, so that a new one has to be sampled.
fn messages() -> Vec<AnalyzerMessage> {
    let next = |message: &AnalyzerMessage| match message {
        AnalyzerMessage::Symptoms(_) => {
            let reason = "an operator stopped it".to_owned();
            Some(AnalyzerMessage::Withdrawn { at: second(6), reason })
        }
        AnalyzerMessage::Withdrawn { .. } => {
            finished(&capture(), evidence()).pop().map(AnalyzerMessage::Evidence)
        }
        AnalyzerMessage::Evidence(_) => Some(concluded(Conclusion::Gone)),
        AnalyzerMessage::Concluded { .. } => Some(AnalyzerMessage::Settled),
        AnalyzerMessage::Settled => Some(AnalyzerMessage::EvidenceLate),
        AnalyzerMessage::EvidenceLate => Some(AnalyzerMessage::LookAgain),
        AnalyzerMessage::LookAgain => Some(AnalyzerMessage::Forget),
        AnalyzerMessage::Forget
        | AnalyzerMessage::Standing(_)
        | AnalyzerMessage::Advised { .. } => None,
    };
    let report = SymptomReport {
        subject: subject(),
        at: second(4),
        event_at: second(5),
        facts: facts(),
        raised: vec![symptom()],
        cleared: vec![SymptomKind::FlappingHealth],
        active: vec![symptom(), symptom()],
        trend: vec![(0.5, 0.25), (0.75, 0.125)],
    };
    successors(Some(AnalyzerMessage::Symptoms(report)), next).collect()
}

fn concluded(conclusion: Conclusion) -> AnalyzerMessage {
    AnalyzerMessage::Concluded { incident: incident(), conclusion, until: Some(second(7)) }
}

#[test]
fn the_format_of_the_analyzers_state_is_frozen() {
    let states: Vec<_> = phases().iter().map(state).chain([Analyzer::default()]).collect();
    frozen("healing/analyzer", Analyzer::VERSION, &states);
}

#[test]
fn the_format_of_the_analyzers_messages_is_frozen() {
    frozen("healing/analyzer-message", Analyzer::VERSION, &messages());
    let ends = finished(&capture(), evidence()).into_iter().map(AnalyzerMessage::Evidence);
    let all = ends.chain(conclusions().into_iter().map(concluded));
    frozen("healing/analyzer-answer", Analyzer::VERSION, &all.collect::<Vec<_>>());
    let standing = AnalyzerMessage::Standing(standing());
    frozen("healing/analyzer-standing", Analyzer::VERSION, &standing);
    frozen("healing/analyzer-advised", Analyzer::VERSION, &advised());
}

#[test]
fn the_format_of_the_request_for_evidence_and_of_its_outcome_is_frozen() {
    frozen("healing/capture-evidence", CaptureEvidence::VERSION, &(capture(), evidence()));
}

fn advised() -> Vec<AnalyzerMessage> {
    let told = |advice| AnalyzerMessage::Advised {
        incident: incident(),
        basis: "high_cpu: hung".to_owned(),
        advice,
    };
    advice().into_iter().map(told).collect()
}

/// What a node of version 1 stored is read, and means the same.
#[test]
fn what_version_1_of_the_analyzer_stored_is_read() {
    let states: Vec<_> = phases().iter().map(state).chain([Analyzer::default()]).collect();
    frozen("healing/analyzer", 1, &states);
    frozen("healing/analyzer-message", 1, &messages());
    for state in states {
        let stored = perennial_store::encode(&state).unwrap();
        assert_eq!(Analyzer::migrate(1, &stored).unwrap(), state);
    }
    for message in messages() {
        let stored = perennial_store::encode(&message).unwrap();
        assert_eq!(Analyzer::migrate_message(1, &stored).unwrap(), message);
    }
}
