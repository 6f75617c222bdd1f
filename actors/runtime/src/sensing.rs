//! Runs one sensor as an actor: restarted when it ends, fails or shows no sign of life.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};
use std::time::Duration;

use perennial_store::{Key, StoreError, open};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::clock::instant;
use crate::core::Core;
use crate::emission::{SensorLink, SensorRun};
use crate::ended::Ended;
use crate::migration::{self, Stored};
use crate::sensor::{Sensor, SensorContext};

#[derive(Debug)]
pub(crate) enum SensorMessage {
    /// The run is over.
    Over(Result<(), String>),
    /// Look for a sign of life.
    Check,
}

pub(crate) struct SensorActor<S> {
    pub(crate) core: Weak<Core>,
    pub(crate) sensor: Arc<S>,
    /// Counts the sensor's runs.
    pub(crate) latest: Arc<AtomicU64>,
}

#[derive(Debug)]
pub(crate) struct Running {
    task: AbortHandle,
    pulse: watch::Receiver<Instant>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<S: Sensor> Actor for SensorActor<S> {
    type Msg = SensorMessage;
    type State = Running;
    type Arguments = ();

    async fn pre_start(
        &self,
        myself: ActorRef<SensorMessage>,
        (): (),
    ) -> Result<Running, ActorProcessingErr> {
        let core = self.core.upgrade().ok_or_else(|| ended("the runtime is gone"))?;
        // From here on nothing is accepted of an earlier run. What was may be on its way to the disk, and
        // its position with it.
        let run = SensorRun::begin((S::NAME, S::VERSION), &self.latest);
        if !core.committer.barrier().await {
            return Err(ended("the store failed").into());
        }
        let position = read_position::<S>(&core)?;
        let (pulse_sender, pulse) = watch::channel(instant());
        let stopping = core.stopping.clone();
        let link = SensorLink::new(run, Arc::new(core), Arc::new(pulse_sender), stopping);
        let (sensor, reporter) = (self.sensor.clone(), myself.clone());
        let task = tokio::spawn(async move {
            let run = sensor.run(SensorContext::new(link, position)).await;
            // A cast fails only when the actor is ending anyway.
            let _ending =
                reporter.cast(SensorMessage::Over(run.map_err(|error| error.to_string())));
        });
        let watched = task.abort_handle();
        tokio::spawn(report_panic(task, myself.clone()));
        drop(myself.send_interval(check_every(self.sensor.as_ref()), || SensorMessage::Check));
        Ok(Running { task: watched, pulse })
    }

    async fn handle(
        &self,
        myself: ActorRef<SensorMessage>,
        message: SensorMessage,
        running: &mut Running,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            SensorMessage::Over(Ok(())) => {
                myself.stop(Some("finished".to_owned()));
                Ok(())
            }
            SensorMessage::Over(Err(error)) => Err(ended(&error).into()),
            SensorMessage::Check => {
                let silent = running.pulse.borrow().elapsed();
                if silent >= self.sensor.stall_after() {
                    return Err(ended(&format!("no sign of life for {silent:?}")).into());
                }
                Ok(())
            }
        }
    }
}

async fn report_panic(task: tokio::task::JoinHandle<()>, actor: ActorRef<SensorMessage>) {
    if let Err(error) = task.await
        && error.is_panic()
    {
        // A cast fails only when the actor is ending anyway.
        let _ending = actor.cast(SensorMessage::Over(Err(error.to_string())));
    }
}

fn check_every(sensor: &impl Sensor) -> Duration {
    (sensor.stall_after() / 4).max(Duration::from_millis(10))
}

fn ended(reason: &str) -> Ended {
    Ended::failed(reason)
}

fn read_position<S: Sensor>(core: &Core) -> Result<S::Position, StoreError> {
    let key = Key::position(S::NAME);
    let Some(bytes) = core.backend.get(key.as_ref())? else { return Ok(S::Position::default()) };
    let record = open(&key, &bytes)?;
    let stored = Stored { version: record.version, current: S::VERSION, what: "positions" };
    migration::read(&stored, record.payload, S::migrate)
        .map_err(|failure| migration::unreadable(&key, &failure))
}
