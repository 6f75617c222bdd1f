//! What every part of the runtime shares: the store, the committer, the addresses in memory, and the
//! one way by which anything becomes durable and is delivered.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use perennial_store::{Backend, Epoch, MessageId, StoreError, Timestamp};
use tokio::sync::oneshot;

use crate::activation::Wake;
use crate::address::Address;
use crate::clock::Clock;
use crate::committer::{Committer, Ticket};
use crate::draft::Draft;
use crate::error::{AskError, RuntimeError};
use crate::inflight::Inflight;
use crate::kind::KindEntry;
use crate::limits::Limits;
use crate::merge::Fresh;
use crate::message::{Envelope, Origin};
use crate::pool::Pool;
use crate::quarantine::Quarantine;
use crate::random::Random;
use crate::receipts::Receipts;
use crate::settling::Busy;
use crate::signal::Signal;
use crate::slot::{Phase, Slot, SlotState, Slots};
use crate::stats::Stats;
use crate::timers::TimerQueue;
use crate::turn::{Observation, TraceId};

/// Receives what committed turns contribute to the metrics.
pub type Observer = Arc<dyn Fn(&Observation) + Send + Sync>;

/// Room for new messages on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intake {
    Open = 0,
    NoSpace = 1,
}

/// Why the node must end, once it must.
pub(crate) type Failed = Signal<Option<Arc<RuntimeError>>>;

/// Those who wait for the answer to a message.
pub(crate) type Answer = Result<Vec<u8>, AskError>;

pub(crate) struct Core {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) epoch: Epoch,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: Limits,
    pub(crate) committer: Committer,
    pub(crate) slots: Slots,
    pub(crate) kinds: BTreeMap<&'static str, Arc<KindEntry>>,
    pub(crate) pools: BTreeMap<&'static str, Arc<Pool>>,
    pub(crate) timers: TimerQueue,
    pub(crate) receipts: Receipts,
    pub(crate) inflight: Inflight,
    pub(crate) observer: Observer,
    pub(crate) stats: Arc<Stats>,
    /// While set, nothing is delivered before it is durable and slices are single turns.
    pub(crate) careful: AtomicBool,
    /// Held around each turn of a suspect, so that they run one at a time.
    pub(crate) one_suspect: tokio::sync::Mutex<()>,
    /// Where effects are that are suspected of having killed the process, like those turns.
    pub(crate) quarantined_effects: Quarantine,
    /// How often in a row the node ended without a shutdown, before this start.
    pub(crate) unclean_ends: u32,
    pub(crate) intake: AtomicU8,
    /// Whether the node stops, for those who wait for that.
    pub(crate) stopping: Arc<Signal<bool>>,
    /// The same, for those who only look.
    stops: AtomicBool,
    /// Nothing is told any more, since the node has failed.
    pub(crate) untold: AtomicBool,
    pub(crate) failure: Arc<Failed>,
    pub(crate) restarts: crate::limiter::Limiter,
    /// Held from reading a dead letter until its removal is durable, so that it is redriven once.
    pub(crate) letters: Arc<tokio::sync::Mutex<()>>,
    /// What traces begin with of messages that are told.
    pub(crate) traces: u64,
    asks: Mutex<BTreeMap<MessageId, Vec<oneshot::Sender<Answer>>>>,
    next_unit: AtomicU64,
    numbers: AtomicU64,
}

impl fmt::Debug for Core {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Core").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

/// What [`Core`] is made of, apart from what it makes itself.
pub(crate) struct Parts {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) epoch: Epoch,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: Limits,
    pub(crate) committer: Committer,
    pub(crate) kinds: BTreeMap<&'static str, Arc<KindEntry>>,
    pub(crate) pools: BTreeMap<&'static str, Arc<Pool>>,
    pub(crate) inflight: Inflight,
    pub(crate) unclean_ends: u32,
    pub(crate) observer: Observer,
    pub(crate) stats: Arc<Stats>,
    pub(crate) failure: Arc<Failed>,
    /// Where jitter and traces begin.
    pub(crate) seed: u64,
}

/// Units of one epoch are numbered below this; the epoch stands above. So numbers rise over restarts
/// without being stored.
const UNIT_BITS: u32 = 40;

