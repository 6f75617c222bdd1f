use perennial_runtime::{Finished, Undone};

use super::super::confirm::Confirm;
use super::*;

#[test]
fn a_removed_container_is_withdrawn_and_forgotten() {
    let mut scene = Scene::new(RestartPolicy::No);
    scene.look();
    scene.wait(60);
    scene.die(1);
    let event = ContainerEvent { at: scene.play.now(), kind: EventKind::Destroy };
    let turn = scene.play.handle(MonitorMessage::Event(event, None)).unwrap();
    assert_eq!(withdrawn(&turn), 1);
    assert!(turn.stops());
    assert_eq!(scene.row(), None);
}

#[test]
fn a_list_made_before_the_last_look_does_not_remove_it() {
    let mut scene = Scene::new(RestartPolicy::No);
    let before = scene.play.now();
    scene.wait(1);
    scene.look();
    assert!(scene.play.handle(MonitorMessage::Gone { at: before }).unwrap().is_quiet());
    let after = scene.play.now() + Duration::from_secs(1);
    assert!(scene.play.handle(MonitorMessage::Gone { at: after }).unwrap().stops());
}

#[test]
fn late_messages_do_not_bring_a_removed_container_back() {
    let late = [
        MonitorMessage::Tick,
        MonitorMessage::Sampled(Sample::default()),
        MonitorMessage::Event(
            ContainerEvent { at: Timestamp::EPOCH, kind: EventKind::Die(1) },
            None,
        ),
    ];
    for message in late {
        let mut play = Play::<Monitor>::new(ID, Config::default());
        let turn = play.handle(message).unwrap();
        assert!(turn.stops());
        assert!(play.rows(&CONTAINERS).unwrap().is_empty());
    }
}

#[test]
fn what_is_older_than_what_is_known_undoes_nothing() {
    let mut scene = Scene::new(RestartPolicy::OnFailure(1));
    scene.look();
    let mut stale = scene.seen.clone();
    scene.wait(60);
    scene.die(1);
    // Asked for before the end and answered after it; then one of this run that claims it is up.
    assert!(silent(&scene.play.handle(MonitorMessage::Listed(stale.clone())).unwrap()));
    stale.at = scene.play.now();
    assert!(silent(&scene.play.handle(MonitorMessage::Listed(stale)).unwrap()));
    assert_eq!(scene.row().unwrap().facts.status, Status::Exited);
    let old = ContainerEvent {
        at: Timestamp::from_micros(1),
        kind: EventKind::HealthStatus("unhealthy".into()),
    };
    assert!(silent(&scene.play.handle(MonitorMessage::Event(old, None)).unwrap()));
}

#[test]
fn the_end_of_an_earlier_run_does_not_end_the_one_that_is_known() {
    let mut scene = Scene::new(RestartPolicy::Always);
    scene.look();
    scene.wait(60);
    let died_at = scene.play.now();
    scene.wait(1);
    scene.begin_run();
    scene.seen.facts.restart_count = 1;
    scene.look();
    let event = ContainerEvent { at: died_at, kind: EventKind::Die(1) };
    let turn = scene.play.handle(MonitorMessage::Event(event, None)).unwrap();
    assert_eq!(raised(&turn), [SymptomKind::NonZeroExit]);
    assert_eq!(cleared(&turn), [SymptomKind::NonZeroExit]);
    assert_eq!(scene.row().unwrap().facts.status, Status::Running);
    assert_eq!(scene.play.state.facts.restarts_in_window, 1);
}

#[test]
fn the_responder_is_told_how_it_stands() {
    let mut scene = Scene::new(RestartPolicy::OnFailure(1));
    scene.look();
    scene.wait(60);
    scene.die(1);
    scene.wait(1);
    scene.start();
    let cleared_at = scene.play.now();
    scene.wait(30);
    let standing = standing(&scene.ask()).unwrap();
    assert_eq!(standing.incident, IncidentId("inc-1".into()));
    assert!(standing.active.is_empty());
    assert_eq!(standing.last_seen, [(SymptomKind::NonZeroExit, cleared_at)]);
    assert_eq!(standing.facts.status, Status::Running);
}

