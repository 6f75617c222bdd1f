//! Has somebody approve what a plan by a model would change.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use crate::plan::{OnFailure, Plan, Repeat, Step, StepId, ToolCall, Work};
use crate::tool::Catalogue;

/// `plan` with an approval before each step of which a call may change the world: without it the step is not
/// done, whatever leads to it. `plan` has been checked against `catalogue`. Somebody has `wait` for each.
#[must_use]
pub fn with_approvals(plan: Plan, catalogue: &Catalogue, wait: Duration) -> Plan {
    let taken: BTreeSet<StepId> = plan.steps.iter().map(|step| step.id.clone()).collect();
    let mut approvals: BTreeMap<StepId, StepId> = BTreeMap::new();
    let mut steps = Vec::new();
    for mut step in plan.steps {
        if changes(&step, catalogue) {
            let approval = approval(&step, unused(approvals.len(), &taken), wait);
            step.condition = Some(match &step.condition {
                Some(own) => format!("steps.{}.success and ({own})", approval.id),
                None => format!("steps.{}.success", approval.id),
            });
            approvals.insert(step.id.clone(), approval.id.clone());
            steps.push(approval);
        }
        steps.push(step);
    }
    for step in &mut steps {
        redirect(step, &approvals);
    }
    Plan { steps, ..plan }
}

fn changes(step: &Step, catalogue: &Catalogue) -> bool {
    let mut calls = calls(step);
    calls.any(|call| catalogue.get(&call.tool).is_none_or(|tool| tool.changes_world))
}

fn calls(step: &Step) -> impl Iterator<Item = &ToolCall> {
    (0..).map_while(|alternative| step.call(alternative))
}

/// A name for the approval that has `number` before it.
fn unused(number: usize, taken: &BTreeSet<StepId>) -> StepId {
    let mut name = format!("approval_{}", number + 1);
    while taken.contains(&StepId(name.clone())) {
        name.push('_');
    }
    StepId(name)
}

fn approval(step: &Step, id: StepId, wait: Duration) -> Step {
    let mut lines = Vec::new();
    for (at, call) in calls(step).enumerate() {
        let tool = &call.tool;
        lines.push(match at {
            0 => format!("A plan that a model made calls `{tool}`, with:"),
            _ => format!("If that fails, `{tool}`, with:"),
        });
        // Only the step's own call, done once, sees the same values as its approval.
        let seen = at == 0 && step.repeat == Repeat::Once;
        leaves("", &call.arguments.0, seen, &mut lines);
    }
    match &step.repeat {
        Repeat::Once => {}
        Repeat::Each { items, .. } => lines.push(format!("for each of {}", shown(&items.0, true))),
        Repeat::While { condition, max_iterations } => {
            let condition = plain(condition);
            lines.push(format!("as long as {condition}, at most {max_iterations} times"));
        }
    }
    Step {
        needs: step.needs.clone(),
        condition: step.condition.clone(),
        ..Step::new(id.0, Work::Approval { prompt: lines.join("\n"), wait })
    }
}

/// A line for each value: with `seen`, templates in it are filled in when somebody is asked.
fn leaves(path: &str, value: &Value, seen: bool, lines: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                leaves(&format!("{path}{}{}", dot(path), plain(name)), value, seen, lines);
            }
        }
        Value::Array(items) => {
            for (at, value) in items.iter().enumerate() {
                leaves(&format!("{path}[{at}]"), value, seen, lines);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            lines.push(format!("{path}: {}", shown(value, seen)));
        }
    }
}

const fn dot(path: &str) -> &'static str {
    if path.is_empty() { "" } else { "." }
}

fn shown(value: &Value, seen: bool) -> String {
    match value {
        Value::String(text) if seen => text.clone(),
        Value::String(text) => plain(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            plain(&value.to_string())
        }
    }
}

/// Text in which nothing is a template.
fn plain(text: &str) -> String {
    text.replace('{', "{ ")
}

