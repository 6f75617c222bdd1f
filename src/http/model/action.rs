//! The audit of actions.

use perennial_healing::model as healing;
use perennial_healing::responder::audit::{AuditEntry, outcome_text};
use serde::{Deserialize, Serialize};

use super::super::error::ApiError;
use super::incident::Subject;
use super::journal::{Gate, gate_of};
use super::{checked_limit, time};

/// Which entries of the audit are asked for.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Audited {
    limit: Option<usize>,
    /// Only those before this number.
    pub(in crate::http) after: Option<u64>,
    /// The whole chain is verified again.
    verify: Option<Verify>,
}

/// How much of the chain is verified.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Verify {
    All,
}

impl Audited {
    pub(in crate::http) fn limit(self) -> Result<usize, ApiError> {
        checked_limit(self.limit)
    }

    pub(in crate::http) fn is_anew(self) -> bool {
        matches!(self.verify, Some(Verify::All))
    }
}

/// Entries of the audit, newest first, and whether all of it is as it was written.
#[derive(Debug, Serialize)]
pub(in crate::http) struct Actions {
    items: Vec<Action>,
    chain: Chain,
    /// What to ask for with `after` to see those before; missing where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl Actions {
    /// Shows `entries`, newest first.
    pub(in crate::http) fn new(entries: Vec<AuditEntry>, chain: Chain) -> Self {
        let oldest = entries.last().map(|entry| entry.number);
        let next = oldest.filter(|number| *number > 1).map(|number| number.to_string());
        Self { items: entries.into_iter().map(Action::from).collect(), chain, next }
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
    /// Tells of a chain of so many `entries`, the last with the hash `head`: the first that does not hold
    /// is `broken`, if there is one.
    pub(in crate::http) fn new(entries: u64, head: Option<String>, broken: Option<u64>) -> Self {
        let detail = match broken {
            None if entries == 1 => "1 entry".to_owned(),
            None => format!("{entries} entries, each with the hash of the one before"),
            Some(number) => format!("entry {number} is missing, out of place or was changed"),
        };
        Self { intact: broken.is_none(), entries, head, detail }
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
