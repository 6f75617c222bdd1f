//! Turns what a slice did into one commit unit.

use perennial_store::{CodecError, Key, Tag, Timestamp, seal};

use crate::activation::Activation;
use crate::address::Address;
use crate::core::{Answer, Sender};
use crate::draft::{Draft, clipped};
use crate::durable::{Durable, Failure};
use crate::error::AskError;
use crate::gate::unknown;
use crate::loaded::Loaded;
use crate::message::{Asker, DeadContent, Envelope, Origin, StoredAttempts, seal_envelope};
use crate::slice::{Applied, Outcome, given};
use crate::table::Overlay;
use crate::turn::{Ops, TimerOp};
use crate::{quiet, receipts};

/// A message that is run again, and why.
#[derive(Debug)]
pub(crate) struct Again {
    pub(crate) envelope: Envelope,
    pub(crate) failure: Failure,
}

/// Publishes one unit for the slice and updates what the actor holds in memory accordingly. A slice that
/// changed nothing publishes nothing, if what it shows is durable already.
///
/// # Errors
/// Something could not be encoded; nothing was published.
pub(crate) fn slice<A: Durable>(
    actor: &Activation<A>,
    loaded: &mut Loaded<A>,
    mut outcome: Outcome,
) -> Result<Option<Again>, Failure> {
    let core = &actor.core;
    if outcome.is_idle && quiet::release(actor, loaded.generation, &mut outcome)? {
        loaded.reuse(outcome.state.take().unwrap_or_default());
        return Ok(None);
    }
    let mut work =
        Work { actor, loaded, draft: Draft::new(core), rows: Overlay::new(), armed: Vec::new() };
    let mut stops = false;
    for Applied { envelope, ops } in outcome.applied {
        stops |= ops.stop;
        work.turn(envelope, ops)?;
    }
    work.draft.count_turns(outcome.quiet.turns);
    work.draft.observe(outcome.quiet.observations);
    work.tell_askers(outcome.quiet.answers);
    let again = match outcome.failed {
        Some((envelope, failure)) => work.failure(envelope, failure)?,
        None => None,
    };
    work.state(stops, outcome.state)?;
    work.publish()?;
    Ok(again)
}

struct Work<'a, A: Durable> {
    actor: &'a Activation<A>,
    loaded: &'a mut Loaded<A>,
    draft: Draft,
    rows: Overlay,
    /// Timers to be watched, once published.
    armed: Vec<(Timestamp, String)>,
}

