//! What an incident is, folded from the entries of its journal. Pure.

use std::time::Duration;

use perennial_runtime::{RowKey, Table, Timestamp};
use serde::{Deserialize, Serialize};

use crate::adviser::advice::Advice;
use crate::alert::{Change, Entry, older};
use crate::model::{
    Action, ActionOutcome, Conclusion, Diagnosis, GateRecord, IncidentId, Severity, Subject,
    Symptom, SymptomKind, Verdict,
};

/// One row per incident; the key is the incident's id.
pub const INCIDENTS: Table<Incident> = Table::new("incidents", 2).migrated_by(older::incident);
/// The entries of an incident, numbered from 0; the key is (incident's id, number).
pub const JOURNAL: Table<JournalEntry> = Table::new("journal", 2).migrated_by(older::step);
/// The incidents that can be forgotten one day, in the order of that day.
pub(super) const RETIRED: Table<Retired> = Table::new("incidents-retired", 1);

/// One step in the life of an incident, as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// Its place, from 0.
    pub n: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub entry: Entry,
}

/// Which incident, and since when it only waits to be forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Retired {
    pub(super) at: Timestamp,
    pub(super) incident: IncidentId,
}

impl RowKey for Retired {
    fn to_row_key(&self) -> Vec<u8> {
        [&self.at.to_key()[..], self.incident.0.as_bytes()].concat()
    }
}

/// Where an incident stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IncidentStatus {
    /// Nobody and nothing has taken it on.
    #[default]
    Open,
    /// A person has.
    Acknowledged,
    /// An action is under way, or the next one waits for its time.
    Remediating,
    /// An action was done; whether it helped is being watched.
    Verifying,
    /// An action helped. Closed.
    Resolved,
    /// No action helped; a person is needed.
    Escalated,
    /// It went away by itself. Closed.
    Recovered,
    /// The container was removed, or an operator stopped it. Closed.
    Withdrawn,
}

impl IncidentStatus {
    /// The name used in documents and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Remediating => "remediating",
            Self::Verifying => "verifying",
            Self::Resolved => "resolved",
            Self::Escalated => "escalated",
            Self::Recovered => "recovered",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Whether nothing more is expected of it.
    #[must_use]
    pub const fn is_closed(self) -> bool {
        matches!(self, Self::Resolved | Self::Recovered | Self::Withdrawn)
    }
}

/// One incident as it stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Names it.
    pub id: IncidentId,
    /// Whether its beginning was ever told; an entry may outlive its incident.
    pub known: bool,
    /// Who is sick.
    pub subject: Subject,
    /// The worst there was since it (re)opened.
    pub severity: Severity,
    /// Where it stands.
    pub status: IncidentStatus,
    /// When it was first opened.
    pub opened_at: Timestamp,
    /// When it was last opened: later than `opened_at` once it was reopened.
    pub episode_at: Timestamp,
    /// When its journal last grew.
    pub updated_at: Timestamp,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
    /// When the engine's event or the deciding sample happened.
    pub event_at: Timestamp,
    /// What is wrong now.
    pub symptoms: Vec<Symptom>,
    /// What the Analyzer makes of it.
    pub diagnosis: Option<Diagnosis>,
    /// The last action that was asked for.
    pub action: Option<Action>,
    /// How that action ended.
    pub outcome: Option<ActionOutcome>,
    /// The gate that held the last action, if one did.
    pub held_by: Option<GateRecord>,
    /// What the Responder concluded.
    pub conclusion: Option<Conclusion>,
    /// The last explanation given: why it did not help, how it recovered, why it was withdrawn.
    pub reason: Option<String>,
    /// Who took it on.
    pub acknowledged_by: Option<String>,
    /// When.
    pub acknowledged_at: Option<Timestamp>,
    /// How often it came back.
    pub reopened: u32,
    /// From the event to the incident.
    pub time_to_detect: Option<Duration>,
    /// From its (re)opening to a person taking it on.
    pub time_to_acknowledge: Option<Duration>,
    /// From its (re)opening to its end.
    pub time_to_resolve: Option<Duration>,
    /// Entries in its journal.
    pub entries: u64,
    /// The changes people have been or will be told since it (re)opened.
    pub told: Vec<Change>,
    /// The incident whose first notification began the thread this one is told in.
    pub thread: Option<IncidentId>,
    /// What the thread that this incident began is called; the same for all its notifications.
    pub headline: Option<String>,
    /// Notifications in the thread that this incident began.
    pub notices: u32,
    /// What came last of asking a model about it, since it (re)opened.
    pub advice: Option<Advice>,
}

