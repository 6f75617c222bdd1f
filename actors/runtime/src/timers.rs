//! Watches durable timers: keeps the next ones in memory and wakes their actors when they fall due.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use perennial_store::{Backend, Key, StoreError, Timestamp};
use tokio::sync::Notify;

use crate::address::Address;
use crate::core::Core;

/// Timers in memory before later ones are left to the store.
const HELD: usize = 20_000;
/// Timers read from the store at a time.
const PAGE: usize = 5_000;
/// The longest sleep, so that a step of the wall clock is noticed.
const GLANCE: Duration = Duration::from_millis(500);

#[derive(Debug)]
struct Held {
    timers: BTreeSet<(Timestamp, Address, String)>,
    /// Everything due up to here is in `timers`; later ones may be in the store only.
    horizon: Timestamp,
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
        let held = Held { timers: BTreeSet::new(), horizon: Timestamp::EPOCH, filling: true };
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
        if held.timers.len() > HELD && !held.filling {
            held.timers.pop_last();
            if let Some((last, _, _)) = held.timers.last() {
                // Timers due at the very same instant may be among those left out.
                held.horizon = Timestamp::from_micros(last.as_micros().saturating_sub(1));
            }
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
        let horizon = self.lock().horizon;
        let all = Key::timers_due_until(Timestamp::from_micros(u64::MAX - 1));
        let from = Key::timers_due_until(horizon).end;
        let rows = backend.scan(&from..&all.end, PAGE)?;
        let full = rows.len() == PAGE;
        let timers = rows.iter().filter_map(|(key, _)| key.parse_timer_due());
        let timers = timers.map(|(due, kind, key, name)| (due, Address::new(kind, key), name));
        let mut held = self.lock();
        let mut last = horizon;
        for timer in timers {
            last = timer.0;
            held.timers.insert(timer);
        }
        held.filling = false;
        held.horizon = if full {
            Timestamp::from_micros(last.as_micros().saturating_sub(1)).max(horizon)
        } else {
            Timestamp::from_micros(u64::MAX)
        };
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
        let mut stopping = core.stopping.subscribe();
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
                () = tokio::time::sleep(wait) => {}
                () = core.timers.changed.notified() => {}
                _ = stopping.wait_for(|stopping| *stopping) => return,
            }
        }
    }
}
