//! Everything the Responder can be told. One Responder per node; its key is [`RESPONDER`].

use perennial_runtime::{Finished, Timestamp};
use serde::{Deserialize, Serialize};

use crate::model::{Action, ContainerId, Facts, IncidentId, Subject, SymptomKind};
use crate::monitor::Standing;
use crate::responder::effect::EngineAction;
use crate::responder::order::Order;

/// The key of the node's Responder.
pub const RESPONDER: &str = "local";

/// A message to the Responder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ResponderMessage {
    /// The Analyzer asks for an action.
    Remediate(Request),
    /// An action was done, or was not.
    Finished(Finished<EngineAction>),
    /// A Monitor's answer, for verification or before a rung.
    Standing(Standing),
    /// A timer of its own: the stabilisation window of this incident is over.
    VerifyDue(IncidentId),
    /// A timer of its own: the back-off before this incident's next rung is over.
    RungDue(IncidentId),
    /// The container is gone, was stopped by an operator or recovered by itself: end the ladder.
    Withdraw {
        /// Which incident.
        incident: IncidentId,
        /// Why, for people.
        reason: String,
    },
    /// How many containers of each Compose project there are, for the blast radius. Sent by the
    /// re-list when it changes.
    Census(Vec<(String, Vec<ContainerId>)>),
    /// A person asks for an action. Answered with [`Ordered`](crate::responder::Ordered).
    Order(Order),
}

impl From<Finished<EngineAction>> for ResponderMessage {
    fn from(finished: Finished<EngineAction>) -> Self {
        Self::Finished(finished)
    }
}

/// What the Analyzer wants done, and what it rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// On whose behalf.
    pub incident: IncidentId,
    /// To whom.
    pub subject: Subject,
    /// What is known of it; `started_at` in here fences the action.
    pub facts: Facts,
    /// What.
    pub action: Action,
    /// 0 to 1.
    pub confidence: f64,
    /// The rule that asked.
    pub rule: String,
    /// Why.
    pub reason: String,
    /// What must be gone for the incident to be resolved.
    pub symptoms: Vec<SymptomKind>,
    /// Equal for failures that look the same: exit code, OOM flag, symptoms.
    pub signature: String,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// Not carried out after this.
    pub deadline: Timestamp,
}
