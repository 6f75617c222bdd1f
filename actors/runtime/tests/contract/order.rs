//! Promise 5: first in, first out for each sender and receiver, across restarts.

use std::sync::Arc;
use std::time::Duration;

use perennial_store::{Backend, Call, Fault, FaultPlan, FaultyBackend, MemoryBackend};

use crate::world::{Node, Outside, Told, clock, options, start};

#[tokio::test]
async fn a_backlog_longer_than_the_window_is_handled_in_order() {
    let (node, _) = Node::on_memory().await;
    let notes: Vec<String> = (0..500).map(|n| n.to_string()).collect();
    for note in &notes {
        let told = Told::Note(note.clone());
        let runtime = node.runtime.clone();
        // Not awaited one by one, so that they pile up; begun in order.
        runtime.send::<crate::world::Account>("a", &told).await.unwrap();
    }
    let state = node.until("a", |account| account.told.len() == 500).await;
    assert_eq!(state.told, notes);
}

#[tokio::test]
async fn a_failing_message_keeps_those_behind_it_waiting_in_order() {
    let (node, _) = Node::on_memory().await;
    for told in ["1", "2"] {
        node.tell("a", Told::Note(told.to_owned())).await;
    }
    node.tell("a", Told::Fail("poison".to_owned())).await;
    for told in ["3", "4"] {
        node.tell("a", Told::Note(told.to_owned())).await;
    }
    let state = node.until("a", |account| account.told.len() == 4).await;
    assert_eq!(state.told, ["1", "2", "3", "4"]);
}

#[tokio::test]
async fn messages_from_one_actor_to_another_stay_in_order_over_a_spilled_window() {
    let (node, _) = Node::on_memory().await;
    // The receiver is held up by a poison message while the sender floods it.
    node.tell("b", Told::Fail("slow".to_owned())).await;
    for n in 1..=300 {
        node.tell("a", Told::Transfer { amount: n, path: vec!["b".to_owned()] }).await;
    }
    let total = (1..=300).sum::<i64>();
    node.until("b", |account| account.balance == total).await;
}

#[tokio::test]
async fn messages_stay_in_order_when_careful_running_ends() {
    let clock = crate::world::clock();
    let slow = FaultPlan::none();
    let slow = (1..200)
        .fold(slow, |plan, n| plan.at(Call::Commit, n, Fault::Slow(Duration::from_millis(5))));
    let backend = FaultyBackend::new(MemoryBackend::new(), slow);
    let mut options = crate::world::options(Arc::new(backend), &clock);
    options.unclean_ends = 1;
    options.limits.careful = Duration::from_millis(100);
    let node = crate::world::start(options, clock, crate::world::Outside::default()).await;
    let notes: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    let tolds: Vec<Told> = notes.iter().map(|note| Told::Note(note.clone())).collect();
    for chunk in tolds.chunks(10) {
        // Begun in order, and many of them on their way to the disk at any time.
        for told in chunk {
            let sent = node.runtime.clone();
            let told = told.clone();
            tokio::spawn(async move { sent.send::<crate::world::Account>("a", &told).await });
        }
        tokio::time::sleep(Duration::from_millis(4)).await;
    }
    let state = node.until("a", |account| account.told.len() == 300).await;
    assert_eq!(state.told, notes);
}

#[tokio::test]
async fn a_backlog_of_large_messages_is_read_back_in_windows_of_bounded_size_and_in_order() {
    let (image, clock) = (MemoryBackend::new(), clock());
    let mut patient = options(Arc::new(image.clone()), &clock);
    patient.limits.retry_base = Duration::from_secs(3600);
    patient.limits.retry_cap = patient.limits.retry_base;
    let node = start(patient, clock.clone(), Outside::default()).await;
    node.tell("a", Told::Fail("holds the rest up".to_owned())).await;
    let notes: Vec<String> = (0..40).map(|n| format!("{n}{}", "x".repeat(100_000))).collect();
    for note in &notes {
        node.tell("a", Told::Note(note.clone())).await;
    }
    node.runtime.shutdown().await.unwrap();
    let faulty = Arc::new(FaultyBackend::new(image, FaultPlan::none()));
    let backend: Arc<dyn Backend> = faulty.clone();
    let mut small = options(backend, &clock);
    // Room for two of the messages.
    small.limits.window_bytes = 250_000;
    let node = start(small, clock, Outside::default()).await;
    let scans = faulty.calls(Call::Scan);
    let state = node.until("a", |account| account.told.len() == 40).await;
    assert!(state.told == notes, "in order");
    // Two at a time, where windows of 64 messages would need fewer than ten.
    let scans = faulty.calls(Call::Scan) - scans;
    assert!(scans >= 15, "{scans}");
}
