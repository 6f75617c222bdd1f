//! The unit of a commit.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use crate::Key;

/// Rows to write and delete together; the last write to a key wins.
///
/// Ordered by key. A row that was put as fresh and then deleted is dropped from the batch, because the
/// store has never seen it: a message sent and consumed within one batch costs no I/O.
#[derive(Clone, Default)]
pub struct Batch {
    writes: Writes,
    /// Sum of the sizes of all keys and values.
    bytes: usize,
}

/// By key. Most batches are the few rows of one actor's turns, and a tree takes a kilobyte for its first.
#[derive(Clone)]
enum Writes {
    /// In the order of their keys.
    Few(Vec<(Key, Write)>),
    Many(BTreeMap<Key, Write>),
}

/// The most writes that are kept without a tree.
const FEW: usize = 8;

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
        match other.writes {
            Writes::Few(writes) => {
                writes.into_iter().for_each(|(key, write)| self.apply(key, write))
            }
            Writes::Many(writes) => {
                writes.into_iter().for_each(|(key, write)| self.apply(key, write))
            }
        }
    }

    /// Returns the number of keys that are written or deleted.
    pub fn len(&self) -> usize {
        match &self.writes {
            Writes::Few(writes) => writes.len(),
            Writes::Many(writes) => writes.len(),
        }
    }

    /// Tells whether committing the batch would change nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns about how many bytes the batch carries: its keys and values.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Lists the writes in the order of their keys; `None` deletes.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, Option<&[u8]>)> {
        self.all().map(|(key, write)| (key, write.value.as_deref()))
    }

    /// Lists the writes in the order of their keys, each with whether its key was new to the store.
    pub(crate) fn writes(&self) -> impl Iterator<Item = (&Key, Option<&[u8]>, bool)> {
        self.all().map(|(key, write)| (key, write.value.as_deref(), write.fresh))
    }

    fn all(&self) -> impl Iterator<Item = (&Key, &Write)> {
        let (few, many) = match &self.writes {
            Writes::Few(writes) => (Some(writes), None),
            Writes::Many(writes) => (None, Some(writes)),
        };
        let few = few.into_iter().flatten().map(|(key, write)| (key, write));
        few.chain(many.into_iter().flatten())
    }

    fn apply(&mut self, key: Key, write: Write) {
        let bytes = &mut self.bytes;
        match self.writes.room() {
            Writes::Few(writes) => match writes.binary_search_by(|(other, _)| other.cmp(&key)) {
                Err(at) => {
                    *bytes += key.as_ref().len() + write.size();
                    writes.insert(at, (key, write));
                }
                Ok(at) if write.value.is_none() && writes[at].1.fresh => {
                    let (key, old) = writes.remove(at);
                    *bytes -= key.as_ref().len() + old.size();
                }
                Ok(at) => writes[at].1.replace(write, bytes),
            },
            Writes::Many(writes) => match writes.entry(key) {
                Entry::Vacant(slot) => {
                    *bytes += slot.key().as_ref().len() + write.size();
                    slot.insert(write);
                }
                Entry::Occupied(slot) if write.value.is_none() && slot.get().fresh => {
                    let (key, old) = slot.remove_entry();
                    *bytes -= key.as_ref().len() + old.size();
                }
                Entry::Occupied(mut slot) => slot.get_mut().replace(write, bytes),
            },
        }
    }
}

impl Default for Writes {
    fn default() -> Writes {
        Writes::Few(Vec::new())
    }
}

impl Writes {
    /// Itself, with room for one more.
    fn room(&mut self) -> &mut Writes {
        if let Writes::Few(writes) = self {
            match writes.len() {
                0 => writes.reserve_exact(1),
                FEW => *self = Writes::Many(std::mem::take(writes).into_iter().collect()),
                _ => {}
            }
        }
        self
    }
}

/// The same writes, however they are kept.
impl PartialEq for Batch {
    fn eq(&self, other: &Batch) -> bool {
        self.all().eq(other.all())
    }
}

impl Eq for Batch {}

impl Write {
    fn size(&self) -> usize {
        self.value.as_ref().map_or(0, Vec::len)
    }

    /// Does what `later` does. Whether the store has the key depends on the first write to it, and not on
    /// the last.
    fn replace(&mut self, later: Write, bytes: &mut usize) {
        *bytes = *bytes - self.size() + later.size();
        self.value = later.value;
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
