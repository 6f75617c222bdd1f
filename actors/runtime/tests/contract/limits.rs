//! Promise 2 and 8 at the store's limits: what no row can hold fails its turn, and never the node.

use perennial_runtime::{Failure, SendError, SendOptions};

use crate::world::{Account, Behaviour, Deed, Node, PATIENCE, Told, eventually};

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn a_turn_that_makes_the_state_too_large_to_store_is_rejected_and_the_others_stay() {
    for bytes in [9 * MIB, 20 * MIB] {
        let (node, backend) = Node::on_memory().await;
        let tolds = [Told::Add(1), Told::Add(2), Told::Grow(bytes), Told::Add(4), Told::Add(8)];
        let sends = tolds.iter().map(|told| node.runtime.send::<Account>("a", told));
        futures::future::join_all(sends).await;
        let state = node.until("a", |account| account.balance == 15).await;
        assert!(state.told.is_empty());
        let letters = node.runtime.dead_letters().list(10).unwrap();
        assert_eq!(letters.len(), 1);
        assert!(letters[0].last_error.contains("limit"), "{letters:?}");
        node.runtime.shutdown().await.unwrap();
        let node = node.again(&backend).await;
        assert_eq!(node.state("a").await.balance, 15);
    }
}

#[tokio::test]
async fn a_row_or_a_key_that_no_store_takes_rejects_its_turn() {
    let (node, _) = Node::on_memory().await;
    node.tell("a", Told::PutLarge(9 * MIB)).await;
    node.tell("a", Told::Put("k".repeat(MIB / 2), "v".to_owned())).await;
    let path = vec!["k".repeat(MIB / 2)];
    node.tell("a", Told::Transfer { amount: 1, path }).await;
    node.tell("a", Told::Add(1)).await;
    node.until("a", |account| account.balance == 1).await;
    let letters = node.runtime.dead_letters().list(10).unwrap();
    assert_eq!(letters.len(), 3, "{letters:?}");
    assert!(letters.iter().all(|letter| letter.attempts == 1), "{letters:?}");
}

#[tokio::test]
async fn keys_and_tokens_from_outside_are_bounded_and_may_hold_any_character() {
    let (node, backend) = Node::on_memory().await;
    let long = "k".repeat(MIB);
    let refused = node.runtime.send::<Account>(&*long, &Told::Add(1)).await.unwrap_err();
    assert!(matches!(refused, SendError::Refused(_)), "{refused}");
    let with = |token: &str| SendOptions { token: Some(token.to_owned()), ..Default::default() };
    let refused = node.runtime.send_with::<Account>("a", &Told::Add(1), with(&long)).await;
    assert!(matches!(refused, Err(SendError::Refused(_))), "{refused:?}");
    for odd in ["a\0b", "ü/\u{ffff}", "\n", "a/b/c"] {
        for repeated in [false, true] {
            let sent = node.runtime.send_with::<Account>(odd, &Told::Add(1), with(odd)).await;
            assert_eq!(sent.unwrap().repeated, repeated, "{odd:?}");
        }
    }
    for _ in 0..2 {
        let sent = node.runtime.send_with::<Account>("a", &Told::Add(1), with("")).await;
        assert!(!sent.unwrap().repeated, "an empty token is none");
    }
    node.runtime.shutdown().await.unwrap();
    let node = node.again(&backend).await;
    for odd in ["a\0b", "ü/\u{ffff}", "\n", "a/b/c"] {
        assert_eq!(node.state(odd).await.balance, 1, "{odd:?}");
    }
}

#[tokio::test]
async fn an_outcome_too_large_to_store_is_told_as_such_and_the_effect_is_not_repeated() {
    let (node, backend) = Node::on_memory().await;
    node.outside.behave(Behaviour::AnswersAtLength(9 * MIB));
    node.tell("a", Told::Perform(Deed::named("x"))).await;
    node.until("a", |account| account.outcomes == ["unknown"]).await;
    node.runtime.shutdown().await.unwrap();
    let node = node.again(&backend).await;
    assert_eq!(node.state("a").await.outcomes, ["unknown"]);
    assert_eq!(node.outside.names().await, ["x"]);
}

#[tokio::test]
async fn an_endless_reason_is_kept_in_part() {
    let (node, _) = Node::on_memory().await;
    let why = "because ".repeat(100_000);
    assert_eq!(Failure::Retry(why.clone()).reason(), why);
    node.tell("a", Told::Fail(why)).await;
    let letter =
        eventually("a dead letter", async || node.runtime.dead_letters().list(1).unwrap().pop())
            .await;
    assert!(letter.last_error.len() < 10_000, "{}", letter.last_error.len());
}

#[tokio::test]
async fn a_mailbox_that_spills_while_messages_keep_coming_is_worked_off_meanwhile() {
    let (node, _) = Node::on_memory().await;
    node.tell("a", Told::Fail("holds the rest up".to_owned())).await;
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flood = |n: usize| {
        let (runtime, stop) = (node.runtime.clone(), stop.clone());
        tokio::spawn(async move {
            while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                let _full = runtime.send::<Account>("a", &Told::Add(1)).await;
                tokio::task::yield_now().await;
            }
            n
        })
    };
    let floods: Vec<_> = (0..200).map(flood).collect();
    eventually("the flooded actor goes on", async || {
        let handled = node.settings.handled.load(std::sync::atomic::Ordering::SeqCst);
        (handled > 2_000).then_some(())
    })
    .await;
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    futures::future::join_all(floods).await;
    tokio::time::timeout(PATIENCE, node.runtime.shutdown()).await.unwrap().unwrap();
}
