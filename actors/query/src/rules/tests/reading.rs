//! Rules in YAML.

use proptest::prelude::*;
use serde_json::json;

use super::{action, all, not, rule, some, test, tools};
use crate::plan::{ErrorKind, OnFailure, Retry, ToolCall};
use crate::rules::condition::Condition;
use crate::rules::read::{read, read_json};
use crate::rules::rule::{Priority, Rule, RuleAction, RuleSet};
use std::time::Duration;

fn refused(text: &str) -> Vec<String> {
    let findings = read(text, Some(&tools(&["ask", "tell"]))).unwrap_err();
    findings.iter().map(ToString::to_string).collect()
}

/// A document of one rule with these conditions.
fn with_conditions(conditions: &str) -> String {
    format!("id: r\nactions: [{{id: a, tool: ask}}]\nconditions:\n{conditions}")
}

fn condition(conditions: &str) -> Condition {
    let read = read(&with_conditions(conditions), None).unwrap();
    read.set.rules[0].condition.clone()
}

fn escalation() -> Rule {
    let conditions = all([
        test("tier", "in", json!(["premium", "gold"])),
        test("stock.current", "less_than", json!("${stock.limit}")),
    ]);
    let ask = RuleAction {
        timeout: Some(Duration::from_secs(5)),
        retry: Retry {
            attempts: 2,
            base: Duration::from_millis(100),
            kinds: vec![ErrorKind::Timeout],
            ..Retry::default()
        },
        on_failure: OnFailure::Fallback(vec![ToolCall {
            tool: "tell".into(),
            arguments: json!({}).into(),
        }]),
        ..action("ask", "ask", json!({"with": "${tier}", "amount": 2}))
    };
    let tell = RuleAction {
        needs: vec!["ask".into()],
        on_failure: OnFailure::Continue,
        ..action("tell", "tell", json!({"with": "{{ steps.ask.result }}"}))
    };
    Rule {
        name: "Premium customer escalation".into(),
        description: "for people".into(),
        priority: Priority::CRITICAL,
        enabled: false,
        required_roles: vec!["support".into(), "boss".into()],
        ..rule("escalation", conditions, vec![ask, tell])
    }
}

#[test]
fn a_document_is_read_with_everything_in_it() {
    let text = r#"
rules:
  - id: escalation
    name: Premium customer escalation
    description: for people
    priority: critical
    enabled: false
    required_roles: [support, boss]
    conditions:
      - {field: tier, operator: in, value: [premium, gold], description: who pays}
      - {field: stock.current, operator: less_than, value: "${stock.limit}"}
    actions:
      - id: ask
        tool: ask
        description: find out
        arguments: {with: "${tier}", amount: 2}
        timeout: 5s
        retry: {attempts: 2, base: 100ms, kinds: [timeout]}
        on_failure: {fallback: [{tool: tell}]}
      - id: tell
        tool: tell
        arguments: {with: "{{ steps.ask.result }}"}
        needs: [ask]
        on_failure: continue
  - id: other
    priority: 7
    conditions: {field: manager, operator: exists}
    actions: [{id: ask, tool: ask}]
"#;
    let exists = test("manager", "exists", json!(true));
    let other = Rule {
        priority: Priority(7),
        ..rule("other", exists, vec![action("ask", "ask", json!({}))])
    };
    let read = read(text, Some(&tools(&["ask", "tell"]))).unwrap();
    assert_eq!(read.set, RuleSet { rules: vec![escalation(), other] });
    assert_eq!(read.warnings, []);
}

#[test]
fn groups_in_groups_keep_their_shape() {
    let read = condition(
        "  any:
    - all:
        - {field: amount, operator: greater_than, value: 10000}
        - {field: risk, operator: greater_than, value: 0.7}
    - all:
        - {field: count, operator: greater_than, value: 5}
        - not: {any: [{field: a, operator: equals, value: 1}, {field: b, operator: exists, value: false}]}
",
    );
    let expected = some([
        all([
            test("amount", "greater_than", json!(10000)),
            test("risk", "greater_than", json!(0.7)),
        ]),
        all([
            test("count", "greater_than", json!(5)),
            not(some([test("a", "equals", json!(1)), test("b", "exists", json!(false))])),
        ]),
    ]);
    assert_eq!(read, expected);
}

#[test]
fn a_single_rule_and_json_are_documents_too() {
    let yaml = with_conditions("  - {field: a, operator: equals, value: 1}");
    let value = json!({
        "rules": [{
            "id": "r",
            "actions": [{"id": "a", "tool": "ask"}],
            "conditions": [{"field": "a", "operator": "equals", "value": 1}],
        }],
    });
    let read = read(&yaml, None).unwrap().set;
    assert_eq!(read_json(&value, None).unwrap().set, read);
    assert_eq!(crate::rules::read::read(&value.to_string(), None).unwrap().set, read);
}

