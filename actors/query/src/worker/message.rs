//! Everything a ToolWorker can be told. Its key is the name of its group of tools.

use std::fmt;
use std::time::Duration;

use perennial_runtime::{Finished, Timestamp};
use serde::{Deserialize, Serialize};

use crate::json::Json;
use crate::plan::StepId;
use crate::tool::Identity;
use crate::worker::invoke::{Halt, Invoke};

/// A message to a ToolWorker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum WorkerMessage {
    /// An orchestrator wants a tool called. Answered with [`crate::orchestrator::OrchestratorMessage::Answered`].
    Call(Order),
    /// The call is of no use any more. It is answered all the same, with what became of it.
    Cancel(CallId),
    /// A call has ended.
    Finished(Finished<Invoke>),
    /// A call was told to end.
    Halted(Finished<Halt>),
}

impl From<Finished<Invoke>> for WorkerMessage {
    fn from(finished: Finished<Invoke>) -> Self {
        Self::Finished(finished)
    }
}

impl From<Finished<Halt>> for WorkerMessage {
    fn from(finished: Finished<Halt>) -> Self {
        Self::Halted(finished)
    }
}

/// One attempt of a query at a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CallId {
    /// Of which query.
    pub query: String,
    /// The place of its step in the plan.
    pub step: u32,
    /// Of a step that is repeated: which time, from 0.
    pub instance: u32,
    /// 0 for the step's own call, then its fallbacks.
    pub alternative: u32,
    /// From 1.
    pub attempt: u32,
    /// From 0; one more each time the query was begun again after it had failed.
    pub run: u32,
}

impl CallId {
    /// The same for every attempt at the call, for a world that does things once.
    #[must_use]
    pub fn key(&self) -> String {
        let Self { query, step, instance, alternative, run, .. } = self;
        format!("{query}/{run}/{step}/{instance}/{alternative}")
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.key(), self.attempt)
    }
}

/// A call as it is ordered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// Names it.
    pub id: CallId,
    /// Of which step, for people.
    pub step: StepId,
    /// Which tool.
    pub tool: String,
    /// What it is given.
    pub arguments: Json,
    /// On whose behalf.
    pub identity: Identity,
    /// It is of no use after this.
    pub deadline: Timestamp,
    /// One attempt may take so long, if that is less than the tool allows.
    pub timeout: Option<Duration>,
}
