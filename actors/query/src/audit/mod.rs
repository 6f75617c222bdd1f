//! The Audit: one per node. Keeps who did what beside asking queries, whose own rows say so, and what came of it.

#[cfg(test)]
mod tests;

use perennial_runtime::{Durable, Failure, Kind, Table, Timestamp, Turn};
use serde::{Deserialize, Serialize};

use crate::tool::Identity;

/// The key of the node's Audit.
pub const AUDIT: &str = "local";

/// Deeds that are kept; of more, the oldest go.
pub const KEPT: u64 = 100_000;

/// Deeds by number, which rises with the time.
pub const DEEDS: Table<DeedRow> = Table::new("deeds", 1);

/// What can be done that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// A document was put into the library.
    DocumentAdded,
    /// A document was to be taken out of it. Kept before anything is done.
    DocumentRemoval,
    /// It was, or was not.
    DocumentRemoved,
}

impl Act {
    /// The name in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DocumentAdded => "document_added",
            Self::DocumentRemoval => "document_removal",
            Self::DocumentRemoved => "document_removed",
        }
    }
}

/// A deed that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeedRow {
    /// From 1, without gaps.
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
    /// To what: the id of the document.
    pub object: String,
    /// What people call that; empty if it is not known any more.
    pub name: String,
    /// Who.
    pub by: Identity,
    /// What came of it.
    pub result: Result<String, String>,
}

/// A message to the Audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuditMessage {
    /// Somebody did something. Answered with the number that it is kept under.
    Keep(Deed),
}

/// The Audit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// Deeds so far, which is the number of the last one.
    count: u64,
}

impl Durable for Audit {
    const KIND: Kind = Kind::new("audit");
    type Message = AuditMessage;
    type Settings = ();

    fn handle(&mut self, message: AuditMessage, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        match message {
            AuditMessage::Keep(deed) => {
                self.count += 1;
                let row = DeedRow { number: self.count, at: turn.now(), deed };
                turn.put(&DEEDS, &row.number, &row);
                turn.reply(&row.number);
                if let Some(oldest) = self.count.checked_sub(KEPT).filter(|oldest| *oldest > 0) {
                    turn.delete(&DEEDS, &oldest);
                }
            }
        }
        Ok(())
    }
}
