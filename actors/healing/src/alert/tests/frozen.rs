//! What the Alert stores, as it is on the disk.

use std::iter::successors;

use perennial_runtime::frozen;
use serde_json::json;

use super::super::life::{RETIRED, Retired};
use super::super::telling::{WAITING, Waiting};
use super::*;
use crate::model::{Action, ActionOutcome};
use crate::tests::samples::{
    advice, by_name, diagnosis, evidence, finished, gate, incident, second, subject, symptom, texts,
};

fn gap() -> Gap {
    Gap { subject: subject(), gaps: texts(&["no_memory_limit", "no_health_check"]) }
}

/// Each change names the next, so that a new one has to be sampled.
fn changes() -> Vec<Change> {
    let next = |change: &Change| match change {
        Change::Opened => Some(Change::Reopened),
        Change::Reopened => Some(Change::Worsened),
        Change::Worsened => Some(Change::FalseAlarm),
        Change::FalseAlarm => Some(Change::Unclear),
        Change::Unclear => Some(Change::NoSafeAction),
        Change::NoSafeAction => Some(Change::Suppressed),
        Change::Suppressed => Some(Change::Proposed),
        Change::Proposed => Some(Change::Escalated),
        Change::Escalated => Some(Change::Resolved),
        Change::Resolved => Some(Change::Recovered),
        Change::Recovered => Some(Change::Withdrawn),
        Change::Withdrawn => Some(Change::Reminder),
        Change::Reminder => Some(Change::Coverage),
        Change::Coverage => None,
    };
    successors(Some(Change::Opened), next).collect()
}

/// Each status names the next, so that a new one has to be sampled.
fn statuses() -> Vec<IncidentStatus> {
    let next = |status: &IncidentStatus| match status {
        IncidentStatus::Open => Some(IncidentStatus::Acknowledged),
        IncidentStatus::Acknowledged => Some(IncidentStatus::Remediating),
        IncidentStatus::Remediating => Some(IncidentStatus::Verifying),
        IncidentStatus::Verifying => Some(IncidentStatus::Resolved),
        IncidentStatus::Resolved => Some(IncidentStatus::Escalated),
        IncidentStatus::Escalated => Some(IncidentStatus::Recovered),
        IncidentStatus::Recovered => Some(IncidentStatus::Withdrawn),
        IncidentStatus::Withdrawn => None,
    };
    successors(Some(IncidentStatus::Open), next).collect()
}

fn news(change: Change) -> News {
    News { incident: incident(), change, at: second(1) }
}

fn state() -> Alert {
    let news: Vec<_> = changes().into_iter().map(news).collect();
    by_name(json!({
        "groups": { "shop": { "news": news, "coverage": [gap()], "more_coverage": 300 } },
        "pruning": true,
    }))
}

fn notice() -> Notice {
    let title = "A person is needed".to_owned();
    let field = Field { title: "Rule".to_owned(), value: "hung".to_owned(), short: true };
    let item = Item {
        incident: incident(),
        subject: subject(),
        change: Change::Escalated,
        at: second(2),
        severity: Severity::Critical,
        status: IncidentStatus::Escalated,
        title: title.clone(),
        fields: vec![field],
        excerpt: texts(&["opened: it ended with exit code 3"]),
    };
    Notice {
        id: "inc-7.2".to_owned(),
        thread: "inc-7".to_owned(),
        sequence: 2,
        headline: "shop-web-1 (inc-7)".to_owned(),
        title,
        change: Change::Escalated,
        severity: Severity::Critical,
        group: "shop".to_owned(),
        environment: "production".to_owned(),
        at: second(3),
        created_at: second(4),
        items: vec![item],
        coverage: vec![gap()],
        more_coverage: 5,
    }
}

fn delivery() -> Deliver {
    Deliver { channel: "slack".to_owned(), notice: notice(), expires: second(5) }
}

fn deliveries() -> Vec<AlertMessage> {
    let ends = finished(&delivery(), "200 OK".to_owned());
    ends.into_iter().map(AlertMessage::Delivered).collect()
}

