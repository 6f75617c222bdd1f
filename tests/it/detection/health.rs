//! Health checks: failing, flapping, and those that have no verdict yet.

use std::time::Duration;

use serde_json::Value;

use super::world::{SOON, World, rules, seconds_between, steps, symptoms};
use crate::support::engine::{Container, ContainerSpec, Health};

/// A check that fails while a file is missing, with a verdict after a second.
fn check(command: &str) -> Health<'_> {
    let interval = Duration::from_millis(500);
    Health { command, interval, retries: 2, start_period: Duration::ZERO }
}

async fn becomes(container: &Container, health: &str) {
    container.wait_for(health, SOON, |state| state["Health"]["Status"] == health).await;
}

/// B4.
#[tokio::test]
async fn a_check_that_fails_after_every_restart_ends_with_a_person_and_is_never_resolved() {
    let world = World::start().await;
    let start_period = Duration::from_secs(4);
    let failing = Health { start_period, ..check("exit 1") };
    let spec = ContainerSpec::idle("failing").health(failing).mode("auto");
    let failing = world.engine.run(spec);
    let started = failing.started_at().into();

    let incident = world.incident_that_is(&failing, "escalated").await;
    let starting = seconds_between(&started, &incident["opened_at"]);
    assert!(starting >= 4.0, "while it is starting nothing is wrong: {starting} s");
    assert_eq!(symptoms(&incident), ["unhealthy"]);
    assert_eq!(rules(&incident), ["unhealthy"]);
    assert_eq!(steps(&incident, "diagnosed")[0]["confidence"], 0.7);
    assert_eq!(steps(&incident, "not_resolved").len(), 2, "{incident}");
    let conclusions: Vec<_> = steps(&incident, "concluded");
    assert_eq!(conclusions.len(), 1, "{incident}");
    assert_eq!(conclusions[0]["conclusion"], "escalated");
    assert_eq!(world.actions(&failing, "finished").await.len(), 2);
}

/// T6c.
#[tokio::test]
async fn a_failing_check_goes_the_whole_way_to_a_verified_restart_within_thirty_seconds() {
    let world = World::start().await;
    let script = "touch /tmp/healthy; trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done";
    let spec = ContainerSpec::new("web", script).health(check("test -f /tmp/healthy"));
    let web = world.engine.run(spec.mode("auto"));
    becomes(&web, "healthy").await;
    web.exec("rm /tmp/healthy");

    let incident = world.incident_that_is(&web, "resolved").await;
    assert_eq!(rules(&incident), ["unhealthy"]);
    let took = seconds_between(&incident["event_at"], &incident["closed_at"]);
    assert!(took < 30.0, "from the engine's event to a verified end: {took} s");
    let verified = seconds_between(
        &steps(&incident, "action_finished")[0]["at"],
        &steps(&incident, "concluded")[0]["at"],
    );
    assert!(verified >= 2.5, "resolved only after the stabilisation window: {verified} s");
    assert_eq!(web.inspect()["State"]["Health"]["Status"], "healthy");
    assert_eq!(world.actions(&web, "finished").await.len(), 1);
}

#[tokio::test]
async fn a_check_that_changes_its_mind_is_flapping_and_that_is_a_cause_of_its_own() {
    let world = World::start().await;
    let spec = ContainerSpec::idle("moody").health(check("test ! -e /tmp/ill")).mode("observe");
    let moody = world.engine.run(spec);
    for turn in 1..=3 {
        // The Monitor has to see each change: an inspection shows only the last one.
        world.row(&moody, "healthy", |row| row["health"] == "healthy").await;
        moody.exec("touch /tmp/ill");
        world.row(&moody, "unhealthy", |row| row["health"] == "unhealthy").await;
        if turn < 3 {
            let incident = world.incident(&moody, "there", |_| true).await;
            assert!(!symptoms(&incident).contains(&"flapping_health"), "turn {turn}: {incident}");
            moody.exec("rm /tmp/ill");
        }
    }
    let flapping = |incident: &Value| incident["diagnosis"]["rule"] == "flapping_health";
    let incident = world.incident(&moody, "diagnosed as flapping", flapping).await;
    assert_eq!(incident["diagnosis"]["verdict"], "no_safe_action", "{incident}");
    assert!(symptoms(&incident).contains(&"flapping_health"), "{incident}");
}
