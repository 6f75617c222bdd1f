//! What the Audit keeps.

use perennial_runtime::Timestamp;
use serde::{Deserialize, Serialize};

use crate::tool::Identity;

/// Deeds of each part that are kept; of more, the oldest go.
pub const KEPT: u64 = 100_000;

/// The same of those that whoever may ask at all can have kept, as many as they like.
pub const FEWER_KEPT: u64 = 10_000;

/// What can be done that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// A document was put into the library.
    DocumentAdded,
    /// A document was to be taken out of it. Kept before anything is done.
    DocumentRemoval,
    /// It was, or was not.
    DocumentRemoved,
    /// A document was turned away before it was accepted.
    DocumentRefused,
    /// An API key was given out, or was not.
    KeyCreated,
    /// An API key was taken back, or was not.
    KeyRevoked,
    /// A conversation was deleted by its owner.
    ConversationDeleted,
}

impl Act {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::DocumentAdded,
        Self::DocumentRemoval,
        Self::DocumentRemoved,
        Self::DocumentRefused,
        Self::KeyCreated,
        Self::KeyRevoked,
        Self::ConversationDeleted,
    ];

    /// The name in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DocumentAdded => "document_added",
            Self::DocumentRemoval => "document_removal",
            Self::DocumentRemoved => "document_removed",
            Self::DocumentRefused => "document_refused",
            Self::KeyCreated => "key_created",
            Self::KeyRevoked => "key_revoked",
            Self::ConversationDeleted => "conversation_deleted",
        }
    }

    /// Among what it is kept, unless nothing came of it.
    #[must_use]
    pub const fn part(self) -> Part {
        match self {
            Self::DocumentAdded
            | Self::DocumentRemoval
            | Self::DocumentRemoved
            | Self::DocumentRefused => Part::Documents,
            Self::KeyCreated | Self::KeyRevoked => Part::Keys,
            Self::ConversationDeleted => Part::Conversations,
        }
    }
}

/// Deeds that are bounded together: none of another part goes for them. So who may only do the ones does not have
/// the others forgotten by doing them often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What was done to documents.
    Documents,
    /// What was done to API keys.
    Keys,
    /// What was done to conversations.
    Conversations,
    /// What changed nothing.
    Tries,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Documents, Self::Keys, Self::Conversations, Self::Tries];

    /// The name in keys of rows, and in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Documents => "documents",
            Self::Keys => "keys",
            Self::Conversations => "conversations",
            Self::Tries => "tries",
        }
    }

    /// As many of it are kept.
    #[must_use]
    pub const fn kept(self) -> u64 {
        match self {
            Self::Documents | Self::Keys => KEPT,
            Self::Conversations | Self::Tries => FEWER_KEPT,
        }
    }
}

/// A deed that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeedRow {
    /// From 1. Without gaps as long as nothing of any part had to go.
    pub number: u64,
    /// When it was kept, which is after it was done unless it says otherwise.
    pub at: Timestamp,
    /// What was done.
    pub deed: Deed,
}

/// Something that somebody did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deed {
    /// What.
    pub act: Act,
    /// To what: the id of the document, of the API key or of the conversation; empty if it has none.
    pub object: String,
    /// What people call that; empty if it is not known any more, and of conversations, whose titles are their
    /// owners' own.
    pub name: String,
    /// Who.
    pub by: Identity,
    /// What came of it.
    pub result: Result<String, String>,
}
