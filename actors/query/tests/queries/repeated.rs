//! Steps that are done more than once, and how many things are done at a time.

use std::sync::atomic::Ordering;

use perennial_query::config::Config;
use perennial_query::plan::{OnFailure, Repeat, Step};
use perennial_query::record::DEAD_STEPS;
use perennial_query::worker::Bounds;
use serde_json::{Value, json};

use crate::world::{Node, plan, says, value};

fn each(step: Step, items: Value, max_parallel: u32) -> Step {
    let repeat = Repeat::Each { items: items.into(), max_parallel, max_items: 100 };
    Step { repeat, ..step }
}

#[tokio::test]
async fn a_step_is_done_for_each_element_which_knows_its_place() {
    let node = Node::start().await;
    let text = "{{ item }} {{ loop.position }}/{{ loop.length }} {{ loop.first }} {{ loop.last }}";
    let step = each(says("a", json!({"text": text})), json!(["x", "y", "z"]), 10);
    let mut plan = plan(vec![step, says("b", json!({"text": "{{ steps.a.result | length }}"}))]);
    plan.outputs = vec![("second".to_owned(), json!("{{ steps.a.result[1].text }}").into())];
    let ended = node.run(plan).await;
    assert_eq!(ended.row.outputs.0, json!({"second": "y 2/3 False False"}));
    let mut said = node.outside.said();
    assert_eq!(said.pop().unwrap(), "3");
    said.sort();
    assert_eq!(said, ["x 1/3 True False", "y 2/3 False False", "z 3/3 False True"]);
}

#[tokio::test]
async fn no_more_elements_are_under_way_than_the_step_allows_and_what_comes_after_waits_for_all() {
    let node = Node::start().await;
    let items = json!("{{ range(6) | list }}");
    let step = each(says("a", json!({"text": "{{ item }}", "waits": true})), items, 2);
    let mut done = says("done", json!({"text": "done"}));
    done.needs.push("a".into());
    let id = node.submit(plan(vec![step, done])).await;
    node.until_said(2).await;
    node.outside.gate.add_permits(100);
    assert_eq!(node.ended(&id).await.outcome(), "succeeded");
    assert_eq!(node.outside.peak.load(Ordering::SeqCst), 2);
    assert_eq!(node.outside.said().last().unwrap(), "done");
}

#[tokio::test]
async fn one_query_has_no_more_tools_called_at_a_time_than_allowed() {
    let node = Node::with(Config { max_parallel_tools: 3, ..Config::default() }).await;
    let steps = (0..12).map(|n| says(&format!("s{n}"), json!({"text": "x", "waits": true})));
    let id = node.submit(plan(steps.collect())).await;
    node.until_said(3).await;
    node.outside.gate.add_permits(100);
    let ended = node.ended(&id).await;
    assert_eq!((ended.row.parallel_peak, node.outside.peak.load(Ordering::SeqCst)), (3, 3));
    assert_eq!(node.outside.said().len(), 12);
}

#[tokio::test]
async fn a_group_of_tools_has_no_more_calls_at_a_time_than_it_bears_over_all_queries() {
    let groups = [("say".to_owned(), Bounds { concurrency: 2, queue: 100 })].into();
    let node = Node::with(Config { groups, ..Config::default() }).await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        let steps = (0..3).map(|n| says(&format!("s{n}"), json!({"text": "x", "waits": true})));
        ids.push(node.submit(plan(steps.collect())).await);
    }
    node.until_said(2).await;
    node.outside.gate.add_permits(100);
    for id in ids {
        assert_eq!(node.ended(&id).await.outcome(), "succeeded");
    }
    assert_eq!(node.outside.peak.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn what_a_group_of_tools_cannot_take_in_is_told_to_come_again() {
    let groups = [("say".to_owned(), Bounds { concurrency: 1, queue: 1 })].into();
    let node = Node::with(Config { groups, ..Config::default() }).await;
    let wait = |id: &str| {
        let mut step = says(id, json!({"text": "x", "waits": true}));
        step.retry.attempts = 1;
        step.on_failure = OnFailure::Continue;
        step
    };
    let id = node.submit(plan(vec![wait("a"), wait("b"), wait("c")])).await;
    node.until_said(1).await;
    node.outside.gate.add_permits(100);
    let ended = node.ended(&id).await;
    let refused = ended.steps.iter().filter_map(|row| row.error.clone()).collect::<Vec<_>>();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].kind.as_str(), "overloaded");
}

