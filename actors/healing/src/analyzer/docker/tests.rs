use std::time::Duration;

use bollard::models::{ContainerConfig, Health, HealthcheckResult, RestartPolicyNameEnum};
use perennial_runtime::{Attempt, Timestamp};

use super::*;
use crate::model::{ContainerId, IncidentId, Subject};

fn attempt() -> Attempt {
    let key = serde_json::from_str("\"0123456789abcdef\"").unwrap();
    let now = Timestamp::from_micros(5);
    Attempt { key, number: 1, intended_at: now, now }
}

fn effect(id: &str) -> CaptureEvidence {
    let subject = Subject { id: ContainerId(id.to_owned()), ..Subject::default() };
    CaptureEvidence { incident: IncidentId("inc-1".to_owned()), subject }
}

#[tokio::test]
async fn an_engine_that_is_away_is_worth_another_attempt() {
    let config = crate::docker::Config {
        host: "unix:///nowhere/docker.sock".to_owned(),
        ..crate::docker::Config::default()
    };
    let performer = EvidencePerformer::new(Engine::connect(&config).unwrap());
    let error = performer.perform(&effect("abc"), &attempt()).await.unwrap_err();
    assert!(matches!(error, EffectError::Transient { .. }), "{error:?}");
}

#[tokio::test]
async fn an_engine_that_never_answers_is_given_up_after_three_seconds() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("docker.sock");
    let _listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let config = crate::docker::Config {
        host: format!("unix://{}", socket.display()),
        ..crate::docker::Config::default()
    };
    let performer = EvidencePerformer::new(Engine::connect(&config).unwrap());
    let asked = perennial_runtime::instant();
    let result = performer.perform(&effect("abc"), &attempt()).await;
    assert!(result.is_err());
    assert!(asked.elapsed() < TOTAL + Duration::from_secs(1));
}

#[test]
fn inspection_keeps_names_of_the_environment_and_never_its_values() {
    let answer = ContainerInspectResponse {
        path: Some("/app".to_owned()),
        args: Some(vec!["--password".to_owned(), "hunter2".to_owned()]),
        restart_count: Some(3),
        config: Some(ContainerConfig {
            env: Some(vec!["HOME=/root".to_owned(), "DB_PASSWORD=hunter2".to_owned()]),
            image: Some("shop:1".to_owned()),
            ..ContainerConfig::default()
        }),
        ..ContainerInspectResponse::default()
    };
    let facts = facts(&answer);
    assert_eq!(facts.get("env_names").map(String::as_str), Some("HOME DB_PASSWORD"));
    assert_eq!(facts.get("command").map(String::as_str), Some("/app --password [redacted]"));
    assert_eq!(facts.get("restart_count").map(String::as_str), Some("3"));
    assert!(!format!("{facts:?}").contains("hunter2"));
}

#[test]
fn inspection_names_limits_policy_and_the_last_health_results() {
    let result = |number: i64| HealthcheckResult {
        exit_code: Some(1),
        output: Some(format!("attempt {number}\nconnection refused token=abc")),
        ..HealthcheckResult::default()
    };
    let health = Health { log: Some((1..=5).map(result).collect()), ..Health::default() };
    let answer = ContainerInspectResponse {
        state: Some(ContainerState {
            exit_code: Some(137),
            oom_killed: Some(true),
            health: Some(health),
            ..ContainerState::default()
        }),
        host_config: Some(HostConfig {
            memory: Some(256 << 20),
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::ON_FAILURE),
                maximum_retry_count: Some(3),
            }),
            ..HostConfig::default()
        }),
        ..ContainerInspectResponse::default()
    };
    let facts = facts(&answer);
    let get = |name: &str| facts.get(name).cloned().unwrap_or_default();
    assert_eq!(get("oom_killed"), "true");
    assert_eq!(get("memory_limit_bytes"), "268435456");
    assert_eq!(get("restart_policy"), "on-failure:3");
    assert_eq!(get("health_log_1"), "exit 1: attempt 5 connection refused token=[redacted]");
    assert!(!facts.contains_key("health_log_4"));
}

#[test]
fn chunks_of_two_streams_become_whole_lines() {
    let mut lines = Lines::default();
    lines.add(&LogOutput::StdOut { message: "one\ntw".into() });
    lines.add(&LogOutput::StdErr { message: "bad\n".into() });
    lines.add(&LogOutput::StdOut { message: "o\nend".into() });
    assert_eq!(lines.finish(), ["one", "bad", "two", "end"]);
}
