//! What is taken in, and what is not done twice.

use std::time::Duration;

use perennial_query::admission::Admitted;
use perennial_query::config::Config;
use perennial_query::orchestrator::{Ordered, QueryOrder};
use perennial_query::record::{Event, QueryStatus, Submission};
use perennial_query::tool::Identity;
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::world::{Node, plan, says};

fn waits(text: &str) -> Submission {
    let plan = plan(vec![says("a", json!({"text": text, "waits": true}))]);
    Submission { plan, inputs: json!({}).into(), ..Submission::default() }
}

fn id(admitted: Admitted) -> String {
    let Admitted::Accepted { id, .. } = admitted else { panic!("{admitted:?}") };
    id
}

#[tokio::test]
async fn no_more_queries_run_than_allowed_and_the_others_wait_their_turn() {
    let node = Node::with(Config { max_concurrent: 2, ..Config::default() }).await;
    let mut ids = Vec::new();
    for text in ["a", "b", "c", "d"] {
        ids.push(id(node.admit(waits(text)).await));
    }
    node.until_said(2).await;
    assert_eq!(node.until_status(&ids[3], QueryStatus::Waiting).await.started_at, None);
    node.outside.gate.add_permits(4);
    for id in &ids {
        assert_eq!(node.ended(id).await.outcome(), "succeeded");
    }
    assert!(node.outside.peak.load(std::sync::atomic::Ordering::SeqCst) <= 2);
    assert_eq!(node.outside.said()[..2].iter().filter(|said| *said < &"c".to_owned()).count(), 2);
}

#[tokio::test]
async fn what_the_queue_cannot_hold_is_turned_away() {
    let node = Node::with(Config { max_concurrent: 1, queue: 1, ..Config::default() }).await;
    id(node.admit(waits("a")).await);
    id(node.admit(waits("b")).await);
    assert_eq!(node.admit(waits("c")).await, Admitted::Full { waiting: 1 });
    node.outside.gate.add_permits(2);
}

#[tokio::test]
async fn a_name_is_that_of_one_query_and_of_none_that_was_turned_away() {
    let node = Node::with(Config { max_concurrent: 1, queue: 1, ..Config::default() }).await;
    let named = |name: &str| Submission { name: Some(name.to_owned()), ..waits("a") };
    let first = id(node.admit(named("first")).await);
    let second = id(node.admit(named("second")).await);
    for _ in 0..2 {
        assert_eq!(node.admit(named("third")).await, Admitted::Full { waiting: 1 });
        assert_eq!(id(node.admit(named("second")).await), second, "it was taken in before");
    }
    node.outside.gate.add_permits(3);
    node.ended(&second).await;
    let third = id(node.admit(named("third")).await);
    assert!(third != first && third != second);
    node.ended(&third).await;
    assert_eq!(id(node.admit(named("first")).await), first);
    assert_eq!(node.outside.said().len(), 3);
}

#[tokio::test]
async fn the_same_question_under_way_or_answered_is_not_done_again() {
    let node = Node::start().await;
    let asked = |key: &str| Submission { cache_key: Some(key.to_owned()), ..waits("a") };
    let first = id(node.admit(asked("k")).await);
    assert_eq!(node.admit(asked("k")).await, Admitted::Shared { id: first.clone() });
    let other = id(node.admit(asked("other role")).await);
    node.outside.gate.add_permits(10);
    node.ended(&first).await;
    node.ended(&other).await;
    assert_eq!(node.admit(asked("k")).await, Admitted::Shared { id: first });
    assert_eq!(node.outside.said().len(), 2);
}

#[tokio::test]
async fn a_result_that_is_no_success_is_not_given_again() {
    let node = Node::start().await;
    let plan = plan(vec![says("a", json!({"text": "a", "fails": 1}))]);
    let asked = Submission { plan, cache_key: Some("k".to_owned()), ..Submission::default() };
    let first = id(node.admit(asked.clone()).await);
    node.ended(&first).await;
    let second = id(node.admit(asked).await);
    assert_eq!(node.ended(&second).await.outcome(), "succeeded");
}

#[tokio::test]
async fn everything_that_happens_is_told_in_order_without_gaps() {
    let node = Node::start().await;
    let id = node.submit(plan(vec![says("a", json!({"text": "a"}))])).await;
    node.ended(&id).await;
    let events = node.events(&id);
    let numbers: Vec<u64> = events.iter().map(|row| row.number).collect();
    assert_eq!(numbers, (1..=events.len() as u64).collect::<Vec<_>>());
    let names: Vec<&str> = events.iter().map(|row| row.event.as_str()).collect();
    assert_eq!(names, ["accepted", "started", "step_started", "step_ended", "finished"]);
    assert!(matches!(events.last().unwrap().event, Event::Finished { .. }));
}

