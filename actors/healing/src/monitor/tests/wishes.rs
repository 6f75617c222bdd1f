use super::*;

fn scene() -> Scene {
    let mut scene = Scene::new(RestartPolicy::OnFailure(1));
    scene.look();
    scene.wait(60);
    scene
}

fn millis(scene: &mut Scene, millis: u64) {
    scene.play.advance(Duration::from_millis(millis));
}

#[test]
fn a_stop_whose_end_is_told_first_is_no_fault() {
    for (late, code) in [
        (EventKind::Kill(15), 143),
        (EventKind::Kill(9), 137),
        (EventKind::Kill(2), 130),
        (EventKind::Kill(3), 131),
        (EventKind::Stop, 137),
    ] {
        let mut scene = scene();
        assert!(silent(&scene.die(code)), "{late:?}");
        millis(&mut scene, 100);
        assert!(silent(&scene.event(late.clone())), "{late:?}");
        assert!(scene.row().unwrap().facts.stopped_by_operator);
        let later = scene.play.fire_next_timer().unwrap();
        assert_eq!(raised(&later), [], "{late:?}");
        assert_eq!(scene.row().unwrap().symptoms, []);
    }
}

#[test]
fn a_kill_by_somebody_else_is_told_right_after_the_wait_with_the_time_of_its_end() {
    let mut scene = scene();
    let died_at = scene.play.now();
    assert!(silent(&scene.die(137)));
    let turn = scene.play.fire_next_timer().unwrap();
    assert_eq!(raised(&turn), [SymptomKind::NonZeroExit]);
    assert_eq!(reports(&turn)[0].event_at, died_at);
    assert_eq!(scene.play.now().since(died_at), Duration::from_millis(150));
}

#[test]
fn a_wish_that_is_told_after_the_wait_takes_the_crash_back() {
    for late in [EventKind::Kill(9), EventKind::Stop] {
        let mut scene = scene();
        scene.die(137);
        assert_eq!(raised(&scene.play.fire_next_timer().unwrap()), [SymptomKind::NonZeroExit]);
        millis(&mut scene, 500);
        let turn = scene.event(late.clone());
        assert_eq!(withdrawn(&turn), 1, "{late:?}");
        let row = scene.row().unwrap();
        assert!(row.symptoms.is_empty() && row.facts.stopped_by_operator, "{late:?}");
        assert!(silent(&scene.start()), "{late:?}");
    }
}

#[test]
fn a_kill_stamped_before_the_end_but_told_after_it_explains_it() {
    let mut scene = scene();
    let asked_at = scene.play.now();
    millis(&mut scene, 20);
    assert!(silent(&scene.die(137)));
    let event = ContainerEvent { at: asked_at, kind: EventKind::Kill(9) };
    let seen = Some(scene.seen.clone());
    assert!(silent(&scene.play.handle(MonitorMessage::Event(event, seen)).unwrap()));
    assert!(scene.row().unwrap().facts.stopped_by_operator);
}

#[test]
fn a_signal_long_after_a_crash_does_not_explain_it() {
    let mut scene = scene();
    scene.die(1);
    scene.wait(6);
    assert!(silent(&scene.event(EventKind::Kill(9))));
    let row = scene.row().unwrap();
    assert!(!row.facts.stopped_by_operator && row.symptoms.len() == 1);
}

#[test]
fn a_kill_that_the_engine_repairs_during_the_wait_is_not_overlooked() {
    for listed in [true, false] {
        let mut scene = scene();
        scene.die(137);
        millis(&mut scene, 100);
        scene.begin_run();
        let turn = if listed { scene.look() } else { scene.event(EventKind::Start) };
        assert_eq!(raised(&turn), [SymptomKind::NonZeroExit], "listed: {listed}");
        assert_eq!(cleared(&turn), [SymptomKind::NonZeroExit], "listed: {listed}");
    }
    // The engine says that it brings it back: nobody has stopped it.
    assert_eq!(raised(&scene().die_and_come_back(137).0), [SymptomKind::NonZeroExit]);
}

#[test]
fn a_run_that_ended_before_its_first_inspection_is_counted_once() {
    // Its end by the clock of the runtime below the engine may be before the event of its start.
    for finished_after in [40, 5] {
        let mut scene = Scene::new(RestartPolicy::OnFailure(1));
        let begun = scene.play.now();
        let later = |millis| begun + Duration::from_millis(millis);
        let facts = &mut scene.seen.facts;
        (facts.status, facts.exit_code) = (Status::Exited, Some(1));
        facts.finished_at = second(later(finished_after));
        millis(&mut scene, 100);
        scene.seen.at = scene.play.now();
        let events = [(0, EventKind::Create), (10, EventKind::Start), (50, EventKind::Die(1))];
        let mut told = Vec::new();
        for (at, kind) in events {
            let event = ContainerEvent { at: later(at), kind };
            let seen = Some(scene.seen.clone());
            told.extend(raised(&scene.play.handle(MonitorMessage::Event(event, seen)).unwrap()));
            let facts = scene.row().unwrap().facts;
            assert_eq!((facts.status, facts.restarts_in_window), (Status::Exited, 0));
        }
        assert_eq!(told, [SymptomKind::NonZeroExit]);
    }
}

