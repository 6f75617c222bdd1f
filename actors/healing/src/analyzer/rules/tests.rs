//! Rule by rule; ends and crashes here, health and resources and the table itself below.

use perennial_runtime::Timestamp;

use super::*;
use crate::analyzer::history::Episode;
use crate::model::SymptomKind::{
    CrashLoop, FlappingHealth, HighCpu, HighMemory, HostPressure, MemoryLeak, NonZeroExit,
    OomKilled, Unhealthy,
};

mod resources;
mod table;

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
        let status = if rule == "exit_code" { Status::Exited } else { Status::Restarting };
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
    let looping =
        Facts { restarts_in_window: 7, restart_policy: RestartPolicy::Always, ..exited(1) };
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
fn an_oom_kill_that_the_engine_has_repaired_already_is_still_named() {
    let (facts, history) = (running(), History::default());
    let back =
        Case { gone: &[OomKilled], memory_peak: Some(4 << 20), ..case(&facts, &[], &history) };
    check(&back, "oom_survived", 0.90, Want::NoSafeAction);
    let cause = diagnose(&back, THRESHOLD).cause;
    assert!(cause.contains("256 MiB") && cause.contains("peak: all of it"), "{cause}");
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
