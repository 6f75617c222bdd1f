//! Everything an Orchestrator can be told. Its key is the id of its query.

use serde::{Deserialize, Serialize};

use crate::plan::StepId;
use crate::record::{Submission, Watcher};
use crate::tool::{ToolAnswer, ToolError};
use crate::worker::CallId;

/// A message to an Orchestrator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum OrchestratorMessage {
    /// The query is accepted: write it down.
    Accept(Box<Submission>),
    /// There is a place among those that run.
    Begin,
    /// A call was made, or was not.
    Answered {
        /// Which call.
        call: CallId,
        /// What came of it.
        result: Result<ToolAnswer, ToolError>,
    },
    /// A timer of its own: the wait before another attempt is over.
    AttemptDue(CallId),
    /// A timer of its own: nobody has approved this step, by its place in the plan.
    ApprovalOver(u32),
    /// A timer of its own: the time of the whole query is over.
    DeadlineOver,
    /// A timer of its own: nobody needs to know of it any more.
    Forget,
    /// What somebody wants of it. Answered with [`Ordered`].
    Order {
        /// Who.
        by: String,
        /// What.
        order: QueryOrder,
    },
    /// Somebody wants to be told how it ends.
    Watch(Watcher),
}

/// What somebody can want of a query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum QueryOrder {
    /// End it.
    Cancel {
        /// Why; may be empty.
        reason: String,
    },
    /// Start nothing more for now.
    Pause,
    /// Go on.
    Resume,
    /// Let a step pass, or refuse to.
    Decide {
        /// Which step.
        step: StepId,
        /// Which way.
        approved: bool,
        /// What there is to say.
        note: String,
    },
    /// Do again what failed, and what was not done because of it.
    Retry,
    /// Take its failed steps off the list of those that somebody should look at.
    Discard,
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ordered {
    /// It is done, or was so already.
    Done,
    /// There is no such query or step.
    Unknown,
    /// It cannot be done as the query stands.
    Conflict(String),
}
