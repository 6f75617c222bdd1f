//! What the node does to containers: gates, actions, verification and the record of them, on a real
//! engine. "One restart" is counted in the engine's own event log, never in the node's.

mod asked;
mod ladder;
mod limits;
mod policy;
mod restart;
mod survival;
mod swarm;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::answers::{self, LONG, audit, incident_is, incident_where, items, text};
use crate::support::engine::{Container, ContainerSpec, Engine, Health};
use crate::support::node::{Node, NodeBuilder};
use crate::support::wait::eventually;

/// Short windows, so that a whole ladder fits into a test.
const RESPONDER: [(&str, &str); 7] = [
    ("stabilisation", "\"2s\""),
    ("health_patience", "\"20s\""),
    ("backoff", "\"1s\""),
    ("backoff_cap", "\"1s\""),
    ("blast_recent", "\"1s\""),
    ("budget_per_container", "20"),
    ("budget_per_node", "50"),
];
const ANALYZER: [(&str, &str); 4] = [
    ("rediagnose_after", "\"500ms\""),
    ("stabilisation", "\"2s\""),
    ("ask_again_after", "\"1s\""),
    ("ask_again_limit", "20"),
];

/// A node on `engine` that watches this test's containers only, with these options of the Responder.
fn node(engine: &Engine, responder: &[(&str, &str)]) -> NodeBuilder {
    node_with(engine, responder, &[])
}

/// The same, with options of the Analyzer too.
fn node_with(
    engine: &Engine,
    responder: &[(&str, &str)],
    analyzer: &[(&str, &str)],
) -> NodeBuilder {
    let section = |usual: &[(&str, &str)], wanted: &[(&str, &str)]| {
        let options: BTreeMap<_, _> = usual.iter().chain(wanted).copied().collect();
        let lines = options.into_iter().map(|(name, value)| format!("{name} = {value}\n"));
        lines.collect::<String>()
    };
    Node::builder()
        .toml(&format!("[docker]\nhost = \"{}\"\ndeadline = \"2s\"", engine.host()))
        .toml(&format!("[monitor]\ninclude = [\"{}\"]", engine.names()))
        .toml("relist_every = \"2s\"\nsettle_time = \"1s\"")
        // A container that a test makes sick again and again is not to be one that flaps.
        .toml("flapping_limit = 100")
        .toml(&format!("[analyzer]\n{}", section(&ANALYZER, analyzer)))
        .toml(&format!("[responder]\n{}", section(&RESPONDER, responder)))
}

/// Well until the file `/tmp/ill` is there.
fn check() -> Health<'static> {
    Health {
        command: "test ! -e /tmp/ill",
        interval: Duration::from_millis(300),
        retries: 1,
        start_period: Duration::ZERO,
    }
}

/// A service that a restart makes well again.
fn curable(name: &str) -> ContainerSpec {
    let script = "rm -f /tmp/ill; trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done";
    ContainerSpec::new(name, script).health(check())
}

/// A service that a restart makes well only once the file `/tmp/mended` is there.
fn stubborn(name: &str) -> ContainerSpec {
    let script = "test -e /tmp/mended && rm -f /tmp/ill; trap 'exit 0' TERM; \
                  while :; do sleep 3600 & wait $!; done";
    ContainerSpec::new(name, script).health(check())
}

fn sicken(container: &Container) {
    container.exec("touch /tmp/ill");
}

/// A container, the engine's own log of it, and a node that watches it.
struct Scene {
    // Ended in this order.
    node: Node,
    log: EngineLog,
    container: Container,
    _engine: Engine,
}

/// The container under a node with these options of the Responder, which knows that it is healthy.
async fn healthy(spec: ContainerSpec, responder: &[(&str, &str)]) -> Scene {
    let engine = Engine::connect();
    let container = engine.run(spec);
    let log = EngineLog::of(&engine, &container);
    let node = node(&engine, responder).start().await;
    known_healthy(&node, &container).await;
    Scene { node, log, container, _engine: engine }
}

/// The same, and then it falls ill.
async fn ill(spec: ContainerSpec, responder: &[(&str, &str)]) -> Scene {
    let scene = healthy(spec, responder).await;
    sicken(&scene.container);
    scene
}

/// Waits until the engine calls it healthy and the node knows it.
async fn known_healthy(node: &Node, container: &Container) {
    container.wait_for("healthy", LONG, |state| state["Health"]["Status"] == "healthy").await;
    known(node, container, |row| row["health"] == "healthy").await;
}

