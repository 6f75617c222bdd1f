//! Calling a tool, and telling a call to end, as data.

use std::time::Duration;

use perennial_runtime::{Effect, EffectPolicy, Timestamp};
use serde::{Deserialize, Serialize};

use crate::tool::{ToolAnswer, ToolError};
use crate::worker::ToolWorker;
use crate::worker::message::{CallId, Order};

/// What a call gets beyond its own time-out, to end in order.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// Has one attempt at a call made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Invoke {
    /// The call.
    pub order: Order,
    /// One attempt may take so long.
    pub timeout: Duration,
}

impl Effect for Invoke {
    const NAME: &'static str = "invoke-tool";
    type Owner = ToolWorker;
    /// What the tool answered, or why it did not. Whether it is tried again, the query decides.
    type Outcome = Result<ToolAnswer, ToolError>;

    fn policy(&self) -> EffectPolicy {
        EffectPolicy {
            timeout: self.timeout + GRACE,
            // Another attempt is made only where the process has died in one.
            attempts: 3,
            expires: Some(self.order.deadline),
            ..EffectPolicy::default()
        }
    }
}

/// Tells a call that is under way to end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Halt {
    /// Which call.
    pub id: CallId,
    /// There is nothing to be told after this.
    pub until: Timestamp,
}

impl Effect for Halt {
    const NAME: &'static str = "halt-tool";
    type Owner = ToolWorker;
    type Outcome = ();

    fn policy(&self) -> EffectPolicy {
        EffectPolicy { expires: Some(self.until), ..EffectPolicy::default() }
    }
}
