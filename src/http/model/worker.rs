//! Workers outside the node, and their jobs.

use std::time::Duration;

use perennial_query::plan::ErrorKind;
use perennial_query::tool::ToolError;
use perennial_query::tools::external::{Lending, Standing};
use perennial_runtime::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::key::{LONGEST_NAME, is_plain};
use super::time;
use crate::http::error::ApiError;

/// Who comes for a job.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Worker {
    worker: String,
}

impl Worker {
    /// What it calls itself: kept with each job that it has, and told to people.
    pub(crate) fn name(self) -> Result<String, ApiError> {
        if is_plain(&self.worker) {
            return Ok(self.worker);
        }
        let why = format!("`worker` must be a name of at most {LONGEST_NAME} bytes");
        Err(ApiError::Malformed(why))
    }
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
    #[serde(default, deserialize_with = "given")]
    value: Option<Value>,
    error: Option<JobError>,
}

impl JobDone {
    /// The value and the error, each if it is there. `null` is a value like any other, unless there is an error.
    pub(crate) fn outcome(self) -> (Option<Value>, Option<ToolError>) {
        let value = self.value.filter(|value| !(value.is_null() && self.error.is_some()));
        (value, self.error.map(Into::into))
    }
}

/// A field that is there, whatever its value.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn outcome(done: Value) -> (Option<Value>, Option<ErrorKind>) {
        let done: JobDone = serde_json::from_value(done).unwrap();
        let (value, error) = done.outcome();
        (value, error.map(|error| error.kind))
    }

    #[test]
    fn nothing_is_a_result_like_any_other() {
        let error = json!({"kind": "failed", "message": "no"});
        assert_eq!(outcome(json!({"lease": 1, "value": null})), (Some(Value::Null), None));
        assert_eq!(outcome(json!({"lease": 1})), (None, None));
        let both = json!({"lease": 1, "value": null, "error": error});
        assert_eq!(outcome(both), (None, Some(ErrorKind::Failed)));
        let neither = json!({"lease": 1, "value": 1, "error": error});
        assert_eq!(outcome(neither), (Some(json!(1)), Some(ErrorKind::Failed)));
    }

    #[test]
    fn a_worker_has_a_name_that_people_can_read() {
        let name = |worker: &str| Worker { worker: worker.to_owned() }.name();
        assert_eq!(name("host-7/12").unwrap(), "host-7/12");
        for odd in ["", " ", "a\nb", &"x".repeat(101)] {
            assert!(name(odd).is_err(), "{odd:?}");
        }
    }
}
