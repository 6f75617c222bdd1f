//! Waits a moment for those who are at work before a batch is sealed.
//!
//! A message that was accepted is about to be consumed, and its actor is about to send others. Sealed at
//! once, a batch would carry rows that the next one deletes, and a chain of actors would need two syncs.
//! So the batch is sealed when nobody is at work any more, but after no longer than a sync takes: then
//! the wait costs less than the sync that it saves.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::instant;

/// The shortest time that is waited: about what it takes to wake a thread that sleeps.
const LEAST: Duration = Duration::from_micros(100);
/// The longest, should the disk be slow.
const MOST: Duration = Duration::from_millis(2);

/// How long to wait after a sync that took `last`.
pub(crate) fn patience(last: Duration) -> Duration {
    last.clamp(LEAST, MOST)
}

/// Those who are at work, and the committer waiting for them.
#[derive(Debug, Default)]
pub(crate) struct Settling {
    busy: AtomicUsize,
    /// Whether the committer waits.
    waits: AtomicBool,
    /// Set when one who is at work waits for the committer instead.
    hurry: Mutex<bool>,
    settled: Condvar,
}

/// Somebody at work, until it is dropped.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Settling>);

impl Settling {
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.hurry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn busy(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::SeqCst);
        Busy(self.clone())
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.busy.load(Ordering::SeqCst) == 0
    }

    /// Ends the wait, or spares the next one.
    pub(crate) fn hurry(&self) {
        *self.lock() = true;
        self.settled.notify_one();
    }

    /// Returns once nobody is at work, somebody is in a hurry, or after `patience`.
    pub(crate) fn wait(&self, patience: Duration) {
        let until = instant() + patience;
        let mut hurry = self.lock();
        // Read after it is set, as the last one at work reads it after leaving: one of both sees it.
        self.waits.store(true, Ordering::SeqCst);
        while self.busy.load(Ordering::SeqCst) > 0 && !*hurry {
            let left = until.saturating_duration_since(instant());
            if left.is_zero() {
                break;
            }
            let woken = self.settled.wait_timeout(hurry, left);
            hurry = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        self.waits.store(false, Ordering::SeqCst);
        *hurry = false;
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let last = self.0.busy.fetch_sub(1, Ordering::SeqCst) == 1;
        if last && self.0.waits.load(Ordering::SeqCst) {
            let _hurry = self.0.lock();
            self.0.settled.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn nobody_is_waited_for_when_nobody_is_at_work() {
        Settling::default().wait(LONG);
    }

    #[test]
    fn the_wait_ends_when_the_last_one_is_done() {
        let settling: Arc<Settling> = Arc::default();
        let both = (settling.busy(), settling.busy());
        let waiting = settling.clone();
        let waits = std::thread::spawn(move || waiting.wait(LONG));
        drop(both);
        waits.join().unwrap();
    }

    #[test]
    fn one_at_work_who_waits_for_the_commit_ends_the_wait_or_spares_it() {
        let settling: Arc<Settling> = Arc::default();
        let _busy = settling.busy();
        settling.hurry();
        settling.wait(LONG);
    }
}
