//! Conditions that can never be true together, and conditions that say nothing new.

use std::cmp::Ordering;

use serde_json::Value;

use super::compare::order;
use super::condition::{Condition, Operand, Test};
use super::evaluate::passes;
use super::operator::Operator;

/// Something suspicious about a group.
#[derive(Debug)]
pub(super) struct Conflict {
    /// Stable.
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl Conflict {
    fn redundant(message: String) -> Self {
        Self { code: "redundant_conditions", message }
    }
}

/// What is suspicious about the groups of `condition`.
pub(super) fn conflicts(condition: &Condition) -> Vec<Conflict> {
    let mut found = Vec::new();
    match condition {
        Condition::All(parts) => {
            let tests = joined(parts);
            for (left, right) in pairs(&tests) {
                if contradict(left, right) {
                    let message = format!("{left} and {right} are never both true");
                    found.push(Conflict { code: "contradictory_conditions", message });
                } else if implies(left, right) {
                    found.push(Conflict::redundant(format!("{right} adds nothing to {left}")));
                } else if implies(right, left) {
                    found.push(Conflict::redundant(format!("{left} adds nothing to {right}")));
                }
            }
            found.extend(within(parts));
        }
        Condition::Any(parts) => {
            let tests: Vec<&Test> = parts.iter().filter_map(test).collect();
            let covers = |left: &Test, right: &Test| {
                Conflict::redundant(format!("{left} is true only where {right} is, in one `any`"))
            };
            for (left, right) in pairs(&tests) {
                if implies(left, right) {
                    found.push(covers(left, right));
                } else if implies(right, left) {
                    found.push(covers(right, left));
                }
            }
            found.extend(twice(parts));
            found.extend(parts.iter().flat_map(conflicts));
        }
        Condition::Not(part) => found.extend(conflicts(part)),
        Condition::Test(_) => {}
    }
    found
}

/// Of the groups in an `all`; an `all` in it is looked at together with it.
fn within(parts: &[Condition]) -> Vec<Conflict> {
    let inner = |part: &Condition| match part {
        Condition::All(parts) => within(parts),
        Condition::Any(_) | Condition::Not(_) | Condition::Test(_) => conflicts(part),
    };
    let mut found = twice(parts);
    found.extend(parts.iter().flat_map(inner));
    found
}

/// Groups that stand twice; tests that do are found as pairs.
fn twice(parts: &[Condition]) -> Vec<Conflict> {
    let again =
        |(at, part): &(usize, &Condition)| test(part).is_none() && parts[at + 1..].contains(part);
    let message = || "a group stands twice in one group".to_owned();
    parts.iter().enumerate().filter(again).map(|_| Conflict::redundant(message())).collect()
}

/// The tests of an `all` and of each `all` in it.
fn joined(parts: &[Condition]) -> Vec<&Test> {
    parts.iter().flat_map(of_one).collect()
}

fn of_one(part: &Condition) -> Vec<&Test> {
    match part {
        Condition::All(parts) => joined(parts),
        Condition::Test(test) => vec![test],
        Condition::Any(_) | Condition::Not(_) => Vec::new(),
    }
}

fn test(condition: &Condition) -> Option<&Test> {
    match condition {
        Condition::Test(test) => Some(test),
        Condition::All(_) | Condition::Any(_) | Condition::Not(_) => None,
    }
}

/// Pairs of tests of one field.
fn pairs<'a>(tests: &[&'a Test]) -> Vec<(&'a Test, &'a Test)> {
    let mut pairs = Vec::new();
    for (at, left) in tests.iter().enumerate() {
        let later = tests[at + 1..].iter().filter(|right| right.field == left.field);
        pairs.extend(later.map(|right| (*left, *right)));
    }
    pairs
}

/// The only values for which a test passes, if they are known.
fn only(test: &Test) -> Option<&[Value]> {
    let Operand::Value(value) = &test.operand else { return None };
    let values = match test.operator {
        Operator::Equals => std::slice::from_ref(&value.0),
        Operator::In => value.0.as_array()?.as_slice(),
        Operator::NotEquals
        | Operator::LessThan
        | Operator::GreaterThan
        | Operator::LessOrEqual
        | Operator::GreaterOrEqual
        | Operator::Contains
        | Operator::NotContains
        | Operator::StartsWith
        | Operator::EndsWith
        | Operator::Regex
        | Operator::NotIn
        | Operator::Exists => return None,
    };
    // Without regard to case a text stands for many.
    let exact = test.case_sensitive || values.iter().all(Value::is_number);
    exact.then_some(values)
}

