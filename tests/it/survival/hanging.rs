//! Calls to the engine that never come back.

use std::time::Duration;

use serde_json::Value;

use super::proxy::{Proxy, Trick};
use super::{LONG, curable, failing, incident_is, incidents, items, node};
use crate::support::engine::{Container, ContainerSpec, Engine};
use crate::support::node::Node;
use crate::support::sink::Sink;
use crate::support::wait::eventually;

async fn row(node: &Node, container: &Container) -> Option<Value> {
    let rows = items(&node.get_json("/v1/containers").await);
    rows.into_iter().find(|row| row["id"] == container.id())
}

async fn sampled(node: &Node, container: &Container) {
    eventually("a sample of it", LONG, async || {
        let row = row(node, container).await;
        let seen = row.as_ref().is_some_and(|row| row["memory_bytes"].is_u64());
        if seen { Ok(()) } else { Err(row) }
    })
    .await;
}

/// X18, for statistics: the others are sampled, one slot at a time is lost until the deadline.
#[tokio::test]
async fn a_hung_statistics_call_keeps_no_other_container_from_being_sampled() {
    let (engine, sink) = (Engine::connect(), Sink::start());
    let hung = engine.run(ContainerSpec::idle("hung"));
    let well = engine.run(ContainerSpec::idle("well"));
    let trick = Trick::Hang(format!("/containers/{}/stats", hung.id()));
    let proxy = Proxy::start(engine.host(), trick);
    let node = node(&engine, &sink)
        .env("PERENNIAL__DOCKER__HOST", proxy.host())
        .env("PERENNIAL__MONITOR__SAMPLE_EVERY", "500ms")
        .env("PERENNIAL__MONITOR__SAMPLE_DEADLINE", "1s")
        .env("PERENNIAL__MONITOR__SAMPLES_IN_FLIGHT", "1")
        .start()
        .await;
    sampled(&node, &well).await;
    // Each further sweep asks it again, so no call is waited for longer than its deadline.
    eventually("three deadlines", LONG, async || {
        let missed = node.log().matches("a container was not sampled").count();
        if missed >= 3 && proxy.tricked() >= 3 { Ok(()) } else { Err((missed, proxy.tricked())) }
    })
    .await;
    let row = row(&node, &hung).await.expect("the hung one is known all the same");
    assert!(row["memory_bytes"].is_null(), "{row}");
    assert_eq!(row["state"], "running");
    let sick = engine.run(curable("sick"));
    incident_is(&node, &sick, "resolved").await;
}

/// X18, for inspections: the event stream and the list go on without the one that hangs.
#[tokio::test]
async fn a_hung_inspection_keeps_no_other_container_from_being_healed() {
    let (engine, sink) = (Engine::connect(), Sink::start());
    let hung = engine.run(ContainerSpec::idle("hung"));
    let proxy = Proxy::start(engine.host(), Trick::Hang(format!("/containers/{}/json", hung.id())));
    let node = node(&engine, &sink)
        .env("PERENNIAL__DOCKER__HOST", proxy.host())
        .env("PERENNIAL__DOCKER__DEADLINE", "1s")
        .start()
        .await;
    let sick = engine.run(curable("sick"));
    incident_is(&node, &sick, "resolved").await;
    assert!(proxy.tricked() > 0, "the hung one was asked for");
    eventually("the deadline to be logged", LONG, async || {
        let log = node.log();
        let missed = ["an inspection got no answer", "was not inspected"];
        if missed.iter().any(|line| log.contains(line)) { Ok(()) } else { Err(log) }
    })
    .await;
    assert_eq!(node.get("/livez").await.0, 200);
}

/// X18, for the log, which is evidence: the diagnosis is made without it.
#[tokio::test]
async fn a_hung_log_call_does_not_hold_up_the_diagnosis_for_longer_than_its_deadline() {
    let (engine, sink) = (Engine::connect(), Sink::start());
    let proxy = Proxy::start(engine.host(), Trick::Hang("/logs?".to_owned()));
    let node = node(&engine, &sink)
        .env("PERENNIAL__DOCKER__HOST", proxy.host())
        .env("PERENNIAL__ANALYZER__EVIDENCE_WAIT", "1s")
        .start()
        .await;
    let sick = engine.run(curable("sick"));
    let found = incident_is(&node, &sick, "resolved").await;
    assert!(proxy.tricked() > 0, "the log was asked for");
    let journal = found["journal"].as_array().expect("a journal");
    let at = |kind: &str| {
        let step = journal.iter().find(|step| step["kind"] == kind);
        let at = step.unwrap_or_else(|| panic!("{kind}: {found}"))["at"].as_str();
        at.expect("a time").parse::<jiff::Timestamp>().expect("RFC 3339")
    };
    let waited = at("diagnosed").duration_since(at("opened"));
    assert!(waited < jiff::SignedDuration::from_secs(10), "diagnosed after {waited:?}");
    assert!(waited >= jiff::SignedDuration::from_millis(900), "it was waited for: {waited:?}");
}

/// The same engine without tricks, through the same socket: the proxy is not what is tested.
#[tokio::test]
async fn an_engine_behind_a_socket_of_another_name_is_watched_as_well() {
    let (engine, sink) = (Engine::connect(), Sink::start());
    let proxy = Proxy::start(engine.host(), Trick::Hang("/no-such-call".to_owned()));
    let node = node(&engine, &sink).env("PERENNIAL__DOCKER__HOST", proxy.host()).start().await;
    let sick = engine.run(failing("sick"));
    eventually("its incident", Duration::from_secs(60), async || {
        let all = incidents(&node, &sick).await;
        if all.len() == 1 { Ok(()) } else { Err(all) }
    })
    .await;
    assert_eq!(proxy.tricked(), 0);
}
