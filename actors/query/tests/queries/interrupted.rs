//! Whatever dies, what has ended is not done again, and nothing is forgotten.

use perennial_query::config::Config;
use perennial_query::record::QueryStatus;
use serde_json::json;

use crate::world::{Node, plan, says};

#[tokio::test]
async fn after_the_death_of_a_node_finished_steps_keep_their_results_and_the_others_are_done() {
    let node = Node::start().await;
    let mut slow = says("b", json!({"text": "{{ steps.a.result.text }}b", "waits": true}));
    slow.needs.push("a".into());
    let last = says("c", json!({"text": "{{ steps.b.result.text }}c"}));
    let mut plan = plan(vec![says("a", json!({"text": "a"})), slow, last]);
    plan.outputs = vec![("all".to_owned(), json!("{{ steps.c.result.text }}").into())];
    let id = node.submit(plan).await;
    node.until_said(2).await;
    let again = node.again(Config::default()).await;
    again.until_said(3).await;
    again.outside.gate.add_permits(2);
    let ended = again.ended(&id).await;
    assert_eq!(ended.outcome(), "succeeded");
    assert_eq!(ended.row.outputs.0, json!({"all": "abc"}));
    let said = again.outside.said();
    assert_eq!(said.iter().filter(|said| *said == "a").count(), 1, "{said:?}");
    assert_eq!(said.iter().filter(|said| *said == "abc").count(), 1, "{said:?}");
}

#[tokio::test]
async fn queries_that_wait_for_a_place_are_begun_after_the_death_of_a_node() {
    let config = Config { max_concurrent: 1, ..Config::default() };
    let node = Node::with(config.clone()).await;
    let first = node.submit(plan(vec![says("a", json!({"text": "a", "waits": true}))])).await;
    let second = node.submit(plan(vec![says("b", json!({"text": "b"}))])).await;
    node.until_status(&second, QueryStatus::Waiting).await;
    node.until_said(1).await;
    let again = node.again(config).await;
    again.until_said(2).await;
    again.outside.gate.add_permits(2);
    assert_eq!(again.ended(&first).await.outcome(), "succeeded");
    assert_eq!(again.ended(&second).await.outcome(), "succeeded");
}
