//! Starting again on a backlog: it is taken up while the node runs, and nothing can tell but by the time.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use perennial_runtime::{
    Durable, Failure, Kind, Limits, Runtime, SendError, Supervisor, TreeNode, Turn,
};
use perennial_store::{Call, FaultPlan, FaultyBackend, MemoryBackend};
use serde::{Deserialize, Serialize};

use crate::world::{
    Account, Behaviour, Deed, Node, Outside, PATIENCE, Told, clock, eventually, options, start,
};

const HOUR: Duration = Duration::from_secs(3600);

/// What a node left: each of `actors` did what it was told first, has failed once at the next message, and
/// the others wait behind it.
async fn left_by(actors: &[String], first: Option<Told>, others: &[Told]) -> MemoryBackend {
    let (image, clock) = (MemoryBackend::new(), clock());
    let mut options = options(Arc::new(image.clone()), &clock);
    patient(&mut options.limits);
    let node = start(options, clock, Outside::default()).await;
    let blocks = [Told::Fail("blocks the rest".to_owned())];
    let tell = async |actor: &String| {
        for told in first.iter().chain(&blocks).chain(others) {
            node.runtime.send::<Account>(actor, told).await.unwrap();
        }
    };
    futures::future::join_all(actors.iter().map(tell)).await;
    all_were_tried(&node, actors.len()).await;
    node.runtime.shutdown().await.unwrap();
    image
}

async fn all_were_tried(node: &Node, actors: usize) {
    eventually("all were tried", async || {
        let tried = actors_of(node).iter().filter(|actor| actor.last_error.is_some()).count();
        (tried == actors).then_some(())
    })
    .await;
}

/// What a node left: each of `actors` did what it was told, and nothing waits.
async fn left_by_rested(actors: &[String], told: &Told) -> MemoryBackend {
    let (image, clock) = (MemoryBackend::new(), clock());
    let node = start(options(Arc::new(image.clone()), &clock), clock, Outside::default()).await;
    let sends = actors.iter().map(|actor| node.runtime.send::<Account>(actor, told));
    futures::future::try_join_all(sends).await.unwrap();
    eventually("all did it", async || {
        let handled = node.settings.handled.load(Ordering::SeqCst) as usize;
        (handled == actors.len()).then_some(())
    })
    .await;
    node.runtime.shutdown().await.unwrap();
    image
}

/// What failed is not tried again.
fn patient(limits: &mut Limits) {
    (limits.retry_base, limits.retry_cap) = (HOUR, HOUR);
}

/// What has failed once is a dead letter, and what is behind it is handled.
fn strict(limits: &mut Limits) {
    limits.attempts = 1;
}

/// Starts on `image`. Nothing of recovery has run when this returns: there is one thread.
async fn started(image: &MemoryBackend, limits: impl FnOnce(&mut Limits)) -> Node {
    let clock = clock();
    clock.advance(Duration::from_secs(2));
    let mut options = options(Arc::new(image.clone()), &clock);
    limits(&mut options.limits);
    start(options, clock, Outside::default()).await
}

/// The actors in memory.
fn actors_of(node: &Node) -> Vec<TreeNode> {
    node.runtime.tree().children.swap_remove(0).children
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{number:04}")).collect()
}

fn notes(count: usize) -> Vec<Told> {
    (0..count).map(|number| Told::Note(number.to_string())).collect()
}

#[tokio::test]
async fn what_comes_before_the_backlog_was_found_is_handled_behind_it() {
    let image = left_by(&["a".to_owned()], None, &notes(40)).await;
    let node = started(&image, |_| {}).await;
    node.tell("a", Told::Note("new".to_owned())).await;
    let state = node.until("a", |account| account.told.len() == 41).await;
    assert_eq!(state.told.last().unwrap(), "new");
    assert!(state.told.iter().take(40).cloned().eq((0..40).map(|number| number.to_string())));
}