#[tokio::test]
async fn a_step_is_done_as_long_as_its_condition_holds_one_time_after_the_other() {
    let node = Node::start().await;
    let repeat = Repeat::While { condition: "loop.index < 3".to_owned(), max_iterations: 10 };
    let step = Step { repeat, ..says("a", json!({"text": "{{ loop.index }}"})) };
    let mut done = says("done", json!({"text": "done"}));
    done.needs.push("a".into());
    let ended = node.run(plan(vec![step, done])).await;
    assert_eq!(ended.outcome(), "succeeded");
    assert_eq!(node.outside.said(), ["0", "1", "2", "done"]);
}

#[tokio::test]
async fn each_time_sees_what_the_time_before_resulted_in() {
    let node = Node::start().await;
    let condition = "last is none or last < 20".to_owned();
    let repeat = Repeat::While { condition, max_iterations: 10 };
    let step = Step { repeat, ..value("a", json!("{{ 1 if last is none else last * 3 }}")) };
    let ended = node.run(plan(vec![step])).await;
    assert_eq!(ended.step("a").result.clone().unwrap().0, json!([1, 3, 9, 27]));
}

#[tokio::test]
async fn a_loop_that_does_not_end_fails_at_its_bound() {
    let node = Node::start().await;
    let repeat = Repeat::While { condition: "true".to_owned(), max_iterations: 4 };
    let ended = node.run(plan(vec![Step { repeat, ..value("a", json!(1)) }])).await;
    let error = ended.step("a").error.clone().unwrap();
    assert!(error.message.contains("still holds after 4"), "{error}");
}

#[tokio::test]
async fn a_list_longer_than_its_bound_is_refused_before_anything_is_done() {
    let node = Node::start().await;
    let step = each(says("a", json!({"text": "x"})), json!("{{ range(101) | list }}"), 10);
    let ended = node.run(plan(vec![step])).await;
    assert_eq!(ended.outcome(), "failed");
    assert!(node.outside.said().is_empty());
}

#[tokio::test]
async fn an_empty_list_is_done_at_once() {
    let node = Node::start().await;
    let ended = node.run(plan(vec![each(says("a", json!({"text": "x"})), json!([]), 1)])).await;
    assert_eq!(ended.step("a").result.clone().unwrap().0, json!([]));
}

#[tokio::test]
async fn one_element_that_fails_leaves_the_others_if_the_step_may_fail() {
    let node = Node::start().await;
    let arguments = json!({"text": "{{ item }}", "fails": "{{ 9 if item == 'y' else 0 }}"});
    let mut step = each(says("a", arguments), json!(["x", "y", "z"]), 1);
    step.on_failure = OnFailure::Continue;
    let ended = node.run(plan(vec![step])).await;
    assert_eq!(ended.outcome(), "failed");
    assert_eq!(node.outside.said(), ["x", "y", "z"]);
    let result = ended.step("a").result.clone().unwrap().0;
    assert_eq!((result[0]["text"].clone(), result[1].clone()), (json!("x"), json!(null)));
}

#[tokio::test]
async fn times_that_are_cut_are_told_as_cancelled_and_the_step_is_kept_for_somebody_to_look_at() {
    let node = Node::start().await;
    let arguments = json!({
        "text": "{{ item }}",
        "waits": "{{ item == 'x' }}",
        "fails": "{{ 9 if item == 'y' else 0 }}",
    });
    let id = node.submit(plan(vec![each(says("a", arguments), json!(["x", "y"]), 2)])).await;
    let ended = node.ended(&id).await;
    let times: Vec<&str> = ended
        .steps
        .iter()
        .filter(|row| row.instance.is_some())
        .map(|row| row.status.as_str())
        .collect();
    assert_eq!(times, ["cancelled", "failed"]);
    let prefix = perennial_runtime::owner_prefix(&id);
    let dead = node.runtime.tables().scan(&DEAD_STEPS, &prefix, 10).unwrap();
    assert_eq!((dead.len(), dead[0].attempts), (1, 2));
}

#[tokio::test]
async fn results_that_together_are_too_large_fail_their_step_and_not_the_turn() {
    let node = Node::start().await;
    let text = "x".repeat(200_000);
    let items = json!([1, 2, 3, 4, 5, 6]);
    let ended = node.run(plan(vec![each(says("a", json!({"text": text})), items, 2)])).await;
    let error = ended.step("a").error.clone().unwrap();
    assert!(error.message.contains("its results have"), "{error}");
}
