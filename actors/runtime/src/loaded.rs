//! What a live actor holds in memory of what the store holds.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;

use perennial_store::{Backend, Key, StoreError, encode};

use crate::address::Address;
use crate::durable::Durable;
use crate::message::{StoredTimer, open_envelope};
use crate::table::{Overlay, RowView, scan_merged};

/// What the actor holds once it has read its rows.
pub(crate) struct Loaded<A> {
    pub(crate) generation: u64,
    pub(crate) state: A,
    /// The state encoded as it was last committed, to see whether a slice changed it.
    pub(crate) stored: Vec<u8>,
    /// What the state is encoded into next.
    pub(crate) room: Vec<u8>,
    /// Whether the store holds just that: not the state of a new actor, or of an older version.
    pub(crate) written: bool,
    pub(crate) timers: BTreeMap<String, StoredTimer>,
    /// Rows written by units that may not be in the store yet, with the units' positions.
    pub(crate) pending: Vec<(u64, Overlay)>,
}

impl<A: Durable> Loaded<A> {
    pub(crate) fn new(generation: u64) -> Self {
        let state = A::default();
        let stored = baseline(&state);
        let (timers, pending, room) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { generation, state, stored, room, written: false, timers, pending }
    }

    /// Keeps the room of an encoded state for the next one, if it is small.
    pub(crate) fn reuse(&mut self, room: Vec<u8>) {
        if room.capacity() <= KEPT {
            self.room = room;
        }
    }

    /// Begins with a state that is not in the store as it is.
    pub(crate) fn begin(&mut self, state: A) {
        self.stored = baseline(&state);
        (self.state, self.written) = (state, false);
    }
}

/// Bytes of an encoded state whose room is kept.
const KEPT: usize = 4096;

/// A state as one compares with it; one that cannot be encoded differs from every other.
fn baseline<A: Durable>(state: &A) -> Vec<u8> {
    encode(state).unwrap_or_default()
}

/// Reads the timers of an actor.
///
/// # Errors
/// The store cannot be read, or a timer is corrupt.
pub(crate) fn read_timers(
    backend: &dyn Backend,
    address: &Address,
) -> Result<BTreeMap<String, StoredTimer>, StoreError> {
    let range = Key::timers_of(address.kind(), address.key());
    let rows = backend.scan(&range.start..&range.end, usize::MAX)?;
    let mut timers = BTreeMap::new();
    for (key, bytes) in rows {
        if let Some(name) = key.parse_timer() {
            timers.insert(name, open_envelope(&key, &bytes)?);
        }
    }
    Ok(timers)
}

/// Rows of the store with those of uncommitted units over them.
pub(crate) struct PendingView<'a> {
    pub(crate) backend: &'a dyn Backend,
    pub(crate) pending: &'a [(u64, Overlay)],
    /// Whether the store was looked into.
    pub(crate) looked: Cell<bool>,
}

impl RowView for PendingView<'_> {
    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        let newest = self.pending.iter().rev().find_map(|(_, rows)| rows.get(key));
        match newest {
            Some(value) => Ok(value.clone()),
            None => {
                self.looked.set(true);
                self.backend.get(key.as_ref())
            }
        }
    }

    fn scan(&self, range: Range<Key>, limit: usize) -> Result<Vec<(Key, Vec<u8>)>, StoreError> {
        self.looked.set(true);
        let mut overlay = Overlay::new();
        for (_, rows) in self.pending {
            let rows = rows.range(range.clone());
            overlay.extend(rows.map(|(key, value)| (key.clone(), value.clone())));
        }
        scan_merged(&overlay, range, limit, |range, limit| {
            self.backend.scan(&range.start..&range.end, limit)
        })
    }
}
