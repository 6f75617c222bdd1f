//! Actions that are cut off: by a kill, by a deadline.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use super::{
    EngineLog, LONG, audited, check, curable, incident_is, items, known_healthy, node, node_with,
    sicken, stages, text,
};
use crate::support::engine::{Container, ContainerSpec, Engine};
use crate::support::node::Node;
use crate::support::process::signal;
use crate::support::sink::Sink;
use crate::support::wait::eventually;

/// X5: the same event of the engine twice.
#[tokio::test]
async fn events_that_are_told_again_after_a_kill_are_one_action_and_one_notification() {
    let engine = Engine::connect();
    let container = engine.run(curable("web"));
    let log = EngineLog::of(&engine, &container);
    let sink = Sink::start();
    let webhook = format!("[alert.webhook]\nurl = \"{}\"\nkey = \"k\"", sink.url("/hook"));
    let mut node = node(&engine, &[("cooldown", "\"0s\"")]).toml(&webhook).start().await;
    known_healthy(&node, &container).await;
    sicken(&container);
    audited(&node, &container, "resolved", 1).await;
    // A kill between the receiver's answer and its commit would deliver once more, under the same
    // key: that is the receiver's to see, and not what this is about.
    eventually("both notifications to be on record as delivered", LONG, async || {
        let incident = incident_is(&node, &container, "resolved").await;
        let journal = incident["journal"].as_array().expect("a journal").iter();
        let delivered = journal.filter(|entry| entry["state"] == "delivered").count();
        if delivered == 2 { Ok(()) } else { Err(incident) }
    })
    .await;
    // What was told since the last durable position is told again at each start.
    for _ in 0..2 {
        node.kill9();
        node.restart().await;
        known_healthy(&node, &container).await;
    }
    // A second fault marks the end of everything that the repetition could have led to.
    sicken(&container);
    let audit = audited(&node, &container, "resolved", 2).await;
    let once = ["intended", "finished", "resolved"];
    assert_eq!(stages(&audit), [&once[..], &once].concat());
    log.restarts(&container, 2).await;
    let told = eventually("the second end to be told", LONG, async || {
        let told: Vec<Value> = sink.received().iter().map(|received| received.json()).collect();
        let ends = told.iter().filter(|notice| notice["change"] == "resolved").count();
        if ends >= 2 { Ok(told) } else { Err(told) }
    })
    .await;
    let changes: Vec<_> = told.iter().map(|notice| text(&notice["change"])).collect();
    assert_eq!(changes, ["opened", "resolved", "reopened", "resolved"], "{told:?}");
}

/// A service whose restart takes as long as its stop timeout, since it does not listen.
fn deaf(seconds: u32) -> ContainerSpec {
    let script = "rm -f /tmp/ill; trap '' TERM; while :; do sleep 1; done";
    let spec = ContainerSpec::new("deaf", script).health(check());
    spec.option(format!("--stop-timeout={seconds}"))
}

/// Kills the node while the engine is carrying out its restart.
async fn kill_in_flight(node: &mut Node, container: &Container, log: &EngineLog) {
    known_healthy(node, container).await;
    sicken(container);
    log.reaches("kill", 1).await;
    node.kill9();
    assert_eq!(log.count("restart"), 0, "the restart was not under way any more");
}

async fn was_reconciled(node: &Node, container: &Container, log: &EngineLog, before: &str) {
    let audit = audited(node, container, "resolved", 1).await;
    assert_eq!(stages(&audit), ["intended", "finished", "resolved"]);
    assert_eq!(audit[1]["outcome"], "reconciled", "{}", audit[1]);
    let started = container.started_at();
    assert!(started.as_str() > before);
    assert!(text(&audit[1]["outcome_detail"]).contains(&started), "{}", audit[1]);
    known_healthy(node, container).await;
    log.restarts(container, 1).await;
    assert_eq!(log.count("start"), 2, "its first start, and one more");
}

/// X7.
#[tokio::test]
async fn a_restart_cut_off_by_a_kill_is_reconciled_and_not_repeated() {
    let engine = Engine::connect();
    let container = engine.run(deaf(6));
    let log = EngineLog::of(&engine, &container);
    let mut node = node(&engine, &[]).start().await;
    let before = container.started_at();
    kill_in_flight(&mut node, &container, &log).await;
    log.reaches("restart", 1).await;
    node.restart().await;
    was_reconciled(&node, &container, &log, &before).await;
}

/// X7: the node is back before the engine has finished.
#[tokio::test]
async fn a_node_that_comes_back_while_its_restart_is_still_under_way_waits_for_it() {
    let engine = Engine::connect();
    let container = engine.run(deaf(12));
    let log = EngineLog::of(&engine, &container);
    let mut node = node(&engine, &[]).start().await;
    let before = container.started_at();
    kill_in_flight(&mut node, &container, &log).await;
    node.restart().await;
    was_reconciled(&node, &container, &log, &before).await;
}

