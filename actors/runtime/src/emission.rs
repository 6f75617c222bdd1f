//! How a sensor's messages enter: collected, then accepted as a whole with its position.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::BoxFuture;
use perennial_store::{Timestamp, encode};
use serde::Serialize;
use tokio::sync::watch;

use crate::address::Address;
use crate::clock::instant;
use crate::error::SendError;
use crate::signal::Signal;
use crate::turn::{Observation, Outgoing, TraceId};

/// Messages of one emission, with the sensor's new position.
#[derive(Debug)]
pub(crate) struct Emission {
    pub(crate) trace: TraceId,
    pub(crate) messages: Vec<Outgoing>,
    pub(crate) position: Option<Vec<u8>>,
    pub(crate) observations: Vec<Observation>,
    refused: Option<String>,
}

impl Emission {
    pub(crate) fn new(trace: TraceId) -> Self {
        Self {
            trace,
            messages: Vec::new(),
            position: None,
            observations: Vec::new(),
            refused: None,
        }
    }

    pub(crate) fn push(&mut self, to: Address, version: u16, message: &impl Serialize) {
        if let Some(payload) = self.encode(message) {
            self.messages.push(Outgoing { to, version, payload, expires: None });
        }
    }

    pub(crate) fn move_position(&mut self, position: &impl Serialize) {
        self.position = self.encode(position);
    }

    fn encode(&mut self, value: &impl Serialize) -> Option<Vec<u8>> {
        encode(value).map_err(|error| self.refused = Some(error.to_string())).ok()
    }

    /// What could not be encoded is refused as a whole, at the end.
    pub(crate) fn check(&self) -> Result<(), SendError> {
        self.refused.clone().map_or(Ok(()), |why| Err(SendError::Refused(why)))
    }
}

/// One run of a sensor.
#[derive(Clone, Debug)]
pub(crate) struct SensorRun {
    /// The sensor's stored name.
    pub(crate) sensor: &'static str,
    /// Schema version of its position.
    pub(crate) version: u16,
    term: u64,
    /// Counts the sensor's runs.
    latest: Arc<AtomicU64>,
}

impl SensorRun {
    /// Begins the next run of the sensor whose runs are counted by `latest`.
    pub(crate) fn begin((sensor, version): (&'static str, u16), latest: &Arc<AtomicU64>) -> Self {
        let term = latest.fetch_add(1, Ordering::SeqCst) + 1;
        Self { sensor, version, term, latest: latest.clone() }
    }

    /// False once the next one has begun, though this one may not have ended: a task that is aborted by
    /// another thread still runs up to its next await.
    pub(crate) fn is_latest(&self) -> bool {
        self.latest.load(Ordering::SeqCst) == self.term
    }
}

/// What a sensor may ask of the node.
pub(crate) trait Door: Send + Sync + fmt::Debug {
    fn now(&self) -> Timestamp;
    fn new_trace(&self) -> TraceId;
    fn accept<'a>(
        &'a self,
        run: &'a SensorRun,
        emission: Emission,
    ) -> BoxFuture<'a, Result<(), SendError>>;
}

/// A sensor's connection to its node, and its pulse.
#[derive(Clone, Debug)]
pub(crate) struct SensorLink {
    run: SensorRun,
    door: Arc<dyn Door>,
    pulse: Arc<watch::Sender<tokio::time::Instant>>,
    stopping: Arc<Signal<bool>>,
}

impl SensorLink {
    pub(crate) fn new(
        run: SensorRun,
        door: Arc<dyn Door>,
        pulse: Arc<watch::Sender<tokio::time::Instant>>,
        stopping: Arc<Signal<bool>>,
    ) -> Self {
        Self { run, door, pulse, stopping }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.door.now()
    }

    pub(crate) fn new_trace(&self) -> TraceId {
        self.door.new_trace()
    }

    pub(crate) fn alive(&self) {
        self.pulse.send_replace(instant());
    }

    pub(crate) async fn stopping(&self) {
        self.stopping.wait_for(|stopping| *stopping).await;
    }

    pub(crate) async fn accept(&self, emission: Emission) -> Result<(), SendError> {
        emission.check()?;
        self.alive();
        let accepted = self.door.accept(&self.run, emission).await;
        self.alive();
        accepted
    }
}
