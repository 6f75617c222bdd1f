//! How an incident opens, changes, waits and ends.

use super::*;

#[test]
fn a_first_report_opens_an_incident_at_once_and_takes_evidence_before_any_action() {
    let mut play = play();
    let opened = reports(&mut play, &exited(1), &[NonZeroExit]);
    let [Entry::Opened { severity, symptoms, .. }] = &entries(&opened)[..] else { panic!() };
    assert_eq!((*severity, symptoms.len()), (Severity::Critical, 1));
    assert_eq!(captures(&opened), 1);
    assert!(opened.sent::<Responder>().is_empty());
    let incident = incident_of(&play);
    assert!(incident.0.starts_with("inc-") && incident.0.len() == 14, "{incident}");
    let delay = opened.observations().iter().find(|o| o.metric == DETECTION_DELAY).unwrap();
    assert!((delay.value - 0.1).abs() < 1e-9);
    let count = opened.observations().iter().find(|o| o.metric == INCIDENTS).unwrap();
    let labels: BTreeMap<_, _> = count.labels.iter().cloned().collect();
    assert_eq!(labels.get("severity").map(String::as_str), Some("critical"));
    assert_eq!(labels.get("symptom").map(String::as_str), Some("non_zero_exit"));
}

#[test]
fn evidence_is_recorded_before_the_diagnosis_and_the_request_carries_what_fences_it() {
    let mut play = play();
    reports(&mut play, &exited(1), &[NonZeroExit]);
    let diagnosed = evidence_comes(&mut play);
    let entries = entries(&diagnosed);
    assert!(matches!(entries[..], [Entry::Evidence(_), Entry::Diagnosed(_)]), "{entries:?}");
    let request = requests(&diagnosed).remove(0);
    assert_eq!(request.incident, incident_of(&play));
    assert_eq!(request.facts.started_at, "run 1");
    assert_eq!(request.deadline, play.now() + Duration::from_secs(60));
    assert_eq!(request.signature, "exit=1 oom=false symptoms=non_zero_exit");
    assert_eq!(request.symptoms, [NonZeroExit]);
    let rule = diagnosed.observations().iter().find(|o| o.metric == DIAGNOSES).unwrap();
    assert_eq!(rule.labels, [("rule", "exit_code".to_owned())]);
}

#[test]
fn evidence_that_fails_or_does_not_come_delays_nothing_for_more_than_three_seconds() {
    let mut failed = play();
    reports(&mut failed, &exited(1), &[NonZeroExit]);
    let diagnosed = evidence(&mut failed, Err(Undone::Failed("no engine".to_owned())));
    let [Entry::Evidence(evidence), Entry::Diagnosed(_)] = &entries(&diagnosed)[..] else {
        panic!()
    };
    assert_eq!(evidence.missing, ["everything: failed: no engine"]);
    assert_eq!(requests(&diagnosed).len(), 1);

    let mut late = play();
    reports(&mut late, &exited(1), &[NonZeroExit]);
    let asked = late.now();
    let capture = late.state.incident.clone().unwrap();
    let diagnosed = late.fire_next_timer().unwrap();
    assert_eq!(late.now().since(asked), Duration::from_secs(3));
    assert_eq!(requests(&diagnosed).len(), 1);

    let Phase::Capturing(key) = capture.phase else { panic!() };
    let effect = CaptureEvidence { incident: capture.id, subject: capture.subject };
    let finished = Finished { effect, key, attempts: 2, result: Ok(Evidence::default()) };
    let recorded = late.handle(AnalyzerMessage::Evidence(finished)).unwrap();
    assert!(matches!(entries(&recorded)[..], [Entry::Evidence(_)]));
    assert!(requests(&recorded).is_empty());
}

#[test]
fn a_report_that_changes_nothing_leaves_no_trace_in_the_journal() {
    let mut play = play();
    reports(&mut play, &running(), &[Unhealthy]);
    evidence_comes(&mut play);
    let again = reports(&mut play, &running(), &[Unhealthy]);
    assert!(again.is_quiet());
    let mut healthy = super::play();
    let nothing = reports(&mut healthy, &running(), &[]);
    assert!(entries(&nothing).is_empty() && captures(&nothing) == 0 && nothing.stops());
}

#[test]
fn symptoms_gone_for_thirty_seconds_without_an_action_are_a_recovery() {
    let mut play = play();
    reports(&mut play, &running(), &[MemoryLeak]);
    evidence_comes(&mut play);
    let cleared = reports(&mut play, &running(), &[]);
    let [Entry::SymptomsChanged { raised, cleared }] = &entries(&cleared)[..] else { panic!() };
    assert_eq!((raised.len(), &cleared[..]), (0, &[MemoryLeak][..]));
    let before = play.now();
    let settled = play.fire_next_timer().unwrap();
    assert_eq!(play.now().since(before), Duration::from_secs(30));
    assert!(matches!(entries(&settled)[..], [Entry::Recovered { .. }]));
    assert!(play.state.incident.is_none());
}

