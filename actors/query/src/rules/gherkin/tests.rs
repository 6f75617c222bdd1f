//! Sentences that are understood, and those that are refused.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::read;
use crate::rules::condition::{Condition, FieldPath, Test};
use crate::rules::operator::Operator;
use crate::rules::rule::{Priority, Rule, RuleSet};

fn set(text: &str) -> RuleSet {
    read(text, None).unwrap_or_else(|findings| panic!("{findings:#?}")).set
}

fn refused(text: &str) -> Vec<String> {
    let findings = read(text, None).unwrap_err();
    findings.iter().map(ToString::to_string).collect()
}

fn test(field: &str, operator: &str, value: Value) -> Condition {
    let operator = Operator::parse(operator).unwrap();
    let field = FieldPath::parse(field).unwrap();
    Condition::Test(Test::new(field, operator, value, true).unwrap())
}

/// The rule of one scenario with these steps.
fn rule(steps: &str) -> Rule {
    set(&format!("Scenario: one\n{steps}")).rules.remove(0)
}

/// The tests that sentences behind `Given` or `When` make.
fn tests(steps: &str) -> Vec<Condition> {
    let Condition::All(tests) = rule(&format!("{steps}\nThen call note")).condition else {
        panic!()
    };
    tests
}

fn calls(steps: &str) -> Vec<(String, String, Value)> {
    let rule = rule(&format!("Given x is 1\n{steps}"));
    let call = |action: &crate::rules::rule::RuleAction| {
        (action.id.0.clone(), action.call.tool.clone(), action.call.arguments.0.clone())
    };
    rule.actions.iter().map(call).collect()
}

#[test]
fn every_form_of_a_condition_is_understood() {
    for (sentence, expected) in [
        ("the customer tier is \"premium\"", test("customer_tier", "equals", json!("premium"))),
        ("sentiment score is below 0.3", test("sentiment_score", "less_than", json!(0.3))),
        ("the amount is 5", test("amount", "equals", json!(5))),
        ("the account is not \"closed\"", test("account", "not_equals", json!("closed"))),
        ("the flag equals true", test("flag", "equals", json!(true))),
        ("the total exceeds 1e3", test("total", "greater_than", json!(1000.0))),
        ("the total is greater than or equal to -5", test("total", "greater_or_equal", json!(-5))),
        ("the total is at most 5", test("total", "less_or_equal", json!(5))),
        ("the tier is one of \"a\", \"b\" or 'c'", test("tier", "in", json!(["a", "b", "c"]))),
        ("the tier is not in \"a\", or \"b\"", test("tier", "not_in", json!(["a", "b"]))),
        ("the tier is one of ${known.tiers}", test("tier", "in", json!("${known.tiers}"))),
        ("the text contains \"an \\\"x\\\"\"", test("text", "contains", json!("an \"x\""))),
        ("the text does not contain \"x\"", test("text", "not_contains", json!("x"))),
        ("the text starts with 'it'", test("text", "starts_with", json!("it"))),
        ("the text ends with \"x\"", test("text", "ends_with", json!("x"))),
        ("the text matches \"^x+$\"", test("text", "regex", json!("^x+$"))),
        ("the manager exists", test("manager", "exists", json!(true))),
        ("the manager is missing", test("manager", "exists", json!(false))),
        ("more than 2 interactions", test("interactions", "greater_than", json!(2))),
        ("there are fewer than 3 open orders", test("open_orders", "less_than", json!(3))),
        ("exactly 1 order", test("order", "equals", json!(1))),
        (
            "the customer has at least 2 orders",
            test("customer_orders", "greater_or_equal", json!(2)),
        ),
        (
            "the customer's home address is \"x\"",
            test("customer.home_address", "equals", json!("x")),
        ),
        (
            "`a.b-c.0` is above ${limits.max}",
            test("a.b-c.0", "greater_than", json!("${limits.max}")),
        ),
        (
            "transaction.riskScore is above 1",
            test("transaction.riskScore", "greater_than", json!(1)),
        ),
        ("a customer with tier \"gold\"", test("tier", "equals", json!("gold"))),
        ("an order with total above 10", test("total", "greater_than", json!(10))),
    ] {
        assert_eq!(tests(&format!("Given {sentence}")), [expected], "{sentence}");
    }
}

