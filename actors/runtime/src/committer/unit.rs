//! What commits together.

use std::fmt;

use perennial_store::{Batch, MessageId};

use crate::address::Address;
use crate::merge::Fresh;

/// Called once the unit's fate is known: whether it is durable.
pub(crate) type After = Box<dyn FnOnce(bool) + Send>;

/// One slice of an actor, one outcome of an effect, or acceptances that came one right after the other.
#[derive(Default)]
pub(crate) struct Unit {
    pub(crate) batch: Batch,
    /// Messages put into inboxes; they become rows if they still wait when the batch is made.
    pub(crate) fresh: Vec<Fresh>,
    /// Messages taken out of the inbox of one actor.
    pub(crate) consumed: Option<Consumed>,
    pub(crate) after: Vec<After>,
    /// How many acceptances it is made of, each with a position of its own; 0 for any other unit.
    pub(crate) accepted: u64,
}

/// Messages taken out of an inbox.
#[derive(Debug)]
pub(crate) struct Consumed {
    pub(crate) from: Address,
    pub(crate) ids: Vec<MessageId>,
}

/// Acceptances after which the next begins another unit: a batch takes units whole.
const ACCEPTED: u64 = 256;
/// Larger messages begin another unit, so that one stays far below what a batch is to hold.
const ACCEPTED_BYTES: usize = 4096;

impl Unit {
    /// A unit that accepts a message, and may accept more.
    pub(super) fn accepting(fresh: Fresh) -> Self {
        Self { fresh: vec![fresh], accepted: 1, ..Self::default() }
    }

    /// Adds an acceptance; gives it back when this is not the unit for it.
    pub(super) fn accept(&mut self, fresh: Fresh) -> Result<(), Fresh> {
        let full = self.accepted == ACCEPTED || fresh.bytes() > ACCEPTED_BYTES;
        if self.accepted == 0 || full {
            return Err(fresh);
        }
        self.accepted += 1;
        self.fresh.push(fresh);
        Ok(())
    }

    /// Positions it stands for.
    pub(super) fn positions(&self) -> u64 {
        self.accepted.max(1)
    }

    pub(super) fn bytes(&self) -> usize {
        self.batch.bytes() + self.fresh.iter().map(Fresh::bytes).sum::<usize>()
    }
}

impl fmt::Debug for Unit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Unit").field("rows", &self.batch.len()).finish_non_exhaustive()
    }
}