impl Incident {
    /// An incident of which only the name is known.
    #[must_use]
    pub fn begin(id: IncidentId, at: Timestamp) -> Self {
        Self { id, opened_at: at, episode_at: at, event_at: at, ..Self::default() }
    }

    /// Whether reminders make sense: it is open, nobody has taken it on and it is no false alarm.
    #[must_use]
    pub fn wants_a_person(&self) -> bool {
        let verdict = self.diagnosis.as_ref().map(|diagnosis| &diagnosis.verdict);
        let false_alarm = matches!(verdict, Some(Verdict::FalseAlarm));
        !self.status.is_closed() && self.acknowledged_by.is_none() && !false_alarm
    }

    /// Since when it only waits to be forgotten.
    pub(super) fn retired(&self) -> Option<Retired> {
        let orphaned = (!self.known).then_some(self.opened_at);
        let at = self.closed_at.or(orphaned)?;
        Some(Retired { at, incident: self.id.clone() })
    }

    /// Adds one entry to the journal's length and applies it.
    pub fn apply(&mut self, at: Timestamp, entry: &Entry) {
        self.entries += 1;
        self.updated_at = self.updated_at.max(at);
        match entry {
            Entry::Opened { subject, symptoms, severity, event_at } if !self.known => {
                self.subject = subject.clone();
                self.symptoms = symptoms.clone();
                self.severity = self.severity.max(*severity);
                self.open(at, *event_at);
            }
            Entry::Opened { .. }
            | Entry::Evidence(_)
            | Entry::Notification { .. }
            | Entry::Consulted { .. } => {}
            Entry::Advised { advice, .. } => self.advise(advice),
            Entry::Reopened { symptoms } => self.reopen(at, symptoms),
            Entry::SymptomsChanged { raised, cleared } => self.symptoms(raised, cleared),
            Entry::Diagnosed(diagnosis) => self.diagnosis = Some(diagnosis.clone()),
            Entry::Gates { action, gates } => {
                self.action = Some(action.clone());
                self.held_by = gates.iter().rev().find(|gate| !gate.passed).cloned();
            }
            Entry::ActionIntended { action, .. } => {
                self.action = Some(action.clone());
                self.outcome = None;
                self.become_open(IncidentStatus::Remediating);
            }
            Entry::ActionFinished { action, outcome } => {
                self.action = Some(action.clone());
                self.outcome = Some(outcome.clone());
            }
            Entry::Verifying { .. } => self.become_open(IncidentStatus::Verifying),
            Entry::NotResolved { reason, next } => {
                self.reason = Some(reason.clone());
                let waits = next.is_some();
                self.become_open(if waits { IncidentStatus::Remediating } else { self.resting() });
            }
            Entry::Concluded(conclusion) => self.conclude(at, conclusion),
            Entry::Recovered { reason } => self.close(at, IncidentStatus::Recovered, Some(reason)),
            Entry::Withdrawn { reason } => self.close(at, IncidentStatus::Withdrawn, Some(reason)),
            Entry::Acknowledged { by, .. } => self.acknowledge(at, by),
        }
    }

    fn open(&mut self, at: Timestamp, event_at: Timestamp) {
        self.known = true;
        (self.opened_at, self.episode_at, self.event_at) = (at, at, event_at);
        self.time_to_detect = Some(at.since(event_at));
    }

