//! What the node lives through: its own death, an engine that is gone or hangs, a full or damaged
//! disk.

mod damaged;
mod data;
mod engine;
mod full;
mod hanging;
mod killed;
mod killing;
pub(crate) mod proxy;
mod stopping;

use crate::support::answers::{LONG, audit, count, incident_is, incidents, items, text};
use crate::support::engine::{Container, ContainerSpec, Engine};
use crate::support::node::{Node, NodeBuilder};
use crate::support::sink::{Received, Sink};
use crate::support::wait::eventually;

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
