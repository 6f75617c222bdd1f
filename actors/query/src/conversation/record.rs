//! What is kept of a conversation: rows that the facade reads, written by its actor alone.

use perennial_runtime::{Table, Timestamp};
use serde::{Deserialize, Serialize};

use crate::record::{Answer, Outcome};
use crate::tool::{Citation, Identity};

/// Conversations by [`conversation_key`], so that nobody comes across somebody else's.
pub const CONVERSATIONS: Table<ConversationRow> = Table::new("conversations", 1);
/// Their turns, by conversation and number.
pub const TURNS: Table<TurnRow> = Table::new("conversation-turns", 1);

/// What the keys of all conversations of `owner` begin with.
#[must_use]
pub fn owner_key(owner: &Identity) -> String {
    owner.key.map_or_else(|| "node\u{1}".to_owned(), |key| format!("key {key}\u{1}"))
}

/// Where the conversation `id` of `owner` is.
#[must_use]
pub fn conversation_key(owner: &Identity, id: &str) -> String {
    format!("{}{id}", owner_key(owner))
}

/// A conversation, as it is listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationRow {
    /// Its id; ids rise with the time of creation.
    pub id: String,
    /// What it is about, for people.
    pub title: String,
    /// Whose it is.
    pub owner: Identity,
    /// When it was begun.
    pub created_at: Timestamp,
    /// When something was last said in it.
    pub last_at: Timestamp,
    /// The number of the last turn: so many there were.
    pub turns: u64,
    /// The number of the first one that is kept.
    pub first: u64,
    /// What the turns that are kept have in bytes, about.
    pub bytes: u64,
    /// Questions that wait for those before them.
    pub waiting: u64,
}

/// How far a turn is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TurnStatus {
    /// It waits for those before it.
    #[default]
    Waiting,
    /// Its query is under way.
    Running,
    /// It has ended.
    Ended,
}

impl TurnStatus {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Waiting, Self::Running, Self::Ended];

    /// The name in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Ended => "ended",
        }
    }
}

/// A question, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TurnRow {
    /// From 1.
    pub number: u64,
    /// The words.
    pub question: String,
    /// On whose behalf it was asked.
    pub identity: Identity,
    /// What whoever asked called it.
    pub name: Option<String>,
    /// When it was asked.
    pub asked_at: Timestamp,
    /// How far it is.
    pub status: TurnStatus,
    /// What was taken from earlier turns, in words.
    pub taken: Vec<String>,
    /// The query, once it was taken in.
    pub query: Option<String>,
    /// How it ended, once it has; none if no query could be made of it.
    pub outcome: Option<Outcome>,
    /// Why it ended so, if that needs a reason.
    pub reason: String,
    /// The answer, cut where it is long.
    pub answer: Option<Answer>,
    /// The names of the tools in the plan of the query: who may not call them has not seen the answer.
    pub tools: Vec<String>,
}

impl TurnRow {
    /// What it has in bytes, about.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let answer = self.answer.as_ref().map_or(0, |answer| {
            answer.text.len() + answer.citations.iter().map(citation_bytes).sum::<usize>()
        });
        let lists = self.taken.iter().chain(&self.tools).chain(&self.name).map(String::len);
        (self.question.len() + self.reason.len() + answer + lists.sum::<usize>()) as u64
    }
}

pub(super) fn citation_bytes(citation: &Citation) -> usize {
    citation.id.len() + citation.source.len() + citation.place.len()
}
