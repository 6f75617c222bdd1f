//! Three-valued conditions.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{all, always, not, rule, some, test};
use crate::rules::check::MAX_DEPTH;
use crate::rules::condition::{Condition, FieldPath, Test};
use crate::rules::evaluate::{Truth, Verdict, evaluate, explain};
use crate::rules::operator::Operator;
use crate::rules::pattern::Pattern;
use crate::rules::rule::{Rule, RuleSet};
use crate::rules::{check, compare};

const TRUTHS: [Truth; 3] = [Truth::True, Truth::False, Truth::Unknown];

fn truth(condition: &Condition, facts: Value) -> Truth {
    explain(condition, &facts).truth
}

#[test]
fn unknown_is_decided_only_by_what_makes_it_irrelevant() {
    assert_eq!(Truth::Unknown.and(Truth::False), Truth::False);
    assert_eq!(Truth::Unknown.or(Truth::True), Truth::True);
    for other in [Truth::True, Truth::Unknown] {
        assert_eq!(Truth::Unknown.and(other), Truth::Unknown);
    }
    for other in [Truth::False, Truth::Unknown] {
        assert_eq!(Truth::Unknown.or(other), Truth::Unknown);
    }
    assert_eq!(Truth::Unknown.not(), Truth::Unknown);
}

#[test]
fn the_laws_of_kleene_hold_for_every_three_truths() {
    for a in TRUTHS {
        assert_eq!(a.not().not(), a);
        assert_eq!((a.and(a), a.or(a)), (a, a));
        for b in TRUTHS {
            assert_eq!((a.and(b), a.or(b)), (b.and(a), b.or(a)));
            assert_eq!(a.and(b).not(), a.not().or(b.not()));
            assert_eq!(a.or(a.and(b)), a);
            for c in TRUTHS {
                assert_eq!(a.and(b).and(c), a.and(b.and(c)));
                assert_eq!(a.and(b.or(c)), a.and(b).or(a.and(c)));
            }
        }
    }
    // What is unknown is neither so nor otherwise: the one law of two values that does not hold.
    assert_eq!(Truth::Unknown.or(Truth::Unknown.not()), Truth::Unknown);
}

#[test]
fn a_large_whole_number_is_not_its_neighbour_in_another_notation() {
    let facts = json!({"n": 9_007_199_254_740_993_i64});
    let neighbour = json!(9_007_199_254_740_992.0);
    assert_eq!(truth(&test("n", "equals", neighbour.clone()), facts.clone()), Truth::False);
    assert_eq!(truth(&test("n", "greater_than", neighbour), facts), Truth::True);
}

#[test]
fn case_is_no_matter_in_any_script() {
    for (written, asked) in [("ΟΔΟΣ", "οδος"), ("Straße", "STRASSE"), ("ÉCOLE", "école")]
    {
        let fits = |operator: &str| {
            let field = FieldPath::parse("t").unwrap();
            let operator = Operator::parse(operator).unwrap();
            let test = Test::new(field, operator, json!(asked), false).unwrap();
            truth(&Condition::Test(test), json!({"t": written}))
        };
        assert_eq!(fits("equals"), Truth::True, "{written}");
        assert_eq!(fits("contains"), Truth::True, "{written}");
    }
}

#[test]
fn numbers_compare_as_numbers_whatever_their_notation() {
    assert_eq!(truth(&test("n", "equals", json!(1)), json!({"n": 1.0})), Truth::True);
    assert_eq!(truth(&test("n", "less_than", json!(10)), json!({"n": 9.5})), Truth::True);
    assert_eq!(truth(&test("n", "less_or_equal", json!(10)), json!({"n": 10})), Truth::True);
    assert_eq!(truth(&test("n", "greater_or_equal", json!(10)), json!({"n": 9})), Truth::False);
    let large = json!(9_007_199_254_740_993_i64);
    assert_eq!(
        truth(&test("n", "greater_than", json!(9_007_199_254_740_992_i64)), json!({"n": large})),
        Truth::True
    );
}

