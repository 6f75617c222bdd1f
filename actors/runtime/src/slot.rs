//! One address while it has anything in memory: its inbox, whether it is active, and its figures.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use perennial_store::{Key, MessageId, Timestamp};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::address::Address;
use crate::bell::Bell;
use crate::clock::instant;
use crate::inbox::Inbox;
use crate::policy::History;

/// Where an address is in its life. Whatever the phase, messages are taken in.
#[derive(Debug, Default)]
pub(crate) enum Phase {
    /// Nothing runs; the next message asks for an activation.
    #[default]
    Passive,
    /// Its supervisor was asked to start it, or will start it after a back-off.
    Starting,
    /// A live actor handles its messages.
    Active(Arc<Bell>),
    /// Its supervisor gave it up; messages wait.
    GivenUp,
}

impl Phase {
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Passive => "passive",
            Self::Starting => "starting",
            Self::Active(_) => "active",
            Self::GivenUp => "given_up",
        }
    }
}

#[derive(Debug)]
pub(crate) struct SlotState {
    pub(crate) inbox: Inbox,
    pub(crate) phase: Phase,
    /// A wake-up is on its way or being served, so no other is needed.
    pub(crate) awake: bool,
    /// The next slice waits until then: the pause of a fast sender.
    pub(crate) not_before: Option<Instant>,
    /// Counts activations: a unit of an earlier one is refused.
    pub(crate) generation: u64,
    /// An activation has begun and did not leave memory in order: the next one starts from the
    /// store.
    pub(crate) dirty: bool,
    /// Position of the last unit of the actor itself.
    pub(crate) last_position: u64,
    /// Taken out of the map; whoever still holds the slot looks it up again.
    pub(crate) retired: bool,
    /// How many turns it had taken when somebody last looked whether it rests, and since when so many.
    rested: (u64, Instant),
    pub(crate) restarts: u64,
    pub(crate) history: History,
    pub(crate) last_error: Option<String>,
    pub(crate) turns: u64,
    pub(crate) last_commit: Option<Timestamp>,
    /// Those who wait for room to tell something.
    pub(crate) waiting: usize,
}

impl SlotState {
    /// How long it has taken no turn, as far as this is asked from time to time: nobody reads the clock
    /// for it after each turn.
    pub(crate) fn rests_for(&mut self, now: Instant) -> Duration {
        if self.rested.0 != self.turns {
            self.rested = (self.turns, now);
        }
        now.duration_since(self.rested.1)
    }
}

/// One address in memory.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) address: Address,
    state: Mutex<SlotState>,
    /// Wakes those who wait for room to tell something.
    pub(crate) room: Notify,
    /// It was running when an earlier process died: while the node is careful, attempts at its messages
    /// are counted first.
    was_running: AtomicBool,
}

impl Slot {
    fn new(address: Address, inbox: Inbox) -> Self {
        let state = SlotState {
            inbox,
            phase: Phase::Passive,
            awake: false,
            not_before: None,
            generation: 0,
            dirty: false,
            last_position: 0,
            retired: false,
            rested: (0, instant()),
            restarts: 0,
            history: History::default(),
            last_error: None,
            turns: 0,
            last_commit: None,
            waiting: 0,
        };
        let was_running = AtomicBool::new(false);
        Self { address, state: Mutex::new(state), room: Notify::new(), was_running }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An earlier process died while this actor was running.
    pub(crate) fn suspect(&self) {
        self.was_running.store(true, Ordering::Relaxed);
    }

    pub(crate) fn was_running(&self) -> bool {
        self.was_running.load(Ordering::Relaxed)
    }

    /// Kills the live actor, if there is one.
    pub(crate) fn kill(&self) -> bool {
        let state = self.lock();
        let Phase::Active(bell) = &state.phase else { return false };
        bell.kill_actor();
        true
    }

    /// Lets no slice of the live actor start for `pause`, if there is one.
    pub(crate) fn stall(&self, pause: Duration) -> bool {
        let live = matches!(self.lock().phase, Phase::Active(_));
        if live {
            self.pause(pause);
        }
        live
    }

    /// Wakes the next of those who wait for room.
    pub(crate) fn pass_on(&self) {
        if self.lock().waiting > 0 {
            self.room.notify_one();
        }
    }

    /// Lets no slice start for `pause`.
    pub(crate) fn pause(&self, pause: Duration) {
        let until = instant() + pause;
        let mut state = self.lock();
        state.not_before = Some(state.not_before.map_or(until, |before| before.max(until)));
    }
}

/// All addresses that are in memory.
#[derive(Debug, Default)]
pub(crate) struct Slots(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    slots: HashMap<Address, Arc<Slot>>,
    /// From here on recovery has not looked at the inboxes yet: there may be messages of an earlier run
    /// of the process. None when it has looked at all.
    unseen: Option<Key>,
}

impl Held {
    fn may_have_backlog(&self, address: &Address) -> bool {
        self.unseen.as_ref().is_some_and(|unseen| {
            let first = MessageId { unit: 0, index: 0 };
            Key::inbox_of(address.kind(), address.key(), first).end > *unseen
        })
    }

