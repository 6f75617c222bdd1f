//! Sensor `docker-stats`: samples every watched container that runs, a few at a time.

use std::time::Duration;

use bollard::query_parameters::StatsOptionsBuilder;
use futures::{StreamExt, TryStreamExt};
use perennial_runtime::{Sensor, SensorContext, SensorError};

use super::fleet::Target;
use super::pace::paced;
use super::{Eyes, convert, host};
use crate::docker::EngineError;
use crate::monitor::{HostMemory, Monitor, MonitorMessage, Sample};

/// All samples are begun within this part of the period: one divided by it.
const SWEEP_SHARE: u32 = 4;
/// Samples in one commit.
const BATCH: usize = 32;
/// What is there is committed when nothing more came for so long: slow ones hold up nobody.
const LINGER: Duration = Duration::from_millis(200);

/// Samples resource use with one-shot calls.
#[derive(Debug)]
pub struct StatsSensor(pub(super) Eyes);

impl Sensor for StatsSensor {
    const NAME: &'static str = "docker-stats";
    type Position = ();

    async fn run(&self, context: SensorContext<()>) -> Result<(), SensorError> {
        let Eyes { engine, config, .. } = &self.0;
        let mut due = tokio::time::interval(config.sample_period());
        due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = context.stopping() => return Ok(()),
                _ = due.tick() => {}
            }
            context.alive();
            if engine.ready().is_err() {
                continue;
            }
            tokio::select! {
                () = context.stopping() => return Ok(()),
                swept = self.sweep(&context) => swept?,
            }
        }
    }

    fn stall_after(&self) -> Duration {
        self.0.config.sample_period() + Duration::from_secs(120)
    }
}

impl StatsSensor {
    async fn sweep(&self, context: &SensorContext<()>) -> Result<(), SensorError> {
        let host = self.host().await;
        let largest = self.0.fleet.largest();
        let targets = self.0.fleet.targets();
        let pace = self.pace(targets.len());
        let samples = paced(targets, pace, |target| {
            let largest = largest.as_ref() == Some(&target.id);
            let host = host.map(|host| HostMemory { largest, ..host });
            self.sample(context, target, host)
        });
        let mut samples = Box::pin(samples);
        let mut batch = Vec::new();
        loop {
            match tokio::time::timeout(LINGER, samples.next()).await {
                Ok(Some(sample)) => batch.extend(sample),
                Ok(None) => return commit(context, batch).await,
                Err(_) => commit(context, std::mem::take(&mut batch)).await?,
            }
            if batch.len() >= BATCH {
                commit(context, std::mem::take(&mut batch)).await?;
            }
        }
    }

    /// How many of so many samples are asked for at a time, and when the next one is.
    fn pace(&self, targets: usize) -> (usize, Duration) {
        let config = &self.0.config;
        let targets = u32::try_from(targets.max(1)).unwrap_or(u32::MAX);
        // All are begun within a part of the period, if the engine takes on so many at a time.
        let patience = config.sample_period() / SWEEP_SHARE / targets;
        (config.samples_in_flight.max(1), patience)
    }

    /// Its machine's memory, where that is wanted and can be read. Why not is said once.
    async fn host(&self) -> Option<HostMemory> {
        let Eyes { engine, config, fleet } = &self.0;
        if config.proc.as_os_str().is_empty() {
            return None;
        }
        let (total, deadline) = (fleet.host().memory, config.sample_deadline);
        let seen = host::memory(engine.host(), total, &config.proc, deadline).await;
        let blind = seen.as_ref().err().map(ToString::to_string);
        if let (true, Some(why)) = (engine.set_blind(blind.clone()), blind) {
            tracing::warn!("{why}");
        }
        seen.ok()
    }

    /// One sample; none if the container ended or gave no answer in time.
    async fn sample(
        &self,
        context: &SensorContext<()>,
        target: Target,
        host: Option<HostMemory>,
    ) -> Option<(String, Sample)> {
        let Eyes { engine, config, fleet } = &self.0;
        let options = StatsOptionsBuilder::default().stream(false).one_shot(true).build();
        let id = target.id.clone();
        let ask = |docker: bollard::Docker| async move {
            Box::pin(docker.stats(&id, Some(options))).try_next().await
        };
        let answer = engine.call(config.sample_deadline, ask).await;
        context.alive();
        match answer {
            Ok(stats) => {
                let mut sample = convert::sample(&stats?, &target, fleet.host(), context.now())?;
                let unlimited = sample.memory_limit.is_none();
                sample.host = host.filter(|_| unlimited);
                fleet.weigh(&target.id, unlimited.then_some(sample.memory_bytes));
                Some((target.id, sample))
            }
            // It ended meanwhile; its event tells.
            Err(EngineError::NotFound(_) | EngineError::Refused { status: 409, .. }) => None,
            Err(error) => {
                tracing::warn!(container = %target.id, %error, "a container was not sampled");
                None
            }
        }
    }
}

async fn commit(
    context: &SensorContext<()>,
    batch: Vec<(String, Sample)>,
) -> Result<(), SensorError> {
    if batch.is_empty() {
        return Ok(());
    }
    let mut emit = context.emit();
    for (id, sample) in batch {
        emit = emit.send::<Monitor>(id, &MonitorMessage::Sampled(sample));
    }
    Ok(emit.commit().await?)
}
