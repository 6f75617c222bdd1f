//! Workers outside the node, and their jobs.

use std::time::Duration;

use perennial_query::plan::ErrorKind;
use perennial_query::tool::ToolError;
use perennial_query::tools::external::{Lending, Standing};
use perennial_runtime::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::time;

/// Who comes for a job.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Worker {
    pub(crate) worker: String,
}

/// Which loan of a job is meant.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobHeld {
    pub(crate) lease: u64,
}

/// What came of a job: a value, or why there is none.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobDone {
    pub(crate) lease: u64,
    pub(crate) value: Option<Value>,
    pub(crate) error: Option<JobError>,
}

/// Why a job has no value.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobError {
    kind: ErrorKind,
    message: String,
    retry_after_seconds: Option<u64>,
}

impl From<JobError> for ToolError {
    fn from(error: JobError) -> Self {
        let retry_after = error.retry_after_seconds.map(Duration::from_secs);
        Self { retry_after, ..Self::new(error.kind, error.message) }
    }
}

/// A job as its worker sees it.
#[derive(Debug, Serialize)]
pub(crate) struct Job {
    id: u64,
    lease: u64,
    /// When it must have been heard of again.
    lease_until: String,
    tool: String,
    arguments: Value,
    /// The same for every attempt, for a world that does things once.
    key: String,
    attempt: u32,
    /// The query and the step.
    label: String,
    role: String,
    teams: Vec<String>,
    deadline: String,
    timeout_seconds: f64,
}

impl From<Lending> for Job {
    fn from(Lending { id, lease, until, call }: Lending) -> Self {
        Self {
            id,
            lease,
            lease_until: time(until),
            tool: call.tool,
            arguments: call.arguments.0,
            key: call.key,
            attempt: call.attempt,
            label: call.label,
            role: call.identity.role,
            teams: call.identity.teams,
            deadline: time(call.deadline),
            timeout_seconds: call.timeout.as_secs_f64(),
        }
    }
}

/// Until when a job need not be heard of.
#[derive(Debug, Serialize)]
pub(crate) struct Renewed {
    lease_until: String,
}

impl Renewed {
    pub(crate) fn new(until: Timestamp) -> Self {
        Self { lease_until: time(until) }
    }
}

/// How a pool stands.
#[derive(Debug, Serialize)]
pub(crate) struct PoolStanding {
    pool: String,
    waiting: usize,
    /// The worker of each job that is lent.
    lent: Vec<String>,
    seen_at: Option<String>,
}

impl From<Standing> for PoolStanding {
    fn from(Standing { pool, waiting, lent, seen }: Standing) -> Self {
        Self { pool, waiting, lent, seen_at: seen.map(time) }
    }
}
