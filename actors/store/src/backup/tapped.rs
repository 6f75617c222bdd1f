//! A store that can be copied while it is written to.

use std::collections::VecDeque;
use std::fmt;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::archive::{Entries, Writer};
use super::{About, BackupError, MAX_WAITING_BYTES, Summary};
use crate::data_dir::{self, DataDir};
use crate::sled::commits_key;
use crate::{Backend, Batch, Epoch, Key, Layer, SledBackend, SledOptions, StoreError, record};

/// Rows read at a time. The size of a row is known once it is read, and may be megabytes.
const ROWS: usize = 16;

/// A store whose commits a backup can listen to; otherwise the one inside it.
#[derive(Debug)]
pub struct TappedBackend {
    inner: Arc<dyn Backend>,
    /// Held from before a commit until the tap has it. Taken before `tap`.
    commits: Mutex<()>,
    /// There while a backup is being taken. Never held while something waits for a disk.
    tap: Mutex<Option<Tap>>,
}

/// What was committed since a backup began and did not reach it yet.
#[derive(Default)]
struct Tap {
    waiting: VecDeque<Entries>,
    bytes: usize,
    /// Why it takes in no more; then nothing waits.
    closed: Option<Closed>,
}

#[derive(Clone, Copy, Debug)]
enum Closed {
    /// The backup has what it needs.
    Ended,
    /// So many bytes waited.
    TooSlow(usize),
    /// It is unknown whether a batch was applied.
    Uncertain,
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tap").field("bytes", &self.bytes).field("closed", &self.closed).finish()
    }
}

impl TappedBackend {
    /// Wraps a store; all commits must go through the wrapper.
    #[must_use]
    pub fn new(inner: Arc<dyn Backend>) -> TappedBackend {
        TappedBackend { inner, commits: Mutex::new(()), tap: Mutex::new(None) }
    }

    /// Begins a backup: every commit from now on is part of it.
    ///
    /// # Errors
    ///
    /// [`BackupError::Busy`] while there is another.
    pub fn begin_backup(self: &Arc<Self>) -> Result<Backup, BackupError> {
        // A commit in progress may get into both the rows and the changes, which does no harm.
        let mut tap = self.tap();
        if tap.is_some() {
            return Err(BackupError::Busy);
        }
        *tap = Some(Tap::default());
        Ok(Backup { store: Arc::clone(self) })
    }

    fn tap(&self) -> MutexGuard<'_, Option<Tap>> {
        // Whoever panicked left it whole: it is changed by single steps.
        self.tap.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn commits(&self) -> MutexGuard<'_, ()> {
        self.commits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, batch: &Batch, committed: &Result<(), StoreError>) {
        let mut slot = self.tap();
        let Some(tap) = slot.as_mut().filter(|tap| tap.closed.is_none()) else { return };
        match committed {
            Ok(()) => tap.take_in(batch),
            Err(
                StoreError::Fenced { .. }
                | StoreError::KeyTooLong { .. }
                | StoreError::TooLarge { .. }
                | StoreError::NoSpace { .. }
                | StoreError::Closed,
            ) => {}
            Err(
                StoreError::Corrupted { .. }
                | StoreError::Damaged { .. }
                | StoreError::Poisoned
                | StoreError::Locked { .. }
                | StoreError::NewerFormat { .. }
                | StoreError::NoStore { .. }
                | StoreError::BlobFiles { .. }
                | StoreError::Io { .. }
                | StoreError::Backend { .. },
            ) => tap.close(Closed::Uncertain),
        }
    }
}

impl Tap {
    fn take_in(&mut self, batch: &Batch) {
        for (key, value) in batch.iter() {
            if self.waiting.back().is_none_or(Entries::is_full) {
                self.waiting.push_back(Entries::default());
            }
            if let Some(last) = self.waiting.back_mut() {
                let before = last.len();
                last.add(key, value);
                self.bytes += last.len() - before;
            }
        }
        if self.bytes > MAX_WAITING_BYTES {
            self.close(Closed::TooSlow(self.bytes));
        }
    }

    fn close(&mut self, why: Closed) {
        *self = Tap { closed: Some(why), ..Tap::default() };
    }

