//! Commits on a thread of their own, as a disk needs it: its calls block.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, PoisonError};

use perennial_store::{Batch, StoreError};

use super::{Ending, Host, NO_SPACE_WAIT, Sealed, Work};
use crate::clock::instant;

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
        let run = move || {
            let ended = catch_unwind(AssertUnwindSafe(|| self.run(&mut work)));
            work.end(ended);
        };
        let thread = std::thread::Builder::new().name("committer".to_owned()).spawn(run)?;
        Ok(Box::pin(async move {
            matches!(tokio::task::spawn_blocking(move || thread.join()).await, Ok(Ok(())))
        }))
    }
}

impl OwnThread {
    fn run(&self, work: &mut Work) -> Result<(), StoreError> {
        while let Some(sealed) = self.seal(work) {
            let began = instant();
            let result = self.commit(work, &sealed.batch);
            work.conclude(sealed, (result, began.elapsed()))?;
        }
        Ok(())
    }

    /// Waits for something to commit. `None` once closed and empty.
    fn seal(&self, work: &Work) -> Option<Sealed> {
        let mut queue = work.shared.lock();
        while queue.units.is_empty() {
            if queue.closed {
                return None;
            }
            queue = self.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        let units = work.shared.take(&mut queue);
        drop(queue);
        Sealed::of(units)
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
                    // Woken early by every new unit, which then just tries once more.
                    let _woken = self.arrived.wait_timeout(queue, NO_SPACE_WAIT);
                }
                result => return result,
            }
        }
    }
}
