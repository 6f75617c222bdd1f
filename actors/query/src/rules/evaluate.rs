//! Whether a rule fires: three-valued logic after Kleene (1938), for facts are seldom complete.
//!
//! A test of a field that is not there is **unknown**, and so is a comparison of values that have no order
//! or equality, such as a number and text. Three operators say that something is *not* so, and pass for a
//! field that is not there: `not_equals`, `not_contains` and `not_in`. `exists` is never unknown. Where the
//! field is compared with another field and that one is not there, the test is unknown whatever the operator.
//! `null` counts as not there.
//!
//! A rule fires only when its condition is true. Unknown does not fire, and says which fields are missing;
//! `not` of unknown is unknown, so that a gap in the facts never makes a rule fire behind its author's back.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::compare::{compare, shown};
use super::condition::{Condition, FieldPath, Operand, Test};
use super::operator::Operator;
use super::rule::Rule;

/// What is known of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Truth {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// The facts do not tell.
    Unknown,
}

impl Truth {
    /// True if both are; false if one is.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::False, _) | (_, Self::False) => Self::False,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::True, Self::True) => Self::True,
        }
    }

    /// True if one is; false if both are.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        self.not().and(other.not()).not()
    }

    /// The opposite; unknown stays unknown.
    #[must_use]
    pub const fn not(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            Self::Unknown => Self::Unknown,
        }
    }

    /// For people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "true",
            Self::False => "false",
            Self::Unknown => "unknown",
        }
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// Whether a rule fires on some facts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Its condition is true.
    Fires,
    /// Its condition is false, or it is not enabled.
    DoesNotFire {
        /// The tests that made it so, with what was found.
        why: Vec<String>,
    },
    /// The facts do not tell; it does not fire.
    Unknown {
        /// The fields without which it cannot be told, each once.
        missing: Vec<String>,
        /// The tests that cannot be decided, with the reasons.
        why: Vec<String>,
    },
    /// Its condition is true, but whoever gave the facts has none of its roles; it does not fire.
    Denied {
        /// The roles of which one is needed.
        required: Vec<String>,
    },
}

/// For people, behind the name of a rule.
impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fires => formatter.write_str("fires"),
            Self::DoesNotFire { why } => write!(formatter, "does not fire: {}", why.join("; ")),
            Self::Unknown { why, .. } => {
                write!(formatter, "does not fire, for the facts do not tell: {}", why.join("; "))
            }
            Self::Denied { required } => {
                write!(formatter, "may be fired by the roles {} only", required.join(", "))
            }
        }
    }
}

/// What became of a condition and of each of its parts: what a dry run shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The test, or the kind of group.
    pub what: String,
    /// What came of it.
    pub truth: Truth,
    /// What was found; empty for a group.
    pub found: String,
    /// The field without which a test cannot be decided.
    pub missing: Option<String>,
    /// The parts of a group.
    pub parts: Vec<Explanation>,
}

impl Explanation {
    fn group(what: &str, truth: Truth, parts: Vec<Self>) -> Self {
        Self { what: what.to_owned(), truth, found: String::new(), missing: None, parts }
    }

    /// The tests that decided: those whose groups, all the way up, came out as they did because of them.
    fn deciding(&self) -> Vec<&Self> {
        if self.parts.is_empty() {
            return vec![self];
        }
        let only = self.parts.len() == 1;
        let decides = |part: &&Self| only || part.truth == self.truth;
        self.parts.iter().filter(decides).flat_map(Self::deciding).collect()
    }

    fn write(&self, formatter: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        let indent = "  ".repeat(depth);
        write!(formatter, "{indent}{}: {}", self.truth.as_str(), self.what)?;
        if !self.found.is_empty() {
            write!(formatter, " ({})", self.found)?;
        }
        for part in &self.parts {
            writeln!(formatter)?;
            part.write(formatter, depth + 1)?;
        }
        Ok(())
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(formatter, 0)
    }
}