#[test]
fn symptoms_that_return_within_the_window_are_no_recovery() {
    let mut play = play();
    reports(&mut play, &running(), &[MemoryLeak]);
    evidence_comes(&mut play);
    reports(&mut play, &running(), &[]);
    play.advance(Duration::from_secs(29));
    reports(&mut play, &running(), &[MemoryLeak]);
    assert_eq!(play.timers(), []);
}

#[test]
fn while_the_responder_works_nothing_else_closes_the_incident() {
    let mut play = play();
    reports(&mut play, &running(), &[Unhealthy]);
    assert_eq!(requests(&evidence_comes(&mut play)).len(), 1);
    reports(&mut play, &running(), &[]);
    assert!(play.fire_next_timer().unwrap().is_quiet());
    assert!(play.state.incident.is_some());
    concludes(&mut play, Conclusion::Resolved, None);
    assert!(play.state.incident.is_none());
}

#[test]
fn a_container_that_falls_ill_again_within_fifteen_minutes_gets_its_incident_back() {
    let mut play = play();
    reports(&mut play, &running(), &[Unhealthy]);
    let first = incident_of(&play);
    evidence_comes(&mut play);
    reports(&mut play, &running(), &[]);
    concludes(&mut play, Conclusion::Resolved, None);
    play.advance(Duration::from_secs(14 * 60));
    let reopened = reports(&mut play, &running(), &[Unhealthy]);
    assert!(matches!(entries(&reopened)[..], [Entry::Reopened { .. }]));
    assert_eq!(incident_of(&play), first);
    assert_eq!(requests(&evidence_comes(&mut play)).len(), 1);
    reports(&mut play, &running(), &[]);
    concludes(&mut play, Conclusion::Resolved, None);
    play.advance(Duration::from_secs(16 * 60));
    let opened = reports(&mut play, &running(), &[Unhealthy]);
    assert!(matches!(entries(&opened)[..], [Entry::Opened { .. }]));
    assert_ne!(incident_of(&play), first);
}

#[test]
fn resolved_while_a_symptom_has_just_returned_is_open_again_at_once() {
    let mut play = play();
    reports(&mut play, &running(), &[Unhealthy]);
    evidence_comes(&mut play);
    let resolved = concludes(&mut play, Conclusion::Resolved, None);
    assert!(matches!(entries(&resolved)[..], [Entry::Reopened { .. }]));
    assert_eq!(captures(&resolved), 1);
}

#[test]
fn an_action_held_by_a_gate_is_asked_for_again_when_the_gate_opens() {
    let mut play = play();
    reports(&mut play, &running(), &[Unhealthy]);
    evidence_comes(&mut play);
    let opens = play.now() + Duration::from_secs(3600);
    concludes(&mut play, Conclusion::Suppressed("cooldown".to_owned()), Some(opens));
    let again = play.fire_next_timer().unwrap();
    assert_eq!((play.now(), captures(&again)), (opens, 1));
    assert_eq!(requests(&evidence_comes(&mut play)).len(), 1);
}

#[test]
fn an_action_held_for_ever_is_asked_for_a_bounded_number_of_times() {
    let mut play = play();
    reports(&mut play, &running(), &[Unhealthy]);
    let mut asked = requests(&evidence_comes(&mut play)).len();
    concludes(&mut play, Conclusion::Suppressed("budget".to_owned()), None);
    while play.fire_next_timer().is_ok() {
        asked += requests(&evidence_comes(&mut play)).len();
        concludes(&mut play, Conclusion::Suppressed("budget".to_owned()), None);
    }
    assert_eq!(asked, 6);
    assert!(play.state.incident.is_some());
}

#[test]
fn an_action_held_by_a_gate_is_not_asked_for_once_the_symptom_is_gone() {
    let mut play = play();
    reports(&mut play, &running(), &[Unhealthy]);
    evidence_comes(&mut play);
    let opens = play.now() + Duration::from_secs(20);
    concludes(&mut play, Conclusion::Suppressed("blast radius".to_owned()), Some(opens));
    reports(&mut play, &running(), &[]);
    assert_eq!(captures(&play.fire_next_timer().unwrap()), 0);
    assert!(matches!(entries(&play.fire_next_timer().unwrap())[..], [Entry::Recovered { .. }]));
}