#[test]
fn between_is_two_tests_and_case_can_be_ignored() {
    assert_eq!(
        tests("Given the score is between 1 and 2.5"),
        [test("score", "greater_or_equal", json!(1)), test("score", "less_or_equal", json!(2.5))]
    );
    let [Condition::Test(test)] = &tests("Given the tier is \"GOLD\" ignoring case")[..] else {
        panic!()
    };
    assert!(!test.case_sensitive);
}

#[test]
fn what_happened_is_the_event() {
    assert_eq!(
        tests("When a support ticket is created\nAnd the document has been uploaded"),
        [
            test("event", "equals", json!("support_ticket_created")),
            test("event", "equals", json!("document_uploaded")),
        ]
    );
    assert_eq!(tests("When the event is \"x\""), [test("event", "equals", json!("x"))]);
}

#[test]
fn an_introduced_subject_is_left_out_of_the_names_of_its_fields() {
    assert_eq!(
        tests(
            "Given a customer with tier \"gold\"\nAnd the customer sentiment score is below 1\nAnd the customer has more than 2 orders\nBut the order total is 1"
        ),
        [
            test("tier", "equals", json!("gold")),
            test("sentiment_score", "less_than", json!(1)),
            test("orders", "greater_than", json!(2)),
            test("order_total", "equals", json!(1)),
        ]
    );
    let clash = "Scenario: s
Given a customer with status \"a\"
And an order with status \"b\"
Then call n";
    assert!(refused(clash)[0].starts_with("line 3: `status` is of both customer and order"));
}

#[test]
fn tables_are_tests_and_arguments_and_actions() {
    let steps = r#"
        Given a customer with the following attributes:
          | attribute | value   |
          | tier      | premium |
          | score     | 0.2     |
          | zip       | "8000"  |
          | limit     | ${max}  |
        And the following facts:
          | field | operator    | value    |
          | tags  | contains    | a \| b   |
          | kind  | in          | x, 2, y  |
          | level | less_than   | 5        |"#;
    assert_eq!(
        tests(steps),
        [
            test("tier", "equals", json!("premium")),
            test("score", "equals", json!(0.2)),
            test("zip", "equals", json!("8000")),
            test("limit", "equals", json!("${max}")),
            test("tags", "contains", json!("a | b")),
            test("kind", "in", json!(["x", 2, "y"])),
            test("level", "less_than", json!(5)),
        ]
    );
    let steps = r#"
        Then notify the manager via Mail-Gateway:
          | argument | value |
          | channel  | ops   |
          | level    | 3     |
        And the following actions:
          | tool  | id    | action     | text |
          | crm   |       | mark as VIP | hi  |
          | audit | trail |            |      |"#;
    assert_eq!(
        calls(steps),
        [
            (
                "notify_the_manager".into(),
                "mail_gateway".into(),
                json!({"action": "notify the manager", "channel": "ops", "level": 3})
            ),
            ("mark_as_vip".into(), "crm".into(), json!({"action": "mark as VIP", "text": "hi"})),
            ("trail".into(), "audit".into(), json!({})),
        ]
    );
}

#[test]
fn calls_take_arguments_and_a_second_of_one_name_is_numbered() {
    let steps =
        "Then call notify with channel = \"ops\", level=3 and text = \"{{ facts.name }}, hi\"
And call notify with to = ${manager}
And escalate via tickets with urgent = true";
    assert_eq!(
        calls(steps),
        [
            (
                "notify".into(),
                "notify".into(),
                json!({"channel": "ops", "level": 3, "text": "{{ facts.name }}, hi"})
            ),
            ("notify_2".into(), "notify".into(), json!({"to": "${manager}"})),
            ("escalate".into(), "tickets".into(), json!({"action": "escalate", "urgent": true})),
        ]
    );
}

