//! What fires becomes one plan.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{action, all, always, clerk, ids, rule, test, tools};
use crate::check::Finding;
use crate::expression;
use crate::graph::Graph;
use crate::pipeline::compile_plan;
use crate::plan::{OnFailure, Plan, StepId, ToolCall, Work};
use crate::rules::check;
use crate::rules::compile::{Fired, fire, stages};
use crate::rules::evaluate::Verdict;
use crate::rules::rule::{Priority, Rule, RuleAction, RuleSet};

fn fired(rules: Vec<Rule>, facts: Value) -> Fired {
    let catalogue = tools(&["ask", "tell", "note"]);
    fire(&RuleSet { rules }, &facts, &clerk(), &catalogue)
}

fn steps(plan: &Plan) -> Vec<&str> {
    plan.steps.iter().map(|step| step.id.as_str()).collect()
}

fn messages(fired: &Fired) -> Vec<String> {
    fired.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn facts_and_results_reach_the_arguments_of_the_steps() {
    let actions = vec![
        action("tell", "tell", json!({"with": "{{ steps.ask.result }} for ${customer.name}"})),
        action("ask", "ask", json!({"amount": "{{ facts.amount }}"})),
    ];
    let facts = json!({"customer": {"name": "ann"}, "amount": 7});
    let plan = fired(vec![always("r", actions)], facts).plan.unwrap();
    assert_eq!(ids(&stages(&plan)), [vec!["r_ask"], vec!["r_tell"]]);
    let scope = json!({
        "inputs": {"facts": plan.inputs[0].default.as_ref().unwrap().0},
        "steps": {"r_ask": {"result": "yes"}},
    });
    let Work::Call(call) = &plan.steps[0].work else { panic!() };
    let arguments = expression::render(&call.arguments.0, &scope).unwrap();
    assert_eq!(arguments, json!({"with": "yes for ann"}));
    let Work::Call(call) = &plan.steps[1].work else { panic!() };
    assert_eq!(expression::render(&call.arguments.0, &scope).unwrap(), json!({"amount": 7}));
}

#[test]
fn facts_that_look_like_templates_are_only_text() {
    let actions = vec![action("tell", "tell", json!({"with": "${name}"}))];
    let facts = json!({"name": "{{ steps.secret.result }}"});
    let plan = fired(vec![always("r", actions)], facts.clone()).plan.unwrap();
    assert_eq!(Graph::of(&plan).unwrap().needs[0].len(), 0);
    let Work::Call(call) = &plan.steps[0].work else { panic!() };
    let arguments = expression::render(&call.arguments.0, &json!({"inputs": {"facts": facts}}));
    assert_eq!(arguments.unwrap(), json!({"with": "{{ steps.secret.result }}"}));
}

#[test]
fn a_step_waits_only_for_steps_of_its_own_rule() {
    let two =
        || vec![action("ask", "ask", json!({})), needing(action("tell", "tell", json!({})), "ask")];
    let low = Rule { priority: Priority::LOW, ..always("a_low", two()) };
    let critical = Rule { priority: Priority::CRITICAL, ..always("z_critical", two()) };
    let plan = fired(vec![low, critical], json!({})).plan.unwrap();
    assert_eq!(steps(&plan), ["z_critical_ask", "z_critical_tell", "a_low_ask", "a_low_tell"]);
    assert_eq!(
        ids(&stages(&plan)),
        [vec!["z_critical_ask", "a_low_ask"], vec!["z_critical_tell", "a_low_tell"]]
    );
}

fn needing(mut action: RuleAction, need: &str) -> RuleAction {
    action.needs.push(StepId::from(need));
    action
}

#[test]
fn a_failing_action_does_not_stop_another_rule_unless_it_says_so() {
    let plan = fired(vec![always("r", vec![action("ask", "ask", json!({}))])], json!({})).plan;
    assert_eq!(plan.unwrap().steps[0].on_failure, OnFailure::Skip);
}

#[test]
fn a_rule_for_other_roles_is_denied_and_does_not_fire() {
    let boss = Rule {
        required_roles: vec!["boss".to_owned(), "auditor".to_owned()],
        ..always("r", vec![action("ask", "ask", json!({}))])
    };
    let denied = fired(vec![boss.clone()], json!({}));
    assert_eq!(denied.plan, None);
    let required = boss.required_roles.clone();
    assert_eq!(denied.verdicts, [("r".into(), Verdict::Denied { required })]);
    let clerk = Rule { required_roles: vec!["clerk".to_owned()], ..boss };
    assert!(fired(vec![clerk], json!({})).plan.is_some());
}

#[test]
fn what_cannot_be_done_is_named_with_everything_that_needs_it() {
    let actions = vec![
        action("ask", "asks", json!({})),
        action("tell", "tell", json!({"with": "{{ steps.ask.result }}"})),
        needing(action("again", "tell", json!({})), "tell"),
        action("note", "note", json!({})),
    ];
    let fired = fired(vec![always("r", actions)], json!({}));
    assert_eq!(steps(fired.plan.as_ref().unwrap()), ["r_note"]);
    assert_eq!(
        messages(&fired),
        [
            "rules.r.actions.again: needs `tell`, which cannot be done",
            "rules.r.actions.ask.tool: there is no tool `asks`; did you mean `ask`?",
            "rules.r.actions.tell: needs `ask`, which cannot be done",
        ]
    );
}

#[test]
fn what_follows_an_action_to_continue_after_is_done_without_it() {
    let optional =
        RuleAction { on_failure: OnFailure::Continue, ..action("ask", "asks", json!({})) };
    let actions = vec![optional, needing(action("tell", "tell", json!({})), "ask")];
    let fired = fired(vec![always("r", actions)], json!({}));
    let plan = fired.plan.unwrap();
    assert_eq!(steps(&plan), ["r_tell"]);
    assert!(Graph::of(&plan).is_ok());
    assert_eq!(fired.problems.len(), 1);
}

#[test]
fn nothing_is_begun_if_an_action_cannot_be_done_that_must_not_fail() {
    let must = RuleAction { on_failure: OnFailure::Fail, ..action("ask", "asks", json!({})) };
    let rules = vec![always("a", vec![must]), always("b", vec![action("tell", "tell", json!({}))])];
    let fired = fired(rules, json!({}));
    assert_eq!(fired.plan, None);
    assert_eq!(fired.problems.len(), 1);
}

#[test]
fn arguments_are_checked_with_the_facts_before_anything_is_done() {
    let cases = [
        (
            json!({"with": "${gone}"}),
            "arguments.with: `facts.gone` refers to `facts.gone`, which has no value",
        ),
        (json!({"amount": "${name}"}), "arguments.amount: must be of type number, not \"ann\""),
        (json!({"wiht": 1}), "arguments.wiht: `ask` has no parameter `wiht`"),
        (json!([1]), "arguments must be an object"),
    ];
    for (arguments, expected) in cases {
        let rule = always("r", vec![action("ask", "ask", arguments)]);
        let fired = fired(vec![rule], json!({"name": "ann"}));
        assert_eq!(fired.plan, None);
        assert!(messages(&fired)[0].contains(expected), "{:?}", messages(&fired));
    }
}

#[test]
fn calls_to_fall_back_to_are_checked_and_planned_like_the_first() {
    let call = |tool: &str, with: &str| ToolCall {
        tool: tool.to_owned(),
        arguments: json!({"with": with}).into(),
    };
    let falls_back = |tool: &str| RuleAction {
        on_failure: OnFailure::Fallback(vec![call(tool, "{{ steps.note.result }} ${name}")]),
        ..action("ask", "ask", json!({}))
    };
    let rules =
        |tool: &str| vec![always("r", vec![falls_back(tool), action("note", "note", json!({}))])];
    let plan = fired(rules("tell"), json!({"name": 1})).plan.unwrap();
    let expected = call("tell", "{{ steps.r_note.result }} {{ inputs.facts.name }}");
    assert_eq!(plan.steps[0].on_failure, OnFailure::Fallback(vec![expected]));
    assert_eq!(fired(rules("tel"), json!({"name": 1})).problems.len(), 1);
}

#[test]
fn rules_that_cannot_be_performed_are_refused_with_the_action_named() {
    let refused = |actions: Vec<RuleAction>, expected: &str| {
        let rule = always("r", actions);
        let set = RuleSet { rules: vec![rule.clone()] };
        let problems: Vec<Finding> =
            check::check(&set, None).into_iter().filter(Finding::is_error).collect();
        assert!(
            problems.iter().any(|problem| problem.to_string().contains(expected)),
            "{expected}: {problems:?}"
        );
        // What is refused when it is read cannot slip through when it fires, either.
        let fired = fired(vec![rule], json!({}));
        assert_eq!((fired.plan, fired.problems), (None, problems));
    };
    let ask = |arguments| action("ask", "ask", arguments);
    refused(vec![], "at least one action");
    refused(vec![ask(json!({})), ask(json!({}))], "there are two steps `ask`");
    refused(vec![action("9", "ask", json!({}))], "actions.9.id: `9` is no name");
    refused(vec![needing(ask(json!({})), "gone")], "there is no step `gone`");
    refused(vec![ask(json!({"with": "{{ steps.ask.result }}"}))], "the step waits for itself");
    refused(
        vec![ask(json!({"with": "{{ name }}"}))],
        "there is no `name`; did you mean `facts.name`?",
    );
    refused(vec![ask(json!({"with": "{{ facts.a + }}"}))], "is not an expression");
    refused(vec![ask(json!({"with": "${a"}))], "has no `}`");
    let route = OnFailure::Route("x".into());
    refused(
        vec![RuleAction { on_failure: route, ..ask(json!({})) }],
        "does not go on at another, such as `x`",
    );
}

#[test]
fn ids_that_clash_are_refused() {
    let actions = |id| vec![action(id, "ask", json!({}))];
    let set = RuleSet { rules: vec![always("a", actions("b_c")), always("a_b", actions("c"))] };
    assert!(check::check(&set, None)[0].to_string().contains("would be `a_b_c`"));
    let fired = fired(set.rules, json!({}));
    assert_eq!(steps(&fired.plan.unwrap()), ["a_b_c"]);
    assert!(fired.problems[0].to_string().contains("has the step `a_b_c` already"));
    let twice = RuleSet { rules: vec![always("a", actions("x")), always("a", actions("y"))] };
    assert!(check::check(&twice, None)[0].to_string().contains("two rules `a`"));
}

#[test]
fn facts_that_are_no_object_are_refused() {
    let fired = fired(vec![always("r", vec![action("ask", "ask", json!({}))])], json!([1]));
    assert_eq!(fired.plan, None);
    assert_eq!(messages(&fired), ["facts: facts are an object of names and values, not [1]"]);
}

#[test]
fn calls_are_checked_against_tools_without_facts_too() {
    let actions = vec![
        action("ask", "ask", json!({"amount": "${amount}"})),
        action("tell", "tel", json!({})),
        action("note", "note", json!({"amount": "much"})),
    ];
    let set = RuleSet { rules: vec![always("r", actions)] };
    let found = check::check(&set, Some(&tools(&["ask", "tell", "note"])));
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "rules.r.actions.tell.tool: there is no tool `tel`; did you mean `tell`?",
            "rules.r.actions.note.arguments.amount: must be of type number, not \"much\"",
        ]
    );
}

proptest! {
    #[test]
    fn whatever_the_templates_a_plan_has_an_order_or_its_action_is_named(
        text in "[{}%$. a-z]{0,12}(\\{\\{ (facts|steps)\\.(name|note|ask)(\\.result)? \\}\\})?",
        name in "\\PC{0,8}",
    ) {
        let actions = vec![
            action("ask", "ask", json!({"with": text})),
            action("note", "note", json!({})),
        ];
        let condition = all([test("name", "exists", json!(true))]);
        let fired = fired(vec![rule("r", condition, actions)], json!({"name": name}));
        if let Some(plan) = &fired.plan {
            let compiled = compile_plan(plan.clone(), &tools(&["ask", "tell", "note"]));
            prop_assert!(compiled.is_ok(), "{:?}", compiled.err());
        }
        let planned = fired.plan.map_or(0, |plan| plan.steps.len());
        prop_assert!(planned == 2 || !fired.problems.is_empty());
    }
}
