//! What language models have to do with a query, as it is kept.

use perennial_runtime::{Table, Timestamp};
use serde::{Deserialize, Serialize};

use crate::tool::ToolError;

/// What models were asked for a query, by query and number.
pub const MODEL_CALLS: Table<ModelCall> = Table::new("query-model-calls", 1);

/// What a question is to have of language models, and what was said before it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByModel {
    /// A model makes the plan. What was submitted as one stands in if none does.
    pub plan: bool,
    /// A model words the answer. The plan's own stands in if none does.
    pub answer: bool,
    /// What was said before in the same conversation, the oldest first: what words in the question may mean.
    pub earlier: Vec<Exchange>,
}

/// A question and its answer, as they were said before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// What was asked.
    pub question: String,
    /// What was answered, in words.
    pub answer: String,
}

/// What a model is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Purpose {
    /// A plan.
    #[default]
    Plan,
    /// The words of an answer.
    Answer,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Plan, Self::Answer];

    /// The name in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Answer => "answer",
        }
    }
}

/// One time that a model was asked, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelCall {
    /// Its number within the query, from 1.
    pub number: u32,
    /// What for.
    pub purpose: Purpose,
    /// From 1, over the times it was asked for the same.
    pub attempt: u32,
    /// When it was asked.
    pub asked_at: Timestamp,
    /// When it had answered, or nothing had come of it.
    pub ended_at: Option<Timestamp>,
    /// The model that answered, by its name in the configuration; empty if none did.
    pub model: String,
    /// What it said.
    pub reply: Option<String>,
    /// Why there is no reply.
    pub error: Option<ToolError>,
    /// What is wrong with the reply, so that it is not used.
    pub problems: Vec<String>,
    /// Tokens that it read, as far as is known.
    pub tokens_read: u64,
    /// Tokens that it wrote, as far as is known.
    pub tokens_written: u64,
    /// What it cost, in the currency of the models' prices.
    pub cost: f64,
}