#[test]
fn a_whole_document_is_read() {
    let text = r#"
# language: en
@low @role:clerk
Feature: Customer service
  As a manager I want rules
  Background:
    Given the event is "ticket"

  Scenario: First, of 2
    Given x is 1   
    Then call a

  @high @role:boss @role:auditor
  Rule: Premium
    for those who pay
    Background:
      Given the tier is "premium"
    @critical @id:mine @disabled
    Example: any name
      Given y is 2
      Then call b
    Example: another
      * y is 3
      Then call c
"#;
    let found = text.replace("      * y is 3", "      Given y is 3\n      * z is 4");
    assert!(refused(text)[0].contains("line 23: what goes on with And or But"));
    let rules = set(&found).rules;
    let heads: Vec<(&str, &str, &str, Priority, bool)> = rules
        .iter()
        .map(|rule| {
            (
                rule.id.as_str(),
                rule.name.as_str(),
                rule.description.as_str(),
                rule.priority,
                rule.enabled,
            )
        })
        .collect();
    assert_eq!(
        heads,
        [
            ("first_of_2", "First, of 2", "Customer service", Priority::LOW, true),
            ("mine", "any name", "Customer service: Premium", Priority::CRITICAL, false),
            ("another", "another", "Customer service: Premium", Priority::HIGH, true),
        ]
    );
    assert_eq!(rules[0].required_roles, ["clerk"]);
    assert_eq!(rules[2].required_roles, ["boss", "auditor"]);
    assert_eq!(
        rules[2].condition,
        Condition::All(vec![
            test("event", "equals", json!("ticket")),
            test("tier", "equals", json!("premium")),
            test("y", "equals", json!(3)),
            test("z", "equals", json!(4)),
        ])
    );
}

#[test]
fn an_outline_is_a_rule_for_each_row() {
    let text = r#"
Scenario Outline: Handling of <tier>
  Given a customer with tier "<tier>"
  And the account value is above <least>
  Then process via <tool>

  @high
  Examples:
    | tier    | least | tool   |
    | premium | 500   | queue  |
    | gold    | 900   | lounge |

  Examples: more
    | tier    | least | tool   |
    | none    | 1     | queue  |
"#;
    let rules = set(text).rules;
    let ids: Vec<&str> = rules.iter().map(|rule| rule.id.as_str()).collect();
    assert_eq!(ids, ["handling_of_premium_1", "handling_of_gold_2", "handling_of_none_3"]);
    assert_eq!((rules[1].priority, rules[2].priority), (Priority::HIGH, Priority::MEDIUM));
    assert_eq!(rules[1].actions[0].call.tool, "lounge");
    assert_eq!(
        rules[1].condition,
        Condition::All(vec![
            test("tier", "equals", json!("gold")),
            test("account_value", "greater_than", json!(900)),
        ])
    );
}

#[test]
fn every_line_that_is_not_understood_is_refused_with_its_number() {
    let text = r#"Feature: f
@critcal
Scenario: s
  some text
  Given an unhappy customer
  And the score is belw 3
  And the tier is premium
  And a premium customer with tier "x"
  And the score is above 10,000
  When a customer uploads a document
  Then analyze the sentiment
  And if it fails use parsing via x
  And analyze and notify via x
  And call notify with
  And call notify with a "b"
  And notify "ops" via x
  And escalate via
  And the customer's
  Given x is 1
"#;
    let refused = refused(text);
    let lines: Vec<String> =
        refused.iter().map(|one| one.split(':').next().unwrap().to_owned()).collect();
    let expected = [2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19];
    assert_eq!(lines, expected.map(|line| format!("line {line}")), "{refused:#?}");
    assert!(refused[0].contains("`@critcal` says nothing; tags are @critical"));
    assert!(refused[4].contains("text stands in quotes"), "{}", refused[4]);
}

