//! One restart, from the fault to the proof that it helped.

use std::path::Path;

use serde_json::Value;

use super::{
    LONG, Scene, audited, curable, healthy, ill, incident_is, incident_where, items, sicken,
    stages, text,
};
use crate::support::node::{Node, perennial};

/// T4a.
#[tokio::test]
async fn a_restart_really_restarts_the_container_and_the_audit_shows_it() {
    let Scene { node, container, log, .. } = &healthy(curable("web"), &[]).await;
    let before = container.started_at();
    sicken(container);

    let audit = audited(node, container, "resolved", 1).await;
    assert_eq!(stages(&audit), ["intended", "finished", "resolved"]);
    assert_eq!((&audit[0]["action"], &audit[1]["outcome"]), (&"restart".into(), &"done".into()));
    let gates = audit[0]["gates"].as_array().expect("an intent lists its gates");
    assert!(gates.len() >= 10 && gates.iter().all(|gate| gate["passed"] == true), "{gates:?}");
    assert!(container.started_at() > before, "StartedAt did not move");
    log.restarts(container, 1).await;

    let incident = incident_is(node, container, "resolved").await;
    assert_eq!(incident["id"], audit[0]["incident"]);
    let kinds: Vec<_> =
        incident["journal"].as_array().unwrap().iter().map(|entry| text(&entry["kind"])).collect();
    let wanted = ["opened", "evidence", "diagnosed", "gates", "action_intended", "action_finished"];
    let places: Vec<_> =
        wanted.iter().map(|kind| kinds.iter().position(|other| other == kind)).collect();
    assert!(places.is_sorted() && places.iter().all(Option::is_some), "{kinds:?}");
    assert_eq!(container.inspect()["State"]["Health"]["Status"], "healthy");
}

/// T4b.
#[tokio::test]
async fn a_dry_run_simulates_and_leaves_the_container_untouched() {
    let Scene { node, container, log, .. } = &healthy(curable("web"), &[("dry_run", "true")]).await;
    let before = container.started_at();
    sicken(container);

    let audit = audited(node, container, "simulated", 1).await;
    assert_eq!(stages(&audit), ["simulated"]);
    assert_eq!(audit[0]["outcome"], "simulated");
    let gates = audit[0]["gates"].as_array().expect("a simulation lists its gates");
    assert_eq!(gates.last().expect("a gate")["gate"], "dry_run");
    let simulated = |incident: &Value| incident["outcome"] == "simulated";
    let incident = incident_where(node, container, "simulated", simulated).await;
    assert_eq!(incident["status"], "open", "a simulation is no success: {incident}");
    assert_eq!(container.started_at(), before);
    log.restarts(container, 0).await;
    assert_eq!(log.count("die"), 0);
}

fn printed(node: &Node, arguments: &[&str]) -> String {
    let url = node.url("");
    let output = perennial(Path::new("/"), &[arguments, &["--node", &url]].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "perennial {arguments:?}: {errors}");
    String::from_utf8(output.stdout).expect("the command prints text")
}

fn json(node: &Node, arguments: &[&str]) -> Value {
    let text = printed(node, &[arguments, &["--json"]].concat());
    serde_json::from_str(&text).expect("--json prints JSON")
}

#[tokio::test]
async fn the_audit_chain_verifies_and_the_command_line_shows_the_same_as_the_interface() {
    let Scene { node, container, .. } = &ill(curable("web"), &[]).await;
    let incident = incident_is(node, container, "resolved").await;
    audited(node, container, "resolved", 1).await;

    let actions = node.get_json("/v1/actions").await;
    let (chain, entries) = (&actions["chain"], items(&actions));
    assert_eq!((&chain["intact"], &chain["entries"]), (&true.into(), &entries.len().into()));
    assert_eq!(chain["head"], entries[0]["hash"]);
    assert!(entries.windows(2).all(|pair| pair[0]["previous"] == pair[1]["hash"]), "{entries:?}");

    assert_eq!(json(node, &["actions"]), actions);
    assert_eq!(json(node, &["actions", "--verify"]), actions);
    let (mut paged, mut path) = (Vec::new(), "/v1/actions?limit=2".to_owned());
    loop {
        let page = node.get_json(&path).await;
        assert_eq!(&page["chain"], chain);
        paged.extend(items(&page));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/actions?limit=2&after={next}");
    }
    assert_eq!(paged, entries);
    let id = text(&incident["id"]);
    assert_eq!(json(node, &["incidents", id]), node.get_json(&format!("/v1/incidents/{id}")).await);
    assert_eq!(json(node, &["incidents"]), node.get_json("/v1/incidents").await);
    assert_eq!(json(node, &["tree"])["key"], node.get_json("/v1/tree").await["key"]);

    let table = printed(node, &["actions"]);
    for part in ["intact", "resolved", container.name(), id] {
        assert!(table.contains(part), "{part} is missing in {table}");
    }
    let table = printed(node, &["incidents"]);
    assert!(table.contains(id) && table.contains(container.name()), "{table}");
    let journal = printed(node, &["incidents", id]);
    assert!(journal.contains("action_finished") && journal.contains("unhealthy"), "{journal}");
    let tree = printed(node, &["tree"]);
    for kind in ["monitor", "analyzer", "responder", "alert", "docker-events"] {
        assert!(tree.contains(kind), "{kind} is missing in {tree}");
    }
    assert_eq!(container.status(), "running");
    container.wait_for("healthy", LONG, |state| state["Health"]["Status"] == "healthy").await;
}
