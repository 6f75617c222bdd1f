use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::json::Json;
use crate::plan::{Input, OnFailure, Repeat, Retry, Step, ToolCall, ValueType, Work};
use crate::tool::{Parameter, ToolSpec};

fn catalogue() -> Catalogue {
    let generate = ToolSpec::new("generate", "Writes text.")
        .parameter(Parameter::required("prompt", ValueType::String, "What about."))
        .parameter(
            Parameter::optional("tokens", ValueType::Integer, "How long.").between(1.0, 99.0),
        );
    Catalogue([("generate".to_owned(), generate)].into())
}

fn value(id: &str, value: Value) -> Step {
    Step::new(id, Work::Value(Json(value)))
}

fn call(id: &str, tool: &str, arguments: Value) -> Step {
    Step::new(id, Work::Call(ToolCall { tool: tool.to_owned(), arguments: Json(arguments) }))
}

fn each(items: Value, max_parallel: u32, max_items: u32) -> Repeat {
    Repeat::Each { items: Json(items), max_parallel, max_items }
}

fn plan(steps: Vec<Step>) -> Plan {
    Plan { steps, ..Plan::default() }
}

fn found(plan: &Plan) -> Vec<Finding> {
    check(plan, &catalogue())
}

/// The findings about one step, without its name.
fn of_step(step: Step) -> Vec<(&'static str, String)> {
    let findings = found(&plan(vec![step, value("other", json!(1))]));
    findings.into_iter().map(|finding| (finding.code, finding.to_string())).collect()
}

#[track_caller]
fn assert_only(step: Step, code: &str, text: &str) {
    assert_eq!(of_step(step), [(code, text.to_owned())]);
}

#[test]
fn a_sound_plan_has_no_findings() {
    let mut second = call("b", "generate", json!({"prompt": "{{ steps.a.result }} {{ now }}"}));
    second.condition = Some("len(steps.a.result) > 1 and steps.a.success".to_owned());
    let mut plan = plan(vec![value("a", json!("{{ inputs.text }}{{ query.id }}")), second]);
    plan.inputs.push(input("text", None));
    plan.outputs.push(("all".to_owned(), Json(json!("{{ steps }} {{ steps.b.result.text }}"))));
    plan.answer = Some("{{ steps.b.error is defined }}".to_owned());
    assert_eq!(found(&plan), []);
}

fn input(name: &str, default: Option<Value>) -> Input {
    Input {
        name: name.to_owned(),
        value_type: ValueType::String,
        description: String::new(),
        default: default.map(Json),
    }
}

#[test]
fn a_plan_has_steps_and_not_too_many() {
    assert_eq!(found(&plan(vec![]))[0].to_string(), "steps: a plan has at least one step");
    let many = (0..=MAX_STEPS).map(|at| value(&format!("s{at}"), json!(1))).collect();
    assert_eq!(found(&plan(many))[0].code, "too_many_steps");
}

#[test]
fn names_that_cannot_be_referred_to_are_refused_with_one_that_can() {
    let message = "no name: it must be a letter, then letters, digits and underscores, 64 at most";
    assert_only(
        value("read-it", json!(1)),
        "invalid_id",
        &format!("step `read-it`: id: `read-it` is {message}; did you mean `read_it`?"),
    );
    assert_only(value("7", json!(1)), "invalid_id", &format!("step `7`: id: `7` is {message}"));
    assert_eq!(of_step(value(&"x".repeat(65), json!(1)))[0].0, "invalid_id");
    assert_only(
        value("skip", json!(1)),
        "reserved_id",
        "step `skip`: id: `skip` says what is done about a failure, so no step can be named so; \
         did you mean `skip_step`?",
    );
    let mut plan = plan(vec![value("a", json!("{{ inputs }}"))]);
    plan.inputs = vec![input("my-input", None), input("twice", None), input("twice", None)];
    plan.outputs = vec![("o".to_owned(), Json(json!(1))), ("o".to_owned(), Json(json!(2)))];
    let findings = found(&plan);
    let codes: Vec<&str> = findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["invalid_input", "duplicate_input", "duplicate_output"]);
    assert_eq!(findings[0].suggestion.as_deref(), Some("my_input"));
}

#[test]
fn two_steps_of_one_name_are_refused() {
    let findings = found(&plan(vec![value("a", json!(1)), value("a", json!(2))]));
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].to_string(), "step `a`: id: there are two steps `a`");
    assert_eq!(findings[0].code, "duplicate_id");
}

