//! The acceptance cases (HemoStat's scenarios) as far as the Analyzer decides them. None of them
//! needs a model.

use super::*;

#[test]
fn b1_a_crash_loop_the_engine_keeps_up_is_named_and_never_a_false_alarm_nor_restarted() {
    let mut play = play();
    let mut actions = 0;
    let mut rules = Vec::new();
    for crash in 1..=20_u32 {
        let facts = |status| Facts {
            status,
            restart_policy: RestartPolicy::Always,
            restart_count: crash,
            restarts_in_window: crash,
            started_at: format!("run {crash}"),
            ..exited(1)
        };
        let loops: &[SymptomKind] = if crash > 5 { &[CrashLoop] } else { &[] };
        let down = [&[NonZeroExit], loops].concat();
        for (status, active) in [(Status::Restarting, &down[..]), (Status::Running, loops)] {
            let mut turns = vec![reports(&mut play, &facts(status), active)];
            if turns.iter().any(|turn| captures(turn) == 1) {
                turns.push(evidence_comes(&mut play));
                rules.push(diagnosis(turns.last().unwrap()));
            }
            actions += turns.iter().map(|turn| requests(turn).len()).sum::<usize>();
            play.advance(Duration::from_secs(12));
        }
    }
    assert_eq!(actions, 0);
    let names: Vec<&str> = rules.iter().map(|diagnosis| diagnosis.rule.as_str()).collect();
    assert_eq!(names, ["engine_restarts", "crash_loop"]);
    assert!(rules.iter().all(|diagnosis| diagnosis.verdict != Verdict::FalseAlarm));
}

#[test]
fn b1_the_turns_of_a_known_crash_loop_do_not_fill_the_journal() {
    let mut play = play();
    let facts = Facts { restart_policy: RestartPolicy::Always, ..exited(1) };
    reports(&mut play, &facts, &[CrashLoop, NonZeroExit]);
    evidence_comes(&mut play);
    for _ in 0..10 {
        assert!(entries(&reports(&mut play, &facts, &[CrashLoop])).is_empty());
        assert!(entries(&reports(&mut play, &facts, &[CrashLoop, NonZeroExit])).is_empty());
    }
    let load = reports(&mut play, &facts, &[CrashLoop, NonZeroExit, HighCpu]);
    assert!(matches!(entries(&load)[..], [Entry::SymptomsChanged { .. }]));
}

#[test]
fn b3_growth_without_a_limit_is_told_with_advice_and_nothing_is_done() {
    let mut play = play();
    let facts = Facts { memory_limit: None, ..running() };
    reports(&mut play, &facts, &[MemoryLeak]);
    let diagnosed = evidence_comes(&mut play);
    let Verdict::NoSafeAction(advice) = diagnosis(&diagnosed).verdict else { panic!() };
    assert!(advice.contains("memory limit"), "{advice}");
    assert!(requests(&diagnosed).is_empty());
}

#[test]
fn b4_an_unhealthy_service_is_restarted_at_confidence_0_70_and_starting_is_no_fault() {
    let mut play = play();
    let starting = Facts { health: Health::Starting, ..running() };
    assert!(entries(&reports(&mut play, &starting, &[])).is_empty());
    let unhealthy = Facts { health: Health::Unhealthy, ..running() };
    reports(&mut play, &unhealthy, &[Unhealthy]);
    let request = requests(&evidence_comes(&mut play)).remove(0);
    assert_eq!((request.action, request.rule.as_str()), (Action::Restart, "unhealthy"));
    assert!((request.confidence - 0.70).abs() < 1e-9);
}

#[test]
fn b5_a_service_that_runs_out_of_memory_again_after_its_restart_is_not_restarted_again() {
    let mut play = play();
    let facts = |run: &str| Facts {
        oom_killed: true,
        memory_limit: Some(256 << 20),
        started_at: run.to_owned(),
        ..exited(137)
    };
    reports(&mut play, &facts("run 1"), &[OomKilled, NonZeroExit]);
    let mut found = Evidence::default();
    found.inspect.insert(crate::analyzer::evidence::MEMORY_PEAK.to_owned(), "268435456".to_owned());
    let first = evidence(&mut play, Ok(found));
    assert_eq!(requests(&first).len(), 1);
    assert!(diagnosis(&first).cause.contains("limit of 256 MiB"), "{:?}", diagnosis(&first));
    assert!(diagnosis(&first).cause.contains("peak 256 MiB"), "{:?}", diagnosis(&first));

    reports(&mut play, &running(), &[]);
    let again = reports(&mut play, &facts("run 2"), &[OomKilled, NonZeroExit]);
    assert_eq!((withdrawals(&again), captures(&again)), (1, 1));
    let second = evidence_comes(&mut play);
    assert!(requests(&second).is_empty());
    let Verdict::NoSafeAction(advice) = diagnosis(&second).verdict else { panic!() };
    assert!(advice.contains("raise its memory limit"), "{advice}");
}

