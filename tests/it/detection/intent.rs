//! Ends that somebody wanted: an operator's stop or kill, and a deploy in progress.

use serde_json::Value;

use super::world::{World, end, rules, seconds_between, steps};
use crate::support::engine::{Container, ContainerSpec};

/// Waits until the node knows that somebody stopped it, then proves that it leaves it at that.
async fn assert_stays_down(world: &World, containers: &[(&Container, i64)]) {
    let mut runs = Vec::new();
    for (container, code) in containers {
        let stopped = |row: &Value| row["stopped_by_operator"] == true && row["state"] == "exited";
        let row = world.row(container, "stopped by an operator", stopped).await;
        assert_eq!(row["exit_code"], *code, "{}", container.name());
        assert_eq!(row["symptoms"], Value::Array(Vec::new()));
        runs.push(container.started_at());
    }
    world.marker().await;
    for ((container, _), run) in containers.iter().zip(runs) {
        world.assert_left_alone(container).await;
        assert_eq!((container.status(), container.started_at()), ("exited".to_owned(), run));
    }
}

/// X2.
#[tokio::test]
async fn an_operators_docker_stop_is_no_fault_and_is_not_undone() {
    let world = World::start().await;
    let run = |spec: ContainerSpec| world.engine.run(spec.mode("auto"));
    let polite = run(ContainerSpec::new("polite", "trap 'exit 143' TERM; sleep 3600 & wait $!"));
    let deaf = run(ContainerSpec::new("deaf", "trap '' TERM; while :; do sleep 1; done"));
    let kept = run(ContainerSpec::idle("kept").restart("always"));
    for container in [&polite, &deaf, &kept] {
        world.row(container, "running", |row| row["state"] == "running").await;
        container.stop();
    }
    assert_stays_down(&world, &[(&polite, 143), (&deaf, 137), (&kept, 0)]).await;
}

/// X2.
#[tokio::test]
async fn an_operators_docker_kill_is_no_fault_and_is_not_undone() {
    let world = World::start().await;
    let run = |spec: ContainerSpec| world.engine.run(spec.mode("auto"));
    let plain = run(ContainerSpec::idle("plain"));
    let kept = run(ContainerSpec::idle("kept").restart("unless-stopped"));
    for container in [&plain, &kept] {
        world.row(container, "running", |row| row["state"] == "running").await;
        container.kill("KILL");
    }
    assert_stays_down(&world, &[(&plain, 137), (&kept, 137)]).await;
}

/// X2.
#[tokio::test]
async fn a_reload_by_kill_hup_is_no_fault_and_no_wish_that_it_be_down() {
    let world = World::start().await;
    let script = "trap 'touch /tmp/reloaded' HUP; mkfifo /tmp/end
        while :; do read code </tmp/end && exit $code; done";
    let server = world.engine.run(ContainerSpec::new("server", script).mode("auto"));
    let row = world.row(&server, "running", |row| row["state"] == "running").await;
    server.kill("HUP");
    world.marker().await;
    world.assert_left_alone(&server).await;
    assert_eq!(server.started_at(), row["started_at"].as_str().expect("a time"));

    // A crash within the time in which a wish to stop would have explained it.
    server.exec("test -e /tmp/reloaded");
    end(&server, 4);
    let incident = world.incident_that_is(&server, "resolved").await;
    assert_eq!(rules(&incident), ["exit_code"]);
    assert_eq!(server.status(), "running");
}

/// X2.
#[tokio::test]
async fn an_operators_stop_withdraws_the_incident_that_was_open() {
    let world = World::with(&[("MONITOR__STOP_SETTLES", "2s")]).await;
    let script = "echo >>/tmp/runs; [ $(wc -l </tmp/runs) -gt 4 ] || exit 1; exec sleep 3600";
    let sick = world.engine.run(ContainerSpec::new("sick", script).restart("always"));
    let loops = |incident: &Value| rules(incident).contains(&"crash_loop");
    let open = world.incident(&sick, "a crash loop", loops).await;
    assert_eq!(open["status"], "open");
    sick.stop();
    let incident = world.incident_that_is(&sick, "withdrawn").await;
    assert_eq!(incident["id"], open["id"]);
    let reason = steps(&incident, "withdrawn")[0]["reason"].as_str().expect("a reason");
    assert!(reason.contains("stopped through the engine"), "{reason}");
}

/// Compose recreates a service: it removes the old container and starts a new one with its labels.
#[tokio::test]
async fn crashes_while_a_service_is_being_deployed_are_no_fault_and_later_ones_are() {
    let world = World::with(&[("MONITOR__SETTLE_TIME", "10s")]).await;
    let of_service = |spec: ContainerSpec| {
        let labelled = spec.label("com.docker.compose.project", "shop");
        world.engine.run(labelled.label("com.docker.compose.service", "web"))
    };
    let old = of_service(ContainerSpec::idle("web-1").mode("auto"));
    world.row(&old, "running", |row| row["state"] == "running").await;
    old.stop();
    old.remove();
    let settling = "echo >>/tmp/runs; [ $(wc -l </tmp/runs) -gt 2 ] || exit 1; exec sleep 3600";
    let new = of_service(ContainerSpec::new("web-2", settling).restart("on-failure"));
    world.marker_after(12).await;
    assert_eq!((new.status(), new.restart_count()), ("running".to_owned(), 2));
    world.assert_left_alone(&old).await;
    world.assert_left_alone(&new).await;

    let broken = of_service(ContainerSpec::new("web-3", "exit 1").mode("observe"));
    let incident = world.incident(&broken, "open after all", |_| true).await;
    let held = seconds_between(&broken.inspect()["Created"], &incident["opened_at"]);
    assert!(held >= 9.5, "held back until the deploy has settled: {held} s");
}
