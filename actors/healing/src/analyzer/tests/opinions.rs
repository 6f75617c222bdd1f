//! What the Analyzer makes of a model's opinion: it writes it down, and obeys only itself.

use crate::adviser::advice::{Advice, Cause, Obstacle, Opinion};
use crate::adviser::config::{Permitted, When};
use crate::adviser::{self, ADVISER, Adviser, AdviserMessage, Question};
use crate::model::Action;

use super::*;

fn asking(when: When, actions: &[Permitted]) -> Analysis {
    let model = adviser::Config { when, actions: actions.to_vec(), ..adviser::Config::default() };
    Play::new("c0ffee", Config { model, ..Config::default() })
}

fn shown() -> Evidence {
    let inspect = BTreeMap::from([("status".to_owned(), "running".to_owned())]);
    Evidence { log: vec!["fatal".to_owned()], inspect, ..Evidence::default() }
}

fn questions(turn: &Recorded) -> Vec<Question> {
    let sent = turn.sent::<Adviser>().into_iter().map(|(key, message)| {
        assert_eq!(key, ADVISER);
        let AdviserMessage::Consult(question) = message else { panic!("{message:?}") };
        question
    });
    sent.collect()
}

fn opinion(action: Option<Action>, confidence: f64) -> Opinion {
    Opinion {
        model: "small".to_owned(),
        cause: Cause::ProgramError,
        text: "It hangs.".to_owned(),
        confidence,
        severity: Severity::Critical,
        action,
        evidence: vec!["log:1".to_owned()],
        tokens: 100,
        answer_hash: String::new(),
    }
}

fn advises(play: &mut Analysis, basis: &str, opinion: Opinion) -> Recorded {
    let (incident, basis) = (incident_of(play), basis.to_owned());
    let advice = Advice::Given(opinion);
    play.handle(AnalyzerMessage::Advised { incident, basis, advice }).unwrap()
}

/// What came of the advice: the action asked for, and why or why not.
fn noted(turn: &Recorded) -> (Option<Action>, String) {
    for entry in entries(turn) {
        if let Entry::Advised { requested, note, .. } = entry {
            return (requested, note);
        }
    }
    panic!("no advice in {turn:?}");
}

/// No rule is sure of it.
fn unclear(play: &mut Analysis) -> Recorded {
    let facts = Facts { cpu: Some(0.88), ..running() };
    reports(play, &facts, &[HighCpu, Unhealthy]);
    play.state.incident.as_mut().unwrap().active.retain(|symptom| symptom.kind == HighCpu);
    play.state.history.push(history::Episode { at: play.now(), ..history::Episode::default() });
    let turn = evidence(play, Ok(shown()));
    assert!(matches!(diagnosis(&turn).verdict, Verdict::InsufficientEvidence(_)), "{turn:?}");
    turn
}

/// A rule is sure of it, and asks for a restart.
fn clear(play: &mut Analysis) -> Recorded {
    reports(play, &exited(1), &[NonZeroExit]);
    let turn = evidence(play, Ok(shown()));
    assert_eq!(requests(&turn).len(), 1);
    turn
}

#[test]
fn a_model_is_asked_as_often_as_is_configured_and_by_default_never() {
    let table = [(When::Never, 0, 0), (When::Unknown, 0, 1), (When::Always, 1, 1)];
    for (when, of_clear, of_unclear) in table {
        assert_eq!(questions(&clear(&mut asking(when, &[]))).len(), of_clear, "{when:?}");
        assert_eq!(questions(&unclear(&mut asking(when, &[]))).len(), of_unclear, "{when:?}");
    }
    assert_eq!(Config::default().model.when, When::Never);
}

#[test]
fn a_rule_that_is_sure_acts_in_the_turn_in_which_the_model_is_only_asked() {
    let mut play = asking(When::Always, &[Permitted::Restart]);
    let turn = clear(&mut play);
    assert_eq!((requests(&turn).len(), questions(&turn).len()), (1, 1));
    let basis = questions(&turn)[0].basis.clone();
    let turn = advises(&mut play, &basis, opinion(Some(Action::Restart), 1.0));
    assert_eq!(requests(&turn), []);
    assert_eq!(noted(&turn).0, None);
}

