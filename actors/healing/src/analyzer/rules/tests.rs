use std::time::Duration;

use perennial_runtime::Timestamp;

use super::*;
use crate::analyzer::history::Episode;

const THRESHOLD: f64 = 0.7;

/// What a case of the table expects.
#[derive(Debug, PartialEq)]
enum Want {
    Restart,
    FalseAlarm,
    NotEnough,
    NoSafeAction,
}

fn symptom(kind: SymptomKind) -> Symptom {
    Symptom {
        kind,
        severity: Severity::Warning,
        since: Timestamp::EPOCH,
        actual: 0.9,
        threshold: 0.85,
        text: format!("{} is shown", kind.as_str()),
    }
}

fn critical(kind: SymptomKind) -> Symptom {
    Symptom { severity: Severity::Critical, ..symptom(kind) }
}

fn exited(code: i64) -> Facts {
    Facts { status: Status::Exited, exit_code: Some(code), ..Facts::default() }
}

fn running() -> Facts {
    Facts { status: Status::Running, memory_limit: Some(256 << 20), ..Facts::default() }
}

fn one_before(kind: SymptomKind) -> History {
    let mut history = History::default();
    history.push(Episode { run: "before".to_owned(), kinds: vec![kind], ..Episode::default() });
    history
}

fn case<'a>(facts: &'a Facts, symptoms: &'a [Symptom], history: &'a History) -> Case<'a> {
    Case {
        facts,
        symptoms,
        gone: &[],
        history,
        cpu_trend: Trend::Unknown,
        memory_trend: Trend::Unknown,
        memory_peak: None,
    }
}

#[track_caller]
fn check(case: &Case<'_>, rule: &str, confidence: f64, want: Want) {
    let diagnosis = diagnose(case, THRESHOLD);
    let got = match &diagnosis.verdict {
        Verdict::Remediate(Action::Restart) => Want::Restart,
        Verdict::FalseAlarm => Want::FalseAlarm,
        Verdict::InsufficientEvidence(_) => Want::NotEnough,
        Verdict::NoSafeAction(_) => Want::NoSafeAction,
        Verdict::Remediate(other) => panic!("{other:?}"),
    };
    assert_eq!((diagnosis.rule.as_str(), got), (rule, want), "{diagnosis:?}");
    assert!((diagnosis.confidence - confidence).abs() < 1e-9, "{diagnosis:?}");
}

#[track_caller]
fn check_simple(facts: &Facts, kinds: &[SymptomKind], rule: &str, confidence: f64, want: Want) {
    let symptoms: Vec<Symptom> = kinds.iter().copied().map(symptom).collect();
    check(&case(facts, &symptoms, &History::default()), rule, confidence, want);
}

use SymptomKind::{
    CrashLoop, FlappingHealth, HighCpu, HighMemory, MemoryLeak, NonZeroExit, OomKilled, Unhealthy,
};

#[test]
fn a_service_that_is_down_with_an_error_is_restarted() {
    for code in [1, 2, 3, 134, 137, 139, 143, 255] {
        check_simple(&exited(code), &[NonZeroExit], "exit_code", 0.90, Want::Restart);
    }
}

#[test]
fn a_command_that_cannot_run_is_not_restarted() {
    for code in [125, 126, 127, 128] {
        check_simple(&exited(code), &[NonZeroExit], "bad_command", 0.90, Want::NoSafeAction);
    }
    let never_started = Facts { status: Status::Created, ..exited(127) };
    check_simple(&never_started, &[NonZeroExit], "bad_command", 0.90, Want::NoSafeAction);
}

