//! Promises 1, 2, 3, 6: durable acceptance, effectively once, nothing before commit, no guessing.

use std::sync::Arc;
use std::time::Duration;

use perennial_runtime::{AskError, SendError, SendOptions};
use perennial_store::{
    Call, Fault, FaultPlan, FaultyBackend, MemoryBackend, SledBackend, SledOptions,
};

use crate::world::{Account, Node, Outside, PATIENCE, Told, clock, options, start};

#[tokio::test]
async fn an_accepted_message_is_applied_and_answers() {
    let (node, _) = Node::on_memory().await;
    node.tell("a", Told::Add(5)).await;
    node.tell("a", Told::Add(7)).await;
    let balance: i64 = node.runtime.ask::<Account, _>("a", &Told::Balance, PATIENCE).await.unwrap();
    assert_eq!(balance, 12);
    node.runtime.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_was_accepted_survives_a_restart_on_the_embedded_store() {
    let directory = tempfile::tempdir().unwrap();
    let clock = clock();
    for round in 1..=3 {
        let backend = SledBackend::open(directory.path(), SledOptions::default()).unwrap();
        let node =
            start(options(Arc::new(backend), &clock), clock.clone(), Outside::default()).await;
        node.tell("a", Told::Add(1)).await;
        assert_eq!(node.state("a").await.balance, round);
        node.runtime.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_message_sent_again_under_its_token_is_applied_once_and_answers_the_same() {
    let (node, backend) = Node::on_memory().await;
    let token = || SendOptions { token: Some("order-1".to_owned()), ..SendOptions::default() };
    let first = node.runtime.send_with::<Account>("a", &Told::Add(5), token()).await.unwrap();
    let second = node.runtime.send_with::<Account>("a", &Told::Add(5), token()).await.unwrap();
    assert_eq!((first.repeated, second.repeated), (false, true));
    assert_eq!(first.id, second.id);
    assert_eq!(node.state("a").await.balance, 5);

    let ask = || SendOptions { token: Some("question-1".to_owned()), ..SendOptions::default() };
    let asked = |node: &Node| {
        let runtime = node.runtime.clone();
        async move {
            runtime.ask_with::<Account, i64>("a", &Told::Balance, PATIENCE, ask()).await.unwrap()
        }
    };
    assert_eq!(asked(&node).await, 5);
    node.tell("a", Told::Add(5)).await;
    assert_eq!(asked(&node).await, 5, "the stored reply, not a new one");
    node.runtime.shutdown().await.unwrap();
    let node = node.again(&backend).await;
    assert_eq!(asked(&node).await, 5, "also after a restart");
    assert_eq!(node.state("a").await.balance, 10);
}

#[tokio::test]
async fn two_sends_under_one_token_at_the_same_time_are_one() {
    let (node, _) = Node::on_memory().await;
    let send = || {
        let options = SendOptions { token: Some("t".to_owned()), ..SendOptions::default() };
        let runtime = node.runtime.clone();
        async move { runtime.send_with::<Account>("a", &Told::Add(1), options).await.unwrap() }
    };
    let (a, b, c) = tokio::join!(send(), send(), send());
    assert_eq!(
        [a.repeated, b.repeated, c.repeated].iter().filter(|repeated| !**repeated).count(),
        1
    );
    assert_eq!(node.state("a").await.balance, 1);
}

#[tokio::test]
async fn a_chain_of_a_hundred_actors_is_applied_wholly() {
    let (node, _) = Node::on_memory().await;
    let path: Vec<String> = (0..100).map(|n| format!("hop-{n}")).collect();
    node.tell("start", Told::Transfer { amount: 9, path }).await;
    node.until("hop-99", |account| account.balance == 9).await;
}

#[tokio::test]
async fn an_uncertain_commit_is_unknown_to_the_sender_and_ends_the_node() {
    for fault in [Fault::CrashBefore, Fault::CrashAfter] {
        let image = MemoryBackend::new();
        let clock = clock();
        let faulty =
            FaultyBackend::new(image.clone(), FaultPlan::none().at(Call::Commit, 2, fault));
        let node =
            start(options(Arc::new(faulty), &clock), clock.clone(), Outside::default()).await;
        node.tell("a", Told::Add(1)).await;
        let lost = node.runtime.send::<Account>("a", &Told::Add(10)).await;
        assert_eq!(lost.unwrap_err(), SendError::Unknown);
        let _error = node.runtime.failed().await;
        let refused = node.runtime.send::<Account>("a", &Told::Add(100)).await;
        assert!(refused.is_err(), "nothing is accepted by a failed node");

        let node = node.again(&image).await;
        let balance = node.state("a").await.balance;
        assert!([1, 11].contains(&balance), "applied or not, never half: {balance}");
    }
}

#[tokio::test]
async fn a_message_over_the_size_limit_is_refused() {
    let (node, _) = Node::on_memory().await;
    let huge = Told::Note("x".repeat(2 * 1024 * 1024));
    let refused = node.runtime.send::<Account>("a", &huge).await.unwrap_err();
    assert!(matches!(refused, SendError::Refused(_)), "{refused}");
}

#[tokio::test]
async fn an_ask_without_an_answer_says_so() {
    let (node, _) = Node::on_memory().await;
    let silent = node.runtime.ask::<Account, i64>("a", &Told::Add(1), PATIENCE).await.unwrap_err();
    assert!(matches!(silent, AskError::NoAnswer(_)), "{silent}");
    let rejected = node.runtime.ask::<Account, i64>("a", &Told::ChangeAndFail, PATIENCE).await;
    assert_eq!(rejected.unwrap_err(), AskError::Rejected("changed my mind".to_owned()));
    let soon = Duration::from_millis(1);
    let stuck = node.runtime.ask::<Account, i64>("b", &Told::Fail("x".to_owned()), soon).await;
    assert!(stuck.is_err());
}

#[tokio::test]
async fn a_failed_turn_leaves_no_trace_and_keeps_the_turns_before_it() {
    let (node, _) = Node::on_memory().await;
    let runtime = &node.runtime;
    let sends =
        [Told::Add(1), Told::Add(2), Told::ChangeAndFail, Told::Add(4), Told::Panic, Told::Add(8)];
    futures::future::join_all(sends.iter().map(|told| runtime.send::<Account>("a", told))).await;
    let state = node.until("a", |account| account.balance == 15).await;
    assert_eq!(state.balance, 15);
}

#[tokio::test]
async fn after_a_shutdown_nothing_is_accepted() {
    let (node, _) = Node::on_memory().await;
    node.runtime.shutdown().await.unwrap();
    let refused = node.runtime.send::<Account>("a", &Told::Add(1)).await.unwrap_err();
    assert_eq!(refused, SendError::Stopping);
}
