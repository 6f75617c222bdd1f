//! The whole contract against a plain model: random messages, a crash at every call of the store, and
//! restarts until all is done. Whatever happens, money is neither made nor lost, every accepted
//! message is applied once, and every deed has a committed intent and is done once.

use std::sync::Arc;
use std::time::Duration;

use perennial_runtime::SendOptions;
use perennial_store::{Call, Fault, FaultPlan, FaultyBackend, MemoryBackend};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::world::{Account, Deed, Node, Outside, Told, clock, options, try_start};

/// One message a client sends, under a token of its own, until it is accepted.
#[derive(Clone, Debug)]
enum Step {
    Transfer { from: u8, over: u8, to: u8, amount: i64 },
    Deed(u8),
    Poison(u8),
    Reminder(u8),
}

fn name(account: u8) -> String {
    format!("account-{}", account % 5)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..5u8, 0..5u8, 0..5u8, 1..100i64)
            .prop_map(|(from, over, to, amount)| Step::Transfer { from, over, to, amount }),
        2 => (0..5u8).prop_map(Step::Deed),
        1 => (0..5u8).prop_map(Step::Poison),
        1 => (0..5u8).prop_map(Step::Reminder),
    ]
}

fn told(number: usize, step: &Step) -> (String, Told) {
    match step {
        Step::Transfer { from, over, to, amount } => {
            let path = vec![name(*over), name(*to)];
            (name(*from), Told::Transfer { amount: *amount, path })
        }
        Step::Deed(account) => {
            (name(*account), Told::Perform(Deed::named(&format!("deed-{number}"))))
        }
        Step::Poison(account) => (name(*account), Told::Fail(format!("poison-{number}"))),
        Step::Reminder(account) => {
            let note = format!("reminder-{number}");
            (name(*account), Told::Remind { name: note.clone(), after_ms: 10, note })
        }
    }
}

/// Where a store crashes: at which of its calls, and for a commit, whether it was applied before.
#[derive(Clone, Copy, Debug)]
struct Crash {
    call: Call,
    at: u64,
    applied: bool,
}

fn crash() -> impl Strategy<Value = Crash> {
    let call = prop_oneof![3 => Just(Call::Commit), 1 => Just(Call::Get), 1 => Just(Call::Scan)];
    (call, 1..20u64, any::<bool>()).prop_map(|(call, at, applied)| Crash { call, at, applied })
}

/// Runs the steps on nodes whose stores crash, one after the other, each node started anew on what the
/// last one left.
async fn play(steps: &[Step], crashes: &[Crash]) -> Result<(), String> {
    let image = MemoryBackend::new();
    let (clock, outside) = (clock(), Outside::default());
    let mut crashes = crashes.iter();
    let mut node = open(&image, crashes.next(), &clock, &outside).await;
    for (number, step) in steps.iter().enumerate() {
        let (key, told) = told(number, step);
        loop {
            let options = SendOptions { token: Some(number.to_string()), ..SendOptions::default() };
            if node.runtime.send_with::<Account>(&key, &told, options).await.is_ok() {
                break;
            }
            node = reopen(node, &image, crashes.next(), &clock, &outside).await;
        }
    }
    clock.advance(Duration::from_secs(1));
    for plan in crashes.map(Some).chain([None]) {
        node = reopen(node, &image, plan, &clock, &outside).await;
    }
    verify(&node, steps).await
}

async fn open(
    image: &MemoryBackend,
    crash: Option<&Crash>,
    clock: &perennial_runtime::ManualClock,
    outside: &Outside,
) -> Node {
    let plan = crash.map_or_else(FaultPlan::none, |crash| {
        let fault = if crash.applied { Fault::CrashAfter } else { Fault::CrashBefore };
        FaultPlan::none().at(crash.call, crash.at, fault)
    });
    for plan in [plan, FaultPlan::none()] {
        let backend = Arc::new(FaultyBackend::new(image.clone(), plan));
        let (clock, settings) = (clock.clone(), Arc::default());
        let started = try_start(options(backend, &clock), clock, outside.clone(), settings).await;
        // A store may crash while the node starts, too.
        if let Ok(node) = started {
            return node;
        }
    }
    panic!("a node does not start on a store without faults");
}

