use serde_json::json;

use super::*;
use crate::json::Json;

fn value(id: &str, value: serde_json::Value) -> Step {
    Step::new(id, Work::Value(Json(value)))
}

fn plan(steps: Vec<Step>) -> Plan {
    Plan { steps, ..Plan::default() }
}

fn levels(plan: &Plan) -> Vec<Vec<&str>> {
    let graph = Graph::of(plan).unwrap();
    let name = |at: &usize| plan.steps[*at].id.as_str();
    graph.levels.iter().map(|level| level.iter().map(name).collect()).collect()
}

#[test]
fn what_a_step_refers_to_is_done_before_it() {
    let plan = plan(vec![
        value("join", json!("{{ steps.left.result }}+{{ steps.right.result }}")),
        value("left", json!("{{ steps.base.result }}")),
        value("right", json!(2)),
        value("base", json!(1)),
    ]);
    assert_eq!(levels(&plan), [vec!["right", "base"], vec!["left"], vec!["join"]]);
}

#[test]
fn a_plan_without_order_is_refused_with_the_steps_that_wait_for_each_other() {
    let plan = plan(vec![
        value("a", json!("{{ steps.b.result }}")),
        value("b", json!("{{ steps.a.result }}")),
        value("c", json!("{{ steps.b.result }}")),
    ]);
    let errors = Graph::of(&plan).unwrap_err();
    assert_eq!(errors, [GraphError::Cycle(vec!["a".into(), "b".into()])]);
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let mut needy = value("a", json!("{{ steps.nowhere.result }}"));
    needy.needs.push("gone".into());
    let mut back = value("b", json!(1));
    back.on_success = Some("a".into());
    let steps = vec![needy, back, value("b", json!("{{ 1 + }}")), value("c", json!("{{ steps }}"))];
    let errors = Graph::of(&plan(steps)).unwrap_err();
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(errors.len(), 6, "{texts:#?}");
    for part in ["two steps `b`", "`nowhere`", "`gone`", "behind it", "not an expr", "without the"]
    {
        assert!(texts.iter().any(|text| text.contains(part)), "{part}: {texts:#?}");
    }
}

#[test]
fn what_stands_between_a_route_and_its_target_waits_for_it() {
    let mut check = value("check", json!(1));
    check.on_success = Some("end".into());
    let plan = plan(vec![check, value("between", json!(2)), value("end", json!(3))]);
    assert_eq!(levels(&plan), [vec!["check"], vec!["between", "end"]]);
}

#[test]
fn only_a_reference_to_a_result_needs_one() {
    let mut late = value("late", json!("{{ steps.a.success }} {{ steps.b.result }}"));
    late.needs.push("c".into());
    let steps = vec![value("a", json!(1)), value("b", json!(1)), value("c", json!(1)), late];
    let graph = Graph::of(&plan(steps)).unwrap();
    assert_eq!(graph.needs[3], [0, 1, 2].into());
    assert_eq!(graph.results[3], [1].into());
    assert_eq!(graph.downstream(0), [3].into());
}
