//! The embedded store: a journal of commits, and sled 0.34 behind it.
//!
//! A commit is durable once it stands in the journal, by one write and one sync; `journal.rs` says how. Its rows
//! stay in memory, in front of the engine, until a checkpoint has brought them there, each once however often it
//! was written meanwhile (`checkpoint.rs`). Reads lay the ones over the others (`recent.rs`). What the engine
//! needs to keep what it is given, and does not do itself, is in `engine.rs` and `opening.rs`.
//!
//! - A full disk breaks sled for good, so a commit is refused before it begins if the engine might not have room
//!   for it later.
//! - A damaged log of sled opens silently without its end. The journal reaches back to the last commit that the
//!   engine is known to hold, so that the end is applied again, or a gap shows, and the store is not opened.
//!
//! Locks are taken in this order: `writer`, `recent`, the engine's. That of `progress` is held by itself.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLockReadGuard};

use self::checkpoint::{Checkpoints, Shared, room_for};
use self::engine::{Engine, Reading, number_row};
use self::journal::{Journal, Place};
use self::recent::{Order, Recent};
use crate::backend::{refuse_oversized, refuse_stale};
use crate::{Backend, Batch, Epoch, Key, Space, StoreError, files};

mod checkpoint;
mod damage;
mod engine;
mod inspecting;
pub(crate) mod journal;
mod opening;
mod parts;
mod recent;
mod witness;

pub(crate) use self::engine::number;
pub(crate) use self::inspecting::inspect;
#[cfg(test)]
pub(crate) use self::opening::SEGMENT_BYTES;

/// Free bytes that are left to sled, which moves pages and pads segments on its own account.
const HEADROOM_BYTES: u64 = 8 * 1024 * 1024;

/// How the embedded store uses the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SledOptions {
    /// Bytes of the engine's pages kept in memory, about; 8 MiB unless told otherwise.
    pub cache_bytes: u64,
    /// Bytes of the journal of a store that is made; 8 MiB unless told otherwise. The rows in it are kept in
    /// memory too.
    pub journal_bytes: u64,
}

impl Default for SledOptions {
    fn default() -> SledOptions {
        SledOptions { cache_bytes: 8 * 1024 * 1024, journal_bytes: 8 * 1024 * 1024 }
    }
}

/// A store in a directory of its own.
///
/// One process at a time; [`crate::DataDir`] sees to that. Values over 8 KiB are split over several
/// rows of the engine, which no read shows. A read sees nothing that is not durable.
#[derive(Debug)]
pub struct SledBackend {
    /// Held for the whole of a commit.
    writer: Mutex<Writer>,
    epoch: AtomicU64,
    /// Ends before what it works for is let go.
    _checkpoints: Checkpoints,
    shared: Arc<Shared>,
}

/// What only a commit touches.
#[derive(Debug)]
struct Writer {
    journal: Journal,
    /// The number of the last commit.
    last: u64,
}

type Rows = Vec<(Key, Vec<u8>)>;

impl SledBackend {
    /// Opens the store in `dir`, and creates it if there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupted`] if commits that were synced are gone,
    /// [`StoreError::Damaged`] if the engine's files are not as it left them,
    /// [`StoreError::NoSpace`] if the engine has no room for what the journal holds,
    /// [`StoreError::BlobFiles`] if values were written where they are not synced,
    /// [`StoreError::Backend`] if the engine does not open its files.
    pub fn open(dir: &Path, options: SledOptions) -> Result<SledBackend, StoreError> {
        let engine = Engine::open(dir, options)?;
        let held = engine.read().live()?.number(&commits_key())?;
        let (journal, last) = catch_up(dir, options, &engine, held)?;
        let epoch = engine.read().live()?.number(&epoch_key())?;
        let shared = Arc::new(Shared::new(engine));
        Ok(SledBackend {
            writer: Mutex::new(Writer { journal, last }),
            epoch: AtomicU64::new(epoch),
            _checkpoints: Checkpoints::start(&shared)?,
            shared,
        })
    }

    /// Claims the store under an epoch later than `earlier` and than its own.
    pub(crate) fn claim_after(&self, earlier: Epoch) -> Result<Epoch, StoreError> {
        let mut writer = self.writer()?;
        let epoch = self.held().max(earlier).next();
        let key = epoch_key();
        let mut batch = Batch::new();
        batch.put(key.clone(), number_row(&key, epoch.as_u64()));
        self.write(&mut writer, &batch)?;
        self.epoch.store(epoch.as_u64(), Ordering::Release);
        Ok(epoch)
    }

    /// Brings all that is committed into the engine.
    #[cfg(test)]
    pub(crate) fn checkpoint(&self) -> Result<(), StoreError> {
        self.shared.checkpoint_all()
    }

    fn held(&self) -> Epoch {
        Epoch::from_raw(self.epoch.load(Ordering::Acquire))
    }

