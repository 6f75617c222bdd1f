//! A store in memory, for tests and simulations.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::backend::{refuse_oversized, refuse_stale};
use crate::{Backend, Batch, Epoch, Key, Space, StoreError};

/// A store in memory with the contract of a durable one.
///
/// A clone opens the same image, as a restarted process opens the same files: what was committed is
/// there, epochs go on, and closing one clone does not close the other.
#[derive(Debug, Default)]
pub struct MemoryBackend {
    image: Arc<Mutex<Image>>,
    closed: AtomicBool,
}

#[derive(Default)]
struct Image {
    rows: BTreeMap<Key, Vec<u8>>,
    epoch: Epoch,
}

impl MemoryBackend {
    /// Makes an empty store.
    pub fn new() -> MemoryBackend {
        MemoryBackend::default()
    }

    fn image(&self) -> Result<MutexGuard<'_, Image>, StoreError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(StoreError::Closed);
        }
        self.image.lock().map_err(|_| StoreError::Poisoned)
    }

    /// Reads `limit` rows in one direction, chosen by `take`.
    fn read(
        &self,
        range: Range<&Key>,
        take: impl FnOnce(std::collections::btree_map::Range<'_, Key, Vec<u8>>) -> Rows,
    ) -> Result<Rows, StoreError> {
        let image = self.image()?;
        if range.start >= range.end {
            return Ok(Vec::new());
        }
        let bounds = (Bound::Included(range.start), Bound::Excluded(range.end));
        Ok(take(image.rows.range::<Key, _>(bounds)))
    }
}

type Rows = Vec<(Key, Vec<u8>)>;

fn owned((key, value): (&Key, &Vec<u8>)) -> (Key, Vec<u8>) {
    (key.clone(), value.clone())
}

impl Clone for MemoryBackend {
    fn clone(&self) -> MemoryBackend {
        MemoryBackend { image: Arc::clone(&self.image), closed: AtomicBool::new(false) }
    }
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Image").field("rows", &self.rows.len()).field("epoch", &self.epoch).finish()
    }
}

impl Backend for MemoryBackend {
    fn claim(&self) -> Result<Epoch, StoreError> {
        let mut image = self.image()?;
        image.epoch = image.epoch.next();
        Ok(image.epoch)
    }

    fn commit(&self, epoch: Epoch, batch: &Batch) -> Result<(), StoreError> {
        refuse_oversized(batch)?;
        let mut image = self.image()?;
        refuse_stale(epoch, image.epoch)?;
        for (key, value) in batch.iter() {
            match value {
                Some(value) => image.rows.insert(key.clone(), value.to_vec()),
                None => image.rows.remove(key),
            };
        }
        Ok(())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.image()?.rows.get(key).cloned())
    }

    fn scan(&self, range: Range<&Key>, limit: usize) -> Result<Rows, StoreError> {
        self.read(range, |rows| rows.take(limit).map(owned).collect())
    }

    fn scan_back(&self, range: Range<&Key>, limit: usize) -> Result<Rows, StoreError> {
        self.read(range, |rows| rows.rev().take(limit).map(owned).collect())
    }

    fn space(&self) -> Result<Space, StoreError> {
        let image = self.image()?;
        let used =
            image.rows.iter().map(|(key, value)| key.as_ref().len() + value.len()).sum::<usize>();
        Ok(Space { used: used as u64, free: u64::MAX })
    }

    fn close(&self) -> Result<(), StoreError> {
        self.closed.store(true, Ordering::Release);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
