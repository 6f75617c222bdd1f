//! Incidents.

use std::cmp::Reverse;
use std::fmt;

use perennial_healing::alert;
use perennial_healing::model as healing;
use perennial_runtime::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::error::ApiError;
use super::advice::Advice;
use super::journal::{Entry, diagnosis_of};
use super::{checked_limit, time};

/// The names an incident's status can have, in the order of its life.
const STATUSES: [&str; 8] = [
    "open",
    "acknowledged",
    "remediating",
    "verifying",
    "resolved",
    "escalated",
    "recovered",
    "withdrawn",
];

/// Which incidents are asked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Filter {
    status: Option<String>,
    severity: Option<healing::Severity>,
    limit: Option<usize>,
    after: Option<String>,
}

/// A place in the list of incidents, which shows the latest change first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::http) struct Place(Reverse<Timestamp>, String);

impl Place {
    pub(in crate::http) fn of(incident: &alert::Incident) -> Self {
        Self(Reverse(incident.updated_at), incident.id.0.clone())
    }

    /// As it stands in a request: microseconds since 1970, and the id.
    pub(in crate::http) fn parse(text: &str) -> Option<Self> {
        let (micros, id) = text.split_once('-')?;
        Some(Self(Reverse(Timestamp::from_micros(micros.parse().ok()?)), id.to_owned()))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Reverse(at), id) = self;
        write!(formatter, "{}-{id}", at.as_micros())
    }
}

impl Filter {
    /// The place behind which the list begins; none is its beginning.
    pub(in crate::http) fn after(&self) -> Result<Option<Place>, ApiError> {
        let Some(text) = &self.after else { return Ok(None) };
        let place = Place::parse(text);
        place.map(Some).ok_or_else(|| {
            let why = format!("after is `{text}`; expected the `next` of an earlier list");
            ApiError::Malformed(why)
        })
    }

    pub(in crate::http) fn limit(&self) -> Result<usize, ApiError> {
        checked_limit(self.limit)
    }

    /// Refuses a status that no incident can have.
    pub(in crate::http) fn check(&self) -> Result<(), ApiError> {
        match self.status.as_deref() {
            Some(status) if !STATUSES.contains(&status) => {
                let known = STATUSES.join(", ");
                Err(ApiError::Malformed(format!("status is `{status}`; expected one of {known}")))
            }
            Some(_) | None => Ok(()),
        }
    }

    pub(in crate::http) fn matches(&self, incident: &alert::Incident) -> bool {
        let status = self.status.as_deref().is_none_or(|status| status == incident.status.as_str());
        status && self.severity.is_none_or(|severity| severity == incident.severity)
    }
}

/// A container as people know it.
#[derive(Debug, Serialize)]
pub(super) struct Subject {
    id: String,
    name: String,
    image: String,
    project: Option<String>,
    service: Option<String>,
    swarm_service: Option<String>,
}