#[test]
fn what_the_engine_restarts_by_itself_is_left_to_it() {
    let table = [
        (RestartPolicy::Always, 9, "engine_restarts", Want::NoSafeAction),
        (RestartPolicy::UnlessStopped, 0, "engine_restarts", Want::NoSafeAction),
        (RestartPolicy::OnFailure(0), 9, "engine_restarts", Want::NoSafeAction),
        (RestartPolicy::OnFailure(3), 2, "engine_restarts", Want::NoSafeAction),
        (RestartPolicy::OnFailure(3), 3, "exit_code", Want::Restart),
        (RestartPolicy::No, 0, "exit_code", Want::Restart),
    ];
    for (restart_policy, restart_count, rule, want) in table {
        let status =
            if rule == "exit_code" { Status::Exited } else { Status::Restarting };
        let facts = Facts { status, restart_policy, restart_count, ..exited(1) };
        check_simple(&facts, &[NonZeroExit], rule, 0.90, want);
    }
    let facts = Facts { restart_policy: RestartPolicy::Always, ..exited(1) };
    let words = diagnose(&case(&facts, &[symptom(NonZeroExit)], &History::default()), THRESHOLD);
    assert!(format!("{words:?}").contains("no action is needed now: the engine restarts it"));
}

#[test]
fn what_runs_again_already_is_watched_and_is_no_false_alarm() {
    let facts = Facts { exit_code: Some(1), ..running() };
    check_simple(&facts, &[NonZeroExit], "runs_again", 0.90, Want::NoSafeAction);
    let history = History::default();
    let over = Case { gone: &[NonZeroExit], ..case(&facts, &[], &history) };
    check(&over, "runs_again", 0.90, Want::NoSafeAction);
}

#[test]
fn a_crash_loop_is_never_a_false_alarm_and_never_restarted() {
    let looping = Facts { restarts_in_window: 7, restart_policy: RestartPolicy::Always, ..exited(1) };
    for facts in [looping.clone(), Facts { status: Status::Running, ..looping.clone() }] {
        check_simple(&facts, &[CrashLoop, NonZeroExit], "crash_loop", 0.60, Want::NoSafeAction);
        check_simple(&facts, &[CrashLoop, Unhealthy], "crash_loop", 0.60, Want::NoSafeAction);
        check_simple(&facts, &[CrashLoop], "crash_loop", 0.60, Want::NoSafeAction);
    }
    let words = diagnose(&case(&looping, &[symptom(CrashLoop)], &History::default()), THRESHOLD);
    assert!(words.cause.contains("7 restarts"), "{words:?}");
}

#[test]
fn an_oom_kill_names_limit_and_peak_and_is_restarted_once() {
    let facts = Facts {
        oom_killed: true,
        memory_limit: Some(256 << 20),
        started_at: "now".to_owned(),
        ..exited(137)
    };
    let symptoms = [symptom(OomKilled), symptom(NonZeroExit)];
    let none = History::default();
    let first = Case { memory_peak: Some(255 << 20), ..case(&facts, &symptoms, &none) };
    check(&first, "oom_killed", 0.90, Want::Restart);
    let cause = diagnose(&first, THRESHOLD).cause;
    assert!(cause.contains("limit of 256 MiB") && cause.contains("peak 255 MiB"), "{cause}");
    assert!(cause.contains("raise its memory limit"), "{cause}");
    let before = one_before(OomKilled);
    check(&case(&facts, &symptoms, &before), "oom_repeated", 0.90, Want::NoSafeAction);
}

#[test]
fn an_oom_kill_the_container_or_the_engine_survives_is_not_restarted() {
    let child = Facts { oom_killed: true, ..running() };
    check_simple(&child, &[OomKilled], "oom_survived", 0.90, Want::NoSafeAction);
    let engine = Facts {
        status: Status::Restarting,
        restart_policy: RestartPolicy::UnlessStopped,
        oom_killed: true,
        ..exited(137)
    };
    check_simple(&engine, &[OomKilled], "oom_survived", 0.90, Want::NoSafeAction);
    // The flag alone is enough where the event was missed.
    check_simple(&engine, &[NonZeroExit], "oom_survived", 0.90, Want::NoSafeAction);
    check_simple(&engine, &[OomKilled, CrashLoop], "oom_repeated", 0.90, Want::NoSafeAction);
}

