//! Containers as they were last seen.

use perennial_healing::model as healing;
use perennial_healing::monitor::ContainerRow;
use serde::Serialize;

use super::incident::{Subject, Symptom};
use super::time;

/// One container.
#[derive(Debug, Serialize)]
pub(in crate::http) struct Container {
    #[serde(flatten)]
    subject: Subject,
    /// `running`, `exited` and so on, as the engine calls it.
    state: healing::Status,
    health: healing::Health,
    exit_code: Option<i64>,
    oom_killed: bool,
    /// Restarts by the engine, since the container was created.
    restart_count: u32,
    restarts_in_window: u32,
    started_at: String,
    /// Share of its quota, or of all cores; 1 is all of it.
    cpu: Option<f64>,
    /// Share of its limit; null without a limit.
    memory: Option<f64>,
    memory_bytes: Option<u64>,
    memory_limit_bytes: Option<u64>,
    mode: healing::Mode,
    one_shot: bool,
    stopped_by_operator: bool,
    /// Whether symptoms are looked for, and why or why not.
    watched: bool,
    reason: String,
    symptoms: Vec<Symptom>,
    /// In what respect it cannot be judged.
    coverage_gaps: Vec<String>,
    /// Labels that were not understood and had no effect.
    ignored_labels: Vec<String>,
    sampled_at: Option<String>,
    updated_at: String,
}

impl From<ContainerRow> for Container {
    fn from(row: ContainerRow) -> Self {
        let facts = row.facts;
        Self {
            subject: row.subject.into(),
            state: facts.status,
            health: facts.health,
            exit_code: facts.exit_code,
            oom_killed: facts.oom_killed,
            restart_count: facts.restart_count,
            restarts_in_window: facts.restarts_in_window,
            started_at: facts.started_at,
            cpu: facts.cpu,
            memory: facts.memory,
            memory_bytes: facts.memory_bytes,
            memory_limit_bytes: facts.memory_limit,
            mode: facts.mode,
            one_shot: facts.one_shot,
            stopped_by_operator: facts.stopped_by_operator,
            watched: row.watched,
            reason: row.reason,
            symptoms: row.symptoms.into_iter().map(Symptom::from).collect(),
            coverage_gaps: row.coverage,
            ignored_labels: row.ignored_labels,
            sampled_at: row.sampled_at.map(time),
            updated_at: time(row.updated_at),
        }
    }
}
