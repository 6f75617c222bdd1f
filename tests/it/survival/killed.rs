//! `kill -9`, at any moment.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    LONG, audit, count, failing, incident_is, incidents, items, node, text, told, told_of,
};
use crate::support::answers::restart_once;
use crate::support::engine::{Container, ContainerSpec, Engine};
use crate::support::node::Node;
use crate::support::sink::Sink;
use crate::support::wait::eventually;

/// Containers that fail at the same time.
const SICK: usize = 4;

/// Ends with an error in its first run only, and writes a line per run.
fn counted(name: &str) -> ContainerSpec {
    let script = "echo run; trap 'exit 0' TERM; if test -e /tmp/was; then while :; do \
                  sleep 3600 & wait $!; done; fi; touch /tmp/was; exit 3";
    ContainerSpec::new(name, script).mode("auto")
}

fn runs(container: &Container) -> usize {
    container.logs().lines().filter(|line| *line == "run").count()
}

/// When the node is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// The engine's events are still on their way.
    Events,
    /// The first of the incidents is stored.
    Incident,
    /// The first intent to restart is stored.
    Intent,
    /// The first notification has left.
    Told,
}

async fn comes(moment: Moment, node: &Node, sink: &Sink, sick: &[Container], seen: usize) {
    eventually(&format!("{moment:?}"), LONG, async || {
        let mut found = matches!(moment, Moment::Events);
        for container in sick {
            found |= match moment {
                Moment::Events => true,
                Moment::Incident => !incidents(node, container).await.is_empty(),
                Moment::Intent => count(&audit(node, container).await, "intended") > 0,
                Moment::Told => sink.received().len() > seen,
            };
        }
        if found { Ok(()) } else { Err(()) }
    })
    .await;
}

/// X1.
#[tokio::test]
async fn a_node_killed_with_work_in_flight_does_all_of_it_exactly_once() {
    let (engine, sink) = (Engine::connect(), Sink::start());
    let mut node = node(&engine, &sink).start().await;
    let mut all = Vec::new();
    for moment in [Moment::Events, Moment::Incident, Moment::Intent, Moment::Told] {
        let seen = sink.received().len();
        let names = (0..SICK).map(|n| format!("{moment:?}-{n}").to_lowercase());
        let sick: Vec<Container> = names.map(|name| engine.run(counted(&name))).collect();
        comes(moment, &node, &sink, &sick, seen).await;
        node.kill9();
        node.restart().await;
        for container in &sick {
            incident_is(&node, container, "resolved").await;
            told_of(&sink, container, "resolved").await;
        }
        all.extend(sick);
    }

    assert_eq!(items(&node.get_json("/v1/incidents").await).len(), all.len());
    for container in &all {
        let audit = audit(&node, container).await;
        for stage in ["intended", "finished", "resolved"] {
            assert_eq!(count(&audit, stage), 1, "{stage} of {}: {audit:?}", container.name());
        }
        assert_eq!(runs(container), 2, "{} was restarted once", container.name());
        assert_eq!(told(&sink.received(), container), ["opened", "resolved"]);
    }
    // A notification under way at a kill may come again, under the same key; no other may.
    let received = sink.received();
    let keys: BTreeSet<_> =
        received.iter().filter_map(|one| one.header("idempotency-key")).collect();
    assert_eq!(keys.len(), 2 * all.len());
    let repeated = received.len() - keys.len();
    assert!(repeated <= 4 * SICK, "{repeated} repetitions by four kills");
}