    fn get_or_insert(&mut self, address: &Address) -> Arc<Slot> {
        if let Some(slot) = self.slots.get(address) {
            return slot.clone();
        }
        let unseen = self.may_have_backlog(address);
        let inbox = if unseen { Inbox::unseen() } else { Inbox::default() };
        let slot = Arc::new(Slot::new(address.clone(), inbox));
        self.slots.insert(address.clone(), slot.clone());
        slot
    }
}

impl Slots {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes from where on recovery has to look at the inboxes; none when it is done.
    pub(crate) fn set_unseen(&self, from: Option<Key>) {
        self.lock().unseen = from;
    }

    /// Whether there may be inboxes left that recovery has not looked at.
    pub(crate) fn has_unseen(&self) -> bool {
        self.lock().unseen.is_some()
    }

    /// Runs `act` on the slot of `address`, made if it is not there.
    pub(crate) fn with<T>(
        &self,
        address: &Address,
        act: impl FnOnce(&Arc<Slot>, &mut SlotState) -> T,
    ) -> T {
        loop {
            let slot = self.lock().get_or_insert(address);
            let mut state = slot.lock();
            if !state.retired {
                return act(&slot, &mut state);
            }
        }
    }

    pub(crate) fn get_or_insert(&self, address: &Address) -> Arc<Slot> {
        self.lock().get_or_insert(address)
    }

    /// The slot of an address for which something may wait.
    pub(crate) fn get(&self, address: &Address) -> Option<Arc<Slot>> {
        let mut held = self.lock();
        if held.may_have_backlog(address) {
            return Some(held.get_or_insert(address));
        }
        held.slots.get(address).cloned()
    }

    /// In the order of their addresses, which is the same in every run.
    pub(crate) fn all(&self) -> Vec<Arc<Slot>> {
        self.sorted(|_| true)
    }

    /// In the order of their addresses.
    pub(crate) fn of_kind(&self, kind: &str) -> Vec<Arc<Slot>> {
        self.sorted(|address| address.kind() == kind)
    }

    fn sorted(&self, wanted: impl Fn(&Address) -> bool) -> Vec<Arc<Slot>> {
        let held = self.lock();
        let wanted = held.slots.values().filter(|slot| wanted(&slot.address));
        let mut slots: Vec<Arc<Slot>> = wanted.cloned().collect();
        slots.sort_by(|a, b| a.address.cmp(&b.address));
        slots
    }

    /// Forgets passive slots that hold nothing, whose commits are done, and that nobody refers to.
    pub(crate) fn retire(&self, committed: u64, careful: bool) {
        self.lock().slots.retain(|_, slot| {
            let mut state = slot.lock();
            let idle = matches!(state.phase, Phase::Passive)
                && state.inbox.is_empty()
                && state.last_position <= committed
                && !(careful && slot.was_running())
                // Whoever gets one now waits for the lock of the map.
                && Arc::strong_count(slot) == 1;
            state.retired = idle;
            !idle
        });
    }
}
