//! Everything one commit unit will do, collected before it is pushed: rows, messages, timers,
//! effects, answers.

use std::sync::Arc;

use perennial_store::{Batch, CodecError, Key, MessageId, Tag, Timestamp, seal};

use crate::address::Address;
use crate::committer::{After, Consumed, Unit};
use crate::core::{Answer, Core};
use crate::error::{AskError, SendError};
use crate::limits::{MAX_KEY_BYTES, MAX_PAYLOAD_BYTES};
use crate::merge::Fresh;
use crate::message::{
    DeadContent, Envelope, Origin, StoredDeadLetter, StoredEffect, StoredMessage, StoredTimer,
    seal_envelope,
};
use crate::slot::Slot;
use crate::turn::{EffectOp, Observation, Outgoing, TimerOp, TraceId};

#[derive(Debug)]
pub(crate) struct Draft {
    number: u64,
    index: u32,
    now: Timestamp,
    pub(crate) batch: Batch,
    pub(crate) sends: Vec<(Address, Envelope)>,
    fresh: Vec<Fresh>,
    consumed: Option<Consumed>,
    effects: Vec<(MessageId, StoredEffect)>,
    answers: Vec<(MessageId, Answer)>,
    observations: Vec<Observation>,
    turns: usize,
    /// The actor whose slice it is.
    actor: Option<Arc<Slot>>,
    after: Afters,
}

#[derive(Default)]
struct Afters(Vec<After>);

impl std::fmt::Debug for Afters {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} afters", self.0.len())
    }
}

