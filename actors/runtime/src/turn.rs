//! One message applied to one actor: what it may read, and what it records to happen.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use perennial_store::{MessageId, StoreError, Timestamp, encode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::address::Address;
use crate::durable::{Durable, Failure};
use crate::effect::{Effect, EffectPolicy, IdempotencyKey};
use crate::limits::{MAX_KEY_BYTES, MAX_PAYLOAD_BYTES};
use crate::random::{Random, stable_hash};
use crate::table::{Overlay, RowKey, RowView, Table, scan_merged};

/// Names a chain of messages from the outside event that began it; carried by everything a turn
/// causes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct TraceId(pub(crate) u128);

impl TraceId {
    /// The trace of a message that is told; made by counting, as most are never looked at.
    pub(crate) fn begun_by(traces: u64, unit: u64) -> Self {
        Self(u128::from(traces) << 64 | u128::from(unit))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.0)
    }
}

/// What is being handled: recorded once, so that a turn that runs again sees the same.
#[derive(Clone, Debug)]
pub(crate) struct Occasion<'a> {
    pub(crate) address: &'a Address,
    pub(crate) id: MessageId,
    pub(crate) source: String,
    pub(crate) now: Timestamp,
    pub(crate) attempt: u32,
    pub(crate) trace: TraceId,
}

/// Everything a turn recorded. Applied wholly with its commit, or not at all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ops {
    pub(crate) sends: Vec<Outgoing>,
    pub(crate) timers: BTreeMap<String, TimerOp>,
    pub(crate) effects: Vec<EffectOp>,
    pub(crate) rows: Overlay,
    pub(crate) reply: Option<Vec<u8>>,
    pub(crate) observations: Vec<Observation>,
    pub(crate) stop: bool,
}

impl Ops {
    /// Whether nothing of it is stored: it may hold a reply and figures.
    pub(crate) fn is_volatile(&self) -> bool {
        self.sends.is_empty()
            && self.timers.is_empty()
            && self.effects.is_empty()
            && self.rows.is_empty()
            && !self.stop
    }

    /// Whether the turn recorded nothing at all.
    pub(crate) fn is_nothing(&self) -> bool {
        self.is_volatile() && self.reply.is_none() && self.observations.is_empty()
    }
}

/// A figure that a turn contributes to the node's metrics, once it is committed.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// The metric's name, as it is exported.
    pub metric: &'static str,
    /// Label names and values; values are bounded sets, never ids.
    pub labels: Vec<(&'static str, String)>,
    /// What a counter grows by, or what a histogram is given.
    pub value: f64,
}

#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) to: Address,
    pub(crate) version: u16,
    pub(crate) payload: Vec<u8>,
    pub(crate) expires: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TimerOp {
    Set { due: Timestamp, period: Option<Duration>, payload: Vec<u8> },
    Cancel,
}

#[derive(Clone, Debug)]
pub(crate) struct EffectOp {
    pub(crate) name: &'static str,
    pub(crate) version: u16,
    pub(crate) payload: Vec<u8>,
    pub(crate) key: IdempotencyKey,
    pub(crate) lane: Option<String>,
    pub(crate) policy: EffectPolicy,
}

/// The world as an actor sees it while it handles one message.
pub struct Turn<'a, A: Durable> {
    occasion: &'a Occasion<'a>,
    settings: &'a A::Settings,
    rows: &'a dyn RowView,
    /// Begun when it is first asked for: few turns do.
    random: Option<Random>,
    ops: &'a mut Ops,
    broken: Option<Failure>,
}

impl<A: Durable> fmt::Debug for Turn<'_, A> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Turn").field("occasion", self.occasion).finish_non_exhaustive()
    }
}

impl<'a, A: Durable> Turn<'a, A> {
    pub(crate) fn new(
        occasion: &'a Occasion<'a>,
        settings: &'a A::Settings,
        rows: &'a dyn RowView,
        ops: &'a mut Ops,
    ) -> Self {
        Self { occasion, settings, rows, random: None, ops, broken: None }
    }

    /// Runs `handle`, which records in the turn's `ops`.
    pub(crate) fn run(mut self, actor: &mut A, message: A::Message) -> Result<(), Failure> {
        actor.handle(message, &mut self)?;
        self.broken.map_or(Ok(()), Err)
    }

