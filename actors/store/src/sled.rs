//! The embedded store, on sled 0.34.
//!
//! What is done here that sled does not do:
//! - `flush` hands the log to the disk's cache and no further; after it, the file is synced through a
//!   descriptor of our own before a commit is acknowledged.
//! - Pages over a quarter of a segment would go to files in `blobs/` that nobody syncs. Values over 8
//!   KiB are split and long keys refused, so that no page comes near. Should there be such a file after
//!   all, the commit fails, and the store is not opened again.
//! - A full disk breaks sled for good, so a commit that might not fit is refused before it begins.
//! - A damaged log opens silently without its end. Commits are counted, and a store that has fewer than
//!   were synced is not opened.
//! - There is one tree: a batch is atomic in one tree only.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard};
use std::time::Duration;

use crate::backend::{refuse_oversized, refuse_stale};
use crate::{Backend, Batch, Epoch, Key, Space, StoreError, Tag, files, record};

mod inspecting;
mod opening;
mod parts;
mod witness;

pub(crate) use self::inspecting::inspect;
#[cfg(test)]
pub(crate) use self::opening::SEGMENT_BYTES;
use self::witness::Witness;

/// Free bytes a commit leaves to sled, which moves pages and pads segments on its own account.
const HEADROOM_BYTES: u64 = 8 * 1024 * 1024;

/// The schema version of the row that holds the epoch.
const EPOCH_VERSION: u16 = 1;

/// How the embedded store uses the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SledOptions {
    /// Bytes of rows kept in memory, about; 8 MiB unless told otherwise.
    pub cache_bytes: u64,
}

impl Default for SledOptions {
    fn default() -> SledOptions {
        SledOptions { cache_bytes: 8 * 1024 * 1024 }
    }
}

/// A store in a directory of its own.
///
/// One process at a time; [`crate::DataDir`] sees to that. Values over 8 KiB are split over several
/// rows of the engine, which no read shows.
#[derive(Debug)]
pub struct SledBackend {
    dir: PathBuf,
    /// Held for the whole of a commit. Taken before `live`.
    writer: Mutex<Witness>,
    /// `None` once closed. Written only while a batch is applied, so that reads see whole batches;
    /// a sync leaves reads alone.
    live: RwLock<Option<Live>>,
    epoch: AtomicU64,
    /// Set by the first failed write or sync and never cleared.
    poisoned: AtomicBool,
}

/// What an open store holds.
struct Live {
    /// Dropped before `file`, which then waits for the engine to be gone.
    db: ::sled::Db,
    /// The keys of split values and how many parts each has beyond the first.
    split: BTreeMap<Key, u16>,
    file: EngineFile,
}

/// Our own descriptor of the engine's file: what is synced before a commit is acknowledged.
///
/// The engine locks the file until the last of its threads has let go, which may be a while after it was
/// dropped. Dropping this waits for that, so that a closed store can be opened again at once.
struct EngineFile(File);

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

type Rows = Vec<(Key, Vec<u8>)>;

impl SledBackend {
    /// Opens the store in `dir`, and creates it if there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupted`] if commits that were synced are gone,
    /// [`StoreError::BlobFiles`] if values were written where they are not synced,
    /// [`StoreError::Backend`] if the engine does not open its files.
    pub fn open(dir: &Path, options: SledOptions) -> Result<SledBackend, StoreError> {
        let live = opening::open(dir, options)?;
        let epoch = live.number(&epoch_key())?;
        let witness = Witness::open(dir, live.number(&witness::key())?)?;
        Ok(SledBackend {
            dir: dir.to_owned(),
            writer: Mutex::new(witness),
            live: RwLock::new(Some(live)),
            epoch: AtomicU64::new(epoch),
            poisoned: AtomicBool::new(false),
        })
    }

