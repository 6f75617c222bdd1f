//! How sentences compare a field with values.

use serde_json::Value;

use super::words::Token;
use crate::rules::condition::{Condition, FieldPath, Test};
use crate::rules::operator::Operator;

/// What a phrase asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    /// For one value, or a list of them if the operator takes a list.
    Operator(Operator),
    /// For two values, from one to the other.
    Between,
    /// For none: whether the field is there.
    Presence(bool),
}

const COPULAS: [&str; 4] = ["is", "are", "was", "were"];

/// What stands behind `is`.
const RELATIONS: [(&str, Asks); 31] = [
    ("not", Asks::Operator(Operator::NotEquals)),
    ("exactly", Asks::Operator(Operator::Equals)),
    ("equal to", Asks::Operator(Operator::Equals)),
    ("not equal to", Asks::Operator(Operator::NotEquals)),
    ("below", Asks::Operator(Operator::LessThan)),
    ("under", Asks::Operator(Operator::LessThan)),
    ("less than", Asks::Operator(Operator::LessThan)),
    ("lower than", Asks::Operator(Operator::LessThan)),
    ("fewer than", Asks::Operator(Operator::LessThan)),
    ("above", Asks::Operator(Operator::GreaterThan)),
    ("over", Asks::Operator(Operator::GreaterThan)),
    ("greater than", Asks::Operator(Operator::GreaterThan)),
    ("more than", Asks::Operator(Operator::GreaterThan)),
    ("higher than", Asks::Operator(Operator::GreaterThan)),
    ("at least", Asks::Operator(Operator::GreaterOrEqual)),
    ("no less than", Asks::Operator(Operator::GreaterOrEqual)),
    ("not below", Asks::Operator(Operator::GreaterOrEqual)),
    ("greater than or equal to", Asks::Operator(Operator::GreaterOrEqual)),
    ("at most", Asks::Operator(Operator::LessOrEqual)),
    ("no more than", Asks::Operator(Operator::LessOrEqual)),
    ("not above", Asks::Operator(Operator::LessOrEqual)),
    ("less than or equal to", Asks::Operator(Operator::LessOrEqual)),
    ("between", Asks::Between),
    ("one of", Asks::Operator(Operator::In)),
    ("in", Asks::Operator(Operator::In)),
    ("not one of", Asks::Operator(Operator::NotIn)),
    ("not in", Asks::Operator(Operator::NotIn)),
    ("present", Asks::Presence(true)),
    ("known", Asks::Presence(true)),
    ("missing", Asks::Presence(false)),
    ("not present", Asks::Presence(false)),
];

/// What stands by itself.
const VERBS: [(&str, Asks); 13] = [
    ("equals", Asks::Operator(Operator::Equals)),
    ("does not equal", Asks::Operator(Operator::NotEquals)),
    ("exceeds", Asks::Operator(Operator::GreaterThan)),
    ("contains", Asks::Operator(Operator::Contains)),
    ("includes", Asks::Operator(Operator::Contains)),
    ("does not contain", Asks::Operator(Operator::NotContains)),
    ("does not include", Asks::Operator(Operator::NotContains)),
    ("starts with", Asks::Operator(Operator::StartsWith)),
    ("begins with", Asks::Operator(Operator::StartsWith)),
    ("ends with", Asks::Operator(Operator::EndsWith)),
    ("matches", Asks::Operator(Operator::Regex)),
    ("exists", Asks::Presence(true)),
    ("does not exist", Asks::Presence(false)),
];

/// A comparison in a sentence.
#[derive(Debug)]
pub(super) struct Comparison<'a> {
    /// What stands before it.
    pub(super) left: &'a [Token],
    /// What it asks.
    pub(super) asks: Asks,
    /// What stands behind it.
    pub(super) right: &'a [Token],
}

/// The first comparison of a sentence.
pub(super) fn find(tokens: &[Token]) -> Option<Comparison<'_>> {
    (1..tokens.len()).find_map(|at| {
        let (left, rest) = tokens.split_at(at);
        if COPULAS.iter().any(|copula| rest[0].is(copula)) {
            let (asks, length) =
                longest(&RELATIONS, &rest[1..]).unwrap_or((Asks::Operator(Operator::Equals), 0));
            return Some(Comparison { left, asks, right: &rest[1 + length..] });
        }
        let (asks, length) = longest(&VERBS, rest)?;
        Some(Comparison { left, asks, right: &rest[length..] })
    })
}

/// The relation of an attribute, as in `with amount above 10` and `with tier "x"`.
pub(super) fn find_bare(tokens: &[Token]) -> Option<Comparison<'_>> {
    find(tokens).or_else(|| {
        (1..tokens.len()).find_map(|at| {
            let (left, rest) = tokens.split_at(at);
            match longest(&RELATIONS, rest) {
                Some((asks, length)) => Some(Comparison { left, asks, right: &rest[length..] }),
                None => rest[0].value().map(|_| Comparison {
                    left,
                    asks: Asks::Operator(Operator::Equals),
                    right: rest,
                }),
            }
        })
    })
}

