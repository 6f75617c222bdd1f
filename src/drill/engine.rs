//! A container engine that exists only in the drill: it speaks as much of Docker's HTTP API as a node asks
//! for, on a socket of its own, and no container of this machine is ever touched.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures::stream;
use perennial_runtime::{Clock, SystemClock};
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::ledger::Ledger;
use crate::exit::{Exit, Failure};

/// The API version that is spoken; a node negotiates down to it.
const API: &str = "1.41";
/// The one container that never fails: orders are given for it.
pub(super) const BYSTANDER: &str = "drill-bystander";

/// One container, and whether it runs.
#[derive(Clone, Debug)]
struct Patient {
    name: String,
    mode: &'static str,
    created: String,
    started: String,
    finished: String,
    running: bool,
}

#[derive(Debug, Default)]
struct World {
    containers: BTreeMap<String, Patient>,
    /// Time in nanoseconds, and the line that tells of it.
    events: Vec<(u64, String)>,
}

#[derive(Debug)]
struct Shared {
    world: Mutex<World>,
    /// How many events there are.
    told: watch::Sender<usize>,
    ledger: Arc<Ledger>,
}

/// A running engine; gone when dropped.
#[derive(Debug)]
pub(super) struct Engine {
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Engine {
    /// Listens on `socket`, with one healthy container.
    pub(super) fn start(socket: &Path, ledger: Arc<Ledger>) -> Result<Self, Failure> {
        let listener = UnixListener::bind(socket).map_err(|error| {
            Failure::new(Exit::Io, format!("cannot listen on {}: {error}", socket.display()))
        })?;
        let (world, told) = (Mutex::default(), watch::Sender::new(0));
        let shared = Arc::new(Shared { world, told, ledger });
        let router = Router::new().fallback(answer).with_state(shared.clone());
        let serving = tokio::spawn(async move {
            // It ends with its task, never by itself.
            let _ended = axum::serve(listener, router).await;
        });
        let engine = Self { shared, serving };
        engine.add(BYSTANDER, "observe", None);
        Ok(engine)
    }

    /// A new container runs and ends with an error at once; returns its id.
    pub(super) fn fail_one(&self, number: u64) -> String {
        self.add(&format!("drill-{number}"), "auto", Some(3))
    }

    fn add(&self, name: &str, mode: &'static str, fails_with: Option<u8>) -> String {
        let now = text(nanos());
        let id = format!("{:0>64}", hex(name));
        let mut world = self.shared.world();
        let (created, started, finished) = (now.clone(), now.clone(), now);
        let running = fails_with.is_none();
        let name = name.to_owned();
        let patient = Patient { name, mode, created, started, finished, running };
        world.containers.insert(id.clone(), patient);
        if let Some(code) = fails_with {
            self.shared.ledger.strikes(&id);
            world.tell(&id, "create", None);
            world.tell(&id, "start", None);
            world.tell(&id, "die", Some(code));
        }
        self.shared.told.send_replace(world.events.len());
        id
    }
}

impl World {
    fn tell(&mut self, id: &str, action: &str, exit_code: Option<u8>) {
        // Each event has a time of its own, as those of a real engine do.
        let last = self.events.last().map_or(0, |(at, _)| *at);
        let at = nanos().max(last + 1);
        let name = self.containers.get(id).map_or("", |patient| &patient.name);
        let mut attributes = json!({ "name": name, "image": "drill" });
        if let Some(code) = exit_code {
            attributes["exitCode"] = Value::from(code.to_string());
        }
        let event = json!({
            "Type": "container", "Action": action, "scope": "local",
            "Actor": { "ID": id, "Attributes": attributes },
            "time": at / 1_000_000_000, "timeNano": at,
        });
        self.events.push((at, format!("{event}\n")));
    }
}

impl Shared {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn restart(&self, id: &str) -> StatusCode {
        let mut world = self.world();
        let Some(patient) = world.containers.get_mut(id) else { return StatusCode::NOT_FOUND };
        patient.running = true;
        patient.started = text(nanos());
        world.tell(id, "start", None);
        world.tell(id, "restart", None);
        self.told.send_replace(world.events.len());
        self.ledger.restarted(id);
        StatusCode::NO_CONTENT
    }

    fn inspect(&self, id: &str) -> Option<Value> {
        let world = self.world();
        let patient = world.containers.get(id)?;
        Some(json!({
            "Id": id, "Name": format!("/{}", patient.name), "Created": patient.created,
            "RestartCount": 0,
            "State": {
                "Status": patient.state(), "Running": patient.running, "Paused": false,
                "Restarting": false, "OOMKilled": false, "Dead": false,
                "ExitCode": if patient.running { 0 } else { 3 }, "Error": "",
                "StartedAt": patient.started, "FinishedAt": patient.finished,
            },
            "HostConfig": { "Memory": 1 << 28, "RestartPolicy": { "Name": "no" } },
            "Config": { "Image": "drill", "Labels": { "perennial.mode": patient.mode } },
        }))
    }

