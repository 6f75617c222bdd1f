//! How a value of the facts is compared with another. Never an error: what cannot be compared is said so.

use std::cmp::Ordering;

use serde_json::Value;

use super::operator::Operator;
use crate::number;

/// The characters of a value that an explanation shows.
const SHOWN: usize = 60;

/// Whether `operator` passes for `left` and `right`, or why they cannot be compared.
///
/// Numbers compare as numbers, whatever their notation; text compares as text, by code points, so that dates
/// of ISO 8601 have their order; elements of lists and values in objects are compared like values.
pub(super) fn compare(
    operator: Operator,
    left: &Value,
    right: &Value,
    case_sensitive: bool,
) -> Result<bool, String> {
    let text = |test: fn(&str, &str) -> bool| match (left.as_str(), right.as_str()) {
        (Some(left), Some(right)) if case_sensitive => Ok(test(left, right)),
        (Some(left), Some(right)) => Ok(test(&folded(left), &folded(right))),
        (None, _) | (_, None) => Err(unlike(operator, left, right)),
    };
    let order = || order(left, right, case_sensitive).ok_or_else(|| unlike(operator, left, right));
    let equal = || match kind(left) == kind(right) {
        true => Ok(same(left, right, case_sensitive)),
        false => Err(unlike(operator, left, right)),
    };
    let within = |items: Option<&Vec<Value>>, item: &Value| match items {
        Some(items) => Ok(items.iter().any(|each| same(each, item, case_sensitive))),
        None => Err(unlike(operator, left, right)),
    };
    let contains = || match left {
        Value::String(_) => text(|left, right| left.contains(right)),
        Value::Array(_) => within(left.as_array(), right),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            Err(unlike(operator, left, right))
        }
    };
    match operator {
        Operator::Equals => equal(),
        Operator::NotEquals => equal().map(|passes| !passes),
        Operator::LessThan => order().map(Ordering::is_lt),
        Operator::GreaterThan => order().map(Ordering::is_gt),
        Operator::LessOrEqual => order().map(Ordering::is_le),
        Operator::GreaterOrEqual => order().map(Ordering::is_ge),
        Operator::Contains => contains(),
        Operator::NotContains => contains().map(|passes| !passes),
        Operator::StartsWith => text(|left, right| left.starts_with(right)),
        Operator::EndsWith => text(|left, right| left.ends_with(right)),
        Operator::In => within(right.as_array(), left),
        Operator::NotIn => within(right.as_array(), left).map(|passes| !passes),
        Operator::Regex | Operator::Exists => Err(unlike(operator, left, right)),
    }
}

/// Which of two numbers or two texts comes first.
pub(super) fn order(left: &Value, right: &Value, case_sensitive: bool) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => Some(number::order(left, right)),
        (Value::String(left), Value::String(right)) if case_sensitive => Some(left.cmp(right)),
        (Value::String(left), Value::String(right)) => Some(folded(left).cmp(&folded(right))),
        _ => None,
    }
}

/// `text` without regard to case: capitals, and what stands for the same at the end of a word or in one letter,
/// such as `ς` and `ß`, are the small letters that they have in common.
fn folded(text: &str) -> String {
    text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// Whether two values are the same; values of two types never are.
pub(crate) fn same(left: &Value, right: &Value, case_sensitive: bool) -> bool {
    match (left, right) {
        (Value::Number(_), Value::Number(_)) | (Value::String(_), Value::String(_)) => {
            order(left, right, case_sensitive).is_some_and(Ordering::is_eq)
        }
        (Value::Array(left), Value::Array(right)) => {
            let mut pairs = left.iter().zip(right);
            left.len() == right.len() && pairs.all(|(a, b)| same(a, b, case_sensitive))
        }
        (Value::Object(left), Value::Object(right)) => {
            let other = |name: &String| right.get(name);
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(name, a)| other(name).is_some_and(|b| same(a, b, case_sensitive)))
        }
        _ => left == right,
    }
}

fn unlike(operator: Operator, left: &Value, right: &Value) -> String {
    let (name, left, right) = (operator.as_str(), kind(left), kind(right));
    format!("{left} and {right} cannot be compared by {name}")
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A value for people, cut where it gets long.
pub(super) fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