/// The comparison of a number of things, as in `more than 2`, and its length.
pub(super) fn of_number(tokens: &[Token]) -> Option<(Operator, usize)> {
    match longest(&RELATIONS, tokens)? {
        (Asks::Operator(operator), length) => match operator {
            Operator::Equals
            | Operator::LessThan
            | Operator::GreaterThan
            | Operator::LessOrEqual
            | Operator::GreaterOrEqual => Some((operator, length)),
            Operator::NotEquals
            | Operator::Contains
            | Operator::NotContains
            | Operator::StartsWith
            | Operator::EndsWith
            | Operator::Regex
            | Operator::In
            | Operator::NotIn
            | Operator::Exists => None,
        },
        (Asks::Between | Asks::Presence(_), _) => None,
    }
}

/// The longest of `phrases` that `tokens` begin with, and its words.
fn longest(phrases: &[(&str, Asks)], tokens: &[Token]) -> Option<(Asks, usize)> {
    let begins = |phrase: &str| {
        let words: Vec<&str> = phrase.split(' ').collect();
        let all = words.len() <= tokens.len()
            && words.iter().zip(tokens).all(|(word, token)| token.is(word));
        all.then_some(words.len())
    };
    let found = phrases.iter().filter_map(|(phrase, asks)| Some((*asks, begins(phrase)?)));
    found.max_by_key(|(_, length)| *length)
}

/// The tests that a comparison of `field` with what `right` writes makes.
///
/// # Errors
/// Why `right` is not what the comparison takes.
pub(super) fn tests(
    field: FieldPath,
    asks: Asks,
    right: &[Token],
) -> Result<Vec<Condition>, String> {
    let (right, case_sensitive) = match right {
        [rest @ .., ignoring, case] if ignoring.is("ignoring") && case.is("case") => (rest, false),
        all => (all, true),
    };
    let test = |operator, value| {
        Test::new(field.clone(), operator, value, case_sensitive).map(Condition::Test)
    };
    match asks {
        Asks::Presence(there) => match right {
            [] => Ok(vec![test(Operator::Exists, Value::Bool(there))?]),
            more => Err(format!("nothing is understood behind it, as {}", quote(more))),
        },
        Asks::Between => {
            let (low, high) = match right {
                [low, and, high] if and.is("and") => (one(low)?, one(high)?),
                other => return Err(format!("`between` takes `1 and 2`, not {}", quote(other))),
            };
            let from = test(Operator::GreaterOrEqual, low)?;
            Ok(vec![from, test(Operator::LessOrEqual, high)?])
        }
        Asks::Operator(operator @ (Operator::In | Operator::NotIn)) => {
            Ok(vec![test(operator, list(right)?)?])
        }
        Asks::Operator(operator) => match right {
            [token] => Ok(vec![test(operator, one(token)?)?]),
            [] => Err("a value is missing".to_owned()),
            more => Err(format!("one value stands there, not {}", quote(more))),
        },
    }
}

fn one(token: &Token) -> Result<Value, String> {
    token.value().ok_or_else(|| {
        let token = quote(std::slice::from_ref(token));
        format!("{token} is no value; text stands in quotes, another field is `${{name}}`")
    })
}

/// Values with commas, `or`, `and` between them; or another field that is a list.
fn list(tokens: &[Token]) -> Result<Value, String> {
    if let [Token::Reference(field)] = tokens {
        return Ok(Value::from(field.clone()));
    }
    let (mut values, mut expected) = (Vec::new(), true);
    for token in tokens {
        let separates = *token == Token::Sign(',') || token.is("or") || token.is("and");
        match (separates, expected) {
            (true, false) => expected = true,
            (false, true) => {
                values.push(one(token)?);
                expected = false;
            }
            // `, or` separates once.
            (true, true) if !values.is_empty() && *token != Token::Sign(',') => {}
            (true, true) | (false, false) => {
                return Err(format!("a list is `\"a\", \"b\"`, not {}", quote(tokens)));
            }
        }
    }
    if expected { Err("a value is missing".to_owned()) } else { Ok(Value::Array(values)) }
}

/// Tokens as they were written, more or less.
pub(super) fn quote(tokens: &[Token]) -> String {
    let show = |token: &Token| match token {
        Token::Word(text) | Token::Reference(text) => text.clone(),
        Token::Text(text) => format!("\"{text}\""),
        Token::Field(text) => format!("`{text}`"),
        Token::Sign(sign) => sign.to_string(),
    };
    format!("`{}`", tokens.iter().map(show).collect::<Vec<_>>().join(" "))
}
