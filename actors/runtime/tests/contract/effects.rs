//! Promise 10: the intent is committed first; once where the world gives evidence.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use perennial_runtime::{
    Attempt, Crash, EffectError, Faults, Performer, Reconciliation, Runtime, SimulatedStore,
    Simulation, Strategy, Supervisor,
};
use perennial_store::{Call, Fault, FaultPlan, FaultyBackend, MemoryBackend};
use prometheus_client::registry::Registry;

use crate::world::{
    Account, Behaviour, Deed, Node, Outside, Told, clock, eventually, options, start, try_start,
};

#[tokio::test]
async fn an_effect_is_performed_after_its_commit_and_its_owner_is_told() {
    let (node, _) = Node::on_memory().await;
    node.tell("a", Told::Perform(Deed::named("x"))).await;
    node.until("a", |account| account.outcomes == ["did x"]).await;
    assert_eq!(node.outside.names().await, ["x"]);
}

#[tokio::test]
async fn an_effect_whose_intent_did_not_commit_is_never_performed() {
    let image = MemoryBackend::new();
    let clock = clock();
    let outside = Outside::default();
    let plan = FaultPlan::none().at(Call::Commit, 1, Fault::CrashBefore);
    let faulty = FaultyBackend::new(image.clone(), plan);
    let node = start(options(Arc::new(faulty), &clock), clock.clone(), outside.clone()).await;
    let lost =
        node.runtime.send::<crate::world::Account>("a", &Told::Perform(Deed::named("x"))).await;
    assert!(lost.is_err());
    let _failed = node.runtime.failed().await;
    let node = node.again(&image).await;
    node.state("a").await;
    assert!(outside.names().await.is_empty());
}

#[tokio::test]
async fn a_transient_failure_is_tried_again_under_the_same_key() {
    let (node, _) = Node::on_memory().await;
    node.outside.behave(Behaviour::Fails(1));
    node.tell("a", Told::Perform(Deed::named("x"))).await;
    node.until("a", |account| account.outcomes == ["did x"]).await;
    assert_eq!(node.outside.names().await, ["x"]);
}

#[tokio::test]
async fn an_effect_that_waits_for_another_try_keeps_no_other_from_being_performed() {
    let clock = clock();
    let mut options = options(Arc::new(MemoryBackend::new()), &clock);
    options.limits.effect_workers = 1;
    let node = start(options, clock, Outside::default()).await;
    node.outside.behave(Behaviour::PutsOff("late".to_owned()));
    let late = |name| Deed { lane: Some("late".to_owned()), ..Deed::named(name) };
    let deeds = vec![late("first"), late("second"), Deed::named("one"), Deed::named("two")];
    node.tell("a", Told::PerformAll(deeds)).await;
    node.until("a", |account| account.outcomes == ["did one", "did two"]).await;
    assert_eq!(node.outside.begun.load(Ordering::SeqCst), 3, "the late lane keeps its order");
}

#[tokio::test]
async fn a_final_failure_is_told_and_kept_when_asked_for() {
    let (node, _) = Node::on_memory().await;
    node.outside.behave(Behaviour::FailsForGood);
    node.tell("a", Told::Perform(Deed { keep: true, ..Deed::named("x") })).await;
    node.until("a", |account| account.outcomes == ["failed: never"]).await;
    let letters = node.runtime.dead_letters().list(10).unwrap();
    assert_eq!(letters[0].effect.as_deref(), Some("deed"));
    node.outside.behave(Behaviour::Works);
    assert!(node.runtime.dead_letters().redrive(letters[0].id).await.unwrap());
    node.until("a", |account| account.outcomes.len() == 2).await;
    assert_eq!(node.outside.names().await, ["x"]);
}

#[tokio::test]
async fn an_effect_that_was_done_before_the_crash_is_found_done_and_not_repeated() {
    let (node, backend) = Node::on_memory().await;
    node.outside.behave(Behaviour::DoesAndHangs);
    node.tell("a", Told::Perform(Deed::named("x"))).await;
    eventually("the deed is done", async || (!node.outside.names().await.is_empty()).then_some(()))
        .await;
    node.runtime.shutdown().await.unwrap();
    node.outside.behave(Behaviour::Works);
    let node = node.again(&backend).await;
    node.until("a", |account| account.outcomes == ["found x done"]).await;
    assert_eq!(node.outside.names().await, ["x"]);
}

#[tokio::test]
async fn an_effect_that_was_not_done_before_the_crash_is_performed_after_the_world_was_asked() {
    let (node, backend) = Node::on_memory().await;
    node.outside.behave(Behaviour::Hangs);
    node.tell("a", Told::Perform(Deed::named("x"))).await;
    node.state("a").await;
    node.runtime.shutdown().await.unwrap();
    node.outside.behave(Behaviour::Works);
    let node = node.again(&backend).await;
    node.until("a", |account| account.outcomes == ["did x"]).await;
    assert!(node.outside.asked.load(std::sync::atomic::Ordering::SeqCst) > 0);
}

