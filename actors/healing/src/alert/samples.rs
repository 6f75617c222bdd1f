//! Incidents and notices for tests.

use perennial_runtime::{Attempt, IdempotencyKey, Timestamp};

use crate::alert::{Change, Entry, Field, Incident, IncidentStatus, Item, Notice};
use crate::model::{ContainerId, IncidentId, Severity, Subject, Symptom, SymptomKind};

pub(super) fn second(n: u64) -> Timestamp {
    Timestamp::from_micros(n * 1_000_000)
}

pub(super) fn subject(name: &str, project: Option<&str>) -> Subject {
    Subject {
        id: ContainerId(format!("{name:0<64}")),
        name: name.to_owned(),
        image: "shop/web:1".to_owned(),
        project: project.map(str::to_owned),
        ..Subject::default()
    }
}

pub(super) fn symptom(kind: SymptomKind, severity: Severity, text: &str) -> Symptom {
    Symptom { kind, severity, since: second(5), actual: 1.0, threshold: 0.0, text: text.to_owned() }
}

pub(super) fn opened(name: &str, project: Option<&str>, severity: Severity) -> Entry {
    Entry::Opened {
        subject: subject(name, project),
        symptoms: vec![symptom(SymptomKind::NonZeroExit, severity, "it ended with exit code 3")],
        severity,
        event_at: second(9),
    }
}

/// An incident to which `entries` happened, a second apart from second 10 on.
pub(super) fn incident(id: &str, entries: &[Entry]) -> Incident {
    let mut incident = Incident::begin(IncidentId(id.to_owned()), second(10));
    for (n, entry) in (10..).zip(entries) {
        incident.apply(second(n), entry);
    }
    incident
}

/// A notice about one container, with `text` wherever a container can put its own.
pub(super) fn notice(text: &str) -> Notice {
    let field = |title: &str, value: &str, short| Field {
        title: title.to_owned(),
        value: value.to_owned(),
        short,
    };
    let item = Item {
        incident: IncidentId("inc-7".to_owned()),
        subject: subject("web", Some("shop")),
        change: Change::Escalated,
        at: second(1_700_000_000),
        severity: Severity::Critical,
        status: IncidentStatus::Escalated,
        title: format!("A person is needed: {text}"),
        fields: vec![field("Container", text, true), field("Reason", text, false)],
        excerpt: vec![format!("2023-11-14T22:13:20Z opened: {text}")],
    };
    Notice {
        id: "inc-7.2".to_owned(),
        thread: "inc-7".to_owned(),
        sequence: 2,
        headline: format!("{text} (inc-7)"),
        title: item.title.clone(),
        change: item.change,
        severity: item.severity,
        group: "shop".to_owned(),
        environment: "test".to_owned(),
        at: item.at,
        created_at: second(1_700_000_001),
        items: vec![item],
        coverage: Vec::new(),
        more_coverage: 0,
    }
}

/// A key as the runtime makes them.
pub(super) fn key(text: &str) -> IdempotencyKey {
    serde_json::from_str(&format!("\"{text}\"")).unwrap()
}

pub(super) fn attempt() -> Attempt {
    let now = second(1_700_000_002);
    Attempt { key: key("00ff"), number: 1, intended_at: now, now }
}
