//! A full value of every shared type. Each variant of an enum names the next, so that a new one has
//! to be sampled.

use std::collections::BTreeMap;
use std::iter::successors;

use perennial_runtime::{Effect, Finished, IdempotencyKey, Timestamp, Undone};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::adviser::advice::{Advice, Cause, Obstacle, Opinion};
use crate::model::*;
use crate::monitor::Standing;

pub(crate) fn second(n: u64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000 + n * 1_000_000)
}

/// A value with private fields, by their names.
pub(crate) fn by_name<T: DeserializeOwned>(fields: Value) -> T {
    serde_json::from_value(fields).expect("the fields of the sample are those of the type")
}

pub(crate) fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

pub(crate) fn container(digit: char) -> ContainerId {
    ContainerId(digit.to_string().repeat(64))
}

pub(crate) fn incident() -> IncidentId {
    IncidentId("inc-0123456789abcdef".to_owned())
}

pub(crate) fn subject() -> Subject {
    Subject {
        id: container('c'),
        name: "shop-web-1".to_owned(),
        image: "shop/web:1.4".to_owned(),
        project: Some("shop".to_owned()),
        service: Some("web".to_owned()),
        swarm_service: Some("shop_web".to_owned()),
    }
}

pub(crate) fn facts() -> Facts {
    Facts {
        status: Status::Running,
        health: Health::Unhealthy,
        exit_code: Some(-137),
        oom_killed: true,
        restart_count: 7,
        restarts_in_window: 3,
        started_at: "2023-11-14T22:13:20.5Z".to_owned(),
        finished_at: "2023-11-14T22:13:19Z".to_owned(),
        restart_policy: RestartPolicy::OnFailure(300),
        cpu: Some(0.875),
        memory: Some(0.5),
        memory_bytes: Some(128 << 20),
        memory_limit: Some(256 << 20),
        cpus: Some(1.5),
        mode: Mode::Propose,
        restart_max: Some(4),
        stop_timeout: Some(20),
        one_shot: true,
        stopped_by_operator: true,
        deploying: true,
    }
}

pub(crate) fn symptom() -> Symptom {
    Symptom {
        kind: SymptomKind::HighCpu,
        severity: Severity::Critical,
        since: second(30),
        actual: 0.96875,
        threshold: 0.85,
        text: "CPU at 97 % of its quota, over 85 %".to_owned(),
    }
}

pub(crate) fn evidence() -> Evidence {
    let inspect = [("ExitCode", "3"), ("OOMKilled", "false")];
    let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    Evidence {
        at: second(31),
        log: texts(&["listening on :80", "fatal: no such table"]),
        inspect: inspect.into_iter().map(own).collect::<BTreeMap<_, _>>(),
        missing: texts(&["top: the container does not run"]),
    }
}

pub(crate) fn diagnosis() -> Diagnosis {
    Diagnosis {
        rule: "hung".to_owned(),
        cause: "its process no longer answers".to_owned(),
        reason: "the health check fails and CPU is full".to_owned(),
        confidence: 0.75,
        verdict: Verdict::Remediate(Action::Restart),
    }
}

pub(crate) fn gate() -> GateRecord {
    GateRecord {
        gate: "cooldown".to_owned(),
        passed: false,
        reason: "the last action was 20 s ago, the cooldown is 300 s".to_owned(),
        until: Some(second(310)),
    }
}

pub(crate) fn key() -> IdempotencyKey {
    by_name("00112233445566778899aabbccddeeff".into())
}

/// One report for an outcome, and one for each reason why there is none.
pub(crate) fn finished<E: Effect>(effect: &E, outcome: E::Outcome) -> Vec<Finished<E>> {
    let next = |undone: &Undone| match undone {
        Undone::Failed(_) => Some(Undone::Expired("the engine was away".to_owned())),
        Undone::Expired(_) => Some(Undone::Unknown("the connection broke".to_owned())),
        Undone::Unknown(_) => None,
    };
    let undone = successors(Some(Undone::Failed("no such container".to_owned())), next).map(Err);
    std::iter::once(Ok(outcome))
        .chain(undone)
        .map(|result| Finished { effect: effect.clone(), key: key(), attempts: 2, result })
        .collect()
}

pub(crate) fn actions() -> Vec<Action> {
    let next = |action: &Action| match action {
        Action::Restart => Some(Action::Start),
        Action::Start => Some(Action::Stop),
        Action::Stop => Some(Action::Scale),
        Action::Scale => Some(Action::Cleanup),
        Action::Cleanup => Some(Action::Exec(texts(&["nginx", "-s", "reload"]))),
        Action::Exec(_) => None,
    };
    successors(Some(Action::Restart), next).collect()
}

/// Each kind of advice names the next, so that a new one has to be sampled.
pub(crate) fn advice() -> Vec<Advice> {
    let why = || "it was cut off".to_owned();
    let next = |advice: &Advice| match advice {
        Advice::NotAsked { .. } => Some(Advice::Refused(why())),
        Advice::Refused(_) => Some(Advice::Unanswered(why())),
        Advice::Unanswered(_) => Some(Advice::Given(Opinion {
            model: "small".to_owned(),
            cause: Cause::Dependency,
            text: "The database is away.".to_owned(),
            confidence: 0.75,
            severity: Severity::Warning,
            action: Some(Action::Restart),
            evidence: texts(&["log:2", "fact:exit_code"]),
            tokens: 1_234,
            answer_hash: "0b".repeat(32),
        })),
        Advice::Given(_) => None,
    };
    let first = Advice::NotAsked { by: Obstacle::BreakerOpen, why: why() };
    successors(Some(first), next).collect()
}

pub(crate) fn conclusions() -> Vec<Conclusion> {
    let next = |conclusion: &Conclusion| match conclusion {
        Conclusion::Resolved => Some(Conclusion::Escalated("three rungs did not help".to_owned())),
        Conclusion::Escalated(_) => Some(Conclusion::Suppressed("cooldown".to_owned())),
        Conclusion::Suppressed(_) => Some(Conclusion::Proposed("restart it".to_owned())),
        Conclusion::Proposed(_) => Some(Conclusion::Gone),
        Conclusion::Gone => None,
    };
    successors(Some(Conclusion::Resolved), next).collect()
}

pub(crate) fn standing() -> Standing {
    Standing {
        incident: incident(),
        at: second(12),
        subject: subject(),
        facts: facts(),
        last_seen: vec![(SymptomKind::OomKilled, second(13))],
        active: vec![SymptomKind::CrashLoop],
    }
}