/// Whether `rule` fires on `facts`, roles aside.
#[must_use]
pub fn evaluate(rule: &Rule, facts: &Value) -> Verdict {
    if !rule.enabled {
        return Verdict::DoesNotFire { why: vec!["it is not enabled".to_owned()] };
    }
    let explanation = explain(&rule.condition, facts);
    let deciding = explanation.deciding();
    let say = |part: &&Explanation| format!("{}: {}", part.what, part.found);
    let why = || deciding.iter().map(say).collect();
    match explanation.truth {
        Truth::True => Verdict::Fires,
        Truth::False => Verdict::DoesNotFire { why: why() },
        Truth::Unknown => {
            let mut missing: Vec<String> = Vec::new();
            for name in deciding.iter().filter_map(|part| part.missing.clone()) {
                if !missing.contains(&name) {
                    missing.push(name);
                }
            }
            Verdict::Unknown { missing, why: why() }
        }
    }
}

/// What becomes of `condition`, and of every part of it, on `facts`. An empty `all` is true, an empty `any`
/// false.
#[must_use]
pub fn explain(condition: &Condition, facts: &Value) -> Explanation {
    let every = |parts: &[Condition]| -> Vec<Explanation> {
        parts.iter().map(|part| explain(part, facts)).collect()
    };
    match condition {
        Condition::All(parts) => {
            let parts = every(parts);
            let truth = parts.iter().fold(Truth::True, |truth, part| truth.and(part.truth));
            Explanation::group("all of", truth, parts)
        }
        Condition::Any(parts) => {
            let parts = every(parts);
            let truth = parts.iter().fold(Truth::False, |truth, part| truth.or(part.truth));
            Explanation::group("any of", truth, parts)
        }
        Condition::Not(part) => {
            let part = explain(part, facts);
            Explanation::group("not", part.truth.not(), vec![part])
        }
        Condition::Test(test) => {
            let (truth, found, missing) = try_on(test, facts);
            let missing = missing.map(FieldPath::to_string);
            Explanation { what: test.to_string(), truth, found, missing, parts: Vec::new() }
        }
    }
}

/// What comes of a test, what was found, and what was missing if that is why nothing is known.
fn try_on<'a>(test: &'a Test, facts: &Value) -> (Truth, String, Option<&'a FieldPath>) {
    let missing =
        |field: &'a FieldPath| (Truth::Unknown, format!("`{field}` is missing"), Some(field));
    let left = test.field.of(facts);
    let right = match &test.operand {
        Operand::Value(value) => Some(&value.0),
        Operand::Pattern(_) => None,
        Operand::Field(field) => match field.of(facts) {
            Some(value) => Some(value),
            None => return missing(field),
        },
    };
    if test.operator == Operator::Exists {
        let wanted = right != Some(&Value::Bool(false));
        let found = if left.is_some() { "it is there" } else { "it is missing" };
        return (Truth::from(left.is_some() == wanted), found.to_owned(), None);
    }
    let Some(left) = left else {
        if test.operator.passes_without_field() {
            return (Truth::True, "it is missing".to_owned(), None);
        }
        return missing(&test.field);
    };
    let beside = match &test.operand {
        Operand::Field(field) => {
            format!(", `{field}` is {}", right.map(shown).unwrap_or_default())
        }
        Operand::Value(_) | Operand::Pattern(_) => String::new(),
    };
    let found = format!("it is {}{beside}", shown(left));
    match passes(test, left, right) {
        Ok(passes) => (Truth::from(passes), found, None),
        Err(why) => (Truth::Unknown, format!("{found}; {why}"), None),
    }
}

/// Whether `test` passes for a field that is `left`, or why it cannot be told; `right` is the value of its
/// operand, which a pattern has none of.
pub(super) fn passes(test: &Test, left: &Value, right: Option<&Value>) -> Result<bool, String> {
    match (&test.operand, right) {
        (Operand::Pattern(pattern), _) => match left.as_str() {
            Some(text) => pattern.matches(text),
            None => Err("only text can match a regular expression".to_owned()),
        },
        (Operand::Value(_) | Operand::Field(_), Some(right)) => {
            compare(test.operator, left, right, test.case_sensitive)
        }
        (Operand::Value(_) | Operand::Field(_), None) => Err("nothing to compare with".to_owned()),
    }
}
