//! The Monitor's edge: three sensors on one engine, and a look when it asks. The event stream tells at once, the re-list finds
//! what the stream lost, the sampler measures. Each goes on when another one hangs.

mod confirm;
mod convert;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod decoding;
mod events;
mod fleet;
mod host;
mod pace;
mod position;
mod relist;
mod stats;

use std::sync::Arc;

use perennial_runtime::Timestamp;

pub use confirm::ConfirmPerformer;
pub(crate) use events::EVENTS;
pub use events::EventSensor;
pub use position::{EventPosition, SeenEvent};
pub use relist::{ListPosition, RelistSensor};
pub use stats::StatsSensor;

use crate::docker::{Engine, EngineError};
use crate::monitor::{Config, Inspection};
use fleet::{Fleet, Host};

/// The three sensors, which know of each other's findings.
#[derive(Debug)]
pub struct Sensors {
    /// Sensor `docker-events`.
    pub events: EventSensor,
    /// Sensor `docker-list`.
    pub relist: RelistSensor,
    /// Sensor `docker-stats`.
    pub stats: StatsSensor,
    /// Looks when a Monitor asks.
    pub confirm: ConfirmPerformer,
}

/// Makes the sensors of one engine. None of them needs it to be up.
#[must_use]
pub fn sensors(engine: &Engine, config: &Config) -> Sensors {
    let eyes = Eyes {
        engine: engine.clone(),
        config: Arc::new(config.clone()),
        fleet: Arc::new(Fleet::default()),
    };
    Sensors {
        events: EventSensor(eyes.clone()),
        relist: RelistSensor(eyes.clone()),
        stats: StatsSensor(eyes.clone()),
        confirm: ConfirmPerformer(eyes),
    }
}

/// What the sensors share.
#[derive(Clone, Debug)]
struct Eyes {
    engine: Engine,
    config: Arc<Config>,
    fleet: Arc<Fleet>,
}

impl Eyes {
    /// Asks for one container and lets the other sensors know; none if there is no such container.
    async fn inspect(&self, id: &str, at: Timestamp) -> Result<Option<Inspection>, EngineError> {
        let name = id.to_owned();
        let ask =
            |docker: bollard::Docker| async move { docker.inspect_container(&name, None).await };
        let answer = match self.engine.call(self.engine.deadline(), ask).await {
            Ok(answer) => answer,
            Err(EngineError::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut seen = convert::inspection(at, &answer, self.fleet.host().cpus);
        seen.facts.deploying = self.fleet.is_deploying(&seen.subject, at, self.config.settle_time);
        self.fleet.learn(&seen, &self.config);
        Ok(Some(seen))
    }

    /// Asks what does not change while the engine is up. Returns the engine's own time as well.
    async fn survey(&self) -> Result<Option<Timestamp>, EngineError> {
        let ask = |docker: bollard::Docker| async move { docker.info().await };
        let info = self.engine.call(self.engine.deadline(), ask).await?;
        self.fleet.set_host(Host {
            cpus: info.ncpu.and_then(|cpus| u32::try_from(cpus).ok()).unwrap_or(1).max(1),
            memory: info.mem_total.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0),
        });
        Ok(info.system_time.as_deref().and_then(super::fold::engine_time))
    }
}
