//! What the layers above ask of a store.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::{Batch, Key, StoreError};

/// The largest value a backend takes, in bytes. Larger ones are refused, not split: a row of this size
/// is rewritten whole by every commit that touches it.
pub const MAX_VALUE_BYTES: usize = 8 * 1024 * 1024;

/// The longest key a backend takes, in bytes. The embedded engine keeps hundreds of keys whole in a page
/// of its index, and a page has a largest size too.
pub const MAX_KEY_BYTES: usize = 768;

/// Numbers the owners of a store. A later owner has a larger epoch.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Epoch(u64);

impl Epoch {
    /// Makes an epoch from its number.
    pub const fn from_raw(raw: u64) -> Epoch {
        Epoch(raw)
    }

    /// Returns the epoch's number; 0 means that nobody has claimed the store yet.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// Returns the epoch of the next owner.
    #[must_use]
    pub const fn next(self) -> Epoch {
        Epoch(self.0.saturating_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How much room a store takes and has, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes the store occupies.
    pub used: u64,
    /// Bytes free on its file system; `u64::MAX` in memory.
    pub free: u64,
}

/// A store of rows that applies batches atomically and durably.
///
/// Calls block; the caller owns the thread. One owner commits, any number of threads read. A read
/// sees whole batches only, but it may see one whose sync is still in progress: whoever lets what it
/// read leave the node calls [`Backend::settle`] in between.
pub trait Backend: Send + Sync + fmt::Debug + 'static {
    /// Takes the store over, durably: from now on every commit under an older epoch fails.
    fn claim(&self) -> Result<Epoch, StoreError>;

    /// Applies all of `batch` or none of it, if `epoch` still owns the store; on `Ok` it would survive
    /// power loss.
    ///
    /// # Errors
    ///
    /// After [`StoreError::Fenced`], [`StoreError::KeyTooLong`], [`StoreError::TooLarge`],
    /// [`StoreError::NoSpace`] and [`StoreError::Closed`] nothing was applied. After any other error it is unknown whether the batch
    /// was applied, and the store has to be opened again.
    fn commit(&self, epoch: Epoch, batch: &Batch) -> Result<(), StoreError>;

    /// Returns the value at `key`.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Returns at most `limit` rows with `start <= key < end`, ascending.
    fn scan(&self, range: Range<&Key>, limit: usize) -> Result<Vec<(Key, Vec<u8>)>, StoreError>;

    /// Returns at most `limit` rows with `start <= key < end`, descending from the end.
    fn scan_back(
        &self,
        range: Range<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Vec<u8>)>, StoreError>;

    /// Returns once everything that a read before this call may have seen is durable.
    ///
    /// The default fits backends whose reads never see a batch before it is durable.
    fn settle(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Tells how much room the store takes and has.
    fn space(&self) -> Result<Space, StoreError>;

    /// Makes everything durable and lets go of files; every later call but `close` fails.
    fn close(&self) -> Result<(), StoreError>;
}

/// Refuses a batch with a key or value that no backend takes.
pub(crate) fn refuse_oversized(batch: &Batch) -> Result<(), StoreError> {
    for (key, value) in batch.iter() {
        let bytes = key.as_ref().len();
        if bytes > MAX_KEY_BYTES {
            return Err(StoreError::KeyTooLong {
                key: key.to_string(),
                bytes,
                limit: MAX_KEY_BYTES,
            });
        }
        let bytes = value.map_or(0, <[u8]>::len);
        if bytes > MAX_VALUE_BYTES {
            return Err(StoreError::TooLarge {
                key: key.to_string(),
                bytes,
                limit: MAX_VALUE_BYTES,
            });
        }
    }
    Ok(())
}

/// Refuses an owner that has been replaced.
pub(crate) fn refuse_stale(held: Epoch, current: Epoch) -> Result<(), StoreError> {
    if held == current { Ok(()) } else { Err(StoreError::Fenced { held, current }) }
}
