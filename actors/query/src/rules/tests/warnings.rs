//! What is suspicious about rules.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::{action, all, not, rule, some, test};
use crate::plan::Retry;
use crate::rules::check::check;
use crate::rules::condition::Condition;
use crate::rules::evaluate::{Truth, explain};
use crate::rules::rule::{Rule, RuleAction, RuleSet};

fn found(rule: Rule) -> Vec<String> {
    check(&RuleSet { rules: vec![rule] }, None).iter().map(ToString::to_string).collect()
}

fn of(condition: Condition) -> Vec<String> {
    found(rule("r", condition, vec![action("a", "t", json!({}))]))
}

fn sound() -> Rule {
    let condition = all([test("x", "greater_than", json!(3)), test("x", "less_than", json!(5))]);
    rule("r", condition, vec![action("a", "t", json!({}))])
}

#[test]
fn a_sound_rule_raises_nothing() {
    assert_eq!(found(sound()), Vec::<String>::new());
}

#[test]
fn what_grew_too_large_is_said() {
    let long = Rule { name: "x".repeat(101), ..sound() };
    assert_eq!(found(long), ["warning: rules.r.name: has 101 characters, more than 100"]);
    let actions = (0..11).map(|at| action(&format!("a{at}"), "t", json!({}))).collect();
    assert!(
        found(Rule { actions, ..sound() })[0].contains("rules.r.actions: are 11, more than 10")
    );
    let many = (0..21).map(|at| test(&format!("f{at}"), "equals", json!(1))).collect::<Vec<_>>();
    assert!(of(all(many))[0].contains("rules.r.conditions: are 21, more than 20"));
    let slow =
        RuleAction { timeout: Some(Duration::from_secs(301)), ..action("a", "t", json!({})) };
    let stubborn = RuleAction {
        retry: Retry { attempts: 11, ..Retry::default() },
        ..action("b", "t", json!({}))
    };
    let found = found(Rule { actions: vec![slow, stubborn], ..sound() });
    assert!(found[0].contains("actions.a.timeout: an attempt may take 301s"), "{found:?}");
    assert!(found[1].contains("actions.b.retry.attempts: are 11"), "{found:?}");
}

#[test]
fn a_tool_that_does_whatever_it_is_told_is_pointed_out() {
    let found = found(Rule { actions: vec![action("a", "shell", json!({}))], ..sound() });
    assert!(found[0].contains("`shell` does whatever it is told"), "{found:?}");
}

#[test]
fn conditions_that_are_never_both_true_are_found() {
    for (left, right) in [
        (test("x", "equals", json!(1)), test("x", "equals", json!(2))),
        (test("x", "equals", json!(1)), test("x", "equals", json!("1"))),
        (test("x", "equals", json!("a")), test("x", "not_equals", json!("a"))),
        (test("x", "greater_than", json!(5)), test("x", "less_than", json!(3))),
        (test("x", "greater_than", json!(5)), test("x", "less_or_equal", json!(5))),
        (test("x", "equals", json!(9)), test("x", "less_than", json!(3))),
        (test("x", "in", json!(["a", "b"])), test("x", "not_in", json!(["b", "a"]))),
        (test("x", "in", json!(["a", "b"])), test("x", "equals", json!("c"))),
        (test("x", "equals", json!("abc")), test("x", "regex", json!("^b"))),
        (test("x", "contains", json!("a")), test("x", "not_contains", json!("a"))),
        (test("x", "exists", json!(false)), test("x", "greater_than", json!(1))),
        (test("x", "less_than", json!("${y}")), test("x", "greater_or_equal", json!("${y}"))),
    ] {
        for pair in [[left.clone(), right.clone()], [right.clone(), left.clone()]] {
            let found = of(all(pair.clone()));
            assert!(found.iter().any(|one| one.contains("never both true")), "{pair:?}: {found:?}");
            assert_eq!(of(some(pair.clone())).len(), 0, "{pair:?}");
            let nested = of(not(some([all(pair), test("z", "equals", json!(1))])));
            assert_eq!(nested.len(), 1, "{nested:?}");
        }
    }
}

#[test]
fn conditions_that_say_nothing_new_are_found() {
    for (left, right) in [
        (test("x", "greater_than", json!(5)), test("x", "greater_than", json!(3))),
        (test("x", "less_than", json!(3)), test("x", "less_or_equal", json!(3))),
        (test("x", "equals", json!("a")), test("x", "in", json!(["a", "b"]))),
        (test("x", "equals", json!(4)), test("x", "not_equals", json!(5))),
    ] {
        assert!(of(all([left.clone(), right.clone()]))[0].contains("adds nothing"));
        assert!(of(some([right, left]))[0].contains("is true only where"));
    }
    let twice = || test("x", "equals", json!(1));
    assert!(of(all([twice(), twice()]))[0].contains("adds nothing"));
    let group = || all([twice(), test("y", "equals", json!(1))]);
    assert!(of(some([group(), group()]))[0].contains("a group stands twice"));
}

#[test]
fn tests_in_an_inner_all_are_seen_together_with_the_outer() {
    let inner = all([test("x", "less_than", json!(3)), test("y", "equals", json!(1))]);
    let found = of(all([test("x", "greater_than", json!(5)), inner]));
    assert_eq!(found.len(), 1, "{found:?}");
}

fn number_test() -> impl Strategy<Value = Condition> {
    let operators =
        ["equals", "not_equals", "less_than", "greater_than", "less_or_equal", "greater_or_equal"];
    (prop::sample::select(operators.to_vec()), 0..4_i32)
        .prop_map(|(operator, value)| test("x", operator, json!(value)))
}

proptest! {
    #[test]
    fn what_is_called_contradictory_is_true_for_no_number(a in number_test(), b in number_test()) {
        let both = all([a, b]);
        let contradictory = of(both.clone()).iter().any(|one| one.contains("never both true"));
        let halves = (-2..10).map(|half| f64::from(half) / 2.0);
        let possible = halves
            .map(|x| explain(&both, &json!({"x": x})).truth)
            .any(|truth| truth == Truth::True);
        prop_assert_eq!(contradictory, !possible);
    }
}
