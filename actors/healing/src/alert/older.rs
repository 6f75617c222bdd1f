//! Rows as older versions stored them.

use std::time::Duration;

use perennial_runtime::{Failure, Timestamp, decode};
use serde::{Deserialize, Serialize};

use crate::alert::{Change, Incident, IncidentStatus, JournalEntry};
use crate::model::{
    Action, ActionOutcome, Conclusion, Diagnosis, GateRecord, IncidentId, Severity, Subject,
    Symptom,
};

/// An [`Incident`] of version 1: without the opinion of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Incident1 {
    id: IncidentId,
    known: bool,
    subject: Subject,
    severity: Severity,
    status: IncidentStatus,
    opened_at: Timestamp,
    episode_at: Timestamp,
    updated_at: Timestamp,
    closed_at: Option<Timestamp>,
    event_at: Timestamp,
    symptoms: Vec<Symptom>,
    diagnosis: Option<Diagnosis>,
    action: Option<Action>,
    outcome: Option<ActionOutcome>,
    held_by: Option<GateRecord>,
    conclusion: Option<Conclusion>,
    reason: Option<String>,
    acknowledged_by: Option<String>,
    acknowledged_at: Option<Timestamp>,
    reopened: u32,
    time_to_detect: Option<Duration>,
    time_to_acknowledge: Option<Duration>,
    time_to_resolve: Option<Duration>,
    entries: u64,
    told: Vec<Change>,
    thread: Option<IncidentId>,
    headline: Option<String>,
    notices: u32,
}

impl From<Incident1> for Incident {
    fn from(old: Incident1) -> Self {
        Self {
            id: old.id,
            known: old.known,
            subject: old.subject,
            severity: old.severity,
            status: old.status,
            opened_at: old.opened_at,
            episode_at: old.episode_at,
            updated_at: old.updated_at,
            closed_at: old.closed_at,
            event_at: old.event_at,
            symptoms: old.symptoms,
            diagnosis: old.diagnosis,
            action: old.action,
            outcome: old.outcome,
            held_by: old.held_by,
            conclusion: old.conclusion,
            reason: old.reason,
            acknowledged_by: old.acknowledged_by,
            acknowledged_at: old.acknowledged_at,
            reopened: old.reopened,
            time_to_detect: old.time_to_detect,
            time_to_acknowledge: old.time_to_acknowledge,
            time_to_resolve: old.time_to_resolve,
            entries: old.entries,
            told: old.told,
            thread: old.thread,
            headline: old.headline,
            notices: old.notices,
            advice: None,
        }
    }
}

/// Reads a row of version 1.
pub(super) fn incident(_: u16, payload: &[u8]) -> Result<Incident, Failure> {
    Ok(decode::<Incident1>(payload)?.into())
}

/// Reads a row of version 1: version 2 added kinds of entries behind those that there were.
pub(super) fn step(_: u16, payload: &[u8]) -> Result<JournalEntry, Failure> {
    Ok(decode(payload)?)
}