fn of(key: u64, text: &str) -> Submission {
    let identity = Identity { key: Some(key), ..Identity::default() };
    Submission { identity, ..waits(text) }
}

#[tokio::test]
async fn who_asks_little_does_not_stand_behind_all_of_who_asks_much() {
    let config = Config { max_concurrent: 1, ..Config::default() };
    let node = Node::with(config.clone()).await;
    let mut ids = Vec::new();
    for (key, text) in [(1, "1a"), (1, "1b"), (1, "1c"), (1, "1d"), (2, "2a")] {
        ids.push(id(node.admit(of(key, text)).await));
    }
    let waits = id(node.admit(of(2, "2b")).await);
    node.until_said(1).await;
    // Whose they are outlasts the node.
    let node = node.again(config).await;
    node.until_said(2).await;
    node.outside.gate.add_permits(10);
    for id in ids.iter().chain([&waits]) {
        assert_eq!(node.ended(id).await.outcome(), "succeeded");
    }
    let mut said = node.outside.said();
    // What was under way is made again.
    said.dedup();
    assert_eq!(said, ["1a", "1b", "2a", "1c", "2b", "1d"]);
}

/// What is left is for those who have queries waiting; who has none needs no place of it.
#[tokio::test]
async fn one_key_holds_its_share_of_the_queue_and_leaves_the_rest() {
    let config = Config { max_concurrent: 2, queue: 4, ..Config::default() };
    let node = Node::with(config).await;
    for text in ["a", "b", "c", "d"] {
        id(node.admit(of(1, text)).await);
    }
    assert_eq!(node.admit(of(1, "e")).await, Admitted::KeyFull { waiting: 2 });
    let (other, unbound) = (of(2, "f"), waits("g"));
    for submission in [other, unbound] {
        id(node.admit(submission).await);
    }
    id(node.admit(of(3, "h")).await);
    assert_eq!(node.admit(of(3, "i")).await, Admitted::Full { waiting: 5 });
    node.outside.gate.add_permits(7);
}

#[tokio::test]
async fn a_query_that_comes_back_waits_among_those_of_its_key() {
    let config = Config { max_concurrent: 1, queue: 4, queue_share: 0.25, ..Config::default() };
    let node = Node::with(config).await;
    let paused = id(node.admit(of(1, "1a")).await);
    node.until_said(1).await;
    node.order(&paused, QueryOrder::Pause).await;
    node.until_status(&paused, QueryStatus::Paused).await;
    id(node.admit(of(2, "2a")).await);
    node.until_said(2).await;
    node.order(&paused, QueryOrder::Resume).await;
    node.until_status(&paused, QueryStatus::Waiting).await;
    assert_eq!(node.admit(of(1, "1b")).await, Admitted::KeyFull { waiting: 1 });
    id(node.admit(of(2, "2b")).await);
    node.outside.gate.add_permits(4);
}

#[tokio::test]
async fn a_query_that_is_not_begun_again_after_all_keeps_no_place() {
    let config = Config { max_concurrent: 1, queue: 4, queue_share: 0.25, ..Config::default() };
    let node = Node::with(config.clone()).await;
    node.outside.gate.add_permits(1);
    let done = id(node.admit(of(1, "a")).await);
    assert_eq!(node.ended(&done).await.outcome(), "succeeded");
    let fails = plan(vec![says("a", json!({"text": "b", "fails": 99}))]);
    let failed = id(node.admit(Submission { plan: fails, ..of(1, "") }).await);
    assert_eq!(node.ended(&failed).await.outcome(), "failed");
    let holds = id(node.admit(of(2, "c")).await);
    node.until_status(&holds, QueryStatus::Running).await;
    assert_eq!(id(node.readmit(&done, Some(1)).await), done);
    assert_eq!(node.readmit(&failed, Some(1)).await, Admitted::KeyFull { waiting: 1 });
    let refused = node.order(&done, QueryOrder::Retry).await;
    assert!(matches!(refused, Ordered::Conflict(_)), "{refused:?}");
    // Sooner than the one that holds the only place is given up, after three attempts of 15 s.
    let given_back = timeout(Duration::from_secs(30), async {
        while matches!(node.readmit(&failed, Some(1)).await, Admitted::KeyFull { .. }) {
            sleep(Duration::from_millis(2)).await;
        }
    });
    given_back.await.expect("the place is given back");
    // It is never told to begin again: the node dies in between.
    let node = node.again(config).await;
    let next = id(node.admit(of(3, "d")).await);
    node.outside.gate.add_permits(10);
    assert_eq!(node.ended(&next).await.outcome(), "succeeded");
    assert_eq!(node.ended(&failed).await.outcome(), "failed");
}