#[test]
fn text_is_not_taken_for_a_number() {
    for operator in ["equals", "not_equals", "less_than", "greater_or_equal"] {
        let explanation = explain(&test("n", operator, json!(5)), &json!({"n": "5"}));
        assert_eq!(explanation.truth, Truth::Unknown, "{operator}");
        assert!(
            explanation.found.contains("text and a number cannot be compared"),
            "{explanation}"
        );
    }
    assert_eq!(truth(&test("n", "in", json!([5, 6])), json!({"n": "5"})), Truth::False);
}

#[test]
fn text_compares_by_its_characters_with_or_without_case() {
    let date = test("due", "less_than", json!("2026-02-01"));
    assert_eq!(truth(&date, json!({"due": "2026-01-31"})), Truth::True);
    let field = || FieldPath::parse("tier").unwrap();
    for (operator, value) in [
        (Operator::Equals, json!("GOLD")),
        (Operator::In, json!(["GOLD"])),
        (Operator::StartsWith, json!("GO")),
        (Operator::Contains, json!("OL")),
        (Operator::Regex, json!("^GOLD$")),
    ] {
        for (case_sensitive, expected) in [(true, Truth::False), (false, Truth::True)] {
            let test = Test::new(field(), operator, value.clone(), case_sensitive).unwrap();
            assert_eq!(truth(&Condition::Test(test), json!({"tier": "gold"})), expected);
        }
    }
}

#[test]
fn lists_are_asked_for_elements_and_text_for_parts() {
    let facts = json!({"tags": ["vip", 7], "text": "an error occurred"});
    assert_eq!(truth(&test("tags", "contains", json!("vip")), facts.clone()), Truth::True);
    assert_eq!(truth(&test("tags", "contains", json!(7.0)), facts.clone()), Truth::True);
    assert_eq!(truth(&test("tags", "not_contains", json!("vi")), facts.clone()), Truth::True);
    assert_eq!(truth(&test("text", "contains", json!("error")), facts.clone()), Truth::True);
    assert_eq!(truth(&test("text", "not_contains", json!("error")), facts.clone()), Truth::False);
    assert_eq!(truth(&test("tags.0", "equals", json!("vip")), facts), Truth::True);
}

#[test]
fn a_regular_expression_is_anchored_only_if_it_says_so() {
    let facts = json!({"text": "an error occurred"});
    assert_eq!(truth(&test("text", "regex", json!("err[o]r")), facts.clone()), Truth::True);
    assert_eq!(truth(&test("text", "regex", json!("^error")), facts.clone()), Truth::False);
    assert_eq!(truth(&test("text", "regex", json!("^an .*red$")), facts), Truth::True);
}

#[test]
fn a_regular_expression_that_would_take_too_much_is_refused() {
    assert!(Pattern::new("(a{100}){100}{100}", true).unwrap_err().contains("size"));
    assert!(Pattern::new(r"^[\w.+-]+@[\w-]+(\.[\w-]+)+$", true).unwrap().matches("a@b.c").unwrap());
    assert!(Pattern::new("a", true).unwrap().matches(&"x".repeat(100_000)).is_err());
    assert!(Pattern::new("a(", true).unwrap_err().contains("unclosed group"));
}

