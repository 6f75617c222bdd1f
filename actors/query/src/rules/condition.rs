//! What must be true of the facts for a rule to fire.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::operator::{Operator, Takes};
use super::pattern::Pattern;
use crate::json::Json;

/// What must be true of the facts. Groups keep the shape in which they were written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Condition {
    /// Every one of these.
    All(Vec<Condition>),
    /// At least one of these.
    Any(Vec<Condition>),
    /// Not this.
    Not(Box<Condition>),
    /// This test passes.
    Test(Test),
}

impl Condition {
    /// Every test in it, from left to right.
    #[must_use]
    pub fn tests(&self) -> Vec<&Test> {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::tests).collect(),
            Self::Not(part) => part.tests(),
            Self::Test(test) => vec![test],
        }
    }

    /// How deeply groups stand in groups; 1 for a test.
    #[must_use]
    pub fn depth(&self) -> usize {
        1 + match self {
            Self::All(parts) | Self::Any(parts) => {
                parts.iter().map(Self::depth).max().unwrap_or_default()
            }
            Self::Not(part) => part.depth(),
            Self::Test(_) => 0,
        }
    }
}

/// Compares one field of the facts with something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Test {
    /// Which field.
    pub field: FieldPath,
    /// How.
    pub operator: Operator,
    /// With what.
    pub operand: Operand,
    /// Whether `A` differs from `a` where text is compared.
    pub case_sensitive: bool,
}

impl Test {
    /// A test as documents write it: text that is all of `${a.b}` refers to another field.
    ///
    /// # Errors
    /// Why `value` cannot stand there, for people.
    pub fn new(
        field: FieldPath,
        operator: Operator,
        value: Value,
        case_sensitive: bool,
    ) -> Result<Self, String> {
        let operand = Operand::new(operator, value, case_sensitive)?;
        Ok(Self { field, operator, operand, case_sensitive })
    }
}

impl fmt::Display for Test {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}` {} ", self.field, self.operator.as_str())?;
        match &self.operand {
            Operand::Value(value) => write!(formatter, "{}", value.0),
            Operand::Field(field) => write!(formatter, "`{field}`"),
            Operand::Pattern(pattern) => write!(formatter, "{pattern:?}"),
        }
    }
}

/// What a field is compared with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Operand {
    /// This value.
    Value(Json),
    /// The value of another field.
    Field(FieldPath),
    /// What the operator `regex` looks for.
    Pattern(Pattern),
}

impl Operand {
    fn new(operator: Operator, value: Value, case_sensitive: bool) -> Result<Self, String> {
        let name = operator.as_str();
        if let Some(path) = value.as_str().and_then(reference) {
            let field = FieldPath::parse(path).ok_or_else(|| format!("`{path}` names no field"))?;
            return match operator.takes() {
                Takes::Pattern | Takes::Flag => Err(format!("`{name}` takes no other field")),
                Takes::Value | Takes::Text | Takes::List | Takes::Ordered => Ok(Self::Field(field)),
            };
        }
        if holds_template(&value) {
            return Err(
                "a value is plain, or all of it is another field as in `${stock.limit}`".into()
            );
        }
        if value.is_null() {
            return Err("nothing equals null; ask with `exists`".into());
        }
        match value.as_str() {
            Some(text) if operator.takes() == Takes::Pattern => {
                Pattern::new(text, case_sensitive).map(Self::Pattern)
            }
            _ if operator.takes().admits(&value) => Ok(Self::Value(Json(value))),
            _ => Err(format!("`{name}` takes {}, not {value}", operator.takes().as_str())),
        }
    }
}

/// The path in `${path}`, if that is all of `text`.
fn reference(text: &str) -> Option<&str> {
    text.trim().strip_prefix("${")?.strip_suffix('}').map(str::trim)
}

fn holds_template(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains("${") || text.contains("{{"),
        Value::Array(items) => items.iter().any(holds_template),
        Value::Object(fields) => fields.values().any(holds_template),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The way to a value in the facts: names of fields, or places in lists from 0, with dots between them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FieldPath(String);

impl FieldPath {
    /// The path that `text` writes, unless it has an empty part, a space or a bracket.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let part = |part: &str| !part.is_empty() && !part.contains(Self::is_foreign);
        text.split('.').all(part).then(|| Self(text.to_owned()))
    }

    fn is_foreign(character: char) -> bool {
        character.is_whitespace() || character.is_control() || "\"'`{}[]()$".contains(character)
    }

    /// The path as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What it leads to in `facts`; `null` counts as nothing.
    #[must_use]
    pub fn of<'a>(&self, facts: &'a Value) -> Option<&'a Value> {
        let step = |at: &'a Value, part: &str| match at {
            Value::Object(fields) => fields.get(part),
            Value::Array(items) => items.get(part.parse::<usize>().ok()?),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        };
        let found = self.0.split('.').try_fold(facts, step)?;
        (!found.is_null()).then_some(found)
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
