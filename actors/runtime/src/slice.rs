//! Runs the turns of one slice on an actor's state: synchronous and without effects of its own.

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use perennial_store::{
    HEADER_BYTES, Key, MAX_VALUE_BYTES, StoreError, Timestamp, decode, encode_into,
};

use crate::address::Address;
use crate::core::Answer;
use crate::durable::{Durable, Failure};
use crate::error::AskError;
use crate::message::{Asker, Envelope, Origin};
use crate::table::{Overlay, RowView, scan_merged};
use crate::told::{Batch, Waiting};
use crate::turn::{Observation, Occasion, Ops, TraceId, Turn};

/// One applied turn.
#[derive(Debug)]
pub(crate) struct Applied {
    pub(crate) envelope: Envelope,
    pub(crate) ops: Ops,
}

/// Applied turns of messages that were told, of which nothing is stored but what became of the state.
#[derive(Debug, Default)]
pub(crate) struct Quiet {
    pub(crate) turns: usize,
    pub(crate) answers: Vec<(Asker, Answer)>,
    pub(crate) observations: Vec<Observation>,
}

/// What a slice did.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) applied: Vec<Applied>,
    pub(crate) quiet: Quiet,
    /// The message that stopped the slice.
    pub(crate) failed: Option<(Envelope, Failure)>,
    /// What was not reached.
    pub(crate) rest: Vec<Envelope>,
    /// The state, encoded; none when no turn was applied.
    pub(crate) state: Option<Vec<u8>>,
    /// Whether nothing has to be stored, or taken out of the store.
    pub(crate) is_idle: bool,
    /// Whether a turn looked into the store.
    pub(crate) looked: bool,
    /// The batch, of which only the room is left.
    pub(crate) spent: Batch,
}

/// Rows as earlier turns of the slice left them.
struct SliceView<'a> {
    base: &'a dyn RowView,
    overlay: &'a Overlay,
}

impl RowView for SliceView<'_> {
    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        match self.overlay.get(key) {
            Some(pending) => Ok(pending.clone()),
            None => self.base.get(key),
        }
    }

    fn scan(&self, range: Range<Key>, limit: usize) -> Result<Vec<(Key, Vec<u8>)>, StoreError> {
        scan_merged(self.overlay, range, limit, |range, limit| self.base.scan(range, limit))
    }
}

/// The actor whose slice it is, apart from its state.
pub(crate) struct Host<'a, A: Durable> {
    pub(crate) address: &'a Address,
    pub(crate) settings: &'a A::Settings,
    pub(crate) rows: &'a dyn RowView,
    pub(crate) now: Timestamp,
    /// What traces begin with that nobody else gave.
    pub(crate) traces: u64,
}

/// How far a slice has come.
#[derive(Debug, Default)]
struct Progress {
    /// Messages that were gone through and did not fail.
    done: usize,
    /// What turns recorded, by the places of their messages; nothing of those that recorded nothing.
    recorded: Vec<(usize, Ops)>,
    /// Timers that an earlier turn of the slice cancelled or set anew, by their places.
    skipped: Vec<usize>,
    /// The message after those, if it failed.
    failure: Option<Failure>,
}

impl Progress {
    fn stops(&self) -> bool {
        self.recorded.last().is_some_and(|(_, ops)| ops.stop)
    }

    /// Whether it is a timer that an earlier turn of the slice cancelled or set anew.
    fn is_changed(&self, waiting: &Waiting) -> bool {
        let Waiting::Message(envelope) = waiting else { return false };
        let Origin::Timer { name, .. } = &envelope.origin else { return false };
        self.recorded.iter().any(|(_, ops)| ops.timers.contains_key(name))
    }

    fn undo_from(&mut self, done: usize, why: String) {
        self.done = done;
        self.recorded.retain(|(at, _)| *at < done);
        self.skipped.retain(|at| *at < done);
        self.failure = Some(Failure::Reject(why));
    }
}

