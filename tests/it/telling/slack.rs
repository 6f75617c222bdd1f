//! Slack: what is told, how it looks, and what its answers mean.

use std::time::Duration;

use serde_json::Value;

use super::{
    curable, failing, fated, fates, field, incident, node, posts, slack, taken, text, told,
};
use crate::support::engine::{ContainerSpec, Engine};
use crate::support::sink::{Answer, Sink};
use crate::survival::proxy::{Proxy, Trick};

/// T5a: both lists of HemoStat are the list of incidents and the incident's own journal.
#[tokio::test]
async fn a_remediation_is_stored_with_every_step_and_every_notification() {
    let (engine, sink) = (Engine::connect(), Sink::start());
    let node = node(&engine, &slack(&sink)).start().await;
    let container = engine.run(curable("web"));

    let found = fated(&node, &container, ("slack", "resolved", "delivered")).await;
    assert_eq!(found["status"], "resolved", "{found}");
    let journal = found["journal"].as_array().expect("a journal");
    let kinds: Vec<&str> = journal.iter().map(|step| text(&step["kind"])).collect();
    for kind in ["opened", "evidence", "diagnosed", "gates", "action_intended", "concluded"] {
        assert_eq!(kinds.iter().filter(|other| **other == kind).count(), 1, "{kind}: {kinds:?}");
    }
    let finished = journal.iter().find(|step| step["kind"] == "action_finished");
    assert_eq!(finished.expect("the action's end")["outcome"], "done");
    let order = ["opened", "resolved"];
    let delivered = fates(&found).into_iter().filter(|fate| fate.2 == "delivered");
    assert_eq!(delivered.map(|fate| fate.1).collect::<Vec<_>>(), order);

    let (_, metrics) = node.get("/metrics").await;
    let line = "perennial_notifications_total{channel=\"slack\",result=\"delivered\"} 2";
    assert!(metrics.contains(line), "{metrics}");
}

