use super::*;

#[test]
fn a_crash_is_told_with_the_time_of_its_event() {
    let mut scene = Scene::new(RestartPolicy::OnFailure(1));
    assert!(silent(&scene.look()));
    scene.wait(60);
    let turn = scene.die(1);
    let report = reports(&turn).pop().unwrap();
    assert_eq!(raised(&turn), [SymptomKind::NonZeroExit]);
    assert_eq!(report.event_at, scene.play.now());
    assert_eq!(report.raised[0].severity, Severity::Critical);
    assert_eq!(report.facts.exit_code, Some(1));
    assert!(!report.facts.one_shot);
    assert_eq!(scene.row().unwrap().symptoms.len(), 1);
    assert_eq!(cleared(&scene.start()), [SymptomKind::NonZeroExit]);
}

#[test]
fn an_end_with_code_0_is_no_symptom() {
    let mut scene = Scene::new(RestartPolicy::No);
    scene.look();
    scene.wait(60);
    assert!(silent(&scene.die(0)));
}

#[test]
fn a_crash_that_the_engine_repaired_before_anyone_looked_is_told_and_cleared() {
    let mut scene = Scene::new(RestartPolicy::Always);
    scene.look();
    scene.wait(60);
    let died_at = scene.play.now();
    scene.wait(1);
    scene.begin_run();
    scene.seen.at = scene.play.now();
    let event = ContainerEvent { at: died_at, kind: EventKind::Die(3) };
    let turn = scene.play.handle(MonitorMessage::Event(event, Some(scene.seen.clone()))).unwrap();
    assert_eq!(raised(&turn), [SymptomKind::NonZeroExit]);
    assert_eq!(cleared(&turn), [SymptomKind::NonZeroExit]);
    assert_eq!(scene.play.state.facts.restarts_in_window, 1);
    // The start that follows is the run that is known already.
    assert!(silent(&scene.event(EventKind::Start)));
    assert_eq!(scene.play.state.facts.restarts_in_window, 1);
}

#[test]
fn an_operators_stop_is_no_fault_and_neither_is_a_kill() {
    for kill in [15, 9, 2, 3] {
        let mut scene = Scene::new(RestartPolicy::UnlessStopped);
        scene.look();
        scene.wait(60);
        assert!(silent(&scene.event(EventKind::Kill(kill))));
        assert!(silent(&scene.die(128 + i64::from(kill))));
        assert!(silent(&scene.event(EventKind::Stop)));
        assert!(scene.row().unwrap().facts.stopped_by_operator);
        // It stays down: still nothing, not even a withdrawal.
        assert!(silent(&scene.play.fire_next_timer().unwrap()));
        assert!(silent(&scene.start()));
        assert!(!scene.row().unwrap().facts.stopped_by_operator);
    }
}

#[test]
fn a_signal_that_does_not_ask_for_an_end_leaves_a_crash_a_crash() {
    let mut scene = Scene::new(RestartPolicy::No);
    scene.look();
    scene.wait(60);
    scene.event(EventKind::Kill(1));
    assert_eq!(raised(&scene.die(129)), [SymptomKind::NonZeroExit]);
}

#[test]
fn a_stop_that_lasts_withdraws_what_was_wrong_and_a_restart_does_not() {
    let mut scene = Scene::new(RestartPolicy::UnlessStopped);
    scene.look();
    scene.wait(60);
    scene.seen.facts.health = Health::Unhealthy;
    assert_eq!(
        raised(&scene.event(EventKind::HealthStatus("unhealthy".into()))),
        [SymptomKind::Unhealthy]
    );
    // A restart, ours or anybody's: nothing is told before the new run clears it.
    assert!(silent(&scene.event(EventKind::Kill(15))));
    assert!(silent(&scene.die(143)));
    scene.wait(1);
    scene.seen.facts.health = Health::Starting;
    let turn = scene.start();
    assert_eq!(cleared(&turn), [SymptomKind::Unhealthy]);
    assert_eq!(withdrawn(&turn), 0);
    assert_eq!(scene.play.state.facts.restarts_in_window, 0, "asked for, so no crash");
    // Now a stop that lasts.
    scene.wait(30);
    scene.seen.facts.health = Health::Unhealthy;
    scene.event(EventKind::HealthStatus("unhealthy".into()));
    scene.event(EventKind::Kill(15));
    assert!(silent(&scene.die(143)));
    assert!(silent(&scene.event(EventKind::Stop)));
    assert_eq!(withdrawn(&scene.play.fire_next_timer().unwrap()), 1);
    assert!(scene.row().unwrap().symptoms.is_empty());
}

#[test]
fn with_all_events_lost_a_service_found_stopped_was_stopped_by_somebody() {
    let mut scene = Scene::new(RestartPolicy::Always);
    scene.look();
    scene.wait(60);
    scene.seen.facts.status = Status::Exited;
    scene.seen.facts.exit_code = Some(137);
    scene.seen.facts.finished_at = second(scene.play.now());
    assert!(silent(&scene.look()));
    assert!(scene.row().unwrap().facts.stopped_by_operator);
}

#[test]
fn with_all_events_lost_a_crash_is_found_by_the_list() {
    let mut scene = Scene::new(RestartPolicy::OnFailure(2));
    scene.look();
    scene.wait(60);
    scene.seen.facts.status = Status::Exited;
    scene.seen.facts.exit_code = Some(1);
    scene.seen.facts.finished_at = second(scene.play.now());
    assert!(silent(&scene.look()), "its event may still come");
    assert_eq!(raised(&scene.play.fire_next_timer().unwrap()), [SymptomKind::NonZeroExit]);
}