async fn reopen(
    node: Node,
    image: &MemoryBackend,
    crash: Option<&Crash>,
    clock: &perennial_runtime::ManualClock,
    outside: &Outside,
) -> Node {
    // The store of the old node is dead already; this ends its tasks, as the death of a process would.
    drop(node.runtime.shutdown().await);
    open(image, crash, clock, outside).await
}

async fn verify(node: &Node, steps: &[Step]) -> Result<(), String> {
    let (mut money, mut deeds, mut poisons, mut reminders) = (0, Vec::new(), 0, 0);
    for (number, step) in steps.iter().enumerate() {
        match step {
            Step::Transfer { amount, .. } => money += amount,
            Step::Deed(_) => deeds.push(format!("deed-{number}")),
            Step::Poison(_) => poisons += 1,
            Step::Reminder(_) => reminders += 1,
        }
    }
    let deadline = perennial_runtime::instant() + crate::world::PATIENCE;
    loop {
        let mut accounts = Vec::new();
        for account in 0..5 {
            accounts.push(node.state(&name(account)).await);
        }
        let now = (
            accounts.iter().map(|account| account.balance).sum::<i64>(),
            accounts.iter().map(|account| account.outcomes.len()).sum::<usize>(),
            node.runtime.dead_letters().list(1000).map_err(|error| error.to_string())?.len(),
            accounts.iter().map(|account| account.told.len()).sum::<usize>(),
        );
        if now == (money, deeds.len(), poisons, reminders) {
            break;
        }
        if perennial_runtime::instant() > deadline {
            let wanted = (money, deeds.len(), poisons, reminders);
            return Err(format!(
                "(money, outcomes, dead letters, reminders) are {now:?}, not {wanted:?}"
            ));
        }
        // A reminder may have been set after the clock was moved.
        node.clock.advance(Duration::from_millis(20));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let mut done = node.outside.names().await;
    done.sort();
    deeds.sort();
    if done == deeds { Ok(()) } else { Err(format!("deeds done {done:?}, intended {deeds:?}")) }
}

fn cases() -> u32 {
    #[expect(clippy::disallowed_methods, reason = "how a longer run is asked for")]
    let asked = std::env::var("CASES").ok().and_then(|cases| cases.parse().ok());
    asked.unwrap_or(60)
}

#[test]
fn whatever_crashes_nothing_accepted_is_lost_or_done_twice() {
    let config = Config {
        cases: cases(),
        failure_persistence: None,
        max_shrink_iters: 50,
        ..Config::default()
    };
    let strategy = (prop::collection::vec(step(), 1..30), prop::collection::vec(crash(), 0..6));
    TestRunner::new(config)
        .run(&strategy, |(steps, crashes)| {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(play(&steps, &crashes)).map_err(TestCaseError::fail)
        })
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_each_single_call_of_a_scenario_is_survived() {
    let steps = [
        Step::Transfer { from: 0, over: 1, to: 2, amount: 10 },
        Step::Deed(1),
        Step::Reminder(2),
        Step::Poison(3),
        Step::Transfer { from: 3, over: 3, to: 4, amount: 7 },
        Step::Deed(4),
    ];
    let kinds =
        [(Call::Commit, false), (Call::Commit, true), (Call::Get, false), (Call::Scan, false)];
    for (call, applied) in kinds {
        for at in 1..25 {
            let crash = Crash { call, at, applied };
            let again = Crash { at: 1, ..crash };
            let played = play(&steps, &[crash, again]).await;
            played.unwrap_or_else(|error| panic!("{crash:?}: {error}"));
        }
    }
}
