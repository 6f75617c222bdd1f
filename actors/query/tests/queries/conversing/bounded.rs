//! What bounds conversations.

use super::*;

#[tokio::test]
async fn only_the_last_turns_are_kept_and_of_long_answers_the_beginning() {
    let world = World::with(bounds(Bounds { turns: 3, ..Bounds::default() })).await;
    for number in 1..=5 {
        assert_eq!(world.ask("state of web").await, Said::Turn(number));
        world.ended(number).await;
    }
    assert_eq!(world.turns().iter().map(|turn| turn.number).collect::<Vec<_>>(), [3, 4, 5]);
    let long = world.answer("a long one").await;
    assert!(long.len() < 17_000 && long.ends_with('…'), "{}", long.len());
    assert_eq!(world.turns().len(), 3);
    let row = world.row().unwrap();
    assert_eq!((row.turns, row.first), (6, 4));
    assert_eq!(row.bytes, world.turns().iter().map(TurnRow::bytes).sum::<u64>());
    let world = World::with(bounds(Bounds { bytes: 20_000, ..Bounds::default() })).await;
    for number in 1..=3 {
        world.ask("a long one").await;
        world.ended(number).await;
    }
    assert_eq!(world.turns().iter().map(|turn| turn.number).collect::<Vec<_>>(), [3]);
}

#[tokio::test]
async fn a_turn_that_finds_no_place_in_the_queue_is_submitted_again() {
    let timeout = Duration::from_secs(3600);
    let world = World::with(Config { max_concurrent: 1, queue: 1, timeout, ..Config::default() });
    let world = world.await;
    // Of the same key: what others have waiting keeps nobody out.
    let waits = || Submission {
        plan: plan(vec![says("a", json!({"text": "a", "waits": true}))]),
        inputs: json!({}).into(),
        identity: ann(),
        ..Submission::default()
    };
    for _ in 0..2 {
        let admitted = world.node.admit(waits()).await;
        assert!(matches!(admitted, Admitted::Accepted { .. }), "{admitted:?}");
    }
    assert_eq!(world.ask("state of web").await, Said::Turn(1));
    let waiting = |row: &ConversationRow| row.waiting == 1;
    world.node.until("it waits", |_| world.row().filter(waiting)).await;
    world.node.outside.gate.add_permits(2);
    world
        .node
        .until("there is room", |node| {
            (node.outside.said().len() == 2 && node.outside.running() == 0).then_some(())
        })
        .await;
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(world.ended(1).await.outcome, Some(Outcome::Succeeded));
}

#[tokio::test]
async fn turns_are_done_one_at_a_time_in_their_order_and_no_more_wait_than_may() {
    let world = World::with(bounds(Bounds { queue: 2, ..Bounds::default() })).await;
    assert_eq!(world.ask("slow").await, Said::Turn(1));
    world.node.until_said(1).await;
    assert_eq!(world.ask("state of web").await, Said::Turn(2));
    assert_eq!(world.ask("slow").await, Said::Turn(3));
    assert_eq!(world.ask("state of db").await, Said::Full(2));
    assert_eq!(world.row().unwrap().waiting, 2);
    assert_eq!(world.turns()[1].status, TurnStatus::Waiting);
    world.node.outside.gate.add_permits(2);
    world.ended(3).await;
    assert_eq!(world.node.outside.said(), ["slow", "web None", "slow"]);
    assert_eq!(world.ask("state of db").await, Said::Turn(4), "there is room again");
}

#[tokio::test]
async fn a_question_that_is_empty_or_too_long_is_no_turn() {
    let world = World::start().await;
    assert_eq!(world.ask("").await, Said::Length(0));
    assert_eq!(world.ask(&"ü".repeat(1_001)).await, Said::Length(1_001));
    assert_eq!(world.turns(), []);
    assert_eq!(world.ask(&"ü".repeat(1_000)).await, Said::Turn(1));
    assert_eq!(world.ended(1).await.outcome, Some(Outcome::Clarification));
}

#[tokio::test]
async fn a_conversation_that_is_begun_again_is_the_same_and_nobody_elses() {
    let world = World::start().await;
    world.answer("state of web").await;
    let bob = Identity { key: Some(8), ..ann() };
    for owner in [ann(), bob.clone()] {
        let begin = ConversationMessage::Begin { owner, title: "Another".to_owned() };
        assert_eq!(world.tell(begin).await, Said::Turn(1));
    }
    let key = conversation_key(&bob, "c-1");
    assert_eq!(world.node.runtime.tables().get(&CONVERSATIONS, &key).unwrap(), None);
    assert_eq!((world.row().unwrap().title.as_str(), world.turns().len()), ("Talk", 1));
}
