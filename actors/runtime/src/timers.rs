//! Watches durable timers: keeps the next ones in memory and wakes their actors when they fall due.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use perennial_store::{Backend, Key, StoreError, Timestamp};
use tokio::sync::Notify;

use crate::address::Address;
use crate::core::Core;
use crate::recovery::{self, AtWork};
use crate::window::successor;

/// Timers in memory before later ones are left to the store.
const HELD: usize = 20_000;
/// Timers read from the store at a time.
const PAGE: usize = 5_000;
/// The longest sleep, so that a step of the wall clock is noticed.
const GLANCE: Duration = Duration::from_millis(500);

/// When it is due, whose it is, and its name.
type Timer = (Timestamp, Address, String);

#[derive(Debug)]
struct Held {
    timers: BTreeSet<Timer>,
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

    /// Takes out what is due: of what fell due up to `missed`, while the node was down, as many as there is
    /// `room` for.
    fn due(&self, now: Timestamp, (missed, room): (Timestamp, usize)) -> Vec<Timer> {
        let mut held = self.lock();
        let since =
            |at: Timestamp| (at + Duration::from_micros(1), Address::new("", ""), String::new());
        let of_this_run = since(missed)..since(now.max(missed));
        let mut due: Vec<Timer> =
            held.timers.extract_if(..since(missed.min(now)), |_| true).take(room).collect();
        due.extend(held.timers.extract_if(of_this_run, |_| true));
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
        let mut missed = Missed { until: core.now(), at_work: AtWork::default() };
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
            for timer in core.timers.due(core.now(), (missed.until, missed.at_work.room(&core))) {
                missed.offer(&core, timer);
            }
            // What is left although it is due waits for room.
            let next = core.timers.next_due().map_or(GLANCE, |due| due.since(core.now()));
            let wait = next.clamp(recovery::GLANCE, GLANCE);
            tokio::select! {
                biased;
                _ = core.stopping.wait_for(|stopping| *stopping) => return,
                () = core.timers.changed.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }
}

/// Timers that fell due while the node was down: their actors are taken up as those with messages are, a
/// bounded number at a time.
struct Missed {
    until: Timestamp,
    at_work: AtWork,
}

impl Missed {
    fn offer(&mut self, core: &Arc<Core>, (due, owner, name): Timer) {
        let slot = core.offer_timer(&owner, name, due);
        // One of a kind that nobody registered is never at work.
        if due <= self.until && core.kinds.contains_key(owner.kind()) {
            self.at_work.add(core, slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use perennial_store::{Batch, MemoryBackend, Tag, seal};

    use super::*;

    const AT: Timestamp = Timestamp::from_micros(1_000_000);
    const ALL: (Timestamp, usize) = (Timestamp::EPOCH, 0);

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
            fired.extend(queue.due(AT, ALL));
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
        fired.extend(queue.due(AT, ALL));
        for _ in 0..=(HELD + 10) / PAGE {
            assert!(queue.runs_low());
            queue.refill(&backend).unwrap();
            fired.extend(queue.due(AT, ALL));
        }
        assert!(!queue.runs_low(), "the store holds no more");
        assert_eq!(fired.len(), HELD + 10);
    }

    #[test]
    fn what_was_missed_waits_for_room_and_what_falls_due_now_does_not() {
        let queue = TimerQueue::default();
        let at = |seconds: u64| Timestamp::from_micros(seconds * 1_000_000);
        for seconds in 1..=6 {
            queue.arm(at(seconds), Address::new("account", "a"), seconds.to_string());
        }
        let names = |now, room| -> Vec<String> {
            queue.due(at(now), (at(3), room)).into_iter().map(|(_, _, name)| name).collect()
        };
        assert_eq!(names(2, 0), [""; 0]);
        assert_eq!(names(5, 1), ["1", "4", "5"]);
        assert_eq!(names(2, 9), ["2"], "the clock was set back");
        assert_eq!(names(5, 9), ["3"]);
        assert_eq!(names(6, 0), ["6"]);
    }
}
