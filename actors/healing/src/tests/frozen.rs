//! The shared nouns as they are on the disk. A change here is a change of every state, message, row
//! and effect that holds one: their versions are raised too.

use std::iter::successors;

use perennial_runtime::frozen;

use super::samples::{actions, conclusions, diagnosis, evidence, facts, gate, subject, symptom};
use crate::model::*;

/// The version of all the nouns together.
const MODEL: u16 = 1;

fn all<T>(first: T, next: fn(&T) -> Option<T>) -> Vec<T> {
    successors(Some(first), next).collect()
}

#[test]
fn the_format_of_the_shared_structs_is_frozen() {
    frozen("healing/subject", MODEL, &vec![subject(), Subject::default()]);
    frozen("healing/facts", MODEL, &vec![facts(), Facts::default()]);
    frozen("healing/symptom", MODEL, &symptom());
    frozen("healing/evidence", MODEL, &evidence());
    frozen("healing/diagnosis", MODEL, &diagnosis());
    frozen("healing/gate-record", MODEL, &vec![gate(), GateRecord { until: None, ..gate() }]);
}

#[test]
fn the_format_of_what_the_engine_says_is_frozen() {
    let statuses = all(Status::Created, |status| match status {
        Status::Created => Some(Status::Running),
        Status::Running => Some(Status::Paused),
        Status::Paused => Some(Status::Restarting),
        Status::Restarting => Some(Status::Exited),
        Status::Exited => Some(Status::Dead),
        Status::Dead => Some(Status::Removing),
        Status::Removing => Some(Status::Gone),
        Status::Gone => None,
    });
    frozen("healing/status", MODEL, &statuses);
    let health = all(Health::None, |health| match health {
        Health::None => Some(Health::Starting),
        Health::Starting => Some(Health::Healthy),
        Health::Healthy => Some(Health::Unhealthy),
        Health::Unhealthy => None,
    });
    frozen("healing/health", MODEL, &health);
    let policies = all(RestartPolicy::No, |policy| match policy {
        RestartPolicy::No => Some(RestartPolicy::OnFailure(300)),
        RestartPolicy::OnFailure(_) => Some(RestartPolicy::Always),
        RestartPolicy::Always => Some(RestartPolicy::UnlessStopped),
        RestartPolicy::UnlessStopped => None,
    });
    frozen("healing/restart-policy", MODEL, &policies);
}

#[test]
fn the_format_of_judgements_is_frozen() {
    let modes = all(Mode::Observe, |mode| match mode {
        Mode::Observe => Some(Mode::Propose),
        Mode::Propose => Some(Mode::Auto),
        Mode::Auto => None,
    });
    frozen("healing/mode", MODEL, &modes);
    let severities = all(Severity::Info, |severity| match severity {
        Severity::Info => Some(Severity::Warning),
        Severity::Warning => Some(Severity::Critical),
        Severity::Critical => None,
    });
    frozen("healing/severity", MODEL, &severities);
    let kinds = all(SymptomKind::NonZeroExit, |kind| match kind {
        SymptomKind::NonZeroExit => Some(SymptomKind::OomKilled),
        SymptomKind::OomKilled => Some(SymptomKind::CrashLoop),
        SymptomKind::CrashLoop => Some(SymptomKind::Unhealthy),
        SymptomKind::Unhealthy => Some(SymptomKind::FlappingHealth),
        SymptomKind::FlappingHealth => Some(SymptomKind::HighCpu),
        SymptomKind::HighCpu => Some(SymptomKind::HighMemory),
        SymptomKind::HighMemory => Some(SymptomKind::MemoryLeak),
        SymptomKind::MemoryLeak => Some(SymptomKind::HostPressure),
        SymptomKind::HostPressure => None,
    });
    frozen("healing/symptom-kind", MODEL, &kinds);
    let verdicts = all(Verdict::Remediate(Action::Start), |verdict| match verdict {
        Verdict::Remediate(_) => Some(Verdict::FalseAlarm),
        Verdict::FalseAlarm => Some(Verdict::InsufficientEvidence("no log".to_owned())),
        Verdict::InsufficientEvidence(_) => Some(Verdict::NoSafeAction("fix it".to_owned())),
        Verdict::NoSafeAction(_) => None,
    });
    frozen("healing/verdict", MODEL, &verdicts);
}

#[test]
fn the_format_of_actions_and_their_ends_is_frozen() {
    frozen("healing/action", MODEL, &actions());
    frozen("healing/conclusion", MODEL, &conclusions());
    let outcomes = all(ActionOutcome::Done("restarted".to_owned()), |outcome| match outcome {
        ActionOutcome::Done(_) => Some(ActionOutcome::Reconciled("it runs anew".to_owned())),
        ActionOutcome::Reconciled(_) => Some(ActionOutcome::Failed("refused".to_owned())),
        ActionOutcome::Failed(_) => Some(ActionOutcome::NotApplicable("no swarm".to_owned())),
        ActionOutcome::NotApplicable(_) => Some(ActionOutcome::Unknown("timed out".to_owned())),
        ActionOutcome::Unknown(_) => Some(ActionOutcome::Simulated),
        ActionOutcome::Simulated => None,
    });
    frozen("healing/action-outcome", MODEL, &outcomes);
}
