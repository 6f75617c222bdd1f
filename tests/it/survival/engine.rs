//! An engine that is not there.

use std::path::Path;

use super::{LONG, curable, incident_is, incidents, node, told_of};
use crate::support::engine::{ContainerSpec, Engine};
use crate::support::node::Node;
use crate::support::sink::Sink;
use crate::support::wait::eventually;

/// Waits until the node is not ready, and says of the engine what `words` are.
async fn not_ready(node: &Node, words: &str) {
    eventually("the node not to be ready", LONG, async || {
        let (status, lines) = node.get("/readyz?verbose").await;
        let told = lines.contains("[-]docker failed: ") && lines.contains(words);
        if status == 503 && told { Ok(()) } else { Err(lines) }
    })
    .await;
}

async fn gaps(node: &Node) -> u64 {
    let (_, metrics) = node.get("/metrics").await;
    let line =
        metrics.lines().find_map(|line| line.strip_prefix("perennial_docker_event_gaps_total "));
    line.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("no gaps in {metrics}"))
}

/// X16.
#[tokio::test]
async fn an_engine_absent_at_boot_or_lost_later_is_watched_again_once_it_is_there() {
    let (mut engine, sink) = (Engine::start_private().await, Sink::start());
    engine.stop();
    let mut node = node(&engine, &sink).start_listening().await;
    not_ready(&node, "check docker.host").await;
    assert_eq!(node.get("/livez").await.0, 200, "it lives all the same");

    engine.start().await;
    node.wait_until_ready(LONG).await;
    let first = engine.run(curable("first"));
    incident_is(&node, &first, "resolved").await;
    let before = gaps(&node).await;

    // Lost, with a container that ends while nobody watches.
    let unseen = engine.run(ContainerSpec::new("unseen", "sleep 6; exit 3").mode("observe"));
    let state = unseen.wait_for("running", LONG, |state| state["Running"] == true).await;
    let pid = state["Pid"].as_u64().expect("a pid");
    engine.kill9().await;
    not_ready(&node, "").await;
    eventually("the container to end", LONG, async || {
        let file = format!("/proc/{pid}");
        if Path::new(&file).exists() { Err(file) } else { Ok(()) }
    })
    .await;
    assert!(incidents(&node, &unseen).await.is_empty(), "nobody saw it");

    engine.start().await;
    node.wait_until_ready(LONG).await;
    told_of(&sink, &unseen, "opened").await;
    assert_eq!(incidents(&node, &unseen).await.len(), 1);
    assert!(gaps(&node).await > before, "an engine that starts anew has forgotten its events");
    let last = engine.run(curable("last"));
    incident_is(&node, &last, "resolved").await;
}

/// The node is what was away: the engine remembers its events, and nothing is counted as a gap.
#[tokio::test]
async fn what_happened_while_the_node_was_away_is_found_when_it_is_back() {
    let (engine, sink) = (Engine::connect(), Sink::start());
    let mut node = node(&engine, &sink).start().await;
    assert!(node.sigterm().0.success());
    let unseen = engine.run(curable("unseen"));
    unseen.wait_for("exited", LONG, |state| state["Status"] == "exited").await;
    node.restart().await;
    let found = incident_is(&node, &unseen, "resolved").await;
    assert_eq!(found["diagnosis"]["rule"], "exit_code", "{found}");
}
