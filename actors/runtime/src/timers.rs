//! Watches durable timers: keeps the next ones in memory and wakes their actors when they fall due.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use perennial_store::{Backend, Key, StoreError, Timestamp};
use tokio::sync::Notify;

use crate::address::Address;
use crate::core::Core;
use crate::window::successor;

/// Timers in memory before later ones are left to the store.
const HELD: usize = 20_000;
/// Timers read from the store at a time.
const PAGE: usize = 5_000;
/// The longest sleep, so that a step of the wall clock is noticed.
const GLANCE: Duration = Duration::from_millis(500);

#[derive(Debug)]
struct Held {
    timers: BTreeSet<(Timestamp, Address, String)>,
    /// Everything due up to here, and not earlier than what `cursor` has left behind, is in `timers`;
    /// later ones may be in the store only.
    horizon: Timestamp,
    /// From here on the store has not been read. Any number of timers may be due at one instant, so
    /// this is a key and not a time.
    cursor: Key,
    /// The store is being read beyond the horizon: what is set meanwhile is held whenever it is due,
    /// since the scan may miss it.
    filling: bool,
}

#[derive(Debug)]
pub(crate) struct TimerQueue {
    held: Mutex<Held>,
    changed: Notify,
}

impl Default for TimerQueue {
    fn default() -> Self {
        let held = Held {
            timers: BTreeSet::new(),
            horizon: Timestamp::EPOCH,
            cursor: Key::timers_due_until(Timestamp::EPOCH).start,
            filling: true,
        };
        Self { held: Mutex::new(held), changed: Notify::new() }
    }
}

impl TimerQueue {
    fn lock(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches a timer that was just set.
    pub(crate) fn arm(&self, due: Timestamp, owner: Address, name: String) {
        let mut held = self.lock();
        if due > held.horizon && !held.filling {
            return;
        }
        let first = held.timers.first().is_none_or(|(earliest, _, _)| due < *earliest);
        held.timers.insert((due, owner, name));
        if held.timers.len() > HELD
            && !held.filling
            && let Some((last, _, _)) = held.timers.pop_last()
        {
            // All that is due with it is left to the store, also what stays in memory.
            held.horizon = Timestamp::from_micros(last.as_micros().saturating_sub(1));
            held.cursor = held.cursor.clone().min(Key::timers_due_until(held.horizon).end);
        }
        drop(held);
        if first {
            self.changed.notify_one();
        }
    }

    /// Takes out what is due.
    fn due(&self, now: Timestamp) -> Vec<(Timestamp, Address, String)> {
        let mut held = self.lock();
        let mut due = Vec::new();
        while held.timers.first().is_some_and(|(at, _, _)| *at <= now) {
            due.extend(held.timers.pop_first());
        }
        due
    }

    /// Reads the next page of the store, if what is held runs low.
    fn refill(&self, backend: &dyn Backend) -> Result<(), StoreError> {
        let (horizon, from) = {
            let held = self.lock();
            (held.horizon, held.cursor.clone())
        };
        let end = Key::timers_due_until(Timestamp::from_micros(u64::MAX - 1)).end;
        let rows = backend.scan(&from..&end, PAGE)?;
        let full = rows.len() == PAGE;
        let mut held = self.lock();
        let mut last = horizon;
        for (key, _) in &rows {
            held.cursor = successor(key);
            let Some((due, kind, name, timer)) = key.parse_timer_due() else { continue };
            last = due;
            held.timers.insert((due, Address::new(kind, name), timer));
        }
        held.filling = false;
        held.horizon = if full { last.max(horizon) } else { Timestamp::from_micros(u64::MAX) };
        Ok(())
    }

    /// Whether the store has to be read; if so, what is set from now on is held.
    fn runs_low(&self) -> bool {
        let mut held = self.lock();
        let low = held.horizon != Timestamp::from_micros(u64::MAX) && held.timers.len() < HELD / 4;
        held.filling |= low;
        low
    }

    fn next_due(&self) -> Option<Timestamp> {
        self.lock().timers.first().map(|(due, _, _)| *due)
    }

    /// Runs until the node stops.
    pub(crate) async fn run(core: Arc<Core>) {
        loop {
            // A timer set beyond the horizon is in the store once its unit is durable.
            if core.timers.runs_low() {
                if !core.committer.barrier().await {
                    return;
                }
                if let Err(error) = core.timers.refill(core.backend.as_ref()) {
                    return core.unreadable(error);
                }
            }
            for (due, owner, name) in core.timers.due(core.now()) {
                core.offer_timer(&owner, name, due);
            }
            let wait =
                core.timers.next_due().map_or(GLANCE, |due| due.since(core.now()).min(GLANCE));
            tokio::select! {
                biased;
                _ = core.stopping.wait_for(|stopping| *stopping) => return,
                () = core.timers.changed.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use perennial_store::{Batch, MemoryBackend, Tag, seal};

    use super::*;

    const AT: Timestamp = Timestamp::from_micros(1_000_000);

    #[test]
    fn any_number_of_timers_due_at_one_instant_fire_although_none_is_consumed() {
        let backend = MemoryBackend::new();
        let epoch = backend.claim().unwrap();
        let mut batch = Batch::new();
        let count = 2 * PAGE + 7;
        for number in 0..count {
            let key = Key::timer_due(AT, "account", &number.to_string(), "t");
            let value = seal(&key, Tag::Timer, 0, &[]);
            batch.put(key, value);
        }
        backend.commit(epoch, &batch).unwrap();
        let queue = TimerQueue::default();
        let mut fired = BTreeSet::new();
        for _ in 0..3 {
            assert!(queue.runs_low());
            queue.refill(&backend).unwrap();
            // Set while others of the same instant are still in the store.
            queue.arm(AT, Address::new("account", "0-set-late"), "t".to_owned());
            fired.extend(queue.due(AT));
        }
        assert_eq!(fired.len(), count + 1);
        assert!(!queue.runs_low(), "the store holds no more");
    }

    #[test]
    fn what_memory_lets_go_is_read_again_with_all_that_is_due_with_it() {
        let backend = MemoryBackend::new();
        let epoch = backend.claim().unwrap();
        let queue = TimerQueue::default();
        queue.refill(&backend).unwrap();
        let mut batch = Batch::new();
        for number in 0..HELD + 10 {
            let owner = number.to_string();
            let key = Key::timer_due(AT, "account", &owner, "t");
            let value = seal(&key, Tag::Timer, 0, &[]);
            batch.put(key, value);
            queue.arm(AT, Address::new("account", owner), "t".to_owned());
        }
        backend.commit(epoch, &batch).unwrap();
        let mut fired = BTreeSet::new();
        fired.extend(queue.due(AT));
        for _ in 0..=(HELD + 10) / PAGE {
            assert!(queue.runs_low());
            queue.refill(&backend).unwrap();
            fired.extend(queue.due(AT));
        }
        assert!(!queue.runs_low(), "the store holds no more");
        assert_eq!(fired.len(), HELD + 10);
    }
}
