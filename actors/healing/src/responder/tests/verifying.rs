//! Whether an action helped, and what follows when it did not.

use super::*;
use crate::metrics;

#[test]
fn a_container_that_stays_well_for_the_window_is_resolved() {
    let mut scene = Scene::new(Config::default());
    let began = scene.play.now();
    let resolved = scene.remediate();
    assert_eq!(scene.play.now(), began + seconds(30));
    assert_eq!(conclusion(&resolved), Some(("c1".to_owned(), Conclusion::Resolved, None)));
    assert_eq!(entries(&resolved), [Entry::Concluded(Conclusion::Resolved)]);
    assert_eq!(counted(&resolved, metrics::VERIFICATIONS), ["resolved"]);
    assert_eq!(scene.stages(), ["intended", "finished", "resolved"]);
    assert!(scene.play.state.ongoing.is_empty() && scene.play.timers().is_empty());
}

#[test]
fn a_symptom_that_lasts_is_not_resolved_and_is_tried_again_after_the_back_off() {
    let mut scene = Scene::new(Config::default());
    scene.sick();
    let looked = scene.remediate();
    assert_eq!(conclusion(&looked), None);
    let reason = "still seen since the action: unhealthy".to_owned();
    let next = Some(scene.play.now() + seconds(30));
    assert_eq!(entries(&looked), [Entry::NotResolved { reason, next }]);
    assert_eq!(counted(&looked, metrics::VERIFICATIONS), ["not_resolved"]);
    scene.facts.started_at = "1970-01-12T13:46:41Z".to_owned();
    let second = scene.next_rung();
    let effect = only(second.effects::<EngineAction>());
    assert_eq!(effect.started_at, scene.facts.started_at);
    let intended = Entry::ActionIntended { action: Action::Restart, rung: 2, audit: 4 };
    assert!(entries(&second).contains(&intended));
}

#[test]
fn a_ladder_that_never_helps_ends_with_a_person_and_no_further_restart() {
    let mut scene = Scene::new(Config::default());
    scene.sick();
    scene.remediate();
    let effect = only(scene.next_rung().effects::<EngineAction>());
    scene.done(&effect);
    let ended = scene.verify();
    let why = escalated(&ended);
    assert!(why.starts_with("2 actions did not help; last: still seen"), "{why}");
    assert_eq!(counted(&ended, metrics::VERIFICATIONS), ["not_resolved", "escalated"]);
    assert!(ended.effects::<EngineAction>().is_empty() && scene.play.timers().is_empty());
}

#[test]
fn three_identical_failures_end_a_longer_ladder_at_once() {
    let config =
        Config { restarts: 9, breaker_failures: 9, budget_per_container: 9, ..Config::default() };
    let mut scene = Scene::new(config);
    scene.sick();
    scene.remediate();
    for rung in 2..=3 {
        let effect = only(scene.next_rung().effects::<EngineAction>());
        scene.done(&effect);
        let looked = scene.verify();
        assert_eq!(conclusion(&looked).is_some(), rung == 3);
        if rung == 3 {
            let why = escalated(&looked);
            assert!(why.starts_with("it failed 3 times in a row in exactly the same way"), "{why}");
        }
    }
}

#[test]
fn failures_that_look_different_do_not_end_the_ladder() {
    let config =
        Config { restarts: 9, breaker_failures: 9, budget_per_container: 9, ..Config::default() };
    let mut scene = Scene::new(config);
    scene.sick();
    scene.remediate();
    for code in 2..=4 {
        let effect = only(scene.next_rung().effects::<EngineAction>());
        scene.done(&effect);
        scene.facts.exit_code = Some(code);
        assert_eq!(conclusion(&scene.verify()), None);
    }
}

#[test]
fn the_last_rung_stops_the_container_where_that_is_the_policy() {
    let config = Config { last_rung: LastRung::Stop, ..Config::default() };
    let mut scene = Scene::new(config);
    scene.sick();
    scene.remediate();
    let effect = only(scene.next_rung().effects::<EngineAction>());
    scene.done(&effect);
    scene.verify();
    let stop = only(scene.next_rung().effects::<EngineAction>());
    assert_eq!(stop.action, Action::Stop);
    let why = escalated(&scene.done(&stop));
    assert_eq!(why, "stopped: 2 restarts did not help");
}

