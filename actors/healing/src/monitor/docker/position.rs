//! How far the event stream has been handled. The engine numbers nothing, and what happens at the same
//! time in several containers it publishes slightly out of the order of its own times: one time alone
//! does not tell what was handled.

use serde::{Deserialize, Serialize};

/// An event whose time is less than this behind the newest one is still handled; what comes later than
/// this is left to the next list.
const LATE_NANOS: i64 = 250_000_000;
/// Events whose identity is kept, at most: as many as the engine itself remembers.
const KEPT: usize = 256;

/// What has been handled: everything up to a time, and single events after it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventPosition {
    /// The engine's time of the newest event handled, in nanoseconds; 0 before the first run.
    pub nanos: i64,
    /// Events up to this time are handled, or given up as too late.
    pub floor: i64,
    /// Events after `floor` that have been handled, in the order of their times.
    pub seen: Vec<SeenEvent>,
}

/// What tells one event from all others.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SeenEvent {
    /// The engine's time of it, in nanoseconds.
    pub nanos: i64,
    /// The container's id.
    pub id: String,
    /// The engine's name of what happened, with its detail if it has one.
    pub action: String,
}

impl EventPosition {
    /// A position before which nothing is of interest.
    pub(super) fn new(nanos: i64) -> Self {
        Self { nanos, floor: nanos - 1, seen: Vec::new() }
    }

    /// Takes the event on, unless it was handled before or comes too late.
    pub(super) fn pass(&mut self, nanos: i64, id: &str, action: &str) -> bool {
        let event = SeenEvent { nanos, id: id.to_owned(), action: action.to_owned() };
        let place = match self.seen.binary_search(&event) {
            Err(place) if nanos > self.floor => place,
            Ok(_) | Err(_) => return false,
        };
        self.seen.insert(place, event);
        self.advance(nanos);
        true
    }

    /// Moves on to `nanos`, if that is further.
    pub(super) fn advance(&mut self, nanos: i64) {
        self.nanos = self.nanos.max(nanos);
        self.floor = self.floor.max(self.nanos.saturating_sub(LATE_NANOS));
        // What cannot be kept must not be handled a second time: the floor rises over it.
        if let Some(surplus) = self.seen.len().checked_sub(KEPT + 1) {
            let over = self.seen.get(surplus).map_or(self.floor, |event| event.nanos);
            self.floor = self.floor.max(over);
        }
        self.seen.retain(|event| event.nanos > self.floor);
    }

    /// From when on the engine has to repeat its events.
    pub(super) fn from(&self) -> i64 {
        self.floor.saturating_add(1).max(0)
    }
}

#[cfg(test)]
mod tests;