/// Who goes on at a step that is approved goes on at its approval.
fn redirect(step: &mut Step, approvals: &BTreeMap<StepId, StepId>) {
    let target = match &mut step.on_failure {
        OnFailure::Route(target) => Some(target),
        OnFailure::Fail | OnFailure::Continue | OnFailure::Skip | OnFailure::Fallback(_) => None,
    };
    let targets = target.into_iter().chain(&mut step.on_success).chain(&mut step.on_false);
    for target in targets {
        if let Some(approval) = approvals.get(target) {
            target.clone_from(approval);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::pipeline;
    use crate::plan::ValueType;
    use crate::tool::{Parameter, ToolSpec};

    fn catalogue() -> Catalogue {
        let text = || Parameter::required("text", ValueType::Any, "What.");
        let write = ToolSpec { changes_world: true, ..ToolSpec::new("write", "Writes.") };
        let tools = [ToolSpec::new("look", "Looks."), write].map(|tool| tool.parameter(text()));
        Catalogue(tools.into_iter().map(|tool| (tool.name.clone(), tool)).collect())
    }

    fn approved(steps: Value) -> Plan {
        let document = json!({"name": "test", "steps": steps});
        let plan = pipeline::read_json(&document, &catalogue()).unwrap().plan;
        let plan = with_approvals(plan, &catalogue(), Duration::from_secs(60));
        pipeline::compile_plan(plan, &catalogue()).unwrap().plan
    }

    fn prompt(step: &Step) -> &str {
        match &step.work {
            Work::Approval { prompt, .. } => prompt,
            Work::Call(_) | Work::Value(_) | Work::Gate { .. } => panic!("{step:?}"),
        }
    }

    #[test]
    fn what_only_reads_needs_no_approval() {
        let plan = approved(json!([{"id": "a", "tool": "look", "arguments": {"text": "x"}}]));
        assert_eq!(plan.steps.len(), 1);
    }

    #[test]
    fn a_change_waits_for_an_approval_that_shows_what_will_be_done() {
        let plan = approved(json!([
            {"id": "a", "tool": "look", "arguments": {"text": "x"}},
            {"id": "b", "if": "1 < 2", "tool": "write", "arguments": {"text": {"of": ["{{ steps.a.result }}", 7]}}},
        ]));
        let names: Vec<&str> = plan.steps.iter().map(|step| step.id.as_str()).collect();
        assert_eq!(names, ["a", "approval_1", "b"]);
        let expected = "A plan that a model made calls `write`, with:\ntext.of[0]: {{ steps.a.result }}\n\
                        text.of[1]: 7";
        assert_eq!(prompt(&plan.steps[1]), expected);
        assert_eq!(plan.steps[1].condition.as_deref(), Some("1 < 2"));
        assert_eq!(
            plan.steps[2].condition.as_deref(),
            Some("steps.approval_1.success and (1 < 2)")
        );
    }

    #[test]
    fn who_goes_on_at_a_change_goes_on_at_its_approval() {
        let plan = approved(json!([
            {"id": "approval_1", "tool": "look", "arguments": {"text": "x"}, "on_success": "c"},
            {"id": "b", "tool": "look", "arguments": {"text": "x"}},
            {"id": "c", "tool": "write", "arguments": {"text": "x"}},
        ]));
        assert_eq!(plan.steps[0].on_success, Some(StepId::from("approval_1_")));
        assert_eq!(plan.steps[3].condition.as_deref(), Some("steps.approval_1_.success"));
    }

    #[test]
    fn of_a_repeated_change_and_of_fallbacks_the_templates_are_shown_as_they_are() {
        let plan = approved(json!([
            {"id": "b", "each": ["x", "y"], "tool": "write", "arguments": {"text": "{{ item }}"}},
            {"id": "c", "tool": "look", "arguments": {"text": "x"}, "on_failure":
                {"fallback": [{"tool": "write", "arguments": {"text": "{{ steps.b.result }}"}}]}},
        ]));
        assert!(
            prompt(&plan.steps[0]).contains("text: { {  item }}"),
            "{}",
            prompt(&plan.steps[0])
        );
        assert!(prompt(&plan.steps[0]).ends_with("for each of [\"x\",\"y\"]"));
        assert!(prompt(&plan.steps[2]).ends_with("`write`, with:\ntext: { {  steps.b.result }}"));
    }
}
