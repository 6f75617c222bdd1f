//! A node that watches the containers of one test, with short windows.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::support::engine::{Container, ContainerSpec, Engine};
use crate::support::node::Node;
use crate::support::wait::eventually;

/// Far above what anything awaited here takes, for machines that run many tests at once.
pub(super) const SOON: Duration = Duration::from_secs(90);

/// Short where HemoStat's defaults make a test wait. Lists stay at their 30 s, so that what is seen
/// within seconds was seen by an event; a stop settles late, so that a slow restart is none. The
/// machine's own memory decides no test.
const WINDOWS: &str = r#"
sample_every = "500ms"
cpu_window = "2s"
memory_window = "3s"
proc = ""
restart_limit = 3
settle_time = "1s"

[analyzer]
stabilisation = "2s"
rediagnose_after = "1s"
evidence_wait = "20s"

[responder]
stabilisation = "3s"
stabilisation_sustained = "8s"
backoff = "1s"
"#;

/// How long a marker runs: longer than anything the Monitor waits for by itself (3 s).
const MARKER_SECONDS: u32 = 5;

/// An engine and a node that watches it.
#[derive(Debug)]
pub(super) struct World {
    pub(super) engine: Engine,
    pub(super) node: Node,
}

impl World {
    pub(super) async fn start() -> World {
        World::with(&[]).await
    }

    /// `options` are set over the short windows, as in `("MONITOR__SETTLE_TIME", "5s")`.
    pub(super) async fn with(options: &[(&str, &str)]) -> World {
        let engine = Engine::connect();
        let docker = format!("[docker]\nhost = \"{}\"", engine.host());
        let scope = format!("[monitor]\ninclude = [\"{}\"]", engine.names());
        let mut builder = Node::builder().toml(&docker).toml(&scope).toml(WINDOWS);
        for (option, value) in options {
            builder = builder.env(&format!("PERENNIAL__{option}"), value);
        }
        World { engine, node: builder.start().await }
    }

    /// The container as the node lists it, once it is `wanted`.
    pub(super) async fn row(
        &self,
        container: &Container,
        awaited: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let awaited = format!("the node to list {} as {awaited}", container.name());
        eventually(&awaited, SOON, async || {
            let rows = items(&self.node.get_json("/v1/containers").await);
            let row = rows.into_iter().find(|row| row["id"] == container.id());
            row.clone().filter(|row| wanted(row)).ok_or(row)
        })
        .await
    }

    /// The incidents of `container`, the newest first, without their journals.
    pub(super) async fn incidents(&self, container: &Container) -> Vec<Value> {
        let mut all = items(&self.node.get_json("/v1/incidents").await);
        all.retain(|incident| incident["container"]["id"] == container.id());
        all
    }

    /// The newest incident of `container` with its journal, once it is `wanted`.
    pub(super) async fn incident(
        &self,
        container: &Container,
        awaited: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let awaited = format!("the incident of {} to be {awaited}", container.name());
        eventually(&awaited, SOON, async || {
            let found = self.incidents(container).await;
            let id = found.first().and_then(|incident| incident["id"].as_str());
            let Some(id) = id else { return Err(Value::Null) };
            let incident = self.node.get_json(&format!("/v1/incidents/{id}")).await;
            if wanted(&incident) { Ok(incident) } else { Err(incident) }
        })
        .await
    }

    /// Like [`World::incident`], for a status.
    pub(super) async fn incident_that_is(&self, container: &Container, status: &str) -> Value {
        self.incident(container, status, |incident| incident["status"] == status).await
    }

    /// What the audit holds of `container` at `stage`, the newest first.
    pub(super) async fn actions(&self, container: &Container, stage: &str) -> Vec<Value> {
        let mut all = items(&self.node.get_json("/v1/actions").await);
        all.retain(|entry| entry["container"]["id"] == container.id() && entry["stage"] == stage);
        all
    }

    /// Waits until a fault that begins well after everything before it has been diagnosed: what has
    /// not come to light by then was not taken for a fault.
    pub(super) async fn marker(&self) {
        self.marker_after(MARKER_SECONDS).await;
    }

    pub(super) async fn marker_after(&self, seconds: u32) {
        let spec = ContainerSpec::new("marker", &format!("sleep {seconds}; exit 1"));
        let marker = self.engine.run(spec.mode("observe"));
        self.incident(&marker, "diagnosed", |incident| incident["diagnosis"].is_object()).await;
    }

    /// Panics if `container` was ever taken for sick, or acted on.
    pub(super) async fn assert_left_alone(&self, container: &Container) {
        assert_eq!(self.incidents(container).await, Vec::<Value>::new());
        self.assert_not_acted_on(container).await;
    }

    /// Panics if anything was ever done to `container`, or was about to be.
    pub(super) async fn assert_not_acted_on(&self, container: &Container) {
        for stage in ["proposed", "refused", "intended", "finished"] {
            assert_eq!(self.actions(container, stage).await, Vec::<Value>::new(), "{stage}");
        }
    }
}

/// Runs until it is given its exit code by [`end`]; again after each restart.
pub(super) fn mortal(name: &str) -> ContainerSpec {
    ContainerSpec::new(name, "mkfifo /tmp/end; read code </tmp/end; exit $code")
}

/// Ends a [`mortal`] container from within, as a crash would.
pub(super) fn end(container: &Container, code: u8) {
    container.exec(&format!("echo {code} >/tmp/end"));
}

/// The journal's entries of this kind, the oldest first.
pub(super) fn steps<'a>(incident: &'a Value, kind: &str) -> Vec<&'a Value> {
    let journal = incident["journal"].as_array().expect("an incident is shown with its journal");
    journal.iter().filter(|entry| entry["kind"] == kind).collect()
}

/// Every rule that was ever the diagnosis, the oldest first.
pub(super) fn rules(incident: &Value) -> Vec<&str> {
    let diagnoses = steps(incident, "diagnosed").into_iter();
    diagnoses.filter_map(|entry| entry["rule"].as_str()).collect()
}

/// Every kind of symptom that the journal tells of.
pub(super) fn symptoms(incident: &Value) -> Vec<&str> {
    let journal = incident["journal"].as_array().expect("an incident is shown with its journal");
    let lists = journal.iter().flat_map(|entry| [&entry["symptoms"], &entry["raised"]]);
    let mut kinds: Vec<_> = lists
        .filter_map(Value::as_array)
        .flatten()
        .filter_map(|symptom| symptom["kind"].as_str())
        .collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// A point in time as the node and the engine write it.
pub(super) fn time(value: &Value) -> Timestamp {
    let text = value.as_str().expect("a time is text");
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Seconds between two such points.
pub(super) fn seconds_between(from: &Value, to: &Value) -> f64 {
    time(to).duration_since(time(from)).as_secs_f64()
}

fn items(list: &Value) -> Vec<Value> {
    list["items"].as_array().expect("a list has items").clone()
}