#[tokio::test]
async fn an_attempt_without_an_answer_is_reconciled_before_another() {
    let (node, _) = Node::on_memory().await;
    node.outside.behave(Behaviour::DoesAndHangs);
    node.tell("a", Told::Perform(Deed::named("x"))).await;
    node.until("a", |account| account.outcomes == ["found x done"]).await;
    assert_eq!(node.outside.names().await, ["x"]);
}

#[tokio::test]
async fn a_panicking_performer_is_reconciled_and_tried_again() {
    let (node, _) = Node::on_memory().await;
    node.outside.behave(Behaviour::Panics);
    node.tell("a", Told::Perform(Deed::named("x"))).await;
    node.until("a", |account| account.outcomes == ["did x"]).await;
}

#[tokio::test]
async fn effects_of_one_lane_are_done_in_order_and_others_do_not_wait() {
    let (node, _) = Node::on_memory().await;
    node.outside.behave(Behaviour::Fails(1));
    for n in 0..20 {
        let lane = Some("one".to_owned());
        node.tell("a", Told::Perform(Deed { lane, ..Deed::named(&n.to_string()) })).await;
    }
    node.until("a", |account| account.outcomes.len() == 20).await;
    let expected: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    assert_eq!(node.outside.names().await, expected);
}

#[tokio::test]
async fn a_lane_is_kept_in_order_over_a_restart() {
    let (node, backend) = Node::on_memory().await;
    node.outside.behave(Behaviour::Hangs);
    for n in 0..5 {
        let lane = Some("one".to_owned());
        node.tell("a", Told::Perform(Deed { lane, ..Deed::named(&n.to_string()) })).await;
    }
    node.state("a").await;
    node.runtime.shutdown().await.unwrap();
    node.outside.behave(Behaviour::Works);
    let node = node.again(&backend).await;
    node.until("a", |account| account.outcomes.len() == 5).await;
    assert_eq!(node.outside.names().await, ["0", "1", "2", "3", "4"]);
}

#[tokio::test]
async fn an_effect_past_its_time_is_told_expired_and_not_performed() {
    let (node, backend) = Node::on_memory().await;
    node.outside.behave(Behaviour::Hangs);
    let expires = Some(perennial_runtime::Clock::now(&node.clock) + Duration::from_secs(60));
    let attempts = u32::MAX;
    node.tell("a", Told::Perform(Deed { expires, attempts, keep: true, ..Deed::named("x") })).await;
    node.state("a").await;
    node.runtime.shutdown().await.unwrap();
    node.clock.advance(Duration::from_secs(61));
    node.outside.behave(Behaviour::Works);
    let node = node.again(&backend).await;
    node.until("a", |account| account.outcomes == ["expired"]).await;
    assert!(node.outside.names().await.is_empty());
    assert_eq!(node.runtime.dead_letters().list(10).unwrap().len(), 1);
}

