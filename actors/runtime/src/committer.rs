//! The one way to the disk: everything that waits becomes one batch and shares one sync.
//!
//! A unit's messages are delivered in memory under the same lock that orders the queue. So a
//! receiver's unit stands behind its sender's, and can only land in the same batch or a later one:
//! nobody inside the node has to wait for the disk.

mod gate;
mod thread;
mod unit;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fmt, io};

use futures::future::BoxFuture;
use perennial_store::{Backend, Batch, Epoch, StoreError};

use crate::merge::{Fresh, Merged, merge};
use crate::settling::{Busy, Settling};
use crate::signal::Signal;
use crate::slice::text;
use crate::stats::CommitStats;

pub(crate) use gate::{Gatekeeper, Ticket};
pub(crate) use thread::OwnThread;
pub(crate) use unit::{After, Consumed, Unit};

#[derive(Debug, Default)]
struct Queue {
    units: VecDeque<Unit>,
    bytes: usize,
    /// Of those whose messages go into the next batch.
    gate: Gatekeeper,
    /// Positions given so far.
    pushed: u64,
    closed: bool,
    /// Set by the first failed commit: nothing more is taken or written.
    failed: bool,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    committed: Signal<u64>,
    congested: Signal<bool>,
    backlog_bytes: usize,
    settling: Arc<Settling>,
}

/// Where commits are made: on a thread of their own, or in a simulation on virtual time. What is
/// committed together, and what follows from it, is decided here and not there.
pub(crate) trait Host: Send + Sync {
    /// Something waits to be committed, or the queue was closed.
    fn ring(&self);

    /// Starts to do `work`, until the queue is closed and empty or a commit fails.
    fn start(self: Arc<Self>, work: Work) -> io::Result<Ending>;
}

/// Resolves when no more commits are made: whether that came in order. Polled at the end only.
pub(crate) type Ending = BoxFuture<'static, bool>;

/// Told once, with the error of the commit that failed.
pub(crate) type Failed = Box<dyn FnOnce(StoreError) + Send>;

/// The committing side of the queue.
pub(crate) struct Work {
    shared: Arc<Shared>,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) epoch: Epoch,
    stats: Arc<CommitStats>,
    failed: Option<Failed>,
    done: u64,
}

/// What commits at once.
pub(crate) struct Sealed {
    pub(crate) batch: Batch,
    positions: u64,
    afters: Vec<After>,
    rest: Rest,
}

/// What is left of a batch that is durable: dropping it lets those go who wait for it, and forgets
/// its messages. That takes a while and delays nobody if it is done elsewhere.
pub(crate) struct Rest {
    gate: Gatekeeper,
    _spent: Vec<Fresh>,
}

impl Sealed {
    /// Merges the units; none when there are none. Done without the queue's lock.
    fn of((units, gate): (VecDeque<Unit>, Gatekeeper)) -> Result<Option<Self>, StoreError> {
        if units.is_empty() {
            return Ok(None);
        }
        let positions = units.iter().map(Unit::positions).sum();
        let Merged { batch, afters, spent } = merge(units).map_err(|error| {
            StoreError::Backend { attempted: "make a batch".to_owned(), message: error.to_string() }
        })?;
        Ok(Some(Self { batch, positions, afters, rest: Rest { gate, _spent: spent } }))
    }
}

/// Handle to the queue of what is committed.
#[derive(Clone)]
pub(crate) struct Committer {
    shared: Arc<Shared>,
    host: Arc<dyn Host>,
}

impl fmt::Debug for Committer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Committer").field("shared", &self.shared).finish_non_exhaustive()
    }
}

/// Bytes in one batch after which it is sealed; the rest waits for the next.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// How long a full disk is left alone before the next try.
pub(crate) const NO_SPACE_WAIT: Duration = Duration::from_millis(250);

