//! Promise 11: restarts rebuild from the last commit, addresses stay valid, nothing is lost.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use perennial_runtime::{
    Intensity, Restart, Runtime, Sensor, SensorContext, SensorError, Strategy, Supervisor,
};
use perennial_store::MemoryBackend;
use tokio::sync::mpsc;

use crate::world::{
    Account, Behaviour, Deed, Node, Outside, PATIENCE, Settings, Told, clock, eventually, options,
};

#[tokio::test]
async fn an_actor_that_asks_for_a_restart_comes_back_as_last_committed() {
    let (node, _) = Node::on_memory().await;
    node.tell("a", Told::Add(5)).await;
    node.tell("a", Told::Restart).await;
    node.tell("a", Told::Add(1)).await;
    node.until("a", |account| account.balance == 6).await;
    let actor = eventually("the restart shows in the tree", async || {
        let kinds = node.runtime.tree().children;
        kinds[0].children.iter().find(|actor| actor.restarts > 0).cloned()
    })
    .await;
    assert_eq!(actor.last_error.as_deref(), Some("asked to"));
}

#[tokio::test]
async fn an_actor_that_stands_still_takes_messages_in_and_makes_nothing_of_them() {
    let (node, backend) = Node::on_memory().await;
    assert_eq!(node.runtime.stall::<Account>(PATIENCE), 0, "nobody lives yet");
    node.tell("a", Told::Add(5)).await;
    assert_eq!(node.state("a").await.balance, 5);
    let handled = node.settings.handled.load(Ordering::SeqCst);
    assert_eq!(node.runtime.stall::<Account>(Duration::from_secs(24 * 3600)), 1);
    node.tell("a", Told::Add(7)).await;
    assert_eq!(node.settings.handled.load(Ordering::SeqCst), handled);
    // Who stands still can be ended, and loses nothing by it.
    node.runtime.shutdown().await.unwrap();
    assert_eq!(node.again(&backend).await.state("a").await.balance, 12);
}

#[tokio::test]
async fn restarts_of_every_kind_of_child_are_counted_from_0() {
    let (node, _) = Node::on_memory().await;
    let mut registry = prometheus_client::registry::Registry::default();
    node.runtime.register_metrics(&mut registry);
    let figures = || {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    };
    let before = figures();
    for kind in ["account", "actors", "performer"] {
        let line = format!("perennial_actor_restarts_total{{kind=\"{kind}\"}} 0");
        assert!(before.contains(&line), "{line} is missing in {before}");
    }
    node.tell("a", Told::Restart).await;
    // Its message is tried again, so more than one may be counted by the time somebody looks.
    let counted = || {
        let text = figures();
        let count = "perennial_actor_restarts_total{kind=\"account\"} ";
        let count = text.lines().find_map(|line| line.strip_prefix(count)?.parse::<u64>().ok());
        count.filter(|restarts| *restarts > 0)
    };
    eventually("the restart is counted", async || counted()).await;
}

#[tokio::test]
async fn an_escalated_failure_restarts_the_kind_and_loses_nothing() {
    let (node, _) = Node::on_memory().await;
    for n in 0..50 {
        node.tell(&format!("other-{n}"), Told::Add(n)).await;
    }
    node.tell("a", Told::Escalate).await;
    node.tell("a", Told::Add(1)).await;
    for n in 0..50 {
        node.tell(&format!("other-{n}"), Told::Add(1)).await;
    }
    node.until("a", |account| account.balance == 1).await;
    for n in 0..50 {
        node.until(&format!("other-{n}"), |account| account.balance == n + 1).await;
    }
}

#[tokio::test]
async fn an_idle_actor_leaves_memory_and_comes_back_with_its_next_message() {
    let clock = clock();
    let mut options = options(Arc::new(MemoryBackend::new()), &clock);
    options.limits.idle = Duration::from_millis(10);
    let tree = Supervisor::new("bank").actors::<Account>(Arc::new(Settings::default()));
    let runtime = Runtime::start(options, tree).await.unwrap();
    runtime.send::<Account>("a", &Told::Add(5)).await.unwrap();
    eventually("the actor left memory", async || {
        runtime.tree().children[0].children.is_empty().then_some(())
    })
    .await;
    let balance: i64 = runtime.ask::<Account, _>("a", &Told::Balance, PATIENCE).await.unwrap();
    assert_eq!(balance, 5);
}

