//! The record of everything the Responder decided and did: append-only and hash-chained, so that a
//! row that was changed or taken out shows. Pure.

use perennial_runtime::{Table, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::model::{Action, ActionOutcome, GateRecord, IncidentId, Subject};

/// The audit, by number from 1.
pub const ACTIONS: Table<AuditEntry> = Table::new("actions", 1);

/// What the first entry names as the hash before it.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// One decision or deed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// From 1, without gaps.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// On whose behalf.
    pub incident: IncidentId,
    /// To whom.
    pub subject: Subject,
    /// What was to be done.
    pub action: Action,
    /// How far it came.
    pub stage: Stage,
    /// What each gate said; empty where no gate was asked.
    pub gates: Vec<GateRecord>,
    /// What the engine said; none where it was not asked.
    pub outcome: Option<ActionOutcome>,
    /// Why.
    pub reason: String,
    /// The Analyzer's, 0 to 1.
    pub confidence: f64,
    /// Hash of the entry before, in hexadecimal digits.
    pub previous: String,
    /// SHA-256 of all of the above in the form of [`AuditEntry::hashed`], in hexadecimal digits.
    pub hash: String,
}

/// How far an action came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Mode `propose`: it would have been done.
    Proposed,
    /// Dry run: every gate passed and it was not done.
    Simulated,
    /// A gate held it.
    Refused,
    /// Committed to; the engine is asked next.
    Intended,
    /// The engine answered, or did not.
    Finished,
    /// Verified: it helped.
    Resolved,
    /// Verified: it did not help.
    NotResolved,
    /// A person is needed.
    Escalated,
    /// Its reason went away.
    Withdrawn,
}

impl Stage {
    /// The name used in documents, and in the hash.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Simulated => "simulated",
            Self::Refused => "refused",
            Self::Intended => "intended",
            Self::Finished => "finished",
            Self::Resolved => "resolved",
            Self::NotResolved => "not_resolved",
            Self::Escalated => "escalated",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// The last entry: what the next one is chained to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Its number; 0 before the first.
    pub number: u64,
    /// Its hash.
    pub hash: String,
}

impl Default for Head {
    fn default() -> Self {
        Self { number: 0, hash: GENESIS.to_owned() }
    }
}

impl Head {
    /// Chains `entry` on: fills in its number and both hashes, and becomes it.
    pub fn append(&mut self, entry: &mut AuditEntry) {
        entry.number = self.number + 1;
        entry.previous.clone_from(&self.hash);
        entry.hash = entry.hashed();
        self.become_that_of(entry);
    }

    /// What `entry` says came before it: from here on, it and what follows can be checked.
    #[must_use]
    pub fn before(entry: &AuditEntry) -> Self {
        Self { number: entry.number.saturating_sub(1), hash: entry.previous.clone() }
    }

    /// Whether `entry` is the next one and unchanged; becomes it, if so.
    pub fn follow(&mut self, entry: &AuditEntry) -> bool {
        let sound = entry.number == self.number + 1
            && entry.previous == self.hash
            && entry.hash == entry.hashed();
        if sound {
            self.become_that_of(entry);
        }
        sound
    }

    fn become_that_of(&mut self, entry: &AuditEntry) {
        self.number = entry.number;
        self.hash.clone_from(&entry.hash);
    }
}

impl AuditEntry {
    /// The hash that belongs to the content: SHA-256 over a sequence of texts, each preceded by its
    /// length in bytes as eight bytes, most significant first. The texts, in order: the format's
    /// name `perennial-audit-1`; number; microseconds since the epoch; incident; the subject's id,
    /// name, image, project, service and swarm service; the action's name, the count of its
    /// arguments and each of them; stage; the count of gates and for each its name, `passed` or
    /// `held`, reason and `until`; the outcome's name and text; reason; the confidence's IEEE 754
    /// bits in hexadecimal digits; the previous hash. Numbers are decimal. A value that may be
    /// missing is the text `none`, or the text `some` and then the value.
    #[must_use]
    pub fn hashed(&self) -> String {
        let mut hash = Canonical(Sha256::new());
        hash.text("perennial-audit-1");
        hash.number(self.number);
        hash.number(self.at.as_micros());
        hash.text(&self.incident.0);
        hash.subject(&self.subject);
        hash.action(&self.action);
        hash.text(self.stage.as_str());
        hash.number(self.gates.len() as u64);
        self.gates.iter().for_each(|gate| hash.gate(gate));
        hash.outcome(self.outcome.as_ref());
        hash.text(&self.reason);
        hash.text(&format!("{:016x}", self.confidence.to_bits()));
        hash.text(&self.previous);
        hash.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

struct Canonical(Sha256);

impl Canonical {
    fn text(&mut self, text: &str) {
        self.0.update((text.len() as u64).to_be_bytes());
        self.0.update(text.as_bytes());
    }

    fn number(&mut self, number: u64) {
        self.text(&number.to_string());
    }

    fn optional(&mut self, value: Option<&str>) {
        match value {
            None => self.text("none"),
            Some(value) => {
                self.text("some");
                self.text(value);
            }
        }
    }

    fn subject(&mut self, subject: &Subject) {
        let Subject { id, name, image, project, service, swarm_service } = subject;
        self.text(&id.0);
        self.text(name);
        self.text(image);
        self.optional(project.as_deref());
        self.optional(service.as_deref());
        self.optional(swarm_service.as_deref());
    }

    fn action(&mut self, action: &Action) {
        self.text(action.as_str());
        let arguments: &[String] = match action {
            Action::Exec(arguments) => arguments,
            Action::Restart | Action::Start | Action::Stop | Action::Scale | Action::Cleanup => &[],
        };
        self.number(arguments.len() as u64);
        arguments.iter().for_each(|argument| self.text(argument));
    }

    fn gate(&mut self, gate: &GateRecord) {
        let GateRecord { gate, passed, reason, until } = gate;
        self.text(gate);
        self.text(if *passed { "passed" } else { "held" });
        self.text(reason);
        self.optional(until.map(|until| until.as_micros().to_string()).as_deref());
    }

    fn outcome(&mut self, outcome: Option<&ActionOutcome>) {
        self.optional(outcome.map(ActionOutcome::as_str));
        if let Some(outcome) = outcome {
            self.text(outcome_text(outcome));
        }
    }
}

/// What the outcome says beside its name.
#[must_use]
pub fn outcome_text(outcome: &ActionOutcome) -> &str {
    match outcome {
        ActionOutcome::Done(text)
        | ActionOutcome::Reconciled(text)
        | ActionOutcome::Failed(text)
        | ActionOutcome::NotApplicable(text)
        | ActionOutcome::Unknown(text) => text,
        ActionOutcome::Simulated => "",
    }
}

/// Whether `entries`, which begin at number 1, are all there and unchanged. Their end cannot be
/// judged: keep the last hash elsewhere to notice a chain that was cut short.
///
/// # Errors
/// The number of the first entry that is missing, out of place or changed.
pub fn verify_chain(entries: &[AuditEntry]) -> Result<(), u64> {
    let mut head = Head::default();
    match entries.iter().all(|entry| head.follow(entry)) {
        true => Ok(()),
        false => Err(head.number + 1),
    }
}

#[cfg(test)]
mod tests;
