//! The audit of actions.

use perennial_healing::model as healing;
use perennial_healing::responder::audit::{AuditEntry, outcome_text};
use serde::Serialize;

use super::incident::Subject;
use super::journal::{Gate, gate_of};
use super::time;

/// The newest entries of the audit, and whether all of it is as it was written.
#[derive(Debug, Serialize)]
pub(in crate::http) struct Actions {
    items: Vec<Action>,
    chain: Chain,
}

impl Actions {
    pub(in crate::http) fn new(newest: Vec<AuditEntry>, chain: Chain) -> Self {
        Self { items: newest.into_iter().map(Action::from).collect(), chain }
    }
}

/// Whether the chain of hashes holds from the first entry to the last.
#[derive(Debug, Serialize)]
pub(in crate::http) struct Chain {
    intact: bool,
    entries: u64,
    /// The last hash: kept elsewhere, it shows later whether entries were cut off the end.
    head: Option<String>,
    detail: String,
}

impl Chain {
    /// Tells how the verification of `entries` went.
    pub(in crate::http) fn new(entries: &[AuditEntry], verified: Result<(), u64>) -> Self {
        let count = entries.len() as u64;
        let detail = match verified {
            Ok(()) if count == 1 => "1 entry".to_owned(),
            Ok(()) => format!("{count} entries, each with the hash of the one before"),
            Err(number) => format!("entry {number} is missing, out of place or was changed"),
        };
        let head = entries.last().map(|entry| entry.hash.clone());
        Self { intact: verified.is_ok(), entries: count, head, detail }
    }
}

/// One decision or deed.
#[derive(Debug, Serialize)]
struct Action {
    n: u64,
    at: String,
    incident: String,
    container: Subject,
    action: &'static str,
    /// The argument vector of an `exec`.
    arguments: Vec<String>,
    /// `proposed`, `simulated`, `refused`, `intended`, `finished`, `resolved`, `not_resolved`,
    /// `escalated` or `withdrawn`.
    stage: &'static str,
    gates: Vec<Gate>,
    outcome: Option<&'static str>,
    outcome_detail: Option<String>,
    reason: String,
    confidence: f64,
    previous: String,
    hash: String,
}

impl From<AuditEntry> for Action {
    fn from(entry: AuditEntry) -> Self {
        let detail = entry.outcome.as_ref().map(outcome_text).filter(|text| !text.is_empty());
        Self {
            n: entry.number,
            at: time(entry.at),
            incident: entry.incident.0,
            container: entry.subject.into(),
            action: entry.action.as_str(),
            stage: entry.stage.as_str(),
            gates: entry.gates.into_iter().map(gate_of).collect(),
            outcome: entry.outcome.as_ref().map(healing::ActionOutcome::as_str),
            outcome_detail: detail.map(str::to_owned),
            arguments: match entry.action {
                healing::Action::Exec(arguments) => arguments,
                healing::Action::Restart
                | healing::Action::Start
                | healing::Action::Stop
                | healing::Action::Scale
                | healing::Action::Cleanup => Vec::new(),
            },
            reason: entry.reason,
            confidence: entry.confidence,
            previous: entry.previous,
            hash: entry.hash,
        }
    }
}