#[test]
fn a_health_check_without_a_verdict_is_looked_at_again_and_must_then_pass_a_whole_window() {
    let mut scene = Scene::new(Config::default());
    scene.facts.health = Health::Starting;
    assert_eq!(conclusion(&scene.remediate()), None);
    assert_eq!(conclusion(&scene.verify()), None);
    scene.facts.health = Health::Healthy;
    let passed = scene.verify();
    let until = scene.play.now() + seconds(30);
    assert_eq!(entries(&passed), [Entry::Verifying { until }]);
    assert_eq!(conclusion(&scene.verify()).unwrap().1, Conclusion::Resolved);
}

#[test]
fn a_health_check_that_never_gives_a_verdict_fails_after_its_patience() {
    let mut scene = Scene::new(Config::default());
    scene.facts.health = Health::Starting;
    let began = scene.play.now();
    let mut looked = scene.remediate();
    while !entries(&looked).iter().any(|entry| matches!(entry, Entry::NotResolved { .. })) {
        looked = scene.verify();
    }
    assert_eq!(scene.play.now(), began + seconds(300));
}

#[test]
fn a_health_check_without_a_verdict_is_looked_at_again_after_a_downtime_longer_than_its_patience() {
    let mut scene = Scene::new(Config::default());
    let effect = only(scene.ask().effects::<EngineAction>());
    scene.done(&effect);
    scene.facts.health = Health::Starting;
    scene.play.advance(seconds(3600));
    let until = scene.play.now() + seconds(30);
    let looked = scene.verify();
    assert_eq!(entries(&looked), [Entry::Verifying { until }]);
    assert!(matches!(entries(&scene.verify())[..], [Entry::NotResolved { .. }]));
}

#[test]
fn sustained_use_is_verified_over_its_own_longer_window() {
    let mut scene = Scene::new(Config::default());
    let mut request = scene.request("inc-1");
    request.symptoms = vec![SymptomKind::HighCpu];
    scene.tell(ResponderMessage::Remediate(request));
    let effect = only(scene.standing("inc-1").effects::<EngineAction>());
    scene.done(&effect);
    let until = scene.play.now() + seconds(75);
    assert_eq!(scene.play.timers(), [("step:inc-1".to_owned(), until)]);
}

#[test]
fn a_container_that_got_well_during_the_back_off_is_watched_and_not_restarted() {
    let mut scene = Scene::new(Config::default());
    scene.sick();
    scene.remediate();
    scene.active.clear();
    scene.facts.health = Health::Healthy;
    let again = scene.next_rung();
    assert!(again.effects::<EngineAction>().is_empty());
    assert!(matches!(entries(&again)[..], [Entry::Verifying { .. }]));
    assert_eq!(conclusion(&scene.verify()).unwrap().1, Conclusion::Resolved);
}

#[test]
fn an_operator_who_stops_it_during_the_verification_ends_the_ladder() {
    let mut scene = Scene::new(Config::default());
    let effect = only(scene.ask().effects::<EngineAction>());
    scene.done(&effect);
    scene.facts.status = Status::Exited;
    scene.facts.stopped_by_operator = true;
    assert!(suppressed(&scene.verify()).0.starts_with("operator_intent"));
}

#[test]
fn a_container_that_is_gone_at_the_verification_ends_the_ladder() {
    let mut scene = Scene::new(Config::default());
    let effect = only(scene.ask().effects::<EngineAction>());
    scene.done(&effect);
    scene.facts.status = Status::Gone;
    assert_eq!(conclusion(&scene.verify()).unwrap().1, Conclusion::Gone);
}

