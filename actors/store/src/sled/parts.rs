//! Values too large for one row of the engine.
//!
//! The first part is at the value's own key, so that scans find it in its place; the others are under a
//! prefix of their own, numbered from 1. Which values are split is known from memory, so that an
//! overwrite or delete removes exactly the parts that are there.

use std::collections::BTreeMap;

use super::damage::engine_error;
use super::engine::Live;
use crate::{Key, StoreError};

/// The most bytes of a value in one row of the engine.
pub(super) const PART_BYTES: usize = 8 * 1024;

/// Finds all split values, at opening.
pub(super) fn find_split(db: &::sled::Db) -> Result<BTreeMap<Key, u16>, StoreError> {
    let mut split = BTreeMap::new();
    for row in db.range(Key::chunks()).keys() {
        let row = row.map_err(engine_error("read the parts of large values"))?;
        if let Some((key, index)) = Key::from_bytes(&*row).parse_chunk() {
            let last = split.entry(key).or_insert(index);
            *last = index.max(*last);
        }
    }
    Ok(split)
}

impl Live {
    /// Translates writes to rows of the engine, and tells which keys get another number of parts.
    pub(super) fn stage<'a>(
        &self,
        writes: impl Iterator<Item = (&'a Key, Option<&'a [u8]>)>,
    ) -> (::sled::Batch, Vec<(Key, u16)>) {
        let mut staged = ::sled::Batch::default();
        let mut changed = Vec::new();
        for (key, value) in writes {
            let before = self.split.get(key).copied().unwrap_or(0);
            let after = match value {
                Some(value) => insert(&mut staged, key, value),
                None => {
                    staged.remove(key.as_ref());
                    0
                }
            };
            for index in after + 1..=before {
                staged.remove(key.chunk(index).as_ref());
            }
            if before != after {
                changed.push((key.clone(), after));
            }
        }
        (staged, changed)
    }

    /// Remembers what [`Live::stage`] told, once its batch is applied.
    pub(super) fn note_split(&mut self, changed: Vec<(Key, u16)>) {
        for (key, parts) in changed {
            match parts {
                0 => self.split.remove(&key),
                _ => self.split.insert(key, parts),
            };
        }
    }

    /// Returns the whole value at `key`, given its first part.
    pub(super) fn join(&self, key: &Key, first: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        let mut value = first;
        let parts = self.split.get(key).copied().unwrap_or(0);
        for index in 1..=parts {
            let part =
                self.db.get(key.chunk(index)).map_err(engine_error("read a part of a row"))?;
            let Some(part) = part else {
                let reason = format!("part {index} of {parts} is missing");
                return Err(StoreError::Corrupted { key: key.to_string(), reason });
            };
            value.extend_from_slice(&part);
        }
        Ok(value)
    }
}

/// Inserts a value and returns the number of its parts beyond the first.
fn insert(staged: &mut ::sled::Batch, key: &Key, value: &[u8]) -> u16 {
    let mut parts = value.chunks(PART_BYTES);
    staged.insert(key.as_ref(), parts.next().unwrap_or_default());
    let mut last = 0;
    for (index, part) in (1..).zip(parts) {
        staged.insert(key.chunk(index).as_ref(), part);
        last = index;
    }
    last
}