impl Core {
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        Arc::new(Self {
            next_unit: AtomicU64::new((parts.epoch.as_u64() << UNIT_BITS) | 1),
            restarts: crate::limiter::Limiter::per_second(parts.limits.restarts_per_second),
            backend: parts.backend,
            epoch: parts.epoch,
            clock: parts.clock,
            limits: parts.limits,
            committer: parts.committer,
            slots: Slots::default(),
            kinds: parts.kinds,
            pools: parts.pools,
            timers: TimerQueue::default(),
            receipts: Receipts::default(),
            inflight: parts.inflight,
            observer: parts.observer,
            stats: parts.stats,
            careful: AtomicBool::new(false),
            one_suspect: tokio::sync::Mutex::new(()),
            quarantined_effects: Quarantine::default(),
            unclean_ends: parts.unclean_ends,
            intake: AtomicU8::new(Intake::Open as u8),
            stopping: Arc::new(Signal::new(false)),
            stops: AtomicBool::new(false),
            untold: AtomicBool::new(false),
            failure: parts.failure,
            letters: Arc::default(),
            asks: Mutex::default(),
            traces: Random::seeded(parts.seed).next(),
            numbers: AtomicU64::new(parts.seed),
        })
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn unit_number(&self) -> u64 {
        self.next_unit.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether this run of the node gave out `id`, and no earlier one.
    pub(crate) fn is_own(&self, id: MessageId) -> bool {
        id.unit >> UNIT_BITS == self.epoch.as_u64()
    }

    /// A number for jitter and traces; nothing that is done rests on it.
    pub(crate) fn jitter(&self) -> u64 {
        Random::seeded(self.numbers.fetch_add(0x9e37_79b9, Ordering::Relaxed)).next()
    }

    pub(crate) fn new_trace(&self) -> TraceId {
        // Mixing tells different numbers apart, so the first half alone is unique in the store.
        let unique = Random::seeded(self.unit_number()).next();
        TraceId(u128::from(unique) << 64 | u128::from(self.jitter()))
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stops.load(Ordering::Acquire)
    }

    /// Takes in nothing more.
    pub(crate) fn stop(&self) {
        self.stops.store(true, Ordering::Release);
        self.stopping.set(true);
    }

    /// Ends the node's work: what is in memory cannot be trusted, or nobody supervises it any more.
    pub(crate) fn fail(&self, error: RuntimeError) {
        self.failure.update(|failure| {
            failure.get_or_insert_with(|| Arc::new(error));
        });
    }

    /// Commits `draft` and delivers its messages: at once, or to be read once they are durable while
    /// careful; in the order of their commits either way. Nobody waits for the disk here. Returns the commit position; none when the node has failed, or when
    /// `sender` is no longer the actor's live activation, and then nothing happened.
    pub(crate) fn publish(
        self: &Arc<Self>,
        draft: Draft,
        sender: Option<Sender<'_>>,
    ) -> Option<u64> {
        let run = if sender.is_some() { Wake::Run } else { Wake::RunAfterOthers };
        let claim = |position| sender.is_none_or(|sender| sender.claim(position));
        let (position, crowded) = self.publish_if(claim, draft, run);
        if crowded && let Some(sender) = sender {
            // A send inside a turn cannot be refused, so the sender is slowed down instead. It is
            // never stopped for good, so that two actors sending to each other cannot lock up.
            sender.slot.pause(CROWDED_PAUSE);
        }
        position
    }

    /// What [`Core::publish`] does, if `claim` has it: asked with the commit position, under the lock that
    /// orders the commits. Returns also whether a receiver is over its quota.
    pub(crate) fn publish_if(
        self: &Arc<Self>,
        claim: impl FnOnce(u64) -> bool,
        draft: Draft,
        run: fn(Option<Busy>) -> Wake,
    ) -> (Option<u64>, bool) {
        let careful = self.careful.load(Ordering::Relaxed);
        // Until those are at work who are woken below.
        let _busy = self.committer.busy();
        let mut wakes: Vec<Arc<Slot>> = Vec::new();
        let mut crowded = false;
        let (unit, deliveries) = draft.into_unit(self);
        let position = self.committer.push(unit, |position| {
            if !claim(position) {
                return false;
            }
            for (to, envelope) in deliveries {
                let depth = self.slots.with(&to, |slot, state| {
                    self.offer(state, envelope, (position, careful));
                    if needs_wake(state) {
                        wakes.push(slot.clone());
                    }
                    state.inbox.depth()
                });
                crowded |= depth > self.limits.quota;
            }
            true
        });
        wakes.iter().for_each(|slot| self.wake_to(slot, run));
        (position, crowded)
    }

    /// Delivers a message whose row commits at `position`.
    fn offer(&self, to: &mut SlotState, envelope: Envelope, (position, careful): (u64, bool)) {
        let Limits { window, window_bytes, .. } = self.limits;
        if careful {
            to.inbox.offer_durable(&envelope, position);
        } else {
            to.inbox.offer(envelope, position, (window, window_bytes));
        }
    }

    /// What [`Core::publish`] does, for one message from outside that nothing else goes with. It is
    /// refused when as many wait already as may, or it is not known yet how many do.
    pub(crate) fn publish_message(
        self: &Arc<Self>,
        fresh: Fresh,
    ) -> Result<Option<Ticket>, Overloaded> {
        let careful = self.careful.load(Ordering::Relaxed);
        let _busy = self.committer.busy();
        let (mut wake, mut overloaded) = (None, false);
        let ticket = self.committer.accept(fresh, |fresh, position| {
            let envelope = Envelope::new(Origin::Inbox(fresh.id), fresh.message.clone());
            self.slots.with(&fresh.to, |slot, state| {
                let uncounted = state.inbox.uncounted_from().is_some();
                overloaded = uncounted || state.inbox.depth() >= self.limits.quota;
                if overloaded {
                    return;
                }
                self.offer(state, envelope, (position, careful));
                wake = needs_wake(state).then(|| slot.clone());
            });
            !overloaded
        });
        wake.iter().for_each(|slot| self.wake_to(slot, Wake::RunAfterOthers));
        if overloaded { Err(Overloaded) } else { Ok(ticket) }
    }

    /// Has the slot's actor look at its inbox, starting it if it is not active.
    pub(crate) fn wake(self: &Arc<Self>, slot: &Arc<Slot>) {
        self.wake_to(slot, Wake::Run);
    }

    fn wake_to(self: &Arc<Self>, slot: &Arc<Slot>, run: fn(Option<Busy>) -> Wake) {
        let mut state = slot.lock();
        if needs_wake(&state) && !self.is_stopping() {
            self.wake_now((slot, &mut state), || run(Some(self.committer.busy())));
        }
    }

    /// Wakes the actor of a slot that needs it.
    pub(crate) fn wake_now(
        &self,
        (slot, state): (&Arc<Slot>, &mut SlotState),
        wake: impl FnOnce() -> Wake,
    ) {
        if let Phase::Active(bell) = &state.phase {
            // A cast fails only when the actor has just ended; its supervisor then wakes the slot.
            state.awake = bell.cast(wake());
        } else if let Some(kind) = self.kinds.get(slot.address.kind())
            && kind.activate(slot)
        {
            state.phase = Phase::Starting;
        }
    }

    /// One who was at work is so no more; the last one leaves no mark of what runs.
    pub(crate) fn rest(&self, busy: Option<Busy>) {
        drop(busy);
        if self.committer.is_quiet() {
            self.inflight.rest();
        }
    }

    /// Wakes the actor when the timer falls due.
    pub(crate) fn offer_timer(
        self: &Arc<Self>,
        to: &Address,
        name: String,
        due: Timestamp,
    ) -> Arc<Slot> {
        let slot = self.slots.with(to, |slot, state| {
            state.inbox.offer_timer(name, due);
            slot.clone()
        });
        self.wake(&slot);
        slot
    }

    pub(crate) fn register_ask(&self, id: MessageId) -> oneshot::Receiver<Answer> {
        let (sender, receiver) = oneshot::channel();
        let mut asks = self.asks.lock().unwrap_or_else(PoisonError::into_inner);
        asks.entry(id).or_default().push(sender);
        receiver
    }

    pub(crate) fn answer(&self, id: MessageId, answer: &Answer) {
        let waiting = self.asks.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        for waiter in waiting.into_iter().flatten() {
            // Whoever asked may have stopped waiting.
            let _gone = waiter.send(answer.clone());
        }
    }

    /// Lets go all who still wait for an answer: there will be none from this run of the node.
    pub(crate) fn end_asks(&self) {
        self.asks.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Resolves when the node has failed.
    pub(crate) async fn until_failed(&self) {
        self.failure.wait_for(Option::is_some).await;
    }

    pub(crate) fn forget_ask(&self, id: MessageId) {
        let mut asks = self.asks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = asks.get_mut(&id) {
            waiting.retain(|waiter| !waiter.is_closed());
            if waiting.is_empty() {
                asks.remove(&id);
            }
        }
    }

    /// A store that cannot be read any more ends the node: nothing is guessed.
    pub(crate) fn unreadable(&self, error: StoreError) {
        tracing::error!(%error, "the store cannot be read; the node stops");
        self.fail(RuntimeError::Store(error));
    }
}

/// Too much waits for the actor already.
#[derive(Debug)]
pub(crate) struct Overloaded;

/// An actor's live activation, as it commits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender<'a> {
    pub(crate) slot: &'a Slot,
    /// The activation's number; only the latest may commit.
    pub(crate) generation: u64,
}

impl Sender<'_> {
    fn claim(&self, position: u64) -> bool {
        let mut state = self.slot.lock();
        let live = state.generation == self.generation;
        if live {
            state.last_position = position;
        }
        live
    }
}

/// How long a sender rests after filling a mailbox over its quota.
const CROWDED_PAUSE: Duration = Duration::from_millis(50);

pub(crate) fn needs_wake(state: &SlotState) -> bool {
    match state.phase {
        Phase::Passive => !state.inbox.is_empty(),
        Phase::Active(_) => !state.awake,
        Phase::Starting | Phase::GivenUp => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_latest_activation_may_commit() {
        let slots = Slots::default();
        let address = Address::new("account", "a");
        let slot = slots.with(&address, |slot, state| {
            state.generation = 2;
            slot.clone()
        });
        let claim = |generation, position| Sender { slot: &slot, generation }.claim(position);
        assert!(!claim(1, 7), "superseded");
        assert_eq!(slot.lock().last_position, 0);
        assert!(claim(2, 8));
        assert_eq!(slot.lock().last_position, 8);
    }
}
