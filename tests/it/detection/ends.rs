//! Containers that end by themselves: crashes, crash loops, memory kills, jobs.

use serde_json::Value;

use super::world::{World, end, mortal, rules, seconds_between, steps, symptoms};
use crate::support::engine::ContainerSpec;

/// The verdicts of every diagnosis.
fn verdicts(incident: &Value) -> Vec<&str> {
    let diagnoses = steps(incident, "diagnosed").into_iter();
    diagnoses.filter_map(|entry| entry["verdict"].as_str()).collect()
}

fn is_crash_loop(incident: &Value) -> bool {
    rules(incident).contains(&"crash_loop")
}

/// B1.
#[tokio::test]
async fn a_crash_loop_of_the_engines_own_restarts_is_named_and_not_restarted_on_top() {
    let world = World::start().await;
    let looping = world.engine.run(ContainerSpec::new("loop", "exit 1").restart("always"));
    let first = world.incident(&looping, "opened", |_| true).await;
    let delay = first["seconds_to_detect"].as_f64().expect("a delay");
    assert!(delay < 10.0, "an event tells of it, no list or poll of 30 s: {delay}");

    let incident = world.incident(&looping, "a crash loop", is_crash_loop).await;
    assert_eq!(incident["severity"], "critical");
    assert_eq!(incident["diagnosis"]["verdict"], "no_safe_action");
    let advice = incident["diagnosis"]["advice"].as_str().expect("advice");
    assert!(advice.contains("stop it"), "{advice}");
    assert!(!verdicts(&incident).contains(&"false_alarm"), "{incident}");
    world.marker().await;
    let later = world.incident(&looping, "there", |_| true).await;
    assert_eq!((&later["status"], &later["id"]), (&"open".into(), &first["id"]), "{later}");
    assert_eq!(world.incidents(&looping).await.len(), 1);
    assert!(world.actions(&looping, "intended").await.is_empty(), "the engine restarts it already");
}

/// B1.
#[tokio::test]
async fn a_service_that_crashes_after_each_restart_of_ours_is_given_to_a_person() {
    let world = World::start().await;
    let crashing = world.engine.run(ContainerSpec::new("crashing", "sleep 1; exit 1").mode("auto"));
    let incident = world.incident_that_is(&crashing, "escalated").await;
    assert_eq!(steps(&incident, "not_resolved").len(), 2, "{incident}");
    let concluded = steps(&incident, "concluded");
    assert!(concluded.iter().all(|entry| entry["conclusion"] != "resolved"), "{incident}");
    assert!(!verdicts(&incident).contains(&"false_alarm"), "{incident}");

    world.marker().await;
    assert_eq!(world.incident(&crashing, "there", |_| true).await["status"], "escalated");
    assert_eq!(world.actions(&crashing, "finished").await.len(), 2, "two restarts and no more");
}

/// B5.
#[tokio::test]
async fn an_end_for_memory_is_told_with_its_limit_and_what_would_help() {
    let world = World::start().await;
    let script = "mkfifo /tmp/go; read go </tmp/go; x=a; while :; do x=$x$x; done";
    let spec = ContainerSpec::new("hungry", script).memory_mib(16).cpus(0.5);
    let hungry = world.engine.run(spec.restart("unless-stopped"));
    hungry.exec("echo >/tmp/go");
    let incident = world.incident(&hungry, "diagnosed", |i| i["diagnosis"].is_object()).await;
    let diagnosis = steps(&incident, "diagnosed")[0];
    assert!(symptoms(&incident).contains(&"oom_killed"), "{incident}");
    assert_eq!(diagnosis["verdict"], "no_safe_action", "{diagnosis}");
    assert_eq!(diagnosis["rule"], "oom_survived", "{diagnosis}");
    let cause = diagnosis["cause"].as_str().expect("a cause");
    assert!(cause.contains("16 MiB") && cause.contains("peak"), "{cause}");
    let advice = diagnosis["advice"].as_str().expect("advice");
    assert!(advice.contains("raise its memory limit (now 16 MiB)"), "{advice}");
    world.marker().await;
    assert!(world.actions(&hungry, "intended").await.is_empty(), "the engine has restarted it");
    assert_eq!(hungry.restart_count(), 1, "and nobody else");
}

/// B5.
#[tokio::test]
async fn a_service_that_runs_out_of_memory_again_is_not_restarted_in_a_loop() {
    let world = World::start().await;
    let hungry = "sleep 1; x=a; while :; do x=$x$x; done";
    let spec = ContainerSpec::new("hungry", hungry).memory_mib(16).cpus(0.5).mode("auto");
    let hungry = world.engine.run(spec);
    let repeated = |incident: &Value| rules(incident).contains(&"oom_repeated");
    let incident = world.incident(&hungry, "known to repeat", repeated).await;
    assert_eq!(rules(&incident)[0], "oom_killed", "the first restart brings the service back");
    world.marker().await;
    let incident = world.incident(&hungry, "there", |_| true).await;
    assert_eq!(incident["diagnosis"]["verdict"], "no_safe_action", "{incident}");
    assert!(incident["closed_at"].is_null(), "{incident}");
    assert_eq!(world.actions(&hungry, "finished").await.len(), 1, "one restart and no more");
}

