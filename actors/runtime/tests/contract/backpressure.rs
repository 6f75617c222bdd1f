//! Promise 9: bounded windows, a quota, and senders that are slowed down instead of messages lost.

use std::sync::Arc;
use std::time::Duration;

use perennial_runtime::SendError;
use perennial_store::MemoryBackend;

use crate::world::{Account, Node, Outside, Told, clock, eventually, options, start};

async fn with_quota(quota: usize) -> Node {
    let clock = clock();
    let mut options = options(Arc::new(MemoryBackend::new()), &clock);
    options.limits.quota = quota;
    options.limits.window = 4;
    options.limits.attempts = 1000;
    options.limits.retry_base = Duration::from_millis(100);
    options.limits.retry_cap = Duration::from_secs(1);
    start(options, clock, Outside::default()).await
}

/// Sends again while the mailbox is over its quota.
async fn insist(node: &Node, key: &str, told: &Told) {
    eventually("the message is accepted", async || {
        match node.runtime.send::<Account>(key, told).await {
            Ok(_) => Some(()),
            Err(SendError::Overloaded(_)) => None,
            Err(error) => panic!("{error}"),
        }
    })
    .await;
}

#[tokio::test]
async fn a_mailbox_over_its_quota_refuses_messages_from_outside() {
    let node = with_quota(20).await;
    node.tell("a", Told::Fail("blocks the rest".to_owned())).await;
    let mut refused = None;
    for _ in 0..25 {
        if let Err(error) = node.runtime.send::<Account>("a", &Told::Add(1)).await {
            refused = Some(error);
            break;
        }
    }
    assert_eq!(refused, Some(SendError::Overloaded("account/a".to_owned())));
    node.tell("b", Told::Add(1)).await;
    assert_eq!(node.state("b").await.balance, 1, "others are not affected");
}

#[tokio::test]
async fn a_sender_inside_the_node_is_slowed_down_and_nothing_is_lost() {
    let node = with_quota(10).await;
    let path = vec!["b".to_owned()];
    for _ in 0..50 {
        insist(&node, "a", &Told::Transfer { amount: 1, path: path.clone() }).await;
    }
    node.until("b", |account| account.balance == 50).await;
}

#[tokio::test]
async fn two_actors_that_flood_each_other_do_not_lock_up() {
    let node = with_quota(5).await;
    let there_and_back: Vec<String> = (0..40).map(|n| ["a", "b"][n % 2].to_owned()).collect();
    for _ in 0..4 {
        let path = there_and_back.clone();
        insist(&node, "a", &Told::Transfer { amount: 1, path }).await;
    }
    node.until("b", |account| account.balance == 4).await;
}
