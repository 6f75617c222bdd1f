use super::*;
use crate::alert::change_of;
use crate::alert::samples::{incident, opened, second, symptom};

fn crashed() -> Entry {
    opened("web", Some("shop"), Severity::Warning)
}

fn intended() -> Entry {
    Entry::ActionIntended { action: Action::Restart, rung: 1, audit: 1 }
}

fn not_resolved(next: Option<Timestamp>) -> Entry {
    Entry::NotResolved { reason: "still unhealthy".to_owned(), next }
}

fn concluded(conclusion: Conclusion) -> Entry {
    Entry::Concluded(conclusion)
}

fn acknowledged() -> Entry {
    Entry::Acknowledged { by: "ann".to_owned(), note: None }
}

fn reopened() -> Entry {
    let back = symptom(SymptomKind::Unhealthy, Severity::Critical, "its health check fails");
    Entry::Reopened { symptoms: vec![back] }
}

fn why() -> String {
    "why".to_owned()
}

fn diagnosed(verdict: Verdict) -> Entry {
    let (rule, confidence) = ("exit_code".to_owned(), 0.9);
    Entry::Diagnosed(Diagnosis { rule, cause: why(), reason: why(), confidence, verdict })
}

#[test]
fn the_status_follows_the_entries() {
    let open = |mut rest: Vec<Entry>| {
        rest.insert(0, crashed());
        incident("inc-1", &rest).status
    };
    let verifying = || Entry::Verifying { until: second(60) };
    let done = |status, rest| assert_eq!(open(rest), status);
    done(IncidentStatus::Open, vec![]);
    done(IncidentStatus::Acknowledged, vec![acknowledged()]);
    done(IncidentStatus::Remediating, vec![acknowledged(), intended()]);
    done(IncidentStatus::Verifying, vec![intended(), verifying()]);
    done(IncidentStatus::Remediating, vec![verifying(), not_resolved(Some(second(99)))]);
    done(IncidentStatus::Open, vec![verifying(), not_resolved(None)]);
    done(IncidentStatus::Resolved, vec![verifying(), concluded(Conclusion::Resolved)]);
    done(IncidentStatus::Escalated, vec![concluded(Conclusion::Escalated(why()))]);
    done(
        IncidentStatus::Acknowledged,
        vec![concluded(Conclusion::Escalated(why())), acknowledged()],
    );
    done(IncidentStatus::Open, vec![concluded(Conclusion::Suppressed(why()))]);
    done(
        IncidentStatus::Acknowledged,
        vec![acknowledged(), concluded(Conclusion::Proposed(why()))],
    );
    done(IncidentStatus::Withdrawn, vec![concluded(Conclusion::Gone)]);
    done(IncidentStatus::Recovered, vec![Entry::Recovered { reason: why() }]);
    done(IncidentStatus::Withdrawn, vec![Entry::Withdrawn { reason: why() }]);
}

#[test]
fn a_false_alarm_wants_nobody_until_it_is_judged_otherwise() {
    let alarm = [crashed(), diagnosed(Verdict::FalseAlarm)];
    assert!(!incident("inc-1", &alarm).wants_a_person());
    let [open, alarm] = alarm;
    let real = diagnosed(Verdict::Remediate(Action::Restart));
    assert!(incident("inc-1", &[open, alarm, real]).wants_a_person());
}

#[test]
fn what_comes_late_does_not_open_a_closed_incident() {
    let closed = concluded(Conclusion::Resolved);
    let late = [intended(), acknowledged(), not_resolved(None), Entry::Recovered { reason: why() }];
    for entry in late {
        let incident = incident("inc-1", &[crashed(), closed.clone(), entry.clone()]);
        assert_eq!(incident.status, IncidentStatus::Resolved, "{entry:?}");
        assert_eq!(incident.closed_at, Some(second(11)), "{entry:?}");
        assert_eq!(incident.acknowledged_by, None, "{entry:?}");
    }
}

#[test]
fn a_reopened_incident_begins_anew_and_keeps_its_name_and_its_count() {
    let incident = incident(
        "inc-1",
        &[crashed(), acknowledged(), concluded(Conclusion::Resolved), reopened()],
    );
    assert_eq!((incident.status, incident.reopened), (IncidentStatus::Open, 1));
    assert_eq!((incident.opened_at, incident.episode_at), (second(10), second(13)));
    assert_eq!((incident.closed_at, incident.time_to_resolve), (None, None));
    assert_eq!((incident.acknowledged_by, incident.conclusion), (None, None));
    assert_eq!(incident.severity, Severity::Critical);
}