    /// Hands over the oldest block, full if `full`.
    fn next(&mut self, full: bool) -> Result<Option<Entries>, BackupError> {
        match self.closed {
            Some(Closed::TooSlow(waiting)) => return Err(BackupError::TooSlow { waiting }),
            Some(Closed::Uncertain) => return Err(StoreError::Poisoned.into()),
            Some(Closed::Ended) | None => {}
        }
        let block = self.waiting.pop_front_if(|block| block.is_full() || !full);
        self.bytes -= block.as_ref().map_or(0, Entries::len);
        Ok(block)
    }
}

impl Layer for TappedBackend {
    fn below(&self) -> &dyn Backend {
        &*self.inner
    }

    fn commit(&self, epoch: Epoch, batch: &Batch) -> Result<(), StoreError> {
        let _in_order = self.commits();
        let committed = self.inner.commit(epoch, batch);
        self.note(batch, &committed);
        committed
    }
}

/// A backup that is being taken. Dropping it ends it.
#[derive(Debug)]
pub struct Backup {
    store: Arc<TappedBackend>,
}

impl Backup {
    /// Copies the store to `to`. Blocks; commits go on meanwhile. What was written is a backup only if
    /// this succeeds.
    ///
    /// # Errors
    ///
    /// The store cannot be read or holds a damaged record, which is named; `to` cannot be written or is
    /// too slow.
    pub fn write(self, to: &mut dyn Write, about: About<'_>) -> Result<Summary, BackupError> {
        let mut archive = Writer::begin(to, about.product, (about.now)())?;
        match self.copy(&mut archive).and_then(|()| self.end(&mut archive)) {
            Ok(()) => archive.end((about.now)()),
            // To where nothing can be written, nobody can be told either.
            Err(error @ BackupError::Io { .. }) => Err(error),
            Err(error) => {
                // That it failed is told anyway.
                let _told = archive.give_up(&error.to_string());
                Err(error)
            }
        }
    }

    fn copy(&self, archive: &mut Writer<'_>) -> Result<(), BackupError> {
        let (own, end) = (commits_key(), Key::end());
        let (mut from, mut rows) = (Key::default(), Entries::default());
        loop {
            let found = self.store.inner.scan(&from..&end, ROWS)?;
            let ended = found.len() < ROWS;
            for (key, value) in found {
                record::open(&key, &value)?;
                if key != own {
                    rows.add(&key, Some(&value));
                }
                if rows.is_full() {
                    archive.rows(&std::mem::take(&mut rows))?;
                }
                from = key.followed();
            }
            self.forward(archive)?;
            if ended {
                return archive.rows(&rows);
            }
        }
    }

    /// Writes the full blocks of changes.
    fn forward(&self, archive: &mut Writer<'_>) -> Result<(), BackupError> {
        loop {
            let next = self.store.tap().as_mut().map_or(Ok(None), |tap| tap.next(true))?;
            let Some(changes) = next else { return Ok(()) };
            archive.changes(&changes)?;
        }
    }

    /// Stops listening between two commits, and writes the changes up to there.
    fn end(&self, archive: &mut Writer<'_>) -> Result<(), BackupError> {
        let tap = {
            let _between = self.store.commits();
            // Rows may have been read before they were durable.
            self.store.inner.settle()?;
            let ended = Tap { closed: Some(Closed::Ended), ..Tap::default() };
            self.store.tap().replace(ended)
        };
        let mut tap = tap.unwrap_or_default();
        while let Some(changes) = tap.next(false)? {
            archive.changes(&changes)?;
        }
        Ok(())
    }
}

impl Drop for Backup {
    fn drop(&mut self) {
        *self.store.tap() = None;
    }
}

/// Backs up the data directory at `path`, which no node uses. Its rows are not changed.
///
/// # Errors
///
/// [`StoreError::Locked`] if the directory is in use; otherwise as for [`Backup::write`].
pub fn backup_data(
    path: &Path,
    to: &mut dyn Write,
    about: About<'_>,
) -> Result<Summary, BackupError> {
    let _lock = DataDir::lock_stopped(path)?;
    let dir = data_dir::store_dir(path);
    if data_dir::unfinished(&dir).exists() {
        let absent = std::io::Error::new(std::io::ErrorKind::NotFound, "it holds no store");
        return Err(BackupError::io(format!("back up {}", path.display()))(absent));
    }
    let store = Arc::new(SledBackend::open(&dir, SledOptions::default())?);
    let tapped = Arc::new(TappedBackend::new(store));
    let summary = tapped.begin_backup()?.write(to, about)?;
    tapped.close()?;
    Ok(summary)
}
