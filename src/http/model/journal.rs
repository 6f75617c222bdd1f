//! The journal of an incident: everything that happened in it, in order.

use std::collections::BTreeMap;

use perennial_healing::alert::{self, Entry as Kept};
use perennial_healing::model::{self as healing, Conclusion, Verdict};
use serde::Serialize;

use super::advice::Advice;
use super::incident::{Diagnosis, Subject, Symptom};
use super::time;

/// One step.
#[derive(Debug, Serialize)]
pub(super) struct Entry {
    n: u64,
    at: String,
    #[serde(flatten)]
    step: Step,
}

impl From<alert::JournalEntry> for Entry {
    fn from(entry: alert::JournalEntry) -> Self {
        Self { n: entry.n, at: time(entry.at), step: entry.entry.into() }
    }
}

/// What happened, by its `kind`.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Step {
    Opened {
        container: Subject,
        symptoms: Vec<Symptom>,
        severity: healing::Severity,
        event_at: String,
    },
    Reopened {
        symptoms: Vec<Symptom>,
    },
    SymptomsChanged {
        raised: Vec<Symptom>,
        cleared: Vec<&'static str>,
    },
    Evidence {
        taken_at: String,
        log: Vec<String>,
        inspect: BTreeMap<String, String>,
        missing: Vec<String>,
    },
    Diagnosed(Diagnosis),
    Gates {
        action: &'static str,
        gates: Vec<Gate>,
    },
    ActionIntended {
        action: &'static str,
        rung: u32,
        audit: u64,
    },
    ActionFinished {
        action: &'static str,
        outcome: &'static str,
        detail: String,
    },
    Verifying {
        until: String,
    },
    NotResolved {
        reason: String,
        next: Option<String>,
    },
    Concluded {
        /// `resolved`, `escalated`, `suppressed`, `proposed` or `gone`.
        conclusion: &'static str,
        reason: Option<String>,
    },
    Recovered {
        reason: String,
    },
    Withdrawn {
        reason: String,
    },
    Acknowledged {
        by: String,
        note: Option<String>,
    },
    Notification {
        channel: String,
        change: String,
        state: String,
        attempts: u32,
        error: Option<String>,
    },
    Consulted {
        mode: Option<String>,
        question_sha256: String,
        bytes: u64,
        evidence: u64,
        tokens: u64,
    },
    Advised {
        #[serde(flatten)]
        advice: Advice,
        /// The action that was asked for because of it.
        requested: Option<&'static str>,
        note: Option<String>,
    },
}

/// What a gate said.
#[derive(Debug, Serialize)]
pub(super) struct Gate {
    gate: String,
    passed: bool,
    reason: String,
    until: Option<String>,
}

impl From<Kept> for Step {
    fn from(kept: Kept) -> Self {
        match kept {
            Kept::Opened { subject, symptoms, severity, event_at } => Self::Opened {
                container: subject.into(),
                symptoms: all(symptoms),
                severity,
                event_at: time(event_at),
            },
            Kept::Reopened { symptoms } => Self::Reopened { symptoms: all(symptoms) },
            Kept::SymptomsChanged { raised, cleared } => Self::SymptomsChanged {
                raised: all(raised),
                cleared: cleared.into_iter().map(healing::SymptomKind::as_str).collect(),
            },
            Kept::Evidence(evidence) => evidence_of(evidence),
            Kept::Diagnosed(diagnosis) => Self::Diagnosed(diagnosis_of(diagnosis)),
            Kept::Gates { action, gates } => Self::Gates {
                action: action.as_str(),
                gates: gates.into_iter().map(gate_of).collect(),
            },
            Kept::ActionIntended { action, rung, audit } => {
                Self::ActionIntended { action: action.as_str(), rung, audit }
            }
            Kept::ActionFinished { action, outcome } => finished(&action, outcome),
            Kept::Verifying { until } => Self::Verifying { until: time(until) },
            Kept::NotResolved { reason, next } => {
                Self::NotResolved { reason, next: next.map(time) }
            }
            Kept::Concluded(conclusion) => concluded(conclusion),
            Kept::Recovered { reason } => Self::Recovered { reason },
            Kept::Withdrawn { reason } => Self::Withdrawn { reason },
            Kept::Acknowledged { by, note } => Self::Acknowledged { by, note },
            Kept::Notification { channel, change, state, attempts, error } => {
                let error = Some(error).filter(|error| !error.is_empty());
                Self::Notification { channel, change, state, attempts, error }
            }
            Kept::Consulted { mode, question_hash, bytes, evidence, tokens } => {
                let mode = Some(mode).filter(|mode| !mode.is_empty());
                Self::Consulted { mode, question_sha256: question_hash, bytes, evidence, tokens }
            }
            Kept::Advised { advice, requested, note } => Self::Advised {
                advice: advice.into(),
                requested: requested.as_ref().map(healing::Action::as_str),
                note: Some(note).filter(|note| !note.is_empty()),
            },
        }
    }
}