/// Reports when it starts and stops; ends when told to.
struct Lamp<const N: usize> {
    reports: mpsc::UnboundedSender<(usize, &'static str)>,
    orders: tokio::sync::Mutex<mpsc::UnboundedReceiver<bool>>,
}

struct Off(mpsc::UnboundedSender<(usize, &'static str)>, usize);

impl Drop for Off {
    fn drop(&mut self) {
        let _nobody_listens = self.0.send((self.1, "off"));
    }
}

macro_rules! lamp {
    ($number:literal, $name:literal) => {
        impl Sensor for Lamp<$number> {
            const NAME: &'static str = $name;
            type Position = ();
            async fn run(&self, context: SensorContext<()>) -> Result<(), SensorError> {
                let _off = Off(self.reports.clone(), $number);
                self.reports.send(($number, "on"))?;
                let mut orders = self.orders.lock().await;
                tokio::select! {
                    order = orders.recv() => match order {
                        Some(true) => Ok(()),
                        Some(false) | None => Err("broken".into()),
                    },
                    () = context.stopping() => Ok(()),
                }
            }
        }
    };
}
lamp!(0, "lamp-0");
lamp!(1, "lamp-1");
lamp!(2, "lamp-2");

struct Lamps {
    runtime: Runtime,
    reports: mpsc::UnboundedReceiver<(usize, &'static str)>,
    orders: Vec<mpsc::UnboundedSender<bool>>,
}

async fn lamps(strategy: Strategy, restart: Restart, restarts: u32) -> Lamps {
    let (sender, reports) = mpsc::unbounded_channel();
    let (mut orders, mut receivers) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let (sender, receiver) = mpsc::unbounded_channel();
        orders.push(sender);
        receivers.push(tokio::sync::Mutex::new(receiver));
    }
    let mut receivers = receivers.into_iter();
    let mut next = || receivers.next().unwrap();
    let backoff_base = Duration::from_millis(1);
    let intensity = Intensity { restarts, backoff_base, ..Intensity::default() };
    let tree = Supervisor::new("house")
        .strategy(strategy)
        .intensity(intensity)
        .sensor(Lamp::<0> { reports: sender.clone(), orders: next() })
        .restart(restart)
        .sensor(Lamp::<1> { reports: sender.clone(), orders: next() })
        .restart(restart)
        .sensor(Lamp::<2> { reports: sender, orders: next() })
        .restart(restart);
    let clock = clock();
    let options = options(Arc::new(MemoryBackend::new()), &clock);
    let runtime = Runtime::start(options, tree).await.unwrap();
    let mut lamps = Lamps { runtime, reports, orders };
    let mut lit: Vec<usize> = lamps.next(3).await.iter().map(|(lamp, _)| *lamp).collect();
    lit.sort_unstable();
    assert_eq!(lit, [0, 1, 2]);
    lamps
}

impl Lamps {
    async fn next(&mut self, count: usize) -> Vec<(usize, &'static str)> {
        let mut reports = Vec::new();
        for _ in 0..count {
            let report = tokio::time::timeout(PATIENCE, self.reports.recv()).await;
            reports.push(report.expect("a report").unwrap());
        }
        reports
    }

    async fn after_breaking(&mut self, lamp: usize, reports: usize) -> Vec<(usize, &'static str)> {
        self.orders[lamp].send(false).unwrap();
        let mut seen = self.next(reports).await;
        seen.sort_unstable();
        seen
    }
}

#[tokio::test]
async fn one_for_one_restarts_the_one_that_failed() {
    let mut lamps = lamps(Strategy::OneForOne, Restart::Permanent, 5).await;
    assert_eq!(lamps.after_breaking(1, 2).await, [(1, "off"), (1, "on")]);
}

#[tokio::test]
async fn one_for_all_restarts_all() {
    let mut lamps = lamps(Strategy::OneForAll, Restart::Permanent, 5).await;
    let all = [(0, "off"), (0, "on"), (1, "off"), (1, "on"), (2, "off"), (2, "on")];
    assert_eq!(lamps.after_breaking(1, 6).await, all);
}

#[tokio::test]
async fn rest_for_one_restarts_the_failed_one_and_those_after_it() {
    let mut lamps = lamps(Strategy::RestForOne, Restart::Permanent, 5).await;
    let rest = [(1, "off"), (1, "on"), (2, "off"), (2, "on")];
    assert_eq!(lamps.after_breaking(1, 4).await, rest);
}

#[tokio::test]
async fn a_transient_child_is_restarted_after_a_failure_only() {
    let mut lamps = lamps(Strategy::OneForOne, Restart::Transient, 5).await;
    assert_eq!(lamps.after_breaking(0, 2).await, [(0, "off"), (0, "on")]);
    lamps.orders[0].send(true).unwrap();
    assert_eq!(lamps.next(1).await, [(0, "off")]);
    eventually("it stays finished", async || {
        (lamps.runtime.tree().children[0].state == "finished").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_temporary_child_is_never_restarted() {
    let mut lamps = lamps(Strategy::OneForOne, Restart::Temporary, 5).await;
    assert_eq!(lamps.after_breaking(2, 1).await, [(2, "off")]);
    eventually("it stays failed", async || {
        (lamps.runtime.tree().children[2].state == "failed").then_some(())
    })
    .await;
}

#[tokio::test]
async fn too_many_restarts_escalate_to_the_root_and_end_the_node() {
    let mut lamps = lamps(Strategy::OneForOne, Restart::Permanent, 2).await;
    for _ in 0..3 {
        lamps.orders[0].send(false).unwrap();
    }
    let failed = lamps.runtime.failed().await;
    assert!(failed.to_string().contains("supervision gave up"), "{failed}");
    lamps.reports.close();
}

#[tokio::test]
async fn a_shutdown_stops_children_in_reverse_order_of_their_start() {
    let mut lamps = lamps(Strategy::OneForOne, Restart::Permanent, 5).await;
    lamps.runtime.shutdown().await.unwrap();
    let off: Vec<_> = lamps.next(3).await;
    assert!(off.iter().all(|(_, report)| *report == "off"));
}

#[tokio::test]
async fn a_worker_pool_restarted_in_mid_effect_asks_the_world_and_does_not_repeat_it() {
    let (sender, _reports) = mpsc::unbounded_channel();
    let (order, orders) = mpsc::unbounded_channel();
    let outside = Outside::default();
    let tree = Supervisor::new("house")
        .strategy(Strategy::OneForAll)
        .actors::<Account>(Arc::new(Settings::default()))
        .performer::<Deed, _>(outside.clone())
        .sensor(Lamp::<0> { reports: sender, orders: tokio::sync::Mutex::new(orders) });
    let clock = clock();
    let options = options(Arc::new(MemoryBackend::new()), &clock);
    let runtime = Runtime::start(options, tree).await.unwrap();
    outside.behave(Behaviour::DoesAndHangs);
    let perform = Told::PerformAll(["x", "y"].map(Deed::named).into());
    runtime.send::<Account>("a", &perform).await.unwrap();
    eventually("both deeds are done", async || (outside.names().await.len() == 2).then_some(()))
        .await;
    outside.behave(Behaviour::Works);
    order.send(false).unwrap();
    eventually("the owner is told", async || {
        let state: Account = runtime.ask::<Account, _>("a", &Told::State, PATIENCE).await.unwrap();
        let mut outcomes = state.outcomes;
        outcomes.sort();
        (outcomes == ["found x done", "found y done"]).then_some(())
    })
    .await;
    assert_eq!(outside.names().await.len(), 2, "neither was repeated");
    assert_eq!(runtime.tree().children[2].restarts, 1);
}
