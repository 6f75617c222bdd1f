//! What gates, modes and silence hold.

use super::*;
use crate::metrics;

#[test]
fn observe_does_nothing_and_propose_says_what_would_be_done() {
    let mut scene = Scene::new(Config::default());
    scene.facts.mode = Mode::Observe;
    let (why, _) = suppressed(&scene.ask());
    assert!(why.starts_with("mode: mode observe"), "{why}");
    scene.facts.mode = Mode::Propose;
    let proposed = scene.ask();
    assert!(proposed.effects::<EngineAction>().is_empty());
    let why = "would restart: its health check fails".to_owned();
    assert_eq!(conclusion(&proposed).unwrap().1, Conclusion::Proposed(why));
    assert_eq!(scene.stages(), ["refused", "proposed"]);
}

#[test]
fn a_dry_run_is_simulated_and_costs_neither_cooldown_nor_budget() {
    let mut scene = Scene::new(Config { dry_run: true, ..Config::default() });
    for _ in 0..5 {
        let simulated = scene.ask();
        assert!(simulated.effects::<EngineAction>().is_empty());
        assert_eq!(counted(&simulated, metrics::ACTIONS), ["restart simulated"]);
        assert!(counted(&simulated, metrics::GATE_REFUSALS).is_empty());
        assert!(matches!(conclusion(&simulated).unwrap().1, Conclusion::Proposed(_)));
    }
    assert_eq!(scene.stages(), ["simulated"; 5]);
}

#[test]
fn a_request_that_comes_after_its_deadline_is_not_carried_out() {
    let mut scene = Scene::new(Config::default());
    let request = scene.request("inc-1");
    scene.play.advance(seconds(61));
    scene.tell(ResponderMessage::Remediate(request));
    let (why, _) = suppressed(&scene.standing("inc-1"));
    assert!(why.starts_with("deadline: the request expired"), "{why}");
}

#[test]
fn a_monitor_that_does_not_answer_in_time_means_no_action() {
    let mut scene = Scene::new(Config::default());
    let request = scene.request("inc-1");
    scene.tell(ResponderMessage::Remediate(request));
    let (why, _) = suppressed(&scene.silence());
    assert!(why.starts_with("identity: the container's state cannot be read"), "{why}");
    assert!(scene.standing("inc-1").is_quiet());
}

#[test]
fn an_answer_that_is_read_only_after_a_downtime_counts() {
    let mut scene = Scene::new(Config::default());
    let request = scene.request("inc-1");
    scene.tell(ResponderMessage::Remediate(request));
    // The timer came due meanwhile and fires first.
    scene.play.advance(seconds(20));
    assert!(entries(&scene.play.fire_next_timer().unwrap()).is_empty());
    assert_eq!(scene.standing("inc-1").effects::<EngineAction>().len(), 1);
}

#[test]
fn a_container_restarted_since_it_was_judged_is_left_alone() {
    let mut scene = Scene::new(Config::default());
    let request = scene.request("inc-1");
    scene.tell(ResponderMessage::Remediate(request));
    scene.facts.started_at = "1970-01-12T13:46:00Z".to_owned();
    let held = scene.standing("inc-1");
    assert!(suppressed(&held).0.contains("no longer the same run"));
    assert_eq!(counted(&held, metrics::GATE_REFUSALS), ["identity"]);
}

#[test]
fn a_second_request_within_the_cooldown_is_refused_with_the_time_that_remains() {
    let mut scene = Scene::new(Config { cooldown: seconds(10), ..Config::default() });
    let effect = only(scene.ask().effects::<EngineAction>());
    scene.done(&effect);
    let until = scene.play.now() + seconds(10);
    scene.play.advance(seconds(2));
    let refused = scene.ask();
    let (why, known) = suppressed(&refused);
    assert_eq!(why, "cooldown: cooldown of 10s after the last action: 8s remain");
    assert_eq!(known, Some(until));
    assert_eq!(counted(&refused, metrics::GATE_REFUSALS), ["cooldown"]);
    let Entry::Gates { gates, .. } = &entries(&refused)[0] else { panic!("no gates") };
    assert_eq!(gates.last().unwrap().until, Some(until));
    assert_eq!(scene.stages(), ["intended", "finished", "refused"]);
}

#[test]
fn after_the_cooldown_the_next_request_is_carried_out() {
    let mut scene = Scene::new(Config { cooldown: seconds(30), ..Config::default() });
    let effect = only(scene.ask().effects::<EngineAction>());
    scene.done(&effect);
    suppressed(&scene.ask());
    scene.asked = 1;
    let resolved = scene.verify();
    assert_eq!(conclusion(&resolved).unwrap().1, Conclusion::Resolved);
    scene.asked = 2;
    only(scene.ask().effects::<EngineAction>());
}

