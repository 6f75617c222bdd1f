//! What is known of the files of a log. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::sync::Arc;

use super::frame::HEAD;
use crate::library::{Key, Shards};

/// Where a record is: its file, the beginning of its frame, and the bytes of its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Location {
    pub(super) file: u32,
    pub(super) at: u32,
    pub(super) length: u32,
}

impl Location {
    /// Bytes of the frame and its payload.
    pub(super) fn bytes(self) -> u64 {
        HEAD as u64 + u64::from(self.length)
    }
}

/// A file of the log.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) file: Arc<File>,
    /// Bytes up to the end of its last record.
    pub(super) length: u64,
    /// Bytes of records that do not count any more.
    pub(super) dead: u64,
    /// Whether what counts of it is in later files as well, so that it is only to be removed.
    pub(super) copied: bool,
}

impl Part {
    pub(super) const fn new(file: Arc<File>, length: u64) -> Self {
        Self { file, length, dead: 0, copied: false }
    }
}

/// What a record changed: which one counts now, and which one did.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) key: Key,
    pub(super) new: Option<Location>,
    pub(super) old: Option<Location>,
}

/// What is known of the files.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) latest: Shards<Location>,
    pub(super) parts: BTreeMap<u32, Part>,
    /// Records that do not count any more and are to be erased, and of which key.
    pub(super) stale: BTreeMap<Location, Key>,
    /// Keys of which the last record cannot be read, and in which file that is.
    pub(super) damaged: BTreeMap<Key, u32>,
    /// What is in the place of records that cannot be read. It is left as it is until something else counts for the key.
    pub(super) remains: BTreeMap<Key, Vec<Location>>,
    /// Files with bytes in them that are no record, and where those begin.
    pub(super) gaps: BTreeSet<(u32, usize)>,
    /// Names of files that were put aside for that.
    pub(super) aside: Vec<String>,
    /// Whether the last file is not to be appended to: something went wrong at its end.
    pub(super) closed: bool,
    /// Whether nothing is to be written: what went wrong could not be made good.
    pub(super) stuck: bool,
}

impl Known {
    /// Notes the record that counts for a key from now on, and gives the one that did.
    pub(super) fn note(&mut self, key: &Key, location: Option<Location>) -> Option<Location> {
        self.damaged.remove(key);
        let old = match location {
            Some(location) => self.latest.insert(*key, location),
            None => self.latest.remove(key),
        };
        if let Some(old) = old {
            self.lose(key, old);
        }
        // These were counted as dead when they were found.
        let remains = self.remains.remove(key).unwrap_or_default();
        self.stale.extend(remains.into_iter().map(|location| (location, *key)));
        old
    }

    /// Notes that a record does not count, and is to be erased.
    pub(super) fn lose(&mut self, key: &Key, location: Location) {
        self.stale.insert(location, *key);
        self.add_dead(location);
    }

    /// Notes the bytes of a record that does not count.
    pub(super) fn add_dead(&mut self, location: Location) {
        if let Some(part) = self.parts.get_mut(&location.file) {
            part.dead += location.bytes();
        }
    }

    /// Lets what was replaced count again, unless nothing was.
    pub(super) fn take_back(&mut self, changes: &[Change]) {
        for Change { key, new, old } in changes.iter().rev() {
            let (Some(new), Some(old)) = (new, old) else { continue };
            self.lose(key, *new);
            self.stale.remove(old);
            if let Some(part) = self.parts.get_mut(&old.file) {
                part.dead -= old.bytes();
            }
            self.latest.insert(*key, *old);
        }
    }

    /// Whether something of a key is still to be erased.
    pub(super) fn is_stale(&self, key: &Key) -> bool {
        self.stale.values().any(|stale| stale == key)
    }

    /// Whether there are bytes in a file that are no record.
    pub(super) fn has_gap(&self, file: u32) -> bool {
        self.gaps.range((file, 0)..=(file, usize::MAX)).next().is_some()
    }

    /// Forgets a file that is not there any more.
    pub(super) fn forget(&mut self, file: u32) {
        self.parts.remove(&file);
        self.stale.retain(|location, _| location.file != file);
        self.gaps.retain(|(of, _)| *of != file);
    }
}
