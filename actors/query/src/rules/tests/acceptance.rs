//! The cases that rules are accepted by.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{action, all, always, clerk, ids, rule, some, test, tools};
use crate::json::Json;
use crate::plan::{OnFailure, Plan, StepId, Work};
use crate::rules::compile::{Fired, fire, stages};
use crate::rules::condition::Condition;
use crate::rules::evaluate::{Truth, Verdict, explain};
use crate::rules::gherkin;
use crate::rules::risk::{Decision, Factor, Severity, assess};
use crate::rules::rule::{Priority, Rule, RuleAction, RuleSet};
use crate::tool::Catalogue;

fn fired(rules: Vec<Rule>, facts: Value, catalogue: &Catalogue) -> Fired {
    fire(&RuleSet { rules }, &facts, &clerk(), catalogue)
}

fn place(plan: &Plan, step: &str) -> usize {
    let stages = stages(plan);
    stages.iter().position(|stage| stage.contains(&StepId::from(step))).unwrap()
}

#[test]
fn c1_every_operator_decides_and_none_fails_on_a_missing_field() {
    let facts = json!({
        "status": "active", "score": 75, "category": "gold", "message": "an error occurred",
        "user": {"tier": "premium"},
    });
    let table = [
        ("status", "equals", json!("active"), true),
        ("status", "equals", json!("closed"), false),
        ("status", "not_equals", json!("closed"), true),
        ("score", "greater_than", json!(50), true),
        ("score", "less_than", json!(50), false),
        ("category", "in", json!(["gold", "platinum"]), true),
        ("category", "not_in", json!(["gold", "platinum"]), false),
        ("message", "contains", json!("error"), true),
        ("user.tier", "equals", json!("premium"), true),
        ("missing", "equals", json!("x"), false),
        ("missing", "greater_than", json!(50), false),
        ("missing", "less_than", json!(50), false),
        ("missing", "in", json!(["x"]), false),
        ("missing", "contains", json!("x"), false),
        ("user.missing.deep", "starts_with", json!("x"), false),
        ("missing", "not_equals", json!("x"), true),
        ("missing", "not_in", json!(["x"]), true),
        ("missing", "not_contains", json!("x"), true),
    ];
    for (field, operator, value, expected) in table {
        let truth = explain(&test(field, operator, value), &facts).truth;
        assert_eq!(truth == Truth::True, expected, "{field} {operator}");
    }
}

fn escalation() -> Rule {
    let condition = all([
        test("sentiment_score", "less_than", json!(0.3)),
        test("tier", "equals", json!("premium")),
        test("interactions", "greater_than", json!(2)),
    ]);
    let actions = vec![
        action("notify", "tell", json!({"with": "{{ steps.analyse.result }}"})),
        action("analyse", "ask", json!({"with": "${tier}"})),
        action("workflow", "start", json!({})),
        action("remember", "note", json!({"with": "{{ steps.analyse.result }}"})),
    ];
    rule("escalation", condition, actions)
}

#[test]
fn c2_an_escalation_fires_its_four_actions_in_the_order_of_their_data() {
    let catalogue = tools(&["ask", "tell", "note", "start"]);
    let facts = |interactions: u32| json!({"sentiment_score": 0.25, "tier": "premium", "interactions": interactions});
    let plan = fired(vec![escalation()], facts(3), &catalogue).plan.unwrap();
    assert_eq!(
        ids(&stages(&plan)),
        [
            vec!["escalation_analyse", "escalation_workflow"],
            vec!["escalation_notify", "escalation_remember"],
        ]
    );
    let quiet = fired(vec![escalation()], facts(2), &catalogue);
    assert_eq!((quiet.plan.as_ref(), quiet.problems.len()), (None, 0));
    assert_eq!(
        quiet.to_string(),
        "conditions not met\nrule `escalation` does not fire: `interactions` greater_than 2: it is 2"
    );
}

