//! The engine's tree: rows applied in order, synced when asked for.
//!
//! - `flush` hands the log to the disk's cache and no further; after it, the file is synced through a
//!   descriptor of our own.
//! - Pages over a quarter of a segment would go to files in `blobs/` that nobody syncs. Values over 8
//!   KiB are split and long keys refused, so that no page comes near. Should there be such a file after
//!   all, the sync fails, and the store is not opened again.
//! - There is one tree: a batch is atomic in one tree only.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use super::damage::engine_error;
use super::recent::{Found, Order};
use super::{SledOptions, opening};
use crate::{Key, StoreError, Tag, record};

/// The schema version of a row that holds a number.
const NUMBER_VERSION: u16 = 1;

/// A row of the engine: a key, and a value or the first part of one.
pub(super) type EngineRow = (::sled::IVec, ::sled::IVec);

/// A row of the layers above, its value if that can be read.
pub(super) type WholeRow = (Key, Result<Vec<u8>, StoreError>);

/// What an open store holds.
pub(super) struct Live {
    /// Dropped before `file`, which then waits for the engine to be gone.
    pub(super) db: ::sled::Db,
    /// The keys of split values and how many parts each has beyond the first.
    pub(super) split: BTreeMap<Key, u16>,
    pub(super) file: EngineFile,
}

/// Our own descriptor of the engine's file: what is synced.
///
/// The engine locks the file until the last of its threads has let go, which may be a while after it was
/// dropped. Dropping this waits for that, so that a closed store can be opened again at once.
pub(super) struct EngineFile(pub(super) File);

/// How long an engine is waited for: one that failed may never let go of its file.
const RELEASE_WAIT: Duration = Duration::from_secs(10);

impl Drop for EngineFile {
    #[expect(clippy::disallowed_methods, reason = "nothing tells when the engine lets go")]
    fn drop(&mut self) {
        let mut waited = Duration::ZERO;
        while let Err(error) = self.0.try_lock() {
            if waited >= RELEASE_WAIT {
                tracing::warn!(%error, "the store's engine does not let go of its file");
                return;
            }
            let wait = Duration::from_millis(1);
            std::thread::sleep(wait);
            waited += wait;
        }
    }
}

/// The engine of a store.
#[derive(Debug)]
pub(super) struct Engine {
    dir: PathBuf,
    /// `None` once closed. Written only while rows are applied, so that reads see whole batches.
    live: RwLock<Option<Live>>,
}

/// The engine, held for reading.
pub(super) struct Reading<'a>(RwLockReadGuard<'a, Option<Live>>);

impl Reading<'_> {
    pub(super) fn live(&self) -> Result<&Live, StoreError> {
        self.0.as_ref().ok_or(StoreError::Closed)
    }
}

impl Engine {
    pub(super) fn open(dir: &Path, options: SledOptions) -> Result<Engine, StoreError> {
        let live = opening::open(dir, options)?;
        Ok(Engine { dir: dir.to_owned(), live: RwLock::new(Some(live)) })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn read(&self) -> Reading<'_> {
        // Whoever panicked while writing has poisoned the store, which is looked at besides.
        Reading(self.live.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Applies rows as one, and not durably yet.
    pub(super) fn apply<'a>(
        &self,
        rows: impl Iterator<Item = (&'a Key, Option<&'a [u8]>)>,
    ) -> Result<(), StoreError> {
        let (staged, split) = self.read().live()?.stage(rows);
        let mut live = self.live.write().map_err(|_| StoreError::Poisoned)?;
        let live = live.as_mut().ok_or(StoreError::Closed)?;
        live.db.apply_batch(staged).map_err(engine_error("apply a batch"))?;
        live.note_split(split);
        Ok(())
    }

    /// Returns once everything applied so far would survive power loss.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        let reading = self.read();
        let live = reading.live()?;
        live.db.flush().map_err(engine_error("flush the store"))?;
        live.file.0.sync_data().map_err(StoreError::io("sync the store"))?;
        opening::refuse_blobs(&self.dir.join("blobs"))
    }

    /// Lets go of the engine's files.
    pub(super) fn close(&self) -> Result<(), StoreError> {
        self.live.write().map_err(|_| StoreError::Poisoned)?.take();
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn write(&self) -> std::sync::RwLockWriteGuard<'_, Option<Live>> {
        self.live.write().unwrap()
    }
}

impl Live {
    /// Reads a row of the store's own: a number of eight bytes, big-endian; 0 if there is none.
    pub(super) fn number(&self, key: &Key) -> Result<u64, StoreError> {
        let Some(bytes) = self.db.get(key).map_err(engine_error("read a row"))? else {
            return Ok(0);
        };
        number(key, &bytes)
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let first = self.db.get(key).map_err(engine_error("read a row"))?;
        first.map(|first| self.join(&Key::from_bytes(key), first.to_vec())).transpose()
    }

    /// Returns the row that was found, whole; none if it was deleted. A value of which parts are missing is
    /// an error of its own.
    pub(super) fn row(&self, found: Found<'_>) -> Result<Option<WholeRow>, StoreError> {
        match found {
            Found::Recent(key, value) => {
                Ok(value.map(|value| (Key::from_bytes(key), Ok(value.to_vec()))))
            }
            Found::Engine(row) => {
                let (key, first) = row?;
                let key = Key::from_bytes(&*key);
                let value = self.join(&key, first.to_vec());
                Ok(Some((key, value)))
            }
        }
    }

    pub(super) fn range(
        &self,
        range: &Range<&[u8]>,
        order: Order,
    ) -> Box<dyn Iterator<Item = Result<EngineRow, StoreError>>> {
        let rows = self.db.range(range.clone());
        let read = |row: ::sled::Result<EngineRow>| row.map_err(engine_error("scan rows"));
        match order {
            Order::Ascending => Box::new(rows.map(read)),
            Order::Descending => Box::new(rows.rev().map(read)),
        }
    }
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("split", &self.split.len()).finish_non_exhaustive()
    }
}

/// Reads the number in a row of the store's own.
pub(crate) fn number(key: &Key, bytes: &[u8]) -> Result<u64, StoreError> {
    let payload = record::open(key, bytes)?.payload;
    let number = payload.try_into().map_err(|_| StoreError::Corrupted {
        key: key.to_string(),
        reason: format!("a number has 8 bytes, not {}", payload.len()),
    })?;
    Ok(u64::from_be_bytes(number))
}

/// What a row of the store's own holds for a number.
pub(super) fn number_row(key: &Key, number: u64) -> Vec<u8> {
    record::seal(key, Tag::Meta, NUMBER_VERSION, &number.to_be_bytes())
}
