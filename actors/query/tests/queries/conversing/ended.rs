//! How turns and conversations end, and what goes on.

use perennial_query::audit::{Act, DEEDS};

use super::*;

#[tokio::test]
async fn a_conversation_is_forgotten_when_it_is_deleted_or_nothing_was_said_for_long() {
    let world = World::start().await;
    world.answer("state of web").await;
    world.clock.advance(Duration::from_secs(29 * 24 * 3600));
    world.answer("state of db").await;
    world.clock.advance(Duration::from_secs(29 * 24 * 3600));
    world.answer("state of db").await;
    world.clock.advance(Duration::from_secs(30 * 24 * 3600));
    world.node.until("it is forgotten", |_| world.row().is_none().then_some(())).await;
    assert_eq!(world.turns(), []);
    assert_eq!(world.ask("state of web").await, Said::Unknown);
    let world = World::start().await;
    world.ask("slow").await;
    world.node.until_said(1).await;
    assert_eq!(world.tell(ConversationMessage::Delete(ann())).await, Said::Deleted);
    world.node.outside.gate.add_permits(1);
    let ended = || world.node.runtime.tables().scan(&QUERIES, b"", 10).unwrap().pop();
    world.node.until("its query ends all the same", |_| ended()?.outcome).await;
    assert_eq!(world.ask("state of web").await, Said::Unknown);
    assert_eq!((world.row(), world.turns()), (None, Vec::new()));
    let deeds = || world.node.runtime.tables().scan(&DEEDS, b"", 10).unwrap();
    let deed = world.node.until("it is in the audit", |_| deeds().pop()).await.deed;
    assert_eq!((deed.act, deed.object.as_str(), deed.by), (Act::ConversationDeleted, "c-1", ann()));
    assert_eq!(deed.name, "", "its title is gone with it");
}

#[tokio::test]
async fn a_turn_whose_query_is_cancelled_has_ended_and_the_next_one_goes_on() {
    let world = World::start().await;
    world.ask("slow").await;
    world.node.until_said(1).await;
    let query = world.turns()[0].query.clone();
    let query = match query {
        Some(query) => query,
        None => world.node.until("it is known", |_| world.turns()[0].query.clone()).await,
    };
    world.node.order(&query, QueryOrder::Cancel { reason: "enough".to_owned() }).await;
    assert_eq!(world.ended(1).await.outcome, Some(Outcome::Cancelled));
    assert_eq!(world.answer("state of web").await, "web None");
    assert_eq!(world.turns()[0].outcome, Some(Outcome::Cancelled));
}

#[tokio::test]
async fn a_question_that_waits_past_midnight_is_of_the_day_on_which_it_was_asked() {
    let world = World::start().await;
    // 23:59:50 of the day of the start.
    world.clock.advance(Duration::from_secs(24 * 3600 - 40));
    assert_eq!(world.ask("slow").await, Said::Turn(1));
    world.node.until_said(1).await;
    assert_eq!(world.ask("state of web today").await, Said::Turn(2));
    world.clock.advance(Duration::from_secs(20));
    world.node.outside.gate.add_permits(1);
    assert_eq!(world.ended(2).await.answer.unwrap().text, "web 2026-01-01");
    assert_eq!(world.answer("state of web today").await, "web 2026-01-02");
}

#[tokio::test]
async fn after_the_death_of_a_node_a_conversation_goes_on_and_nothing_is_asked_twice() {
    let world = World::start().await;
    assert_eq!(world.answer("state of web yesterday").await, "web 2025-12-31");
    assert_eq!(world.ask("late yesterday").await, Said::Turn(2));
    assert_eq!(world.ask("and today?").await, Said::Turn(3));
    world.node.until_said(2).await;
    let world = world.again().await;
    world.node.until_said(3).await;
    world.node.outside.gate.add_permits(5);
    assert_eq!(world.ended(2).await.answer.unwrap().text, "It was late 2025-12-31.");
    // It follows the turn before, not the one before that.
    assert_eq!(
        world.ended(3).await.answer.unwrap().text.lines().next(),
        Some("It was late 2026-01-01.")
    );
    let turns = world.turns();
    assert_eq!(turns.len(), 3);
    assert_eq!(world.node.runtime.tables().scan(&QUERIES, b"", 10).unwrap().len(), 3);
    let world = world.again().await;
    assert_eq!(world.turns(), turns);
}

#[tokio::test]
async fn a_question_that_may_not_be_asked_is_a_turn_that_has_ended_and_the_next_one_goes_on() {
    let world = World::start().await;
    assert_eq!(world.ask("secret").await, Said::Turn(1));
    let refused = world.ended(1).await;
    assert_eq!((&refused.query, refused.outcome), (&None, None));
    assert!(refused.reason.contains("nothing of the question may be done"), "{}", refused.reason);
    assert_eq!(world.answer("state of web").await, "web None");
}

#[tokio::test]
async fn a_turn_whose_query_is_done_again_has_its_last_end_and_is_no_other_turn() {
    let world = World::start().await;
    world.ask("slow").await;
    world.node.until_said(1).await;
    let known = || world.turns()[0].query.clone();
    let query = world.node.until("it is known", |_| known()).await;
    world.node.order(&query, QueryOrder::Cancel { reason: String::new() }).await;
    assert_eq!(world.ended(1).await.outcome, Some(Outcome::Cancelled));
    assert_eq!(world.node.order(&query, QueryOrder::Retry).await, Ordered::Done);
    world.node.until_said(2).await;
    world.node.outside.gate.add_permits(2);
    let succeeded = || world.turns()[0].outcome == Some(Outcome::Succeeded);
    world.node.until("it is told again", |_| succeeded().then_some(())).await;
    assert_eq!((world.turns().len(), world.row().unwrap().waiting), (1, 0));
    assert_eq!(world.answer("state of web").await, "web None");
}

#[tokio::test]
async fn questions_that_wait_in_a_conversation_that_is_deleted_are_not_asked() {
    let world = World::start().await;
    world.ask("slow").await;
    assert_eq!(world.ask("state of web").await, Said::Turn(2));
    world.node.until_said(1).await;
    assert_eq!(world.tell(ConversationMessage::Delete(ann())).await, Said::Deleted);
    let begin = ConversationMessage::Begin { owner: ann(), title: "Anew".to_owned() };
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.tell(begin).await, Said::Turn(0));
    world.node.outside.gate.add_permits(1);
    assert_eq!(world.answer("state of db").await, "db None");
    assert_eq!(world.turns().len(), 1);
    assert_eq!(world.node.outside.said(), ["slow", "db None"]);
}
