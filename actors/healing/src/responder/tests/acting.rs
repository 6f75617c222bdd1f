//! From a request to the engine.

use super::*;
use crate::metrics;

#[test]
fn a_request_asks_the_monitor_and_acts_on_its_answer_with_the_intent_on_record() {
    let mut scene = Scene::new(Config::default());
    let request = scene.request("inc-1");
    let asked = scene.tell(ResponderMessage::Remediate(request));
    assert_eq!(only(asked.sent::<Monitor>()).0, "c1");
    assert!(asked.effects::<EngineAction>().is_empty());
    let acted = scene.standing("inc-1");
    let effect = only(acted.effects::<EngineAction>());
    assert_eq!((effect.action.clone(), effect.started_at.as_str()), (Action::Restart, RUN));
    assert_eq!(effect.stop_timeout, 10);
    let audit = only(scene.audit());
    assert_eq!((audit.stage, audit.gates.len()), (Stage::Intended, 12));
    let intended = Entry::ActionIntended { action: Action::Restart, rung: 1, audit: 1 };
    let journal = entries(&acted);
    assert!(matches!(journal[0], Entry::Gates { .. }));
    assert_eq!(journal[1], intended);
    assert!(scene.play.timers().is_empty(), "nothing waits for time before the engine answers");
}

#[test]
fn the_containers_own_stop_timeout_is_kept() {
    let mut scene = Scene::new(Config::default());
    scene.facts.stop_timeout = Some(45);
    let effect = only(scene.ask().effects::<EngineAction>());
    assert_eq!(effect.stop_timeout, 45);
    use perennial_runtime::Effect;
    let policy = effect.policy();
    assert_eq!((policy.timeout, policy.expires), (AWAY + seconds(75), Some(effect.deadline)));
}

#[test]
fn the_same_request_twice_is_one_action() {
    let mut scene = Scene::new(Config { cooldown: Duration::ZERO, ..Config::default() });
    let request = scene.request("inc-1");
    scene.tell(ResponderMessage::Remediate(request.clone()));
    assert!(scene.tell(ResponderMessage::Remediate(request.clone())).is_quiet());
    let effect = only(scene.standing("inc-1").effects::<EngineAction>());
    assert!(scene.standing("inc-1").is_quiet());
    assert!(scene.tell(ResponderMessage::Remediate(request.clone())).is_quiet());
    scene.done(&effect);
    scene.play.fire_next_timer().unwrap();
    let resolved = scene.standing("inc-1");
    assert_eq!(conclusion(&resolved).unwrap().1, Conclusion::Resolved);
    assert!(scene.tell(ResponderMessage::Remediate(request)).is_quiet());
}

#[test]
fn two_requests_for_one_container_at_the_same_moment_are_one_action() {
    let mut scene = Scene::new(Config { cooldown: Duration::ZERO, ..Config::default() });
    let (one, two) = (scene.request("inc-1"), scene.request("inc-2"));
    scene.tell(ResponderMessage::Remediate(one));
    scene.tell(ResponderMessage::Remediate(two));
    only(scene.standing("inc-1").effects::<EngineAction>());
    let (why, _) = suppressed(&scene.standing("inc-2"));
    assert!(why.contains("under way for incident inc-1"), "{why}");
}

#[test]
fn an_answer_of_the_engine_is_counted_audited_and_watched() {
    let mut scene = Scene::new(Config::default());
    let effect = only(scene.ask().effects::<EngineAction>());
    scene.play.advance(seconds(11));
    let outcome = ActionOutcome::Reconciled("started after the intent".to_owned());
    let finished = scene.finish(&effect, Ok(outcome.clone()));
    assert_eq!(counted(&finished, metrics::ACTIONS), ["restart reconciled"]);
    assert_eq!(counted(&finished, metrics::ACTION_DURATION), ["restart"]);
    let until = scene.play.now() + seconds(30);
    let action = Action::Restart;
    let expected = vec![Entry::ActionFinished { action, outcome }, Entry::Verifying { until }];
    assert_eq!(entries(&finished), expected);
    assert_eq!(scene.stages(), ["intended", "finished"]);
    assert_eq!(scene.play.timers(), [("step:inc-1".to_owned(), until)]);
}

#[test]
fn an_action_that_expired_before_the_engine_was_asked_is_left_to_a_person() {
    let mut scene = Scene::new(Config::default());
    let effect = only(scene.ask().effects::<EngineAction>());
    let expired = Err(Undone::Expired("the engine cannot be reached".to_owned()));
    let finished = scene.finish(&effect, expired);
    assert!(escalated(&finished).contains("not done before its deadline"));
    assert!(scene.play.timers().is_empty());
}

#[test]
fn a_withdrawn_incident_is_not_acted_upon() {
    let mut scene = Scene::new(Config::default());
    let request = scene.request("inc-1");
    scene.tell(ResponderMessage::Remediate(request));
    let incident = IncidentId("inc-1".to_owned());
    let reason = "the container is gone".to_owned();
    let withdrawn = scene.tell(ResponderMessage::Withdraw { incident, reason });
    assert!(conclusion(&withdrawn).is_none());
    assert!(scene.standing("inc-1").is_quiet());
    assert_eq!(scene.stages(), ["withdrawn"]);
    assert!(scene.play.timers().is_empty());
}

#[test]
fn an_action_under_way_is_recorded_although_its_incident_was_withdrawn() {
    let mut scene = Scene::new(Config::default());
    let effect = only(scene.ask().effects::<EngineAction>());
    let incident = IncidentId("inc-1".to_owned());
    scene.tell(ResponderMessage::Withdraw { incident, reason: "recovered".to_owned() });
    let finished = scene.done(&effect);
    assert!(conclusion(&finished).is_none());
    assert_eq!(counted(&finished, metrics::ACTIONS), ["restart done"]);
    assert_eq!(scene.stages(), ["intended", "finished", "withdrawn"]);
    assert!(scene.play.timers().is_empty());
    let (why, _) = suppressed(&scene.ask());
    assert!(why.starts_with("cooldown"), "{why}");
}

#[test]
fn a_cleanup_leaves_containers_alone_that_are_being_remedied() {
    let mut scene = Scene::new(Config::default());
    scene.ask();
    scene.id = "c2".to_owned();
    let mut request = scene.request("inc-2");
    request.action = Action::Cleanup;
    scene.tell(ResponderMessage::Remediate(request));
    let effect = only(scene.standing("inc-2").effects::<EngineAction>());
    assert_eq!(effect.keep, [ContainerId("c1".to_owned())]);
}