/// Ends what it stopped, also when the test fails: a stopped engine cannot be shut down.
struct Frozen(u32);

impl Frozen {
    fn engine(engine: &Engine) -> Frozen {
        let socket = engine.host().trim_start_matches("unix://");
        let pid = fs::read_to_string(socket.replace("docker.sock", "docker.pid"));
        Frozen::process(pid.expect("dockerd has a pid file").trim().parse().expect("a pid"))
    }

    fn process(pid: u32) -> Frozen {
        signal(pid, "STOP");
        Frozen(pid)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        signal(self.0, "CONT");
    }
}

/// Has the node learn of the fault only when the engine no longer answers: the event waits in the
/// node's socket.
async fn fall_ill_unanswered(engine: &Engine, node: &Node, container: &Container) -> Frozen {
    known_healthy(node, container).await;
    let node = Frozen::process(node.pid());
    sicken(container);
    let ill = |state: &Value| state["Health"]["Status"] == "unhealthy";
    container.wait_for("unhealthy", LONG, ill).await;
    let engine = Frozen::engine(engine);
    drop(node);
    engine
}

/// X12.
#[tokio::test]
async fn a_request_whose_deadline_passes_while_the_engine_is_away_is_not_carried_out() {
    let engine = Engine::start_private().await;
    let container = engine.run(curable("web"));
    let log = EngineLog::of(&engine, &container);
    let deadline = [("request_deadline", "\"2s\""), ("evidence_wait", "\"1s\"")];
    let node = node_with(&engine, &[], &deadline).start().await;
    let before = {
        let before = container.started_at();
        let frozen = fall_ill_unanswered(&engine, &node, &container).await;
        let audit = audited(&node, &container, "escalated", 1).await;
        assert_eq!(stages(&audit), ["intended", "finished", "escalated"]);
        let why = text(&audit[2]["reason"]);
        assert!(why.contains("not done before its deadline"), "{why}");
        drop(frozen);
        before
    };
    let incident = incident_is(&node, &container, "escalated").await;
    assert_eq!(incident["outcome"], "failed");
    log.restarts(&container, 0).await;
    assert_eq!((container.started_at(), log.count("die")), (before, 0));
}

/// X12, the other side: a minute is the default.
#[tokio::test]
async fn a_request_made_while_the_engine_is_away_is_carried_out_once_it_is_back() {
    let engine = Engine::start_private().await;
    let container = engine.run(curable("web"));
    let log = EngineLog::of(&engine, &container);
    let node = node_with(&engine, &[], &[("evidence_wait", "\"1s\"")])
        .env("PERENNIAL__LOG__LEVEL", "info,perennial_healing=debug")
        .start()
        .await;
    let frozen = fall_ill_unanswered(&engine, &node, &container).await;
    audited(&node, &container, "intended", 1).await;
    eventually("two questions to the engine without an answer", LONG, async || {
        let asked = node.log().matches("the engine is away").count();
        if asked >= 2 { Ok(()) } else { Err(asked) }
    })
    .await;
    drop(frozen);
    let audit = audited(&node, &container, "resolved", 1).await;
    assert_eq!(stages(&audit), ["intended", "finished", "resolved"]);
    log.restarts(&container, 1).await;
}

/// X12: the node is down past the deadline.
#[tokio::test]
async fn a_request_whose_deadline_passes_while_the_node_is_down_is_not_carried_out() {
    let engine = Engine::start_private().await;
    let container = engine.run(curable("web"));
    let log = EngineLog::of(&engine, &container);
    let deadline = [("request_deadline", "\"8s\""), ("evidence_wait", "\"1s\"")];
    let mut node = node_with(&engine, &[], &deadline).start().await;
    let before = container.started_at();
    let frozen = fall_ill_unanswered(&engine, &node, &container).await;
    audited(&node, &container, "intended", 1).await;
    node.kill9();
    // The deadline is a moment of the machine's clock; nothing else can be awaited while all is down.
    tokio::time::sleep(Duration::from_secs(9)).await;
    drop(frozen);
    node.restart().await;
    let audit = audited(&node, &container, "finished", 1).await;
    let finished = audit.iter().find(|entry| entry["stage"] == "finished").expect("it is there");
    assert_eq!(finished["outcome"], "failed", "{finished}");
    let actions = items(&node.get_json("/v1/actions").await);
    assert!(actions.iter().all(|entry| entry["outcome"] != "done"), "{actions:?}");
    log.restarts(&container, 0).await;
    assert_eq!(container.started_at(), before);
}