#[test]
fn everything_that_is_wrong_is_told_at_once_with_its_line_and_id() {
    let text = "\
rules:
  - id: first
    priority: hihg
    conditions:
      - {field: a, operator: equal, value: 1}
      - any:
          - {field: b c, operator: eq, value: 1}
          - {field: d, operator: regex, value: '('}
          - {feild: d, operator: equals, value: null}
    actions:
      - id: ask
        tol: ask
  - id: second
    conditions: []
    actions:
      - {id: tell, tool: tel, arguments: {with: '${x', amount: 1}}
      - {id: ask, tool: ask, needs: [tel]}
  - id: second
    conditons: {field: a, operator: exists}
    actions: []
";
    assert_eq!(
        refused(text),
        [
            "line 3: rules.first.priority: must be one of low, medium, high, critical, or a whole \
             number; did you mean `high`?",
            "line 5: rules.first.conditions[0].operator: must be one of equals, not_equals, \
             greater_than, less_than, greater_or_equal, less_or_equal, contains, not_contains, \
             starts_with, ends_with, regex, in, not_in, exists, not `equal`; did you mean `equals`?",
            "line 7: rules.first.conditions[1].any[0].field: `b c` names no field; one is written as \
             in `customer.tier`",
            "line 7: rules.first.conditions[1].any[0].operator: must be one of equals, not_equals, \
             greater_than, less_than, greater_or_equal, less_or_equal, contains, not_contains, \
             starts_with, ends_with, regex, in, not_in, exists, not `eq`; did you mean `equals`?",
            "line 8: rules.first.conditions[1].any[1].value: `(` is not a regular expression: \
             unclosed group",
            "line 9: rules.first.conditions[1].any[2].field: `field` is missing",
            "line 9: rules.first.conditions[1].any[2].feild: there is no field `feild`; did you mean \
             `field`?",
            "line 11: rules.first.actions.ask.tool: `tool` is missing",
            "line 12: rules.first.actions.ask.tol: there is no field `tol`; did you mean `tool`?",
            "line 14: rules.second.conditions: a group of conditions is empty",
            "line 16: rules.second.actions.tell.arguments: `${x` has no `}`",
            "line 18: rules[2].conditions: `conditions` is missing",
            "line 18: rules[2].id: another rule has this id already",
            "line 19: rules[2].conditons: there is no field `conditons`; did you mean `conditions`?",
        ]
    );
}

#[test]
fn what_can_be_read_and_not_be_performed_is_refused_with_its_line() {
    let text = "\
rules:
  - id: a
    conditions: [{field: x, operator: equals, value: 1}]
    actions:
      - {id: tell, tool: tel, arguments: {with: 'x'}}
      - {id: ask, tool: ask, arguments: {with: '{{ steps.tell.result }} {{ name }}'}, needs: [tel]}
      - {id: b_c, tool: ask}
  - id: a_b
    conditions: [{field: x, operator: equals, value: 1}]
    actions:
      - {id: c, tool: ask, on_failure: {route: d}}
      - {id: d, tool: ask}
  - id: a
    conditions: [{field: x, operator: equals, value: 1}]
    actions: [{id: retry, tool: ask}]
";
    let refused = refused(text);
    for expected in [
        "line 5: rules.a.actions.tell.tool: there is no tool `tel`; did you mean `tell`?",
        "line 6: rules.a.actions.ask.needs[0]: there is no step `tel`; did you mean `tell`?",
        "line 6: rules.a.actions.ask.arguments.with: there is no `name`; did you mean `facts.name`?",
        "line 11: rules.a_b.actions.c: its step would be `a_b_c`, as of an action of `a`",
        "line 11: rules.a_b.actions.c.on_failure.route: an action does not go on at another, such as `d`",
        "line 13: rules[2].id: another rule has this id already",
    ] {
        assert!(refused.iter().any(|one| one == expected), "{expected}\n{}", refused.join("\n"));
    }
}

#[test]
fn warnings_come_with_their_lines_and_do_not_refuse() {
    let read = read(
        &with_conditions(
            "  - {field: x, operator: greater_than, value: 5}\n  - {field: x, operator: less_than, value: 3}",
        ),
        None,
    );
    let warnings: Vec<String> = read.unwrap().warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "line 3: warning: rules.r.conditions: `x` greater_than 5 and `x` less_than 3 are never both true"
        ]
    );
}

#[test]
fn documents_that_hold_no_rule_are_refused() {
    assert_eq!(refused("rules: []"), ["line 1: rules: there is no rule in it"]);
    assert_eq!(refused("[1]"), ["line 1: must be a mapping, not a list"]);
    assert_eq!(refused("a: 1")[0], "line 1: rules: `rules` is missing");
    assert_eq!(refused("rules: {}"), ["line 1: rules: must be a list, not a mapping"]);
    assert!(refused("rules: [1]")[0].contains("rules[0]: must be a mapping, not a number"));
}

#[test]
fn a_condition_is_one_thing() {
    let both = "  all: [{field: a, operator: exists}]\n  any: [{field: b, operator: exists}]";
    assert!(
        refused(&with_conditions(both))[0].contains("a condition is one thing, not all and any")
    );
    let extra = "  not: {field: a, operator: exists}\n  operator: exists";
    assert!(refused(&with_conditions(extra))[0].contains("there is no field `operator`"));
}

#[test]
fn fields_of_another_notation_are_refused_with_the_name_they_have_here() {
    let text = "id: r
conditions: [{field: a, operator: gte, value: 1}]
actions:
  - {id: a, framework: ask, parameters: {}, depends_on: [], retry_count: 2, continue_on_error: true}
";
    let refused = refused(text).join("\n");
    for (theirs, ours) in [
        ("framework", "tool"),
        ("parameters", "arguments"),
        ("depends_on", "needs"),
        ("retry_count", "retry"),
        ("continue_on_error", "on_failure"),
    ] {
        let expected = format!("there is no field `{theirs}`; did you mean `{ours}`?");
        assert!(refused.contains(&expected), "{expected}\n{refused}");
    }
    assert!(refused.contains("did you mean `greater_or_equal`?"), "{refused}");
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_with_a_reason(
        lines in prop::collection::vec(
            "( {0,4})(- )?(rules|id|conditions|all|any|not|field|operator|value|actions|tool)?(:)?( [a-z0-9{}$\\[\\]'\"|>&*]{0,6})?",
            0..12,
        ),
    ) {
        match read(&lines.join("\n"), None) {
            Ok(read) => prop_assert!(!read.set.rules.is_empty()),
            Err(findings) => prop_assert!(findings.iter().any(crate::check::Finding::is_error)),
        }
    }
}