#[tokio::test]
async fn a_backlog_counts_against_the_quota_before_it_was_found() {
    let image = left_by(&["a".to_owned()], None, &notes(30)).await;
    let node = started(&image, |limits| limits.quota = 20).await;
    let sent = node.runtime.send::<Account>("a", &Told::Add(1)).await;
    assert_eq!(sent.unwrap_err(), SendError::Overloaded("account/a".to_owned()));
    node.tell("b", Told::Add(1)).await;
    let room = async || node.runtime.send::<Account>("a", &Told::Add(1)).await.ok();
    eventually("there is room again", room).await;
    node.until("a", |account| account.told.len() == 30 && account.balance == 1).await;
}

#[tokio::test]
async fn a_backlog_longer_than_the_window_is_seen_whole_once_its_actor_works() {
    let image = left_by(&["a".to_owned()], None, &notes(30)).await;
    let small = |limits: &mut Limits| {
        limits.window = 4;
        patient(limits);
    };
    let node = started(&image, small).await;
    let depth = async || actors_of(&node).pop().map(|a| a.mailbox_depth).filter(|n| *n > 20);
    assert_eq!(eventually("the backlog is counted", depth).await, 31);
}

#[tokio::test]
async fn a_backlog_of_many_actors_is_taken_up_a_bounded_number_of_actors_at_a_time() {
    const ACTORS: usize = 700;
    let image = left_by(&numbered(ACTORS), None, &notes(1)).await;
    let node = started(&image, strict).await;
    let mut most = 0;
    eventually("all is handled", async || {
        let all = actors_of(&node);
        most = most.max(all.iter().filter(|actor| actor.state != "passive").count());
        let rests = all.iter().all(|actor| actor.mailbox_depth == 0);
        let letters = || node.runtime.dead_letters().list(ACTORS).unwrap().len();
        (rests && letters() == ACTORS).then_some(())
    })
    .await;
    assert!((100..500).contains(&most), "{most} actors at once");
    for actor in numbered(ACTORS).iter().step_by(50) {
        assert_eq!(node.state(actor).await.told, ["0"]);
    }
}

#[tokio::test]
async fn actors_that_fail_again_and_again_do_not_keep_recovery_from_the_others() {
    let image = left_by(&numbered(600), None, &[]).await;
    let node = started(&image, patient).await;
    all_were_tried(&node, 600).await;
}

#[tokio::test]
async fn a_timer_that_fell_due_fires_and_the_backlog_of_its_actor_is_not_forgotten() {
    let remind = Told::Remind { name: "t".to_owned(), after_ms: 1_000, note: "due".to_owned() };
    let actors = numbered(600);
    let image = left_by(&actors, Some(remind), &notes(3)).await;
    let node = started(&image, strict).await;
    for actor in [&actors[0], &actors[300], &actors[599]] {
        let state = node.until(actor, |account| account.told.len() == 4).await;
        let notes: Vec<_> = state.told.iter().filter(|note| *note != "due").collect();
        assert_eq!(notes, ["0", "1", "2"]);
    }
}

#[tokio::test]
async fn timers_that_many_actors_missed_are_taken_up_a_bounded_number_of_actors_at_a_time() {
    const ACTORS: usize = 700;
    let remind = Told::Remind { name: "t".to_owned(), after_ms: 1_000, note: "due".to_owned() };
    let image = left_by_rested(&numbered(ACTORS), &remind).await;
    let node = started(&image, |_| {}).await;
    let mut most = 0;
    eventually("all timers fire", async || {
        let all = actors_of(&node);
        most = most.max(all.iter().filter(|actor| actor.state != "passive").count());
        let handled = node.settings.handled.load(Ordering::SeqCst) as usize;
        (handled == ACTORS).then_some(())
    })
    .await;
    assert!((100..500).contains(&most), "{most} actors at once");
    for actor in numbered(ACTORS).iter().step_by(50) {
        assert_eq!(node.state(actor).await.told, ["due"]);
    }
    assert_eq!(node.settings.handled.load(Ordering::SeqCst) as usize, ACTORS + ACTORS / 50);
}