#[test]
fn a_missing_field_is_unknown_and_named_but_passes_where_something_is_not_so() {
    for (name, operator) in Operator::NAMED {
        let value = match operator {
            Operator::In | Operator::NotIn => json!(["a"]),
            Operator::Exists => json!(true),
            Operator::Equals
            | Operator::NotEquals
            | Operator::LessThan
            | Operator::GreaterThan
            | Operator::LessOrEqual
            | Operator::GreaterOrEqual
            | Operator::Contains
            | Operator::NotContains
            | Operator::StartsWith
            | Operator::EndsWith
            | Operator::Regex => json!("a"),
        };
        for facts in [json!({}), json!({"x": null}), json!({"x": {}})] {
            let path = if facts["x"].is_object() { "x.y" } else { "x" };
            let verdict = evaluate(&rule("r", test(path, name, value.clone()), vec![]), &facts);
            if operator == Operator::Exists {
                assert!(matches!(verdict, Verdict::DoesNotFire { .. }), "{verdict:?}");
            } else if ["not_equals", "not_contains", "not_in"].contains(&name) {
                assert_eq!(verdict, Verdict::Fires, "{name}");
            } else {
                let Verdict::Unknown { missing, .. } = verdict else { panic!("{name}") };
                assert_eq!(missing, [path], "{name}");
            }
        }
    }
    assert_eq!(truth(&test("x", "exists", json!(false)), json!({"x": null})), Truth::True);
}

#[test]
fn a_field_that_is_compared_with_a_missing_one_is_unknown_whatever_the_operator() {
    for operator in ["equals", "not_equals", "less_than", "not_in", "contains"] {
        let explanation =
            explain(&test("country", operator, json!("${home}")), &json!({"country": "CH"}));
        assert_eq!(explanation.truth, Truth::Unknown, "{operator}");
        assert_eq!(explanation.missing.as_deref(), Some("home"));
    }
}

#[test]
fn not_of_what_is_unknown_does_not_fire() {
    let verdict = evaluate(&rule("r", not(test("x", "equals", json!(1))), vec![]), &json!({}));
    assert!(matches!(verdict, Verdict::Unknown { .. }), "{verdict:?}");
}

#[test]
fn only_the_tests_that_decided_are_given_as_reasons() {
    let condition = all([
        test("a", "equals", json!(1)),
        some([test("b", "equals", json!(1)), test("c", "equals", json!(1))]),
        test("d", "equals", json!(1)),
    ]);
    let verdict = |facts| evaluate(&rule("r", condition.clone(), vec![]), &facts);
    let false_one = verdict(json!({"a": 1, "b": 1, "d": 2}));
    assert_eq!(false_one, Verdict::DoesNotFire { why: vec!["`d` equals 1: it is 2".to_owned()] });
    let Verdict::Unknown { missing, why } = verdict(json!({"a": 1, "b": 2})) else { panic!() };
    assert_eq!(missing, ["c", "d"]);
    assert_eq!(why.len(), 2);
}

#[test]
fn an_explanation_shows_every_test_with_what_was_found() {
    let condition =
        some([test("score", "less_than", json!(0.3)), not(test("x", "exists", json!(true)))]);
    let shown = explain(&condition, &json!({"score": 0.5, "x": 1})).to_string();
    assert_eq!(
        shown,
        "false: any of\n  false: `score` less_than 0.3 (it is 0.5)\n  false: not\n    \
         true: `x` exists true (it is there)"
    );
}

#[test]
fn a_rule_that_is_not_enabled_does_not_fire() {
    let rule = Rule { enabled: false, ..always("r", vec![]) };
    assert_eq!(
        evaluate(&rule, &json!({})),
        Verdict::DoesNotFire { why: vec!["it is not enabled".to_owned()] }
    );
}

#[test]
fn values_that_no_test_could_pass_with_are_refused() {
    for (operator, value) in [
        (Operator::Equals, json!(null)),
        (Operator::Equals, json!("a ${b}")),
        (Operator::Equals, json!("{{ facts.b }}")),
        (Operator::In, json!("a")),
        (Operator::In, json!(["${a}"])),
        (Operator::LessThan, json!(true)),
        (Operator::StartsWith, json!(1)),
        (Operator::Regex, json!("${b}")),
        (Operator::Exists, json!("yes")),
        (Operator::Equals, json!("${a b}")),
    ] {
        let field = FieldPath::parse("x").unwrap();
        assert!(Test::new(field, operator, value.clone(), true).is_err(), "{operator:?} {value}");
    }
}

