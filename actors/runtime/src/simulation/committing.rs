//! Commits as a task among the others, on virtual time.

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use perennial_store::{Batch, StoreError};
use tokio::sync::Notify;

use super::store::Disk;
use crate::clock::instant;
use crate::committer::{Ending, Host, NO_SPACE_WAIT, Work};

/// The one task that writes.
pub(super) struct OnTask {
    disk: Arc<dyn Disk>,
    arrived: Notify,
}

impl OnTask {
    pub(super) fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk, arrived: Notify::new() }
    }

    async fn run(&self, work: &mut Work) -> Result<(), StoreError> {
        loop {
            match work.take()? {
                Some(sealed) => {
                    let began = instant();
                    let result = self.commit(work, &sealed.batch).await;
                    drop(work.conclude(sealed, (result, began.elapsed()))?);
                }
                None if work.is_closed() => return Ok(()),
                None => self.arrived.notified().await,
            }
        }
    }

    async fn commit(&self, work: &mut Work, batch: &Batch) -> Result<(), StoreError> {
        loop {
            match self.disk.write(work.epoch, batch) {
                Ok(takes) if takes.is_zero() => tokio::task::yield_now().await,
                Ok(takes) => tokio::time::sleep(takes).await,
                Err(StoreError::NoSpace { .. }) if !work.is_closed() => {
                    let room = self.arrived.notified();
                    // Whether more came or the time is over: it is tried once more.
                    let _woken = tokio::time::timeout(NO_SPACE_WAIT, room).await;
                    continue;
                }
                Err(error) => return Err(error),
            }
            return self.disk.sync();
        }
    }
}

impl Host for OnTask {
    fn ring(&self) {
        self.arrived.notify_one();
    }

    fn start(self: Arc<Self>, mut work: Work) -> io::Result<Ending> {
        let task = tokio::spawn(async move {
            let ended = AssertUnwindSafe(self.run(&mut work)).catch_unwind().await;
            work.end(ended);
        });
        Ok(Box::pin(async move { task.await.is_ok() }))
    }
}