/// Unhealthy, and acted on by the node until then, with nothing told of that yet.
fn acted_on_unseen() -> (Scene, Timestamp) {
    let mut scene = scene();
    scene.seen.facts.health = Health::Unhealthy;
    scene.event(EventKind::HealthStatus("unhealthy".into()));
    let until = scene.play.now() + Duration::from_secs(70);
    scene.play.handle(MonitorMessage::Acting { until }).unwrap();
    (scene, until)
}

/// The same, and asked to end.
fn acted_on() -> (Scene, Timestamp) {
    let (mut scene, until) = acted_on_unseen();
    scene.event(EventKind::Kill(15));
    (scene, until)
}

#[test]
fn a_slow_restart_by_the_node_is_no_operators_stop() {
    let (mut scene, _) = acted_on();
    assert!(silent(&scene.die(143)));
    scene.wait(40);
    assert!(silent(&scene.look()));
    assert!(!scene.row().unwrap().facts.stopped_by_operator);
    scene.seen.facts.health = Health::Starting;
    let turn = scene.start();
    assert_eq!((cleared(&turn), withdrawn(&turn)), (vec![SymptomKind::Unhealthy], 0));
    // The new run has ended that: whoever stops it now is somebody else.
    scene.event(EventKind::Kill(15));
    scene.die(143);
    assert!(scene.row().unwrap().facts.stopped_by_operator);
}

#[test]
fn a_restart_by_the_node_that_never_comes_up_counts_as_a_stop_in_the_end() {
    let (mut scene, until) = acted_on();
    scene.die(143);
    assert_eq!(withdrawn(&scene.play.fire_next_timer().unwrap()), 1);
    assert_eq!(scene.play.now(), until);
}

/// What the sensor tells of a container whose events it got all at once: each comes with what is seen at the end.
fn batch(scene: &mut Scene, events: &[(Timestamp, EventKind)]) -> Vec<Recorded> {
    scene.seen.at = scene.play.now();
    let told = events.iter().cloned().map(|(at, kind)| {
        let event = ContainerEvent { at, kind };
        let seen = Some(scene.seen.clone());
        scene.play.handle(MonitorMessage::Event(event, seen)).unwrap()
    });
    told.collect()
}

#[test]
fn a_restart_whose_events_come_after_the_next_run_was_seen_is_no_crash() {
    let mut scene = scene();
    let asked_at = scene.play.now();
    scene.wait(1);
    // The first signal is told when the second has ended it already.
    scene.end(137);
    let first = batch(&mut scene, &[(asked_at, EventKind::Kill(15))]);
    let ended_at = scene.play.now();
    millis(&mut scene, 300);
    scene.begin_run();
    let rest = [
        (ended_at, EventKind::Kill(9)),
        (ended_at, EventKind::Die(137)),
        (ended_at, EventKind::Stop),
        (scene.play.now(), EventKind::Start),
    ];
    let all = first.into_iter().chain(batch(&mut scene, &rest));
    let all: Vec<_> = all.collect();
    assert!(all.iter().all(|turn| raised(turn).is_empty()), "{all:?}");
    let row = scene.row().unwrap();
    assert_eq!((row.facts.status, row.symptoms), (Status::Running, Vec::new()));
}

#[test]
fn a_signal_to_one_run_does_not_explain_a_crash_of_the_next_whose_start_was_only_seen() {
    let mut scene = scene();
    scene.event(EventKind::Kill(15));
    scene.end(143);
    scene.look();
    scene.wait(1);
    scene.begin_run();
    scene.look();
    scene.wait(5);
    assert_eq!(raised(&scene.die(1)), [SymptomKind::NonZeroExit]);
    assert!(!scene.row().unwrap().facts.stopped_by_operator);
}

#[test]
fn the_end_by_a_restart_of_the_node_is_no_crash_in_whatever_order_its_events_come() {
    for code in [143, 1] {
        for late in [true, false] {
            let (mut scene, _) = acted_on_unseen();
            assert_eq!(raised(&scene.die(code)), [], "{code}");
            millis(&mut scene, 400);
            if late {
                assert!(silent(&scene.event(EventKind::Kill(15))), "{code}");
            }
            scene.seen.facts.health = Health::Starting;
            let started = scene.start();
            assert_eq!(raised(&started), [], "{code}, signal told: {late}");
            assert_eq!(scene.row().unwrap().facts.restarts_in_window, 0);
            // The next end is its own.
            scene.wait(5);
            assert_eq!(raised(&scene.die(3)), [SymptomKind::NonZeroExit]);
        }
    }
}

#[test]
fn an_end_during_a_restart_that_is_not_made_is_told_then() {
    for given_up in [true, false] {
        let (mut scene, until) = acted_on_unseen();
        assert_eq!(raised(&scene.die(1)), []);
        let turn = if given_up {
            scene.wait(2);
            let now = scene.play.now();
            scene.play.handle(MonitorMessage::Acting { until: now }).unwrap()
        } else {
            let turn = scene.play.fire_next_timer().unwrap();
            assert_eq!(scene.play.now(), until);
            turn
        };
        assert_eq!(raised(&turn), [SymptomKind::NonZeroExit], "given up: {given_up}");
    }
}
