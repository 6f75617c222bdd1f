//! What people can want of a query under way.

use perennial_query::config::Config;
use perennial_query::orchestrator::{Ordered, QueryOrder};
use perennial_query::plan::{Step, Work};
use perennial_query::record::{Event, QueryStatus};
use serde_json::json;
use std::time::Duration;

use crate::world::{Node, plan, says};

fn cancel() -> QueryOrder {
    QueryOrder::Cancel { reason: "enough".to_owned() }
}

#[tokio::test]
async fn a_cancelled_query_ends_at_once_with_who_and_why() {
    let node = Node::start().await;
    let id = node.submit(plan(vec![says("a", json!({"text": "a", "waits": true}))])).await;
    node.until_said(1).await;
    assert_eq!(node.order(&id, cancel()).await, Ordered::Done);
    let ended = node.ended(&id).await;
    assert_eq!(
        (ended.outcome(), ended.row.reason.as_str()),
        ("cancelled", "cancelled by ann: enough")
    );
    assert_eq!(ended.statuses(), ["a cancelled"]);
    node.until("nothing runs", |node| (node.outside.running() == 0).then_some(())).await;
    assert_eq!(node.order(&id, cancel()).await, Ordered::Done, "it is cancelled already");
    assert!(matches!(node.order(&id, QueryOrder::Pause).await, Ordered::Conflict(_)));
}

#[tokio::test]
async fn a_query_that_waits_for_a_place_can_be_cancelled() {
    let node = Node::with(Config { max_concurrent: 1, ..Config::default() }).await;
    let first = node.submit(plan(vec![says("a", json!({"text": "a", "waits": true}))])).await;
    let second = node.submit(plan(vec![says("b", json!({"text": "b"}))])).await;
    node.until_said(1).await;
    assert_eq!(node.order(&second, cancel()).await, Ordered::Done);
    assert_eq!(node.ended(&second).await.statuses(), ["b not_run"]);
    node.outside.gate.add_permits(1);
    assert_eq!(node.ended(&first).await.outcome(), "succeeded");
}

#[tokio::test]
async fn there_is_nothing_to_be_wanted_of_a_query_that_nobody_submitted() {
    let node = Node::start().await;
    assert_eq!(node.order("q-0", cancel()).await, Ordered::Unknown);
}

#[tokio::test]
async fn a_paused_query_begins_nothing_gives_its_place_back_and_goes_on_when_resumed() {
    let node = Node::with(Config { max_concurrent: 1, ..Config::default() }).await;
    let mut second = says("b", json!({"text": "b"}));
    second.needs.push("a".into());
    let id = node.submit(plan(vec![says("a", json!({"text": "a", "waits": true})), second])).await;
    node.until_said(1).await;
    assert_eq!(node.order(&id, QueryOrder::Pause).await, Ordered::Done);
    let other = node.run(plan(vec![says("c", json!({"text": "c"}))])).await;
    assert_eq!(other.outcome(), "succeeded");
    node.outside.gate.add_permits(1);
    node.until("a has ended", |node| {
        let ended = |event: &Event| matches!(event, Event::StepEnded { .. });
        node.events(&id).iter().any(|row| ended(&row.event)).then_some(())
    })
    .await;
    assert_eq!(node.row(&id).unwrap().status, QueryStatus::Paused);
    assert_eq!(node.outside.said(), ["a", "c"]);
    assert_eq!(node.order(&id, QueryOrder::Resume).await, Ordered::Done);
    assert_eq!(node.ended(&id).await.outcome(), "succeeded");
    assert_eq!(node.outside.said(), ["a", "c", "b"]);
}

fn asks(wait: Duration) -> Vec<Step> {
    let ask = Work::Approval { prompt: "Delete {{ inputs.what }}?".to_owned(), wait };
    let mut late = says("late", json!({"text": "by {{ steps.ask.result.by }}"}));
    late.needs.push("ask".into());
    vec![Step::new("ask", ask), late]
}

fn decide(approved: bool) -> QueryOrder {
    QueryOrder::Decide { step: "ask".into(), approved, note: "fine".to_owned() }
}

#[tokio::test]
async fn an_approval_is_waited_for_without_a_place_and_its_giver_is_known() {
    let node = Node::with(Config { max_concurrent: 1, ..Config::default() }).await;
    let id = node.submit_with(plan(asks(Duration::from_secs(600))), json!({"what": "it"})).await;
    node.until_status(&id, QueryStatus::Approval).await;
    let wanted = node.events(&id).into_iter().find_map(|row| {
        let Event::ApprovalWanted { prompt, .. } = row.event else { return None };
        Some(prompt)
    });
    assert_eq!(wanted.unwrap(), "Delete it?");
    let other = node.run(plan(vec![says("c", json!({"text": "c"}))])).await;
    assert_eq!(other.outcome(), "succeeded");
    assert_eq!(node.order(&id, decide(true)).await, Ordered::Done);
    assert_eq!(node.ended(&id).await.outcome(), "succeeded");
    assert_eq!(node.outside.said(), ["c", "by ann"]);
}

#[tokio::test]
async fn a_step_that_is_refused_has_failed() {
    let node = Node::start().await;
    let id = node.submit_with(plan(asks(Duration::from_secs(600))), json!({"what": "it"})).await;
    node.until_status(&id, QueryStatus::Approval).await;
    assert_eq!(node.order(&id, decide(false)).await, Ordered::Done);
    let ended = node.ended(&id).await;
    assert_eq!(ended.outcome(), "failed");
    assert_eq!(ended.step("ask").error.clone().unwrap().message, "ann refused: fine");
}

#[tokio::test]
async fn an_approval_that_nobody_gives_is_a_failure() {
    let node = Node::start().await;
    let id = node.submit_with(plan(asks(Duration::from_millis(20))), json!({"what": "it"})).await;
    let ended = node.ended(&id).await;
    assert_eq!(ended.step("ask").error.clone().unwrap().kind.as_str(), "timeout");
}
