//! The live half of a durable actor: a ractor actor whose mailbox is used once, to begin.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use perennial_store::{Key, StoreError, Timestamp, decode, open};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::time::Instant;

use crate::apply;
use crate::bell::Bell;
use crate::clock::instant;
use crate::core::{Core, Sender};
use crate::durable::{Durable, Failure};
use crate::ended::Ended;
use crate::inbox::{Due, Next, Taken};
use crate::loaded::{Loaded, PendingView, read_timers};
use crate::message::{Envelope, Origin, StoredAttempts, StoredMessage, StoredTimer, open_envelope};
use crate::policy::backoff;
use crate::settling::Busy;
use crate::slice::{Host, Outcome};
use crate::slot::{Phase, Slot};
use crate::suspects::Ahead;
use crate::told::{Batch, Waiting};
use crate::window;

/// What a live actor is woken for.
#[derive(Debug)]
pub(crate) enum Wake {
    /// There may be something in the inbox; the commit waits a moment for what comes of it.
    Run(Option<Busy>),
    /// The same, for what came from outside: those who are ready to send go first, so that what they
    /// send belongs to the same slice.
    RunAfterOthers(Option<Busy>),
    /// Leave memory, if nothing waits.
    Passivate,
}

/// All that is ever in an actor's mailbox.
#[derive(Debug)]
pub(crate) struct Begin;

/// One activation: its number, how it is woken, and what it read.
pub(crate) struct Live<A> {
    generation: u64,
    bell: Arc<Bell>,
    loaded: Option<Loaded<A>>,
}

impl<A> Drop for Live<A> {
    fn drop(&mut self) {
        self.bell.cut();
    }
}

/// Runs one durable actor.
pub(crate) struct Activation<A: Durable> {
    pub(crate) core: Arc<Core>,
    pub(crate) slot: Arc<Slot>,
    pub(crate) settings: Arc<A::Settings>,
}

/// Slices run before other work of the same thread gets its turn.
const SLICES: usize = 16;

impl<A: Durable> Actor for Activation<A> {
    type Msg = Begin;
    type State = Live<A>;
    type Arguments = ();

    async fn pre_start(
        &self,
        myself: ActorRef<Begin>,
        (): (),
    ) -> Result<Self::State, ActorProcessingErr> {
        myself.cast(Begin)?;
        let bell = Arc::new(Bell::of(myself.get_cell()));
        let mut state = self.slot.lock();
        state.generation += 1;
        if std::mem::replace(&mut state.dirty, true) {
            state.inbox.rebuild();
        }
        state.phase = Phase::Active(bell.clone());
        state.awake = true;
        Ok(Live { generation: state.generation, bell, loaded: None })
    }

    /// Lasts until the actor leaves memory. Meanwhile ractor notices only when it is killed, which is how
    /// its supervisor ends it too.
    async fn handle(
        &self,
        myself: ActorRef<Begin>,
        Begin: Begin,
        live: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let mut busy = None;
        loop {
            match self.look(live).await? {
                Again::AtOnce => {
                    busy.get_or_insert_with(|| self.core.committer.busy());
                    tokio::task::yield_now().await;
                }
                Again::At(at) => {
                    self.core.rest(busy.take());
                    tokio::time::sleep_until(at).await;
                }
                Again::WhenWoken => {
                    self.core.rest(busy.take());
                    match live.bell.heard().await {
                        Wake::Run(by) => busy = by,
                        Wake::RunAfterOthers(by) => {
                            tokio::task::yield_now().await;
                            busy = by;
                        }
                        Wake::Passivate if self.passivate(&myself) => return Ok(()),
                        Wake::Passivate => {}
                    }
                }
            }
        }
    }
}

/// What to do after a slice.
enum Pace {
    Again,
    Later(Instant),
    Stop,
}

/// When to look for something to do.
enum Again {
    WhenWoken,
    AtOnce,
    At(Instant),
}

impl<A: Durable> Activation<A> {
    async fn look(&self, live: &mut Live<A>) -> Result<Again, Ended> {
        if live.loaded.is_none() {
            live.loaded = Some(self.load(live.generation).await?);
        }
        match &mut live.loaded {
            Some(loaded) => self.run(loaded).await,
            None => Ok(Again::WhenWoken),
        }
    }

    async fn load(&self, generation: u64) -> Result<Loaded<A>, Ended> {
        let position = self.slot.lock().last_position;
        if !self.core.committer.wait_busily_for(position).await {
            return Err(failed("the store failed"));
        }
        let loaded = self.read(generation).map_err(|error| self.unreadable(error))??;
        self.offer_due(&loaded);
        Ok(loaded)
    }