/// X1, for messages that people send: what was accepted is there, and sending again is safe.
#[tokio::test]
async fn orders_in_flight_at_a_kill_are_carried_out_exactly_once() {
    const ORDERS: usize = 40;
    let (engine, sink) = (Engine::connect(), Sink::start());
    let mut node = node(&engine, &sink).start().await;
    let container = engine.run(ContainerSpec::idle("web").mode("observe"));
    known(&node, &container).await;

    let (accepted, mut progress) = tokio::sync::mpsc::unbounded_channel();
    let mut senders = tokio::task::JoinSet::new();
    for number in 0..ORDERS {
        let (request, accepted) = (restart_once(&node, &container, number), accepted.clone());
        senders.spawn(async move {
            let answer = request.send().await.ok()?;
            let taken = answer.status() == 202;
            let body: Value = answer.json().await.ok()?;
            taken.then(|| accepted.send(number).expect("the test listens"));
            taken.then(|| (number, text(&body["incident"]).to_owned()))
        });
    }
    for _ in 0..3 {
        progress.recv().await.expect("some are accepted");
    }
    node.kill9();
    let answers = senders.join_all().await;
    let first: Vec<(usize, String)> = answers.into_iter().flatten().collect();
    assert!(first.len() >= 3);

    node.restart().await;
    let mut incidents = vec![String::new(); ORDERS];
    for (number, incident) in incidents.iter_mut().enumerate() {
        let answer = restart_once(&node, &container, number).send().await.expect("an answer");
        assert_eq!(answer.status(), 202);
        *incident = text(&answer.json::<Value>().await.expect("JSON")["incident"]).to_owned();
    }
    for (number, incident) in &first {
        assert_eq!(incident, &incidents[*number], "the answer is that of the first time");
    }
    let audit = eventually("every order to be refused", LONG, async || {
        let audit = audit(&node, &container).await;
        if count(&audit, "refused") >= ORDERS { Ok(audit) } else { Err(audit.len()) }
    })
    .await;
    assert_eq!(audit.len(), ORDERS, "no order twice");
    let mut recorded: Vec<&str> = audit.iter().map(|entry| text(&entry["incident"])).collect();
    recorded.sort_unstable();
    incidents.sort_unstable();
    assert_eq!(recorded, incidents);
}

pub(super) async fn known(node: &Node, container: &Container) {
    eventually("the node to know the container", LONG, async || {
        let rows = items(&node.get_json("/v1/containers").await);
        rows.iter().any(|row| row["id"] == container.id()).then_some(()).ok_or(rows.len())
    })
    .await;
}

/// A kill between two rungs of the ladder.
#[tokio::test]
async fn a_kill_in_the_middle_of_a_ladder_forgets_neither_its_budget_nor_its_cooldown() {
    let (engine, sink) = (Engine::connect(), Sink::start());
    let mut node = node(&engine, &sink)
        .env("PERENNIAL__RESPONDER__RESTARTS", "5")
        .env("PERENNIAL__RESPONDER__BUDGET_PER_CONTAINER", "2")
        .env("PERENNIAL__RESPONDER__IDENTICAL_FAILURES", "0")
        .start()
        .await;
    let script = "echo run; exit 3";
    let container = engine.run(ContainerSpec::new("hopeless", script).mode("auto"));
    eventually("the first rung to be done", LONG, async || {
        let audit = audit(&node, &container).await;
        if count(&audit, "finished") > 0 { Ok(()) } else { Err(audit) }
    })
    .await;
    node.kill9();
    node.restart().await;

    let found = incident_is(&node, &container, "escalated").await;
    assert!(text(&found["reason"]).contains("budget"), "{found}");
    let entries = audit(&node, &container).await;
    assert_eq!(count(&entries, "intended"), 2, "as many as the budget allows: {entries:?}");
    assert_eq!(runs(&container), 3);

    let answer = restart_once(&node, &container, 0).send().await.expect("an answer");
    assert_eq!(answer.status(), 202);
    let entries = eventually("the order to be refused", LONG, async || {
        let entries = audit(&node, &container).await;
        if count(&entries, "refused") >= 2 { Ok(entries) } else { Err(entries) }
    })
    .await;
    let gates = entries.last().expect("an entry")["gates"].as_array().expect("gates").clone();
    let held = gates.last().expect("a gate");
    assert_eq!((&held["gate"], &held["passed"]), (&json!("cooldown"), &json!(false)), "{held}");
    assert_eq!(runs(&container), 3);
    let other = engine.run(failing("other"));
    told_of(&sink, &other, "suppressed").await;
}