#[test]
fn b6_a_service_that_fails_at_random_is_one_incident_and_each_end_is_in_its_journal() {
    let mut play = play();
    let facts =
        Facts { restart_policy: RestartPolicy::Always, status: Status::Restarting, ..exited(1) };
    reports(&mut play, &facts, &[NonZeroExit]);
    let incident = incident_of(&play);
    evidence_comes(&mut play);
    for _ in 0..3 {
        play.advance(Duration::from_secs(10));
        assert_eq!(entries(&reports(&mut play, &running(), &[])).len(), 1);
        play.advance(Duration::from_secs(15));
        let ended = reports(&mut play, &facts, &[NonZeroExit]);
        assert_eq!((entries(&ended).len(), captures(&ended)), (1, 0));
    }
    assert_eq!(incident_of(&play), incident);
}

#[test]
fn b7_two_symptoms_are_one_incident_and_one_action() {
    let mut play = play();
    let mut report = report(&play, &running(), &[HighCpu]);
    report.facts.cpu = Some(0.97);
    report.trend = vec![(0.96, 0.4), (0.97, 0.4)];
    let first = play.handle(AnalyzerMessage::Symptoms(report.clone())).unwrap();
    report.raised = vec![symptom(HighMemory)];
    report.active.push(symptom(HighMemory));
    let second = play.handle(AnalyzerMessage::Symptoms(report)).unwrap();
    assert!(matches!(entries(&first)[..], [Entry::Opened { .. }]));
    assert!(matches!(entries(&second)[..], [Entry::SymptomsChanged { .. }]));
    assert_eq!(captures(&first) + captures(&second), 1);
    let request = requests(&evidence_comes(&mut play)).remove(0);
    assert_eq!(request.symptoms, [HighCpu, HighMemory]);
}

#[test]
fn t3a_a_load_that_is_over_before_it_is_diagnosed_is_a_false_alarm() {
    let mut play = play();
    reports(&mut play, &running(), &[HighCpu]);
    reports(&mut play, &running(), &[]);
    let diagnosis = diagnosis(&evidence_comes(&mut play));
    assert_eq!((diagnosis.rule.as_str(), &diagnosis.verdict), ("transient", &Verdict::FalseAlarm));
    assert!((diagnosis.confidence - 0.65).abs() < 1e-9);
    assert!(matches!(entries(&play.fire_next_timer().unwrap())[..], [Entry::Recovered { .. }]));
}

#[test]
fn t3b_t3c_a_sustained_load_is_restarted_by_rules_alone() {
    let mut play = play();
    let facts = Facts { cpu: Some(0.99), ..running() };
    let mut report = report(&play, &facts, &[HighCpu]);
    report.trend = vec![(0.98, 0.1), (0.99, 0.1), (0.99, 0.1)];
    play.handle(AnalyzerMessage::Symptoms(report)).unwrap();
    let request = requests(&evidence_comes(&mut play)).remove(0);
    assert_eq!(request.rule, "sustained_cpu");
    assert!(request.confidence >= 0.75);
}

#[test]
fn t3d_a_service_that_exits_with_1_is_restarted_at_confidence_0_90() {
    let mut play = play();
    reports(&mut play, &exited(1), &[NonZeroExit]);
    let request = requests(&evidence_comes(&mut play)).remove(0);
    assert_eq!((request.action, request.rule.as_str()), (Action::Restart, "exit_code"));
    assert!((request.confidence - 0.90).abs() < 1e-9);
}

#[test]
fn x3_a_one_shot_job_that_fails_is_a_warning_and_no_action() {
    let mut play = play();
    let job = Facts { one_shot: true, ..exited(1) };
    let opened = reports(&mut play, &job, &[NonZeroExit]);
    assert!(matches!(entries(&opened)[..], [Entry::Opened { severity: Severity::Warning, .. }]));
    let diagnosed = evidence_comes(&mut play);
    assert!(requests(&diagnosed).is_empty());
    assert!(matches!(diagnosis(&diagnosed).verdict, Verdict::NoSafeAction(_)));
}

#[test]
fn x9_x18_no_diagnosis_waits_for_anything_but_the_engine_and_for_that_three_seconds() {
    let mut play = play();
    reports(&mut play, &running(), &[Unhealthy]);
    assert_eq!(play.timers().len(), 1);
    assert_eq!(requests(&play.fire_next_timer().unwrap()).len(), 1);
}
