use std::time::Duration;

use serde_json::json;

use super::*;
use crate::plan::{ErrorKind, OnFailure, Repeat, Retry, StepId, ToolCall, Work};
use crate::tool::{Parameter, ToolSpec};

mod arbitrary;
mod refusals;

/// The tools that the documents of these tests call.
fn catalogue() -> Catalogue {
    let text = |name| Parameter::required(name, ValueType::String, "");
    let tools = [
        ToolSpec::new("read_file", "").parameter(text("path")),
        ToolSpec::new("write_file", "").parameter(text("path")).parameter(text("text")),
        ToolSpec::new("generate", "").parameter(text("prompt")),
    ];
    Catalogue(tools.into_iter().map(|tool| (tool.name.clone(), tool)).collect())
}

/// Everything that a document can say.
const WHOLE: &str = r#"
name: report
version: "1.2.0"
description: >
  Everything that
  a document can say.
timeout: 1m
max_parallel: 4
inputs:
  path: {type: string, description: Where from.}
  limit: 10
  ratio: 0.5
  words: [a, b]
  options: {default: {deep: true}}
  open: {type: any, default: null}
  strict: false
steps:
  - id: read
    tool: read_file
    arguments: {path: "{{ inputs.path }}{{ inputs.open }}"}
    retry: {attempts: 5, base: 200ms, cap: 2s, jitter: 0, kinds: [timeout, not_found]}
    timeout: 1500ms
    on_failure:
      fallback:
        - tool: generate
          arguments: {prompt: "{{ steps.read.error }}"}
  - id: check
    gate:
      that: len(steps.read.result) > inputs.limit * inputs.ratio
      reason: Too short.
    on_success: each_word
  - id: between
    value: {a: [1, null, "{{ inputs.options.deep }}"]}
    on_failure: skip
  - id: each_word
    if: inputs.strict
    on_false: last_one
    each: inputs.words
    max_parallel: 2
    max_items: 100
    tool: write_file
    arguments:
      path: "{{ item }}"
      text: |
        Kept as it is.

    on_failure: {route: last_one}
  - id: poll
    needs: check
    while: loop.index < 3
    max_iterations: 5
    value: "{{ last }}"
    on_failure: continue
  - id: last_one
    needs: [check, between]
    approval: {prompt: "{{ inputs.path }}?", wait: 2h}
outputs:
  text: "{{ steps.read.result }}"
  steps: 6
answer: "Done: {{ steps.last_one.success }}"
"#;

fn whole() -> Compiled {
    let compiled = read(WHOLE, &catalogue());
    compiled.unwrap_or_else(|findings| panic!("{}", lines(&findings)))
}

fn lines(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("{finding}\n")).collect()
}

#[test]
fn a_document_says_everything_about_a_plan() {
    let Compiled { plan, version, warnings, .. } = whole();
    assert_eq!(warnings, []);
    assert_eq!(plan.name, "report");
    assert_eq!(version.as_deref(), Some("1.2.0"));
    assert_eq!(plan.description, "Everything that a document can say.\n");
    assert_eq!((plan.timeout, plan.max_parallel), (Some(Duration::from_secs(60)), Some(4)));
    assert_eq!(plan.answer.as_deref(), Some("Done: {{ steps.last_one.success }}"));
    let outputs = [
        ("text".to_owned(), Json(json!("{{ steps.read.result }}"))),
        ("steps".to_owned(), Json(json!(6))),
    ];
    assert_eq!(plan.outputs, outputs);
}

#[test]
fn inputs_are_declared_or_only_given_a_default() {
    let plan = whole().plan;
    let inputs: Vec<_> = plan
        .inputs
        .iter()
        .map(|input| (&*input.name, input.value_type, input.default.clone().map(|value| value.0)))
        .collect();
    assert_eq!(
        inputs,
        [
            ("path", ValueType::String, None),
            ("limit", ValueType::Integer, Some(json!(10))),
            ("ratio", ValueType::Number, Some(json!(0.5))),
            ("words", ValueType::Array, Some(json!(["a", "b"]))),
            ("options", ValueType::Object, Some(json!({"deep": true}))),
            ("open", ValueType::Any, Some(json!(null))),
            ("strict", ValueType::Boolean, Some(json!(false))),
        ]
    );
    assert_eq!(plan.inputs[0].description, "Where from.");
}

