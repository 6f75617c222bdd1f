//! Conversations, as documents.

use perennial_query::conversation::{ConversationRow, TurnRow};
use perennial_query::record::Outcome;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::query::{Answered, answer};
use super::{checked_limit, time};
use crate::http::error::ApiError;

/// A conversation that is wanted.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct NewConversation {
    pub(in crate::http) title: String,
}

/// Which conversations are listed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ConversationPage {
    limit: Option<usize>,
    /// The conversation before the first one that is listed.
    pub(in crate::http) after: Option<String>,
}

impl ConversationPage {
    pub(in crate::http) fn limit(&self) -> Result<usize, ApiError> {
        checked_limit(self.limit)
    }
}

/// A conversation; in a list without its turns.
#[derive(Debug, Serialize)]
pub(in crate::http) struct Conversation {
    id: String,
    title: String,
    by: String,
    created_at: String,
    last_at: String,
    /// So many there were.
    turns_so_far: u64,
    waiting: u64,
    /// The last of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    turns: Vec<Turn>,
}

/// A question, and what came of it.
#[derive(Debug, Serialize)]
struct Turn {
    number: u64,
    question: String,
    asked_at: String,
    status: &'static str,
    taken: Vec<String>,
    query: Option<String>,
    outcome: Option<&'static str>,
    reason: String,
    answer: Option<Value>,
}

impl Conversation {
    pub(in crate::http) fn new(row: ConversationRow, turns: &[TurnRow]) -> Self {
        Self {
            id: row.id,
            title: row.title,
            by: row.owner.name,
            created_at: time(row.created_at),
            last_at: time(row.last_at),
            turns_so_far: row.turns,
            waiting: row.waiting,
            turns: turns.iter().map(Turn::from).collect(),
        }
    }
}

impl From<&TurnRow> for Turn {
    fn from(row: &TurnRow) -> Self {
        Self {
            number: row.number,
            question: row.question.clone(),
            asked_at: time(row.asked_at),
            status: row.status.as_str(),
            taken: row.taken.clone(),
            query: row.query.clone(),
            outcome: row.outcome.map(Outcome::as_str),
            reason: row.reason.clone(),
            answer: row.answer.as_ref().map(answer),
        }
    }
}

/// Which turn of which conversation a question is.
#[derive(Debug, Serialize)]
pub(crate) struct InConversation {
    pub(in crate::http) conversation: String,
    pub(in crate::http) turn: u64,
    /// Whether it waits for those before it: then there is no query yet.
    pub(in crate::http) queued: bool,
    /// Those before it that have not ended, as things stand, if it waits for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::http) ahead: Option<u64>,
}

/// The answer to what is submitted: a query, a turn of a conversation, or a turn that has no query yet.
#[derive(Debug, Serialize)]
pub(crate) struct Submitted {
    #[serde(flatten)]
    turn: Option<InConversation>,
    #[serde(flatten)]
    answered: Option<Answered>,
}

impl Submitted {
    pub(crate) fn query(answered: Answered) -> Self {
        Self { turn: None, answered: Some(answered) }
    }

    pub(crate) fn turn(turn: InConversation, answered: Option<Answered>) -> Self {
        Self { turn: Some(turn), answered }
    }
}
