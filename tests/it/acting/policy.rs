//! What may be done at all: modes, maintenance, how much of a project at once.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    EngineLog, LONG, Scene, audited, curable, held, ill, incident_is, incident_where, items,
    known_healthy, node, sicken, stages, text,
};
use crate::support::engine::{Container, Engine};
use crate::support::node::Node;
use crate::support::wait::eventually;

#[tokio::test]
async fn mode_observe_does_nothing_and_says_so() {
    let Scene { node, container, log, .. } = &ill(curable("web").mode("observe"), &[]).await;
    let audit = audited(node, container, "refused", 1).await;
    assert!(audit.iter().all(|entry| entry["stage"] == "refused"), "{audit:?}");
    assert_eq!(held(&audit[0])["gate"], "mode");
    let by_mode = |incident: &Value| incident["held_by"] == "mode";
    let incident = incident_where(node, container, "held by its mode", by_mode).await;
    assert_eq!(incident["status"], "open");
    log.restarts(container, 0).await;
}

#[tokio::test]
async fn mode_propose_says_what_it_would_do_and_does_not() {
    let Scene { node, container, log, .. } = &ill(curable("web").mode("propose"), &[]).await;
    let audit = audited(node, container, "proposed", 1).await;
    assert_eq!(stages(&audit), ["proposed"]);
    assert!(text(&audit[0]["reason"]).contains("would restart"), "{audit:?}");
    let proposed = |incident: &Value| {
        incident["reason"].as_str().is_some_and(|reason| reason.contains("would restart"))
    };
    let incident = incident_where(node, container, "a proposal", proposed).await;
    assert_eq!(incident["status"], "open");
    log.restarts(container, 0).await;
}

#[tokio::test]
async fn a_maintenance_window_holds_every_action_on_its_containers() {
    let engine = Engine::connect();
    let held_back = engine.run(curable("db"));
    let free = engine.run(curable("web"));
    let log = EngineLog::of(&engine, &held_back);
    let names = engine.names().replace('*', "db");
    let window = format!(
        "[[responder.maintenance]]\ndays = \"all\"\nfrom = \"00:00\"\nto = \"00:00\"\n\
         containers = \"{names}\"\nreason = \"move\""
    );
    let node = node(&engine, &[]).toml(&window).start().await;
    known_healthy(&node, &held_back).await;
    known_healthy(&node, &free).await;
    sicken(&held_back);
    sicken(&free);
    let audit = audited(&node, &held_back, "refused", 1).await;
    let gate = held(&audit[0]);
    assert_eq!(gate["gate"], "maintenance");
    assert!(text(&gate["reason"]).contains("move") && gate["until"].is_string(), "{gate}");
    let other = audited(&node, &free, "resolved", 1).await;
    assert_eq!(stages(&other), ["intended", "finished", "resolved"]);
    log.restarts(&held_back, 0).await;
}

/// The containers that were being acted on or watched at any one moment, as the audit has it.
fn most_at_once(audit: &[Value]) -> usize {
    let (mut disturbed, mut most) = (BTreeSet::new(), 0);
    for entry in audit {
        let id = text(&entry["container"]["id"]);
        match text(&entry["stage"]) {
            "intended" => drop(disturbed.insert(id)),
            "resolved" | "escalated" | "withdrawn" => drop(disturbed.remove(id)),
            _ => {}
        }
        most = most.max(disturbed.len());
    }
    most
}

async fn whole_audit(node: &Node) -> Vec<Value> {
    let mut all = items(&node.get_json("/v1/actions?limit=1000").await);
    all.reverse();
    all
}

#[tokio::test]
async fn never_more_than_one_of_a_sick_project_of_three_is_acted_on_at_a_time() {
    let engine = Engine::connect();
    let project = engine.names().replace('*', "shop");
    let run = |name: &str| {
        let spec = curable(name).label("com.docker.compose.project", &project);
        engine.run(spec.label("com.docker.compose.service", name))
    };
    let all: Vec<Container> = ["web", "api", "db"].into_iter().map(run).collect();
    let node = node(&engine, &[]).start().await;
    for container in &all {
        known_healthy(&node, container).await;
    }
    for container in &all {
        sicken(container);
    }
    for container in &all {
        incident_is(&node, container, "resolved").await;
    }
    let audit = eventually("three resolved in the audit", LONG, async || {
        let audit = whole_audit(&node).await;
        let resolved = stages(&audit).iter().filter(|stage| **stage == "resolved").count();
        if resolved == 3 { Ok(audit) } else { Err(audit) }
    })
    .await;
    assert_eq!(stages(&audit).iter().filter(|stage| **stage == "intended").count(), 3);
    assert_eq!(most_at_once(&audit), 1);
    let refusals: BTreeSet<_> = audit
        .iter()
        .filter(|entry| entry["stage"] == "refused")
        .map(|entry| text(&held(entry)["gate"]).to_owned())
        .collect();
    assert!(refusals.contains("blast_radius"), "{refusals:?}");
}
