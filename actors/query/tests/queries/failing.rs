//! What becomes of a step that fails.

use std::time::Duration;

use perennial_query::json::Json;
use perennial_query::orchestrator::{Ordered, QueryOrder};
use perennial_query::plan::{OnFailure, ToolCall};
use perennial_query::record::{DEAD_STEPS, Event, QueryStatus};
use perennial_runtime::owner_prefix;
use serde_json::json;

use crate::world::{Node, calls, plan, says};

#[tokio::test]
async fn what_may_pass_is_tried_again_and_each_attempt_is_told() {
    let node = Node::start().await;
    let steps = vec![says("a", json!({"text": "a", "fails": 2, "kind": "unavailable"}))];
    let id = node.submit(plan(steps)).await;
    let ended = node.ended(&id).await;
    assert_eq!((ended.outcome(), ended.step("a").attempts), ("succeeded", 3));
    let failed = node.events(&id).into_iter().filter_map(|row| {
        let Event::AttemptFailed { attempt, .. } = row.event else { return None };
        Some(attempt)
    });
    assert_eq!(failed.collect::<Vec<_>>(), [1, 2]);
}

#[tokio::test]
async fn what_does_not_pass_is_not_tried_again_unless_the_step_says_so() {
    let node = Node::start().await;
    let once = node.run(plan(vec![says("a", json!({"text": "a", "fails": 1}))])).await;
    assert_eq!((once.outcome(), once.step("a").attempts), ("failed", 1));
    let mut step = says("b", json!({"text": "b", "fails": 1}));
    step.retry.kinds.push(perennial_query::plan::ErrorKind::Failed);
    let twice = node.run(plan(vec![step])).await;
    assert_eq!((twice.outcome(), twice.step("b").attempts), ("succeeded", 2));
}

#[tokio::test]
async fn after_a_failure_nothing_more_is_begun_and_what_is_under_way_is_taken_back() {
    let node = Node::start().await;
    let mut failing = says("failing", json!({"text": "{{ steps.first.result.text }}", "fails": 9}));
    failing.needs.push("first".into());
    let mut late = says("late", json!({"text": "late"}));
    late.needs.push("failing".into());
    let long = says("long", json!({"text": "long", "waits": true}));
    let steps = vec![says("first", json!({"text": "first"})), failing, late, long];
    let ended = node.run(plan(steps)).await;
    let expected = ["first succeeded", "failing failed", "late not_run", "long cancelled"];
    assert_eq!(ended.statuses(), expected);
    node.until("nothing runs", |node| (node.outside.running() == 0).then_some(())).await;
    assert!(ended.row.reason.starts_with("step `failing`: failed"), "{}", ended.row.reason);
}

#[tokio::test]
async fn the_other_steps_go_on_after_one_that_may_fail() {
    let node = Node::start().await;
    let mut failing = says("failing", json!({"text": "x", "fails": 9}));
    failing.on_failure = OnFailure::Continue;
    let mut after = says("after", json!({"text": "{{ steps.failing.error.kind }}"}));
    after.needs.push("failing".into());
    let ended = node.run(plan(vec![failing, after])).await;
    assert_eq!(ended.statuses(), ["failing failed", "after succeeded"]);
    assert_eq!(ended.outcome(), "failed");
    assert_eq!(node.outside.said().last().unwrap(), "failed");
}

#[tokio::test]
async fn dependants_of_a_failure_are_skipped_and_independent_steps_are_not() {
    let node = Node::start().await;
    let mut failing = says("a", json!({"text": "x", "fails": 9}));
    failing.on_failure = OnFailure::Skip;
    let mut dependant = says("b", json!({"text": "b"}));
    dependant.needs.push("a".into());
    let ended = node.run(plan(vec![failing, dependant, says("c", json!({"text": "c"}))])).await;
    assert_eq!(ended.statuses(), ["a failed", "b skipped", "c succeeded"]);
}

#[tokio::test]
async fn another_tool_stands_in_and_the_result_says_for_which() {
    let node = Node::start().await;
    let mut step = says("a", json!({"text": "first", "fails": 9}));
    let why = json!({"text": "after {{ steps.a.error.kind }}"});
    let other = ToolCall { tool: "say".to_owned(), arguments: Json(why) };
    step.on_failure = OnFailure::Fallback(vec![other]);
    let ended = node.run(plan(vec![step])).await;
    assert_eq!(ended.outcome(), "succeeded");
    assert_eq!(ended.step("a").fallback_from.as_deref(), Some("say"));
    assert_eq!(node.outside.said(), ["first", "after failed"]);
    assert_eq!(ended.step("a").error, None);
}

#[tokio::test]
async fn a_tool_that_the_role_may_not_use_is_denied_by_the_worker() {
    let node = Node::start().await;
    let ended = node.run(plan(vec![calls("a", "whisper", json!({"text": "a"}))])).await;
    let error = ended.step("a").error.clone().unwrap();
    assert_eq!(error.kind.as_str(), "denied");
    assert!(node.outside.said().is_empty());
}