fn fraud() -> Condition {
    let pair = |left: Condition, right: Condition| all([left, right]);
    some([
        pair(
            test("transaction.amount", "greater_than", json!(10000)),
            test("transaction.merchant.risk_score", "greater_than", json!(0.7)),
        ),
        pair(
            test("transaction.velocity.count_24h", "greater_than", json!(5)),
            test("transaction.velocity.total_24h", "greater_than", json!(5000)),
        ),
        pair(
            test("transaction.location.country", "not_equals", json!("${customer.home_country}")),
            test("transaction.location.distance", "greater_than", json!(1000)),
        ),
    ])
}

#[test]
fn c3_groups_in_groups_are_not_flattened() {
    let catalogue = tools(&["tell"]);
    let rules = || vec![rule("fraud", fraud(), vec![action("block", "tell", json!({}))])];
    let facts =
        |risk: f64| json!({"transaction": {"amount": 12000, "merchant": {"risk_score": risk}}});
    assert!(fired(rules(), facts(0.8), &catalogue).plan.is_some());
    let second = fired(rules(), facts(0.2), &catalogue);
    assert_eq!(second.plan, None);
    let Verdict::Unknown { missing, .. } = &second.verdicts[0].1 else { panic!("{second}") };
    assert!(missing.contains(&"transaction.velocity.count_24h".to_owned()));
}

#[test]
fn c4_the_most_important_rule_comes_first() {
    let with =
        |id: &str, priority| Rule { priority, ..always(id, vec![action("a", "tell", json!({}))]) };
    let rules = vec![
        with("low", Priority::LOW),
        with("critical", Priority::CRITICAL),
        with("medium_b", Priority::MEDIUM),
        with("medium_a", Priority::MEDIUM),
        with("high", Priority::HIGH),
        with("seven", Priority(7)),
    ];
    let fired = fired(rules, json!({}), &tools(&["tell"]));
    let order = ["critical", "high", "seven", "medium_a", "medium_b", "low"];
    assert_eq!(fired.rules().map(|rule| rule.as_str()).collect::<Vec<_>>(), order);
    let steps = fired.plan.unwrap().steps;
    assert_eq!(
        steps.iter().map(|step| step.id.0.as_str()).collect::<Vec<_>>(),
        order.map(|id| format!("{id}_a"))
    );
}

#[test]
fn c5_an_order_is_placed_only_after_the_check_of_availability() {
    let condition = all([
        test("stock.current", "less_than", json!("${stock.reorder_point}")),
        test("stock.pending", "equals", json!(0)),
        test("product.status", "equals", json!("active")),
    ]);
    let mut place_order =
        action("place_order", "tell", json!({"with": "{{ steps.quantity.result }}"}));
    place_order.needs = vec!["availability".into()];
    let actions = vec![
        place_order,
        action("availability", "ask", json!({"with": "{{ steps.quantity.result }}"})),
        action(
            "quantity",
            "ask",
            json!({"with": "{{ steps.demand.result }}", "amount": "${stock.current}"}),
        ),
        action("demand", "ask", json!({})),
        action("history", "note", json!({"with": "{{ steps.place_order.result }}"})),
    ];
    let facts = |current: u32| {
        json!({
            "stock": {"current": current, "reorder_point": 10, "pending": 0},
            "product": {"status": "active"},
        })
    };
    let catalogue = tools(&["ask", "tell", "note"]);
    let rules = || vec![rule("reorder", condition.clone(), actions.clone())];
    let plan = fired(rules(), facts(9), &catalogue).plan.unwrap();
    let at = |action: &str| place(&plan, &format!("reorder_{action}"));
    assert_eq!(
        ["demand", "quantity", "availability", "place_order", "history"].map(at),
        [0, 1, 2, 3, 4]
    );
    assert_eq!(fired(rules(), facts(10), &catalogue).plan, None);
}

