//! Sentences behind `Given` and `When`.

use serde_json::Value;

use super::Mistake;
use super::comparison::{self, Asks, Comparison, find, find_bare, of_number, quote};
use super::document::{Row, Step, StepKind};
use super::words::{Names, Token, cell, slug, tokens, without_article};
use crate::rules::condition::{Condition, FieldPath, Test};
use crate::rules::operator::Operator;

/// The field that says what happened.
const EVENT: &str = "event";

/// What can have happened to something.
const PARTICIPLES: [&str; 20] = [
    "added",
    "cancelled",
    "changed",
    "closed",
    "completed",
    "created",
    "deleted",
    "failed",
    "opened",
    "paid",
    "placed",
    "processed",
    "received",
    "removed",
    "requested",
    "started",
    "submitted",
    "triggered",
    "updated",
    "uploaded",
];

/// The conditions of `step`.
pub(super) fn read(step: &Step, names: &mut Names) -> Result<Vec<Condition>, Vec<Mistake>> {
    let one = |message: String| vec![Mistake::new(step.line, message)];
    let tokens = tokens(&step.text).map_err(one)?;
    let tokens = match tokens.as_slice() {
        [rest @ .., Token::Sign(':')] => rest,
        all => all,
    };
    if is_of_table(tokens) {
        if let Some((noun, _)) = Names::introduced(tokens).filter(|(noun, _)| noun.len() != 1) {
            return Err(one(format!(
                "{} is more than one word; say the rest in the table",
                quote(noun)
            )));
        }
        return of_table(step);
    }
    if let Some(row) = step.table.first() {
        let message = "a table stands under `a thing with the following attributes:` or `the following facts:`";
        return Err(vec![Mistake::new(row.line, message)]);
    }
    sentence(step, tokens, names).map_err(one)
}

fn is_of_table(tokens: &[Token]) -> bool {
    let [rest @ .., the, following, what] = tokens else { return false };
    let known = ["attributes", "facts", "conditions"].iter().any(|word| what.is(word));
    let begins =
        rest.is_empty() || Names::introduced(tokens).is_some_and(|(_, after)| after.len() == 3);
    known && the.is("the") && following.is("following") && begins
}

fn sentence(step: &Step, tokens: &[Token], names: &mut Names) -> Result<Vec<Condition>, String> {
    if let Some(happened) = event(tokens).filter(|_| step.kind == StepKind::When) {
        let field = FieldPath::parse(EVENT).ok_or("the event has no name")?;
        return comparison::tests(
            field,
            Asks::Operator(Operator::Equals),
            &[Token::Text(happened?)],
        );
    }
    if let Some((noun, rest)) = Names::introduced(tokens) {
        let Comparison { left, asks, right } =
            find_bare(rest).ok_or_else(|| not_understood(step))?;
        return comparison::tests(names.attribute(noun, left)?, asks, right);
    }
    if let Some((field, operator, number)) = count(tokens) {
        let field = names.field(&field)?;
        return comparison::tests(field, Asks::Operator(operator), &[number]);
    }
    let Comparison { left, asks, right } = find(tokens).ok_or_else(|| not_understood(step))?;
    comparison::tests(names.field(left)?, asks, right)
}

fn not_understood(step: &Step) -> String {
    let hint = match step.kind {
        StepKind::When => {
            "; say what happened as in `When a document is uploaded` or `When the event is \"x\"`"
        }
        StepKind::Given | StepKind::Then => {
            "; say what is compared as in `the score is below 0.3` or `a customer with tier \"x\"`"
        }
    };
    format!("`{}` is not understood{hint}", step.text)
}