impl Committer {
    /// Starts to commit on `host`. `failed` is called once, with the error, when a commit fails;
    /// nothing is committed afterwards.
    pub(crate) fn start(
        host: Arc<dyn Host>,
        (backend, epoch): (Arc<dyn Backend>, Epoch),
        backlog_bytes: usize,
        stats: Arc<CommitStats>,
        failed: Failed,
    ) -> io::Result<(Self, Ending)> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            committed: Signal::new(0),
            congested: Signal::new(false),
            backlog_bytes,
            settling: Arc::default(),
        });
        let failed = Some(failed);
        let work = Work { shared: shared.clone(), backend, epoch, stats, failed, done: 0 };
        let ending = host.clone().start(work)?;
        Ok((Self { shared, host }, ending))
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
        queue.bytes += unit.bytes();
        // Otherwise the thread knows already, or is at work and will look.
        let first = queue.units.is_empty();
        queue.units.push_back(unit);
        self.pushed(queue, position, first);
        Some(position)
    }

    /// Adds a message from outside. `admit` as for [`Committer::push`]. Returns what to wait with.
    pub(crate) fn accept(
        &self,
        fresh: Fresh,
        admit: impl FnOnce(&Fresh, u64) -> bool,
    ) -> Option<Ticket> {
        let mut queue = self.shared.lock();
        let position = queue.pushed + 1;
        if queue.failed || queue.closed || !admit(&fresh, position) {
            return None;
        }
        queue.bytes += fresh.bytes();
        let first = queue.units.is_empty();
        let apart = match queue.units.back_mut() {
            Some(last) => last.accept(fresh).err(),
            None => Some(fresh),
        };
        queue.units.extend(apart.map(Unit::accepting));
        let ticket = queue.gate.ticket(position);
        self.pushed(queue, position, first);
        Some(ticket)
    }

    fn pushed(&self, mut queue: MutexGuard<'_, Queue>, position: u64, first: bool) {
        queue.pushed = position;
        if queue.bytes > self.shared.backlog_bytes {
            self.shared.congested.set(true);
        }
        drop(queue);
        if first {
            self.host.ring();
        }
    }

    /// The position up to which everything is durable.
    pub(crate) fn committed(&self) -> u64 {
        self.shared.committed.get()
    }

    /// Whether a unit at `position` is durable, also after a failure: then nothing new is.
    pub(crate) fn has_committed(&self, position: u64) -> bool {
        let committed = self.committed();
        committed >= position && committed != u64::MAX
    }

    /// Whether everything pushed so far is durable.
    pub(crate) fn has_settled(&self) -> bool {
        let pushed = self.shared.lock().pushed;
        self.has_committed(pushed)
    }

    /// While it is held, what waits is expected to grow by what those who are busy do next.
    pub(crate) fn busy(&self) -> Busy {
        self.shared.settling.busy()
    }

    /// Whether nobody is busy.
    pub(crate) fn is_quiet(&self) -> bool {
        self.shared.settling.is_quiet()
    }

    /// As [`Committer::wait_for`], for one who is busy: the commit does not wait for him.
    pub(crate) async fn wait_busily_for(&self, position: u64) -> bool {
        if self.committed() < position {
            self.shared.settling.hurry();
        }
        self.wait_for(position).await
    }

    /// Resolves when `position` is durable; false if it never will be.
    pub(crate) async fn wait_for(&self, position: u64) -> bool {
        self.shared.committed.wait_for(|done| *done >= position).await != u64::MAX
    }

    /// Resolves when everything pushed so far is durable; false if it never will be.
    pub(crate) async fn barrier(&self) -> bool {
        let position = self.shared.lock().pushed;
        self.wait_for(position).await
    }

    /// Resolves when the queue is short enough for actors to go on.
    pub(crate) async fn until_calm(&self) {
        self.shared.congested.wait_for(|congested| !*congested).await;
    }

    /// Lets committing end after everything pushed so far.
    pub(crate) fn close(&self) {
        self.shared.lock().closed = true;
        self.host.ring();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes as many units as fit one batch.
    fn take(&self, queue: &mut Queue) -> (VecDeque<Unit>, Gatekeeper) {
        let gate = std::mem::take(&mut queue.gate);
        if queue.bytes < BATCH_BYTES {
            queue.bytes = 0;
            self.congested.set(false);
            return (std::mem::take(&mut queue.units), gate);
        }
        let mut units = VecDeque::new();
        let mut bytes = 0;
        while bytes < BATCH_BYTES
            && let Some(unit) = queue.units.pop_front()
        {
            bytes += unit.bytes();
            units.push_back(unit);
        }
        queue.bytes = queue.bytes.saturating_sub(bytes);
        if queue.bytes <= self.backlog_bytes / 2 {
            self.congested.set(false);
        }
        (units, gate)
    }

    /// A failed commit may have been applied or not: nothing in memory can be trusted any more, so
    /// nothing that waits is ever released.
    fn fail(&self, afters: Vec<After>) {
        let mut queue = self.lock();
        queue.failed = true;
        let waiting = std::mem::take(&mut queue.units);
        let gate = std::mem::take(&mut queue.gate);
        drop(queue);
        self.committed.set(u64::MAX);
        self.congested.set(false);
        drop(gate);
        let afters = afters.into_iter().chain(waiting.into_iter().flat_map(|unit| unit.after));
        afters.for_each(|after| after(false));
    }
}

impl Work {
    /// Whether nothing more is pushed.
    #[cfg(feature = "testing")]
    pub(crate) fn is_closed(&self) -> bool {
        self.shared.lock().closed
    }

    /// Takes as many units as fit one batch; none when none wait.
    #[cfg(feature = "testing")]
    pub(crate) fn take(&self) -> Result<Option<Sealed>, StoreError> {
        let taken = self.shared.take(&mut self.shared.lock());
        self.sealed(taken)
    }

    /// What cannot be merged fails the commit.
    fn sealed(&self, taken: (VecDeque<Unit>, Gatekeeper)) -> Result<Option<Sealed>, StoreError> {
        Sealed::of(taken).inspect_err(|_| self.shared.fail(Vec::new()))
    }

    /// Lets out what waited for the batch, or nothing ever again; the rest is for the host to drop.
    pub(crate) fn conclude(
        &mut self,
        mut sealed: Sealed,
        (result, took): (Result<(), StoreError>, Duration),
    ) -> Result<Rest, StoreError> {
        if let Err(error) = result {
            self.shared.fail(sealed.afters);
            return Err(error);
        }
        self.stats.committed(sealed.positions, sealed.batch.bytes(), took);
        self.done += sealed.positions;
        sealed.rest.gate.tell(self.done);
        self.shared.committed.set(self.done);
        sealed.afters.into_iter().for_each(|after| after(true));
        Ok(sealed.rest)
    }

    /// Tells of how committing ended. A panic, of the store or of what observes commits, is a failed
    /// commit: those who wait are told, and the node ends instead of waiting for what is gone.
    pub(crate) fn end(&mut self, ended: std::thread::Result<Result<(), StoreError>>) {
        let ended = ended.unwrap_or_else(|panic| {
            self.shared.fail(Vec::new());
            Err(StoreError::Backend {
                attempted: "commit and tell who waits".to_owned(),
                message: format!("panicked: {}", text(&*panic)),
            })
        });
        if let (Err(error), Some(failed)) = (ended, self.failed.take()) {
            failed(error);
        }
    }
}

#[cfg(test)]
mod tests;