impl<'a, A: Durable> Work<'a, A> {
    fn address(&self) -> &'a Address {
        &self.actor.slot.address
    }

    fn turn(&mut self, mut envelope: Envelope, ops: Ops) -> Result<(), CodecError> {
        let (core, address) = (&self.actor.core, self.address());
        let trace = envelope.message.trace;
        self.draft.count_turns(1);
        self.consume(&envelope)?;
        for outgoing in ops.sends {
            self.draft.send(core, outgoing, trace, None)?;
        }
        for (name, op) in ops.timers {
            self.forget_attempts(&name);
            self.timer(&name, (op, trace, A::VERSION))?;
        }
        for op in ops.effects {
            self.draft.effect(core, address, op, trace)?;
        }
        for (key, value) in ops.rows {
            match &value {
                Some(bytes) => self.draft.batch.put(key.clone(), bytes.clone()),
                None => self.draft.batch.delete(key.clone()),
            }
            self.rows.insert(key, value);
        }
        self.draft.observe(ops.observations);
        self.conclude(&mut envelope, given(ops.reply))
    }

    /// Answers those who wait in memory, once this is durable.
    fn tell_askers(&mut self, answers: Vec<(Asker, Answer)>) {
        if !answers.is_empty() {
            self.draft.then(move |durable| {
                for (asker, answer) in answers {
                    // Whoever asked may have stopped waiting.
                    let _gone = asker.send(if durable { answer } else { unknown() });
                }
            });
        }
    }

    /// Takes the message out of where it waited; a periodic timer is set for its next tick.
    fn consume(&mut self, envelope: &Envelope) -> Result<(), CodecError> {
        self.draft.consume(self.address(), envelope);
        let Origin::Timer { name, due, .. } = &envelope.origin else { return Ok(()) };
        let Some(timer) = self.loaded.timers.get(name).filter(|timer| timer.due == *due) else {
            return Ok(());
        };
        let op = match timer.period {
            None => TimerOp::Cancel,
            Some(period) => TimerOp::Set {
                due: next_tick(*due, period, self.draft.now()),
                period: Some(period),
                payload: timer.payload.clone(),
            },
        };
        let (trace, version) = (timer.trace, timer.version);
        self.timer(name, (op, trace, version))
    }

    /// A timer that is cancelled or set anew will not be consumed, and attempts at it go with it. One
    /// that is not due yet has none.
    fn forget_attempts(&mut self, name: &str) {
        let Some(timer) = self.loaded.timers.get(name) else { return };
        if timer.due <= self.draft.now() {
            let origin = Origin::Timer { name: name.to_owned(), due: timer.due, id: timer.id };
            let key = origin.attempt_key(self.address());
            self.draft.batch.delete(key);
        }
    }

    fn timer(
        &mut self,
        name: &str,
        change: (TimerOp, crate::turn::TraceId, u16),
    ) -> Result<(), CodecError> {
        let address = self.address();
        let before = self.loaded.timers.get(name);
        match self.draft.timer(address, name, change, before)? {
            Some(timer) => {
                self.armed.push((timer.due, name.to_owned()));
                self.loaded.timers.insert(name.to_owned(), timer);
            }
            None => {
                self.loaded.timers.remove(name);
            }
        }
        Ok(())
    }

    fn conclude(&mut self, envelope: &mut Envelope, answer: Answer) -> Result<(), CodecError> {
        if let Some(asker) = envelope.asker.take() {
            self.tell_askers(vec![(asker, answer)]);
            return Ok(());
        }
        let Origin::Inbox(id) = envelope.origin else { return Ok(()) };
        if let Some(token) = &envelope.message.token {
            let expires = envelope.message.accepted_at + self.actor.core.limits.receipts;
            receipts::store(&mut self.draft, token, (id, expires), Some(&answer))?;
        }
        if envelope.message.asked || envelope.message.token.is_some() {
            self.draft.answer(id, answer);
        }
        Ok(())
    }

    fn failure(
        &mut self,
        mut envelope: Envelope,
        failure: Failure,
    ) -> Result<Option<Again>, CodecError> {
        let address = self.address();
        let attempts = (envelope.attempts + 1).min(self.actor.core.limits.attempts);
        let reason = failure.reason().to_owned();
        let last = attempts == self.actor.core.limits.attempts;
        if !last && !matches!(failure, Failure::Reject(_)) {
            // What is in memory only has no row to be found with after a crash.
            if !envelope.is_told() {
                note_attempt(&mut self.draft, address, &mut envelope, &reason)?;
            }
            envelope.attempts = attempts;
            return Ok(Some(Again { envelope, failure }));
        }
        self.consume(&envelope)?;
        let why =
            if matches!(failure, Failure::Reject(_)) { "rejected" } else { "attempts used up" };
        let content = DeadContent::Message((*envelope.message).clone());
        self.draft.bury(address, content, (why, attempts, &reason))?;
        self.conclude(&mut envelope, Err(AskError::Rejected(reason.clone())))?;
        self.actor.slot.lock().last_error = Some(reason);
        Ok(None)
    }

    fn state(&mut self, stops: bool, encoded: Option<Vec<u8>>) -> Result<(), Failure> {
        let address = self.address();
        let key = Key::state(address.kind(), address.key());
        if stops {
            let names: Vec<String> = self.loaded.timers.keys().cloned().collect();
            for name in names {
                self.forget_attempts(&name);
                self.timer(&name, (TimerOp::Cancel, crate::turn::TraceId::default(), A::VERSION))?;
            }
            self.armed.clear();
            self.draft.batch.delete(key);
            return Ok(());
        }
        let loaded = &mut *self.loaded;
        let differs = |state: &Vec<u8>| !loaded.written || *state != loaded.stored;
        let Some(mut state) = encoded else { return Ok(()) };
        if differs(&state) {
            let sealed = seal(&key, Tag::State, A::VERSION, &state);
            self.draft.batch.put(key, sealed);
            std::mem::swap(&mut loaded.stored, &mut state);
            loaded.written = true;
        }
        loaded.reuse(state);
        Ok(())
    }

    fn publish(mut self) -> Result<(), Failure> {
        let (core, slot) = (&self.actor.core, &self.actor.slot);
        self.draft.of_slice(slot.clone());
        let sender = Sender { slot, generation: self.loaded.generation };
        let Some(position) = core.publish(self.draft, Some(sender)) else {
            return Err(Failure::Restart("another activation took over".to_owned()));
        };
        if !self.rows.is_empty() {
            self.loaded.pending.push((position, self.rows));
        }
        for (due, name) in self.armed {
            core.timers.arm(due, slot.address.clone(), name);
        }
        Ok(())
    }
}

/// Writes that an attempt at the message was made, or is about to be.
pub(crate) fn note_attempt(
    draft: &mut Draft,
    to: &Address,
    envelope: &mut Envelope,
    error: &str,
) -> Result<(), CodecError> {
    let attempts = StoredAttempts { count: envelope.attempts + 1, last_error: clipped(error) };
    let key = envelope.origin.attempt_key(to);
    let bytes = seal_envelope(&key, Tag::Attempt, &attempts)?;
    draft.batch.put(key, bytes);
    envelope.counted = true;
    Ok(())
}

/// The first tick after `now` in the rhythm of `due`: missed ticks are one tick.
fn next_tick(due: Timestamp, period: std::time::Duration, now: Timestamp) -> Timestamp {
    let period_micros = u64::try_from(period.as_micros()).unwrap_or(u64::MAX).max(1);
    let late = u64::try_from(now.since(due).as_micros()).unwrap_or(u64::MAX);
    let missed = late / period_micros;
    Timestamp::from_micros(
        due.as_micros().saturating_add(period_micros.saturating_mul(missed.saturating_add(1))),
    )
}