/// Waits until the node's row of it satisfies `wanted`.
async fn known(node: &Node, container: &Container, wanted: impl Fn(&Value) -> bool) -> Value {
    eventually("the node to know the container so", LONG, async || {
        let rows = node.get_json("/v1/containers").await;
        let row = items(&rows).into_iter().find(|row| row["id"] == container.id());
        row.filter(|row| wanted(row)).ok_or(rows)
    })
    .await
}

/// Waits until the audit of the container has `count` entries of this stage, and returns all of it.
async fn audited(node: &Node, container: &Container, stage: &str, count: usize) -> Vec<Value> {
    eventually(&format!("{count} audit entries `{stage}`"), LONG, async || {
        let all = audit(node, container).await;
        if answers::count(&all, stage) >= count { Ok(all) } else { Err(all) }
    })
    .await
}

fn stages(audit: &[Value]) -> Vec<&str> {
    audit.iter().map(|entry| text(&entry["stage"])).collect()
}

/// The gate that held, with its record.
#[track_caller]
fn held(entry: &Value) -> &Value {
    let gates = entry["gates"].as_array().expect("a refusal lists the gates");
    let last = gates.last().expect("a refusal names its gate");
    assert_eq!(last["passed"], false, "{entry}");
    last
}

/// Orders an action; returns the incident under which it is recorded.
async fn order(node: &Node, container: &Container, action: &str, argv: Option<&[&str]>) -> String {
    let mut body = json!({ "container": container.id(), "action": action, "reason": "a test" });
    if let Some(argv) = argv {
        body["argv"] = json!(argv);
    }
    let (status, answer) = node.post("/v1/actions", &body).await;
    assert_eq!(status, 202, "{answer}");
    let answer: Value = serde_json::from_str(&answer).expect("an order is answered with JSON");
    text(&answer["incident"]).to_owned()
}

/// Waits until an order has ended, and returns its audit, oldest first.
async fn ended(node: &Node, incident: &str) -> Vec<Value> {
    let path = format!("/v1/incidents/{incident}");
    eventually("the order to end", LONG, async || {
        let (status, body) = node.get(&path).await;
        let over = ["\"resolved\"", "\"withdrawn\""];
        let closed = over.iter().any(|word| body.contains(&format!("\"status\":{word}")));
        if status == 200 && closed { Ok(()) } else { Err(body) }
    })
    .await;
    let mut all = items(&node.get_json("/v1/actions?limit=1000").await);
    all.retain(|entry| entry["incident"] == incident);
    all.reverse();
    all
}

/// The engine's own log of what happened to one container, from before the node touched it.
struct EngineLog {
    directory: TempDir,
    client: Child,
}

impl EngineLog {
    /// Follows the log; kept by the client's process, since the engine remembers 256 events only.
    fn of(engine: &Engine, container: &Container) -> EngineLog {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let file = File::create(directory.path().join("log")).expect("a file can be made");
        let since = text(&container.inspect()["Created"]).to_owned();
        let mut command = Command::new("docker");
        command.args(["--host", engine.host(), "events", "--since", &since]);
        command.args(["--filter", &format!("container={}", container.id())]);
        for kind in ["start", "restart", "kill", "die"] {
            command.args(["--filter", &format!("event={kind}")]);
        }
        command.args(["--format", "{{.Action}}"]).stdin(Stdio::null()).stdout(file);
        let client = command.stderr(Stdio::null()).spawn().expect("the docker client runs");
        EngineLog { directory, client }
    }

    fn count(&self, kind: &str) -> usize {
        let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        log.lines().filter(|line| *line == kind).count()
    }

    /// Waits until the engine has logged at least `count` events of this kind.
    async fn reaches(&self, kind: &str, count: usize) {
        eventually(&format!("{count} events `{kind}` of the engine"), LONG, async || {
            let seen = self.count(kind);
            if seen >= count { Ok(()) } else { Err(seen) }
        })
        .await;
    }

    /// Asserts that exactly `count` restarts happened, as of an event that comes after them.
    ///
    /// The log is in order, so once the marker (a signal without effect) is in it, so is everything
    /// before it.
    async fn restarts(&self, container: &Container, count: usize) {
        let before = self.count("kill");
        container.kill("WINCH");
        self.reaches("kill", before + 1).await;
        assert_eq!(self.count("restart"), count, "restarts in the engine's log");
    }
}

impl Drop for EngineLog {
    fn drop(&mut self) {
        // It may have ended with its engine.
        drop(self.client.kill());
        drop(self.client.wait());
    }
}
