//! The one thread that writes: everything that waits becomes one batch and shares one sync.
//!
//! A unit's messages are delivered in memory under the same lock that orders the queue. So a
//! receiver's unit stands behind its sender's, and can only land in the same batch or a later one:
//! nobody inside the node has to wait for the disk.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use perennial_store::{Backend, Batch, Epoch, StoreError};
use tokio::sync::watch;

use crate::slice::text;
use crate::stats::CommitStats;

/// Called once the unit's fate is known: whether it is durable.
pub(crate) type After = Box<dyn FnOnce(bool) + Send>;

/// What commits together: one slice of an actor, one acceptance, one outcome of an effect.
#[derive(Default)]
pub(crate) struct Unit {
    pub(crate) batch: Batch,
    pub(crate) after: Vec<After>,
}

impl fmt::Debug for Unit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Unit").field("rows", &self.batch.len()).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Queue {
    units: VecDeque<Unit>,
    bytes: usize,
    /// Units pushed so far.
    pushed: u64,
    closed: bool,
    /// Set by the first failed commit: nothing more is taken or written.
    failed: bool,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    arrived: Condvar,
    committed: watch::Sender<u64>,
    congested: watch::Sender<bool>,
    backlog_bytes: usize,
}

/// Handle to the committing thread.
#[derive(Clone, Debug)]
pub(crate) struct Committer {
    shared: Arc<Shared>,
}

/// Bytes in one batch after which it is sealed; the rest waits for the next.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// How long a full disk is left alone before the next try.
const NO_SPACE_WAIT: std::time::Duration = std::time::Duration::from_millis(250);

