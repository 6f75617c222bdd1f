//! Conditions on rows.

use std::cmp::Ordering;

use regex::Regex;
use serde_json::Value;

use super::order::{compare, same};
use super::table::{Row, field};

/// Every operator, by name.
const OPERATORS: [(&str, Operator); 16] = [
    ("eq", Operator::Equal),
    ("ne", Operator::NotEqual),
    ("lt", Operator::Less),
    ("le", Operator::LessOrEqual),
    ("gt", Operator::Greater),
    ("ge", Operator::GreaterOrEqual),
    ("in", Operator::In),
    ("not_in", Operator::NotIn),
    ("contains", Operator::Contains),
    ("not_contains", Operator::NotContains),
    ("starts_with", Operator::StartsWith),
    ("ends_with", Operator::EndsWith),
    ("matches", Operator::Matches),
    ("exists", Operator::Exists),
    ("is_null", Operator::IsNull),
    ("not_null", Operator::NotNull),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    NotIn,
    Contains,
    NotContains,
    StartsWith,
    EndsWith,
    Matches,
    Exists,
    IsNull,
    NotNull,
}

/// `field operator value`. A field that is not there satisfies only what is said of absence: the negated
/// operators and `is_null`.
#[derive(Debug)]
struct Condition {
    field: String,
    operator: Operator,
    value: Value,
    pattern: Option<Regex>,
}

/// Conditions of which all, or any, must hold.
#[derive(Debug)]
pub(super) struct Conditions {
    all: Vec<Condition>,
    any: bool,
}

impl Conditions {
    /// Reads a list of objects of `field`, `operator` (`eq` if there is none) and `value`.
    ///
    /// # Errors
    /// Which one is none, and why.
    pub(super) fn read(list: &[Value], any: bool) -> Result<Self, String> {
        let read = |(at, value)| read(value).map_err(|why| format!("where[{at}] {why}"));
        let all: Result<Vec<Condition>, String> = list.iter().enumerate().map(read).collect();
        Ok(Self { all: all?, any })
    }

    /// Whether they hold of `row`. Without a condition, every row is taken.
    pub(super) fn hold(&self, row: &Row) -> bool {
        let mut held = self.all.iter().map(|condition| condition.holds(row));
        if self.any && !self.all.is_empty() { held.any(|held| held) } else { held.all(|held| held) }
    }
}

fn read(value: &Value) -> Result<Condition, String> {
    let object = value.as_object().ok_or("must be an object of `field`, `operator` and `value`")?;
    let known = ["field", "operator", "value"];
    if let Some(unknown) = object.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(format!("has an unknown key `{unknown}`; it takes {}", known.join(", ")));
    }
    let field = object.get("field").and_then(Value::as_str).ok_or("needs `field`, a name")?;
    let name = match object.get("operator") {
        None => "eq",
        Some(operator) => operator.as_str().ok_or("needs `operator` to be text")?,
    };
    let operator =
        OPERATORS.iter().find(|(known, _)| *known == name).map(|(_, operator)| *operator);
    let operator = operator.ok_or_else(|| {
        let known: Vec<&str> = OPERATORS.iter().map(|(name, _)| *name).collect();
        format!("has the unknown operator `{name}`; known are {}", known.join(", "))
    })?;
    let value = object.get("value").cloned();
    let pattern = check(operator, name, value.as_ref())?;
    let value = value.unwrap_or_default();
    Ok(Condition { field: field.to_owned(), operator, value, pattern })
}

/// Whether `value` is of a type that the operator takes.
fn check(operator: Operator, name: &str, value: Option<&Value>) -> Result<Option<Regex>, String> {
    let needs = |what: &str, right: bool| {
        if right { Ok(None) } else { Err(format!("needs `value`, {what}, for `{name}`")) }
    };
    match operator {
        Operator::Exists | Operator::IsNull | Operator::NotNull => {
            if value.is_some() {
                return Err(format!("takes no `value` for `{name}`"));
            }
            Ok(None)
        }
        Operator::In | Operator::NotIn => needs("a list", value.is_some_and(Value::is_array)),
        Operator::StartsWith | Operator::EndsWith => {
            needs("text", value.is_some_and(Value::is_string))
        }
        Operator::Matches => {
            let pattern = value.and_then(Value::as_str).unwrap_or_default();
            needs("a regular expression", !pattern.is_empty())?;
            Regex::new(pattern)
                .map(Some)
                .map_err(|error| format!("has a regular expression that is none: {error}"))
        }
        Operator::Equal
        | Operator::NotEqual
        | Operator::Less
        | Operator::LessOrEqual
        | Operator::Greater
        | Operator::GreaterOrEqual
        | Operator::Contains
        | Operator::NotContains => needs("what is compared with", value.is_some()),
    }
}

impl Condition {
    fn holds(&self, row: &Row) -> bool {
        let Some(found) = field(row, &self.field) else {
            return match self.operator {
                Operator::NotEqual | Operator::NotIn | Operator::NotContains | Operator::IsNull => {
                    true
                }
                Operator::Equal
                | Operator::Less
                | Operator::LessOrEqual
                | Operator::Greater
                | Operator::GreaterOrEqual
                | Operator::In
                | Operator::Contains
                | Operator::StartsWith
                | Operator::EndsWith
                | Operator::Matches
                | Operator::Exists
                | Operator::NotNull => false,
            };
        };
        let value = &self.value;
        let order = || compare(found, value);
        let text = |test: fn(&str, &str) -> bool| {
            found.as_str().zip(value.as_str()).is_some_and(|(found, value)| test(found, value))
        };
        match self.operator {
            Operator::Equal => same(found, value),
            Operator::NotEqual => !same(found, value),
            Operator::Less => order() == Some(Ordering::Less),
            Operator::LessOrEqual => order().is_some_and(Ordering::is_le),
            Operator::Greater => order() == Some(Ordering::Greater),
            Operator::GreaterOrEqual => order().is_some_and(Ordering::is_ge),
            Operator::In => holds_one(value, found),
            Operator::NotIn => !holds_one(value, found),
            Operator::Contains => {
                text(|found, value| found.contains(value)) || holds_one(found, value)
            }
            Operator::NotContains => {
                !text(|found, value| found.contains(value)) && !holds_one(found, value)
            }
            Operator::StartsWith => text(|found, value| found.starts_with(value)),
            Operator::EndsWith => text(|found, value| found.ends_with(value)),
            Operator::Matches => found
                .as_str()
                .zip(self.pattern.as_ref())
                .is_some_and(|(found, pattern)| pattern.is_match(found)),
            Operator::Exists => true,
            Operator::IsNull => found.is_null(),
            Operator::NotNull => !found.is_null(),
        }
    }
}

fn holds_one(list: &Value, value: &Value) -> bool {
    list.as_array().is_some_and(|list| list.iter().any(|one| same(one, value)))
}