    /// When the slice of turns began that this one is part of. Later when the message is tried again.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.occasion.now
    }

    /// The next of a sequence of numbers that is the same whenever this message is handled.
    pub fn random(&mut self) -> u64 {
        let occasion = self.occasion;
        let seed = || {
            stable_hash(&[
                occasion.address.kind().as_bytes(),
                occasion.address.key().as_bytes(),
                &occasion.id.to_key(),
                occasion.source.as_bytes(),
            ]) as u64
        };
        self.random.get_or_insert_with(|| Random::seeded(seed())).next()
    }

    /// The message being handled.
    #[must_use]
    pub fn message_id(&self) -> MessageId {
        self.occasion.id
    }

    /// 1, or more after failures of this message.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.occasion.attempt
    }

    /// The chain of messages this one belongs to.
    #[must_use]
    pub fn trace(&self) -> TraceId {
        self.occasion.trace
    }

    /// The actor's own address.
    #[must_use]
    pub fn address(&self) -> &Address {
        self.occasion.address
    }

    /// The actor's own key within its kind.
    #[must_use]
    pub fn key(&self) -> &str {
        self.occasion.address.key()
    }

    /// The configuration of the actor's kind. The reference does not borrow the turn.
    #[must_use]
    pub fn settings(&self) -> &'a A::Settings {
        self.settings
    }

    /// Sends `message` to the actor `key` of `B`'s kind, in this turn's commit.
    pub fn send<B: Durable>(&mut self, key: impl Into<String>, message: &B::Message) {
        self.send_until::<B>(key, message, None);
    }

    /// The same, for a message that is of no use after `expires`: it then goes to the dead letters.
    pub fn send_until<B: Durable>(
        &mut self,
        key: impl Into<String>,
        message: &B::Message,
        expires: Option<Timestamp>,
    ) {
        let Some(payload) = self.encode(message, "a message") else { return };
        let key = key.into();
        self.check_key(&key, "a receiver's key");
        let to = Address::of(B::KIND, key);
        self.ops.sends.push(Outgoing { to, version: B::VERSION, payload, expires });
    }

    /// Sends `message` to this actor after `delay`. A timer of the same name is replaced.
    pub fn send_after(&mut self, delay: Duration, name: &str, message: &A::Message) {
        self.send_at(self.now() + delay, name, message);
    }

    /// Sends `message` to this actor at `due`, never before. A timer of the same name is replaced.
    pub fn send_at(&mut self, due: Timestamp, name: &str, message: &A::Message) {
        self.set_timer(due, None, name, message);
    }

    /// Sends `message` to this actor every `period`, first after one `period`. Ticks that were missed
    /// are one tick.
    pub fn send_every(&mut self, period: Duration, name: &str, message: &A::Message) {
        self.set_timer(self.now() + period, Some(period), name, message);
    }

    fn set_timer(
        &mut self,
        due: Timestamp,
        period: Option<Duration>,
        name: &str,
        message: &A::Message,
    ) {
        let Some(payload) = self.encode(message, "a timer") else { return };
        self.check_key(name, "a timer's name");
        let name = crate::address::without_zeros(name.to_owned());
        self.ops.timers.insert(name, TimerOp::Set { due, period, payload });
    }

    /// Takes the timer `name` back, if it has not fired.
    pub fn cancel(&mut self, name: &str) {
        self.ops.timers.insert(crate::address::without_zeros(name.to_owned()), TimerOp::Cancel);
    }

    /// Has `effect` performed once this turn is committed. Its outcome comes back as a message.
    pub fn perform<E: Effect<Owner = A>>(&mut self, effect: &E) -> IdempotencyKey {
        let key = self.idempotency_key(self.ops.effects.len());
        if let Some(payload) = self.encode(effect, "an effect") {
            self.ops.effects.push(EffectOp {
                name: E::NAME,
                version: E::VERSION,
                payload,
                key: key.clone(),
                lane: effect.lane(),
                policy: effect.policy(),
            });
        }
        key
    }

    fn idempotency_key(&self, call: usize) -> IdempotencyKey {
        let hash = stable_hash(&[
            self.occasion.address.kind().as_bytes(),
            self.occasion.address.key().as_bytes(),
            &self.occasion.id.to_key(),
            self.occasion.source.as_bytes(),
            &(call as u64).to_be_bytes(),
        ]);
        IdempotencyKey(format!("{hash:032x}"))
    }

    /// Answers the caller, if one is waiting, once this turn is committed.
    pub fn reply<T: Serialize>(&mut self, value: &T) {
        self.ops.reply = self.encode(value, "a reply");
    }

    /// Writes a row, replacing the one at `key`.
    pub fn put<R: Serialize + DeserializeOwned>(
        &mut self,
        table: &Table<R>,
        key: &(impl RowKey + ?Sized),
        row: &R,
    ) {
        let key = table.key(key);
        self.check_key(&key, "a row's key");
        match table.seal(&key, row) {
            Ok(bytes) if bytes.len() > MAX_PAYLOAD_BYTES => {
                self.fail(too_large(&format!("a row of {}", table.name()), bytes.len()));
            }
            Ok(bytes) => {
                self.ops.rows.insert(key, Some(bytes));
            }
            Err(error) => self.fail(format!("a row of {} cannot be stored: {error}", table.name())),
        }
    }

    /// Deletes a row, if there is one.
    pub fn delete<R: Serialize + DeserializeOwned>(
        &mut self,
        table: &Table<R>,
        key: &(impl RowKey + ?Sized),
    ) {
        self.ops.rows.insert(table.key(key), None);
    }

    /// Reads a row of the actor's own, pending writes included.
    ///
    /// # Errors
    /// The store cannot be read or the row is corrupt.
    pub fn get<R: Serialize + DeserializeOwned>(
        &self,
        table: &Table<R>,
        key: &(impl RowKey + ?Sized),
    ) -> Result<Option<R>, Failure> {
        let key = table.key(key);
        let bytes = match self.ops.rows.get(&key) {
            Some(pending) => pending.clone(),
            None => self.rows.get(&key)?,
        };
        Ok(bytes.map(|bytes| table.open(&key, &bytes)).transpose()?)
    }

    /// Reads at most `limit` rows whose key starts with `prefix`, ascending, pending writes included.
    ///
    /// # Errors
    /// As for [`Turn::get`].
    pub fn scan<R: Serialize + DeserializeOwned>(
        &self,
        table: &Table<R>,
        prefix: &[u8],
        limit: usize,
    ) -> Result<Vec<R>, Failure> {
        let rows = scan_merged(&self.ops.rows, table.range(prefix), limit, |range, limit| {
            self.rows.scan(range, limit)
        })?;
        let rows: Result<Vec<R>, StoreError> =
            rows.iter().map(|(key, bytes)| table.open(key, bytes)).collect();
        Ok(rows?)
    }

    /// Adds one to the counter `metric` once this turn is committed.
    pub fn count(&mut self, metric: &'static str, labels: &[(&'static str, &str)]) {
        self.measure(metric, labels, 1.0);
    }

    /// Gives `value` to `metric` once this turn is committed.
    pub fn measure(&mut self, metric: &'static str, labels: &[(&'static str, &str)], value: f64) {
        let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.ops.observations.push(Observation { metric, labels, value });
    }

    /// Ends the actor after this turn and deletes its state and timers. The next message begins
    /// anew.
    pub fn stop(&mut self) {
        self.ops.stop = true;
    }

    fn encode<T: Serialize>(&mut self, value: &T, what: &str) -> Option<Vec<u8>> {
        match encode(value) {
            Ok(bytes) if bytes.len() > MAX_PAYLOAD_BYTES => {
                self.fail(too_large(what, bytes.len()));
                None
            }
            Ok(bytes) => Some(bytes),
            Err(error) => {
                self.fail(format!("{what} cannot be encoded: {error}"));
                None
            }
        }
    }

    fn check_key(&mut self, key: &(impl AsRef<[u8]> + ?Sized), what: &str) {
        let bytes = key.as_ref().len();
        if bytes > MAX_KEY_BYTES {
            self.fail(format!("{what} has {bytes} bytes, over the limit of {MAX_KEY_BYTES}"));
        }
    }

    /// What cannot be stored fails the turn at its end, so that recording stays infallible.
    fn fail(&mut self, reason: String) {
        self.broken.get_or_insert(Failure::Reject(reason));
    }
}

fn too_large(what: &str, bytes: usize) -> String {
    format!("{what} has {bytes} bytes, over the limit of {MAX_PAYLOAD_BYTES}")
}