#[test]
fn groups_that_are_too_deep_or_empty_are_refused() {
    let deep = (0..MAX_DEPTH).fold(test("x", "exists", json!(true)), |inner, _| not(inner));
    let actions = || vec![super::action("a", "t", json!({}))];
    let found = |condition| {
        let rules = vec![rule("r", condition, actions())];
        check::check(&RuleSet { rules }, None)[0].to_string()
    };
    let message = found(deep);
    assert!(message.contains("deep"), "{message}");
    for empty in [all([]), not(some([]))] {
        assert!(found(empty).contains("empty"));
    }
}

#[test]
fn a_set_is_the_same_after_it_was_stored() {
    let condition = some([
        all([test("a", "regex", json!("^x+$")), test("b", "less_than", json!("${c.d}"))]),
        not(test("e", "in", json!([1, "two", {"three": 3}]))),
    ]);
    let rule = rule("r", condition, vec![super::action("a", "t", json!({"with": "${x}"}))]);
    let set = RuleSet { rules: vec![rule] };
    let stored = perennial_store::encode(&set).unwrap();
    assert_eq!(perennial_store::decode::<RuleSet>(&stored).unwrap(), set);
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-cA-C0-9${}. ]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-c]", inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn operator() -> impl Strategy<Value = Operator> {
    prop::sample::select(Operator::NAMED.map(|(_, operator)| operator).to_vec())
}

fn anything() -> impl Strategy<Value = Condition> {
    let test = ("[a-c](\\.[a-c0])?", operator(), value(), any::<bool>());
    let leaf = test.prop_filter_map("no test", |(field, operator, value, case)| {
        let field = FieldPath::parse(&field)?;
        Test::new(field, operator, value, case).ok().map(Condition::Test)
    });
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Condition::All),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Condition::Any),
            inner.prop_map(|part| Condition::Not(Box::new(part))),
        ]
    })
}

proptest! {
    #[test]
    fn any_condition_on_any_facts_has_a_verdict_without_a_panic(
        condition in anything(), facts in value(),
    ) {
        let explanation = explain(&condition, &facts);
        let verdict = evaluate(&rule("r", condition, vec![]), &facts);
        prop_assert_eq!(verdict == Verdict::Fires, explanation.truth == Truth::True);
        prop_assert!(!explanation.to_string().is_empty());
    }

    #[test]
    fn de_morgan_holds_for_any_conditions(a in anything(), b in anything(), facts in value()) {
        let left = not(all([a.clone(), b.clone()]));
        let right = some([not(a), not(b)]);
        prop_assert_eq!(explain(&left, &facts).truth, explain(&right, &facts).truth);
    }

    #[test]
    fn more_facts_never_turn_what_is_known_around(condition in anything(), facts in value()) {
        // Tests that pass for what is not there are no statements about the world, so they are left out.
        let steady = condition.tests().iter().all(|test| {
            !test.operator.passes_without_field() && test.operator != Operator::Exists
        });
        let Some(fields) = facts.as_object().filter(|_| steady) else { return Ok(()) };
        let all = explain(&condition, &facts).truth;
        for name in fields.keys() {
            let mut fewer = fields.clone();
            fewer.remove(name);
            let some = explain(&condition, &Value::Object(fewer)).truth;
            prop_assert!(some == all || some == Truth::Unknown);
        }
    }

    #[test]
    fn comparing_is_symmetric(a in value(), b in value(), case in any::<bool>()) {
        prop_assert_eq!(compare::same(&a, &b, case), compare::same(&b, &a, case));
        prop_assert!(compare::same(&a, &a, case));
        let (there, back) = (compare::order(&a, &b, case), compare::order(&b, &a, case));
        prop_assert_eq!(there, back.map(std::cmp::Ordering::reverse));
    }

    #[test]
    fn any_text_as_a_pattern_is_compiled_or_refused(text in ".{0,30}") {
        if let Ok(pattern) = Pattern::new(&text, false) {
            prop_assert!(pattern.matches(&text).is_ok());
        }
    }
}