    /// Locks out other commits; fails if there can be none.
    fn writer(&self) -> Result<MutexGuard<'_, Writer>, StoreError> {
        let writer = self.writer.lock().map_err(|_| StoreError::Poisoned)?;
        self.shared.refuse_poisoned()?;
        self.shared.engine.read().live().map(|_| writer)
    }

    fn read(&self) -> Result<(RwLockReadGuard<'_, Recent>, Reading<'_>), StoreError> {
        let recent = self.shared.recent.read().map_err(|_| StoreError::Poisoned)?;
        let engine = self.shared.engine.read();
        // Checked under the locks: a batch that failed half-way has set it before letting go.
        self.shared.refuse_poisoned()?;
        Ok((recent, engine))
    }

    /// Makes `batch` durable.
    fn write(&self, writer: &mut Writer, batch: &Batch) -> Result<(), StoreError> {
        refuse_own_prefix(batch)?;
        self.make_room(batch)?;
        let number = writer.last + 1;
        match writer.journal.place(batch) {
            Place::Here => {}
            Place::OtherHalf => {
                // What that half held must be in the engine; what this one holds gets there next.
                self.shared.begin_checkpoint()?;
                writer.journal.turn_over();
            }
            Place::Nowhere => return self.write_through(writer, number, batch),
        }
        let appended = writer.journal.append(number, batch);
        appended.inspect_err(|_| self.shared.poison())?;
        writer.last = number;
        self.shared.recent.write().map_err(|_| StoreError::Poisoned)?.active.apply(number, batch);
        Ok(())
    }

    /// Commits what is too large for the journal: into the engine, behind all that was committed before. The
    /// journal notes it afterwards, so that it shows if the engine loses it.
    fn write_through(
        &self,
        writer: &mut Writer,
        number: u64,
        batch: &Batch,
    ) -> Result<(), StoreError> {
        self.shared.checkpoint_all()?;
        // Reads wait: they would find in the engine what may not survive, or what a panic left in part.
        let _unread = self.shared.recent.write().map_err(|_| StoreError::Poisoned)?;
        let key = commits_key();
        let count = number_row(&key, number);
        let rows = batch.iter().chain(std::iter::once((&key, Some(count.as_slice()))));
        let engine = &self.shared.engine;
        let durable = engine.apply(rows).and_then(|()| engine.sync());
        let noted = durable.and_then(|()| writer.journal.append_held(number));
        noted.inspect_err(|_| self.shared.poison())?;
        writer.last = number;
        Ok(())
    }

    /// Refuses a batch for which the engine may have no room, all that is still on its way there included.
    fn make_room(&self, batch: &Batch) -> Result<(), StoreError> {
        let engine = &self.shared.engine;
        let recent = self.shared.recent.read().map_err(|_| StoreError::Poisoned)?.bytes();
        if files::free_bytes(engine.dir())? >= room_for(batch.bytes() + recent) {
            return Ok(());
        }
        self.shared.checkpoint_all()?;
        engine.refuse_without_room(batch.bytes())
    }

    fn scan_in(&self, range: Range<&Key>, limit: usize, order: Order) -> Result<Rows, StoreError> {
        let (recent, engine) = self.read()?;
        let live = engine.live()?;
        let end = Key::end();
        let range = range.start.as_ref()..range.end.min(&end).as_ref();
        let mut rows = Rows::new();
        if range.start >= range.end {
            return Ok(rows);
        }
        for found in recent.over(live.range(&range, order), &range, order) {
            if rows.len() == limit {
                break;
            }
            if let Some((key, value)) = live.row(found)? {
                rows.push((key, value?));
            }
        }
        Ok(rows)
    }
}

/// Brings into the engine, which has the commits up to `held`, what the journal has beyond; makes one if there
/// is none. Returns it and the number of the last commit.
fn catch_up(
    dir: &Path,
    options: SledOptions,
    engine: &Engine,
    held: u64,
) -> Result<(Journal, u64), StoreError> {
    let witnessed = witness::refuse_loss(dir, held)?;
    let journal = match Journal::open(dir)? {
        Some(journal) => journal,
        None => {
            if held > 0 && !witnessed {
                tracing::warn!("{}", journal::absent(held));
            }
            Journal::create(dir, options.journal_bytes, held)?
        }
    };
    witness::remove(dir)?;
    let found = journal.read(held)?;
    if let Some(damage) = found.damage {
        return Err(damage);
    }
    engine.checkpoint(&found.table)?;
    Ok((journal, found.table.last().max(held)))
}

impl Backend for SledBackend {
    fn claim(&self) -> Result<Epoch, StoreError> {
        self.claim_after(Epoch::default())
    }

    fn commit(&self, epoch: Epoch, batch: &Batch) -> Result<(), StoreError> {
        let mut writer = self.writer()?;
        refuse_stale(epoch, self.held())?;
        refuse_oversized(batch)?;
        if batch.is_empty() { Ok(()) } else { self.write(&mut writer, batch) }
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let (recent, engine) = self.read()?;
        let live = engine.live()?;
        match recent.get(key) {
            Some(value) => Ok(value.map(<[u8]>::to_vec)),
            None => live.get(key),
        }
    }

    fn scan(&self, range: Range<&Key>, limit: usize) -> Result<Rows, StoreError> {
        self.scan_in(range, limit, Order::Ascending)
    }

    fn scan_back(&self, range: Range<&Key>, limit: usize) -> Result<Rows, StoreError> {
        self.scan_in(range, limit, Order::Descending)
    }

    fn settle(&self) -> Result<(), StoreError> {
        // What can be read is durable. It may have been read just before the store failed.
        self.read()?.1.live().map(|_| ())
    }

    fn space(&self) -> Result<Space, StoreError> {
        let dir = self.shared.engine.dir();
        Ok(Space { used: files::used_bytes(dir)?, free: files::free_bytes(dir)? })
    }

    fn close(&self) -> Result<(), StoreError> {
        let _nobody_commits = match self.writer() {
            Err(StoreError::Closed) => return Ok(()),
            writer => writer?,
        };
        self.shared.checkpoint_all()?;
        self.shared.engine.close()
    }
}

/// The key of the row that holds the epoch of the owner.
pub(crate) fn epoch_key() -> Key {
    Key::meta("epoch")
}

/// The key of the row that holds the number of the last commit in the engine: it belongs to the files of one
/// store, not to what is stored.
pub(crate) fn commits_key() -> Key {
    Key::meta("commits")
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

#[cfg(test)]
mod tests;
