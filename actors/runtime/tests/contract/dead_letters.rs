//! Promise 8: what cannot be handled is kept, listed, redriven and discarded; never dropped.

use perennial_runtime::{SendOptions, Timestamp};

use crate::world::{Account, Node, Told, eventually};

#[tokio::test]
async fn a_poison_message_ends_in_the_dead_letters_after_its_attempts() {
    let (node, _) = Node::on_memory().await;
    node.tell("a", Told::Fail("no such file".to_owned())).await;
    node.tell("a", Told::Add(1)).await;
    node.until("a", |account| account.balance == 1).await;
    let letters = node.runtime.dead_letters().list(10).unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].attempts, 5);
    assert_eq!(letters[0].last_error, "no such file");
    assert_eq!(letters[0].to.to_string(), "account/a");
}

#[tokio::test]
async fn a_panic_counts_as_a_failure_and_names_itself() {
    let (node, _) = Node::on_memory().await;
    node.tell("a", Told::Panic).await;
    let letter =
        eventually("a dead letter", async || node.runtime.dead_letters().list(1).unwrap().pop())
            .await;
    assert!(letter.last_error.contains("told to"), "{letter:?}");
}

#[tokio::test]
async fn a_rejected_message_is_not_tried_again() {
    let (node, _) = Node::on_memory().await;
    node.tell("a", Told::ChangeAndFail).await;
    let letter =
        eventually("a dead letter", async || node.runtime.dead_letters().list(1).unwrap().pop())
            .await;
    assert_eq!(letter.attempts, 1);
}

#[tokio::test]
async fn a_message_to_a_kind_nobody_registered_is_a_dead_letter() {
    let (node, _) = Node::on_memory().await;
    node.tell("a", Told::SendToNobody).await;
    let letter =
        eventually("a dead letter", async || node.runtime.dead_letters().list(1).unwrap().pop())
            .await;
    assert_eq!(letter.to.to_string(), "unregistered/x");
}

#[tokio::test]
async fn an_expired_message_is_a_dead_letter() {
    let (node, _) = Node::on_memory().await;
    let expires = Some(Timestamp::from_micros(1));
    let options = SendOptions { expires, ..SendOptions::default() };
    node.runtime.send_with::<Account>("a", &Told::Add(1), options).await.unwrap();
    let letter =
        eventually("a dead letter", async || node.runtime.dead_letters().list(1).unwrap().pop())
            .await;
    assert!(letter.last_error.contains("expired"), "{letter:?}");
    assert_eq!(node.state("a").await.balance, 0);
}

#[tokio::test]
async fn a_redriven_letter_is_handled_again_and_a_discarded_one_is_gone() {
    let (node, backend) = Node::on_memory().await;
    node.tell("a", Told::ChangeAndFail).await;
    node.tell("a", Told::SendToNobody).await;
    let letters = eventually("two dead letters", async || {
        let letters = node.runtime.dead_letters().list(10).unwrap();
        (letters.len() == 2).then_some(letters)
    })
    .await;
    let (nobody, rejected) = (letters[0].id, letters[1].id);
    assert!(node.runtime.dead_letters().discard(nobody).await.unwrap());
    assert!(!node.runtime.dead_letters().discard(nobody).await.unwrap());
    assert!(node.runtime.dead_letters().redrive(rejected).await.unwrap());
    let again = eventually("it is rejected again", async || {
        let letters = node.runtime.dead_letters().list(10).unwrap();
        letters.into_iter().find(|letter| letter.id != rejected)
    })
    .await;
    node.runtime.shutdown().await.unwrap();
    let node = node.again(&backend).await;
    let letters = node.runtime.dead_letters().list(10).unwrap();
    assert_eq!(letters.iter().map(|letter| letter.id).collect::<Vec<_>>(), [again.id]);
    assert!(node.runtime.dead_letters().show(again.id).unwrap().is_some());
}
