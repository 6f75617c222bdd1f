//! Sensor `docker-events`: the engine's event stream, from a durable position on.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bollard::models::EventMessage;
use bollard::query_parameters::{EventsOptions, EventsOptionsBuilder};
use futures::{StreamExt, TryStreamExt, stream};
use perennial_runtime::{Sensor, SensorContext, SensorError, Timestamp};

use super::convert::{self, Notice};
use super::position::EventPosition;
use super::{Eyes, fleet};
use crate::docker::EngineError;
use crate::metrics::{DOCKER_EVENT_GAPS, DOCKER_EVENTS};
use crate::monitor::{EventKind, Inspection, Monitor, MonitorMessage};

/// Events handled in one commit at most.
const BATCH: usize = 64;
/// Inspections asked for at the same time.
const IN_FLIGHT: usize = 8;
/// The first and the longest wait before the engine is tried again.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));
/// A sign of life is shown at least so often.
const PULSE: Duration = Duration::from_secs(10);
/// The position of a quiet stream stays so far behind, for events that are still on their way.
const BEHIND: Duration = Duration::from_secs(5);
/// The position of a quiet stream is stored so often.
const ADVANCE: Duration = Duration::from_secs(30);

/// Watches the engine's events. Reconnects by itself.
#[derive(Debug)]
pub struct EventSensor(pub(super) Eyes);

/// Why watching ended.
enum End {
    Stopping,
    Engine(EngineError),
    Node(SensorError),
}

impl From<EngineError> for End {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl Sensor for EventSensor {
    const NAME: &'static str = "docker-events";
    type Position = EventPosition;

    async fn run(&self, context: SensorContext<EventPosition>) -> Result<(), SensorError> {
        let engine = &self.0.engine;
        let mut position = context.position().clone();
        let mut wait = RETRY.0;
        loop {
            let end = tokio::select! {
                end = self.watch(&context, &mut position) => end,
                () = context.stopping() => End::Stopping,
            };
            match end {
                End::Stopping => return Ok(()),
                End::Node(error) => return Err(error),
                End::Engine(error) => {
                    if engine.ready().is_ok() {
                        wait = RETRY.0;
                    }
                    self.note_lost(&context, &error);
                }
            }
            context.alive();
            tokio::select! {
                () = tokio::time::sleep(wait) => wait = (wait * 2).min(RETRY.1),
                () = context.stopping() => return Ok(()),
            }
        }
    }
}

impl EventSensor {
    /// Logs a loss once, not every attempt to mend it.
    fn note_lost(&self, context: &SensorContext<EventPosition>, error: &EngineError) {
        let engine = &self.0.engine;
        let text = error.to_string();
        if engine.ready().err().as_ref() != Some(&text) {
            tracing::warn!(host = engine.host(), error = %text, "no event stream; trying again");
        }
        engine.set_lost(context.now(), &text);
    }

    async fn watch(
        &self,
        context: &SensorContext<EventPosition>,
        position: &mut EventPosition,
    ) -> End {
        match self.connect(context, position).await {
            Ok(skew) => self.follow(context, position, skew).await,
            Err(end) => end,
        }
    }

    /// Reaches the engine and finds out whether events were lost meanwhile. Returns by how many
    /// nanoseconds the engine's clock is ahead.
    async fn connect(
        &self,
        context: &SensorContext<EventPosition>,
        position: &mut EventPosition,
    ) -> Result<i64, End> {
        let Eyes { engine, fleet, .. } = &self.0;
        engine.negotiate().await?;
        let here = context.now();
        let there = self.0.survey().await?.unwrap_or(here);
        if position.nanos == 0 {
            *position = EventPosition::new(nanos(there));
        } else if self.may_have_gap(position, there).await? {
            tracing::warn!(
                last = %timestamp(position.nanos),
                "the engine no longer remembers the last event handled; listing all containers"
            );
            let counted = context.emit().count(DOCKER_EVENT_GAPS, &[]).commit().await;
            counted.map_err(|error| End::Node(error.into()))?;
        }
        engine.set_connected(context.now());
        tracing::info!(host = engine.host(), "watching the engine's events");
        fleet.list_now(true);
        Ok(nanos(there) - nanos(here))
    }

