//! Promises 2 and 11 under stress: ten thousand children, panics at random, storms of restarts, a parent
//! and a node that stop while children work. Nothing is lost, and nothing is left over.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{StreamExt, stream};
use perennial_runtime::{
    Attempt, EffectError, Options, Performer, Reconciliation, Runtime, SendError, Supervisor,
    TreeNode,
};
use perennial_store::MemoryBackend;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::world::{Account, Deed, Settings, Told, clock, options};

const CHILDREN: usize = 10_000;
/// What the slowest of these takes many times over.
const LONG: Duration = Duration::from_secs(60);
/// Senders at a time.
const CROWD: usize = 256;

/// A generator of its own, so that a seed gives the same run everywhere (xorshift, Marsaglia 2003).
struct Dice(u64);

impl Dice {
    fn percent(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % 100
    }
}

/// Does deeds, and panics before every tenth or so; remembers how often each was done.
#[derive(Clone)]
struct Hands(Arc<Shared>);

struct Shared {
    done: Mutex<BTreeMap<String, u32>>,
    now: AtomicUsize,
    calls: AtomicUsize,
    /// While it is so, nobody gets further.
    held: watch::Sender<bool>,
}

struct Busy<'a>(&'a AtomicUsize);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Hands {
    fn new() -> Self {
        Self(Arc::new(Shared {
            done: Mutex::default(),
            now: AtomicUsize::new(0),
            calls: AtomicUsize::new(0),
            held: watch::Sender::new(false),
        }))
    }

    fn done(&self) -> BTreeMap<String, u32> {
        self.0.done.lock().unwrap().clone()
    }
}

impl Performer<Deed> for Hands {
    async fn perform(&self, _: &Deed, attempt: &Attempt) -> Result<String, EffectError> {
        self.0.now.fetch_add(1, Ordering::SeqCst);
        let _busy = Busy(&self.0.now);
        let mut held = self.0.held.subscribe();
        held.wait_for(|held| !held).await.unwrap();
        if self.0.calls.fetch_add(1, Ordering::SeqCst) % 10 == 7 {
            panic!("told to");
        }
        *self.0.done.lock().unwrap().entry(attempt.key.to_string()).or_default() += 1;
        tokio::task::yield_now().await;
        Ok(String::new())
    }

    async fn reconcile(&self, _: &Deed, attempt: &Attempt) -> Reconciliation<String> {
        if self.0.done.lock().unwrap().contains_key(attempt.key.as_str()) {
            Reconciliation::Done(String::new())
        } else {
            Reconciliation::NotDone
        }
    }
}

async fn start(options: Options, hands: &Hands) -> Runtime {
    let tree = Supervisor::new("bank")
        .actors::<Account>(Arc::new(Settings::default()))
        .performer::<Deed, _>(hands.clone());
    Runtime::start(options, tree).await.unwrap()
}

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