/// Each message names the next, so that a new one has to be sampled.
fn messages() -> Vec<AlertMessage> {
    let next = |message: &AlertMessage| match message {
        AlertMessage::Record { .. } => {
            let gaps = texts(&["no_memory_limit"]);
            Some(AlertMessage::Coverage { subject: subject(), gaps, at: second(6) })
        }
        AlertMessage::Coverage { .. } => {
            let (by, note) = ("ann".to_owned(), Some("I look".to_owned()));
            Some(AlertMessage::Acknowledge { incident: incident(), by, note })
        }
        AlertMessage::Acknowledge { .. } => deliveries().pop(),
        AlertMessage::Delivered(_) => Some(AlertMessage::GroupDue("shop".to_owned())),
        AlertMessage::GroupDue(_) => Some(AlertMessage::FallbackDue("inc-7.2".to_owned())),
        AlertMessage::FallbackDue(_) => Some(AlertMessage::RepeatDue(incident())),
        AlertMessage::RepeatDue(_) => Some(AlertMessage::Prune),
        AlertMessage::Prune => None,
    };
    let entry = Entry::Concluded(Conclusion::Resolved);
    let first = AlertMessage::Record { incident: incident(), at: second(7), entry };
    successors(Some(first), next).collect()
}

/// Each answer names the next, so that a new one has to be sampled.
fn acknowledgements() -> Vec<Acknowledgement> {
    let next = |answer: &Acknowledgement| match answer {
        Acknowledgement::Acknowledged => Some(Acknowledgement::Unknown),
        Acknowledgement::Unknown => Some(Acknowledgement::Closed),
        Acknowledgement::Closed => None,
    };
    successors(Some(Acknowledgement::Acknowledged), next).collect()
}

fn first_entry() -> Entry {
    Entry::Opened {
        subject: subject(),
        symptoms: vec![symptom()],
        severity: Severity::Warning,
        event_at: second(8),
    }
}

/// The entry that is sampled after `entry`.
fn next_entry(entry: &Entry) -> Option<Entry> {
    let reason = || "it still fails".to_owned();
    let next = match entry {
        Entry::Opened { .. } => Entry::Reopened { symptoms: vec![symptom()] },
        Entry::Reopened { .. } => Entry::SymptomsChanged {
            raised: vec![symptom()],
            cleared: vec![SymptomKind::MemoryLeak],
        },
        Entry::SymptomsChanged { .. } => Entry::Evidence(evidence()),
        Entry::Evidence(_) => Entry::Diagnosed(diagnosis()),
        Entry::Diagnosed(_) => Entry::Gates { action: Action::Cleanup, gates: vec![gate()] },
        Entry::Gates { .. } => {
            Entry::ActionIntended { action: Action::Restart, rung: 2, audit: 300 }
        }
        Entry::ActionIntended { .. } => {
            let outcome = ActionOutcome::Done("restarted".to_owned());
            Entry::ActionFinished { action: Action::Restart, outcome }
        }
        Entry::ActionFinished { .. } => Entry::Verifying { until: second(9) },
        Entry::Verifying { .. } => Entry::NotResolved { reason: reason(), next: Some(second(10)) },
        Entry::NotResolved { .. } => Entry::Concluded(Conclusion::Escalated(reason())),
        Entry::Concluded(_) => Entry::Recovered { reason: reason() },
        Entry::Recovered { .. } => Entry::Withdrawn { reason: reason() },
        Entry::Withdrawn { .. } => {
            Entry::Acknowledged { by: "ann".to_owned(), note: Some("I look".to_owned()) }
        }
        Entry::Acknowledged { .. } => Entry::Notification {
            channel: "slack".to_owned(),
            change: "escalated".to_owned(),
            state: "failed".to_owned(),
            attempts: 4,
            error: "503".to_owned(),
        },
        Entry::Notification { .. } => Entry::Consulted {
            mode: "diagnosis".to_owned(),
            question_hash: "0a".repeat(32),
            bytes: 4_000,
            evidence: 40,
            tokens: 1_800,
        },
        Entry::Consulted { .. } => Entry::Advised {
            advice: advice().remove(0),
            requested: Some(Action::Restart),
            note: "no rule is sure, and it is permitted".to_owned(),
        },
        Entry::Advised { .. } => return None,
    };
    Some(next)
}

