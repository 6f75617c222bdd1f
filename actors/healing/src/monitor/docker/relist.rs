//! Sensor `docker-list`: lists all containers now and then, and finds what the event stream lost.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bollard::models::ContainerSummary;
use bollard::query_parameters::ListContainersOptionsBuilder;
use futures::{StreamExt, TryStreamExt, stream};
use perennial_runtime::{Sensor, SensorContext, SensorError};
use serde::{Deserialize, Serialize};

use super::{Eyes, convert};
use crate::docker::EngineError;
use crate::model::ContainerId;
use crate::monitor::{Inspection, Monitor, MonitorMessage};
use crate::responder::{RESPONDER, Responder, ResponderMessage};

/// Inspections asked for at the same time.
const IN_FLIGHT: usize = 8;
/// Messages in one commit.
const BATCH: usize = 64;
/// Lists that are asked for follow each other no faster.
const REST: Duration = Duration::from_millis(500);

/// Every container of the last list with its Compose project, if it has one: Monitors exist for
/// these, and what is missing later is gone, whenever it went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListPosition {
    /// Full id to project, or to nothing.
    pub containers: BTreeMap<String, String>,
}

impl ListPosition {
    fn of(list: &[ContainerSummary]) -> Self {
        let entry = |line: &ContainerSummary| {
            Some((line.id.clone()?, convert::project(line).cloned().unwrap_or_default()))
        };
        Self { containers: list.iter().filter_map(entry).collect() }
    }

    /// The containers of each Compose project.
    fn census(&self) -> Vec<(String, Vec<ContainerId>)> {
        let mut projects: BTreeMap<&String, Vec<ContainerId>> = BTreeMap::new();
        for (id, project) in self.containers.iter().filter(|(_, project)| !project.is_empty()) {
            projects.entry(project).or_default().push(ContainerId(id.clone()));
        }
        projects.into_iter().map(|(project, ids)| (project.clone(), ids)).collect()
    }
}

/// Lists containers: when the event stream is connected, when asked to, and every so often.
#[derive(Debug)]
pub struct RelistSensor(pub(super) Eyes);

impl Sensor for RelistSensor {
    const NAME: &'static str = "docker-list";
    type Position = ListPosition;

    async fn run(&self, context: SensorContext<ListPosition>) -> Result<(), SensorError> {
        let Eyes { engine, fleet, config } = &self.0;
        let mut known = context.position().clone();
        let mut census = None;
        let mut due = tokio::time::interval(config.relist_period());
        due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = context.stopping() => return Ok(()),
                () = fleet.list_wanted() => {}
                _ = due.tick() => {}
            }
            context.alive();
            if engine.ready().is_err() {
                continue;
            }
            let listed = tokio::select! {
                listed = self.list(&context, &known) => listed,
                () = context.stopping() => return Ok(()),
            };
            match listed {
                Ok(found) => self.emit(&context, found, &mut known, &mut census).await?,
                Err(error) => {
                    tracing::warn!(%error, "containers were not listed; trying again");
                    if error.is_lost() {
                        fleet.report_lost();
                    }
                }
            }
            tokio::time::sleep(REST).await;
        }
    }

    /// One list may take a deadline for itself and one for every eighth container.
    fn stall_after(&self) -> Duration {
        self.0.config.relist_period() + Duration::from_secs(120)
    }
}

/// What a list showed.
struct Found {
    now: ListPosition,
    changed: Vec<Inspection>,
    gone: Vec<String>,
    at: perennial_runtime::Timestamp,
}

impl RelistSensor {
    async fn list(
        &self,
        context: &SensorContext<ListPosition>,
        known: &ListPosition,
    ) -> Result<Found, EngineError> {
        let Eyes { engine, fleet, .. } = &self.0;
        let thorough = fleet.take_thorough();
        // Read before the list: what begins to exist while it is made is not missing from it.
        let mut before: BTreeSet<String> = known.containers.keys().cloned().collect();
        before.extend(fleet.ids());
        let at = context.now();
        let options = ListContainersOptionsBuilder::default().all(true).build();
        let ask =
            |docker: bollard::Docker| async move { docker.list_containers(Some(options)).await };
        let answer = engine.call(engine.deadline(), ask).await;
        let list = answer.inspect_err(|_| fleet.list_now(thorough))?;
        let now = ListPosition::of(&list);
        let gone = before.into_iter().filter(|id| !now.containers.contains_key(id)).collect();
        let changed = self.inspect_changed(context, &list, thorough).await?;
        Ok(Found { now, changed, gone, at })
    }

    async fn inspect_changed(
        &self,
        context: &SensorContext<ListPosition>,
        list: &[ContainerSummary],
        thorough: bool,
    ) -> Result<Vec<Inspection>, EngineError> {
        let fleet = &self.0.fleet;
        let lines = list.iter().filter_map(|line| {
            let (id, summary) = (line.id.clone()?, convert::summary(line));
            let same = fleet.is_as_listed(&id, &summary);
            (thorough || !same || convert::is_young(line)).then_some((id, summary))
        });
        let lines: Vec<_> = lines.collect();
        let asked = stream::iter(lines).map(|(id, summary)| async move {
            let answer = self.0.inspect(&id, context.now()).await;
            context.alive();
            match answer {
                // One container whose inspection hangs must not keep the others from being seen.
                Err(EngineError::TimedOut(_)) => {
                    tracing::warn!(container = %id, "an inspection got no answer; trying again later");
                    Ok(None)
                }
                Ok(Some(seen)) => {
                    fleet.listed(&id, &summary);
                    Ok(Some(seen))
                }
                Ok(None) => Ok(None),
                Err(error) => Err(error),
            }
        });
        asked
            .buffer_unordered(IN_FLIGHT)
            .try_filter_map(|seen| async { Ok(seen) })
            .try_collect()
            .await
    }

    async fn emit(
        &self,
        context: &SensorContext<ListPosition>,
        found: Found,
        known: &mut ListPosition,
        census: &mut Option<Vec<(String, Vec<ContainerId>)>>,
    ) -> Result<(), SensorError> {
        let Found { now, changed, gone, at } = found;
        for batch in changed.chunks(BATCH) {
            let mut emit = context.emit();
            for seen in batch {
                let message = MonitorMessage::Listed(seen.clone());
                emit = emit.send::<Monitor>(seen.subject.id.0.clone(), &message);
            }
            emit.commit().await?;
        }
        let projects = now.census();
        let moved = *known != now;
        let recount = census.as_ref() != Some(&projects);
        if gone.is_empty() && !moved && !recount {
            return Ok(());
        }
        let mut emit = context.emit().position(&now);
        for id in &gone {
            emit = emit.send::<Monitor>(id.clone(), &MonitorMessage::Gone { at });
        }
        if recount {
            let message = ResponderMessage::Census(projects.clone());
            emit = emit.send::<Responder>(RESPONDER, &message);
        }
        emit.commit().await?;
        for id in &gone {
            self.0.fleet.forget(id);
        }
        *known = now;
        *census = Some(projects);
        Ok(())
    }
}
