//! Steps of a query, as documents: a page of them at a time.

use std::collections::BTreeMap;

use perennial_query::record::{StepRow, StepStatus};
use perennial_runtime::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{LARGEST_LIMIT, time};
use crate::http::error::ApiError;

/// Which steps of a query are wanted.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StepsWanted {
    /// At most so many, repetitions counted; as many as may be asked for unless it is said.
    steps: Option<usize>,
    /// Only those behind this one, as the page before names it.
    pub(crate) after: Option<u64>,
}

impl StepsWanted {
    pub(crate) fn limit(self) -> Result<usize, ApiError> {
        match self.steps.unwrap_or(LARGEST_LIMIT) {
            steps @ 1..=LARGEST_LIMIT => Ok(steps),
            steps => {
                let why = format!("steps is {steps}; expected 1 to {LARGEST_LIMIT}");
                Err(ApiError::Malformed(why))
            }
        }
    }
}

/// Some of the steps of a query, in the order of the plan, each before its repetitions.
#[derive(Debug, Default)]
pub(crate) struct StepPage {
    /// A step of which there are repetitions alone comes before them again.
    pub(crate) rows: Vec<StepRow>,
    /// How many repetitions there are in all, by the place of the step.
    pub(crate) instances: BTreeMap<u32, u32>,
    /// Steps and repetitions in all.
    pub(crate) total: u64,
    /// What is behind this one is on the next page.
    pub(crate) next: Option<u64>,
}

impl StepPage {
    /// Each step with its repetitions within it.
    pub(crate) fn documents(&self) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        for row in &self.rows {
            let step = Step::from(row);
            match (row.instance, steps.last_mut()) {
                (Some(_), Some(whole)) => whole.instances.push(step),
                (_, _) => {
                    let instances_total = self.instances.get(&row.place).copied();
                    steps.push(Step { instances_total, ..step });
                }
            }
        }
        steps
    }
}

pub(super) fn seconds(from: Option<Timestamp>, to: Option<Timestamp>) -> Option<f64> {
    Some(to?.since(from?).as_secs_f64())
}

pub(super) fn citation(citation: &perennial_query::tool::Citation) -> Value {
    json!({"id": citation.id, "source": citation.source, "place": citation.place})
}

/// A step, or one of its repetitions.
#[derive(Debug, Serialize)]
pub(crate) struct Step {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<u32>,
    status: &'static str,
    success: bool,
    tool: Option<String>,
    attempts: u32,
    retries: u32,
    timed_out: bool,
    started_at: Option<String>,
    ended_at: Option<String>,
    duration_seconds: Option<f64>,
    result: Option<Value>,
    error: Option<Value>,
    reason: Option<String>,
    citations: Vec<Value>,
    warnings: Vec<String>,
    fallback_from: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    instances: Vec<Step>,
    /// Repetitions in all, on this page or not, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    instances_total: Option<u32>,
}

impl From<&StepRow> for Step {
    fn from(row: &StepRow) -> Self {
        let error = row
            .error
            .as_ref()
            .map(|error| json!({"kind": error.kind.as_str(), "message": error.message}));
        let timed_out = row
            .error
            .as_ref()
            .is_some_and(|error| error.kind == perennial_query::plan::ErrorKind::Timeout);
        Self {
            id: row.id.0.clone(),
            instance: row.instance,
            status: row.status.as_str(),
            success: row.status == StepStatus::Succeeded,
            tool: Some(row.tool.clone()).filter(|tool| !tool.is_empty()),
            attempts: row.attempts,
            retries: row.attempts.saturating_sub(1),
            timed_out,
            started_at: row.started_at.map(time),
            ended_at: row.ended_at.map(time),
            duration_seconds: seconds(row.started_at, row.ended_at),
            result: row.result.as_ref().map(|result| result.0.clone()),
            error,
            reason: Some(row.reason.clone()).filter(|reason| !reason.is_empty()),
            citations: row.citations.iter().map(citation).collect(),
            warnings: row.warnings.clone(),
            fallback_from: row.fallback_from.clone(),
            instances: Vec::new(),
            instances_total: None,
        }
    }
}