impl From<healing::Subject> for Subject {
    fn from(subject: healing::Subject) -> Self {
        Self {
            id: subject.id.0,
            name: subject.name,
            image: subject.image,
            project: subject.project,
            service: subject.service,
            swarm_service: subject.swarm_service,
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Serialize)]
pub(super) struct Symptom {
    kind: &'static str,
    severity: healing::Severity,
    since: String,
    actual: f64,
    threshold: f64,
    text: String,
}

impl From<healing::Symptom> for Symptom {
    fn from(symptom: healing::Symptom) -> Self {
        Self {
            kind: symptom.kind.as_str(),
            severity: symptom.severity,
            since: time(symptom.since),
            actual: symptom.actual,
            threshold: symptom.threshold,
            text: symptom.text,
        }
    }
}

/// What the Analyzer made of it.
#[derive(Debug, Serialize)]
pub(super) struct Diagnosis {
    pub(super) rule: String,
    pub(super) cause: String,
    pub(super) reason: String,
    pub(super) confidence: f64,
    /// `remediate`, `false_alarm`, `insufficient_evidence` or `no_safe_action`.
    pub(super) verdict: &'static str,
    /// The action, with the verdict `remediate`.
    pub(super) action: Option<&'static str>,
    /// What is missing, or what a person can do.
    pub(super) advice: Option<String>,
}

/// One incident as it stands.
#[derive(Debug, Serialize)]
pub(in crate::http) struct Incident {
    id: String,
    container: Subject,
    status: &'static str,
    severity: healing::Severity,
    opened_at: String,
    episode_at: String,
    updated_at: String,
    closed_at: Option<String>,
    event_at: String,
    symptoms: Vec<Symptom>,
    diagnosis: Option<Diagnosis>,
    /// What came last of asking a model about it.
    model: Option<Advice>,
    action: Option<&'static str>,
    outcome: Option<&'static str>,
    held_by: Option<String>,
    reason: Option<String>,
    acknowledged_by: Option<String>,
    acknowledged_at: Option<String>,
    reopened: u32,
    seconds_to_detect: Option<f64>,
    seconds_to_acknowledge: Option<f64>,
    seconds_to_resolve: Option<f64>,
    journal_entries: u64,
}

impl From<alert::Incident> for Incident {
    fn from(incident: alert::Incident) -> Self {
        let seconds = |duration: std::time::Duration| duration.as_secs_f64();
        Self {
            id: incident.id.0,
            container: incident.subject.into(),
            status: incident.status.as_str(),
            severity: incident.severity,
            opened_at: time(incident.opened_at),
            episode_at: time(incident.episode_at),
            updated_at: time(incident.updated_at),
            closed_at: incident.closed_at.map(time),
            event_at: time(incident.event_at),
            symptoms: incident.symptoms.into_iter().map(Symptom::from).collect(),
            diagnosis: incident.diagnosis.map(diagnosis_of),
            model: incident.advice.map(Advice::from),
            action: incident.action.as_ref().map(healing::Action::as_str),
            outcome: incident.outcome.as_ref().map(healing::ActionOutcome::as_str),
            held_by: incident.held_by.map(|gate| gate.gate),
            reason: incident.reason,
            acknowledged_by: incident.acknowledged_by,
            acknowledged_at: incident.acknowledged_at.map(time),
            reopened: incident.reopened,
            seconds_to_detect: incident.time_to_detect.map(seconds),
            seconds_to_acknowledge: incident.time_to_acknowledge.map(seconds),
            seconds_to_resolve: incident.time_to_resolve.map(seconds),
            journal_entries: incident.entries,
        }
    }
}

/// One incident with everything that happened in it, oldest first.
#[derive(Debug, Serialize)]
pub(in crate::http) struct IncidentWithJournal {
    #[serde(flatten)]
    incident: Incident,
    journal: Vec<Entry>,
}

impl IncidentWithJournal {
    pub(in crate::http) fn new(
        incident: alert::Incident,
        journal: Vec<alert::JournalEntry>,
    ) -> Self {
        let journal = journal.into_iter().map(Entry::from).collect();
        Self { incident: incident.into(), journal }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incidents_are_found_by_status_and_severity() {
        let incident =
            alert::Incident { severity: healing::Severity::Warning, ..Default::default() };
        let by = |status: Option<&str>, severity| Filter {
            status: status.map(str::to_owned),
            severity,
            ..Filter::default()
        };
        assert!(by(None, None).matches(&incident));
        assert!(by(Some("open"), Some(healing::Severity::Warning)).matches(&incident));
        assert!(!by(Some("resolved"), None).matches(&incident));
        assert!(!by(None, Some(healing::Severity::Critical)).matches(&incident));
    }

    #[test]
    fn a_place_in_the_list_is_read_as_it_was_written_and_later_changes_come_first() {
        let at = |micros| alert::Incident {
            id: healing::IncidentId("inc-a-1".into()),
            updated_at: Timestamp::from_micros(micros),
            ..Default::default()
        };
        let (late, early) = (Place::of(&at(7)), Place::of(&at(5)));
        assert!(late < early);
        assert_eq!(late.to_string(), "7-inc-a-1");
        assert_eq!(Place::parse("7-inc-a-1"), Some(late));
        for wrong in ["", "7", "x-inc-1", "-7-inc-1"] {
            assert_eq!(Place::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_status_that_does_not_exist_is_refused_with_those_that_do() {
        let filter = Filter { status: Some("closed".into()), ..Filter::default() };
        let error = filter.check().unwrap_err().to_string();
        assert!(error.contains("`closed`") && error.contains("withdrawn"), "{error}");
    }
}
