//! Schedules, as documents.

use std::collections::BTreeMap;

use perennial_query::record::QueryRow;
use perennial_query::schedule::{Firing, ScheduleRow, Written};
use perennial_runtime::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::time;

/// A schedule: what is done when, and how it stands.
#[derive(Debug, Serialize)]
pub(in crate::http) struct Schedule {
    name: String,
    cron: String,
    zone: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pipeline: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    inputs: BTreeMap<String, Value>,
    #[serde(skip_serializing_if = "String::is_empty")]
    question: String,
    role: String,
    teams: Vec<String>,
    catch_up: Option<&'static str>,
    at_most: usize,
    overlap: &'static str,
    enabled: bool,
    paused_by: Option<String>,
    next: Option<String>,
    last: Option<Last>,
    fired: u64,
    missed: u64,
    overlapped: u64,
    refused: u64,
    note: String,
    noted_at: Option<String>,
}

/// What was done last.
#[derive(Debug, Serialize)]
struct Last {
    due: String,
    at: String,
    by: Option<String>,
    query: Option<String>,
    status: Option<&'static str>,
    outcome: Option<&'static str>,
}

impl Schedule {
    pub(in crate::http) fn new(
        written: &Written,
        row: ScheduleRow,
        query: Option<&QueryRow>,
    ) -> Self {
        let written = written.clone();
        Self {
            name: written.name,
            cron: written.cron,
            zone: written.zone,
            pipeline: written.pipeline,
            inputs: written.inputs,
            question: written.question,
            role: written.role,
            teams: written.teams,
            catch_up: written.catch_up.map(|policy| policy.as_str()),
            at_most: written.at_most,
            overlap: written.overlap.as_str(),
            enabled: written.enabled,
            paused_by: row.paused_by,
            next: row.next.map(time),
            last: row.last.map(|last| Last::new(last, query)),
            fired: row.fired,
            missed: row.missed,
            overlapped: row.overlapped,
            refused: row.refused,
            note: row.note,
            noted_at: row.noted_at.map(time),
        }
    }
}

impl Last {
    fn new(firing: Firing, query: Option<&QueryRow>) -> Self {
        let Firing { due, at, by, query: id, outcome } = firing;
        let outcome = query.map_or(outcome, |row| row.outcome);
        Self {
            due: time(due),
            at: time(at),
            by,
            query: id,
            status: query.map(|row| row.status.as_str()),
            outcome: outcome.map(|outcome| outcome.as_str()),
        }
    }
}

/// What somebody has had done at once.
#[derive(Debug, Serialize)]
pub(in crate::http) struct Fired {
    schedule: String,
    due: String,
    query: Option<String>,
}

impl Fired {
    pub(in crate::http) fn new(schedule: String, due: Timestamp, query: Option<String>) -> Self {
        Self { schedule, due: time(due), query }
    }
}