    /// Senders are not ordered among each other: what reopens it may come before what closed it. The
    /// later time decides then.
    fn reopen(&mut self, at: Timestamp, symptoms: &[Symptom]) {
        self.symptoms = symptoms.to_vec();
        if self.known && !self.status.is_closed() && at <= self.episode_at {
            return;
        }
        self.severity = worst(symptoms).unwrap_or(self.severity);
        self.known = true;
        self.status = IncidentStatus::Open;
        self.reopened += 1;
        self.episode_at = at;
        self.event_at = symptoms.iter().map(|symptom| symptom.since).min().unwrap_or(at);
        (self.closed_at, self.acknowledged_at) = (None, None);
        (self.time_to_acknowledge, self.time_to_resolve) = (None, None);
        (self.acknowledged_by, self.reason) = (None, None);
        (self.diagnosis, self.conclusion, self.advice) = (None, None, None);
        (self.action, self.outcome, self.held_by) = (None, None, None);
        self.told.clear();
    }

    fn symptoms(&mut self, raised: &[Symptom], cleared: &[SymptomKind]) {
        let replaced = |kind| raised.iter().any(|symptom| symptom.kind == kind);
        self.symptoms.retain(|old| !cleared.contains(&old.kind) && !replaced(old.kind));
        self.symptoms.extend_from_slice(raised);
        if !self.status.is_closed() {
            self.severity = worst(raised).map_or(self.severity, |new| self.severity.max(new));
        }
    }

    fn conclude(&mut self, at: Timestamp, conclusion: &Conclusion) {
        if self.is_over(at) {
            return;
        }
        self.conclusion = Some(conclusion.clone());
        match conclusion {
            Conclusion::Resolved => self.close(at, IncidentStatus::Resolved, None),
            Conclusion::Escalated(reason) => {
                self.reason = Some(reason.clone());
                self.status = IncidentStatus::Escalated;
            }
            Conclusion::Suppressed(reason) | Conclusion::Proposed(reason) => {
                self.reason = Some(reason.clone());
                self.status = self.resting();
            }
            Conclusion::Gone => self.close(at, IncidentStatus::Withdrawn, None),
        }
    }

    /// An opinion is not lost to a later question that brought none.
    fn advise(&mut self, advice: &Advice) {
        let given = |advice: &Advice| matches!(advice, Advice::Given(_));
        if given(advice) || !self.advice.as_ref().is_some_and(given) {
            self.advice = Some(advice.clone());
        }
    }

    fn acknowledge(&mut self, at: Timestamp, by: &str) {
        if self.status.is_closed() {
            return;
        }
        self.acknowledged_by = Some(by.to_owned());
        self.acknowledged_at = Some(at);
        self.time_to_acknowledge.get_or_insert(at.since(self.episode_at));
        if matches!(self.status, IncidentStatus::Open | IncidentStatus::Escalated) {
            self.status = IncidentStatus::Acknowledged;
        }
    }

    /// Whether what ended at `at` had been told already, or was followed by a reopening.
    pub(super) fn is_over(&self, at: Timestamp) -> bool {
        self.status.is_closed() || (self.reopened > 0 && at < self.episode_at)
    }

    /// Where it stands while nothing is under way.
    fn resting(&self) -> IncidentStatus {
        match self.acknowledged_by {
            Some(_) => IncidentStatus::Acknowledged,
            None => IncidentStatus::Open,
        }
    }

    /// What comes after its end does not open it again; only [`Entry::Reopened`] does.
    fn become_open(&mut self, status: IncidentStatus) {
        if !self.status.is_closed() {
            self.status = status;
        }
    }

    fn close(&mut self, at: Timestamp, status: IncidentStatus, reason: Option<&String>) {
        if self.is_over(at) {
            return;
        }
        self.status = status;
        self.reason = reason.cloned().or_else(|| self.reason.take());
        self.closed_at = Some(at);
        self.time_to_resolve = Some(at.since(self.episode_at));
        self.symptoms.clear();
    }
}

fn worst(symptoms: &[Symptom]) -> Option<Severity> {
    symptoms.iter().map(|symptom| symptom.severity).max()
}

#[cfg(test)]
mod tests;