    /// Claims the store under an epoch later than `earlier` and than its own.
    pub(crate) fn claim_after(&self, earlier: Epoch) -> Result<Epoch, StoreError> {
        let mut witness = self.writer()?;
        let epoch = self.held().max(earlier).next();
        let key = epoch_key();
        let value = record::seal(&key, Tag::Meta, EPOCH_VERSION, &epoch.as_u64().to_be_bytes());
        let mut batch = Batch::new();
        batch.put(key, value);
        self.write(&mut witness, &batch)?;
        self.epoch.store(epoch.as_u64(), Ordering::Release);
        Ok(epoch)
    }

    fn held(&self) -> Epoch {
        Epoch::from_raw(self.epoch.load(Ordering::Acquire))
    }

    fn writer(&self) -> Result<MutexGuard<'_, Witness>, StoreError> {
        self.writer.lock().map_err(|_| StoreError::Poisoned)
    }

    fn live(&self) -> Result<RwLockReadGuard<'_, Option<Live>>, StoreError> {
        let live = self.live.read().map_err(|_| StoreError::Poisoned)?;
        // Checked under the lock: a batch that failed half-way has set it before letting go.
        if self.poisoned.load(Ordering::Acquire) { Err(StoreError::Poisoned) } else { Ok(live) }
    }

    fn with_live<T>(
        &self,
        read: impl FnOnce(&Live) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        read(self.live()?.as_ref().ok_or(StoreError::Closed)?)
    }

    /// Makes `batch` durable. The caller holds `writer` and has checked the epoch.
    fn write(&self, witness: &mut Witness, batch: &Batch) -> Result<(), StoreError> {
        let (mut staged, split) = self.with_live(|live| {
            refuse_own_prefix(batch)?;
            self.refuse_without_room(batch)?;
            Ok(live.stage(batch))
        })?;
        let (key, count) = witness.next_row();
        staged.insert(key.as_ref(), count);
        self.apply(staged, split)?;
        let blobs = self.dir.join("blobs");
        self.with_live(|live| {
            let durable = live.sync().and_then(|()| opening::refuse_blobs(&blobs));
            durable.and_then(|()| witness.count()).inspect_err(|_| self.poison())
        })
    }

    fn apply(&self, staged: ::sled::Batch, split: Vec<(Key, u16)>) -> Result<(), StoreError> {
        let mut live = self.live.write().map_err(|_| StoreError::Poisoned)?;
        let live = live.as_mut().ok_or(StoreError::Closed)?;
        live.db
            .apply_batch(staged)
            .map_err(engine("apply a batch"))
            .inspect_err(|_| self.poison())?;
        live.note_split(split);
        Ok(())
    }

    fn poison(&self) {
        self.poisoned.store(true, Ordering::Release);
    }

    fn refuse_without_room(&self, batch: &Batch) -> Result<(), StoreError> {
        let free = files::free_bytes(&self.dir)?;
        let bytes = batch.bytes() as u64;
        if free >= bytes.saturating_mul(2).saturating_add(HEADROOM_BYTES) {
            return Ok(());
        }
        let attempted = format!("commit {bytes} bytes in {}", self.dir.display());
        Err(StoreError::NoSpace { attempted, free })
    }

    fn collect(
        &self,
        range: Range<&Key>,
        rows: impl FnOnce(
            &::sled::Db,
            Range<&[u8]>,
        ) -> Vec<::sled::Result<(::sled::IVec, ::sled::IVec)>>,
    ) -> Result<Rows, StoreError> {
        self.with_live(|live| {
            let end = Key::end();
            let range = range.start.as_ref()..range.end.min(&end).as_ref();
            if range.start >= range.end {
                return Ok(Vec::new());
            }
            let read = |row: ::sled::Result<(::sled::IVec, ::sled::IVec)>| {
                let (key, first) = row.map_err(engine("scan rows"))?;
                let key = Key::from_bytes(&*key);
                let value = live.join(&key, first.to_vec())?;
                Ok((key, value))
            };
            rows(&live.db, range).into_iter().map(read).collect()
        })
    }
}

