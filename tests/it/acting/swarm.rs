//! Scaling a Swarm service, on a swarm of one node.

use serde_json::Value;

use super::{LONG, Scene, curable, ended, healthy, items, node, order, stages, text};
use crate::support::engine::Engine;
use crate::support::node::Node;
use crate::support::wait::eventually;

const IMAGE: &str = "perennial-test-busybox:1";

fn replicas(engine: &Engine, service: &str) -> String {
    let format = "{{.Spec.Mode.Replicated.Replicas}}";
    engine.docker(&["service", "inspect", "--format", format, service])
}

/// Orders one more replica of the service that the first of its tasks belongs to.
async fn scale(node: &Node, task: &str) -> Vec<Value> {
    let body = serde_json::json!({ "container": task, "action": "scale", "reason": "a test" });
    let (status, answer) = node.post("/v1/actions", &body).await;
    assert_eq!(status, 202, "{answer}");
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    ended(node, text(&answer["incident"])).await
}

#[tokio::test]
async fn a_swarm_service_gets_one_replica_more_and_never_more_than_the_maximum() {
    let engine = Engine::start_private().await;
    engine.docker(&[
        "swarm",
        "init",
        "--advertise-addr",
        "127.0.0.1",
        "--listen-addr",
        "127.0.0.1",
    ]);
    let service = engine.names().replace('*', "web");
    let create = ["service", "create", "--detach", "--network", "host", "--name", &service];
    engine.docker(&[&create[..], &["--no-resolve-image", IMAGE, "sleep", "3600"]].concat());
    let limits = [("cooldown", "\"0s\""), ("scale_max", "2")];
    let node = node(&engine, &limits).start().await;
    let task = eventually("a task of the service to be known", LONG, async || {
        let rows = node.get_json("/v1/containers").await;
        let mut known = items(&rows).into_iter();
        let task = known.find(|row| row["swarm_service"] == *service && row["state"] == "running");
        task.map(|row| text(&row["id"]).to_owned()).ok_or(rows)
    })
    .await;

    // Right after its creation the service counts as being deployed, which a gate holds.
    let audit = eventually("the service to count as deployed", LONG, async || {
        let audit = scale(&node, &task).await;
        let deploying = audit[0]["gates"].to_string().contains("it is being deployed");
        if deploying { Err(audit) } else { Ok(audit) }
    })
    .await;
    assert_eq!(stages(&audit), ["intended", "finished", "resolved"], "{audit:?}");
    assert!(text(&audit[1]["outcome_detail"]).contains("1 -> 2 replicas"), "{audit:?}");
    assert_eq!(replicas(&engine, &service), "2");

    let audit = scale(&node, &task).await;
    assert_eq!(audit[1]["outcome"], "not_applicable", "{audit:?}");
    assert!(text(&audit[1]["outcome_detail"]).contains("at most 2"), "{audit:?}");
    assert_eq!(replicas(&engine, &service), "2");
    engine.docker(&["service", "rm", &service]);
}

#[tokio::test]
async fn a_plain_container_cannot_be_scaled_and_that_costs_it_no_cooldown() {
    let Scene { node, container, .. } = &healthy(curable("web"), &[("cooldown", "\"1h\"")]).await;
    let audit = ended(node, &order(node, container, "scale", None).await).await;
    assert_eq!(audit[1]["outcome"], "not_applicable", "{audit:?}");
    let audit = ended(node, &order(node, container, "restart", None).await).await;
    assert_eq!(stages(&audit), ["intended", "finished", "resolved"], "{audit:?}");
}