fn factors(severities: &[Severity]) -> Vec<Factor> {
    let factor = |severity: &Severity| Factor { name: "f".to_owned(), severity: *severity };
    severities.iter().map(factor).collect()
}

#[test]
fn c6_risk_grows_with_its_factors_and_only_grave_ones_block() {
    use Decision::{Approve, Block, Review};
    use Severity::{Critical, High, Low, Medium};
    let table: [(&[Severity], f64, Decision); 9] = [
        (&[], 0.0, Approve),
        (&[Low], 0.1, Approve),
        (&[Medium], 0.3, Approve),
        (&[Medium, Low], 0.37, Approve),
        (&[Medium, Medium], 0.51, Review),
        (&[Low; 5], 0.40951, Review),
        (&[High], 0.6, Review),
        (&[High, High], 0.84, Block),
        (&[Critical], 0.9, Block),
    ];
    for (severities, score, decision) in table {
        let assessment = assess(&factors(severities));
        assert!((assessment.score - score).abs() < 1e-12, "{severities:?}: {assessment:?}");
        assert_eq!(assessment.decision, decision, "{severities:?}");
    }
}

proptest! {
    #[test]
    fn risk_does_not_depend_on_the_order_of_factors_and_never_falls_with_one_more(
        picked in prop::collection::vec(0..4_usize, 0..40), more in 0..4_usize,
    ) {
        let all = [Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
        let mut severities: Vec<Severity> = picked.iter().map(|at| all[*at]).collect();
        let score = assess(&factors(&severities)).score;
        severities.reverse();
        prop_assert_eq!(assess(&factors(&severities)).score, score);
        severities.push(all[more]);
        let grown = assess(&factors(&severities)).score;
        prop_assert!((0.0..=1.0).contains(&score) && grown >= score);
    }
}

#[test]
fn c7_sentences_keep_every_action_and_name_their_fields_cleanly() {
    let text = r#"
        @critical
        Scenario: Premium customer escalation
          Given a customer with tier "premium"
          And the customer sentiment score is below 0.3
          Then escalate via MCP toolkit
          And start workflow via Temporal
    "#;
    let set = gherkin::read(text, None).unwrap().set;
    let rule = &set.rules[0];
    let fields: Vec<&str> = rule.condition.tests().iter().map(|test| test.field.as_str()).collect();
    assert_eq!(fields, ["tier", "sentiment_score"]);
    let calls: Vec<(&str, &Json)> = rule
        .actions
        .iter()
        .map(|action| (action.call.tool.as_str(), &action.call.arguments))
        .collect();
    assert_eq!(
        calls,
        [
            ("mcp_toolkit", &Json(json!({"action": "escalate"}))),
            ("temporal", &Json(json!({"action": "start workflow"}))),
        ]
    );
    let using = text.replace("via Temporal", "using Temporal");
    assert_eq!(gherkin::read(&using, None).unwrap().set, set);
}

#[test]
fn c8_an_unknown_tool_is_named_beside_an_action_that_will_fail() {
    let continuing = |action: RuleAction| RuleAction { on_failure: OnFailure::Continue, ..action };
    let actions = vec![
        continuing(action("charge", "tell", json!({}))),
        continuing(action("record", "nosuch", json!({}))),
        action("refund", "tell", json!({"amount": "${refund}"})),
    ];
    let fired = fired(vec![always("r", actions)], json!({}), &tools(&["tell"]));
    // The first is done, and may fail as a step, which fails its query; the others are named at once.
    let plan = fired.plan.as_ref().unwrap();
    assert_eq!(plan.steps.len(), 1);
    assert!(matches!(&plan.steps[0].work, Work::Call(call) if call.tool == "tell"));
    let named: Vec<String> = fired.problems.iter().map(ToString::to_string).collect();
    assert_eq!(named.len(), 2);
    assert!(named[0].starts_with("rules.r.actions.record.tool: there is no tool `nosuch`"));
    assert!(named[1].starts_with("rules.r.actions.refund.arguments.amount: "));
}
