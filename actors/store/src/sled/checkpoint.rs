//! Bringing what is committed into the engine, on a thread of its own.
//!
//! A checkpoint applies the rows of a table in the order of their keys, some at a time, then the number of
//! the last commit in it, and syncs. Cut short, it leaves some of the rows there; the journal still holds all
//! of them, so that applying them again, in order, gives the same.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::{self, JoinHandle};

use super::engine::{Engine, number_row};
use super::recent::{Recent, Table};
use super::{HEADROOM_BYTES, commits_key, opening};
use crate::{Key, StoreError, files};

/// Rows applied at a time: reads wait for so many, at a few microseconds each.
const ROWS: usize = 64;

/// Bytes and rows between two syncs, about.
///
/// The engine uses a segment again once it has handed to the disk, a whole segment ago, what took the place of
/// its rows, and does not wait until that is durable. So the engine is synced before it has written another
/// segment. It writes a row and, every tenth time (`PAGE_CONSOLIDATION_THRESHOLD`), its whole page: a few times
/// the bytes of the rows.
const SYNC_BYTES: usize = opening::SEGMENT_BYTES / 8;
const SYNC_ROWS: usize = 512;

/// What the thread that commits and the one that brings it into the engine share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) engine: Engine,
    /// Taken before the engine is read.
    pub(super) recent: RwLock<Recent>,
    /// Set by the first failed write or sync and never cleared.
    poisoned: AtomicBool,
    progress: Mutex<Progress>,
    changed: Condvar,
}

/// What is asked of the thread, and what became of it.
#[derive(Debug, Default)]
struct Progress {
    /// There is a frozen table to bring into the engine.
    wanted: bool,
    /// The disk had no room for the last one, which still waits; so many bytes were free.
    refused: Option<u64>,
    ending: bool,
}