#[tokio::test]
async fn a_query_whose_time_is_over_ends_and_takes_back_what_is_under_way() {
    let node = Node::start().await;
    let mut plan = plan(vec![says("a", json!({"text": "a", "waits": true}))]);
    plan.timeout = Some(Duration::from_millis(100));
    let ended = node.run(plan).await;
    assert_eq!(ended.outcome(), "failed");
    assert!(["failed", "cancelled"].contains(&ended.step("a").status.as_str()));
    node.until("nothing runs", |node| (node.outside.running() == 0).then_some(())).await;
}

#[tokio::test]
async fn a_call_that_takes_too_long_is_dropped_and_told_as_a_time_out() {
    let node = Node::start().await;
    let mut step = says("a", json!({"text": "a", "waits": true}));
    step.timeout = Some(Duration::from_millis(20));
    step.retry.attempts = 2;
    step.on_failure = OnFailure::Continue;
    let mut after = says("after", json!({"text": "after"}));
    after.needs.push("a".into());
    let ended = node.run(plan(vec![step, after])).await;
    assert_eq!(ended.statuses(), ["a failed", "after succeeded"]);
    let row = ended.step("a");
    assert_eq!((row.attempts, row.error.clone().unwrap().kind.as_str()), (2, "timeout"));
    assert_eq!(node.outside.running(), 0);
}

#[tokio::test]
async fn a_failed_step_is_kept_for_somebody_to_look_at_until_the_query_is_tried_again() {
    let node = Node::start().await;
    let steps = vec![
        says("a", json!({"text": "a"})),
        says("b", json!({"text": "{{ steps.a.result.text }}b", "fails": 1})),
    ];
    let id = node.submit(plan(steps)).await;
    assert_eq!(node.ended(&id).await.outcome(), "failed");
    let dead = || node.runtime.tables().scan(&DEAD_STEPS, &owner_prefix(&id), 10).unwrap();
    assert_eq!(dead()[0].step.as_str(), "b");
    assert_eq!(node.order(&id, QueryOrder::Retry).await, Ordered::Done);
    let row = node
        .until("it has succeeded", |node| {
            let row = node.row(&id)?;
            (row.status == QueryStatus::Finished && row.outcome?.as_str() == "succeeded")
                .then_some(row)
        })
        .await;
    assert_eq!(row.retries, 1);
    assert_eq!(node.outside.said(), ["a", "ab", "ab"], "what had succeeded is not done again");
    assert!(dead().is_empty());
}

#[tokio::test]
async fn what_a_step_went_past_is_not_done_when_the_query_is_tried_again() {
    let node = Node::start().await;
    let mut first = says("first", json!({"text": "first"}));
    first.on_success = Some("end".into());
    let between = says("between", json!({"text": "between"}));
    let steps = vec![first, between, says("end", json!({"text": "end", "fails": 1}))];
    let id = node.submit(plan(steps)).await;
    assert_eq!(node.ended(&id).await.outcome(), "failed");
    assert_eq!(node.order(&id, QueryOrder::Retry).await, Ordered::Done);
    node.until("it has succeeded", |node| {
        node.row(&id)?.outcome.filter(|outcome| outcome.as_str() == "succeeded")
    })
    .await;
    assert_eq!(node.outside.said(), ["first", "end", "end"]);
    let nothing = node.order(&id, QueryOrder::Retry).await;
    assert!(matches!(nothing, Ordered::Conflict(_)), "{nothing:?}");
}

#[tokio::test]
async fn short_time_outs_of_their_own_do_not_keep_others_from_a_tool() {
    let node = Node::start().await;
    let mut step = says("a", json!({"text": "a", "waits": true}));
    step.timeout = Some(Duration::from_millis(1));
    step.retry.attempts = 6;
    assert_eq!(node.run(plan(vec![step])).await.outcome(), "failed");
    let other = node.run(plan(vec![says("b", json!({"text": "b"}))])).await;
    assert_eq!(other.outcome(), "succeeded");
}

#[tokio::test]
async fn of_a_call_that_another_tool_stood_in_for_it_is_told_why() {
    let node = Node::start().await;
    let mut step = says("a", json!({"text": "first", "fails": 9}));
    let other = ToolCall { tool: "say".to_owned(), arguments: Json(json!({"text": "other"})) };
    step.on_failure = OnFailure::Fallback(vec![other]);
    let id = node.submit(plan(vec![step])).await;
    node.ended(&id).await;
    let stood_in = node.events(&id).into_iter().find_map(|row| {
        let Event::StoodIn { attempt, error, tool, .. } = row.event else { return None };
        Some((attempt, error.message, tool))
    });
    let why = "`first` was told to fail".to_owned();
    assert_eq!(stood_in, Some((1, why, "say".to_owned())));
}
