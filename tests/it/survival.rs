//! What the node lives through: its own death, an engine that is gone or hangs, a full or damaged
//! disk.

mod data;
mod engine;
mod full;
mod hanging;
mod killed;
pub(crate) mod proxy;
mod stopping;

use std::time::Duration;

use serde_json::Value;

use crate::support::engine::{Container, ContainerSpec, Engine};
use crate::support::node::{Node, NodeBuilder};
use crate::support::sink::{Received, Sink};
use crate::support::wait::eventually;

/// Far above what anything awaited here takes, for machines that run many tests at once.
const LONG: Duration = Duration::from_secs(60);

/// A node that watches this test's containers only, has short windows, and tells `sink` as a webhook.
fn node(engine: &Engine, sink: &Sink) -> NodeBuilder {
    Node::builder()
        .toml(&format!("[docker]\nhost = \"{}\"\ndeadline = \"5s\"", engine.host()))
        .toml(&format!("[monitor]\ninclude = [\"{}\"]", engine.names()))
        .toml("relist_every = \"1s\"\nsettle_time = \"1h\"")
        .toml("[analyzer]\nstabilisation = \"2s\"")
        .toml("[responder]\nstabilisation = \"2s\"\nbackoff = \"3s\"")
        .toml("budget_per_node = 100\nhealth_patience = \"20s\"\nrestarts = 1")
        .toml(&format!("[alert.webhook]\nurl = \"{}\"", sink.url("/hook")))
}

/// A service that ends with an error once, and runs when it is started again.
fn curable(name: &str) -> ContainerSpec {
    let script = "trap 'exit 0' TERM; if test -e /tmp/was; then while :; do sleep 3600 & wait $!; \
                  done; fi; touch /tmp/was; exit 3";
    ContainerSpec::new(name, script).mode("auto")
}

/// A service that ends with an error at once and that nothing is done about.
fn failing(name: &str) -> ContainerSpec {
    ContainerSpec::new(name, "exit 3").mode("observe")
}

/// All incidents of the container.
async fn incidents(node: &Node, container: &Container) -> Vec<Value> {
    let mut all = items(&node.get_json("/v1/incidents?limit=1000").await);
    all.retain(|incident| incident["container"]["id"] == container.id());
    all
}

/// Waits until the container's one incident has this status, and returns it with its journal.
async fn incident_is(node: &Node, container: &Container, status: &str) -> Value {
    eventually(&format!("its incident to be {status}"), LONG, async || {
        let mut all = incidents(node, container).await;
        assert!(all.len() < 2, "one container, one incident: {all:?}");
        let Some(found) = all.pop() else { return Err(Value::Null) };
        let found = node.get_json(&format!("/v1/incidents/{}", text(&found["id"]))).await;
        if found["status"] == status { Ok(found) } else { Err(found) }
    })
    .await
}

/// The audit of one container, oldest first; its chain of hashes must hold.
async fn audit(node: &Node, container: &Container) -> Vec<Value> {
    let answer = node.get_json("/v1/actions?limit=1000").await;
    assert_eq!(answer["chain"]["intact"], true, "{answer}");
    let mut all = items(&answer);
    all.retain(|entry| entry["container"]["id"] == container.id());
    all.reverse();
    all
}

/// How many entries of this stage there are.
fn count(audit: &[Value], stage: &str) -> usize {
    audit.iter().filter(|entry| entry["stage"] == stage).count()
}

/// The changes the webhook was told of a container, in order, each delivery once: repetitions carry
/// the same idempotency key.
fn told(received: &[Received], container: &Container) -> Vec<String> {
    let mut keys = Vec::new();
    let mut changes = Vec::new();
    for request in received {
        let body = request.json();
        let key = request.header("idempotency-key").expect("a key").to_owned();
        let of = body["incidents"].as_array().expect("incidents");
        let of = of.iter().find(|incident| incident["container"]["id"] == container.id());
        if let Some(incident) = of
            && !keys.contains(&key)
        {
            keys.push(key);
            changes.push(text(&incident["change"]).to_owned());
        }
    }
    changes
}

/// Waits until the webhook was told this change of the container.
async fn told_of(sink: &Sink, container: &Container, change: &str) {
    eventually(&format!("{change} to be told"), LONG, async || {
        let told = told(&sink.received(), container);
        if told.iter().any(|one| one == change) { Ok(()) } else { Err(told) }
    })
    .await;
}

fn items(answer: &Value) -> Vec<Value> {
    answer["items"].as_array().expect("a list has items").clone()
}

#[track_caller]
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}"))
}