fn passes_for(test: &Test, value: &Value) -> Option<bool> {
    match &test.operand {
        Operand::Field(_) => None,
        Operand::Value(right) if test.operator == Operator::Exists => {
            Some(right.0 != Value::Bool(false))
        }
        Operand::Value(right) => Some(passes(test, value, Some(&right.0)) == Ok(true)),
        Operand::Pattern(_) => Some(passes(test, value, None) == Ok(true)),
    }
}

fn contradict(left: &Test, right: &Test) -> bool {
    let none = |values: &[Value], other: &Test| {
        values.iter().all(|value| passes_for(other, value) == Some(false))
    };
    only(left).is_some_and(|values| none(values, right))
        || only(right).is_some_and(|values| none(values, left))
        || excludes(left, right)
        || excludes(right, left)
}

/// Whether `left` and `right` cannot both pass because of their operators.
fn excludes(left: &Test, right: &Test) -> bool {
    let alike = left.operand == right.operand && left.case_sensitive == right.case_sensitive;
    let opposite = opposite(left.operator) == Some(right.operator) && alike;
    let absent = left.operator == Operator::Exists
        && literal(left) == Some(&Value::Bool(false))
        && needs_field(right);
    let apart = match (bound(left), bound(right)) {
        (Some((Side::Lower, low, strict)), Some((Side::Upper, high, also))) => {
            match order(low, high, true) {
                Some(Ordering::Greater) | None => true,
                Some(Ordering::Equal) => strict || also,
                Some(Ordering::Less) => false,
            }
        }
        _ => false,
    };
    opposite || absent || apart
}

fn needs_field(test: &Test) -> bool {
    if test.operator == Operator::Exists {
        return literal(test) != Some(&Value::Bool(false));
    }
    !test.operator.passes_without_field()
}

const fn opposite(operator: Operator) -> Option<Operator> {
    match operator {
        Operator::Equals => Some(Operator::NotEquals),
        Operator::Contains => Some(Operator::NotContains),
        Operator::In => Some(Operator::NotIn),
        Operator::LessThan => Some(Operator::GreaterOrEqual),
        Operator::GreaterThan => Some(Operator::LessOrEqual),
        Operator::NotEquals
        | Operator::NotContains
        | Operator::NotIn
        | Operator::LessOrEqual
        | Operator::GreaterOrEqual
        | Operator::StartsWith
        | Operator::EndsWith
        | Operator::Regex
        | Operator::Exists => None,
    }
}

/// Whether `right` passes wherever `left` does.
fn implies(left: &Test, right: &Test) -> bool {
    if left == right {
        return true;
    }
    if let Some(values) = only(left) {
        return values.iter().all(|value| passes_for(right, value) == Some(true));
    }
    match (bound(left), bound(right)) {
        (Some((side, near, strict)), Some((other, far, also))) if side == other => {
            let inner = match side {
                Side::Lower => Ordering::Greater,
                Side::Upper => Ordering::Less,
            };
            let order = order(near, far, true);
            order == Some(inner) || order == Some(Ordering::Equal) && (strict || !also)
        }
        _ => false,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Lower,
    Upper,
}

/// On which side a test bounds its field, where, and whether without that value itself.
fn bound(test: &Test) -> Option<(Side, &Value, bool)> {
    let (side, strict) = match test.operator {
        Operator::LessThan => (Side::Upper, true),
        Operator::LessOrEqual => (Side::Upper, false),
        Operator::GreaterThan => (Side::Lower, true),
        Operator::GreaterOrEqual => (Side::Lower, false),
        Operator::Equals
        | Operator::NotEquals
        | Operator::Contains
        | Operator::NotContains
        | Operator::StartsWith
        | Operator::EndsWith
        | Operator::Regex
        | Operator::In
        | Operator::NotIn
        | Operator::Exists => return None,
    };
    let value = literal(test)?;
    (test.case_sensitive || value.is_number()).then_some((side, value, strict))
}

fn literal(test: &Test) -> Option<&Value> {
    match &test.operand {
        Operand::Value(value) => Some(&value.0),
        Operand::Field(_) | Operand::Pattern(_) => None,
    }
}
