use super::*;

#[test]
fn more_than_five_restarts_in_ten_minutes_are_a_crash_loop_until_the_window_is_calm() {
    let mut scene = Scene::new(RestartPolicy::Always);
    scene.look();
    scene.wait(60);
    for _ in 0..5 {
        let (died, started) = scene.die_and_come_back(1);
        assert_eq!(raised(&died), [SymptomKind::NonZeroExit]);
        assert_eq!(cleared(&started), [SymptomKind::NonZeroExit]);
        scene.wait(9);
    }
    assert_eq!(scene.play.state.facts.restarts_in_window, 5);
    let (died, started) = scene.die_and_come_back(1);
    assert!(
        raised(&died).contains(&SymptomKind::CrashLoop)
            || raised(&started).contains(&SymptomKind::CrashLoop)
    );
    assert_eq!(scene.play.state.facts.restarts_in_window, 6);
    assert!(!cleared(&started).contains(&SymptomKind::CrashLoop));
    assert_eq!(cleared(&scene.play.fire_next_timer().unwrap()), [SymptomKind::CrashLoop]);
}

#[test]
fn restarts_that_no_event_told_of_are_counted_by_the_engines_counter() {
    let mut scene = Scene::new(RestartPolicy::Always);
    scene.look();
    scene.wait(30);
    scene.begin_run();
    scene.seen.facts.restart_count = 6;
    assert_eq!(raised(&scene.look()), [SymptomKind::CrashLoop]);
}

#[test]
fn unhealthy_is_a_symptom_and_starting_is_none() {
    let mut scene = Scene::new(RestartPolicy::Always);
    scene.seen.facts.health = Health::Starting;
    assert!(silent(&scene.look()));
    scene.seen.facts.health = Health::Unhealthy;
    let turn = scene.event(EventKind::HealthStatus("unhealthy".into()));
    assert_eq!(raised(&turn), [SymptomKind::Unhealthy]);
    scene.seen.facts.health = Health::Healthy;
    let turn = scene.event(EventKind::HealthStatus("healthy".into()));
    assert_eq!(cleared(&turn), [SymptomKind::Unhealthy]);
}

#[test]
fn a_check_that_turns_unhealthy_three_times_flaps_until_the_window_is_calm() {
    let mut scene = Scene::new(RestartPolicy::Always);
    scene.look();
    for turns in 1..=3 {
        scene.wait(60);
        scene.seen.facts.health = Health::Unhealthy;
        let turn = scene.event(EventKind::HealthStatus("unhealthy".into()));
        assert_eq!(raised(&turn).contains(&SymptomKind::FlappingHealth), turns == 3);
        scene.wait(1);
        scene.seen.facts.health = Health::Healthy;
        scene.event(EventKind::HealthStatus("healthy".into()));
    }
    assert_eq!(cleared(&scene.play.fire_next_timer().unwrap()), [SymptomKind::FlappingHealth]);
}

#[test]
fn a_check_that_fails_in_each_run_anew_does_not_flap() {
    let mut scene = Scene::new(RestartPolicy::Always);
    scene.look();
    for _ in 1..=5 {
        scene.wait(10);
        scene.seen.facts.health = Health::Starting;
        scene.start();
        scene.wait(10);
        scene.seen.facts.health = Health::Unhealthy;
        let turn = scene.event(EventKind::HealthStatus("unhealthy".into()));
        assert!(!raised(&turn).contains(&SymptomKind::FlappingHealth));
        scene.event(EventKind::Kill(15));
        scene.die(143);
    }
}

#[test]
fn high_cpu_and_memory_are_told_once_and_end_with_the_run() {
    let mut scene = Scene::new(RestartPolicy::Always);
    scene.look();
    let mut told = Vec::new();
    for step in 0..8_u32 {
        told.extend(raised(&scene.sample(f64::from(step) * 14.7, 96)));
        scene.wait(15);
    }
    told.sort();
    assert_eq!(told, [SymptomKind::HighCpu, SymptomKind::HighMemory]);
    assert_eq!(scene.play.state.symptoms[0].severity, Severity::Critical);
    assert!((scene.row().unwrap().facts.memory.unwrap() - 0.96).abs() < 1e-6);
    let turn = scene.die_and_come_back(1).1;
    assert_eq!(scene.play.state.usage, Usage::default());
    assert!(scene.play.state.symptoms.is_empty(), "{:?}", cleared(&turn));
}

#[test]
fn labels_set_the_limits_of_their_container() {
    let mut scene = Scene::new(RestartPolicy::Always);
    scene.seen.labels = vec![("perennial.memory".into(), "40".into())];
    scene.look();
    let mut told = Vec::new();
    for _ in 0..6 {
        told.extend(raised(&scene.sample(0.0, 50)));
        scene.wait(15);
    }
    assert_eq!(told, [SymptomKind::HighMemory]);
}