    /// The engine keeps its last 256 events of all kinds, and none across its own restart: what came
    /// after the position is complete only if it remembers something from before.
    async fn may_have_gap(
        &self,
        position: &EventPosition,
        there: Timestamp,
    ) -> Result<bool, EngineError> {
        let until = timestamp(nanos(there));
        let options = EventsOptionsBuilder::default().since("1").until(&until).build();
        let engine = &self.0.engine;
        let ask = |docker: bollard::Docker| async move {
            Box::pin(docker.events(Some(options))).try_next().await
        };
        let oldest = engine.call(engine.deadline(), ask).await?;
        let time = oldest.and_then(|event| event.time_nano);
        Ok(time.is_none_or(|time| time > position.nanos))
    }

    async fn follow(
        &self,
        context: &SensorContext<EventPosition>,
        position: &mut EventPosition,
        skew: i64,
    ) -> End {
        let Eyes { engine, fleet, .. } = &self.0;
        let docker = match engine.client().await {
            Ok(docker) => docker,
            Err(error) => return error.into(),
        };
        let mut events = Box::pin(docker.events(Some(options(position))).ready_chunks(BATCH));
        let mut pulse = tokio::time::interval(PULSE);
        let mut stored = context.now();
        loop {
            tokio::select! {
                () = fleet.reported_lost() => {
                    return EngineError::Unreachable("a list got no answer".to_owned()).into();
                }
                chunk = events.next() => {
                    let Some(chunk) = chunk else {
                        return EngineError::Unreachable("the event stream ended".to_owned()).into();
                    };
                    if let Err(end) = self.handle(context, position, chunk).await {
                        return end;
                    }
                    stored = context.now();
                }
                _ = pulse.tick() => {
                    context.alive();
                    if context.now().since(stored) >= ADVANCE && self.sees_breaks() {
                        stored = context.now();
                        if let Err(end) = self.advance(context, position, skew).await {
                            return end;
                        }
                    }
                }
            }
        }
    }

    /// A local socket ends when the engine does; a network's stream may be dead without a sign.
    fn sees_breaks(&self) -> bool {
        self.0.engine.host().starts_with("unix://")
    }

    /// Moves the position of a quiet stream on, so that after a restart little has to be remembered.
    async fn advance(
        &self,
        context: &SensorContext<EventPosition>,
        position: &mut EventPosition,
        skew: i64,
    ) -> Result<(), End> {
        let behind = i64::try_from(BEHIND.as_nanos()).unwrap_or(i64::MAX);
        let nanos = nanos(context.now()).saturating_add(skew).saturating_sub(behind);
        if nanos <= position.nanos {
            return Ok(());
        }
        position.advance(nanos);
        let stored = context.emit().position(position).commit().await;
        stored.map_err(|error| End::Node(error.into()))
    }

    /// Turns a batch of events into messages, and commits them with the new position.
    async fn handle(
        &self,
        context: &SensorContext<EventPosition>,
        position: &mut EventPosition,
        chunk: Vec<Result<EventMessage, bollard::errors::Error>>,
    ) -> Result<(), End> {
        let (events, broken) = split(chunk);
        let mut notices = Vec::new();
        for event in &events {
            let Some((id, nanos, notice)) = convert::notice(event) else { continue };
            let action = event.action.clone().unwrap_or_default();
            if position.pass(nanos, &id, &action) {
                self.note_membership(event, &notice);
                notices.push((id, notice));
            }
        }
        if !notices.is_empty() {
            let seen = self.inspect_all(context, &notices).await;
            self.emit(context, position, &notices, &seen).await?;
        }
        broken.map_or(Ok(()), |error| Err(error.into()))
    }

    fn note_membership(&self, event: &EventMessage, notice: &Notice) {
        let Notice::Event(event_seen) = notice else { return };
        if !matches!(event_seen.kind, EventKind::Create | EventKind::Destroy) {
            return;
        }
        if let Some(service) = fleet::service_of(&convert::subject_of_event(event)) {
            self.0.fleet.service_changed(service, event_seen.at);
        }
        self.0.fleet.list_now(false);
    }

