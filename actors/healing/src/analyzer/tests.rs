//! What the Analyzer decides, message by message, and the helpers to play it.

use std::collections::BTreeMap;
use std::time::Duration;

use perennial_runtime::{Play, Recorded, Undone};

use super::*;
use crate::alert::AlertMessage;
use crate::model::SymptomKind::{
    CrashLoop, HighCpu, HighMemory, MemoryLeak, NonZeroExit, OomKilled, Unhealthy,
};
use crate::model::{
    ContainerId, Facts, Health, RestartPolicy, Severity, Status, Subject, Symptom, SymptomKind,
};

mod frozen;
mod lifecycle;
mod opinions;
mod scenarios;

type Analysis = Play<Analyzer>;

fn play() -> Analysis {
    Play::new("c0ffee", Config::default())
}

fn symptom(kind: SymptomKind) -> Symptom {
    Symptom {
        kind,
        severity: Severity::Warning,
        since: Timestamp::EPOCH,
        actual: 0.95,
        threshold: 0.85,
        text: format!("{} is shown", kind.as_str()),
    }
}

fn exited(code: i64) -> Facts {
    Facts {
        status: Status::Exited,
        exit_code: Some(code),
        started_at: "run 1".to_owned(),
        ..Facts::default()
    }
}

fn running() -> Facts {
    Facts {
        status: Status::Running,
        started_at: "run 1".to_owned(),
        memory_limit: Some(256 << 20),
        ..Facts::default()
    }
}

/// The Monitor's report that exactly `active` is wrong now.
fn report(play: &Analysis, facts: &Facts, active: &[SymptomKind]) -> SymptomReport {
    let id = ContainerId("c0ffee".to_owned());
    let before = play.state.incident.as_ref().map(|incident| incident.active.clone());
    let known = before.unwrap_or_default();
    let was = |kind| known.iter().any(|symptom: &Symptom| symptom.kind == kind);
    let active: Vec<Symptom> = active.iter().copied().map(symptom).collect();
    let raised = active.iter().filter(|symptom| !was(symptom.kind)).cloned().collect();
    SymptomReport {
        subject: Subject { id, name: "shop".to_owned(), ..Subject::default() },
        at: play.now(),
        event_at: Timestamp::from_micros(play.now().as_micros() - 100_000),
        facts: facts.clone(),
        raised,
        cleared: Vec::new(),
        active,
        trend: Vec::new(),
    }
}

fn reports(play: &mut Analysis, facts: &Facts, active: &[SymptomKind]) -> Recorded {
    let report = report(play, facts, active);
    play.handle(AnalyzerMessage::Symptoms(report)).unwrap()
}

/// Answers the capture that is under way.
fn evidence(play: &mut Analysis, result: Result<Evidence, Undone>) -> Recorded {
    let incident = play.state.incident.clone().unwrap();
    let Phase::Capturing(key) = incident.phase else { panic!("{:?}", incident.phase) };
    let effect = CaptureEvidence { incident: incident.id, subject: incident.subject };
    let finished = Finished { effect, key, attempts: 1, result };
    play.handle(AnalyzerMessage::Evidence(finished)).unwrap()
}

fn evidence_comes(play: &mut Analysis) -> Recorded {
    evidence(play, Ok(Evidence::default()))
}

fn concludes(play: &mut Analysis, conclusion: Conclusion, until: Option<Timestamp>) -> Recorded {
    let incident = incident_of(play);
    play.handle(AnalyzerMessage::Concluded { incident, conclusion, until }).unwrap()
}

fn incident_of(play: &Analysis) -> IncidentId {
    play.state.incident.as_ref().map(|incident| incident.id.clone()).unwrap()
}

fn entries(recorded: &Recorded) -> Vec<Entry> {
    let sent = recorded.sent::<Alert>().into_iter().map(|(key, message)| {
        assert_eq!(key, ALERT);
        let AlertMessage::Record { entry, .. } = message else { panic!("{message:?}") };
        entry
    });
    sent.collect()
}

fn requests(recorded: &Recorded) -> Vec<Request> {
    let mut requests = Vec::new();
    for (_, message) in recorded.sent::<Responder>() {
        if let ResponderMessage::Remediate(request) = message {
            requests.push(request);
        }
    }
    requests
}

fn withdrawals(recorded: &Recorded) -> usize {
    let sent = recorded.sent::<Responder>().into_iter();
    sent.filter(|(_, message)| matches!(message, ResponderMessage::Withdraw { .. })).count()
}

fn diagnosis(recorded: &Recorded) -> Diagnosis {
    for entry in entries(recorded) {
        if let Entry::Diagnosed(diagnosis) = entry {
            return diagnosis;
        }
    }
    panic!("no diagnosis in {recorded:?}");
}

fn captures(recorded: &Recorded) -> usize {
    recorded.effects::<CaptureEvidence>().len()
}