/// B6.
#[tokio::test]
async fn a_service_that_exits_at_random_is_unstable_by_its_rate_of_restarts() {
    let world = World::start().await;
    let script = "sleep 0.$((RANDOM % 9)); exit $((RANDOM % 3 + 1))";
    let random = world.engine.run(ContainerSpec::new("random", script).restart("always"));
    let incident = world.incident(&random, "a crash loop", is_crash_loop).await;
    let raised = steps(&incident, "symptoms_changed").into_iter();
    let mut raised = raised.filter_map(|entry| entry["raised"].as_array()).flatten();
    let symptom = raised.find(|symptom| symptom["kind"] == "crash_loop").expect("the symptom");
    assert_eq!(symptom["threshold"], 3.0);
    assert!(symptom["actual"].as_f64() > Some(3.0), "{symptom}");
    let text = symptom["text"].as_str().expect("a text");
    assert!(text.contains("restarts within 10 min, at most 3 are in order"), "{text}");
    assert_eq!(world.incidents(&random).await.len(), 1, "all its ends are one incident");
}

/// B6.
#[tokio::test]
async fn a_service_that_exits_less_often_than_that_has_recovered_when_it_stays() {
    let world = World::start().await;
    let script = "echo >>/tmp/runs; [ $(wc -l </tmp/runs) -gt 2 ] || exit 1; exec sleep 3600";
    let slow = world.engine.run(ContainerSpec::new("slow", script).restart("on-failure"));
    let incident = world.incident_that_is(&slow, "recovered").await;
    assert!(!symptoms(&incident).contains(&"crash_loop"), "{incident}");
    assert!(!verdicts(&incident).contains(&"false_alarm"), "{incident}");
    assert!(world.actions(&slow, "intended").await.is_empty());
    assert_eq!(slow.restart_count(), 2);
}

/// T3c.
#[tokio::test]
async fn the_whole_way_from_a_crash_to_a_healed_service_needs_no_model() {
    let world = World::start().await;
    let service = world.engine.run(mortal("service").mode("auto"));
    end(&service, 3);
    let incident = world.incident_that_is(&service, "resolved").await;
    assert_eq!(rules(&incident)[0], "exit_code");
    let order = ["opened", "evidence", "diagnosed", "gates", "action_intended"];
    let order = [&order[..], &["action_finished", "verifying", "concluded"]].concat();
    let places: Vec<_> = order.iter().map(|kind| steps(&incident, kind)[0]["n"].as_u64()).collect();
    assert!(places.is_sorted(), "{order:?}: {places:?}");
    assert_eq!(service.status(), "running");
    assert_eq!(world.actions(&service, "finished").await.len(), 1);
}

/// T3d.
#[tokio::test]
async fn an_exit_code_other_than_zero_asks_for_a_restart_with_confidence_nine_tenths() {
    let world = World::start().await;
    // Long enough for its first start to be read before the node starts it again.
    let failing = world.engine.run(ContainerSpec::new("failing", "sleep 3; exit 1").mode("auto"));
    let before = failing.started_at();
    let finished = |incident: &Value| !steps(incident, "action_finished").is_empty();
    let incident = world.incident(&failing, "acted on", finished).await;
    let diagnosis = steps(&incident, "diagnosed")[0];
    assert_eq!(diagnosis["rule"], "exit_code", "{diagnosis}");
    assert_eq!(diagnosis["confidence"], 0.9);
    assert_eq!(
        (&diagnosis["verdict"], &diagnosis["action"]),
        (&"remediate".into(), &"restart".into())
    );
    assert_eq!(steps(&incident, "action_finished")[0]["outcome"], "done");
    assert!(failing.started_at() > before, "it was started again");
}

/// X3.
#[tokio::test]
async fn a_failed_job_is_told_and_never_run_a_second_time() {
    let world = World::start().await;
    let job = world.engine.run(ContainerSpec::new("job", "sleep 0.5; exit 1").restart("no"));
    let before = job.started_at();
    let incident = world.incident(&job, "diagnosed", |i| i["diagnosis"].is_object()).await;
    assert_eq!(incident["diagnosis"]["rule"], "one_shot_job", "{incident}");
    assert_eq!(incident["diagnosis"]["verdict"], "no_safe_action");
    assert_eq!(incident["severity"], "warning", "a failed job is no outage");
    let first = &incident["symptoms"][0];
    assert!(seconds_between(&incident["event_at"], &first["since"]) < 10.0, "{incident}");
    world.marker().await;
    assert_eq!((job.started_at(), job.status()), (before, "exited".to_owned()));
    assert!(world.actions(&job, "intended").await.is_empty());
    assert!(world.incident(&job, "there", |_| true).await["closed_at"].is_null());
}
