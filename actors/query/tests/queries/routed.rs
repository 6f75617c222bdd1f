//! Which steps are done, in which order, and with what.

use perennial_query::plan::{OnFailure, Step, Work};
use serde_json::json;

use crate::world::{Node, plan, says, value};

#[tokio::test]
async fn steps_are_done_in_the_order_of_what_they_refer_to_and_their_results_are_filled_in() {
    let node = Node::start().await;
    let mut plan = plan(vec![
        says("join", json!({"text": "{{ steps.a.result.text }}+{{ steps.b.result.text }}"})),
        says("a", json!({"text": "alpha"})),
        says("b", json!({"text": "beta"})),
    ]);
    plan.outputs = vec![("joined".to_owned(), json!("{{ steps.join.result.text }}").into())];
    plan.answer = Some("It is {{ steps.join.result.text }}.".to_owned());
    let ended = node.run(plan).await;
    assert_eq!(ended.outcome(), "succeeded");
    assert_eq!(ended.row.outputs.0, json!({"joined": "alpha+beta"}));
    let answer = ended.row.answer.unwrap();
    assert_eq!(
        (answer.text.as_str(), answer.composed_by.as_str()),
        ("It is alpha+beta.", "template")
    );
    assert_eq!(node.outside.said().last().unwrap(), "alpha+beta");
}

#[tokio::test]
async fn inputs_are_filled_in_with_their_types() {
    let node = Node::start().await;
    let steps = vec![value("sum", json!("{{ inputs.count + 1 }}"))];
    let id = node.submit_with(plan(steps), json!({"count": 2})).await;
    assert_eq!(node.ended(&id).await.step("sum").result.clone().unwrap().0, json!(3));
}

/// A check that goes on at `short` if the text is short, and a step that goes on at the end.
fn branches(text: &str) -> Vec<Step> {
    let mut check = value("check", json!(true));
    check.condition = Some("len(steps.read.result) > 10".to_owned());
    check.on_false = Some("short".into());
    let mut long = says("long", json!({"text": "long"}));
    long.on_success = Some("end".into());
    let short = says("short", json!({"text": "short"}));
    vec![value("read", json!(text)), check, long, short, says("end", json!({"text": "end"}))]
}

#[tokio::test]
async fn a_false_condition_goes_on_at_its_route_and_skips_what_stands_between() {
    let node = Node::start().await;
    let ended = node.run(plan(branches("hi"))).await;
    assert_eq!(ended.outcome(), "succeeded");
    let expected =
        ["read succeeded", "check skipped", "long skipped", "short succeeded", "end succeeded"];
    assert_eq!(ended.statuses(), expected);
}

#[tokio::test]
async fn a_step_that_succeeded_goes_on_at_its_route_and_skips_what_stands_between() {
    let node = Node::start().await;
    let ended = node.run(plan(branches("more than ten letters"))).await;
    let expected =
        ["read succeeded", "check succeeded", "long succeeded", "short skipped", "end succeeded"];
    assert_eq!(ended.statuses(), expected);
    assert_eq!(ended.step("short").reason, "`long` went on at `end`");
}

#[tokio::test]
async fn a_condition_that_cannot_be_decided_is_a_failure_that_says_so() {
    let node = Node::start().await;
    let mut step = says("a", json!({"text": "a"}));
    step.condition = Some("inputs.nothing > 3".to_owned());
    let ended = node.run(plan(vec![step])).await;
    assert_eq!(ended.outcome(), "failed");
    let error = ended.step("a").error.clone().unwrap();
    assert!(error.message.contains("`inputs.nothing`, which has no value"), "{error}");
    assert!(node.outside.said().is_empty());
}

#[tokio::test]
async fn a_step_that_only_comes_after_a_skipped_one_is_done_and_one_that_needs_its_result_is_not() {
    let node = Node::start().await;
    let mut skipped = says("skipped", json!({"text": "x"}));
    skipped.condition = Some("false".to_owned());
    let mut after = says("after", json!({"text": "after"}));
    after.needs.push("skipped".into());
    let needy = says("needy", json!({"text": "{{ steps.skipped.result.text }}"}));
    let ended = node.run(plan(vec![skipped, after, needy])).await;
    assert_eq!(ended.statuses(), ["skipped skipped", "after succeeded", "needy skipped"]);
    assert_eq!(ended.outcome(), "succeeded");
}

#[tokio::test]
async fn a_gate_that_is_not_passed_ends_the_query_as_abstained_with_its_reason() {
    let node = Node::start().await;
    let gate = Work::Gate {
        that: "len(steps.found.result) >= 2".to_owned(),
        reason: "only {{ len(steps.found.result) }} found".to_owned(),
    };
    let mut late = says("late", json!({"text": "late"}));
    late.needs.push("gate".into());
    let steps = vec![value("found", json!([1])), Step::new("gate", gate), late];
    let ended = node.run(plan(steps)).await;
    assert_eq!((ended.outcome(), ended.row.reason.as_str()), ("abstained", "only 1 found"));
    assert_eq!(ended.step("late").status.as_str(), "not_run");
}

#[tokio::test]
async fn a_failure_can_be_routed_and_the_query_has_failed_all_the_same() {
    let node = Node::start().await;
    let mut read = says("read", json!({"text": "read", "fails": 9}));
    read.on_failure = OnFailure::Route("recover".into());
    let main = says("main", json!({"text": "main"}));
    let steps = vec![read, main, says("recover", json!({"text": "recover"}))];
    let ended = node.run(plan(steps)).await;
    assert_eq!(ended.statuses(), ["read failed", "main skipped", "recover succeeded"]);
    assert_eq!((ended.outcome(), ended.row.reason.as_str()), ("failed", "failed steps: read"));
}

#[tokio::test]
async fn an_output_that_is_not_there_is_no_success() {
    let node = Node::start().await;
    let mut plan = plan(vec![value("a", json!({}))]);
    plan.outputs = vec![("x".to_owned(), json!("{{ steps.a.result.x }}").into())];
    let ended = node.run(plan).await;
    assert_eq!(ended.outcome(), "failed");
    assert!(ended.row.reason.contains("output `x`"), "{}", ended.row.reason);
}

#[tokio::test]
async fn a_result_that_is_too_large_ends_the_query_and_says_so() {
    let node = Node::start().await;
    let mut plan = plan(vec![value("a", json!("x".repeat(200_000)))]);
    plan.outputs =
        (0..6).map(|n| (format!("o{n}"), json!("{{ steps.a.result }}").into())).collect();
    let ended = node.run(plan).await;
    assert_eq!((ended.outcome(), ended.row.outputs.0.clone()), ("failed", json!({})));
    assert!(ended.row.reason.contains("its result has"), "{}", ended.row.reason);
}