impl Live {
    /// Reads a row of the store's own: a number of eight bytes, big-endian; 0 if there is none.
    fn number(&self, key: &Key) -> Result<u64, StoreError> {
        let Some(bytes) = self.db.get(key).map_err(engine("read a row"))? else {
            return Ok(0);
        };
        number(key, &bytes)
    }

    /// Returns once everything applied so far would survive power loss.
    fn sync(&self) -> Result<(), StoreError> {
        self.db.flush().map_err(engine("flush the store"))?;
        self.file.0.sync_data().map_err(StoreError::io("sync the store"))
    }
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("split", &self.split.len()).finish_non_exhaustive()
    }
}

impl Backend for SledBackend {
    fn claim(&self) -> Result<Epoch, StoreError> {
        self.claim_after(Epoch::default())
    }

    fn commit(&self, epoch: Epoch, batch: &Batch) -> Result<(), StoreError> {
        let mut witness = self.writer()?;
        self.with_live(|_| Ok(()))?;
        refuse_stale(epoch, self.held())?;
        refuse_oversized(batch)?;
        if batch.is_empty() { Ok(()) } else { self.write(&mut witness, batch) }
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.with_live(|live| {
            let first = live.db.get(key).map_err(engine("read a row"))?;
            first.map(|first| live.join(&Key::from_bytes(key), first.to_vec())).transpose()
        })
    }

    fn scan(&self, range: Range<&Key>, limit: usize) -> Result<Rows, StoreError> {
        self.collect(range, |db, range| db.range(range).take(limit).collect())
    }

    fn scan_back(&self, range: Range<&Key>, limit: usize) -> Result<Rows, StoreError> {
        self.collect(range, |db, range| db.range(range).rev().take(limit).collect())
    }

    fn settle(&self) -> Result<(), StoreError> {
        let _nobody_writes = self.writer()?;
        self.with_live(|_| Ok(()))
    }

    fn space(&self) -> Result<Space, StoreError> {
        Ok(Space { used: files::used_bytes(&self.dir)?, free: files::free_bytes(&self.dir)? })
    }

    fn close(&self) -> Result<(), StoreError> {
        let mut witness = self.writer()?;
        let mut live = self.live.write().map_err(|_| StoreError::Poisoned)?;
        match live.take() {
            None => Ok(()),
            Some(_) if self.poisoned.load(Ordering::Acquire) => Err(StoreError::Poisoned),
            Some(live) => {
                live.sync().and_then(|()| witness.record()).inspect_err(|_| self.poison())
            }
        }
    }
}

/// The key of the row that holds the epoch of the owner.
pub(crate) fn epoch_key() -> Key {
    Key::meta("epoch")
}

/// The key of the row that counts commits: it belongs to the files of one store, not to what is stored.
pub(crate) fn commits_key() -> Key {
    witness::key()
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

/// Keeps the layers above away from the parts of split values.
fn refuse_own_prefix(batch: &Batch) -> Result<(), StoreError> {
    match batch.iter().find(|(key, _)| **key >= Key::end()) {
        None => Ok(()),
        Some((key, _)) => Err(StoreError::Backend {
            attempted: "commit a batch".to_owned(),
            message: format!("the key {key} is the store's own"),
        }),
    }
}

/// Makes an [`StoreError`] of what the engine says; fits `map_err`.
fn engine(attempted: &'static str) -> impl FnOnce(::sled::Error) -> StoreError {
    move |error| match error {
        ::sled::Error::Io(source) => StoreError::Io { attempted: attempted.to_owned(), source },
        ::sled::Error::CollectionNotFound(_)
        | ::sled::Error::Unsupported(_)
        | ::sled::Error::ReportableBug(_)
        | ::sled::Error::Corruption { .. } => {
            StoreError::Backend { attempted: attempted.to_owned(), message: error.to_string() }
        }
    }
}

#[cfg(test)]
mod tests;
