//! The unit of a commit.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use crate::Key;

/// Rows to write and delete together; the last write to a key wins.
///
/// Ordered by key. A row that was put as fresh and then deleted is dropped from the batch, because the
/// store has never seen it: a message sent and consumed within one batch costs no I/O.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Batch {
    writes: BTreeMap<Key, Write>,
    /// Sum of the sizes of all keys and values.
    bytes: usize,
}

/// What happens to one key.
#[derive(Clone, PartialEq, Eq)]
struct Write {
    /// `None` deletes.
    value: Option<Vec<u8>>,
    /// The key has never existed in the store, so that deleting it needs no write.
    fresh: bool,
}

impl Batch {
    /// Makes an empty batch.
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Writes `value` at `key`, whether or not there is a value already.
    pub fn put(&mut self, key: Key, value: Vec<u8>) {
        self.apply(key, Write { value: Some(value), fresh: false });
    }

    /// Writes `value` at a key that has never existed in the store.
    ///
    /// A delete later in this batch, or in one merged into it, then removes both. Using this for a
    /// key that does exist makes such a delete leave the old row behind.
    pub fn put_fresh(&mut self, key: Key, value: Vec<u8>) {
        self.apply(key, Write { value: Some(value), fresh: true });
    }

    /// Deletes the row at `key`, if there is one.
    pub fn delete(&mut self, key: Key) {
        self.apply(key, Write { value: None, fresh: false });
    }

    /// Adds the writes of `other`, which come after those of `self`.
    pub fn merge(&mut self, other: Batch) {
        if self.is_empty() {
            *self = other;
            return;
        }
        for (key, write) in other.writes {
            self.apply(key, write);
        }
    }

    /// Returns the number of keys that are written or deleted.
    pub fn len(&self) -> usize {
        self.writes.len()
    }

    /// Tells whether committing the batch would change nothing.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// Returns about how many bytes the batch carries: its keys and values.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Lists the writes in the order of their keys; `None` deletes.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, Option<&[u8]>)> {
        self.writes.iter().map(|(key, write)| (key, write.value.as_deref()))
    }

    fn apply(&mut self, key: Key, write: Write) {
        match self.writes.entry(key) {
            Entry::Vacant(slot) => {
                self.bytes += slot.key().as_ref().len() + write.size();
                slot.insert(write);
            }
            Entry::Occupied(slot) if write.value.is_none() && slot.get().fresh => {
                let (key, old) = slot.remove_entry();
                self.bytes -= key.as_ref().len() + old.size();
            }
            Entry::Occupied(mut slot) => {
                let old = slot.get_mut();
                self.bytes = self.bytes - old.size() + write.size();
                // Whether the store has the key depends on the first write to it, not on the last.
                old.value = write.value;
            }
        }
    }
}

impl Write {
    fn size(&self) -> usize {
        self.value.as_ref().map_or(0, Vec::len)
    }
}

/// Shows keys and sizes; values may hold what must not be logged.
impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|(key, value)| (key, value.map(<[u8]>::len))))
            .finish()
    }
}

#[cfg(test)]
mod tests;