#[test]
fn a_failed_one_shot_job_is_reported_and_not_run_again() {
    let job = Facts { one_shot: true, ..exited(1) };
    check_simple(&job, &[NonZeroExit], "one_shot_job", 0.90, Want::NoSafeAction);
    let killed = Facts { oom_killed: true, ..job };
    check_simple(&killed, &[OomKilled], "one_shot_job", 0.90, Want::NoSafeAction);
}

#[test]
fn an_operators_stop_is_not_a_fault() {
    for code in [137, 143] {
        let facts = Facts { stopped_by_operator: true, ..exited(code) };
        check_simple(&facts, &[NonZeroExit], "stopped_by_operator", 0.95, Want::FalseAlarm);
    }
}

#[test]
fn a_paused_or_dead_container_is_left_to_a_person() {
    for status in [Status::Paused, Status::Dead, Status::Removing] {
        let facts = Facts { status, ..running() };
        check_simple(&facts, &[Unhealthy], "not_restartable", 0.90, Want::NoSafeAction);
    }
}

#[test]
fn a_critical_resource_is_restarted() {
    let history = History::default();
    for kind in [HighCpu, HighMemory, MemoryLeak] {
        let facts = running();
        let symptoms = [critical(kind)];
        check(&case(&facts, &symptoms, &history), "critical_resource", 0.85, Want::Restart);
    }
}

#[test]
fn an_unhealthy_service_is_restarted_exactly_at_the_threshold() {
    check_simple(&running(), &[Unhealthy], "unhealthy", 0.70, Want::Restart);
    let history = History::default();
    let (facts, symptoms) = (running(), [critical(Unhealthy)]);
    let above = diagnose(&case(&facts, &symptoms, &history), 0.71);
    assert!(matches!(above.verdict, Verdict::InsufficientEvidence(_)), "{above:?}");
    assert_eq!(above.rule, "unhealthy");
}

#[test]
fn a_flapping_health_check_is_a_cause_of_its_own() {
    check_simple(&running(), &[FlappingHealth], "flapping_health", 0.60, Want::NoSafeAction);
    let both = [FlappingHealth, Unhealthy];
    check_simple(&running(), &both, "flapping_health", 0.60, Want::NoSafeAction);
}

#[test]
fn sustained_cpu_is_restarted_above_ninety_percent_unless_it_falls() {
    let history = one_before(HighCpu);
    let table = [
        (0.95, Trend::Stable, "sustained_cpu", 0.75, Want::Restart),
        (0.95, Trend::Increasing, "sustained_cpu", 0.75, Want::Restart),
        (0.95, Trend::Decreasing, "steady_cpu", 0.65, Want::NoSafeAction),
        (0.95, Trend::Unknown, "undecided", 0.50, Want::NotEnough),
        (0.87, Trend::Stable, "steady_cpu", 0.65, Want::NoSafeAction),
        (0.90, Trend::Stable, "steady_cpu", 0.65, Want::NoSafeAction),
    ];
    for (cpu, cpu_trend, rule, confidence, want) in table {
        let facts = Facts { cpu: Some(cpu), ..running() };
        let symptoms = [symptom(HighCpu)];
        let case = Case { cpu_trend, ..case(&facts, &symptoms, &history) };
        check(&case, rule, confidence, want);
    }
}

#[test]
fn one_busy_moment_without_a_cpu_symptom_restarts_nothing() {
    let facts = Facts { cpu: Some(0.99), ..running() };
    let symptoms = [symptom(FlappingHealth)];
    let history = History::default();
    let case = Case { cpu_trend: Trend::Stable, ..case(&facts, &symptoms, &history) };
    check(&case, "flapping_health", 0.60, Want::NoSafeAction);
}