impl Committer {
    /// Starts the thread. `failed` is called once, with the error, when a commit fails; nothing is
    /// committed afterwards.
    pub(crate) fn start(
        backend: Arc<dyn Backend>,
        epoch: Epoch,
        backlog_bytes: usize,
        stats: Arc<CommitStats>,
        failed: impl FnOnce(StoreError) + Send + 'static,
    ) -> Result<(Self, std::thread::JoinHandle<()>), std::io::Error> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            arrived: Condvar::new(),
            committed: watch::Sender::new(0),
            congested: watch::Sender::new(false),
            backlog_bytes,
        });
        let thread_shared = shared.clone();
        let thread = std::thread::Builder::new().name("committer".to_owned()).spawn(move || {
            if let Err(error) = thread_shared.run_caught(backend.as_ref(), epoch, &stats) {
                failed(error);
            }
        })?;
        Ok((Self { shared }, thread))
    }

    /// Adds `unit` to what is committed next. `admit` is given its position and delivers its messages
    /// before anything can be committed; when it returns false the unit is dropped unheard. Returns
    /// the position of an admitted unit.
    pub(crate) fn push(&self, unit: Unit, admit: impl FnOnce(u64) -> bool) -> Option<u64> {
        let mut queue = self.shared.lock();
        if queue.failed || queue.closed {
            drop(queue);
            unit.after.into_iter().for_each(|after| after(false));
            return None;
        }
        let position = queue.pushed + 1;
        if !admit(position) {
            return None;
        }
        queue.pushed = position;
        queue.bytes += unit.batch.bytes();
        queue.units.push_back(unit);
        if queue.bytes > self.shared.backlog_bytes {
            self.shared.congested.send_replace(true);
        }
        drop(queue);
        self.shared.arrived.notify_one();
        Some(position)
    }

    /// The position up to which everything is durable.
    pub(crate) fn committed(&self) -> u64 {
        *self.shared.committed.borrow()
    }

    /// Resolves when `position` is durable; false if it never will be.
    pub(crate) async fn wait_for(&self, position: u64) -> bool {
        let mut committed = self.shared.committed.subscribe();
        committed.wait_for(|done| *done >= position).await.is_ok_and(|done| *done != u64::MAX)
    }

    /// Resolves when everything pushed so far is durable; false if it never will be.
    pub(crate) async fn barrier(&self) -> bool {
        let position = self.shared.lock().pushed;
        self.wait_for(position).await
    }

    /// Resolves when the queue is short enough for actors to go on.
    pub(crate) async fn until_calm(&self) {
        let mut congested = self.shared.congested.subscribe();
        // The sender lives as long as `self`, so this cannot fail.
        let _calm = congested.wait_for(|congested| !*congested).await;
    }

    /// Lets the thread end after everything pushed so far.
    pub(crate) fn close(&self) {
        self.shared.lock().closed = true;
        self.shared.arrived.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A panic on this thread, of the store or of what observes commits, is a failed commit: those
    /// who wait are told, and the node ends instead of waiting for a thread that is gone.
    fn run_caught(
        &self,
        backend: &dyn Backend,
        epoch: Epoch,
        stats: &CommitStats,
    ) -> Result<(), StoreError> {
        let run = AssertUnwindSafe(|| self.run(backend, epoch, stats));
        catch_unwind(run).unwrap_or_else(|panic| {
            self.fail(Vec::new());
            Err(StoreError::Backend {
                attempted: "commit and tell who waits".to_owned(),
                message: format!("panicked: {}", text(&*panic)),
            })
        })
    }

    fn run(
        &self,
        backend: &dyn Backend,
        epoch: Epoch,
        stats: &CommitStats,
    ) -> Result<(), StoreError> {
        let mut done = 0;
        while let Some(units) = self.seal() {
            let count = units.len() as u64;
            let mut batch = Batch::new();
            let mut afters = Vec::new();
            for unit in units {
                batch.merge(unit.batch);
                afters.extend(unit.after);
            }
            let began = Instant::now();
            if let Err(error) = self.commit(backend, epoch, &batch) {
                self.fail(afters);
                return Err(error);
            }
            stats.committed(count, batch.bytes(), began.elapsed());
            done += count;
            self.committed.send_replace(done);
            afters.into_iter().for_each(|after| after(true));
        }
        Ok(())
    }

    /// A full disk refuses the batch whole, so it is kept and tried again until there is room: what
    /// waits was not acknowledged to anybody.
    fn commit(&self, backend: &dyn Backend, epoch: Epoch, batch: &Batch) -> Result<(), StoreError> {
        let mut told = false;
        loop {
            match backend.commit(epoch, batch) {
                Err(StoreError::NoSpace { attempted, free }) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::error!(free, attempted, "the disk is full; commits wait for room");
                    }
                    let queue = self.lock();
                    if queue.closed {
                        return Err(StoreError::NoSpace { attempted, free });
                    }
                    // Woken early by every new unit, which then just tries once more.
                    let _woken = self.arrived.wait_timeout(queue, NO_SPACE_WAIT);
                }
                result => return result,
            }
        }
    }

    /// Waits for units and takes as many as fit one batch. `None` once closed and empty.
    fn seal(&self) -> Option<Vec<Unit>> {
        let mut queue = self.lock();
        while queue.units.is_empty() {
            if queue.closed {
                return None;
            }
            queue = self.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        let mut units = Vec::new();
        let mut bytes = 0;
        while bytes < BATCH_BYTES
            && let Some(unit) = queue.units.pop_front()
        {
            bytes += unit.batch.bytes();
            units.push(unit);
        }
        queue.bytes = queue.bytes.saturating_sub(bytes);
        if queue.bytes <= self.backlog_bytes / 2 {
            self.congested.send_replace(false);
        }
        Some(units)
    }

    /// A failed commit may have been applied or not: nothing in memory can be trusted any more, so
    /// nothing that waits is ever released.
    fn fail(&self, afters: Vec<After>) {
        let mut queue = self.lock();
        queue.failed = true;
        let waiting: Vec<Unit> = queue.units.drain(..).collect();
        drop(queue);
        self.committed.send_replace(u64::MAX);
        self.congested.send_replace(false);
        let afters = afters.into_iter().chain(waiting.into_iter().flat_map(|unit| unit.after));
        afters.for_each(|after| after(false));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use perennial_store::{Key, MemoryBackend};

    use super::*;

    fn unit(name: &str, heard: &Arc<AtomicU32>) -> Unit {
        let mut batch = Batch::new();
        batch.put(Key::meta(name), vec![1]);
        let heard = heard.clone();
        let after: After = Box::new(move |durable| {
            heard.fetch_add(if durable { 1 } else { 100 }, Ordering::SeqCst);
        });
        Unit { batch, after: vec![after] }
    }

    #[tokio::test]
    async fn a_unit_that_is_not_admitted_is_neither_committed_nor_heard_of() {
        let backend = MemoryBackend::new();
        let epoch = backend.claim().unwrap();
        let stats = Arc::new(CommitStats::default());
        let (committer, thread) =
            Committer::start(Arc::new(backend.clone()), epoch, 1 << 20, stats, |error| {
                panic!("{error}")
            })
            .unwrap();
        let heard = Arc::new(AtomicU32::new(0));
        assert_eq!(committer.push(unit("refused", &heard), |_| false), None);
        let position = committer.push(unit("admitted", &heard), |_| true).unwrap();
        assert!(committer.wait_for(position).await);
        committer.close();
        thread.join().unwrap();
        assert_eq!(heard.load(Ordering::SeqCst), 1);
        assert!(backend.get(Key::meta("refused").as_ref()).unwrap().is_none());
        assert!(backend.get(Key::meta("admitted").as_ref()).unwrap().is_some());
    }
}