#[test]
fn an_escalated_incident_stays_open_without_further_action_until_something_changes() {
    let mut play = play();
    reports(&mut play, &running(), &[Unhealthy]);
    evidence_comes(&mut play);
    concludes(&mut play, Conclusion::Escalated("three times".to_owned()), None);
    assert_eq!(play.timers(), []);
    play.advance(Duration::from_secs(3600));
    assert!(reports(&mut play, &running(), &[Unhealthy]).is_quiet());
    let worse = reports(&mut play, &exited(1), &[Unhealthy, NonZeroExit]);
    assert_eq!(captures(&worse), 1);
    assert_eq!(diagnosis(&evidence_comes(&mut play)).rule, "exit_code");
}

#[test]
fn new_symptoms_are_diagnosed_again_but_never_more_often_than_every_ten_seconds() {
    let mut play = play();
    reports(&mut play, &running(), &[MemoryLeak]);
    evidence_comes(&mut play);
    let asked = play.now();
    play.advance(Duration::from_secs(1));
    assert_eq!(captures(&reports(&mut play, &running(), &[MemoryLeak, HighCpu])), 0);
    assert_eq!(captures(&play.fire_next_timer().unwrap()), 1);
    assert_eq!(play.now().since(asked), Duration::from_secs(10));
}

#[test]
fn a_container_stopped_by_its_operator_or_removed_ends_the_incident_and_the_ladder() {
    let mut play = play();
    reports(&mut play, &exited(1), &[NonZeroExit]);
    evidence_comes(&mut play);
    let reason = "an operator stopped it".to_owned();
    let at = play.now();
    let gone = play.handle(AnalyzerMessage::Withdrawn { at, reason }).unwrap();
    assert!(matches!(entries(&gone)[..], [Entry::Withdrawn { .. }]));
    assert_eq!(withdrawals(&gone), 1);
    assert!(gone.stops() && play.state == Analyzer::default());
}

#[test]
fn evidence_for_an_incident_that_is_over_is_ignored() {
    let mut play = play();
    reports(&mut play, &exited(1), &[NonZeroExit]);
    let open = play.state.incident.clone().unwrap();
    let Phase::Capturing(key) = open.phase else { panic!() };
    let (at, reason) = (play.now(), "removed".to_owned());
    play.handle(AnalyzerMessage::Withdrawn { at, reason }).unwrap();
    let effect = CaptureEvidence { incident: open.id, subject: open.subject };
    let finished = Finished { effect, key, attempts: 1, result: Ok(Evidence::default()) };
    let stray = play.handle(AnalyzerMessage::Evidence(finished)).unwrap();
    assert!(entries(&stray).is_empty() && requests(&stray).is_empty() && stray.stops());
}

#[test]
fn a_container_that_has_been_well_for_an_hour_is_forgotten() {
    let mut play = play();
    reports(&mut play, &running(), &[MemoryLeak]);
    evidence_comes(&mut play);
    reports(&mut play, &running(), &[]);
    play.fire_next_timer().unwrap();
    let closed = play.now();
    let forgotten = play.fire_next_timer().unwrap();
    assert!(forgotten.stops());
    assert_eq!(play.now().since(closed), Duration::from_secs(3600));
}

#[test]
fn an_answer_about_another_incident_or_after_a_withdrawal_changes_nothing() {
    let mut play = play();
    reports(&mut play, &running(), &[Unhealthy]);
    let early = concludes(&mut play, Conclusion::Resolved, None);
    assert!(early.is_quiet());
    evidence_comes(&mut play);
    let incident = IncidentId("inc-other".to_owned());
    let other = AnalyzerMessage::Concluded { incident, conclusion: Conclusion::Gone, until: None };
    assert!(play.handle(other).unwrap().is_quiet());
}

#[test]
fn the_state_stays_small_however_long_a_container_flaps() {
    let mut play = play();
    for round in 0..500_i64 {
        play.advance(Duration::from_secs(11));
        reports(&mut play, &exited(round % 100), &[NonZeroExit, HighCpu]);
        let capturing = |play: &Analysis| {
            let phase = play.state.incident.as_ref().map(|incident| incident.phase.clone());
            matches!(phase, Some(Phase::Capturing(_)))
        };
        if capturing(&play) {
            evidence_comes(&mut play);
        }
        if round % 3 == 0 {
            concludes(&mut play, Conclusion::Escalated("no".to_owned()), None);
        }
        reports(&mut play, &running(), &[]);
    }
    let size = serde_json::to_vec(&play.state).unwrap().len();
    assert!(size < 10_000, "{size} bytes");
}
