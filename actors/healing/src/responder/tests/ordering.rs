//! What a person asks for.

use super::*;
use crate::model::Severity;

impl Scene {
    /// Orders `action`; returns its incident and what the turn of the gates recorded.
    fn order(&mut self, action: Action) -> (String, Recorded) {
        let (subject, facts) = (self.subject(), self.facts.clone());
        let order = Order { subject, facts, action, reason: "as agreed".to_owned() };
        let taken = self.tell(ResponderMessage::Order(order));
        let Ordered { incident } = taken.reply().expect("an order is answered");
        let opened = only(entries(&taken));
        assert!(matches!(opened, Entry::Opened { severity: Severity::Info, .. }), "{opened:?}");
        let ruled = self.standing(&incident.0);
        (incident.0, ruled)
    }
}

#[test]
fn an_order_passes_the_same_gates_and_is_audited_with_its_reason() {
    let mut scene = Scene::new(Config::default());
    let (incident, ruled) = scene.order(Action::Restart);
    let effect = only(ruled.effects::<EngineAction>());
    assert_eq!((effect.incident.0.as_str(), effect.action.clone()), (&*incident, Action::Restart));
    let intended = only(scene.audit());
    assert_eq!((intended.reason.as_str(), intended.gates.len()), ("as agreed", 12));
    scene.done(&effect);
    scene.play.fire_next_timer().unwrap();
    let resolved = scene.standing(&incident);
    assert_eq!(entries(&resolved), [Entry::Concluded(Conclusion::Resolved)]);
    assert!(resolved.sent::<Analyzer>().is_empty(), "no Analyzer knows of it");
}

#[test]
fn a_refused_order_is_closed_with_the_gates_reason() {
    let mut scene = Scene::new(Config::default());
    scene.facts.mode = Mode::Observe;
    let (_, ruled) = scene.order(Action::Stop);
    assert!(ruled.effects::<EngineAction>().is_empty());
    let ended = entries(&ruled).pop().unwrap();
    assert!(
        matches!(&ended, Entry::Withdrawn { reason } if reason.starts_with("refused: mode: ")),
        "{ended:?}"
    );
    assert_eq!(scene.stages(), ["refused"]);
}

#[test]
fn a_command_outside_the_allow_list_is_refused_to_a_person_too() {
    let argv = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let allow = vec![argv(&["env"])];
    let exec = Exec { enabled: true, allow, ..Exec::default() };
    let mut scene = Scene::new(Config { exec, ..Config::default() });
    let (_, refused) = scene.order(Action::Exec(argv(&["env", "sh", "-c", "id"])));
    assert!(refused.effects::<EngineAction>().is_empty());
    let (_, let_through) = scene.order(Action::Exec(argv(&["env"])));
    only(let_through.effects::<EngineAction>());
}

#[test]
fn an_order_that_leaves_the_container_as_it_is_ends_with_the_engines_answer() {
    let mut scene = Scene::new(Config::default());
    scene.facts.status = Status::Exited;
    let (_, ruled) = scene.order(Action::Cleanup);
    let ended = scene.done(&only(ruled.effects::<EngineAction>()));
    let last = entries(&ended).pop().unwrap();
    assert_eq!(last, Entry::Concluded(Conclusion::Resolved));
    assert_eq!(scene.stages(), ["intended", "finished", "resolved"]);
}