#[test]
fn a_default_is_of_the_type_of_its_input() {
    let mut plan = plan(vec![value("a", json!("{{ inputs.text }}"))]);
    plan.inputs.push(input("text", Some(json!(5))));
    let findings = found(&plan);
    assert_eq!(findings[0].code, "invalid_default");
    assert_eq!(findings[0].to_string(), "inputs.text.default: must be of type string, not 5");
}

#[test]
fn an_input_that_is_never_used_is_doubtful_and_no_more() {
    let mut plan = plan(vec![value("a", json!(1))]);
    plan.inputs.push(input("text", None));
    let findings = found(&plan);
    assert_eq!(findings[0].code, "unused_input");
    assert_eq!(findings[0].to_string(), "warning: inputs.text: nothing refers to this input");
    assert!(!findings[0].is_error());
}

#[test]
fn steps_that_are_not_there_are_refused_wherever_they_are_named() {
    let mut step = value("a", json!(["{{ steps.othr.result }}"]));
    step.needs = vec!["other".into(), "gone".into()];
    step.on_success = Some("nowhere".into());
    step.on_false = Some("oter".into());
    step.on_failure = OnFailure::Route("away".into());
    let findings = of_step(step);
    assert!(findings.iter().all(|(code, _)| *code == "unknown_step"), "{findings:?}");
    let texts: Vec<&str> = findings.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "step `a`: needs[1]: there is no step `gone`",
            "step `a`: on_success: there is no step `nowhere`",
            "step `a`: on_false: there is no step `oter`; did you mean `other`?",
            "step `a`: on_failure.route: there is no step `away`",
            "step `a`: value[0]: there is no step `othr`; did you mean `other`?",
        ]
    );
}

#[test]
fn steps_are_routed_forward_only() {
    let mut step = value("b", json!(1));
    step.on_success = Some("a".into());
    let findings = found(&plan(vec![value("a", json!(1)), step]));
    assert_eq!(findings[0].code, "backward_route");
    let text = "step `b`: on_success: step `a` does not stand behind this one";
    assert_eq!(findings[0].to_string(), text);
}

#[test]
fn a_cycle_is_told_with_all_its_steps_also_beside_other_errors() {
    let mut plan = plan(vec![
        value("a", json!("{{ steps.b.result }}")),
        value("b", json!("{{ steps.a.result }}")),
        value("c", json!("{{ steps.gone.result }}")),
    ]);
    let texts: Vec<String> = found(&plan).iter().map(ToString::to_string).collect();
    assert_eq!(texts[0], "step `c`: value: there is no step `gone`");
    assert_eq!(texts[1], "step `a`: steps wait for each other: a, b");
    plan.steps = vec![value("a", json!("{{ steps.a.result }}"))];
    let findings = found(&plan);
    assert_eq!(findings[0].code, "cycle");
    assert_eq!(findings[0].to_string(), "step `a`: the step waits for itself");
}

#[test]
fn tools_and_their_parameters_are_checked() {
    assert_only(
        call("a", "gernate", json!({})),
        "unknown_tool",
        "step `a`: tool: there is no tool `gernate`; did you mean `generate`?",
    );
    let findings = of_step(call("a", "generate", json!({"promt": "x", "tokens": 100})));
    assert_eq!(
        findings,
        [
            (
                "unknown_parameter",
                "step `a`: arguments.promt: `generate` has no parameter `promt`; \
                 it takes prompt, tokens; did you mean `prompt`?"
                    .to_owned()
            ),
            ("invalid_parameter", "step `a`: arguments.tokens: must be at most 99".to_owned()),
            (
                "missing_parameter",
                "step `a`: arguments.prompt: `generate` needs `prompt`".to_owned()
            ),
        ]
    );
    let arguments = "step `a`: arguments: arguments must be an object";
    assert_only(call("a", "generate", json!([1])), "invalid_parameter", arguments);
}