#[tokio::test]
async fn a_node_that_stops_while_it_takes_up_a_backlog_leaves_the_rest_for_the_next() {
    let actors = numbered(600);
    let image = left_by(&actors, None, &notes(3)).await;
    for turns in 0..3 {
        let node = started(&image, strict).await;
        for _ in 0..turns * 100 {
            tokio::task::yield_now().await;
        }
        node.runtime.shutdown().await.unwrap();
    }
    let node = started(&image, strict).await;
    for actor in actors.iter().step_by(50) {
        let state = node.until(actor, |account| account.told.len() == 3).await;
        assert_eq!(state.told, ["0", "1", "2"]);
    }
}

/// Sends itself each message again, and so never rests.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Restless;

/// Who has had a turn in this run of the node.
type Turned = Arc<Mutex<BTreeSet<String>>>;

impl Durable for Restless {
    const KIND: Kind = Kind::new("restless");
    type Message = String;
    type Settings = Turned;

    fn handle(&mut self, own: String, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        turn.settings().lock().unwrap().insert(own.clone());
        turn.send::<Self>(own.clone(), &own);
        Ok(())
    }
}

async fn restless(image: &MemoryBackend) -> (Runtime, Turned) {
    let turned = Turned::default();
    let tree = Supervisor::new("root").actors::<Restless>(turned.clone());
    let mut options = options(Arc::new(image.clone()), &clock());
    // Single turns, each after a commit: others come to their turn in between.
    (options.unclean_ends, options.limits.careful) = (1, HOUR);
    (Runtime::start(options, tree).await.unwrap(), turned)
}

#[tokio::test]
async fn actors_that_never_rest_do_not_keep_recovery_from_the_others() {
    let (image, actors) = (MemoryBackend::new(), numbered(300));
    let (runtime, _) = restless(&image).await;
    let sends = actors.iter().map(|actor| runtime.send::<Restless>(actor, actor));
    futures::future::try_join_all(sends).await.unwrap();
    runtime.shutdown().await.unwrap();
    let (runtime, turned) = restless(&image).await;
    let began = perennial_runtime::instant();
    let left = || actors.len() - turned.lock().unwrap().len();
    while left() > 0 {
        assert!(began.elapsed() < PATIENCE, "{} had no turn", left());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    runtime.shutdown().await.unwrap();
}

fn rare(name: &str) -> Deed {
    Deed { lane: Some("rare".to_owned()), ..Deed::named(name) }
}

/// What a node left that was stopped while the world did not answer: deeds in three lanes and in none,
/// and behind them one in a lane of its own.
async fn left_with_deeds(count: u32) -> MemoryBackend {
    let image = MemoryBackend::new();
    let clock = clock();
    let options = options(Arc::new(image.clone()), &clock);
    let node = start(options, clock, Outside::default()).await;
    node.outside.behave(Behaviour::Hangs);
    node.tell("a", Told::Deeds(count)).await;
    node.tell("b", Told::Perform(rare("left"))).await;
    node.state("b").await;
    node.runtime.shutdown().await.unwrap();
    image
}

#[tokio::test]
async fn a_backlog_of_effects_is_found_while_the_node_runs_and_its_lanes_stay_in_order() {
    const DEEDS: u32 = 3_000;
    let image = left_with_deeds(DEEDS).await;
    let (clock, backend) = (clock(), Arc::new(FaultyBackend::new(image, FaultPlan::none())));
    let node = start(options(backend.clone(), &clock), clock, Outside::default()).await;
    let scans = backend.calls(Call::Scan);
    assert!(scans < 20, "the store was read {scans} times before the node was ready");
    // Nothing is known yet of the deed in its lane that was left.
    node.tell("b", Told::Perform(rare("new"))).await;
    node.until("b", |account| account.outcomes == ["did left", "did new"]).await;
    node.until("a", |account| account.balance == i64::from(DEEDS)).await;
    let mut names = node.outside.names().await;
    names.sort();
    names.dedup();
    assert_eq!(names.len(), DEEDS as usize + 2, "each was done");
    assert_eq!(node.outside.names().await.len(), names.len(), "and once");
    node.runtime.shutdown().await.unwrap();
}