    /// Timers that fell due while the actor was not there.
    fn offer_due(&self, loaded: &Loaded<A>) {
        let now = self.core.now();
        let mut state = self.slot.lock();
        for (name, timer) in &loaded.timers {
            if timer.due <= now {
                state.inbox.offer_timer(name.clone(), timer.due);
            } else {
                // It may have been due already, before the clock was set back.
                self.core.timers.arm(timer.due, self.slot.address.clone(), name.clone());
            }
        }
    }

    /// The store cannot be read: the node ends, and this actor with it.
    fn unreadable(&self, error: StoreError) -> Ended {
        let reason = error.to_string();
        self.core.unreadable(error);
        Ended::escalated(reason)
    }

    fn read(&self, generation: u64) -> Result<Result<Loaded<A>, Ended>, StoreError> {
        let address = &self.slot.address;
        let backend = self.core.backend.as_ref();
        let key = Key::state(address.kind(), address.key());
        let mut loaded = Loaded::new(generation);
        if let Some(bytes) = backend.get(key.as_ref())? {
            let record = open(&key, &bytes)?;
            let state = if record.version == A::VERSION {
                decode(record.payload).map_err(|error| Failure::Escalate(error.to_string()))
            } else {
                A::migrate(record.version, record.payload)
            };
            match state {
                Ok(state) if record.version == A::VERSION => {
                    (loaded.state, loaded.stored) = (state, record.payload.to_vec());
                    loaded.written = true;
                }
                Ok(state) => loaded.begin(state),
                Err(failure) => return Ok(Err(Ended::illegible(failure.reason()))),
            }
        }
        loaded.timers = read_timers(backend, address)?;
        Ok(Ok(loaded))
    }

    async fn run(&self, loaded: &mut Loaded<A>) -> Result<Again, Ended> {
        for _ in 0..SLICES {
            self.core.committer.until_calm().await;
            if self.core.is_stopping() {
                return Ok(Again::WhenWoken);
            }
            let taken = match self.next_batch(loaded.generation).await? {
                ControlFlow::Continue(taken) => taken,
                ControlFlow::Break(again) => return Ok(again),
            };
            match self.slice(loaded, taken).await? {
                Pace::Again => {}
                Pace::Later(at) => return Ok(Again::At(at)),
                Pace::Stop => {
                    loaded.begin(A::default());
                    loaded.timers.clear();
                }
            }
        }
        Ok(Again::AtOnce)
    }

    /// What to handle next, read from the store if need be, or when to look again.
    async fn next_batch(&self, generation: u64) -> Result<ControlFlow<Again, Taken>, Ended> {
        let core = &self.core;
        loop {
            let careful = core.careful.load(Ordering::Relaxed);
            let limit = if careful { 1 } else { core.limits.slice };
            let next = {
                let mut state = self.slot.lock();
                if state.generation != generation {
                    return Err(superseded());
                }
                if let Some(at) = state.not_before.take_if(|at| *at > instant()) {
                    return Ok(ControlFlow::Break(Again::At(at)));
                }
                let next = state.inbox.next(limit, || core.now());
                if matches!(next, Next::Empty) {
                    state.awake = false;
                }
                if state.waiting > 0 && state.inbox.has_ample_room(core.limits.told()) {
                    self.slot.room.notify_one();
                }
                next
            };
            match next {
                Next::Run(taken) => return Ok(ControlFlow::Continue(taken)),
                Next::Empty => return Ok(ControlFlow::Break(Again::WhenWoken)),
                Next::Load { position } => self.load_window(position, generation).await?,
            }
        }
    }

    async fn load_window(&self, position: u64, generation: u64) -> Result<(), Ended> {
        let own = self.slot.lock().last_position;
        if !self.core.committer.wait_busily_for(position.max(own)).await {
            return Err(failed("the store failed"));
        }
        let limits = &self.core.limits;
        let bounds = (limits.window, limits.window_bytes);
        // The slot stays locked from here on: nothing is delivered between the scan and its use.
        let mut state = self.slot.lock();
        if state.generation != generation {
            return Err(superseded());
        }
        let Some(from) = state.inbox.unread_from() else { return Ok(()) };
        let address = &self.slot.address;
        let range = Key::inbox_of(address.kind(), address.key(), from);
        // Read before the scan: what commits in between may be missing from it.
        let committed = self.core.committer.committed();
        let page = window::read(self.core.backend.as_ref(), range, bounds);
        let read = page.and_then(|page| Ok((self.open_rows(page.rows)?, page.ended)));
        match read {
            Ok((envelopes, ended)) => {
                let last = envelopes.last().map(|envelope| envelope.origin.id());
                if ended || last.is_some_and(|id| self.core.is_own(id)) {
                    state.inbox.note_caught_up();
                }
                state.inbox.load(envelopes, ended, committed);
            }
            Err(error) => {
                drop(state);
                return Err(self.unreadable(error));
            }
        }
        drop(state);
        // What is left behind the window is to be seen, and to slow its senders down.
        self.core.waiting(&self.slot).map(drop).map_err(|error| self.unreadable(error))
    }

