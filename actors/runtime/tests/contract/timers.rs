//! Promise 7: timers are stored, never early, and fire after a restart.

use std::sync::Arc;
use std::time::Duration;

use perennial_runtime::{Clock, Timestamp};
use perennial_store::{Backend, Key, MemoryBackend};

use crate::world::{Node, Outside, Told, clock, eventually, options, start};

fn remind(name: &str, after_ms: u64, note: &str) -> Told {
    Told::Remind { name: name.to_owned(), after_ms, note: note.to_owned() }
}

#[tokio::test]
async fn a_timer_fires_when_due_and_not_before() {
    let (node, _) = Node::on_memory().await;
    node.tell("a", remind("t", 60_000, "late")).await;
    node.state("a").await;
    node.clock.advance(Duration::from_millis(59_999));
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(node.state("a").await.told.is_empty());
    node.clock.advance(Duration::from_millis(1));
    node.until("a", |account| account.told == ["late"]).await;
}

#[tokio::test]
async fn a_timer_that_fell_due_while_the_node_was_down_fires_once_after_the_start() {
    let (node, backend) = Node::on_memory().await;
    node.tell("a", remind("t", 60_000, "x")).await;
    node.state("a").await;
    node.runtime.shutdown().await.unwrap();
    node.clock.advance(Duration::from_secs(3600));
    let node = node.again(&backend).await;
    node.until("a", |account| account.told == ["x"]).await;
    node.runtime.shutdown().await.unwrap();
    let node = node.again(&backend).await;
    assert_eq!(node.state("a").await.told, ["x"]);
}

#[tokio::test]
async fn a_timer_of_an_actor_nobody_talks_to_wakes_it() {
    let (node, backend) = Node::on_memory().await;
    node.tell("a", remind("t", 1000, "woken")).await;
    node.state("a").await;
    node.runtime.shutdown().await.unwrap();
    let node = node.again(&backend).await;
    node.clock.advance(Duration::from_secs(2));
    eventually("the actor handles its timer", async || {
        let handled = node.settings.handled.load(std::sync::atomic::Ordering::SeqCst);
        (handled > 0).then_some(())
    })
    .await;
    assert_eq!(node.state("a").await.told, ["woken"]);
}

#[tokio::test]
async fn a_cancelled_timer_never_fires_and_a_replaced_one_fires_as_replaced() {
    let (node, _) = Node::on_memory().await;
    node.tell("a", remind("gone", 1000, "never")).await;
    node.tell("a", remind("moved", 1000, "early")).await;
    node.tell("a", Told::Cancel("gone".to_owned())).await;
    node.tell("a", remind("moved", 5000, "right")).await;
    node.state("a").await;
    node.clock.advance(Duration::from_secs(10));
    let state = node.until("a", |account| !account.told.is_empty()).await;
    assert_eq!(state.told, ["right"]);
}

#[tokio::test]
async fn missed_ticks_of_a_periodic_timer_are_one() {
    let (node, backend) = Node::on_memory().await;
    node.tell("a", Told::Tick { name: "tick".to_owned(), every_ms: 1000 }).await;
    node.state("a").await;
    node.runtime.shutdown().await.unwrap();
    node.clock.advance(Duration::from_millis(10_500));
    let node = node.again(&backend).await;
    node.until("a", |account| account.told.len() == 1).await;
    node.clock.advance(Duration::from_millis(500));
    node.until("a", |account| account.told.len() == 2).await;
}

#[tokio::test]
async fn a_stopped_actor_begins_anew_without_its_timers() {
    let (node, _) = Node::on_memory().await;
    node.tell("a", Told::Add(5)).await;
    node.tell("a", remind("t", 1000, "never")).await;
    node.tell("a", Told::Stop).await;
    node.state("a").await;
    node.clock.advance(Duration::from_secs(10));
    node.tell("a", Told::Add(1)).await;
    let state = node.state("a").await;
    assert_eq!((state.balance, state.told.len()), (1, 0));
}

#[tokio::test]
async fn a_timer_cancelled_by_another_that_fell_due_with_it_does_not_fire() {
    let (node, backend) = Node::on_memory().await;
    let (name, cancels) = ("first".to_owned(), "second".to_owned());
    node.tell("a", Told::RemindToCancel { name, after_ms: 1000, cancels }).await;
    node.tell("a", remind("second", 2000, "never")).await;
    node.tell("a", remind("third", 3000, "third")).await;
    node.state("a").await;
    node.runtime.shutdown().await.unwrap();
    node.clock.advance(Duration::from_secs(60));
    let node = node.again(&backend).await;
    let state = node.until("a", |account| !account.told.is_empty()).await;
    assert_eq!(state.told, ["third"]);
}

#[tokio::test]
async fn a_timer_set_again_for_the_same_time_is_another_one() {
    let (node, _) = Node::on_memory().await;
    node.tell("a", Told::DeedAgain(3)).await;
    node.until("a", |account| account.outcomes.len() == 3).await;
    let done = node.outside.done.lock().await.clone();
    let keys: std::collections::BTreeSet<_> = done.iter().map(|(_, key)| key).collect();
    assert_eq!(keys.len(), 3, "each deed has a key of its own: {done:?}");
}

#[tokio::test]
async fn attempts_at_a_timer_are_forgotten_when_it_is_cancelled() {
    let backend = MemoryBackend::new();
    let clock = clock();
    let began = Clock::now(&clock);
    let mut patient = options(Arc::new(backend.clone()), &clock);
    patient.limits.retry_base = Duration::from_secs(3600);
    patient.limits.retry_cap = patient.limits.retry_base;
    let node = start(patient, clock, Outside::default()).await;
    node.tell("a", Told::RemindToFail { name: "fails".to_owned(), after_ms: 1000 }).await;
    node.state("a").await;
    node.clock.advance(Duration::from_secs(1));
    let attempts = Key::attempts_of("account", "a");
    let attempted = async || {
        let rows = backend.scan(&attempts.start..&attempts.end, 9).unwrap();
        (!rows.is_empty()).then_some(())
    };
    eventually("the timer fails", attempted).await;
    node.runtime.shutdown().await.unwrap();
    // Its clock is set back, so that another timer comes before it.
    node.clock.set(Timestamp::from_micros(1));
    let node = node.again(&backend).await;
    let cancels = "fails".to_owned();
    let cancel = Told::RemindToCancel { name: "cancels".to_owned(), after_ms: 1, cancels };
    node.tell("a", cancel).await;
    node.state("a").await;
    node.clock.set(began + Duration::from_secs(60));
    eventually("both timers are gone", async || {
        let timers = Key::timers_of("account", "a");
        let rows = backend.scan(&timers.start..&timers.end, 9).unwrap();
        rows.is_empty().then_some(())
    })
    .await;
    node.state("a").await;
    assert!(node.runtime.dead_letters().list(9).unwrap().is_empty(), "it was cancelled");
    assert!(backend.scan(&attempts.start..&attempts.end, 9).unwrap().is_empty());
}