#[test]
fn the_same_is_not_asked_twice() {
    let mut play = asking(When::Always, &[]);
    let turn = unclear(&mut play);
    assert_eq!(questions(&turn).len(), 1);
    capture(play.state.incident.as_mut().unwrap());
    let turn = evidence(&mut play, Ok(shown()));
    assert_eq!(questions(&turn).len(), 0, "{turn:?}");
}

/// As if evidence were being taken again.
fn capture(incident: &mut Incident) {
    incident.phase = Phase::Capturing(crate::tests::samples::key());
}

#[test]
fn without_evidence_or_where_the_label_forbids_it_no_model_is_asked_and_that_is_said() {
    let mut play = asking(When::Always, &[]);
    reports(&mut play, &exited(1), &[NonZeroExit]);
    let late = play.fire_next_timer().unwrap();
    let mut told = vec![late];
    let mut labelled = shown();
    labelled.inspect.insert("perennial.model".to_owned(), "never".to_owned());
    let mut play = asking(When::Always, &[]);
    reports(&mut play, &exited(1), &[NonZeroExit]);
    told.push(evidence(&mut play, Ok(labelled)));
    for (turn, obstacle) in told.iter().zip([Obstacle::NoEvidence, Obstacle::Forbidden]) {
        assert_eq!((questions(turn), requests(turn).len()), (Vec::new(), 1), "{obstacle:?}");
        let found = entries(turn).into_iter().any(|entry| {
            matches!(entry, Entry::Advised { advice: Advice::NotAsked { by, .. }, .. } if by == obstacle)
        });
        assert!(found, "{turn:?}");
    }
}

#[test]
fn a_model_may_pick_a_restart_only_where_that_is_permitted_and_no_rule_is_sure() {
    let restart = Some(Action::Restart);
    let table = [
        (vec![Permitted::Restart], restart.clone(), 0.9, true, "it is permitted"),
        (vec![Permitted::Restart], restart.clone(), 0.69, false, "sure to 0.69"),
        (vec![Permitted::Restart], Some(Action::Stop), 1.0, false, "stop is not in"),
        (vec![Permitted::Restart], Some(Action::Cleanup), 1.0, false, "cleanup is not in"),
        (vec![Permitted::Restart], None, 1.0, false, "proposes nothing"),
        (vec![], restart, 1.0, false, "restart is not in"),
    ];
    for (actions, action, confidence, asks, why) in table {
        let mut play = asking(When::Unknown, &actions);
        let basis = questions(&unclear(&mut play))[0].basis.clone();
        let turn = advises(&mut play, &basis, opinion(action, confidence));
        let (requested, note) = noted(&turn);
        assert!(note.contains(why), "{note}");
        assert_eq!((requested.is_some(), requests(&turn).len() == 1), (asks, asks), "{why}");
        for request in requests(&turn) {
            // The gates see what asked, and decide.
            assert_eq!((request.action, request.rule.as_str()), (Action::Restart, "model:small"));
        }
    }
}

#[test]
fn an_opinion_on_what_has_changed_or_is_over_changes_nothing() {
    let mut play = asking(When::Unknown, &[Permitted::Restart]);
    unclear(&mut play);
    let turn = advises(&mut play, "another basis", opinion(Some(Action::Restart), 1.0));
    assert!(noted(&turn).1.contains("changed") && requests(&turn).is_empty());
    let basis = questions(&unclear(&mut asking(When::Unknown, &[])))[0].basis.clone();
    play.state.incident.as_mut().unwrap().active.clear();
    let turn = advises(&mut play, &basis, opinion(Some(Action::Restart), 1.0));
    assert!(noted(&turn).1.contains("over by then") && requests(&turn).is_empty());
}
