use perennial_runtime::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

use super::*;
use crate::model::{IncidentId, Subject};

const BEFORE: &str = "1970-01-12T13:40:00Z";
const INTENDED: Timestamp = Timestamp::from_micros(1_000_000_000_000);
const AFTER: &str = "1970-01-12T13:46:41.5Z";

fn effect(action: Action) -> EngineAction {
    EngineAction {
        incident: IncidentId::default(),
        subject: Subject::default(),
        started_at: BEFORE.to_owned(),
        action,
        stop_timeout: 10,
        deadline: Timestamp::MAX,
        keep: Vec::new(),
    }
}

fn attempt() -> Attempt {
    let key = serde_json::from_str("\"00\"").unwrap();
    Attempt { key, number: 2, intended_at: INTENDED, now: INTENDED }
}

fn state(status: ContainerStateStatusEnum, started: &str, finished: &str) -> ContainerState {
    ContainerState {
        status: Some(status),
        started_at: Some(started.to_owned()),
        finished_at: Some(finished.to_owned()),
        ..ContainerState::default()
    }
}

#[test]
fn a_restart_is_seen_by_a_run_that_began_after_the_intent() {
    use ContainerStateStatusEnum::{EXITED, RUNNING};
    let between = "1970-01-12T13:46:00Z";
    let done = Shows::Done(format!("started at {AFTER}, after the intent"));
    let cases = [
        (state(RUNNING, AFTER, between), done),
        (state(RUNNING, between, BEFORE), Shows::NotDone),
        (state(RUNNING, BEFORE, BEFORE), Shows::Nothing),
        (state(EXITED, BEFORE, AFTER), Shows::Nothing),
    ];
    for (state, expected) in cases {
        assert_eq!(shows(&effect(Action::Restart), &attempt(), &state), expected, "{state:?}");
    }
}

#[test]
fn a_stop_is_seen_by_an_end_after_the_intent() {
    use ContainerStateStatusEnum::{EXITED, RUNNING};
    let done = Shows::Done(format!("stopped at {AFTER}, after the intent"));
    let cases = [
        (state(EXITED, BEFORE, AFTER), done),
        (state(EXITED, BEFORE, BEFORE), Shows::NotDone),
        (state(RUNNING, BEFORE, BEFORE), Shows::Nothing),
    ];
    for (state, expected) in cases {
        assert_eq!(shows(&effect(Action::Stop), &attempt(), &state), expected, "{state:?}");
    }
}

#[test]
fn another_run_than_the_one_meant_is_left_alone() {
    let moved = state(ContainerStateStatusEnum::RUNNING, AFTER, BEFORE);
    let held = fence(&effect(Action::Restart), &moved).unwrap_err();
    assert!(held.message().contains("nothing was done"), "{held:?}");
    let same = state(ContainerStateStatusEnum::RUNNING, BEFORE, BEFORE);
    assert_eq!(fence(&effect(Action::Restart), &same), Ok(()));
}

#[test]
fn a_deed_without_an_answer_may_have_been_done_and_a_question_was_not() {
    let slow = || EngineError::TimedOut(Duration::from_secs(1));
    let refused = || EngineError::Refused { status: 500, message: "no".to_owned() };
    assert!(matches!(acting(slow()), EffectError::Unknown(_)));
    assert!(matches!(acting(refused()), EffectError::Permanent(_)));
    assert!(matches!(asking(slow()), EffectError::Transient { .. }));
}

#[test]
fn a_commands_exit_code_decides_and_its_output_is_redacted_and_cut() {
    assert_eq!(exec::outcome(Some(0), "ok\n"), ActionOutcome::Done("exit code 0: ok".to_owned()));
    let failed = exec::outcome(Some(126), "password=hunter22secret");
    let ActionOutcome::Failed(text) = failed else { panic!("{failed:?}") };
    assert!(text.starts_with("exit code 126") && !text.contains("hunter22secret"), "{text}");
    let long = exec::outcome(Some(1), &"x ".repeat(2000));
    let ActionOutcome::Failed(text) = long else { panic!("{long:?}") };
    assert!(text.len() < 1050);
}

/// Acts on the engine at this address.
fn performer(host: &str) -> EnginePerformer {
    let config = crate::docker::Config { host: host.to_owned(), ..Default::default() };
    let engine = Engine::connect(&config).unwrap();
    EnginePerformer::new(engine, Arc::default(), Arc::new(|_| Some(false)))
}

/// Loses its first connection, then answers every request with 404.
async fn lost_and_found(listener: UnixListener) {
    drop(listener.accept().await.unwrap());
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0, "a request");
        let answer = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        stream.write_all(answer).await.unwrap();
    }
}

#[tokio::test]
async fn an_engine_that_is_away_is_waited_for_within_one_attempt() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("docker.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let engine = tokio::spawn(lost_and_found(listener));
    let restart = effect(Action::Restart);
    let performer = performer(&format!("unix://{}", socket.display()));
    let error = performer.perform(&restart, &attempt()).await.unwrap_err();
    engine.abort();
    assert!(matches!(error, EffectError::Permanent(_)), "it has answered: {error:?}");
}

#[tokio::test]
async fn an_engine_that_is_away_is_waited_for_no_longer_than_the_deadline() {
    let restart = EngineAction { deadline: INTENDED, ..effect(Action::Restart) };
    let error = performer("unix:///nowhere").perform(&restart, &attempt()).await.unwrap_err();
    assert!(matches!(error, EffectError::Transient { .. }), "{error:?}");
}

#[tokio::test]
async fn an_engine_that_is_away_cannot_be_asked_and_a_command_is_never_repeated() {
    let performer = performer("unix:///nowhere");
    let restart = effect(Action::Restart);
    let restarted = performer.reconcile(&restart, &attempt()).await;
    assert!(matches!(restarted, Reconciliation::Unreachable(_)), "{restarted:?}");
    let exec = effect(Action::Exec(vec!["df".to_owned()]));
    let again = performer.reconcile(&exec, &attempt()).await;
    assert!(matches!(again, Reconciliation::Unknown(_)), "{again:?}");
}