impl<A: Durable> Host<'_, A> {
    /// Applies a batch in order, up to the first failure or stop. On return `state` is as after the last
    /// applied turn. It is encoded into `room`.
    pub(crate) fn run(&self, state: &mut A, batch: Batch, room: Vec<u8>) -> Outcome {
        let before = state.clone();
        let mut overlay = Overlay::new();
        let mut progress = Progress::default();
        // One for all turns that record nothing.
        let mut ops = Ops::default();
        for (at, (waiting, payload)) in batch.with_payloads().enumerate() {
            if progress.is_changed(waiting) {
                progress.skipped.push(at);
                progress.done = at + 1;
                continue;
            }
            match self.turn(state, &overlay, (waiting, payload), &mut ops) {
                Ok(()) => {
                    progress.done = at + 1;
                    let stops = ops.stop;
                    if !ops.rows.is_empty() {
                        let rows = ops.rows.iter();
                        overlay.extend(rows.map(|(key, value)| (key.clone(), value.clone())));
                    }
                    if !ops.is_nothing() {
                        progress.recorded.push((at, std::mem::take(&mut ops)));
                    }
                    if stops {
                        break;
                    }
                }
                Err(failure) => {
                    // The failed turn may have changed the state half-way. Turns are pure, so running
                    // the earlier ones again on the copy gives the state as before it.
                    *state = self.again(&before, &batch, (&progress.skipped, progress.done));
                    progress.failure = Some(failure);
                    break;
                }
            }
        }
        let encoded = self.encode((&before, state), &batch, &mut progress, room);
        self.outcome(batch, progress, encoded)
    }

    /// Encodes the state. One that cannot be stored fails the turn that made it so: the turns before
    /// it stay applied, those after it were not reached.
    fn encode(
        &self,
        (before, state): (&A, &mut A),
        batch: &Batch,
        progress: &mut Progress,
        room: Vec<u8>,
    ) -> Option<Vec<u8>> {
        if progress.done == progress.skipped.len() {
            return None;
        }
        let why = match Self::encoded(state, room) {
            Ok(encoded) => return Some(encoded),
            // It is deleted, not stored.
            Err(_) if progress.stops() => return None,
            Err(why) => why,
        };
        let as_after = |done| self.again(before, batch, (&progress.skipped, done));
        let fits = |done: &usize| Self::encoded(&as_after(*done), Vec::new()).is_ok();
        let kept = (0..progress.done).rev().find(fits).unwrap_or_default();
        *state = as_after(kept);
        progress.undo_from(kept, why);
        (kept > progress.skipped.len()).then(|| Self::encoded(state, Vec::new()).ok()).flatten()
    }

    /// The state as it can be stored, in `room`.
    fn encoded(state: &A, mut room: Vec<u8>) -> Result<Vec<u8>, String> {
        room.clear();
        encode_into(&mut room, state).map_err(|error| format!("the state: {error}"))?;
        let bytes = HEADER_BYTES + room.len();
        if bytes > MAX_VALUE_BYTES {
            return Err(format!(
                "the state would be {bytes} bytes, over the limit of {MAX_VALUE_BYTES}"
            ));
        }
        Ok(room)
    }

    /// The state after the first messages, so many that were `done`.
    fn again(&self, before: &A, batch: &Batch, (skipped, done): (&[usize], usize)) -> A {
        let mut state = before.clone();
        let mut overlay = Overlay::new();
        for (at, heard) in batch.with_payloads().take(done).enumerate() {
            if skipped.contains(&at) {
                continue;
            }
            // It succeeded with the same inputs a moment ago. Were it impure and failed now, its
            // change of state would be lost and its messages sent: that is the actor's defect.
            let mut ops = Ops::default();
            if self.turn(&mut state, &overlay, heard, &mut ops).is_ok() {
                overlay.extend(ops.rows);
            }
        }
        state
    }

    fn turn(
        &self,
        state: &mut A,
        overlay: &Overlay,
        (waiting, payload): (&Waiting, &[u8]),
        ops: &mut Ops,
    ) -> Result<(), Failure> {
        let (expires, version, attempts, trace) = match waiting {
            Waiting::Message(Envelope { message, attempts, .. }) => {
                (message.expires, message.version, *attempts, message.trace)
            }
            Waiting::Told(told) => {
                (told.expires, told.version, 0, TraceId::begun_by(self.traces, told.unit))
            }
        };
        if expires.is_some_and(|expires| expires < self.now) {
            return Err(Failure::Reject("expired".to_owned()));
        }
        let occasion = Occasion {
            address: self.address,
            id: waiting.id(),
            source: waiting.source(),
            now: self.now,
            attempt: attempts + 1,
            trace,
        };
        let view = SliceView { base: self.rows, overlay };
        let turn = Turn::new(&occasion, self.settings, &view, ops);
        let run = || {
            let body: A::Message = if version == A::VERSION {
                decode(payload).map_err(|error| Failure::Reject(error.to_string()))?
            } else {
                A::migrate_message(version, payload)?
            };
            turn.run(state, body)
        };
        catch_unwind(AssertUnwindSafe(run))
            .unwrap_or_else(|panic| Err(Failure::Retry(format!("panicked: {}", text(&*panic)))))
    }

    /// Sorts out what became of each message.
    fn outcome(&self, mut batch: Batch, progress: Progress, state: Option<Vec<u8>>) -> Outcome {
        let Progress { done, recorded, skipped, mut failure } = progress;
        let mut outcome = Outcome { state, ..Outcome::default() };
        if failure.is_none() && recorded.is_empty() && batch.is_nobodys(done) {
            outcome.quiet.turns = done;
            outcome.spent = batch;
            return outcome;
        }
        let mut recorded = recorded.into_iter().peekable();
        let mut from = 0;
        for (at, waiting) in batch.messages.drain(..).enumerate() {
            let payload = from..from + waiting.payload_bytes();
            from = payload.end;
            let ops = recorded.next_if(|(place, _)| *place == at).map(|(_, ops)| ops);
            if skipped.contains(&at) {
                continue;
            }
            if at < done && waiting.is_told() && ops.as_ref().is_none_or(Ops::is_volatile) {
                outcome.quiet.note(waiting, ops);
                continue;
            }
            let envelope = match waiting {
                Waiting::Message(envelope) => envelope,
                Waiting::Told(told) => {
                    let trace = TraceId::begun_by(self.traces, told.unit);
                    told.into_envelope(&batch.payloads[payload], (trace, self.now))
                }
            };
            if at < done {
                outcome.applied.push(Applied { envelope, ops: ops.unwrap_or_default() });
            } else if let Some(failure) = failure.take() {
                outcome.failed = Some((envelope, failure));
            } else {
                outcome.rest.push(envelope);
            }
        }
        outcome.spent = batch;
        outcome
    }
}

impl Quiet {
    fn note(&mut self, waiting: Waiting, ops: Option<Ops>) {
        self.turns += 1;
        let asker = match waiting {
            Waiting::Told(told) => told.asker,
            Waiting::Message(envelope) => envelope.asker,
        };
        let (reply, observations) =
            ops.map(|ops| (ops.reply, ops.observations)).unwrap_or_default();
        self.observations.extend(observations);
        if let Some(asker) = asker {
            self.answers.push((asker, given(reply)));
        }
    }
}

/// The answer of a turn that was applied.
pub(crate) fn given(reply: Option<Vec<u8>>) -> Answer {
    reply.ok_or_else(|| AskError::NoAnswer("its turn gave no reply".to_owned()))
}

/// What a panic said.
pub(crate) fn text(panic: &(dyn Any + Send)) -> &str {
    let said = panic.downcast_ref::<&str>().copied();
    said.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
