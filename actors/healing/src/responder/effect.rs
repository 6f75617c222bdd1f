//! An action on the engine, as data.

use std::time::Duration;

use perennial_runtime::{Effect, EffectPolicy, Timestamp};
use serde::{Deserialize, Serialize};

use crate::model::{Action, ActionOutcome, ContainerId, IncidentId, Subject};
use crate::responder::Responder;

/// What the engine may take beyond the time a container is given to stop.
const ENGINE_TIME: Duration = Duration::from_secs(30);

/// The longest one attempt waits for an engine that is out of reach. The request's deadline, by
/// default a minute, ends the wait before.
pub(super) const AWAY: Duration = Duration::from_secs(600);

/// One more attempt after a failure in which nothing was done. Whatever may have been done is
/// reconciled first.
const ATTEMPTS: u32 = 2;

/// Has the engine do one action to one container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EngineAction {
    /// On whose behalf.
    pub incident: IncidentId,
    /// To whom.
    pub subject: Subject,
    /// The run it is meant for: the engine's `State.StartedAt`, verbatim.
    pub started_at: String,
    /// What.
    pub action: Action,
    /// Seconds the container is given to stop.
    pub stop_timeout: u32,
    /// Not started after this.
    pub deadline: Timestamp,
    /// Containers that a cleanup leaves alone: those whose incidents the Responder knows as open.
    pub keep: Vec<ContainerId>,
}

impl Effect for EngineAction {
    const NAME: &'static str = "engine-action";
    type Owner = Responder;
    type Outcome = ActionOutcome;

    /// One action at a time per container.
    fn lane(&self) -> Option<String> {
        Some(self.subject.id.0.clone())
    }

    fn policy(&self) -> EffectPolicy {
        EffectPolicy {
            timeout: AWAY + Duration::from_secs(self.stop_timeout.into()) + ENGINE_TIME,
            attempts: ATTEMPTS,
            expires: Some(self.deadline),
            ..EffectPolicy::default()
        }
    }
}