#[test]
fn a_reopening_that_overtakes_the_end_before_it_wins() {
    let mut incident = incident("inc-1", &[crashed()]);
    incident.apply(second(30), &reopened());
    incident.apply(second(30), &reopened());
    let end = concluded(Conclusion::Resolved);
    let before = incident.clone();
    incident.apply(second(29), &end);
    assert_eq!((incident.status, incident.reopened), (IncidentStatus::Open, 1));
    assert_eq!(change_of(&before, &incident, second(29), &end), None);
    incident.apply(second(40), &end);
    assert_eq!(incident.status, IncidentStatus::Resolved);
}

#[test]
fn times_count_from_the_event_and_from_the_opening() {
    let incident = incident("inc-1", &[crashed(), acknowledged(), concluded(Conclusion::Resolved)]);
    assert_eq!(incident.time_to_detect, Some(Duration::from_secs(1)));
    assert_eq!(incident.time_to_acknowledge, Some(Duration::from_secs(1)));
    assert_eq!(incident.time_to_resolve, Some(Duration::from_secs(2)));
    assert_eq!(incident.entries, 3);
}

#[test]
fn symptoms_come_and_go_and_the_worst_severity_stays() {
    let cpu = symptom(SymptomKind::HighCpu, Severity::Critical, "cpu");
    let raise = Entry::SymptomsChanged { raised: vec![cpu.clone()], cleared: vec![] };
    let clear = Entry::SymptomsChanged { raised: vec![], cleared: vec![SymptomKind::HighCpu] };
    let incident = incident("inc-1", &[crashed(), raise.clone(), raise, clear]);
    let kinds: Vec<_> = incident.symptoms.iter().map(|symptom| symptom.kind).collect();
    assert_eq!(kinds, [SymptomKind::NonZeroExit]);
    assert_eq!(incident.severity, Severity::Critical);
}

#[test]
fn an_opening_that_arrives_after_other_entries_fills_in_what_is_missing() {
    let incident = incident("inc-1", &[intended(), crashed()]);
    assert!(incident.known);
    assert_eq!(incident.subject.name, "web");
    assert_eq!(incident.status, IncidentStatus::Remediating);
}

/// What people are told when `last` happens to an incident to which `before` happened.
fn told(before: &[Entry], last: Entry) -> Option<Change> {
    let before = incident("inc-1", before);
    let mut after = before.clone();
    after.apply(second(50), &last);
    change_of(&before, &after, second(50), &last)
}

#[test]
fn people_are_told_changes_and_not_steps() {
    let open = [crashed()];
    let closed = [crashed(), concluded(Conclusion::Resolved)];
    assert_eq!(told(&[], crashed()), Some(Change::Opened));
    assert_eq!(told(&open, crashed()), None);
    assert_eq!(told(&closed, reopened()), Some(Change::Reopened));
    assert_eq!(told(&open, intended()), None);
    assert_eq!(told(&open, not_resolved(None)), None);
    assert_eq!(told(&open, acknowledged()), None);
    assert_eq!(told(&open, diagnosed(Verdict::Remediate(Action::Restart))), None);
    assert_eq!(told(&open, diagnosed(Verdict::FalseAlarm)), Some(Change::FalseAlarm));
    let unclear = diagnosed(Verdict::InsufficientEvidence(why()));
    assert_eq!(told(&open, unclear), Some(Change::Unclear));
    let no_action = diagnosed(Verdict::NoSafeAction(why()));
    assert_eq!(told(&open, no_action), Some(Change::NoSafeAction));
    let gone = concluded(Conclusion::Gone);
    assert_eq!(told(&open, gone.clone()), Some(Change::Withdrawn));
    assert_eq!(told(&closed, gone), None);
    assert_eq!(told(&closed, Entry::Recovered { reason: why() }), None);
}

#[test]
fn a_new_symptom_is_told_only_if_it_is_worse() {
    let raise = |severity| Entry::SymptomsChanged {
        raised: vec![symptom(SymptomKind::HighCpu, severity, "cpu")],
        cleared: vec![],
    };
    assert_eq!(told(&[crashed()], raise(Severity::Warning)), None);
    assert_eq!(told(&[crashed()], raise(Severity::Critical)), Some(Change::Worsened));
}
