//! Commits on a thread of their own, as a disk needs it: its calls block.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, PoisonError};
use std::time::Duration;

use perennial_store::{Batch, StoreError};
use tokio::runtime::Handle;

use super::{Ending, Host, NO_SPACE_WAIT, Sealed, Work};
use crate::clock::instant;
use crate::settling::patience;

/// The one thread that writes.
#[derive(Debug, Default)]
pub(crate) struct OwnThread {
    arrived: Condvar,
}

impl Host for OwnThread {
    fn ring(&self) {
        self.arrived.notify_one();
    }

    fn start(self: Arc<Self>, mut work: Work) -> io::Result<Ending> {
        let tasks = Handle::current();
        let run = move || {
            let ended = catch_unwind(AssertUnwindSafe(|| self.run(&mut work, &tasks)));
            work.end(ended);
        };
        let thread = std::thread::Builder::new().name("committer".to_owned()).spawn(run)?;
        Ok(Box::pin(async move {
            matches!(tokio::task::spawn_blocking(move || thread.join()).await, Ok(Ok(())))
        }))
    }
}

impl OwnThread {
    fn run(&self, work: &mut Work, tasks: &Handle) -> Result<(), StoreError> {
        let mut last = Duration::ZERO;
        while let Some(sealed) = self.seal(work, patience(last))? {
            let began = instant();
            let result = self.commit(work, &sealed.batch);
            last = began.elapsed();
            let rest = work.conclude(sealed, (result, last))?;
            // A task that wakes many others of its own thread costs less than this thread waking each,
            // and this one goes on with the next batch.
            tasks.spawn(async move { drop(rest) });
        }
        Ok(())
    }

    /// Waits for something to commit. `None` once closed and empty.
    fn seal(&self, work: &Work, patience: Duration) -> Result<Option<Sealed>, StoreError> {
        let mut queue = work.shared.lock();
        while queue.units.is_empty() {
            if queue.closed {
                return Ok(None);
            }
            queue = self.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        if !queue.closed {
            drop(queue);
            work.shared.settling.wait(patience);
            queue = work.shared.lock();
        }
        let taken = work.shared.take(&mut queue);
        drop(queue);
        work.sealed(taken)
    }

    /// A full disk refuses the batch whole, so it is kept and tried again until there is room: what
    /// waits was not acknowledged to anybody.
    fn commit(&self, work: &Work, batch: &Batch) -> Result<(), StoreError> {
        let mut told = false;
        loop {
            match work.backend.commit(work.epoch, batch) {
                Err(StoreError::NoSpace { attempted, free }) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::error!(free, attempted, "the disk is full; commits wait for room");
                    }
                    let queue = work.shared.lock();
                    if queue.closed {
                        return Err(StoreError::NoSpace { attempted, free });
                    }
                    // Woken early by a new unit, and then just tries once more.
                    let _woken = self.arrived.wait_timeout(queue, NO_SPACE_WAIT);
                }
                result => return result,
            }
        }
    }
}
