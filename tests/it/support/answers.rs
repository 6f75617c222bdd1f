//! What a node says of a container: its incident, and the audit of what was done to it.

use std::fmt::Display;
use std::time::Duration;

use serde_json::{Value, json};

use super::engine::Container;
use super::node::Node;
use super::wait::eventually;

/// Far above what anything awaited takes, for machines that run many tests at once.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// All incidents of the container.
pub(crate) async fn incidents(node: &Node, container: &Container) -> Vec<Value> {
    let mut all = items(&node.get_json("/v1/incidents?limit=1000").await);
    all.retain(|incident| incident["container"]["id"] == container.id());
    all
}

/// Waits until the container's one incident satisfies `wanted`; returns it with its journal.
pub(crate) async fn incident_where(
    node: &Node,
    container: &Container,
    awaited: &str,
    wanted: impl Fn(&Value) -> bool,
) -> Value {
    eventually(&format!("its incident to be {awaited}"), LONG, async || {
        let mut all = incidents(node, container).await;
        assert!(all.len() < 2, "one container, one incident: {all:?}");
        let Some(found) = all.pop() else { return Err(Value::Null) };
        let found = node.get_json(&format!("/v1/incidents/{}", text(&found["id"]))).await;
        if wanted(&found) { Ok(found) } else { Err(found) }
    })
    .await
}

/// Waits until the container's one incident has this status, and returns it with its journal.
pub(crate) async fn incident_is(node: &Node, container: &Container, status: &str) -> Value {
    incident_where(node, container, status, |incident| incident["status"] == status).await
}

/// The audit of one container, oldest first; its chain of hashes must hold.
pub(crate) async fn audit(node: &Node, container: &Container) -> Vec<Value> {
    let answer = node.get_json("/v1/actions?limit=1000").await;
    assert_eq!(answer["chain"]["intact"], true, "{answer}");
    let mut all = items(&answer);
    all.retain(|entry| entry["container"]["id"] == container.id());
    all.reverse();
    all
}

/// How many entries of this stage there are.
pub(crate) fn count(audit: &[Value], stage: &str) -> usize {
    audit.iter().filter(|entry| entry["stage"] == stage).count()
}

/// An order to restart the container; given again under the same name, it is carried out once.
pub(crate) fn restart_once(
    node: &Node,
    container: &Container,
    name: impl Display,
) -> reqwest::RequestBuilder {
    let body = json!({ "container": container.id(), "action": "restart", "reason": "a test" });
    node.http()
        .post(node.url("/v1/actions"))
        .header("idempotency-key", name.to_string())
        .json(&body)
}

pub(crate) fn items(answer: &Value) -> Vec<Value> {
    answer["items"].as_array().expect("a list has items").clone()
}

#[track_caller]
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}"))
}
