//! What bounds how often: cooldown, budget, breaker.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::{
    EngineLog, Scene, audited, curable, ended, held, ill, incident_is, known_healthy, node, order,
    sicken, stages, stubborn, text,
};
use crate::support::engine::Engine;

fn at(entry: &Value) -> Timestamp {
    text(&entry["at"]).parse().expect("a time is RFC 3339")
}

/// T4c.
#[tokio::test]
async fn a_second_request_within_the_cooldown_is_refused_and_nothing_is_done() {
    let Scene { node, container, log, .. } = &ill(curable("web"), &[("cooldown", "\"1h\"")]).await;
    incident_is(node, container, "resolved").await;
    let after_the_first = container.started_at();
    known_healthy(node, container).await;
    sicken(container);

    let audit = audited(node, container, "refused", 1).await;
    assert_eq!(stages(&audit), ["intended", "finished", "resolved", "refused"]);
    let cooldown = held(&audit[3]);
    assert_eq!(cooldown["gate"], "cooldown");
    let left = text(&cooldown["until"]).parse::<Timestamp>().unwrap().duration_since(at(&audit[3]));
    assert!((3400..=3600).contains(&left.as_secs()), "{left:?} of an hour are left");
    assert_eq!(container.started_at(), after_the_first);
    log.restarts(container, 1).await;
}

/// T7a.
#[tokio::test]
async fn what_the_cooldown_held_is_done_when_it_is_over() {
    let cooldown = Duration::from_secs(15);
    let Scene { node, container, log, .. } = &ill(curable("web"), &[("cooldown", "\"15s\"")]).await;
    incident_is(node, container, "resolved").await;
    known_healthy(node, container).await;
    sicken(container);

    let audit = audited(node, container, "resolved", 2).await;
    let once = ["intended", "finished", "resolved"];
    assert_eq!(stages(&audit), [&once[..], &["refused"], &once].concat());
    assert_eq!(held(&audit[3])["gate"], "cooldown");
    let (first, second) = (at(&audit[1]), at(&audit[4]));
    let waited = second.duration_since(first);
    assert!(waited >= cooldown.try_into().unwrap(), "it was acted on again after {waited:?}");
    log.restarts(container, 2).await;
}

/// T4d.
#[tokio::test]
async fn the_third_request_of_an_hour_is_refused_by_a_budget_of_two_successes() {
    let engine = Engine::connect();
    let container = engine.run(curable("web"));
    let log = EngineLog::of(&engine, &container);
    let limits = [("cooldown", "\"0s\""), ("budget_per_container", "2")];
    let node = node(&engine, &limits).start().await;
    for resolved in [1, 2] {
        known_healthy(&node, &container).await;
        sicken(&container);
        audited(&node, &container, "resolved", resolved).await;
        incident_is(&node, &container, "resolved").await;
    }
    known_healthy(&node, &container).await;
    sicken(&container);

    let audit = audited(&node, &container, "refused", 1).await;
    let once = ["intended", "finished", "resolved"];
    assert_eq!(stages(&audit), [&once[..], &once, &["refused"]].concat());
    let budget = held(&audit[6]);
    assert_eq!(budget["gate"], "budget");
    assert!(text(&budget["reason"]).contains("2 of 2"), "{budget}");
    let opens: Timestamp = text(&budget["until"]).parse().unwrap();
    let hour = opens.duration_since(at(&audit[0]));
    assert!((3590..=3610).contains(&hour.as_secs()), "the first attempt counts for {hour:?}");
    log.restarts(&container, 2).await;
}

/// T7b.
#[tokio::test]
async fn the_breaker_opens_after_three_failures_and_lets_one_probe_through_when_its_time_is_over() {
    let limits = [
        ("cooldown", "\"0s\""),
        ("restarts", "9"),
        ("identical_failures", "0"),
        ("breaker_failures", "3"),
        ("breaker_open", "\"20s\""),
        ("stabilisation", "\"3s\""),
    ];
    let Scene { node, container, log, .. } = &ill(stubborn("web"), &limits).await;
    let audit = audited(node, container, "escalated", 1).await;
    let failed = ["intended", "finished", "not_resolved"];
    assert_eq!(stages(&audit), [&failed[..], &failed, &failed, &["refused", "escalated"]].concat());
    let breaker = held(&audit[9]);
    assert_eq!(breaker["gate"], "breaker");
    let open_until: Timestamp = text(&breaker["until"]).parse().unwrap();
    log.restarts(container, 3).await;

    let refused = ended(node, &order(node, container, "restart", None).await).await;
    assert_eq!(
        (stages(&refused), &held(&refused[0])["gate"]),
        (vec!["refused"], &"breaker".into())
    );

    container.exec("touch /tmp/mended");
    let left = open_until.duration_since(Timestamp::now());
    // The node's clock is the machine's, and what is awaited is a moment of it.
    tokio::time::sleep(Duration::try_from(left).unwrap_or_default() + Duration::from_millis(50))
        .await;
    let probe = order(node, container, "restart", None).await;
    let beside = order(node, container, "restart", None).await;
    let beside = ended(node, &beside).await;
    let probe = ended(node, &probe).await;
    assert_eq!(stages(&probe), ["intended", "finished", "resolved"]);
    let gates = probe[0]["gates"].as_array().unwrap();
    let breaker = gates.iter().find(|gate| gate["gate"] == "breaker").unwrap();
    assert!(text(&breaker["reason"]).contains("half-open: this is the probe"), "{breaker}");
    assert_eq!(stages(&beside), ["refused"]);
    assert!(text(&held(&beside[0])["reason"]).contains("the probe is under way"), "{beside:?}");
    log.restarts(container, 4).await;

    let closed = ended(node, &order(node, container, "restart", None).await).await;
    assert_eq!(stages(&closed), ["intended", "finished", "resolved"]);
    log.restarts(container, 5).await;
}