/// What happened: `a support ticket is created`.
fn event(tokens: &[Token]) -> Option<Result<String, String>> {
    let [noun @ .., participle] = tokens else { return None };
    if !PARTICIPLES.iter().any(|known| participle.is(known)) {
        return None;
    }
    let noun = match noun {
        [rest @ .., has, been] if been.is("been") && (has.is("has") || has.is("have")) => rest,
        [rest @ .., is] if ["is", "are", "was", "were"].iter().any(|word| is.is(word)) => rest,
        _ => return None,
    };
    let words: Option<Vec<&str>> =
        without_article(noun).iter().chain([participle]).map(Token::word).collect();
    let words = words.filter(|words| words.len() > 1)?;
    Some(slug(words).ok_or_else(|| format!("{} makes no name of an event", quote(noun))))
}

/// `[there are] more than 2 interactions` or `the customer has more than 2 orders`: the words of the field, and
/// how the number is compared.
fn count(tokens: &[Token]) -> Option<(Vec<Token>, Operator, Token)> {
    let has = |token: &Token| token.is("has") || token.is("have") || token.is("had");
    let (owner, rest) = match tokens {
        [there, are, rest @ ..] if there.is("there") && (are.is("are") || are.is("is")) => {
            (&tokens[..0], rest)
        }
        all => match all.iter().position(has) {
            Some(at) => (&all[..at], &all[at + 1..]),
            None => (&all[..0], all),
        },
    };
    let (operator, length) = of_number(rest)?;
    let (number, things) = rest[length..].split_first()?;
    let is_number = number.value().is_some_and(|value| value.is_number());
    if !is_number || things.is_empty() {
        return None;
    }
    Some((owner.iter().chain(things).cloned().collect(), operator, number.clone()))
}

/// A test for each row of a table.
fn of_table(step: &Step) -> Result<Vec<Condition>, Vec<Mistake>> {
    let Some((header, rows)) = step.table.split_first().filter(|(_, rows)| !rows.is_empty()) else {
        let message = "a table follows, with the columns `attribute` and `value`";
        return Err(vec![Mistake::new(step.line, message)]);
    };
    let names: Vec<&str> = header.cells.iter().map(String::as_str).collect();
    let with_operator = match names.as_slice() {
        ["attribute" | "field", "value"] => false,
        ["attribute" | "field", "operator", "value"] => true,
        _ => {
            let message =
                "the columns are `attribute` (or `field`), perhaps `operator`, and `value`";
            return Err(vec![Mistake::new(header.line, message)]);
        }
    };
    let (mut conditions, mut mistakes) = (Vec::new(), Vec::new());
    for row in rows {
        match of_row(row, with_operator) {
            Ok(test) => conditions.push(Condition::Test(test)),
            Err(message) => mistakes.push(Mistake::new(row.line, message)),
        }
    }
    if mistakes.is_empty() { Ok(conditions) } else { Err(mistakes) }
}

fn of_row(row: &Row, with_operator: bool) -> Result<Test, String> {
    let (field, operator, value) = match row.cells.as_slice() {
        [field, operator, value] if with_operator => (field, operator.as_str(), value),
        [field, value] => (field, "equals", value),
        _ => return Err("the row has other columns than the table".to_owned()),
    };
    let known = || {
        let names: Vec<&str> = Operator::NAMED.iter().map(|(name, _)| *name).collect();
        format!("there is no operator `{operator}`; there are {}", names.join(", "))
    };
    let parsed = Operator::parse(operator).ok_or_else(known)?;
    let field = FieldPath::parse(field).ok_or_else(|| format!("`{field}` names no field"))?;
    let value = match parsed {
        Operator::In | Operator::NotIn if !value.starts_with("${") => {
            Value::Array(value.split(',').map(|item| cell(item.trim())).collect())
        }
        Operator::Contains
        | Operator::NotContains
        | Operator::StartsWith
        | Operator::EndsWith
        | Operator::Regex
            if !value.starts_with(['"', '\'']) =>
        {
            Value::from(value.clone())
        }
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
        | Operator::Regex
        | Operator::In
        | Operator::NotIn
        | Operator::Exists => cell(value),
    };
    if value.as_str().is_some_and(str::is_empty) {
        return Err("a value is missing; empty text is `\"\"`".to_owned());
    }
    Test::new(field, parsed, value, true)
}
