//! Runs an actor's turns by hand, away from any runtime: for tests of what an actor decides.

use std::collections::BTreeMap;
use std::time::Duration;

use perennial_store::{Key, MessageId, StoreError, Timestamp, decode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::address::Address;
use crate::durable::{Durable, Failure};
use crate::effect::Effect;
use crate::table::{RowKey, RowView, Table};
use crate::turn::{Occasion, Ops, TimerOp, TraceId, Turn};

/// One actor, its settings, a clock that stands still and the rows it wrote so far.
#[derive(Debug)]
pub struct Play<A: Durable> {
    /// The actor's state, free to inspect and to set.
    pub state: A,
    address: Address,
    settings: A::Settings,
    now: Timestamp,
    rows: RowsInMemory,
    timers: BTreeMap<String, (Timestamp, Option<Duration>, Vec<u8>)>,
    turns: u64,
}

impl<A: Durable> Play<A> {
    /// A new actor `key`, at one million seconds after the epoch.
    pub fn new(key: &str, settings: A::Settings) -> Self {
        Self {
            state: A::default(),
            address: Address::new(A::KIND.as_str(), key),
            settings,
            now: Timestamp::from_micros(1_000_000_000_000),
            rows: RowsInMemory::default(),
            timers: BTreeMap::new(),
            turns: 0,
        }
    }

    /// The time the next turn will see.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Moves the clock without firing timers.
    pub fn advance(&mut self, by: Duration) {
        self.now = self.now + by;
    }

    /// Handles one message; a failure leaves no trace, as in the runtime.
    ///
    /// # Errors
    /// What `handle` returned.
    pub fn handle(&mut self, message: A::Message) -> Result<Recorded, Failure> {
        self.turns += 1;
        let occasion = Occasion {
            address: &self.address,
            id: MessageId { unit: self.turns, index: 0 },
            source: String::new(),
            now: self.now,
            attempt: 1,
            trace: TraceId(u128::from(self.turns)),
        };
        let mut next = self.state.clone();
        let mut ops = Ops::default();
        Turn::new(&occasion, &self.settings, &self.rows, &mut ops).run(&mut next, message)?;
        self.state = next;
        self.keep(&ops);
        Ok(Recorded(ops))
    }

    fn keep(&mut self, ops: &Ops) {
        for (key, value) in &ops.rows {
            match value {
                Some(value) => self.rows.0.insert(key.clone(), value.clone()),
                None => self.rows.0.remove(key),
            };
        }
        for (name, op) in &ops.timers {
            match op {
                TimerOp::Set { due, period, payload } => {
                    self.timers.insert(name.clone(), (*due, *period, payload.clone()));
                }
                TimerOp::Cancel => {
                    self.timers.remove(name);
                }
            }
        }
    }

    /// Moves the clock to the next timer that is set and fires it.
    ///
    /// # Errors
    /// What `handle` returned, or that no timer is set.
    pub fn fire_next_timer(&mut self) -> Result<Recorded, Failure> {
        let next = self.timers.iter().min_by_key(|(_, timer)| timer.0);
        let Some((name, (due, period, payload))) = next.map(|(n, t)| (n.clone(), t.clone())) else {
            return Err(Failure::Reject("no timer is set".to_owned()));
        };
        self.now = self.now.max(due);
        match period {
            Some(period) => {
                self.timers.insert(name, (self.now + period, Some(period), payload.clone()))
            }
            None => self.timers.remove(&name),
        };
        self.handle(decode(&payload)?)
    }

    /// The timers that are set: name and due time.
    pub fn timers(&self) -> Vec<(String, Timestamp)> {
        self.timers.iter().map(|(name, timer)| (name.clone(), timer.0)).collect()
    }

    /// A row the actor wrote.
    ///
    /// # Errors
    /// The row is of another version.
    pub fn row<R: Serialize + DeserializeOwned>(
        &self,
        table: &Table<R>,
        key: &(impl RowKey + ?Sized),
    ) -> Result<Option<R>, StoreError> {
        let key: Key = table.key(key);
        self.rows.0.get(&key).map(|bytes| table.open(&key, bytes)).transpose()
    }

    /// All rows the actor wrote to `table`, in order.
    ///
    /// # Errors
    /// A row is of another version.
    pub fn rows<R: Serialize + DeserializeOwned>(
        &self,
        table: &Table<R>,
    ) -> Result<Vec<R>, StoreError> {
        self.rows.0.range(table.range(&[])).map(|(key, bytes)| table.open(key, bytes)).collect()
    }
}

/// What one turn recorded.
#[derive(Debug)]
pub struct Recorded(Ops);

impl Recorded {
    /// Messages to actors of `B`'s kind: key and message, in order.
    ///
    /// # Panics
    /// A message does not decode, which is a defect of its type.
    #[expect(clippy::expect_used, reason = "a test helper: what was just encoded decodes")]
    pub fn sent<B: Durable>(&self) -> Vec<(String, B::Message)> {
        let to_b = self.0.sends.iter().filter(|send| send.to.kind() == B::KIND.as_str());
        to_b.map(|send| {
            let message = decode(&send.payload).expect("a message decodes");
            (send.to.key().to_owned(), message)
        })
        .collect()
    }

    /// Effects of type `E`, in order.
    ///
    /// # Panics
    /// An effect does not decode, which is a defect of its type.
    #[expect(clippy::expect_used, reason = "a test helper: what was just encoded decodes")]
    pub fn effects<E: Effect>(&self) -> Vec<E> {
        let of_e = self.0.effects.iter().filter(|effect| effect.name == E::NAME);
        of_e.map(|effect| decode(&effect.payload).expect("an effect decodes")).collect()
    }

    /// The answer to the caller.
    ///
    /// # Panics
    /// It is not a `T`.
    #[expect(clippy::expect_used, reason = "a test helper: the caller names the type")]
    pub fn reply<T: DeserializeOwned>(&self) -> Option<T> {
        self.0.reply.as_ref().map(|bytes| decode(bytes).expect("a reply decodes"))
    }

    /// What the turn contributes to the metrics.
    pub fn observations(&self) -> &[crate::turn::Observation] {
        &self.0.observations
    }

    /// Whether the turn recorded nothing at all.
    pub fn is_quiet(&self) -> bool {
        let ops = &self.0;
        ops.sends.is_empty()
            && ops.timers.is_empty()
            && ops.effects.is_empty()
            && ops.rows.is_empty()
            && ops.reply.is_none()
            && !ops.stop
    }

    /// Whether the actor asked to end.
    pub fn stops(&self) -> bool {
        self.0.stop
    }
}

/// Rows of an actor that runs away from any store.
#[derive(Debug, Default)]
struct RowsInMemory(BTreeMap<Key, Vec<u8>>);

impl RowView for RowsInMemory {
    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(
        &self,
        range: std::ops::Range<Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Vec<u8>)>, StoreError> {
        Ok(self.0.range(range).take(limit).map(|(k, v)| (k.clone(), v.clone())).collect())
    }
}