#[test]
fn documents_with_parts_in_the_wrong_place_are_refused() {
    for (text, line, expected) in [
        ("", 1, "there is no scenario"),
        ("Given x is 1", 1, "a step stands in a scenario"),
        ("| a |", 1, "a table stands under a step"),
        ("Scenario: s\n| a |", 2, "a table stands under a step"),
        ("Scenario: s\nThen call a", 1, "no step with Given or When"),
        ("Scenario: s\nGiven x is 1", 1, "no step with Then"),
        ("Scenario: s\nGiven x is 1\nThen call a\n| a", 4, "begins and ends with `|`"),
        ("Scenario: s\nGiven x is 1\n| a |\nThen call a", 3, "a table stands under `a thing"),
        ("Scenario: s\nGiven the following facts:\nThen call a", 2, "a table follows"),
        (
            "Scenario: s\nGiven x is 1\nThen call a\n\"\"\"\nGiven y is 1\n\"\"\"",
            4,
            "text between quotes",
        ),
        ("Scenario: s\nGiven x is 1\nThen call a\n@high", 4, "tags stand before"),
        ("Scenario Outline: s\nGiven x is 1\nThen call a", 1, "an outline has examples"),
        ("Scenario: 1\nGiven x is 1\nThen call a", 1, "the name makes no id"),
        ("# language: de\nScenario: s\nGiven x is 1\nThen call a", 1, "only English"),
        ("Feature: a\nBackground:\nThen call a", 3, "a background has conditions only"),
        ("Scenario: s\nGiven x is 1\nThen call a\nBackground:", 4, "before the scenarios"),
        ("Scenario: s\nFeature: a", 2, "one feature, at its beginning"),
        ("Examples:", 1, "examples stand behind"),
        ("@high @low\nScenario: s\nGiven x is 1\nThen call a", 1, "the second priority"),
        ("Scenario: s\nGiven x is 1\nThen call a with b = 1, b = 2", 3, "given twice"),
        ("Scenario: s\nGiven if x is 1 and y is 2\nThen call a", 2, "is no name of a field"),
        ("Scenario: s\nGiven an x with y that is above 1\nThen call a", 2, "is no name of a field"),
        ("Scenario: s\nGiven the \"x is 1\nThen call a", 2, "are not closed"),
        (
            "Scenario: s\nGiven x is 1\nThen call a\nScenario: S\nGiven x is 1\nThen call a",
            4,
            "line 1 has a rule `s` already",
        ),
    ] {
        let refused = refused(text);
        let begins = format!("line {line}: ");
        let found = refused.iter().any(|one| one.starts_with(&begins) && one.contains(expected));
        assert!(found, "{text}\n{refused:#?}");
    }
}

#[test]
fn outlines_refuse_unknown_and_unused_columns() {
    let text = "Scenario: s
Given x is <a>
Then call <c>
Examples:
| a | b |
| 1 | 2 |
| 3 |
";
    let refused = refused(text);
    assert!(refused.contains(&"line 3: the examples have no column `c`".to_owned()), "{refused:?}");
    assert!(refused.contains(&"line 5: the column `b` is used by no step as `<b>`".to_owned()));
    assert!(refused.contains(&"line 7: the table has 2 columns, this row 1".to_owned()));
}

#[test]
fn rules_are_checked_like_those_of_other_documents() {
    let tools = crate::rules::tests::tools(&["notify"]);
    let text = "\nScenario: s\nGiven x is 1\nAnd x is 2\nThen call notfy";
    let findings = read(text, Some(&tools)).unwrap_err();
    let findings: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert_eq!(
        findings,
        [
            "line 2: warning: rules.s.conditions: `x` equals 1 and `x` equals 2 are never both true",
            "line 2: rules.s.actions.notfy.tool: there is no tool `notfy`; did you mean `notify`?",
        ]
    );
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_without_a_panic(text in "\\PC{0,80}") {
        let steps = format!("Scenario: s\nGiven {text}\nThen {text}\n{text}");
        prop_assert!(read(&text, None).is_err());
        drop(read(&steps, None));
    }

    #[test]
    fn any_words_are_read_or_refused_and_no_line_is_lost(
        sentences in prop::collection::vec(sentence(), 1..6),
    ) {
        let steps: String = sentences.iter().map(|one| format!("And {one}\n")).collect();
        let text = format!("Scenario: s\nGiven first is 1\n{steps}Then call n");
        match read(&text, None) {
            Ok(read) => {
                let tests = read.set.rules[0].condition.tests().len();
                prop_assert!(tests > sentences.len(), "{tests} tests of\n{text}");
            }
            Err(findings) => prop_assert!(findings.iter().all(|one| one.line.is_some())),
        }
    }
}

fn sentence() -> impl Strategy<Value = String> {
    let words = [
        "a",
        "the",
        "customer",
        "with",
        "tier",
        "is",
        "not",
        "below",
        "above",
        "between",
        "and",
        "or",
        "one",
        "of",
        "in",
        "1",
        "2.5",
        "\"x\"",
        "'y'",
        "`z`",
        "${a.b}",
        ",",
        "has",
        "more",
        "than",
        "at",
        "least",
        "contains",
        "does",
        "contain",
        "exists",
        "there",
        "are",
        "ignoring",
        "case",
        "the following facts:",
        "customer's",
    ];
    prop::collection::vec(prop::sample::select(words.to_vec()), 1..8)
        .prop_map(|words| words.join(" "))
}
