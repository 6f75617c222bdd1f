use perennial_runtime::Timestamp;

use super::*;
use crate::model::{IncidentId, Subject};

const SINCE: Timestamp = Timestamp::from_micros(1_000_000_000_000);

fn standing(facts: Facts) -> Standing {
    Standing {
        incident: IncidentId::default(),
        at: SINCE + Duration::from_secs(30),
        subject: Subject::default(),
        facts,
        last_seen: Vec::new(),
        active: Vec::new(),
    }
}

fn running() -> Facts {
    Facts { status: Status::Running, ..Facts::default() }
}

#[test]
fn restarts_are_followed_by_the_configured_last_rung_and_then_by_a_person() {
    let leave = Config::default();
    let stop = Config { last_rung: LastRung::Stop, ..Config::default() };
    let ladder = |config: &Config| {
        (1..=4).map(|rung| action(rung, &Action::Restart, config)).collect::<Vec<_>>()
    };
    let restart = Some(Action::Restart);
    assert_eq!(ladder(&leave), [restart.clone(), restart.clone(), None, None]);
    assert_eq!(ladder(&stop), [restart.clone(), restart, Some(Action::Stop), None]);
}

#[test]
fn actions_other_than_a_restart_are_tried_once() {
    let config = Config { last_rung: LastRung::Stop, ..Config::default() };
    for asked in [Action::Start, Action::Scale, Action::Exec(vec!["df".to_owned()])] {
        assert_eq!(action(1, &asked, &config), Some(asked.clone()));
        assert_eq!(action(2, &asked, &config), None);
    }
}

#[test]
fn the_wait_between_rungs_doubles_up_to_its_cap() {
    let config = Config::default();
    let waits = [1, 2, 3, 4, 5, 6, 7, 99].map(|rung| wait(rung, &config).as_secs());
    assert_eq!(waits, [0, 30, 60, 120, 240, 300, 300, 300]);
}

#[test]
fn three_identical_failures_end_the_ladder_at_once() {
    let config = Config { restarts: 10, ..Config::default() };
    let next = Step::Again { rung: 3, wait: Duration::from_secs(60) };
    assert_eq!(after_failure(2, &Action::Restart, 2, &config), next);
    let ended = after_failure(2, &Action::Restart, 3, &config);
    assert!(matches!(&ended, Step::Person(why) if why.contains("3 times in a row")), "{ended:?}");
    let never = Config { identical_failures: 0, ..config };
    assert_eq!(after_failure(2, &Action::Restart, 3, &never), next);
}

#[test]
fn a_container_is_well_when_nothing_shows_it_runs_and_its_check_passes() {
    let symptoms = [SymptomKind::Unhealthy];
    let healthy = Facts { health: Health::Healthy, ..running() };
    let starting = Facts { health: Health::Starting, ..running() };
    let unhealthy = Facts { health: Health::Unhealthy, ..running() };
    let exited = Facts { status: Status::Exited, exit_code: Some(1), ..Facts::default() };
    let stopped = Facts { stopped_by_operator: true, ..exited.clone() };
    let gone = Facts { status: Status::Gone, ..Facts::default() };
    let sick = |why: &str| Look::Sick(why.to_owned());
    let cases = [
        (running(), Look::Well),
        (healthy, Look::Well),
        (starting, Look::Undecided),
        (unhealthy, sick("its health check fails")),
        (exited, sick("it does not run: Exited, exit code 1")),
        (stopped, Look::Stopped),
        (gone, Look::Gone),
    ];
    for (facts, expected) in cases {
        assert_eq!(judge(&symptoms, SINCE, false, &standing(facts)), expected);
    }
}

#[test]
fn a_symptom_counts_only_if_it_was_asked_about_and_lasted_beyond_the_action() {
    let symptoms = [SymptomKind::Unhealthy];
    let before = SINCE + Duration::from_secs(1);
    let after = SINCE + Duration::from_secs(6);
    let mut now = standing(running());
    now.last_seen = vec![(SymptomKind::Unhealthy, before), (SymptomKind::HighCpu, after)];
    assert_eq!(judge(&symptoms, SINCE, false, &now), Look::Well);
    now.last_seen.push((SymptomKind::Unhealthy, after));
    let look = judge(&symptoms, SINCE, false, &now);
    assert_eq!(look, Look::Sick("still seen since the action: unhealthy".to_owned()));
}

#[test]
fn a_crash_loop_is_over_when_it_has_not_crashed_since() {
    let symptoms = [SymptomKind::CrashLoop];
    let mut now = standing(Facts { started_at: "1970-01-12T13:46:39.5Z".to_owned(), ..running() });
    now.active = vec![SymptomKind::CrashLoop];
    assert_eq!(judge(&symptoms, SINCE, false, &now), Look::Well);
    now.facts.started_at = "1970-01-12T13:46:45.123456789Z".to_owned();
    assert!(matches!(judge(&symptoms, SINCE, false, &now), Look::Sick(_)));
}

#[test]
fn after_a_stop_it_is_well_when_it_does_not_run() {
    let exited = Facts { status: Status::Exited, stopped_by_operator: true, ..Facts::default() };
    assert_eq!(judge(&[], SINCE, true, &standing(exited)), Look::Well);
    assert!(matches!(judge(&[], SINCE, true, &standing(running())), Look::Sick(_)));
}

#[test]
fn the_engines_zero_time_is_no_time() {
    assert_eq!(moment("0001-01-01T00:00:00Z"), None);
    assert_eq!(moment("nonsense"), None);
    assert_eq!(moment("1970-01-01T00:00:01.5Z"), Some(Timestamp::from_micros(1_500_000)));
}