#[test]
fn an_engine_that_fails_counts_as_a_rung_of_the_ladder() {
    let mut scene = Scene::new(Config::default());
    scene.sick();
    let effect = only(scene.ask().effects::<EngineAction>());
    let failed = || Err(Undone::Failed("the engine refused with status 500".to_owned()));
    let first = scene.finish(&effect, failed());
    let next = Some(scene.play.now() + seconds(30));
    let reason = "the restart failed: the engine refused with status 500".to_owned();
    assert_eq!(entries(&first)[1], Entry::NotResolved { reason, next });
    let effect = only(scene.next_rung().effects::<EngineAction>());
    let why = escalated(&scene.finish(&effect, failed()));
    assert!(why.starts_with("2 actions did not help"), "{why}");
}

#[test]
fn an_action_whose_outcome_is_unknown_is_judged_by_how_the_container_stands() {
    let mut scene = Scene::new(Config::default());
    let effect = only(scene.ask().effects::<EngineAction>());
    scene.finish(&effect, Err(Undone::Unknown("no answer".to_owned())));
    assert_eq!(conclusion(&scene.verify()).unwrap().1, Conclusion::Resolved);
}

#[test]
fn an_action_that_does_not_apply_is_left_to_a_person() {
    let mut scene = Scene::new(Config::default());
    let mut request = scene.request("inc-1");
    request.action = Action::Scale;
    scene.tell(ResponderMessage::Remediate(request));
    let effect = only(scene.standing("inc-1").effects::<EngineAction>());
    let why = ActionOutcome::NotApplicable("it is not a task of a Swarm service".to_owned());
    let why = escalated(&scene.finish(&effect, Ok(why)));
    assert_eq!(why, "scale does not apply: it is not a task of a Swarm service");
}

#[test]
fn a_monitor_that_does_not_answer_the_verification_means_not_resolved() {
    let mut scene = Scene::new(Config::default());
    let effect = only(scene.ask().effects::<EngineAction>());
    scene.done(&effect);
    scene.play.fire_next_timer().unwrap();
    let silent = scene.silence();
    assert!(matches!(&entries(&silent)[..], [Entry::NotResolved { next: Some(_), .. }]));
    scene.play.fire_next_timer().unwrap();
    let why = escalated(&scene.silence());
    assert!(why.contains("no further action is allowed: identity"), "{why}");
}

#[test]
fn a_spent_budget_between_two_rungs_calls_a_person() {
    let mut scene = Scene::new(Config { budget_per_container: 1, ..Config::default() });
    scene.sick();
    scene.remediate();
    let why = escalated(&scene.next_rung());
    assert!(why.contains("no further action is allowed: budget"), "{why}");
}

/// A container that ended and was restarted, before the Monitor has heard of that.
fn restarted_unheard(action: Action, outcome: ActionOutcome) -> Scene {
    let mut scene = Scene::new(Config::default());
    scene.facts.status = Status::Exited;
    scene.facts.exit_code = Some(3);
    let mut request = scene.request("inc-1");
    request.action = action;
    scene.asked = 1;
    scene.tell(ResponderMessage::Remediate(request));
    let effect = only(scene.standing("inc-1").effects::<EngineAction>());
    scene.finish(&effect, Ok(outcome));
    scene
}

#[test]
fn a_monitor_that_still_shows_the_run_before_the_action_is_asked_again() {
    for action in [Action::Restart, Action::Start] {
        for outcome in [ActionOutcome::Done, ActionOutcome::Reconciled] {
            let mut scene = restarted_unheard(action.clone(), outcome("it runs".to_owned()));
            let began = scene.engine_time();
            let looked = scene.verify();
            let until = scene.play.now() + seconds(30);
            assert_eq!(entries(&looked), [Entry::Verifying { until }]);
            let heard = Facts { status: Status::Running, exit_code: None, ..scene.facts.clone() };
            scene.facts = Facts { started_at: began, ..heard };
            assert_eq!(conclusion(&scene.verify()), None);
            assert_eq!(conclusion(&scene.verify()).unwrap().1, Conclusion::Resolved);
        }
    }
}

