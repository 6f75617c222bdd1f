//! The Audit: one per node. Keeps who did what beside asking queries, whose own rows say so, and what came of it.

mod deed;
mod older;
#[cfg(test)]
mod tests;

use perennial_runtime::{Durable, Failure, Kind, Table, Turn};
use serde::{Deserialize, Serialize};

pub use crate::audit::deed::*;

/// The key of the node's Audit.
pub const AUDIT: &str = "local";

/// Deeds by number, which rises with the time.
pub const DEEDS: Table<DeedRow> = Table::new("deeds", 2).migrated_by(older::deed);

/// The numbers of deeds by [`Part`] and their place in it, from 1. A deed that has none here has its number for its
/// place: so it is of all that were kept before there were parts.
const PLACES: Table<u64> = Table::new("deed-places", 1);

/// A message to the Audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuditMessage {
    /// Somebody did something. Answered with the number that it is kept under.
    Keep(Deed),
    /// Somebody tried something that changed nothing: it was refused, or as they wanted it already. Answered likewise.
    Tried(Deed),
}

/// The Audit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// Deeds so far, which is the number of the last one.
    count: u64,
    /// Those of each part, in the order of [`Part::ALL`].
    parts: [u64; Part::ALL.len()],
}

impl Durable for Audit {
    const KIND: Kind = Kind::new("audit");
    /// Parts are bounded by themselves since version 2, and more than documents is told of.
    const VERSION: u16 = 2;
    type Message = AuditMessage;
    type Settings = ();

    fn handle(&mut self, message: AuditMessage, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        let (deed, part) = match message {
            AuditMessage::Keep(deed) => {
                let part = deed.act.part();
                (deed, part)
            }
            AuditMessage::Tried(deed) => (deed, Part::Tries),
        };
        self.keep(deed, part, turn)
    }

    fn migrate(version: u16, payload: &[u8]) -> Result<Self, Failure> {
        older::state(version, payload)
    }

    fn migrate_message(version: u16, payload: &[u8]) -> Result<AuditMessage, Failure> {
        older::message(version, payload)
    }
}

impl Audit {
    /// Keeps a deed. If there are too many of its part, the oldest of them goes, and none of another part.
    fn keep(&mut self, deed: Deed, part: Part, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        self.count += 1;
        let row = DeedRow { number: self.count, at: turn.now(), deed };
        turn.put(&DEEDS, &row.number, &row);
        turn.reply(&row.number);
        let count = &mut self.parts[part as usize];
        *count += 1;
        let place = *count;
        if place != row.number {
            turn.put(&PLACES, &(part.as_str(), place), &row.number);
        }
        if let Some(oldest) = place.checked_sub(part.kept()).filter(|oldest| *oldest > 0) {
            let key = (part.as_str(), oldest);
            // Of a place that cannot be read the deed stays: one too many stops nobody from keeping theirs.
            if let Ok(number) = turn.get(&PLACES, &key) {
                turn.delete(&DEEDS, &number.unwrap_or(oldest));
            }
            turn.delete(&PLACES, &key);
        }
        Ok(())
    }
}