impl Draft {
    pub(crate) fn new(core: &Core) -> Self {
        Self {
            number: core.unit_number(),
            index: 0,
            now: core.now(),
            batch: Batch::new(),
            sends: Vec::new(),
            fresh: Vec::new(),
            consumed: None,
            effects: Vec::new(),
            answers: Vec::new(),
            observations: Vec::new(),
            turns: 0,
            actor: None,
            after: Afters::default(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    fn next_id(&mut self) -> MessageId {
        self.index += 1;
        MessageId { unit: self.number, index: self.index }
    }

    pub(crate) fn count_turns(&mut self, turns: usize) {
        self.turns += turns;
    }

    /// Runs `after` when the fate of the unit is known. It runs on the committing thread: it only
    /// hands on.
    pub(crate) fn then(&mut self, after: impl FnOnce(bool) + Send + 'static) {
        push(&mut self.after.0, Box::new(after));
    }

    /// Tells the actor once its slice is durable.
    pub(crate) fn of_slice(&mut self, actor: Arc<Slot>) {
        self.actor = Some(actor);
    }

    pub(crate) fn observe(&mut self, observations: Vec<Observation>) {
        self.observations.extend(observations);
    }

    /// Puts a message into an inbox; one for a kind nobody registered goes to the dead letters.
    pub(crate) fn send(
        &mut self,
        core: &Core,
        outgoing: Outgoing,
        trace: TraceId,
        token: Option<(String, bool)>,
    ) -> Result<MessageId, CodecError> {
        let id = self.next_id();
        let (token, asked) = token.unwrap_or_default();
        let message = StoredMessage {
            accepted_at: self.now,
            trace,
            expires: outgoing.expires,
            token: (!token.is_empty()).then_some(token),
            asked,
            version: outgoing.version,
            payload: outgoing.payload,
        };
        if !core.kinds.contains_key(outgoing.to.kind()) {
            let reason = format!("no actor of kind {} is registered", outgoing.to.kind());
            self.bury(&outgoing.to, DeadContent::Message(message), (&reason, 0, ""))?;
            if asked {
                self.answer(id, Err(AskError::Rejected(reason)));
            }
            return Ok(id);
        }
        self.put_message(outgoing.to, id, message)?;
        Ok(id)
    }

    fn put_message(
        &mut self,
        to: Address,
        id: MessageId,
        message: StoredMessage,
    ) -> Result<(), CodecError> {
        if message.payload.len() > MAX_PAYLOAD_BYTES {
            let reason = format!("{} bytes of a message", message.payload.len());
            return Err(CodecError::Encode { reason });
        }
        let message = Arc::new(message);
        push(&mut self.fresh, Fresh { to: to.clone(), id, message: message.clone() });
        push(&mut self.sends, (to, Envelope::new(Origin::Inbox(id), message)));
        Ok(())
    }

    /// Puts a message back into its inbox under a new id.
    pub(crate) fn resend(
        &mut self,
        core: &Core,
        to: Address,
        mut message: StoredMessage,
    ) -> Result<(), CodecError> {
        let id = self.next_id();
        message.expires = None;
        message.asked = false;
        if !core.kinds.contains_key(to.kind()) {
            let reason = format!("no actor of kind {} is registered", to.kind());
            return self.bury(&to, DeadContent::Message(message), (&reason, 0, ""));
        }
        self.put_message(to, id, message)
    }

    /// Makes a message durable that was in memory only, under the id that it has.
    pub(crate) fn keep(
        &mut self,
        to: &Address,
        id: MessageId,
        message: StoredMessage,
    ) -> Result<(), CodecError> {
        self.put_message(to.clone(), id, message)
    }

    /// Deletes the message from where it waited; all of a draft waited for the same actor.
    pub(crate) fn consume(&mut self, to: &Address, envelope: &Envelope) {
        if let Origin::Inbox(id) = envelope.origin {
            let consumed = || Consumed { from: to.clone(), ids: Vec::new() };
            push(&mut self.consumed.get_or_insert_with(consumed).ids, id);
        }
        if envelope.counted {
            self.batch.delete(envelope.origin.attempt_key(to));
        }
    }

    /// Sets or cancels a timer. Returns what is now set.
    pub(crate) fn timer(
        &mut self,
        owner: &Address,
        name: &str,
        (op, trace, version): (TimerOp, TraceId, u16),
        before: Option<&StoredTimer>,
    ) -> Result<Option<StoredTimer>, CodecError> {
        if let Some(before) = before {
            self.batch.delete(Key::timer_due(before.due, owner.kind(), owner.key(), name));
        }
        let key = Key::timer(owner.kind(), owner.key(), name);
        match op {
            TimerOp::Cancel => {
                if before.is_some() {
                    self.batch.delete(key);
                }
                Ok(None)
            }
            TimerOp::Set { due, period, payload } => {
                let id = self.next_id();
                let timer = StoredTimer { id, due, period, trace, version, payload };
                let due_key = Key::timer_due(due, owner.kind(), owner.key(), name);
                let index = seal(&due_key, Tag::Timer, 0, &[]);
                self.batch.put(due_key, index);
                let bytes = seal_envelope(&key, Tag::Timer, &timer)?;
                self.batch.put(key, bytes);
                Ok(Some(timer))
            }
        }
    }

    /// Records an intended effect; it is performed after the commit.
    pub(crate) fn effect(
        &mut self,
        core: &Core,
        owner: &Address,
        op: EffectOp,
        trace: TraceId,
    ) -> Result<(), CodecError> {
        let effect = StoredEffect {
            name: op.name.to_owned(),
            owner: owner.clone(),
            key: op.key.0,
            lane: op.lane,
            policy: op.policy,
            intended_at: self.now,
            trace,
            attempts: 0,
            last_error: String::new(),
            deaths: 0,
            doubtful: false,
            version: op.version,
            payload: op.payload,
        };
        self.put_effect(core, effect)
    }

    /// Records an effect.
    pub(crate) fn put_effect(
        &mut self,
        core: &Core,
        effect: StoredEffect,
    ) -> Result<(), CodecError> {
        let id = self.next_id();
        if !core.pools.contains_key(effect.name.as_str()) {
            let owner = effect.owner.clone();
            let reason = format!("no performer of {} is registered", effect.name);
            return self.bury(&owner, DeadContent::Effect(effect), (&reason, 0, ""));
        }
        let key = Key::effect(id);
        let bytes = seal_envelope(&key, Tag::Effect, &effect)?;
        self.batch.put_fresh(key, bytes);
        push(&mut self.effects, (id, effect));
        Ok(())
    }

    /// Puts a message that no inbox takes into the dead letters; content that no row takes is not kept.
    pub(crate) fn refuse(
        &mut self,
        outgoing: Outgoing,
        trace: TraceId,
        why: &str,
    ) -> Result<(), CodecError> {
        let key: String = outgoing.to.key().chars().take(MAX_KEY_BYTES / 4).collect();
        let whole = outgoing.payload.len() <= MAX_PAYLOAD_BYTES && key == outgoing.to.key();
        let message = StoredMessage {
            accepted_at: self.now,
            trace,
            expires: outgoing.expires,
            token: None,
            asked: false,
            version: outgoing.version,
            payload: if whole { outgoing.payload } else { Vec::new() },
        };
        let to = Address::new(outgoing.to.kind(), key);
        let kept = if whole { "" } else { "its content was not kept" };
        self.bury(&to, DeadContent::Message(message), (why, 0, kept))
    }

    /// Moves a message or effect to the dead letters. The caller deletes it from where it was.
    pub(crate) fn bury(
        &mut self,
        to: &Address,
        content: DeadContent,
        (reason, attempts, last_error): (&str, u32, &str),
    ) -> Result<(), CodecError> {
        let id = self.next_id();
        let effect = match &content {
            DeadContent::Message(_) => String::new(),
            DeadContent::Effect(effect) => effect.name.clone(),
        };
        let letter = StoredDeadLetter {
            to: to.clone(),
            effect,
            reason: clipped(reason),
            attempts,
            last_error: clipped(last_error),
            at: self.now,
            content,
        };
        let key = Key::dead_letter(id);
        let bytes = seal_envelope(&key, Tag::DeadLetter, &letter)?;
        self.batch.put_fresh(key, bytes);
        tracing::warn!(%to, reason, attempts, last_error, id = %id, "moved to the dead letters");
        Ok(())
    }

    /// Answers those who wait for `id`, once durable.
    pub(crate) fn answer(&mut self, id: MessageId, answer: Answer) {
        self.answers.push((id, answer));
    }

    /// Splits into what is committed and what is delivered.
    pub(crate) fn into_unit(self, core: &Arc<Core>) -> (Unit, Vec<(Address, Envelope)>) {
        let mut after = self.after.0;
        let released = Released {
            turns: self.turns,
            slice: self.actor.map(|actor| (actor, self.now)),
            effects: self.effects,
            answers: self.answers,
            observations: self.observations,
        };
        if !released.is_empty() {
            let core = core.clone();
            push(&mut after, Box::new(move |durable| released.release(&core, durable)));
        }
        let Self { batch, fresh, consumed, sends, .. } = self;
        (Unit { batch, fresh, consumed, after, accepted: 0 }, sends)
    }
}

/// Adds the first with room for itself only: most drafts have one of each, and a vector would make room
/// for four.
fn push<T>(to: &mut Vec<T>, item: T) {
    if to.is_empty() {
        to.reserve_exact(1);
    }
    to.push(item);
}

/// What is kept of an error: a failure may say anything at any length, and a row is bounded.
pub(crate) fn clipped(error: &str) -> String {
    error.chars().take(ERROR_CHARS).collect()
}

const ERROR_CHARS: usize = 4096;

/// What a unit holds back until it is durable.
struct Released {
    turns: usize,
    /// The actor whose slice it was, and when.
    slice: Option<(Arc<Slot>, Timestamp)>,
    effects: Vec<(MessageId, StoredEffect)>,
    answers: Vec<(MessageId, Answer)>,
    observations: Vec<Observation>,
}

impl Released {
    fn is_empty(&self) -> bool {
        self.turns == 0
            && self.slice.is_none()
            && self.effects.is_empty()
            && self.answers.is_empty()
            && self.observations.is_empty()
    }

    fn release(self, core: &Arc<Core>, durable: bool) {
        if !durable {
            for (id, _) in self.answers {
                core.answer(id, &Err(AskError::Send(SendError::Unknown)));
            }
            return;
        }
        core.stats.count_turns(self.turns);
        if let Some((actor, at)) = self.slice {
            actor.lock().last_commit = Some(at);
        }
        self.observations.iter().for_each(|observation| (core.observer)(observation));
        for (id, effect) in self.effects {
            if let Some(pool) = core.pools.get(effect.name.as_str()) {
                pool.submit(core, id, effect);
            }
        }
        self.answers.iter().for_each(|(id, answer)| core.answer(*id, answer));
    }
}