    fn list(&self) -> Value {
        let world = self.world();
        let lines = world.containers.iter().map(|(id, patient)| {
            json!({
                "Id": id, "Names": [format!("/{}", patient.name)], "Image": "drill",
                "State": patient.state(), "Labels": { "perennial.mode": patient.mode },
                "Status": if patient.running { "Up 1 second" } else { "Exited (3) 1 second ago" },
            })
        });
        lines.collect()
    }

    /// Everything that was told from `since` to `until`.
    fn past(&self, since: u64, until: u64) -> String {
        let world = self.world();
        let told = world.events.iter().filter(|(at, _)| (since..=until).contains(at));
        told.map(|(_, line)| line.as_str()).collect()
    }
}

impl Patient {
    fn state(&self) -> &'static str {
        if self.running { "running" } else { "exited" }
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let uri = request.uri();
    let path = uri.path().trim_start_matches('/');
    // The version before the path is optional.
    let path = match path.split_once('/') {
        Some((version, rest)) if version.starts_with("v1.") => rest,
        Some(_) | None => path,
    };
    let parts: Vec<&str> = path.split('/').collect();
    let query = uri.query().unwrap_or_default();
    let post = request.method() == axum::http::Method::POST;
    match (post, parts.as_slice()) {
        (false, ["_ping"]) => "OK".into_response(),
        (false, ["version"]) => {
            json_of(&json!({ "Version": "drill", "ApiVersion": API, "MinAPIVersion": "1.24" }))
        }
        (false, ["info"]) => json_of(&json!({ "NCPU": 1, "SystemTime": text(nanos()) })),
        (false, ["events"]) => events(shared, query),
        (false, ["containers", "json"]) => json_of(&shared.list()),
        (false, ["containers", id, "json"]) => match shared.inspect(id) {
            Some(seen) => json_of(&seen),
            None => StatusCode::NOT_FOUND.into_response(),
        },
        (false, ["containers", _, "stats"]) => json_of(&json!({})),
        (false, ["containers", _, "logs"]) => StatusCode::OK.into_response(),
        (true, ["containers", id, "restart"]) => shared.restart(id).into_response(),
        _ => StatusCode::NOT_IMPLEMENTED.into_response(),
    }
}

fn json_of(value: &Value) -> Response {
    ([("content-type", "application/json")], value.to_string()).into_response()
}

/// What was told since a moment: up to another one, or from then on.
fn events(shared: Arc<Shared>, query: &str) -> Response {
    let moment = |name: &str| {
        let fields = query.split('&').filter_map(|pair| pair.split_once('='));
        let value = fields.filter(|(field, _)| *field == name).map(|(_, value)| value).next();
        value.and_then(in_nanos)
    };
    let since = moment("since").unwrap_or_else(nanos);
    if let Some(until) = moment("until") {
        return shared.past(since, until).into_response();
    }
    let told = shared.told.subscribe();
    let lines = stream::unfold((shared, told, since), async |(shared, mut told, from)| {
        loop {
            told.mark_unchanged();
            let lines = shared.past(from, u64::MAX);
            let next = shared.world().events.last().map_or(from, |(at, _)| from.max(at + 1));
            if !lines.is_empty() {
                return Some((Ok::<_, Infallible>(Bytes::from(lines)), (shared, told, next)));
            }
            told.changed().await.ok()?;
        }
    });
    Body::from_stream(lines).into_response()
}

/// Seconds, with a fraction or without, in nanoseconds.
fn in_nanos(text: &str) -> Option<u64> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction = format!("{fraction:0<9}");
    let seconds: u64 = seconds.parse().ok()?;
    Some(seconds.saturating_mul(1_000_000_000).saturating_add(fraction.get(..9)?.parse().ok()?))
}

fn nanos() -> u64 {
    SystemClock.now().as_micros().saturating_mul(1000)
}

/// RFC 3339, as an engine writes it.
fn text(nanos: u64) -> String {
    let time = jiff::Timestamp::from_nanosecond(nanos.into()).unwrap_or_default();
    format!("{time:.9}")
}

fn hex(name: &str) -> String {
    name.bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_of_a_query_is_read_with_and_without_a_fraction() {
        assert_eq!(in_nanos("1"), Some(1_000_000_000));
        assert_eq!(in_nanos("1700000000.000000042"), Some(1_700_000_000_000_000_042));
        assert_eq!(in_nanos("soon"), None);
    }

    #[test]
    fn a_time_is_written_with_nanoseconds() {
        assert_eq!(text(1_700_000_000_000_042_000), "2023-11-14T22:13:20.000042000Z");
    }
}
