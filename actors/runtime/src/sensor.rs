//! Sensors turn the outside world into messages, and keep their own position durably.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use perennial_store::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::address::Address;
use crate::durable::{Durable, Failure};
use crate::emission::{Emission, SensorLink};
use crate::error::SendError;
use crate::turn::{Observation, TraceId};

/// A source of messages outside the node. Runs as a supervised actor; when it returns or fails it is
/// started again, with back-off, from its durable position.
pub trait Sensor: Send + Sync + 'static {
    /// The stored name; it never changes.
    const NAME: &'static str;
    /// Schema version of the stored position; raise it with a [`Sensor::migrate`].
    const VERSION: u16 = 1;
    /// How far the sensor has come in what it watches.
    type Position: Serialize + DeserializeOwned + Default + Send + Sync + 'static;

    /// Watches until it fails or [`SensorContext::stopping`] resolves.
    fn run(
        &self,
        context: SensorContext<Self::Position>,
    ) -> impl Future<Output = Result<(), SensorError>> + Send;

    /// A sensor that shows no sign of life for this long is killed and started again. It shows one by
    /// calling [`SensorContext::alive`] or by emitting. What it emits all the same is refused once the
    /// next run has begun.
    fn stall_after(&self) -> Duration {
        Duration::from_secs(120)
    }

    /// Reads a position that an older version stored.
    ///
    /// # Errors
    /// The default knows no older version; the sensor then does not start.
    fn migrate(version: u16, _payload: &[u8]) -> Result<Self::Position, Failure> {
        Err(Failure::Reject(format!(
            "no migration of the position of {} from version {version} to {}",
            Self::NAME,
            Self::VERSION
        )))
    }
}

/// Why a sensor's run ended.
pub type SensorError = Box<dyn Error + Send + Sync>;

/// A sensor's way into the node.
#[derive(Debug)]
pub struct SensorContext<P> {
    link: SensorLink,
    position: P,
}

impl<P: Serialize> SensorContext<P> {
    pub(crate) fn new(link: SensorLink, position: P) -> Self {
        Self { link, position }
    }

    /// The position of the last emission that was committed, as of the start of this run.
    pub fn position(&self) -> &P {
        &self.position
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.link.now()
    }

    /// Shows a sign of life.
    pub fn alive(&self) {
        self.link.alive();
    }

    /// Begins a set of messages that is accepted as a whole.
    pub fn emit(&self) -> Emit<'_> {
        Emit { link: &self.link, emission: Emission::new(self.link.new_trace()) }
    }

    /// Resolves when the node shuts down.
    pub async fn stopping(&self) {
        self.link.stopping().await;
    }
}

/// Messages and a position, accepted in one commit.
#[derive(Debug)]
#[must_use = "nothing is emitted before `commit`"]
pub struct Emit<'a> {
    link: &'a SensorLink,
    emission: Emission,
}

impl Emit<'_> {
    /// Adds a message to the actor `key` of `A`'s kind.
    pub fn send<A: Durable>(mut self, key: impl Into<String>, message: &A::Message) -> Self {
        let to = Address::new(A::KIND.as_str(), key);
        self.emission.push(to, A::VERSION, message);
        self
    }

    /// Moves the sensor's position in the same commit.
    pub fn position<P: Serialize>(mut self, position: &P) -> Self {
        self.emission.move_position(position);
        self
    }

    /// Adds one to the counter `metric` once this is committed.
    pub fn count(mut self, metric: &'static str, labels: &[(&'static str, &str)]) -> Self {
        let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.emission.observations.push(Observation { metric, labels, value: 1.0 });
        self
    }

    /// The trace that everything caused by this emission carries.
    pub fn trace(&self) -> TraceId {
        self.emission.trace
    }

    /// Resolves when all of it would survive power loss. Waits while a receiver is over its quota. A
    /// message over the size limit becomes a dead letter, and the rest is accepted.
    ///
    /// # Errors
    /// Nothing was accepted, or with [`SendError::Unknown`] all of it may have been.
    pub async fn commit(self) -> Result<(), SendError> {
        self.link.accept(self.emission).await
    }
}
