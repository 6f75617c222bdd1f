//! Steps of a journal as lines for people. Pure.

use crate::adviser::advice::Advice;
use crate::alert::life::JournalEntry;
use crate::alert::message::Entry;
use crate::alert::text::{line, time};
use crate::model::{ActionOutcome, Conclusion, GateRecord, Symptom, SymptomKind, Verdict};

/// Characters of one line.
const LINE_LIMIT: usize = 300;

/// `step` as one line; none for steps that tell people nothing about the container.
#[must_use]
pub(super) fn excerpt_line(step: &JournalEntry) -> Option<String> {
    let text = describe(&step.entry)?;
    Some(line(&format!("{} {text}", time(step.at)), LINE_LIMIT))
}

fn describe(entry: &Entry) -> Option<String> {
    let text = match entry {
        Entry::Opened { symptoms, .. } => format!("opened: {}", texts(symptoms)),
        Entry::Reopened { symptoms } => format!("reopened: {}", texts(symptoms)),
        Entry::SymptomsChanged { raised, cleared } => changed(raised, cleared),
        Entry::Evidence(evidence) => format!("evidence kept: {} log lines", evidence.log.len()),
        Entry::Diagnosed(diagnosis) => {
            format!("diagnosed: {} ({})", diagnosis.cause, verdict(&diagnosis.verdict))
        }
        Entry::Gates { action, gates } => format!("{}: {}", action.as_str(), held(gates)?),
        Entry::ActionIntended { action, rung, .. } => {
            format!("step {rung}: {} begins", action.as_str())
        }
        Entry::ActionFinished { action, outcome } => {
            format!("{} {}", action.as_str(), outcome_text(outcome))
        }
        Entry::Verifying { until } => format!("watched until {}", time(*until)),
        Entry::NotResolved { reason, next: Some(next) } => {
            format!("did not help: {reason}; next step at {}", time(*next))
        }
        Entry::NotResolved { reason, next: None } => format!("did not help: {reason}"),
        Entry::Concluded(conclusion) => conclusion_text(conclusion),
        Entry::Recovered { reason } => format!("recovered by itself: {reason}"),
        Entry::Withdrawn { reason } => format!("withdrawn: {reason}"),
        Entry::Acknowledged { by, note: Some(note) } => format!("acknowledged by {by}: {note}"),
        Entry::Acknowledged { by, note: None } => format!("acknowledged by {by}"),
        Entry::Advised { advice, .. } => opinion(advice),
        Entry::Notification { .. } | Entry::Consulted { .. } => return None,
    };
    Some(text)
}

fn texts(symptoms: &[Symptom]) -> String {
    let texts: Vec<&str> = symptoms.iter().map(|symptom| symptom.text.as_str()).collect();
    texts.join("; ")
}

fn changed(raised: &[Symptom], cleared: &[SymptomKind]) -> String {
    let ended: Vec<&str> = cleared.iter().map(|kind| kind.as_str()).collect();
    match (raised, cleared) {
        ([], _) => format!("ended: {}", ended.join(", ")),
        (_, []) => format!("also: {}", texts(raised)),
        (_, _) => format!("also: {}; ended: {}", texts(raised), ended.join(", ")),
    }
}

/// What the gate that held the action said; passing is not worth a line.
fn held(gates: &[GateRecord]) -> Option<String> {
    let gate = gates.iter().rev().find(|gate| !gate.passed)?;
    Some(format!("held by {}: {}", gate.gate, gate.reason))
}

fn verdict(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Remediate(action) => action.as_str().to_owned(),
        Verdict::FalseAlarm => "false alarm".to_owned(),
        Verdict::InsufficientEvidence(missing) => format!("not enough evidence: {missing}"),
        Verdict::NoSafeAction(advice) => format!("no safe action: {advice}"),
    }
}

/// What a model thinks, marked as that.
pub(super) fn opinion(advice: &Advice) -> String {
    match advice {
        Advice::Given(opinion) => {
            let proposes = opinion.action.as_ref().map_or_else(
                || "proposes nothing".to_owned(),
                |action| format!("proposes {}", action.as_str()),
            );
            format!(
                "opinion of the model `{}`, unverified: {} (cause {}, {:.0} % sure, {proposes})",
                opinion.model,
                opinion.text,
                opinion.cause.as_str(),
                opinion.confidence * 100.0
            )
        }
        Advice::Refused(why) => format!("model: refused: {why}"),
        Advice::Unanswered(why) => format!("model: no answer: {why}"),
        Advice::NotAsked { why, .. } => format!("model: not asked: {why}"),
    }
}

fn outcome_text(outcome: &ActionOutcome) -> String {
    match outcome {
        ActionOutcome::Done(what) => format!("done: {what}"),
        ActionOutcome::Reconciled(what) => format!("had been done: {what}"),
        ActionOutcome::Failed(why) => format!("failed: {why}"),
        ActionOutcome::NotApplicable(why) => format!("does not apply: {why}"),
        ActionOutcome::Unknown(why) => format!("may have been done: {why}"),
        ActionOutcome::Simulated => "simulated (dry run)".to_owned(),
    }
}

fn conclusion_text(conclusion: &Conclusion) -> String {
    match conclusion {
        Conclusion::Resolved => "resolved".to_owned(),
        Conclusion::Escalated(why) => format!("escalated: {why}"),
        Conclusion::Suppressed(why) => format!("held back: {why}"),
        Conclusion::Proposed(what) => format!("proposed: {what}"),
        Conclusion::Gone => "the container is gone".to_owned(),
    }
}