    fn open_rows(&self, rows: Vec<(Key, Vec<u8>)>) -> Result<Vec<Envelope>, StoreError> {
        let mut envelopes = Vec::with_capacity(rows.len());
        for (key, bytes) in rows {
            let message: StoredMessage = open_envelope(&key, &bytes)?;
            let Some((_, _, id)) = Key::parse_inbox(&key) else { continue };
            let mut envelope = Envelope::new(Origin::Inbox(id), message);
            self.recall_attempts(&mut envelope)?;
            envelopes.push(envelope);
        }
        Ok(envelopes)
    }

    /// Attempts before a crash count, but for one that was counted ahead and of which nothing died.
    fn recall_attempts(&self, envelope: &mut Envelope) -> Result<(), StoreError> {
        let key = envelope.origin.attempt_key(&self.slot.address);
        if let Some(bytes) = self.core.backend.get(key.as_ref())? {
            let attempts: StoredAttempts = open_envelope(&key, &bytes)?;
            let deaths = self.core.inflight.suspects().deaths_of(&self.slot.address);
            let made = Ahead::HANDLED.counts(&attempts.last_error, &deaths);
            envelope.attempts = attempts.count.saturating_sub(u32::from(!made));
            envelope.counted = true;
        }
        Ok(())
    }

    /// Adds the messages of timers in front; one that was cancelled or replaced has none.
    fn add_timers(
        &self,
        loaded: &Loaded<A>,
        due: Vec<Due>,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        let mut timers = Vec::with_capacity(due.len());
        for (name, due) in due {
            let set = loaded.timers.get(&name).filter(|timer| timer.due == due);
            if let Some(timer) = set {
                let mut envelope = timer_envelope(name, timer);
                self.recall_attempts(&mut envelope)?;
                timers.push(Waiting::Message(envelope));
            }
        }
        batch.messages.splice(0..0, timers);
        Ok(())
    }

    async fn slice(&self, loaded: &mut Loaded<A>, taken: Taken) -> Result<Pace, Ended> {
        let Taken { due, mut batch, now } = taken;
        if !due.is_empty() {
            self.add_timers(loaded, due, &mut batch).map_err(|error| self.unreadable(error))?;
        }
        if batch.messages.is_empty() {
            return Ok(Pace::Again);
        }
        if self.core.careful.load(Ordering::Relaxed) && self.slot.was_running() {
            let _one_at_a_time = self.core.one_suspect.lock().await;
            self.count_attempts(loaded.generation, &mut batch).await?;
            return self.run_slice(loaded, (batch, now));
        }
        self.run_slice(loaded, (batch, now))
    }

    /// Counts the attempt durably before it is made, so that a message that kills the process is found
    /// out. One that has used its attempts up is not run again.
    async fn count_attempts(&self, generation: u64, batch: &mut Batch) -> Result<(), Ended> {
        let mut draft = crate::draft::Draft::new(&self.core);
        for waiting in &mut batch.messages {
            // What was told is not run again after a crash.
            let Waiting::Message(envelope) = waiting else { continue };
            if !envelope.is_told() && envelope.attempts < self.core.limits.attempts {
                let why = Ahead::HANDLED.note(self.core.epoch);
                apply::note_attempt(&mut draft, &self.slot.address, envelope, &why)
                    .map_err(|error| failed(&error.to_string()))?;
            }
        }
        let sender = Sender { slot: &self.slot, generation };
        match self.core.publish(draft, Some(sender)) {
            Some(position) if self.core.committer.wait_busily_for(position).await => Ok(()),
            Some(_) | None => Err(failed("the store failed or another activation took over")),
        }
    }