#[test]
fn an_end_that_is_seen_before_its_event_waits_for_it() {
    for (signal, told) in [(9, 0), (11, 1)] {
        let mut scene = Scene::new(RestartPolicy::No);
        scene.look();
        scene.wait(60);
        scene.seen.facts.status = Status::Exited;
        scene.seen.facts.exit_code = Some(137);
        scene.seen.facts.finished_at = second(scene.play.now());
        // The list overtakes the stream, and the signal's own inspection comes after the end.
        assert!(silent(&scene.look()));
        assert!(silent(&scene.event(EventKind::Kill(signal))));
        assert_eq!(raised(&scene.die(128 + i64::from(signal))).len(), told, "signal {signal}");
    }
}

#[test]
fn what_ended_long_before_it_was_first_seen_is_history() {
    let mut scene = Scene::new(RestartPolicy::No);
    scene.seen.facts.status = Status::Exited;
    scene.seen.facts.exit_code = Some(1);
    scene.seen.facts.finished_at = second(scene.play.now());
    scene.wait(3600);
    assert!(silent(&scene.look()));
    scene.start();
    scene.wait(5);
    assert_eq!(raised(&scene.die(1)), [SymptomKind::NonZeroExit]);
}

#[test]
fn a_job_that_fails_is_told_as_a_job() {
    let mut scene = Scene::new(RestartPolicy::No);
    scene.seen.has_health_check = false;
    scene.seen.facts.health = Health::None;
    scene.look();
    scene.wait(5);
    let report = reports(&scene.die(1)).pop().unwrap();
    assert!(report.facts.one_shot);
    assert_eq!(report.raised[0].severity, Severity::Warning);
    // With a label that asks for care it is a service.
    let mut scene = Scene::new(RestartPolicy::No);
    scene.seen.has_health_check = false;
    scene.seen.labels = vec![("autoheal".into(), "true".into())];
    scene.look();
    scene.wait(5);
    let report = reports(&scene.die(1)).pop().unwrap();
    assert!(!report.facts.one_shot);
    assert_eq!(report.raised[0].severity, Severity::Critical);
}

#[test]
fn an_oom_kill_is_a_cause_of_its_own() {
    let mut scene = Scene::new(RestartPolicy::OnFailure(1));
    scene.look();
    scene.wait(60);
    assert!(silent(&scene.event(EventKind::Oom)), "it may be about to end");
    scene.seen.facts.oom_killed = true;
    let turn = scene.die(137);
    assert_eq!(raised(&turn), [SymptomKind::OomKilled]);
    assert!(reports(&turn)[0].facts.oom_killed);
    scene.wait(1);
    assert_eq!(cleared(&scene.start()), [SymptomKind::OomKilled]);
}

#[test]
fn an_oom_kill_is_one_although_the_next_run_was_inspected_already() {
    let mut scene = Scene::new(RestartPolicy::Always);
    scene.look();
    scene.wait(60);
    let (killed_at, died_at) = (scene.play.now(), scene.play.now() + Duration::from_millis(50));
    scene.wait(1);
    scene.begin_run();
    scene.seen.at = scene.play.now();
    // The engine keeps its flag until the next end.
    scene.seen.facts.oom_killed = true;
    for (at, kind) in [(killed_at, EventKind::Oom), (died_at, EventKind::Die(137))] {
        let event = ContainerEvent { at, kind };
        let seen = Some(scene.seen.clone());
        let turn = scene.play.handle(MonitorMessage::Event(event, seen)).unwrap();
        if at == died_at {
            assert_eq!(raised(&turn), [SymptomKind::OomKilled]);
            assert_eq!(cleared(&turn), [SymptomKind::OomKilled]);
        }
    }
    scene.event(EventKind::Start);
    scene.wait(10);
    assert!(silent(&scene.look()), "the new run has survived nothing");
    scene.seen.facts.oom_killed = false;
    let (died, _) = scene.die_and_come_back(1);
    assert_eq!(raised(&died), [SymptomKind::NonZeroExit], "nor ended for memory");
}

#[test]
fn an_oom_kill_that_the_main_process_survives_is_a_warning() {
    let mut scene = Scene::new(RestartPolicy::Always);
    scene.look();
    scene.wait(60);
    scene.event(EventKind::Oom);
    let turn = scene.play.fire_next_timer().unwrap();
    assert_eq!(raised(&turn), [SymptomKind::OomKilled]);
    assert_eq!(reports(&turn)[0].raised[0].severity, Severity::Warning);
    assert_eq!(cleared(&scene.play.fire_next_timer().unwrap()), [SymptomKind::OomKilled]);
}

#[test]
fn crashes_during_a_deploy_wait_until_it_settles() {
    let mut scene = Scene::new(RestartPolicy::OnFailure(1));
    scene.seen.subject.service = Some("api".into());
    scene.look();
    scene.wait(5);
    let turn = scene.die(1);
    assert!(silent(&turn));
    assert!(scene.row().unwrap().facts.deploying);
    let turn = scene.play.fire_next_timer().unwrap();
    assert_eq!(raised(&turn), [SymptomKind::NonZeroExit]);
    assert!(!scene.row().unwrap().facts.deploying);
}
