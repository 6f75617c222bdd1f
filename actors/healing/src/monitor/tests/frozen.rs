//! What the Monitor and its sensors store, as it is on the disk.

use std::iter::successors;

use perennial_runtime::{Effect, Finished, Undone, frozen};
use serde_json::json;

use super::super::confirm::Confirm;
use super::super::docker::{EventPosition, ListPosition, SeenEvent};
use super::*;
use crate::tests::samples::{by_name, facts, incident, second, subject, symptom, texts};

/// All positions of sensors have this version.
const POSITION: u16 = 1;

fn state() -> Monitor {
    let streak = json!({ "since": second(4), "sum": 4.25, "samples": 5, "sure": true });
    by_name(json!({
        "subject": subject(),
        "labels": [["perennial.mode", "auto"], ["autoheal", "true"]],
        "facts": facts(),
        "stop_signal": 15,
        "has_health_check": true,
        "inspected_at": second(1),
        "event_at": second(2),
        "ended": true,
        "end_confirmed_at": second(3),
        "run_expected": true,
        "ended_before_us": true,
        "intent": { "asked": second(5), "stopped": second(6), "unexplained": second(26) },
        "acting_until": second(27),
        "starts": [second(7), second(8)],
        "counted": [second(9)],
        "flips": [second(10), second(11)],
        "oom_at": second(12),
        "usage": {
            "at": second(13),
            "cpu_total_ns": 5_000_000_000_u64,
            "cpu": streak,
            "memory": { "since": null, "sum": 0.5, "samples": 1, "sure": false },
            "pressure": streak,
            "host": host(),
            "trend": [[second(14), 1 << 20], [second(15), 2 << 20]],
            "recent": [[0.5, 0.25], [0.75, 0.125]],
        },
        "symptoms": [symptom()],
        "ended_symptoms": [[SymptomKind::OomKilled, second(16)]],
        "reported": true,
        "withdrawn": true,
        "coverage_told": true,
        "deploying_until": second(17),
        "wake": second(18),
    }))
}

fn inspection() -> Inspection {
    Inspection {
        at: second(20),
        subject: subject(),
        facts: facts(),
        labels: vec![("perennial.cpu".to_owned(), "90".to_owned())],
        created_at: second(19),
        stop_signal: Some(-1),
        has_health_check: true,
    }
}

fn host() -> HostMemory {
    HostMemory { total: 8 << 30, available: 1 << 30, stalled: Some(0.125), largest: true }
}

fn sample() -> Sample {
    Sample {
        at: second(21),
        started_at: "2023-11-14T22:13:20.5Z".to_owned(),
        cpu_total_ns: 7_000_000_000,
        memory_bytes: 64 << 20,
        memory_limit: Some(256 << 20),
        host_cpus: 4,
        network_bytes: (1_000, 200_000),
        block_bytes: (300, 70_000),
        host: Some(host()),
    }
}

/// Each kind names the next, so that a new one has to be sampled.
fn events() -> Vec<MonitorMessage> {
    let next = |kind: &EventKind| match kind {
        EventKind::Create => Some(EventKind::Start),
        EventKind::Start => Some(EventKind::Die(137)),
        EventKind::Die(_) => Some(EventKind::Oom),
        EventKind::Oom => Some(EventKind::HealthStatus("unhealthy".to_owned())),
        EventKind::HealthStatus(_) => Some(EventKind::Kill(9)),
        EventKind::Kill(_) => Some(EventKind::Stop),
        EventKind::Stop => Some(EventKind::Destroy),
        EventKind::Destroy => Some(EventKind::Rename("shop-web-2".to_owned())),
        EventKind::Rename(_) => None,
    };
    let kinds = successors(Some(EventKind::Create), next);
    kinds.map(|kind| MonitorMessage::Event(ContainerEvent { at: second(22), kind }, None)).collect()
}

/// Each message names the next, so that a new one has to be sampled.
fn messages() -> Vec<MonitorMessage> {
    let next = |message: &MonitorMessage| match message {
        MonitorMessage::Event(..) => Some(MonitorMessage::Listed(inspection())),
        MonitorMessage::Listed(_) => Some(MonitorMessage::Gone { at: second(23) }),
        MonitorMessage::Gone { .. } => Some(MonitorMessage::Sampled(sample())),
        MonitorMessage::Sampled(_) => Some(MonitorMessage::Report { incident: incident() }),
        MonitorMessage::Report { .. } => Some(MonitorMessage::Tick),
        MonitorMessage::Tick => Some(MonitorMessage::Acting { until: second(28) }),
        // Came later: they have a sample of their own.
        MonitorMessage::Acting { .. }
        | MonitorMessage::Confirm { .. }
        | MonitorMessage::Confirmed(_) => None,
    };
    let event = ContainerEvent { at: second(22), kind: EventKind::Die(-1) };
    successors(Some(MonitorMessage::Event(event, Some(inspection()))), next).collect()
}

#[test]
fn the_format_of_the_monitors_state_is_frozen() {
    frozen("healing/monitor", Monitor::VERSION, &vec![state(), Monitor::default()]);
}

#[test]
fn the_format_of_the_monitors_messages_is_frozen() {
    frozen("healing/monitor-message", Monitor::VERSION, &messages());
    frozen("healing/monitor-event", Monitor::VERSION, &events());
    let confirm = Confirm { incident: incident(), container: subject().id };
    let confirmed = |result| {
        let key = serde_json::from_str("\"0f\"").unwrap();
        let effect = confirm.clone();
        MonitorMessage::Confirmed(Finished { effect, key, attempts: 2, result })
    };
    let confirming = vec![
        MonitorMessage::Confirm { incident: incident() },
        confirmed(Ok(Some(inspection()))),
        confirmed(Ok(None)),
        confirmed(Err(Undone::Failed("the engine is not there".to_owned()))),
    ];
    frozen("healing/monitor-confirming", Monitor::VERSION, &confirming);
    frozen("healing/confirm", <Confirm as Effect>::VERSION, &confirm);
}

#[test]
fn the_format_of_the_rows_of_containers_is_frozen() {
    let row = ContainerRow {
        subject: subject(),
        facts: facts(),
        coverage: texts(&["no_memory_limit", "no_health_check"]),
        symptoms: vec![symptom()],
        watched: true,
        reason: "label autoheal=true".to_owned(),
        ignored_labels: texts(&["label perennial.mode=on is ignored"]),
        sampled_at: Some(second(24)),
        updated_at: second(25),
    };
    frozen("healing/containers", CONTAINERS.version(), &row);
}

#[test]
fn the_format_of_the_sensors_positions_is_frozen() {
    let nanos = 1_700_000_000_123_456_789;
    let event = |nanos, action: &str| {
        let (id, action) = ("c0ffee".to_owned(), action.to_owned());
        SeenEvent { nanos, id, action }
    };
    let seen = vec![event(nanos - 1_000_000, "die"), event(nanos, "start")];
    let events = EventPosition { nanos, floor: nanos - 250_000_000, seen };
    frozen("healing/docker-events", POSITION, &events);
    let containers = [("c0ffee", "shop"), ("decaf", "")];
    let own = |(id, project): (&str, &str)| (id.to_owned(), project.to_owned());
    let list = ListPosition { containers: containers.into_iter().map(own).collect() };
    frozen("healing/docker-list", POSITION, &list);
}
