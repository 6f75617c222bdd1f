//! The cases that dead steps and routes are accepted by.

use std::collections::BTreeMap;

use perennial_query::inputs::bind;
use perennial_query::orchestrator::{Ordered, QueryOrder};
use perennial_query::plan::{ErrorKind, ValueType};
use perennial_query::record::DEAD_STEPS;
use perennial_query::rules::compile::fire;
use perennial_query::rules::read::read;
use perennial_query::tool::{Catalogue, Identity, Parameter, ToolSpec};
use perennial_runtime::owner_prefix;
use serde_json::json;

use crate::world::{Node, plan, says};

#[tokio::test]
async fn d6_an_ordinary_error_is_attempted_three_times_then_is_a_dead_step_and_can_be_done_again() {
    let node = Node::start().await;
    let mut step = says("a", json!({"text": "a", "fails": 3}));
    step.retry.kinds.push(ErrorKind::Failed);
    let id = node.submit(plan(vec![step])).await;
    let ended = node.ended(&id).await;
    assert_eq!((ended.outcome(), ended.step("a").attempts), ("failed", 3));
    let dead = || node.runtime.tables().scan(&DEAD_STEPS, &owner_prefix(&id), 10).unwrap();
    assert_eq!(dead().len(), 1);
    assert_eq!((dead()[0].attempts, dead()[0].error.kind), (3, ErrorKind::Failed));
    assert_eq!(node.order(&id, QueryOrder::Retry).await, Ordered::Done);
    node.until("it has succeeded", |node| {
        node.row(&id)?.outcome.filter(|outcome| outcome.as_str() == "succeeded")
    })
    .await;
    assert_eq!(node.outside.said().len(), 4);
    assert!(dead().is_empty());
}

#[tokio::test]
async fn d8_an_event_that_a_rule_routes_is_delivered_once() {
    let text = r#"
rules:
  - id: hot
    conditions: {field: used, operator: greater_than, value: 80}
    actions: [{id: tell, tool: say, arguments: {text: "${path}"}}]
  - id: cold
    conditions: {field: used, operator: less_than, value: 10}
    actions: [{id: tell, tool: say, arguments: {text: cold}}]
"#;
    let said = Parameter::required("text", ValueType::String, "What to say.");
    let spec = ToolSpec::new("say", "Says what it is told to.").parameter(said);
    let catalogue = Catalogue(BTreeMap::from([("say".to_owned(), spec)]));
    let set = read(text, Some(&catalogue)).unwrap().set;
    let facts = json!({"path": "/srv", "used": 87});
    let plan = fire(&set, &facts, &Identity::default(), &catalogue).plan.unwrap();
    let node = Node::start().await;
    let inputs = bind(&plan, &json!({})).unwrap();
    let id = node.submit_with(plan, inputs).await;
    assert_eq!(node.ended(&id).await.outcome(), "succeeded");
    assert_eq!(node.outside.said(), ["/srv"]);
}