#[test]
fn fallbacks_are_checked_as_calls_are() {
    let mut step = call("a", "generate", json!({"prompt": "x"}));
    let arguments = Json(json!({"prompt": "{{ steps.a.error }} {{ nothing }}"}));
    step.on_failure = OnFailure::Fallback(vec![
        ToolCall { tool: "generat".to_owned(), arguments: Json(json!({})) },
        ToolCall { tool: "generate".to_owned(), arguments },
    ]);
    let findings = of_step(step.clone());
    assert_eq!(
        findings[0].1,
        "step `a`: on_failure.fallback[1].arguments.prompt: there is no `nothing`"
    );
    assert_eq!(
        findings[1].1,
        "step `a`: on_failure.fallback[0].tool: there is no tool `generat`; \
         did you mean `generate`?"
    );
    assert_eq!(findings.len(), 2, "{findings:?}");
    step.on_failure = OnFailure::Fallback(Vec::new());
    let text = "step `a`: on_failure.fallback: names no call to try instead";
    assert_only(step, "empty_fallback", text);
    let mut step = value("a", json!(1));
    let arguments = Json(json!({"prompt": "x"}));
    step.on_failure =
        OnFailure::Fallback(vec![ToolCall { tool: "generate".to_owned(), arguments }]);
    let text = "step `a`: on_failure.fallback: a call can only stand in for another, \
                and this step makes none";
    assert_only(step, "fallback_without_call", text);
}

#[test]
fn gates_and_approvals_are_not_repeated() {
    let gate = Work::Gate { that: "true".to_owned(), reason: String::new() };
    let mut step = Step::new("a", gate);
    step.repeat = each(json!([1]), 1, 1);
    let text = "step `a`: each: a gate or an approval cannot be repeated";
    assert_only(step.clone(), "not_repeatable", text);
    step.work = Work::Approval { prompt: "Go?".to_owned(), wait: Duration::from_secs(1) };
    step.repeat = Repeat::While { condition: "true".to_owned(), max_iterations: 1 };
    let text = "step `a`: while: a gate or an approval cannot be repeated";
    assert_only(step, "not_repeatable", text);
}

#[test]
fn what_is_no_expression_is_refused_with_the_place() {
    assert_eq!(of_step(value("a", json!({"x": "{{ 1 + }}"})))[0].0, "malformed_expression");
    let mut step = value("a", json!(1));
    step.condition = Some("{{ steps.other.success }}".to_owned());
    let findings = found(&plan(vec![step, value("other", json!(1))]));
    assert_eq!(findings[0].path, "if");
    assert_eq!(findings[0].suggestion.as_deref(), Some("steps.other.success"));
}

#[test]
fn names_that_are_not_known_are_refused_with_what_was_meant() {
    for (text, code, meant) in [
        ("{{ input.x }}", "unknown_name", Some("inputs")),
        ("{{ other }}", "unknown_name", Some("steps.other.result")),
        ("{{ zebra | upper }}", "unknown_name", None),
        ("{{ inputs.x }}", "unknown_input", None),
        ("{{ steps.other.text }}", "unknown_step_field", Some("steps.other.result.text")),
        ("{{ steps.other.reslt }}", "unknown_step_field", Some("steps.other.result")),
        ("{{ steps['other'] }}", "all_steps", None),
        ("{{ steps.a.status }}", "self_reference", None),
    ] {
        let findings = found(&plan(vec![value("a", json!(text)), value("other", json!(1))]));
        assert_eq!(findings[0].code, code, "{text}");
        assert_eq!(findings[0].suggestion.as_deref(), meant, "{text}");
    }
}

#[test]
fn an_input_is_meant_where_only_its_name_stands() {
    let mut plan = plan(vec![value("a", json!("{{ txt }} {{ inputs.tex }} {{ text }}"))]);
    plan.inputs.push(input("text", None));
    let findings = found(&plan);
    let meant: Vec<_> = findings.iter().map(|finding| finding.suggestion.as_deref()).collect();
    assert_eq!(meant, [Some("text"), Some("inputs.text"), None, None]);
}

#[test]
fn elements_and_iterations_are_known_only_to_what_is_repeated() {
    let mut step = value("a", json!("{{ item }} {{ loop.index }}"));
    assert_eq!(of_step(step.clone()).len(), 2);
    step.repeat = each(json!([1]), 1, 1);
    assert_eq!(of_step(step.clone()), []);
    step.condition = Some("item > 1".to_owned());
    assert_only(
        step,
        "unknown_name",
        "step `a`: if: only a step with `each` knows `item`, and not in its `if` or `each`",
    );
    let mut step = value("a", json!("{{ last }} {{ loop.index }}"));
    step.repeat =
        Repeat::While { condition: "loop.index < 3 and not last".into(), max_iterations: 3 };
    assert_eq!(of_step(step), []);
    let mut plan = plan(vec![value("a", json!(1))]);
    plan.answer = Some("{{ item }} {{ last }}".to_owned());
    assert_eq!(found(&plan).len(), 2);
}