fn all(symptoms: Vec<healing::Symptom>) -> Vec<Symptom> {
    symptoms.into_iter().map(Symptom::from).collect()
}

fn evidence_of(evidence: healing::Evidence) -> Step {
    let healing::Evidence { at, log, inspect, missing } = evidence;
    Step::Evidence { taken_at: time(at), log, inspect, missing }
}

pub(super) fn diagnosis_of(diagnosis: healing::Diagnosis) -> Diagnosis {
    let (verdict, action, advice) = match diagnosis.verdict {
        Verdict::Remediate(action) => ("remediate", Some(action.as_str()), None),
        Verdict::FalseAlarm => ("false_alarm", None, None),
        Verdict::InsufficientEvidence(missing) => ("insufficient_evidence", None, Some(missing)),
        Verdict::NoSafeAction(advice) => ("no_safe_action", None, Some(advice)),
    };
    let healing::Diagnosis { rule, cause, reason, confidence, .. } = diagnosis;
    Diagnosis { rule, cause, reason, confidence, verdict, action, advice }
}

pub(super) fn gate_of(record: healing::GateRecord) -> Gate {
    let healing::GateRecord { gate, passed, reason, until } = record;
    Gate { gate, passed, reason, until: until.map(time) }
}

fn finished(action: &healing::Action, outcome: healing::ActionOutcome) -> Step {
    use healing::ActionOutcome as O;
    let name = outcome.as_str();
    let detail = match outcome {
        O::Done(text)
        | O::Reconciled(text)
        | O::Failed(text)
        | O::NotApplicable(text)
        | O::Unknown(text) => text,
        O::Simulated => "dry run: nothing was done".to_owned(),
    };
    Step::ActionFinished { action: action.as_str(), outcome: name, detail }
}

fn concluded(conclusion: Conclusion) -> Step {
    let (conclusion, reason) = match conclusion {
        Conclusion::Resolved => ("resolved", None),
        Conclusion::Escalated(reason) => ("escalated", Some(reason)),
        Conclusion::Suppressed(reason) => ("suppressed", Some(reason)),
        Conclusion::Proposed(reason) => ("proposed", Some(reason)),
        Conclusion::Gone => ("gone", None),
    };
    Step::Concluded { conclusion, reason }
}

#[cfg(test)]
mod tests {
    use perennial_runtime::Timestamp;

    use super::*;

    fn shown(entry: Kept) -> serde_json::Value {
        let at = Timestamp::from_micros(1_000_000);
        serde_json::to_value(Entry::from(alert::JournalEntry { n: 3, at, entry })).unwrap()
    }

    #[test]
    fn an_entry_says_what_happened_beside_when() {
        let entry = shown(Kept::Acknowledged { by: "ops".into(), note: None });
        assert_eq!(
            entry,
            serde_json::json!({
                "n": 3, "at": "1970-01-01T00:00:01Z",
                "kind": "acknowledged", "by": "ops", "note": null,
            })
        );
    }

    #[test]
    fn a_diagnosis_names_its_verdict_and_its_action() {
        let entry = shown(Kept::Diagnosed(healing::Diagnosis {
            rule: "oom".into(),
            cause: "c".into(),
            reason: "r".into(),
            confidence: 0.9,
            verdict: Verdict::Remediate(healing::Action::Restart),
        }));
        assert_eq!(entry["kind"], "diagnosed");
        assert_eq!(entry["verdict"], "remediate");
        assert_eq!(entry["action"], "restart");
    }

    #[test]
    fn a_diagnosis_without_a_safe_action_says_why_and_what_a_person_can_do() {
        let entry = shown(Kept::Diagnosed(healing::Diagnosis {
            rule: "oom_repeated".into(),
            cause: "c".into(),
            reason: "r".into(),
            confidence: 0.9,
            verdict: Verdict::NoSafeAction("raise the limit".into()),
        }));
        assert_eq!(entry["reason"], "r");
        assert_eq!(entry["advice"], "raise the limit");
        assert_eq!(entry["action"], serde_json::Value::Null);
    }
}