async fn eventually(what: &str, mut probe: impl FnMut() -> Result<(), String>) {
    let over = perennial_runtime::instant() + LONG;
    while let Err(seen) = probe() {
        assert!(perennial_runtime::instant() < over, "{what}: {seen}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Sends all, many at a time; a mailbox that is full for the moment is tried again.
async fn send_all(runtime: &Runtime, all: Vec<(usize, Told)>) {
    stream::iter(all)
        .for_each_concurrent(CROWD, async |(child, told)| {
            while let Err(error) = runtime.send::<Account>(child.to_string(), &told).await {
                assert!(matches!(error, SendError::Overloaded(_)), "{error}");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
}

/// Waits until nothing waits any more, neither a message nor an effect.
async fn at_rest(runtime: &Runtime) {
    let waiting = |node: &TreeNode| node.children.iter().map(|one| one.mailbox_depth).sum();
    eventually("all to be handled", || match waiting(&runtime.tree()) {
        0 => Ok(()),
        depth => Err(format!("{depth:?} wait")),
    })
    .await;
}

async fn balance(runtime: &Runtime, child: usize) -> i64 {
    let asked = runtime.ask::<Account, i64>(child.to_string(), &Told::Balance, LONG);
    asked.await.unwrap()
}

/// Waits for every child's balance.
async fn balances(runtime: &Runtime, wanted: &[i64], hint: &str) {
    let off = stream::iter(wanted.iter().enumerate())
        .map(async |(child, wanted)| {
            let over = perennial_runtime::instant() + LONG;
            loop {
                let seen = balance(runtime, child).await;
                if seen == *wanted {
                    return None;
                }
                if seen > *wanted || perennial_runtime::instant() >= over {
                    return Some((child, seen, *wanted));
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .buffer_unordered(CROWD)
        .filter_map(async |off| off);
    let off: Vec<_> = off.collect().await;
    assert!(off.is_empty(), "{hint}: (child, seen, wanted): {:?}", &off[..off.len().min(10)]);
}

/// Shuts down; afterwards nothing of the runtime is alive.
async fn end(runtime: Runtime, before: usize, hands: &Hands) {
    tokio::time::timeout(LONG, runtime.shutdown()).await.unwrap().unwrap();
    drop(runtime);
    eventually("all tasks to end", || match tasks() {
        now if now == before => Ok(()),
        now => Err(format!("{now} are alive, {before} were before the start")),
    })
    .await;
    assert_eq!(hands.0.now.load(Ordering::SeqCst), 0, "no effect is under way");
}

/// Every worker of the pool can still be had.
async fn no_worker_is_lost(runtime: &Runtime, hands: &Hands, workers: usize) {
    hands.0.held.send_replace(true);
    let deeds = (0..2 * workers).map(|n| Deed::named(&n.to_string())).collect();
    send_all(runtime, vec![(CHILDREN, Told::PerformAll(deeds))]).await;
    let now = || hands.0.now.load(Ordering::SeqCst);
    eventually("every worker to be at work", || {
        if now() == workers { Ok(()) } else { Err(format!("{} of {workers}", now())) }
    })
    .await;
    hands.0.held.send_replace(false);
    at_rest(runtime).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_children_that_panic_and_restart_at_random_lose_nothing_and_leave_nothing() {
    let seed = 0x5eed_0001;
    let mut dice = Dice(seed);
    let (before, hands) = (tasks(), Hands::new());
    let mut options = options(Arc::new(MemoryBackend::new()), &clock());
    options.limits.idle = Duration::from_millis(200);
    options.limits.restarts_per_second = 1_000;
    let workers = options.limits.effect_workers;
    let runtime = start(options, &hands).await;
    let resting = tasks();

    let (mut all, mut wanted, mut killers) = (Vec::new(), Vec::new(), 0);
    for child in 0..CHILDREN {
        all.push((child, Told::Add(1)));
        let (midway, deeds) = match dice.percent() {
            0..10 => (Some(Told::Panic), 0),
            10..12 => (Some(Told::Restart), 0),
            12..20 => (Some(Told::Deeds(3)), 3),
            _ => (None, 0),
        };
        killers += usize::from(midway.is_some() && deeds == 0);
        all.extend(midway.map(|told| (child, told)));
        wanted.push(2 + deeds);
        all.push((child, Told::Add(1)));
    }
    send_all(&runtime, all).await;
    balances(&runtime, &wanted, &format!("seed {seed:#x}")).await;

    let letters = runtime.dead_letters().list(CHILDREN).unwrap();
    assert_eq!(letters.len(), killers, "what kills its turn is told of, and nothing else");
    let kind = &runtime.tree().children[0];
    assert_eq!(kind.restarts, 0, "no child's failures became its parent's");
    at_rest(&runtime).await;
    assert!(hands.done().values().all(|times| *times == 1), "no deed was done twice");
    no_worker_is_lost(&runtime, &hands, workers).await;
    eventually("all children to leave memory", || {
        let (left, now) = (runtime.tree().children[0].children.len(), tasks());
        // What the runtime itself runs at the moment may differ by a timer or two.
        if left == 0 && now <= resting + 4 {
            Ok(())
        } else {
            Err(format!("{left} left, {now} tasks"))
        }
    })
    .await;
    end(runtime, before, &hands).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_restarts_is_held_to_its_rate_and_the_others_go_on() {
    const SICK: usize = 300;
    const RATE: u32 = 300;
    let (before, hands) = (tasks(), Hands::new());
    let mut options = options(Arc::new(MemoryBackend::new()), &clock());
    options.limits.restarts_per_second = RATE;
    let runtime = start(options, &hands).await;
    let began = perennial_runtime::instant();
    let storm = (0..SICK).flat_map(|child| [(child, Told::Restart), (child, Told::Add(1))]);
    send_all(&runtime, storm.collect()).await;
    let mut asked = 0;
    while runtime.dead_letters().list(SICK).unwrap().len() < SICK {
        send_all(&runtime, vec![(SICK, Told::Add(1))]).await;
        asked += 1;
        assert_eq!(balance(&runtime, SICK).await, asked, "the healthy one answers");
        assert!(
            began.elapsed() < LONG,
            "{} letters",
            runtime.dead_letters().list(SICK).unwrap().len()
        );
    }
    let took = began.elapsed();
    balances(&runtime, &[1; SICK], "after the storm").await;
    let children = runtime.tree().children[0].children.clone();
    let restarts: u64 = children.iter().map(|child| child.restarts).sum();
    assert!(restarts >= 4 * SICK as u64, "{restarts}: each is tried five times");
    // A second's worth may go at once; the last of them ended its actor and may be waiting.
    let allowed = f64::from(RATE) * (took.as_secs_f64() + 1.0) + SICK as f64;
    assert!((restarts as f64) <= allowed, "{restarts} restarts in {took:?}");
    end(runtime, before, &hands).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parent_that_stops_while_its_children_work_loses_nothing_of_theirs() {
    const WORKING: usize = 2_000;
    let (before, hands) = (tasks(), Hands::new());
    let runtime = start(options(Arc::new(MemoryBackend::new()), &clock()), &hands).await;
    let work = || (0..WORKING).flat_map(|n| [(n, Told::Add(1)), (n, Told::Deeds(1))]);
    // One child takes all the others along, each time that it is tried.
    let all = work().chain([(WORKING, Told::Escalate)]).chain(work());
    send_all(&runtime, all.collect()).await;
    balances(&runtime, &[4; WORKING], "after its parent stopped").await;
    at_rest(&runtime).await;
    let kind = &runtime.tree().children[0];
    assert!(kind.restarts >= 1, "the parent did not stop");
    let done = hands.done();
    assert_eq!(done.len(), 2 * WORKING);
    assert!(done.values().all(|times| *times == 1), "no deed was done twice");
    assert_eq!(runtime.dead_letters().list(10).unwrap().len(), 1, "the one that escalates");
    end(runtime, before, &hands).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kind_that_is_killed_again_and_again_in_the_middle_of_work_loses_nothing() {
    const WORKING: usize = 500;
    const KILLS: i64 = 4;
    let (before, hands) = (tasks(), Hands::new());
    let runtime = start(options(Arc::new(MemoryBackend::new()), &clock()), &hands).await;
    for killed in 1..=KILLS {
        let work = (0..WORKING).flat_map(|n| [(n, Told::Add(1)), (n, Told::Deeds(1))]);
        let sending = tokio::spawn({
            let (runtime, work) = (runtime.clone(), work.collect());
            async move { send_all(&runtime, work).await }
        });
        eventually("actors to be at work", || match runtime.kill::<Account>() {
            0 => Err("none is alive".to_owned()),
            _ => Ok(()),
        })
        .await;
        sending.await.unwrap();
        balances(&runtime, &[2 * killed; WORKING], &format!("after {killed} kills")).await;
    }
    at_rest(&runtime).await;
    assert!(runtime.tree().children[0].restarts >= KILLS as u64);
    assert!(hands.done().values().all(|times| *times == 1), "no deed was done twice");
    assert_eq!(runtime.dead_letters().list(10).unwrap(), []);
    end(runtime, before, &hands).await;
}

/// What one child was sent: taken in for sure, and perhaps.
type Sent = (usize, usize);

/// Sends to one child until the runtime takes nothing in any more.
async fn keep_sending(runtime: Runtime, child: usize) -> Sent {
    let (mut accepted, mut unknown) = (0, 0);
    loop {
        match runtime.send::<Account>(child.to_string(), &Told::Deeds(1)).await {
            Ok(_) => accepted += 1,
            Err(SendError::Overloaded(_)) => tokio::task::yield_now().await,
            Err(SendError::Unknown) => unknown += 1,
            Err(SendError::Stopping) => return (accepted, unknown),
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_in_the_middle_of_work_is_in_order_and_the_rest_is_done_after_the_next_start() {
    const WORKING: usize = 64;
    let (before, hands) = (tasks(), Hands::new());
    let (backend, clock) = (MemoryBackend::new(), clock());
    let runtime = start(options(Arc::new(backend.clone()), &clock), &hands).await;
    let senders = (0..WORKING).map(|child| tokio::spawn(keep_sending(runtime.clone(), child)));
    let senders: Vec<_> = senders.collect();
    eventually("work to be under way", || match hands.done().len() {
        done if done > WORKING => Ok(()),
        done => Err(format!("{done} done")),
    })
    .await;
    tokio::time::timeout(LONG, runtime.shutdown()).await.unwrap().unwrap();
    let at_the_end = hands.done();
    let sent: Vec<Sent> = futures::future::join_all(senders).await.into_iter().flatten().collect();
    assert_eq!(sent.len(), WORKING);
    end(runtime, before, &hands).await;
    assert_eq!(hands.done(), at_the_end, "something was done after the shutdown");

    let runtime = start(options(Arc::new(backend), &clock), &hands).await;
    at_rest(&runtime).await;
    let mut total = 0;
    for (child, (accepted, unknown)) in sent.iter().enumerate() {
        let seen = usize::try_from(balance(&runtime, child).await).unwrap();
        let possible = *accepted..=accepted + unknown;
        assert!(possible.contains(&seen), "child {child}: {seen} of {possible:?}");
        total += seen;
    }
    let done = hands.done();
    assert_eq!(done.len(), total, "each deed whose outcome was told was done");
    assert!(done.values().all(|times| *times == 1), "no deed was done twice");
    end(runtime, before, &hands).await;
}