    /// Inspects each container of the batch once. One that gives no answer is left to the next list.
    async fn inspect_all(
        &self,
        context: &SensorContext<EventPosition>,
        notices: &[(String, Notice)],
    ) -> BTreeMap<String, Inspection> {
        let mut ids: Vec<&String> = notices.iter().map(|(id, _)| id).collect();
        ids.sort();
        ids.dedup();
        let asked = stream::iter(ids.into_iter().cloned()).map(|id| async move {
            let answer = self.0.inspect(&id, context.now()).await;
            context.alive();
            match answer {
                Ok(seen) => seen.map(|seen| (id, seen)),
                Err(error) => {
                    tracing::warn!(container = %id, %error, "an event's container was not inspected");
                    self.0.fleet.list_now(true);
                    None
                }
            }
        });
        asked.buffer_unordered(IN_FLIGHT).filter_map(|seen| async move { seen }).collect().await
    }

    async fn emit(
        &self,
        context: &SensorContext<EventPosition>,
        position: &EventPosition,
        notices: &[(String, Notice)],
        seen: &BTreeMap<String, Inspection>,
    ) -> Result<(), End> {
        let mut emit = context.emit().position(position);
        for (id, notice) in notices {
            let inspection = seen.get(id).cloned();
            match (notice, inspection) {
                (Notice::Event(event), inspection) => {
                    emit = emit.count(DOCKER_EVENTS, &[("event", name(&event.kind))]);
                    if event.kind == EventKind::Destroy {
                        self.0.fleet.forget(id);
                    }
                    let message = MonitorMessage::Event(event.clone(), inspection);
                    emit = emit.send::<Monitor>(id.clone(), &message);
                }
                (Notice::LookAgain, Some(inspection)) => {
                    emit = emit.send::<Monitor>(id.clone(), &MonitorMessage::Listed(inspection));
                }
                (Notice::LookAgain, None) => {}
            }
        }
        emit.commit().await.map_err(|error| End::Node(error.into()))
    }
}

fn nanos(time: Timestamp) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX).saturating_mul(1000)
}

/// In the form the engine reads.
fn timestamp(nanos: i64) -> String {
    format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)
}

/// The events that a Monitor folds, as the engine calls them.
pub(crate) const EVENTS: [&str; 9] =
    ["create", "start", "die", "oom", "health_status", "kill", "stop", "destroy", "rename"];

/// The events after which a container is only looked at again.
const CHANGES: [&str; 3] = ["pause", "unpause", "update"];

fn options(position: &EventPosition) -> EventsOptions {
    let events = [EVENTS.as_slice(), CHANGES.as_slice()].concat();
    let filters = HashMap::from([("type", vec!["container"]), ("event", events)]);
    EventsOptionsBuilder::default().since(&timestamp(position.from())).filters(&filters).build()
}

/// The events before the first error, and that error.
fn split(
    chunk: Vec<Result<EventMessage, bollard::errors::Error>>,
) -> (Vec<EventMessage>, Option<EngineError>) {
    let mut events = Vec::with_capacity(chunk.len());
    for event in chunk {
        match event {
            Ok(event) => events.push(event),
            Err(error) => return (events, Some(error.into())),
        }
    }
    (events, None)
}

fn name(kind: &EventKind) -> &'static str {
    match kind {
        EventKind::Create => "create",
        EventKind::Start => "start",
        EventKind::Die(_) => "die",
        EventKind::Oom => "oom",
        EventKind::HealthStatus(_) => "health_status",
        EventKind::Kill(_) => "kill",
        EventKind::Stop => "stop",
        EventKind::Destroy => "destroy",
        EventKind::Rename(_) => "rename",
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::EventActor;

    use super::*;

    #[test]
    fn an_event_is_counted_under_the_engines_name_of_it() {
        for event in EVENTS.iter().chain(&CHANGES) {
            let attributes = [("exitCode", "1"), ("signal", "15")];
            let attributes = attributes.map(|(name, value)| (name.to_owned(), value.to_owned()));
            let actor =
                EventActor { id: Some("abc".to_owned()), attributes: Some(attributes.into()) };
            let message = EventMessage {
                action: Some((*event).to_owned()),
                actor: Some(actor),
                time: Some(1),
                ..EventMessage::default()
            };
            match convert::notice(&message) {
                Some((_, _, Notice::Event(seen))) => assert_eq!(name(&seen.kind), *event),
                Some((_, _, Notice::LookAgain)) => assert!(CHANGES.contains(event), "{event}"),
                None => panic!("{event} is asked for and not understood"),
            }
        }
    }

    #[test]
    fn a_time_is_written_as_the_engine_reads_it() {
        assert_eq!(timestamp(1_700_000_000_000_000_042), "1700000000.000000042");
    }
}