#[test]
fn steps_are_read_with_all_that_is_said_of_them() {
    let plan = whole().plan;
    let [read, check, between, each, poll, last] = plan.steps.as_slice() else { panic!() };
    let call = |tool: &str, arguments: Value| ToolCall {
        tool: tool.to_owned(),
        arguments: arguments.into(),
    };
    let arguments = json!({"path": "{{ inputs.path }}{{ inputs.open }}"});
    assert_eq!(read.work, Work::Call(call("read_file", arguments)));
    assert_eq!(
        read.retry,
        Retry {
            attempts: 5,
            base: Duration::from_millis(200),
            cap: Duration::from_secs(2),
            jitter: 0.0,
            kinds: vec![ErrorKind::Timeout, ErrorKind::NotFound],
        }
    );
    assert_eq!(read.timeout, Some(Duration::from_millis(1500)));
    let fallback = call("generate", json!({"prompt": "{{ steps.read.error }}"}));
    assert_eq!(read.on_failure, OnFailure::Fallback(vec![fallback]));
    assert!(matches!(&check.work, Work::Gate { reason, .. } if reason == "Too short."));
    assert_eq!(check.on_success, Some("each_word".into()));
    let value = json!({"a": [1, null, "{{ inputs.options.deep }}"]});
    assert_eq!(between.work, Work::Value(Json(value)));
    assert_eq!(between.on_failure, OnFailure::Skip);
    assert_eq!(each.condition.as_deref(), Some("inputs.strict"));
    assert_eq!(each.on_false, Some("last_one".into()));
    let items = Json(json!("{{ inputs.words }}"));
    assert_eq!(each.repeat, Repeat::Each { items, max_parallel: 2, max_items: 100 });
    assert!(
        matches!(&each.work, Work::Call(call) if call.arguments.0["text"] == "Kept as it is.\n")
    );
    assert_eq!(each.on_failure, OnFailure::Route("last_one".into()));
    let condition = "loop.index < 3".to_owned();
    assert_eq!(poll.repeat, Repeat::While { condition, max_iterations: 5 });
    assert_eq!((&poll.needs[..], &poll.on_failure), (&["check".into()][..], &OnFailure::Continue));
    assert_eq!(last.needs, [StepId::from("check"), "between".into()]);
    let approval =
        Work::Approval { prompt: "{{ inputs.path }}?".into(), wait: Duration::from_secs(7200) };
    assert_eq!(last.work, approval);
}

#[test]
fn what_is_not_said_has_its_default() {
    let text = "name: a\nsteps: [{id: a, tool: t}, {id: b, approval: {prompt: Go?}}]";
    let tools = Catalogue([("t".to_owned(), ToolSpec::new("t", ""))].into());
    let plan = read(text, &tools).unwrap().plan;
    let call = ToolCall { tool: "t".to_owned(), arguments: Json(json!({})) };
    let wait = crate::plan::APPROVAL_WAIT;
    let approval = Work::Approval { prompt: "Go?".to_owned(), wait };
    let steps = [("a", Work::Call(call)), ("b", approval)];
    assert_eq!(plan.steps, steps.map(|(id, work)| crate::plan::Step::new(id, work)));
}

#[test]
fn steps_wait_for_what_they_refer_to() {
    let Compiled { plan, graph, .. } = whole();
    let names = |steps: &[usize]| -> Vec<String> {
        steps.iter().map(|at| plan.steps[*at].id.0.clone()).collect()
    };
    assert_eq!(names(&graph.levels[0]), ["read"]);
    assert_eq!(names(&graph.levels[1]), ["check"]);
    // The list of an `each` is a reference like any other.
    let text =
        "name: a\nsteps:\n - {id: b, each: steps.a.result, value: 1}\n - {id: a, value: [1]}";
    assert_eq!(read(text, &catalogue()).unwrap().graph.levels, [[1], [0]]);
}

#[test]
fn the_same_document_in_json_is_the_same_plan() {
    let mut findings = Findings::default();
    let document = yaml::read(WHOLE, &mut findings).unwrap().to_json();
    let Compiled { mut plan, graph, .. } = whole();
    let mut from_json = read_json(&document, &catalogue()).unwrap();
    // Names in JSON have no order.
    plan.inputs.sort_by(|a, b| a.name.cmp(&b.name));
    plan.outputs.sort_by(|a, b| a.0.cmp(&b.0));
    from_json.plan.inputs.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!((from_json.plan, from_json.graph), (plan.clone(), graph.clone()));
    let again = read(&document.to_string(), &catalogue()).unwrap();
    assert_eq!(again.graph, graph);
}

#[test]
fn a_plan_made_without_a_document_is_checked_the_same_way() {
    assert_eq!(compile_plan(whole().plan, &catalogue()).unwrap().graph, whole().graph);
    let findings = compile_plan(Plan::default(), &catalogue()).unwrap_err();
    assert_eq!(findings[0].code, "no_steps");
}

#[test]
fn what_aliases_stand_for_is_written_out() {
    let text = "
name: a
steps:
  - id: a
    retry: &patient {attempts: 9}
    each: &words [x, y]
    tool: generate
    arguments: {prompt: x}
  - {id: b, retry: *patient, each: *words, tool: generate, arguments: {prompt: y}}
";
    let plan = read(text, &catalogue()).unwrap().plan;
    assert_eq!(plan.steps[1].retry.attempts, 9);
    assert!(
        matches!(&plan.steps[1].repeat, Repeat::Each { items, .. } if items.0 == json!(["x", "y"]))
    );
}

#[test]
fn warnings_come_with_the_plan_and_with_their_lines() {
    let text = "name: a\ninputs:\n  unused: 1\nsteps:\n  - {id: a, value: 1}";
    let warnings = read(text, &catalogue()).unwrap().warnings;
    let text = "line 3: warning: inputs.unused: nothing refers to this input";
    assert_eq!(lines(&warnings).trim_end(), text);
}