#[test]
fn a_container_that_is_gone_stands_as_gone() {
    let mut play = Play::<Monitor>::new(ID, Config::default());
    let turn = play.handle(MonitorMessage::Report { incident: IncidentId::default() }).unwrap();
    assert_eq!(standing(&turn).unwrap().facts.status, Status::Gone);
    assert!(turn.stops());
}

#[test]
fn an_end_whose_cause_is_still_open_is_not_answered_for_before_it_is_known() {
    let mut scene = Scene::new(RestartPolicy::No);
    scene.look();
    scene.wait(60);
    scene.end(1);
    assert!(silent(&scene.look()), "its event may still come");
    assert!(scene.ask().sent::<Analyzer>().is_empty());
    let told = scene.play.fire_next_timer().unwrap();
    let answered = scene.play.fire_next_timer().unwrap();
    assert_eq!(raised(&told), [SymptomKind::NonZeroExit]);
    assert_eq!(standing(&answered).unwrap().active, [SymptomKind::NonZeroExit]);
}

/// The Responder asks how it stands, and the engine is asked.
fn confirm(scene: &mut Scene) -> Confirm {
    let incident = IncidentId("inc-1".into());
    let turn = scene.play.handle(MonitorMessage::Confirm { incident }).unwrap();
    assert!(turn.sent::<Analyzer>().is_empty(), "nothing is said before");
    turn.effects::<Confirm>().pop().unwrap()
}

fn confirmed(
    scene: &mut Scene,
    effect: Confirm,
    result: Result<Option<Inspection>, Undone>,
) -> Recorded {
    let key = serde_json::from_str("\"0f\"").unwrap();
    let finished = Finished { effect, key, attempts: 1, result };
    scene.play.handle(MonitorMessage::Confirmed(finished)).unwrap()
}

#[test]
fn an_end_whose_event_is_still_on_its_way_is_seen_before_it_is_said_how_the_container_stands() {
    let mut scene = Scene::new(RestartPolicy::No);
    scene.look();
    scene.wait(60);
    let effect = confirm(&mut scene);
    scene.end(1);
    scene.seen.at = scene.play.now();
    let seen = scene.seen.clone();
    assert!(
        standing(&confirmed(&mut scene, effect, Ok(Some(seen)))).is_none(),
        "its event may tell more"
    );
    scene.play.fire_next_timer().unwrap();
    let answered = scene.play.fire_next_timer().unwrap();
    assert_eq!(standing(&answered).unwrap().active, [SymptomKind::NonZeroExit]);
}

#[test]
fn a_container_that_the_engine_does_not_know_any_more_stands_as_gone() {
    let mut scene = Scene::new(RestartPolicy::No);
    scene.look();
    let effect = confirm(&mut scene);
    let turn = confirmed(&mut scene, effect.clone(), Ok(None));
    assert_eq!(standing(&turn).unwrap().facts.status, Status::Gone);
    assert!(turn.stops());
    // Its actor begins anew, and an answer that was on its way does not bring it back.
    let mut play = Play::<Monitor>::new(ID, Config::default());
    std::mem::swap(&mut scene.play, &mut play);
    let seen = scene.seen.clone();
    let turn = confirmed(&mut scene, effect, Ok(Some(seen)));
    assert_eq!(standing(&turn).unwrap().facts.status, Status::Gone);
    assert!(turn.stops());
}

#[test]
fn what_is_known_is_as_old_as_it_is_when_the_engine_cannot_be_asked() {
    let mut scene = Scene::new(RestartPolicy::No);
    scene.look();
    let known = scene.play.now();
    scene.wait(60);
    let effect = confirm(&mut scene);
    let turn = confirmed(&mut scene, effect, Err(Undone::Failed("it is not there".to_owned())));
    assert_eq!(standing(&turn).unwrap().at, known);
}
