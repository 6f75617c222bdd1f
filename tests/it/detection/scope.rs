//! Which containers are watched, who they are, and what cannot be said of them.

use serde_json::Value;

use super::world::{SOON, World, end, mortal, rules};
use crate::support::engine::{Container, ContainerSpec, Engine, Health};
use crate::support::node::Node;
use crate::support::sink::Sink;
use crate::support::wait::eventually;

#[tokio::test]
async fn names_decide_who_is_watched_and_labels_decide_before_names() {
    // An engine of its own: the labels would have the nodes of other tests watch these as well.
    let engine = Engine::start_private().await;
    let prefix = engine.names().trim_end_matches('*').to_owned();
    let node = Node::builder()
        .toml(&format!("[docker]\nhost = \"{}\"", engine.host()))
        .toml("[responder]\nstabilisation = \"2s\"")
        .env("PERENNIAL__MONITOR__INCLUDE", &format!("[\"{prefix}in-*\"]"))
        .env("PERENNIAL__MONITOR__EXCLUDE", &format!("[\"{prefix}*-private\"]"))
        .start()
        .await;
    let world = World { engine, node };
    let fails = |name: &str| ContainerSpec::new(name, "sleep 0.5; exit 1");
    let run = |spec| world.engine.run(spec);
    let strange = run(fails("other"));
    let excluded = run(fails("in-private"));
    let disabled = run(fails("in-disabled").label("perennial.enable", "false"));
    let enabled = run(fails("out-private").label("perennial.enable", "true"));
    let autoheal = run(fails("out-autoheal").label("autoheal", "true"));
    let included = run(fails("in-plain"));

    for (container, rule) in
        [(&enabled, "exit_code"), (&autoheal, "exit_code"), (&included, "one_shot_job")]
    {
        let diagnosed = |incident: &Value| incident["diagnosis"].is_object();
        let incident = world.incident(container, "diagnosed", diagnosed).await;
        assert_eq!(rules(&incident)[0], rule, "{}", container.name());
    }
    let acted = |incident: &Value| incident["outcome"] == "done";
    world.incident(&autoheal, "acted on", acted).await;

    let last = run(ContainerSpec::new("in-last", "sleep 5; exit 1").mode("observe"));
    world.incident(&last, "open", |_| true).await;
    for (container, why) in [
        (&strange, "name matches no include"),
        (&excluded, "name matches exclude"),
        (&disabled, "label perennial.enable=false"),
    ] {
        let row = world.row(container, "down", |row| row["state"] == "exited").await;
        assert_eq!(row["watched"], false, "{row}");
        assert!(row["reason"].as_str().is_some_and(|reason| reason.contains(why)), "{row}");
        world.assert_left_alone(container).await;
    }
}

/// How often the node told that it cannot judge `container`, and in what respect.
pub(super) fn told_of(sink: &Sink, container: &Container) -> Vec<Value> {
    let bodies = sink.received().into_iter().map(|request| request.json());
    let gaps = bodies.flat_map(|body| body["coverage"].as_array().cloned().unwrap_or_default());
    let own = gaps.filter(|gap| gap["container"]["id"] == container.id());
    own.map(|gap| gap["gaps"].clone()).collect()
}

pub(super) async fn is_told_of(sink: &Sink, container: &Container) {
    let told = async || match told_of(sink, container) {
        none if none.is_empty() => Err(sink.received().len()),
        _ => Ok(()),
    };
    eventually("a container that cannot be judged to be told of", SOON, told).await;
}

#[tokio::test]
async fn a_container_that_nobody_can_judge_is_told_of_once_across_restarts() {
    let sink = Sink::start();
    let url = sink.url("/hook");
    let waits = [("ALERT__GROUP_WAIT", "500ms"), ("ALERT__GROUP_INTERVAL", "500ms")];
    let mut world = World::with(&[waits[0], waits[1], ("ALERT__WEBHOOK__URL", &url)]).await;
    let check = Health {
        command: "true",
        interval: std::time::Duration::from_millis(500),
        retries: 1,
        start_period: std::time::Duration::ZERO,
    };
    let judged = world.engine.run(ContainerSpec::idle("judged").memory_mib(16).health(check));
    let unjudged = world.engine.run(ContainerSpec::idle("unjudged"));
    is_told_of(&sink, &unjudged).await;

    world.engine.docker(&["restart", unjudged.id()]);
    let (status, _) = world.node.sigterm();
    assert!(status.success(), "{status}");
    world.node.restart().await;
    let run = unjudged.started_at();
    world.row(&unjudged, "started again", |row| row["started_at"] == run.as_str()).await;
    let later = world.engine.run(ContainerSpec::idle("later").memory_mib(16));
    is_told_of(&sink, &later).await;
    let both = serde_json::json!(["no_memory_limit", "no_health_check"]);
    assert_eq!(told_of(&sink, &unjudged), [both]);
    assert_eq!(told_of(&sink, &later), [serde_json::json!(["no_health_check"])]);
    assert_eq!(told_of(&sink, &judged), Vec::<Value>::new());
}

#[tokio::test]
async fn a_container_of_the_same_name_is_another_one() {
    let world = World::start().await;
    let first = world.engine.run(mortal("twin").mode("auto"));
    end(&first, 3);
    let old = world.incident_that_is(&first, "resolved").await;
    first.remove();
    let second = world.engine.run(mortal("twin").mode("auto"));
    assert_eq!(first.name(), second.name());
    end(&second, 3);
    // The first one's cooldown of an hour must not hold the second one's restart.
    let new = world.incident_that_is(&second, "resolved").await;
    assert_ne!(old["id"], new["id"]);
    assert_eq!(new["reopened"], 0);
    for container in [&first, &second] {
        assert_eq!(world.incidents(container).await.len(), 1);
        assert_eq!(world.actions(container, "finished").await.len(), 1);
    }
}
