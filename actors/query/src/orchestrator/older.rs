//! What version 1 of an Orchestrator was, and what it was told: without models.

use std::time::Duration;

use perennial_runtime::{Failure, Timestamp, decode};
use serde::{Deserialize, Serialize};

use super::models::Consulting;
use super::{Orchestrator, OrchestratorMessage, Phase, QueryOrder, StepState};
use crate::record::older::{Submission1, known};
use crate::tool::{ToolAnswer, ToolError};
use crate::worker::CallId;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Orchestrator1 {
    pub(super) phase: Phase,
    pub(super) steps: Vec<StepState>,
    pub(super) calling: u32,
    pub(super) deadline: Timestamp,
    pub(super) left: Duration,
    pub(super) events: u64,
    pub(super) peak: u32,
    pub(super) retries: u32,
}

impl From<Orchestrator1> for Orchestrator {
    fn from(old: Orchestrator1) -> Self {
        Self {
            phase: old.phase,
            query: None,
            steps: old.steps,
            calling: old.calling,
            deadline: old.deadline,
            left: old.left,
            events: old.events,
            peak: old.peak,
            retries: old.retries,
            consulting: Consulting::default(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum OrchestratorMessage1 {
    Accept(Box<Submission1>),
    Begin,
    Answered { call: CallId, result: Result<ToolAnswer, ToolError> },
    AttemptDue(CallId),
    ApprovalOver(u32),
    DeadlineOver,
    Forget,
    Order { by: String, order: QueryOrder },
}

impl From<OrchestratorMessage1> for OrchestratorMessage {
    fn from(old: OrchestratorMessage1) -> Self {
        match old {
            OrchestratorMessage1::Accept(old) => Self::Accept(Box::new((*old).into())),
            OrchestratorMessage1::Begin => Self::Begin,
            OrchestratorMessage1::Answered { call, result } => Self::Answered { call, result },
            OrchestratorMessage1::AttemptDue(call) => Self::AttemptDue(call),
            OrchestratorMessage1::ApprovalOver(step) => Self::ApprovalOver(step),
            OrchestratorMessage1::DeadlineOver => Self::DeadlineOver,
            OrchestratorMessage1::Forget => Self::Forget,
            OrchestratorMessage1::Order { by, order } => Self::Order { by, order },
        }
    }
}

pub(super) fn state(version: u16, payload: &[u8]) -> Result<Orchestrator, Failure> {
    known(version)?;
    Ok(decode::<Orchestrator1>(payload)?.into())
}

pub(super) fn message(version: u16, payload: &[u8]) -> Result<OrchestratorMessage, Failure> {
    known(version)?;
    Ok(decode::<OrchestratorMessage1>(payload)?.into())
}

#[cfg(test)]
mod tests {
    use perennial_store::encode;

    use super::*;

    #[test]
    fn a_query_of_a_version_without_models_goes_on_where_it_was() {
        let old = Orchestrator1 {
            phase: Phase::Running,
            steps: vec![StepState::Asking, StepState::Waiting],
            calling: 1,
            deadline: Timestamp::from_micros(2),
            left: Duration::from_secs(3),
            events: 4,
            peak: 5,
            retries: 6,
        };
        let read = state(1, &encode(&old).unwrap()).unwrap();
        assert_eq!((read.phase, read.calling, read.events), (Phase::Running, 1, 4));
        assert_eq!((read.peak, read.retries, read.steps), (5, 6, old.steps));
        assert_eq!(read.consulting, Consulting::default());
        assert!(state(3, &encode(&1).unwrap()).is_err());
    }
}