#[test]
fn numbers_without_reason_are_refused() {
    let second = Duration::from_secs(1);
    let retries = [
        (Retry { attempts: 0, ..Retry::default() }, "retry.attempts"),
        (Retry { attempts: 101, ..Retry::default() }, "retry.attempts"),
        (Retry { base: second * 2, cap: second, ..Retry::default() }, "retry.base"),
        (Retry { cap: Duration::MAX, ..Retry::default() }, "retry.cap"),
        (Retry { jitter: 1.5, ..Retry::default() }, "retry.jitter"),
        (Retry { jitter: f64::NAN, ..Retry::default() }, "retry.jitter"),
    ];
    for (retry, path) in retries {
        let findings = found(&plan(vec![Step { retry, ..value("a", json!(1)) }]));
        assert_eq!((findings[0].code, findings[0].path.as_str()), ("invalid_retry", path));
    }
    let endless = |max_iterations| Repeat::While { condition: "true".to_owned(), max_iterations };
    let repeats = [
        (each(json!([1]), 0, 1), "invalid_bound", "max_parallel"),
        (each(json!([]), 1, 0), "invalid_bound", "max_items"),
        (each(json!([]), 1, 10_001), "invalid_bound", "max_items"),
        (each(json!([1, 2]), 1, 1), "too_many_items", "each"),
        (each(json!(7), 1, 1), "invalid_each", "each"),
        (each(json!("steps.a.result"), 1, 1), "invalid_each", "each"),
        (endless(0), "invalid_bound", "max_iterations"),
        (endless(10_001), "invalid_bound", "max_iterations"),
    ];
    for (repeat, code, path) in repeats {
        let findings = found(&plan(vec![Step { repeat, ..value("a", json!(1)) }]));
        assert_eq!((findings[0].code, findings[0].path.as_str()), (code, path));
    }
}

#[test]
fn durations_without_reason_are_refused() {
    let approval = |wait| Step::new("a", Work::Approval { prompt: "Go?".to_owned(), wait });
    for wait in [Duration::ZERO, Duration::MAX] {
        let step = Step { timeout: Some(wait), ..value("a", json!(1)) };
        assert_eq!(of_step(step)[0].0, "invalid_timeout");
        assert_eq!(of_step(approval(wait))[0].0, "invalid_timeout");
        let plan = Plan { timeout: Some(wait), ..plan(vec![value("a", json!(1))]) };
        assert_eq!(found(&plan)[0].to_string().split(':').next(), Some("timeout"));
    }
    let plan = Plan { max_parallel: Some(0), ..plan(vec![value("a", json!(1))]) };
    assert_eq!(found(&plan)[0].to_string(), "max_parallel: must be at least 1");
}

#[test]
fn a_timeout_longer_than_that_of_the_tool_is_doubtful() {
    let mut step = call("a", "generate", json!({"prompt": "x"}));
    step.timeout = Some(Duration::from_secs(16));
    let text = "warning: step `a`: timeout: 16s has no effect, for `generate` is given 15s at most";
    assert_only(step, "timeout_without_effect", text);
}

#[test]
fn going_on_without_a_result_that_is_needed_is_doubtful() {
    let mut first = value("a", json!(1));
    first.on_failure = OnFailure::Continue;
    let mut plan = plan(vec![first, value("b", json!("{{ steps.a.success }}"))]);
    assert_eq!(found(&plan), []);
    plan.steps.push(value("c", json!("{{ steps.a.result }}")));
    let findings = found(&plan);
    assert_eq!(findings[0].code, "result_after_continue");
    assert!(findings[0].to_string().ends_with("it has no result, and c cannot do without"));
}

#[test]
fn a_finding_is_data_for_machines() {
    let findings = found(&plan(vec![call("a", "gernate", json!({}))]));
    assert_eq!(
        serde_json::to_value(&findings[0]).unwrap(),
        json!({
            "severity": "error",
            "code": "unknown_tool",
            "step": "a",
            "path": "tool",
            "line": null,
            "message": "there is no tool `gernate`",
            "suggestion": "generate",
        })
    );
}