/// Deeds that are pending, and those of them in memory, as the metrics say.
fn outbox(runtime: &Runtime) -> (f64, f64) {
    let mut registry = Registry::default();
    runtime.register_metrics(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let value = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    (value("perennial_outbox_depth{"), value("perennial_outbox_in_memory{"))
}

/// Waits until so many deeds are pending, while never more than the bound are in memory.
async fn until_pending(node: &Node, bound: f64, enough: impl Fn(f64) -> bool) {
    let deadline = perennial_runtime::instant() + Duration::from_secs(90);
    loop {
        let (pending, held) = outbox(&node.runtime);
        assert!(held <= bound, "{held} in memory");
        if enough(pending) {
            return;
        }
        assert!(perennial_runtime::instant() < deadline, "{pending} are pending");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_of_effects_is_performed_in_order_and_not_held_in_memory() {
    const DEEDS: u32 = 20_000;
    let bound = 1_010.0;
    let (node, backend) = Node::on_memory().await;
    node.outside.behave(Behaviour::Hangs);
    node.tell("a", Told::Deeds(DEEDS)).await;
    node.state("a").await;
    let (pending, held) = outbox(&node.runtime);
    assert!(pending == f64::from(DEEDS) && held <= bound, "{pending} pending, {held} in memory");
    node.runtime.shutdown().await.unwrap();
    let node = node.again(&backend).await;
    // Three quarters of them are in lanes, which wait until all are found but for their shares.
    until_pending(&node, bound, |pending| pending > f64::from(DEEDS) * 2.0 / 3.0).await;
    node.outside.behave(Behaviour::Works);
    until_pending(&node, bound, |pending| pending == 0.0).await;
    let mut last = [None; 3];
    let names = node.outside.names().await;
    assert_eq!(names.len(), DEEDS as usize, "each once");
    for number in names.iter().map(|name| name.parse::<u32>().unwrap()) {
        if let Some(last) = last.get_mut(number as usize % 4) {
            assert!(last.replace(number).is_none_or(|last| last < number), "{number} came late");
        }
    }
    node.until("a", |account| account.balance == i64::from(DEEDS)).await;
}

#[tokio::test]
async fn a_lane_that_is_stuck_with_a_long_backlog_does_not_hold_up_the_others() {
    let (node, _) = Node::on_memory().await;
    node.outside.behave(Behaviour::HangsIn("stuck".to_owned()));
    let deed = |n: u32, lane: &str| {
        Told::Perform(Deed { lane: Some(lane.to_owned()), ..Deed::named(&format!("{lane}-{n}")) })
    };
    for n in 0..1_500 {
        node.tell("a", deed(n, "stuck")).await;
    }
    node.tell("b", deed(0, "free")).await;
    node.until("b", |account| account.outcomes == ["did free-0"]).await;
    assert!(node.state("a").await.outcomes.len() < 1_000, "the other lane is stuck");
}

#[test]
fn the_next_of_a_lane_is_started_once_the_end_of_the_one_before_it_is_durable() {
    for crash in 1..8 {
        let mut simulation = Simulation::seeded(crash);
        let store = SimulatedStore::seeded(crash);
        let longest_sync = Duration::from_millis(5);
        let faults =
            Faults { crash: Some(Crash::Before(crash)), longest_sync, ..Faults::default() };
        store.begin(faults, true).unwrap();
        let options = simulation.options(Arc::new(store.clone()));
        let life = async {
            let node =
                try_start(options, clock(), Outside::default(), Arc::default()).await.unwrap();
            let in_lane = |name| Deed { lane: Some("l".to_owned()), ..Deed::named(name) };
            let deeds = Told::PerformAll(vec![in_lane("first"), in_lane("second")]);
            // It is answered or not, as the store crashes sooner or later.
            drop(node.runtime.send::<Account>("a", &deeds).await);
            tokio::time::sleep(Duration::from_secs(5)).await;
            node.outside.names().await
        };
        let done = simulation.live(None, life).unwrap().unwrap();
        let rows = store.rows().unwrap();
        let pending = rows.iter().filter(|(key, _)| key.parse_effect().is_some()).count();
        let ahead = done.len() == 2 && pending == 2;
        assert!(
            !ahead,
            "crash {crash}: the end of the first is not durable, and {done:?} are done"
        );
    }
}

/// Does each deed when it is let, on the thread that asks it to: it cannot be ended before.
#[derive(Clone)]
struct Stubborn {
    outside: Outside,
    lets: Arc<Mutex<mpsc::Receiver<()>>>,
    under_way: Arc<AtomicU32>,
    most: Arc<AtomicU32>,
}

impl Performer<Deed> for Stubborn {
    async fn perform(&self, deed: &Deed, attempt: &Attempt) -> Result<String, EffectError> {
        let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        // It has an end when the test is over.
        let _let = self.lets.lock().unwrap().recv();
        let done = self.outside.perform(deed, attempt).await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        done
    }

    async fn reconcile(&self, deed: &Deed, attempt: &Attempt) -> Reconciliation<String> {
        self.outside.reconcile(deed, attempt).await
    }
}

/// A node with a deed under way that cannot be ended, and who lets it end.
async fn stubborn(backend: MemoryBackend) -> (Runtime, Stubborn, mpsc::Sender<()>) {
    let (sender, lets) = mpsc::channel();
    let lets = Arc::new(Mutex::new(lets));
    let hands = Stubborn {
        outside: Outside::default(),
        lets,
        under_way: Arc::default(),
        most: Arc::default(),
    };
    let tree = Supervisor::new("bank")
        .strategy(Strategy::OneForAll)
        .actors::<Account>(Arc::default())
        .performer::<Deed, _>(hands.clone());
    let runtime = Runtime::start(options(Arc::new(backend), &clock()), tree).await.unwrap();
    runtime.send::<Account>("a", &Told::Perform(Deed::named("x"))).await.unwrap();
    eventually("the deed is under way", async || {
        (hands.under_way.load(Ordering::SeqCst) == 1).then_some(())
    })
    .await;
    (runtime, hands, sender)
}

/// Enough for what must not come before it was let.
const A_WHILE: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_node_has_not_shut_down_before_the_last_effect_that_was_under_way_is_over() {
    let (runtime, hands, lets) = stubborn(MemoryBackend::new()).await;
    let mut down = tokio::spawn(async move { runtime.shutdown().await });
    let early = tokio::time::timeout(A_WHILE, &mut down).await;
    assert!(early.is_err(), "another owner of the store would perform it at the same time");
    lets.send(()).unwrap();
    down.await.unwrap().unwrap();
    assert_eq!(hands.under_way.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_pool_that_is_started_again_waits_for_what_the_one_before_it_left_under_way() {
    let (runtime, hands, lets) = stubborn(MemoryBackend::new()).await;
    // It takes the pool along.
    runtime.kill::<Account>();
    let both = async || {
        while hands.under_way.load(Ordering::SeqCst) < 2 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    // A second one would hang on the same lock.
    drop(tokio::time::timeout(A_WHILE, both()).await);
    drop(lets);
    eventually("the deed's outcome is told", async || {
        let told = runtime.ask::<Account, Account>("a", &Told::State, Duration::from_secs(1)).await;
        told.ok().filter(|account| account.outcomes.len() == 1)
    })
    .await;
    assert_eq!(hands.most.load(Ordering::SeqCst), 1, "it was performed twice at the same time");
    assert_eq!(hands.outside.names().await, ["x"]);
    runtime.shutdown().await.unwrap();
}
