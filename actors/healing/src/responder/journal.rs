//! What the Responder leaves behind of each step: the audit, and the incident's journal.

use perennial_runtime::Turn;

use crate::alert::{ALERT, Alert, AlertMessage, Entry};
use crate::model::{ActionOutcome, GateRecord, IncidentId};
use crate::responder::audit::{ACTIONS, AuditEntry, Stage};
use crate::responder::{Remediation, Responder};

/// What an audit entry says beside whom it is about.
#[derive(Debug)]
pub(super) struct Note<'a> {
    stage: Stage,
    gates: &'a [GateRecord],
    outcome: Option<&'a ActionOutcome>,
    reason: &'a str,
}

impl<'a> Note<'a> {
    /// A step that neither gates nor the engine were asked about.
    pub(super) const fn of(stage: Stage, reason: &'a str) -> Self {
        Self { stage, gates: &[], outcome: None, reason }
    }

    /// With what the gates said.
    pub(super) const fn gates(mut self, gates: &'a [GateRecord]) -> Self {
        self.gates = gates;
        self
    }

    /// With what the engine said.
    pub(super) const fn outcome(mut self, outcome: &'a ActionOutcome) -> Self {
        self.outcome = Some(outcome);
        self
    }
}

impl Responder {
    /// Appends to the audit; returns the entry's number.
    pub(super) fn audit(
        &mut self,
        remediation: &Remediation,
        note: Note<'_>,
        turn: &mut Turn<'_, Self>,
    ) -> u64 {
        let request = &remediation.request;
        let mut entry = AuditEntry {
            number: 0,
            at: turn.now(),
            incident: request.incident.clone(),
            subject: request.subject.clone(),
            action: remediation.action.clone(),
            stage: note.stage,
            gates: note.gates.to_vec(),
            outcome: note.outcome.cloned(),
            reason: note.reason.to_owned(),
            confidence: request.confidence,
            previous: String::new(),
            hash: String::new(),
        };
        self.head.append(&mut entry);
        turn.put(&ACTIONS, &entry.number, &entry);
        entry.number
    }
}

/// Writes into the incident's journal.
pub(super) fn record(incident: &IncidentId, entry: Entry, turn: &mut Turn<'_, Responder>) {
    let record = AlertMessage::Record { incident: incident.clone(), at: turn.now(), entry };
    turn.send::<Alert>(ALERT, &record);
}