/// T5b. Each event comes twice from the engine, is found again by every re-list, and the node is
/// killed in between.
#[tokio::test]
async fn the_same_event_twice_is_one_post() {
    let (engine, sink) = (Engine::connect(), Sink::start());
    let proxy = Proxy::start(engine.host(), Trick::DoubleEvents);
    let mut node =
        node(&engine, &slack(&sink)).env("PERENNIAL__DOCKER__HOST", proxy.host()).start().await;
    let first = engine.run(failing("first"));
    fated(&node, &first, ("slack", "suppressed", "delivered")).await;
    node.kill9();
    node.restart().await;
    // What comes later would come after a repetition: there is one lane per incident, and the list
    // that follows a connection has been made when this one is found.
    let marker = engine.run(failing("marker"));
    fated(&node, &marker, ("slack", "suppressed", "delivered")).await;

    assert!(proxy.tricked() > 0, "events were doubled");
    let told = posts(&sink.received());
    let changes = |name: &str| {
        let of = told.iter().filter(|post| post.container.starts_with(name));
        of.map(|post| post.change.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(changes(first.name()), ["opened", "suppressed"], "{told:?}");
    assert_eq!(changes(marker.name()), ["opened", "suppressed"], "{told:?}");
}

/// T5c, for an action that helped, one that was refused, and one that did not help.
#[tokio::test]
async fn slack_sees_the_colours_and_fields_of_hemostat() {
    let (engine, sink) = (Engine::connect(), Sink::start());
    let node = node(&engine, &slack(&sink)).start().await;
    let cured = engine.run(curable("cured"));
    let held = engine.run(failing("held"));
    let hopeless = engine.run(ContainerSpec::new("hopeless", "exit 3").mode("auto"));
    fated(&node, &cured, ("slack", "resolved", "delivered")).await;
    fated(&node, &held, ("slack", "suppressed", "delivered")).await;
    fated(&node, &hopeless, ("slack", "escalated", "delivered")).await;

    let shown = |change: &str| -> Value {
        let bodies = sink.received();
        let mut all = bodies.iter().map(|request| request.json()["attachments"][0].clone());
        all.find(|attachment| field(attachment, "Event Type") == Some(change))
            .unwrap_or_else(|| panic!("{change} was told"))
    };
    for (change, colour, agent, title) in [
        ("opened", "#ff0000", "analyzer", "Incident opened"),
        ("resolved", "#36a64f", "responder", "Resolved"),
        ("suppressed", "#ff9900", "responder", "Action held back"),
        ("escalated", "#ff0000", "responder", "A person is needed"),
    ] {
        let attachment = shown(change);
        assert_eq!(attachment["color"], colour, "{attachment}");
        assert_eq!(field(&attachment, "Source Agent"), Some(agent), "{attachment}");
        assert!(text(&attachment["title"]).starts_with(title), "{attachment}");
        assert!(text(&attachment["pretext"]).ends_with(title), "{attachment}");
        assert_eq!(field(&attachment, "Environment"), Some("proving ground"), "{attachment}");
        for name in ["Container", "Action", "Status", "Analysis", "Reason", "Timestamp"] {
            assert!(field(&attachment, name).is_some(), "no {name}: {attachment}");
        }
        assert!(attachment["ts"].as_u64().expect("seconds") > 1_600_000_000, "{attachment}");
        assert!(text(&attachment["footer"]).contains("alert"), "{attachment}");
        let fields = attachment["fields"].as_array().expect("fields");
        assert!(fields.iter().all(|field| field["short"].is_boolean()), "{attachment}");
    }
    let resolved = shown("resolved");
    assert_eq!(field(&resolved, "Action"), Some("restart"));
    assert_eq!(field(&resolved, "Status"), Some("resolved"));
    assert_eq!(field(&resolved, "Analysis"), Some("exit_code"), "never \"unknown\"");
    assert_eq!(field(&resolved, "Confidence"), Some("90.0%"));
    let refused = shown("suppressed");
    assert!(field(&refused, "Rejection Reason").expect("a reason").starts_with("mode: "));
}

/// T5d. A short burst of load: by the time of the diagnosis, which the engine's silence about the
/// log holds up, it is over.
#[tokio::test]
async fn a_false_alarm_is_stored_and_told_in_its_own_colour() {
    let (engine, sink) = (Engine::connect(), Sink::start());
    let proxy = Proxy::start(engine.host(), Trick::Hang("/logs?".to_owned()));
    let node =
        node(&engine, &format!("group_wait = \"1s\"\ngroup_interval = \"1s\"\n{}", slack(&sink)))
            .env("PERENNIAL__DOCKER__HOST", proxy.host())
            .env("PERENNIAL__ANALYZER__EVIDENCE_WAIT", "12s")
            // The recovery would be told in its place.
            .env("PERENNIAL__ANALYZER__STABILISATION", "1m")
            .env("PERENNIAL__MONITOR__CLEAR_MARGIN", "1")
            .start()
            .await;
    let burst = "timeout 3 sh -c 'while :; do :; done'; \
                 trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done";
    // At most half of its quota, which is more than its label calls in order and less than a
    // restart is asked for.
    let spec = ContainerSpec::new("burst", burst).cpus(2.0).label("perennial.cpu", "3");
    let container = engine.run(spec.mode("observe"));

    let found = fated(&node, &container, ("slack", "false_alarm", "delivered")).await;
    assert_eq!(found["diagnosis"]["verdict"], "false_alarm", "{found}");
    assert_eq!(found["diagnosis"]["rule"], "transient", "{found}");
    let requests = sink.received();
    let bodies: Vec<Value> = requests.iter().map(|request| request.json()).collect();
    let told = bodies.iter().map(|body| &body["attachments"][0]);
    let alarm = told.into_iter().find(|one| field(one, "Event Type") == Some("false_alarm"));
    let alarm = alarm.expect("the false alarm was told");
    assert_eq!(alarm["color"], "#ffcc00", "{alarm}");
    assert!(text(&alarm["title"]).starts_with("False alarm"), "{alarm}");
}

#[tokio::test]
async fn slack_is_not_asked_again_before_the_time_it_names() {
    let (engine, sink) = (Engine::connect(), Sink::start());
    sink.answer(Answer::TooManyRequests { retry_after: 4 });
    let node = node(&engine, &slack(&sink)).start().await;
    let container = engine.run(failing("web"));
    let refused = sink.wait_for(1, super::LONG).await[0].clone();
    sink.answer(Answer::Status(200));

    fated(&node, &container, ("slack", "suppressed", "delivered")).await;
    let received = sink.received();
    assert_eq!(received.len(), 3, "one refused, two taken");
    let waited = received[1].at - refused.at;
    assert!(waited >= Duration::from_secs(4), "asked again after {waited:?}");
    let told = posts(&taken(&sink));
    assert_eq!([told[0].change.as_str(), told[1].change.as_str()], ["opened", "suppressed"]);
}

/// HemoStat's dedupe forgets the container: a second one within the same minute was never told.
#[tokio::test]
async fn two_containers_in_the_same_minute_are_both_told() {
    let (engine, sink) = (Engine::connect(), Sink::start());
    let node = node(&engine, &slack(&sink)).start().await;
    let one = engine.run(curable("one"));
    let other = engine.run(failing("other"));
    fated(&node, &one, ("slack", "resolved", "delivered")).await;
    fated(&node, &other, ("slack", "suppressed", "delivered")).await;

    let all = told(&sink, 4).await;
    assert_eq!(all.len(), 4, "{all:?}");
    for (container, end) in [(&one, "resolved"), (&other, "suppressed")] {
        let of = all.iter().filter(|post| post.container.starts_with(container.name()));
        assert_eq!(of.map(|post| post.change.as_str()).collect::<Vec<_>>(), ["opened", end]);
    }
    incident(&node, &other, "open", |other| other["status"] == "open").await;
}