    fn run_slice(
        &self,
        loaded: &mut Loaded<A>,
        (mut batch, now): (Batch, Timestamp),
    ) -> Result<Pace, Ended> {
        let committed = self.core.committer.committed();
        loaded.pending.retain(|(position, _)| *position > committed);
        let attempts = self.core.limits.attempts;
        let spent = batch.messages.iter().position(|waiting| waiting.attempts() >= attempts);
        // One further back is not run either: the slice ends before it.
        let later = spent.filter(|at| *at > 0).map(|at| batch.split_off(at));
        let traces = self.core.traces;
        let mut outcome = if spent == Some(0) {
            give_up_first(batch.into_envelopes(traces, now))
        } else {
            let rows = PendingView {
                backend: self.core.backend.as_ref(),
                pending: &loaded.pending,
                looked: Cell::new(false),
            };
            // What was told is not run again should it kill the process, so it is nobody's suspect.
            let stored = batch.messages.iter().any(|waiting| !waiting.is_told());
            let careful = self.core.careful.load(Ordering::Relaxed);
            let _marked = stored.then(|| self.core.inflight.mark(&self.slot.address, careful));
            let host = Host::<A> {
                address: &self.slot.address,
                settings: &self.settings,
                rows: &rows,
                now,
                traces,
            };
            let room = std::mem::take(&mut loaded.room);
            let mut outcome = host.run(&mut loaded.state, batch, room);
            outcome.looked = rows.looked.get();
            outcome.is_idle = outcome.applied.is_empty()
                && outcome.failed.is_none()
                && outcome.state.as_ref().is_some_and(|state| *state == loaded.stored);
            outcome
        };
        if let Some(later) = later {
            outcome.rest.extend(later.into_envelopes(traces, now));
        }
        self.conclude(loaded, outcome)
    }

    fn conclude(&self, loaded: &mut Loaded<A>, mut outcome: Outcome) -> Result<Pace, Ended> {
        let turns = (outcome.applied.len() + outcome.quiet.turns) as u64;
        let stops = outcome.applied.last().is_some_and(|turn| turn.ops.stop);
        let (rest, spent) = (std::mem::take(&mut outcome.rest), std::mem::take(&mut outcome.spent));
        let committed = apply::slice(self, loaded, outcome)
            .map_err(|error| failed(&format!("a slice cannot be stored: {error}")))?;
        let mut state = self.slot.lock();
        if state.generation != loaded.generation {
            return Err(superseded());
        }
        state.turns += turns;
        state.inbox.reuse(spent);
        state.inbox.put_back(rest);
        let Some(retry) = committed else {
            return Ok(if stops { Pace::Stop } else { Pace::Again });
        };
        let reason = retry.failure.reason().to_owned();
        let attempts = retry.envelope.attempts;
        state.last_error = Some(reason.clone());
        state.inbox.put_back(vec![retry.envelope]);
        drop(state);
        match retry.failure {
            Failure::Restart(_) => Err(Ended::failed(reason)),
            Failure::Escalate(_) => Err(Ended::escalated(reason)),
            Failure::Retry(_) | Failure::Reject(_) => {
                let limits = &self.core.limits;
                let jitter = self.core.jitter();
                let wait = backoff(limits.retry_base, limits.retry_cap, attempts, jitter);
                Ok(Pace::Later(instant() + wait))
            }
        }
    }

    /// Has the actor leave memory, if nothing waits.
    fn passivate(&self, myself: &ActorRef<Begin>) -> bool {
        let mut state = self.slot.lock();
        let idle = state.inbox.is_empty() && !state.awake;
        if idle {
            state.phase = Phase::Passive;
            state.dirty = false;
            myself.stop(Some("idle".to_owned()));
        }
        idle
    }
}

fn failed(reason: &str) -> Ended {
    Ended::failed(reason)
}

/// The inbox is another activation's now: nothing is taken out of it or put back into it.
fn superseded() -> Ended {
    failed("another activation took over")
}

/// A message that used up its attempts, in a process that died of it, is not run again.
fn give_up_first(envelopes: Vec<Envelope>) -> Outcome {
    let mut rest = envelopes.into_iter();
    let why = || Failure::Reject("the process ended each time it was handled".to_owned());
    let failed = rest.next().map(|envelope| (envelope, why()));
    Outcome { failed, rest: rest.collect(), ..Outcome::default() }
}

pub(crate) fn timer_envelope(name: String, timer: &StoredTimer) -> Envelope {
    let message = StoredMessage {
        accepted_at: timer.due,
        trace: timer.trace,
        expires: None,
        token: None,
        asked: false,
        version: timer.version,
        payload: timer.payload.clone(),
    };
    Envelope::new(Origin::Timer { name, due: timer.due, id: timer.id }, message)
}