#[test]
fn symptoms_of_the_run_before_the_action_are_no_verdict_on_it() {
    let mut scene = Scene::new(Config::default());
    scene.sick();
    let effect = only(scene.ask().effects::<EngineAction>());
    scene.done(&effect);
    scene.facts.started_at = effect.started_at;
    assert!(matches!(entries(&scene.verify())[..], [Entry::Verifying { .. }]));
}

#[test]
fn a_new_run_that_ended_too_is_not_taken_for_the_one_before_the_action() {
    let mut scene = restarted_unheard(Action::Restart, ActionOutcome::Done(String::new()));
    scene.facts.started_at = scene.engine_time();
    assert!(matches!(entries(&scene.verify())[..], [Entry::NotResolved { .. }]));
}

#[test]
fn a_monitor_that_was_behind_and_is_silent_then_is_no_verdict_on_the_action() {
    let mut scene = restarted_unheard(Action::Restart, ActionOutcome::Done(String::new()));
    assert!(matches!(entries(&scene.verify())[..], [Entry::Verifying { .. }]));
    scene.play.fire_next_timer().unwrap();
    let silent = scene.play.fire_next_timer().unwrap();
    assert!(matches!(entries(&silent)[..], [Entry::Verifying { .. }]));
}

#[test]
fn a_monitor_that_never_hears_of_the_new_run_fails_after_the_patience_even_after_a_long_downtime() {
    let mut scene = restarted_unheard(Action::Restart, ActionOutcome::Done(String::new()));
    let down = seconds(3600);
    scene.play.advance(down);
    let mut looked = scene.verify();
    let first = scene.play.now();
    assert!(matches!(entries(&looked)[..], [Entry::Verifying { .. }]));
    while matches!(entries(&looked)[..], [Entry::Verifying { .. }]) {
        looked = scene.verify();
    }
    assert_eq!(scene.play.now(), first + seconds(300));
    let reason = "the Monitor showed the run before the action for 5m".to_owned();
    let next = Some(scene.play.now() + seconds(30));
    assert_eq!(entries(&looked), [Entry::NotResolved { reason, next }]);
}

#[test]
fn what_was_true_before_the_engine_was_lost_is_no_verdict_on_the_action() {
    let mut scene = Scene::new(Config::default());
    scene.sick();
    let effect = only(scene.ask().effects::<EngineAction>());
    scene.done(&effect);
    scene.facts.health = Health::Healthy;
    scene.active.clear();
    scene.seen_ago = seconds(30);
    assert!(matches!(entries(&scene.verify())[..], [Entry::Verifying { .. }]));
    scene.seen_ago = seconds(0);
    assert_eq!(conclusion(&scene.verify()), None);
    assert_eq!(conclusion(&scene.verify()).unwrap().1, Conclusion::Resolved);
}

/// A container that was restarted, and whose health check then has no verdict.
fn starting() -> Scene {
    let mut scene = Scene::new(Config::default());
    scene.facts.health = Health::Starting;
    assert!(matches!(entries(&scene.remediate())[..], [Entry::Verifying { .. }]));
    scene
}

/// Looks until a look ends the verification; each sees what the one before `alternate`s to.
#[track_caller]
fn look_until_over(scene: &mut Scene, mut alternate: impl FnMut(&mut Scene)) -> Recorded {
    for _ in 0..100 {
        alternate(scene);
        let looked = scene.verify();
        if !matches!(entries(&looked)[..], [Entry::Verifying { .. }]) {
            return looked;
        }
    }
    panic!("the verification does not end");
}

#[test]
fn a_health_check_that_passes_and_has_no_verdict_in_turns_fails_after_its_patience_as_undecided() {
    let mut scene = starting();
    let began = scene.play.now();
    let looked = look_until_over(&mut scene, |scene| {
        scene.facts.health = match scene.facts.health {
            Health::Starting => Health::Healthy,
            Health::None | Health::Healthy | Health::Unhealthy => Health::Starting,
        };
    });
    // Well for the first time after one window, and without a verdict in every second one from then on.
    let window = Config::default().stabilisation;
    assert_eq!(scene.play.now(), began + window + Config::default().health_patience + window);
    let reason =
        "it could not be decided for 5m 30s: its health check gives no verdict, or none that lasts";
    let next = Some(scene.play.now() + seconds(30));
    assert_eq!(entries(&looked), [Entry::NotResolved { reason: reason.to_owned(), next }]);
    assert_eq!(counted(&looked, metrics::VERIFICATIONS), ["not_resolved"]);
}

