//! Everything a Conversation can be told. Its key is its id.

use perennial_runtime::Timestamp;
use serde::{Deserialize, Serialize};

use crate::admission::Admitted;
use crate::config::AnswerBy;
use crate::record::{Answer, Outcome};
use crate::tool::Identity;

/// A message to a Conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ConversationMessage {
    /// It is to be. Begun again, it is the same.
    Begin {
        /// Whose it is.
        owner: Identity,
        /// What it is about, for people.
        title: String,
    },
    /// A question is to be its next turn. Answered with [`Said`].
    Ask(Question),
    /// It is not needed any more. Answered with [`Said`].
    Delete(Identity),
    /// A query was taken in, or was not.
    Admitted {
        /// The turn that the query is.
        turn: TurnId,
        /// What became of it.
        admitted: Admitted,
    },
    /// A query has ended.
    Ended {
        /// The turn that the query is.
        turn: TurnId,
        /// How.
        end: Box<QueryEnd>,
    },
    /// A timer of its own: what could not be taken in is submitted again.
    Again,
    /// A timer of its own: nothing was said for long.
    Idle,
    /// It is to be, with a question that is its first turn; whose that is, it is. Of a question that cannot be
    /// asked nothing is left. Answered with [`Said`].
    BeginWith {
        /// What it is about, for people.
        title: String,
        /// The question.
        question: Question,
    },
}

/// Which turn of a conversation a query is. One that was forgotten and begun again under its old id counts from 1
/// again: what is still told of its turns of before is not of those.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnId {
    /// When the conversation was begun.
    pub begun_at: Timestamp,
    /// From 1.
    pub number: u64,
}

/// A question of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The words.
    pub text: String,
    /// On whose behalf.
    pub identity: Identity,
    /// What whoever asks calls it. Asked again under the same name, it is the same turn.
    pub name: Option<String>,
    /// Who is to word the answer, if it matters.
    pub answer_by: Option<AnswerBy>,
}

/// How a query ended, for those who are told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueryEnd {
    /// Its id.
    pub query: String,
    /// How.
    pub outcome: Outcome,
    /// Why, if that needs a reason.
    pub reason: String,
    /// The answer, or as much of it as is kept of a turn.
    pub answer: Option<Answer>,
    /// The names of the tools in its plan, each once; one without letters stands for those that are not known.
    pub tools: Vec<String>,
}

/// What became of something that somebody said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Said {
    /// It is, or was before, the turn of this number.
    Turn(u64),
    /// So many questions wait already.
    Full(u64),
    /// The name was given to another question before: that of this turn.
    Conflict(u64),
    /// A question has not so many characters.
    Length(u64),
    /// It is gone.
    Deleted,
    /// There is no such conversation, or it is somebody else's.
    Unknown,
    /// No query can be made of the question it was to begin with, and it was not begun; why.
    Refused(String),
    /// It was begun with this question before, and the turn is not kept any more.
    Forgotten,
}