fn incident_row(status: IncidentStatus) -> Incident {
    Incident {
        id: incident(),
        known: true,
        subject: subject(),
        severity: Severity::Critical,
        status,
        opened_at: second(11),
        episode_at: second(12),
        updated_at: second(13),
        closed_at: Some(second(14)),
        event_at: second(15),
        symptoms: vec![symptom()],
        diagnosis: Some(diagnosis()),
        action: Some(Action::Start),
        outcome: Some(ActionOutcome::Unknown("timed out".to_owned())),
        held_by: Some(gate()),
        conclusion: Some(Conclusion::Suppressed("cooldown".to_owned())),
        reason: Some("it still fails".to_owned()),
        acknowledged_by: Some("ann".to_owned()),
        acknowledged_at: Some(second(16)),
        reopened: 2,
        time_to_detect: Some(Duration::from_millis(1_500)),
        time_to_acknowledge: Some(Duration::from_secs(90)),
        time_to_resolve: Some(Duration::from_secs(600)),
        entries: 300,
        told: changes(),
        thread: Some(incident()),
        headline: Some("shop-web-1 (inc-7)".to_owned()),
        notices: 3,
        advice: advice().pop(),
    }
}

#[test]
fn the_format_of_the_alerts_state_is_frozen() {
    frozen("healing/alert", Alert::VERSION, &vec![state(), Alert::default()]);
}

#[test]
fn the_format_of_the_alerts_messages_and_replies_is_frozen() {
    frozen("healing/alert-message", Alert::VERSION, &messages());
    frozen("healing/alert-answer", Alert::VERSION, &deliveries());
    frozen("healing/alert-reply", Alert::VERSION, &acknowledgements());
}

#[test]
fn the_format_of_deliveries_is_frozen() {
    frozen("healing/deliver", Deliver::VERSION, &delivery());
}

#[test]
fn the_format_of_the_rows_of_incidents_is_frozen() {
    let all: Vec<_> = statuses().into_iter().map(incident_row).collect();
    frozen("healing/incidents", INCIDENTS.version(), &all);
    let retired = Retired { at: second(17), incident: incident() };
    frozen("healing/incidents-retired", RETIRED.version(), &retired);
}

#[test]
fn the_format_of_the_journal_is_frozen() {
    frozen("healing/journal", JOURNAL.version(), &steps());
}

#[test]
fn the_format_of_the_rows_of_notices_that_wait_is_frozen() {
    let waiting: Waiting = by_name(json!({
        "notice": notice(),
        "channels": ["slack", "webhook"],
    }));
    frozen("healing/alert-waiting", WAITING.version(), &waiting);
}

fn steps() -> Vec<JournalEntry> {
    let entries = (0..).zip(successors(Some(first_entry()), next_entry));
    entries.map(|(n, entry)| JournalEntry { n, at: second(18 + n), entry }).collect()
}

/// What a node of version 1 stored is read, and means the same.
#[test]
fn what_version_1_of_the_alert_stored_is_read() {
    let known = |step: &JournalEntry| {
        !matches!(step.entry, Entry::Consulted { .. } | Entry::Advised { .. })
    };
    let steps: Vec<_> = steps().into_iter().filter(known).collect();
    frozen("healing/journal", 1, &steps);
    for step in steps {
        let stored = perennial_store::encode(&step).unwrap();
        assert_eq!(older::step(1, &stored).unwrap(), step);
    }
    frozen("healing/alert", 1, &vec![state(), Alert::default()]);
    frozen("healing/alert-message", 1, &messages());
    for message in messages() {
        let stored = perennial_store::encode(&message).unwrap();
        assert_eq!(Alert::migrate_message(1, &stored).unwrap(), message);
    }
    let state = state();
    let stored = perennial_store::encode(&state).unwrap();
    assert_eq!(Alert::migrate(1, &stored).unwrap(), state);
}

#[test]
fn an_incident_of_version_1_is_one_of_which_no_model_was_asked() {
    let rows = statuses().into_iter().map(incident_row);
    let rows: Vec<_> = rows.map(|row| Incident { advice: None, ..row }).collect();
    // Version 2 added a field at the end: cut off, what is left is version 1.
    let old = |row: &Incident| {
        let mut stored = perennial_store::encode(row).unwrap();
        assert_eq!(stored.pop(), Some(0));
        stored
    };
    let old_rows: Vec<older::Incident1> =
        rows.iter().map(|row| perennial_store::decode(&old(row)).unwrap()).collect();
    frozen("healing/incidents", 1, &old_rows);
    for row in rows {
        assert_eq!(older::incident(1, &old(&row)).unwrap(), row);
    }
}