#[test]
fn an_engine_that_can_be_asked_only_every_other_time_fails_after_the_patience_as_undecided() {
    let mut scene = Scene::new(Config::default());
    let effect = only(scene.ask().effects::<EngineAction>());
    scene.done(&effect);
    let looked = look_until_over(&mut scene, |scene| {
        scene.seen_ago = match scene.seen_ago {
            Duration::ZERO => seconds(30),
            _ => Duration::ZERO,
        };
    });
    let [Entry::NotResolved { reason, next: Some(_) }] = &entries(&looked)[..] else {
        panic!("{:?}", entries(&looked));
    };
    assert_eq!(reason, "it could not be decided for 5m: the engine cannot be asked");
}

#[test]
fn verifications_that_could_never_be_decided_end_with_a_person() {
    let mut scene = starting();
    let mut looked = None;
    for _ in 0..3 {
        let ended = look_until_over(&mut scene, |scene| {
            scene.facts.health = match scene.facts.health {
                Health::Starting => Health::Healthy,
                Health::None | Health::Healthy | Health::Unhealthy => Health::Starting,
            };
        });
        looked = Some(ended);
        if scene.play.timers().is_empty() {
            break;
        }
    }
    let why = escalated(&looked.unwrap());
    assert!(why.contains("it could not be decided for"), "{why}");
}

#[test]
fn a_container_that_is_well_for_a_window_at_the_end_of_the_patience_is_resolved() {
    let mut scene = starting();
    while scene.play.now()
        < scene.play.state.ongoing[&IncidentId("inc-1".to_owned())].since + seconds(270)
    {
        assert!(matches!(entries(&scene.verify())[..], [Entry::Verifying { .. }]));
    }
    scene.facts.health = Health::Healthy;
    assert!(matches!(entries(&scene.verify())[..], [Entry::Verifying { .. }]));
    assert_eq!(conclusion(&scene.verify()).unwrap().1, Conclusion::Resolved);
}

#[test]
fn a_monitor_that_is_silent_after_a_look_without_a_verdict_is_asked_for_as_long_as_the_patience() {
    let mut scene = starting();
    let since = scene.play.state.ongoing[&IncidentId("inc-1".to_owned())].since;
    let mut silent = Vec::new();
    while scene.play.now() < since + seconds(290) {
        scene.play.fire_next_timer().unwrap();
        silent = entries(&scene.play.fire_next_timer().unwrap());
        if scene.play.now() < since + seconds(300) {
            assert!(matches!(silent[..], [Entry::Verifying { .. }]), "{silent:?}");
        }
    }
    assert_eq!(silent, [], "it is asked once more");
    let gave_up = scene.play.fire_next_timer().unwrap();
    assert!(matches!(entries(&gave_up)[..], [Entry::NotResolved { next: Some(_), .. }]));
}

/// The timer of the silence can fire before the answer is read that was there all the time.
#[test]
fn a_monitor_is_asked_once_more_after_a_downtime_also_where_a_look_had_no_verdict() {
    let mut scene = starting();
    scene.play.fire_next_timer().unwrap();
    scene.play.advance(seconds(3600));
    let again = scene.play.fire_next_timer().unwrap();
    assert_eq!((entries(&again), again.sent::<Monitor>().len()), (vec![], 1));
    scene.facts.health = Health::Healthy;
    assert!(matches!(entries(&scene.standing("inc-1"))[..], [Entry::Verifying { .. }]));
    assert_eq!(conclusion(&scene.verify()).unwrap().1, Conclusion::Resolved);
}