#[test]
fn an_action_that_did_not_run_sets_no_cooldown() {
    let mut scene = Scene::new(Config { restarts: 1, ..Config::default() });
    let effect = only(scene.ask().effects::<EngineAction>());
    escalated(&scene.finish(&effect, Err(Undone::Failed("no such container".to_owned()))));
    only(scene.ask().effects::<EngineAction>());
}

#[test]
fn the_budget_counts_successes_too_and_refuses_the_third_of_two() {
    let config = Config { budget_per_container: 2, cooldown: Duration::ZERO, ..Config::default() };
    let mut scene = Scene::new(config);
    for _ in 0..2 {
        let resolved = scene.remediate();
        assert_eq!(conclusion(&resolved).unwrap().1, Conclusion::Resolved);
    }
    let (why, until) = suppressed(&scene.ask());
    assert!(why.starts_with("budget: budget of the container spent: 2 of 2"), "{why}");
    scene.play.advance(until.unwrap().since(scene.play.now()));
    only(scene.ask().effects::<EngineAction>());
}

#[test]
fn repeated_attempts_of_one_action_count_against_the_budget() {
    let config = Config { budget_per_container: 2, cooldown: Duration::ZERO, ..Config::default() };
    let mut scene = Scene::new(config);
    let effect = only(scene.ask().effects::<EngineAction>());
    let key = serde_json::from_str("\"00\"").unwrap();
    let result = Ok(ActionOutcome::Done("restarted".to_owned()));
    scene.tell(ResponderMessage::Finished(Finished { effect, key, attempts: 2, result }));
    scene.verify();
    assert!(suppressed(&scene.ask()).0.contains("2 of 2"));
}

/// A Responder whose breaker for the container is open after three failed remediations.
fn broken() -> Scene {
    let config = Config {
        restarts: 1,
        cooldown: Duration::ZERO,
        budget_per_container: 10,
        ..Config::default()
    };
    let mut scene = Scene::new(config);
    scene.sick();
    for _ in 0..3 {
        escalated(&scene.remediate());
    }
    scene
}

#[test]
fn three_failures_in_a_row_open_the_breaker_with_a_reason_on_record() {
    let mut scene = broken();
    let refused = scene.ask();
    let (why, until) = suppressed(&refused);
    assert!(why.starts_with("breaker: breaker open after 3 failures"), "{why}");
    assert_eq!(until, Some(scene.play.now() + seconds(3600)));
    assert_eq!(counted(&refused, metrics::GATE_REFUSALS), ["breaker"]);
    let last = scene.audit().pop().unwrap();
    assert_eq!((last.stage, last.gates.last().unwrap().gate.as_str()), (Stage::Refused, "breaker"));
}

#[test]
fn a_half_open_breaker_lets_exactly_one_probe_through_and_its_failure_opens_it_again() {
    let mut scene = broken();
    scene.play.advance(seconds(3600));
    let effect = only(scene.ask().effects::<EngineAction>());
    let (why, _) = suppressed(&scene.ask());
    assert!(why.starts_with("breaker: breaker half-open: the probe is under way"), "{why}");
    scene.asked -= 1;
    scene.done(&effect);
    escalated(&scene.verify());
    scene.asked += 1;
    assert!(suppressed(&scene.ask()).0.contains("breaker open after 4 failures"));
}

#[test]
fn a_probe_that_helps_closes_the_breaker() {
    let mut scene = broken();
    scene.play.advance(seconds(3600));
    let effect = only(scene.ask().effects::<EngineAction>());
    scene.done(&effect);
    scene.facts.health = Health::Healthy;
    scene.active.clear();
    assert_eq!(conclusion(&scene.verify()).unwrap().1, Conclusion::Resolved);
    only(scene.ask().effects::<EngineAction>());
}

#[test]
fn at_most_a_third_of_a_project_is_acted_on_at_once() {
    let mut scene = Scene::new(Config::default());
    scene.project = Some("shop".to_owned());
    let ids = (1..=6).map(|n| ContainerId(format!("c{n}"))).collect();
    scene.tell(ResponderMessage::Census(vec![("shop".to_owned(), ids)]));
    for container in ["c1", "c2"] {
        scene.id = container.to_owned();
        only(scene.ask().effects::<EngineAction>());
    }
    scene.id = "c3".to_owned();
    let (why, _) = suppressed(&scene.ask());
    assert!(why.starts_with("blast_radius: 2 of 6 other containers of project shop"), "{why}");
    scene.project = Some("other".to_owned());
    only(scene.ask().effects::<EngineAction>());
}

#[test]
fn a_container_acted_on_a_moment_ago_still_counts_against_the_blast_radius() {
    let mut scene = Scene::new(Config::default());
    scene.project = Some("shop".to_owned());
    assert_eq!(conclusion(&scene.remediate()).unwrap().1, Conclusion::Resolved);
    scene.id = "c2".to_owned();
    assert!(suppressed(&scene.ask()).0.starts_with("blast_radius"));
    scene.play.advance(seconds(300));
    only(scene.ask().effects::<EngineAction>());
}