#[test]
fn a_container_that_is_not_watched_is_shown_and_never_judged() {
    let mut scene = Scene::new(RestartPolicy::No);
    scene.seen.labels = vec![("perennial.enable".into(), "false".into())];
    scene.look();
    assert!(silent(&scene.die(1)));
    let row = scene.row().unwrap();
    assert!(!row.watched);
    assert_eq!(row.reason, "label perennial.enable=false");
}

#[test]
fn what_nobody_can_judge_is_told_once() {
    let mut scene = Scene::new(RestartPolicy::Always);
    scene.seen.facts.memory_limit = None;
    scene.seen.has_health_check = false;
    assert!(scene.look().sent::<Alert>().is_empty());
    let told = scene.play.fire_next_timer().unwrap().sent::<Alert>();
    let [(_, AlertMessage::Coverage { gaps, .. })] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(gaps, &["no_memory_limit", "no_health_check"]);
    scene.wait(60);
    scene.die_and_come_back(0);
    scene.wait(60);
    assert!(scene.look().sent::<Alert>().is_empty());
}

/// What is true of a container without a limit after samples over 75 seconds on such a host.
fn on_host(host: HostMemory) -> (Scene, Vec<Symptom>) {
    let mut scene = Scene::new(RestartPolicy::Always);
    scene.seen.facts.memory_limit = None;
    scene.look();
    for _ in 0..6 {
        scene.sample_on(Some(host), 50);
        scene.wait(15);
    }
    let symptoms = scene.play.state.symptoms.clone();
    (scene, symptoms)
}

#[test]
fn a_host_short_of_memory_is_told_of_at_its_largest_container_with_the_numbers() {
    let full = HostMemory { total: 1000 << 20, available: 70 << 20, stalled: None, largest: true };
    let severity = |host| on_host(host).1.first().map(|symptom| symptom.severity);
    assert_eq!(severity(full), Some(Severity::Warning));
    assert_eq!(severity(HostMemory { available: 40 << 20, ..full }), Some(Severity::Critical));
    assert_eq!(severity(HostMemory { stalled: Some(0.05), ..full }), Some(Severity::Warning));
    assert_eq!(severity(HostMemory { largest: false, ..full }), None);
    assert_eq!(severity(HostMemory { available: 500 << 20, stalled: Some(0.9), ..full }), None);

    let (mut scene, symptoms) = on_host(HostMemory { stalled: Some(0.12), ..full });
    let [symptom] = &symptoms[..] else { panic!("{symptoms:?}") };
    assert_eq!((symptom.kind, symptom.severity), (SymptomKind::HostPressure, Severity::Critical));
    for part in ["93 % of 1000 MiB", "at most 90 %", "with 50 MiB", "12 % of the last minute"] {
        assert!(symptom.text.contains(part), "{part}: {}", symptom.text);
    }
    let calm = HostMemory { available: 500 << 20, ..full };
    assert_eq!(cleared(&scene.sample_on(Some(calm), 50)), [SymptomKind::HostPressure]);
}

#[test]
fn what_is_no_longer_known_of_the_host_is_not_claimed() {
    let full = HostMemory { total: 1000 << 20, available: 10 << 20, stalled: None, largest: true };
    let (mut scene, symptoms) = on_host(full);
    assert_eq!(symptoms.len(), 1);
    assert_eq!(cleared(&scene.sample_on(None, 50)), [SymptomKind::HostPressure]);
}

#[test]
fn a_row_is_not_written_for_what_nobody_would_see() {
    let mut scene = Scene::new(RestartPolicy::Always);
    scene.look();
    scene.sample(0.0, 50);
    scene.wait(15);
    scene.sample(1.0, 50);
    let written = scene.row().unwrap().updated_at;
    scene.wait(15);
    scene.sample(2.0, 50);
    assert_eq!(scene.row().unwrap().updated_at, written);
    scene.wait(15);
    scene.sample(5.0, 52);
    assert_eq!(scene.row().unwrap().updated_at, scene.play.now());
}

#[test]
fn a_state_full_of_history_stays_small() {
    let mut scene = Scene::new(RestartPolicy::Always);
    scene.look();
    for step in 0..400_u32 {
        scene.sample(f64::from(step), 50 + u64::from(step % 3));
        scene.wait(15);
    }
    for _ in 0..40 {
        scene.die_and_come_back(1);
    }
    let size = serde_json::to_vec(&scene.play.state).unwrap().len();
    assert!(size < 6000, "{size} bytes as JSON");
}

#[test]
fn the_defaults_have_no_problems_and_limits_that_never_trip_are_named() {
    assert_eq!(Config::default().check(), Vec::<String>::new());
    let config = Config { cpu_percent: 120.0, restart_limit: 50, ..Config::default() };
    assert_eq!(config.check().len(), 2, "{:?}", config.check());
}
