//! One run after the other, seen late or in another order than they went.

use super::*;

/// The event of something that happened at `at` comes only now.
fn late(scene: &mut Scene, at: Timestamp, kind: EventKind) -> Recorded {
    scene.seen.at = scene.play.now();
    let event = ContainerEvent { at, kind };
    scene.play.handle(MonitorMessage::Event(event, Some(scene.seen.clone()))).unwrap()
}

/// Ended for memory, which has been told.
fn out_of_memory() -> Scene {
    let mut scene = Scene::new(RestartPolicy::No);
    scene.look();
    scene.wait(60);
    scene.seen.facts.oom_killed = true;
    assert_eq!(raised(&scene.die(137)), [SymptomKind::OomKilled]);
    scene.wait(5);
    scene
}

/// Another run of it, with when that began, has ended for memory too, which nobody has heard of.
fn out_of_memory_again() -> (Scene, Timestamp) {
    let mut scene = out_of_memory();
    scene.begin_run();
    let began = scene.play.now();
    scene.seen.facts.oom_killed = true;
    scene.wait(1);
    scene.end(137);
    (scene, began)
}

#[test]
fn what_was_wrong_with_a_run_ended_when_the_next_began_however_late_that_is_heard_of() {
    for by_event in [true, false] {
        let mut scene = Scene::new(RestartPolicy::No);
        scene.look();
        scene.wait(60);
        scene.die(1);
        scene.wait(5);
        scene.begin_run();
        let began = scene.play.now();
        scene.wait(20);
        let heard = if by_event { late(&mut scene, began, EventKind::Start) } else { scene.look() };
        assert_eq!(cleared(&heard), [SymptomKind::NonZeroExit]);
        let standing = standing(&scene.ask()).unwrap();
        assert_eq!(standing.last_seen, [(SymptomKind::NonZeroExit, began)]);
    }
}

#[test]
fn an_end_that_was_told_is_not_told_again_when_its_event_comes_after_the_next_start() {
    let mut scene = Scene::new(RestartPolicy::No);
    scene.look();
    scene.wait(60);
    scene.end(3);
    let ended = scene.play.now();
    scene.wait(1);
    scene.look();
    assert_eq!(raised(&scene.play.fire_next_timer().unwrap()), [SymptomKind::NonZeroExit]);
    scene.wait(1);
    scene.begin_run();
    scene.wait(1);
    assert_eq!(cleared(&scene.look()), [SymptomKind::NonZeroExit]);
    scene.wait(10);
    assert!(silent(&late(&mut scene, ended, EventKind::Die(3))));
    assert_eq!(scene.row().unwrap().facts.status, Status::Running);
    // The next end is another.
    scene.wait(5);
    assert_eq!(raised(&scene.die(3)), [SymptomKind::NonZeroExit]);
}

#[test]
fn an_end_for_memory_that_was_told_as_a_plain_one_is_told_when_its_event_comes() {
    let mut scene = Scene::new(RestartPolicy::No);
    scene.look();
    scene.wait(60);
    let killed = scene.play.now();
    scene.die(137);
    scene.wait(5);
    scene.begin_run();
    scene.look();
    late(&mut scene, killed, EventKind::Oom);
    let told = late(&mut scene, killed, EventKind::Die(137));
    assert_eq!(raised(&told), [SymptomKind::OomKilled]);
}

#[test]
fn a_second_end_that_looks_like_the_first_is_told_although_its_start_showed_it_already() {
    let (mut scene, began) = out_of_memory_again();
    let told = late(&mut scene, began, EventKind::Start);
    assert_eq!(raised(&told), [SymptomKind::OomKilled]);
    assert_eq!(reports(&told)[0].facts.started_at, second(began));
    assert!(silent(&scene.event(EventKind::Die(137))), "it is told once");
}

#[test]
fn a_second_end_that_looks_like_the_first_is_told_although_a_list_overtook_all_its_events() {
    let (mut scene, began) = out_of_memory_again();
    let ended = scene.play.now();
    scene.wait(1);
    let told = scene.look();
    assert_eq!(raised(&told), [SymptomKind::OomKilled]);
    assert_eq!(reports(&told)[0].facts.started_at, second(began));
    assert!(silent(&late(&mut scene, began, EventKind::Start)));
    assert!(silent(&late(&mut scene, ended, EventKind::Oom)));
    assert!(silent(&late(&mut scene, ended, EventKind::Die(137))));
}