impl Shared {
    pub(super) fn new(engine: Engine) -> Shared {
        Shared {
            engine,
            recent: RwLock::default(),
            poisoned: AtomicBool::new(false),
            progress: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    pub(super) fn poison(&self) {
        self.poisoned.store(true, Ordering::Release);
    }

    pub(super) fn refuse_poisoned(&self) -> Result<(), StoreError> {
        if self.poisoned.load(Ordering::Acquire) { Err(StoreError::Poisoned) } else { Ok(()) }
    }

    /// Begins to bring all that is committed into the engine, once what was begun before is there.
    pub(super) fn begin_checkpoint(&self) -> Result<(), StoreError> {
        self.await_checkpoint()?;
        {
            let mut recent = self.recent.write().map_err(|_| StoreError::Poisoned)?;
            if recent.active.is_empty() {
                return Ok(());
            }
            recent.frozen = Some(Arc::new(std::mem::take(&mut recent.active)));
        }
        self.ask();
        Ok(())
    }

    /// Brings all that is committed into the engine, durably.
    pub(super) fn checkpoint_all(&self) -> Result<(), StoreError> {
        self.begin_checkpoint()?;
        self.await_checkpoint()
    }

    /// Waits until nothing is on its way into the engine; what found no room before is tried again.
    fn await_checkpoint(&self) -> Result<(), StoreError> {
        if self.progress().refused.is_some() {
            self.ask();
        }
        let progress = self.progress();
        let progress = self.changed.wait_while(progress, |progress| progress.wanted);
        let progress = progress.unwrap_or_else(PoisonError::into_inner);
        self.refuse_poisoned()?;
        match progress.refused {
            None => Ok(()),
            Some(free) => {
                let attempted = "bring what is committed into the store's engine".to_owned();
                Err(StoreError::NoSpace { attempted, free })
            }
        }
    }

    fn ask(&self) {
        let mut progress = self.progress();
        (progress.wanted, progress.refused) = (true, None);
        self.changed.notify_all();
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        // Changed by single steps.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what is asked until it is told to end.
    fn serve(&self) {
        loop {
            let idle = |progress: &mut Progress| !progress.wanted && !progress.ending;
            let progress = self.changed.wait_while(self.progress(), idle);
            if !progress.unwrap_or_else(PoisonError::into_inner).wanted {
                return;
            }
            let done = catch_unwind(AssertUnwindSafe(|| self.checkpoint_frozen()));
            let refused = match done {
                Ok(Ok(())) => None,
                Ok(Err(StoreError::NoSpace { free, .. })) => Some(free),
                Ok(Err(error)) => {
                    tracing::error!(%error, "what is committed cannot be brought into the store's engine");
                    self.poison();
                    None
                }
                Err(_panic) => {
                    self.poison();
                    None
                }
            };
            let mut progress = self.progress();
            (progress.wanted, progress.refused) = (false, refused);
            self.changed.notify_all();
        }
    }

    fn checkpoint_frozen(&self) -> Result<(), StoreError> {
        let recent = self.recent.read().map_err(|_| StoreError::Poisoned)?;
        let Some(table) = recent.frozen.clone() else { return Ok(()) };
        drop(recent);
        self.engine.checkpoint(&table)?;
        self.recent.write().map_err(|_| StoreError::Poisoned)?.frozen = None;
        Ok(())
    }
}

impl Engine {
    /// Makes the rows of `table` durable, and that everything up to its last commit is there.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoSpace`] before the disk is full; what was applied until then can be applied again.
    pub(super) fn checkpoint(&self, table: &Table) -> Result<(), StoreError> {
        if table.is_empty() {
            return Ok(());
        }
        let mut rows = table.iter().peekable();
        let (mut left, mut between) = (table.bytes(), Between::default());
        self.refuse_without_room(left)?;
        while rows.peek().is_some() {
            if between.are_enough() {
                self.sync()?;
                left = left.saturating_sub(between.bytes);
                // Others write to the disk meanwhile.
                self.refuse_without_room(left)?;
                between = Between::default();
            }
            self.apply(between.count(&mut rows).take(ROWS))?;
        }
        let key = commits_key();
        let count = number_row(&key, table.last());
        self.apply(std::iter::once((&key, Some(count.as_slice()))))?;
        self.sync()
    }

    /// Refuses to apply so many bytes on a disk that may not have room: a full one breaks the engine for good.
    pub(super) fn refuse_without_room(&self, bytes: usize) -> Result<(), StoreError> {
        let free = files::free_bytes(self.dir())?;
        if free >= room_for(bytes) {
            return Ok(());
        }
        let attempted = format!("store {bytes} bytes in {}", self.dir().display());
        Err(StoreError::NoSpace { attempted, free })
    }
}

/// The rows that were applied since the last sync.
#[derive(Default)]
struct Between {
    rows: usize,
    bytes: usize,
}

impl Between {
    fn are_enough(&self) -> bool {
        self.rows >= SYNC_ROWS || self.bytes >= SYNC_BYTES
    }

    /// Passes rows on until they are enough.
    fn count<'a, Row: Iterator<Item = (&'a Key, Option<&'a [u8]>)>>(
        &mut self,
        rows: &mut Row,
    ) -> impl Iterator<Item = Row::Item> {
        std::iter::from_fn(|| {
            let (key, value) = if self.are_enough() { None } else { rows.next() }?;
            self.rows += 1;
            self.bytes += key.as_ref().len() + value.map_or(0, <[u8]>::len);
            Some((key, value))
        })
    }
}

/// The free bytes that the engine may need for so many.
pub(super) fn room_for(bytes: usize) -> u64 {
    (bytes as u64).saturating_mul(2).saturating_add(HEADROOM_BYTES)
}

/// The thread; ends when dropped.
#[derive(Debug)]
pub(super) struct Checkpoints {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpoints {
    pub(super) fn start(shared: &Arc<Shared>) -> Result<Checkpoints, StoreError> {
        let serving = Arc::clone(shared);
        let thread = thread::Builder::new()
            .name("checkpoint".to_owned())
            .spawn(move || serving.serve())
            .map_err(StoreError::io("start the thread that brings commits into the engine"))?;
        Ok(Checkpoints { shared: Arc::clone(shared), thread: Some(thread) })
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.shared.progress().ending = true;
        self.shared.changed.notify_all();
        // It catches what panics.
        let _ended = self.thread.take().map(JoinHandle::join);
    }
}
