//! Everything the Adviser can be told, and what it is asked. One per node; its key is [`ADVISER`].

use perennial_runtime::Finished;
use serde::{Deserialize, Serialize};

use crate::adviser::ask::AskModel;
use crate::model::{ContainerId, IncidentId};

/// The key of the node's Adviser.
pub const ADVISER: &str = "local";

/// A message to the Adviser.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum AdviserMessage {
    /// An Analyzer wants a model's opinion.
    Consult(Question),
    /// A model answered, or did not.
    Answered(Finished<AskModel>),
}

impl From<Finished<AskModel>> for AdviserMessage {
    fn from(finished: Finished<AskModel>) -> Self {
        Self::Answered(finished)
    }
}

/// What a model is asked, as data. Bounded, and without the secrets that were known as such.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// About which incident.
    pub incident: IncidentId,
    /// Of which container; its Analyzer is told what comes of it.
    pub container: ContainerId,
    /// What the diagnosis rested on: equal as long as the rules would treat it alike.
    pub basis: String,
    /// What the node itself says: numbers and names of its own.
    pub facts: String,
    /// What was written by others: names, settings, log. Data, never instructions.
    pub data: Vec<String>,
    /// The ids of evidence that an answer may name.
    pub ids: Vec<String>,
}