#[test]
fn growing_memory_is_restarted_and_steady_memory_is_not_a_false_alarm() {
    let table = [
        (HighMemory, 0.88, Trend::Increasing, "growing_memory", 0.80, Want::Restart),
        (HighMemory, 0.93, Trend::Stable, "steady_memory", 0.65, Want::NoSafeAction),
        (HighMemory, 0.93, Trend::Decreasing, "steady_memory", 0.65, Want::NoSafeAction),
        (HighMemory, 0.93, Trend::Unknown, "undecided", 0.50, Want::NotEnough),
        // A leak over hours shows no rise within five samples.
        (MemoryLeak, 0.75, Trend::Stable, "growing_memory", 0.80, Want::Restart),
        (MemoryLeak, 0.60, Trend::Stable, "undecided", 0.50, Want::NotEnough),
    ];
    for (kind, memory, memory_trend, rule, confidence, want) in table {
        let facts = Facts { memory: Some(memory), ..running() };
        let symptoms = [Symptom { actual: memory, threshold: 0.80, ..symptom(kind) }];
        let history = History::default();
        let case = Case { memory_trend, ..case(&facts, &symptoms, &history) };
        check(&case, rule, confidence, want);
    }
}

#[test]
fn memory_without_a_limit_cannot_be_judged() {
    let facts = Facts { memory_limit: None, ..running() };
    check_simple(&facts, &[MemoryLeak], "no_memory_limit", 0.50, Want::NotEnough);
}

#[test]
fn one_mild_sign_without_history_is_a_false_alarm() {
    let facts = Facts { cpu: Some(0.70), ..running() };
    let none = History::default();
    let symptoms = [symptom(HighCpu)];
    check(&case(&facts, &symptoms, &none), "transient", 0.65, Want::FalseAlarm);
    let over = Case { gone: &[HighCpu], ..case(&facts, &[], &none) };
    check(&over, "transient", 0.65, Want::FalseAlarm);
    let mild = [Symptom { severity: Severity::Info, ..symptom(MemoryLeak) }];
    check(&case(&facts, &mild, &none), "transient", 0.65, Want::FalseAlarm);
    let before = one_before(HighCpu);
    check(&case(&facts, &symptoms, &before), "undecided", 0.50, Want::NotEnough);
    let two = [symptom(HighCpu), symptom(HighMemory)];
    check(&case(&facts, &two, &none), "undecided", 0.50, Want::NotEnough);
}

#[test]
fn names_are_unique_confidences_are_probabilities_and_the_last_rule_always_applies() {
    let mut names: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), RULES.len());
    assert!(RULES.iter().all(|rule| (0.0..=1.0).contains(&rule.confidence)));
    let (facts, history) = (Facts::default(), History::default());
    let last = RULES.last().unwrap();
    assert!((last.applies)(&case(&facts, &[], &history)));
}

#[test]
fn a_basis_ignores_readings_and_the_turns_of_a_crash_loop() {
    let none = History::default();
    let basis = |facts: &Facts, kinds: &[SymptomKind]| {
        let symptoms: Vec<Symptom> = kinds.iter().copied().map(symptom).collect();
        case(facts, &symptoms, &none).basis()
    };
    let (low, high) = (Facts { cpu: Some(0.9), ..running() }, Facts { cpu: Some(1.0), ..running() });
    assert_eq!(basis(&low, &[HighCpu]), basis(&high, &[HighCpu]));
    assert_eq!(basis(&exited(1), &[CrashLoop, NonZeroExit]), basis(&running(), &[CrashLoop]));
    assert_ne!(basis(&running(), &[CrashLoop, HighCpu]), basis(&running(), &[CrashLoop]));
    assert_ne!(basis(&exited(1), &[NonZeroExit]), basis(&exited(2), &[NonZeroExit]));
    let mut known = one_before(OomKilled);
    known.prune(Timestamp::EPOCH, Duration::from_secs(1), 10);
    let symptoms = [symptom(OomKilled)];
    let oom = Facts { started_at: "other".to_owned(), ..exited(137) };
    assert_ne!(case(&oom, &symptoms, &known).basis(), case(&oom, &symptoms, &none).basis());
}
