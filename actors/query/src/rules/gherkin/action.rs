//! Sentences behind `Then`.

use serde_json::{Map, Value};

use super::Mistake;
use super::comparison::quote;
use super::document::{Row, Step};
use super::words::{Token, cell, slug, tokens};
use crate::json::Json;
use crate::plan::ToolCall;
use crate::rules::rule::RuleAction;

/// The argument that takes what is to be done by a tool that does several things.
const ACTION: &str = "action";

/// Words that make one sentence of two, or put a condition on it: either would be lost in an argument.
const CONJUNCTIONS: [&str; 12] = [
    "and",
    "or",
    "if",
    "unless",
    "when",
    "else",
    "otherwise",
    "then",
    "before",
    "after",
    "but",
    "until",
];

/// The actions of `step`.
pub(super) fn read(step: &Step) -> Result<Vec<RuleAction>, Vec<Mistake>> {
    let one = |message: String| vec![Mistake::new(step.line, message)];
    let tokens = tokens(&step.text).map_err(one)?;
    let tokens = match tokens.as_slice() {
        [rest @ .., Token::Sign(':')] => rest,
        all => all,
    };
    if let [the, following, actions, ..] = tokens
        && the.is("the")
        && following.is("following")
        && actions.is("actions")
    {
        return of_table(step, &tokens[3..]);
    }
    let (id, mut call) = sentence(step, tokens).map_err(one)?;
    add_table(&step.table, &mut call)?;
    Ok(vec![action(id, call.tool, call.arguments)])
}

struct Call {
    tool: String,
    arguments: Map<String, Value>,
}

fn action(id: String, tool: String, arguments: Map<String, Value>) -> RuleAction {
    RuleAction::new(id, ToolCall { tool, arguments: Json(Value::Object(arguments)) })
}

fn sentence(step: &Step, tokens: &[Token]) -> Result<(String, Call), String> {
    let with = tokens.iter().position(|token| token.is("with"));
    let (what, given) = match with {
        Some(at) => (&tokens[..at], Some(&tokens[at + 1..])),
        None => (tokens, None),
    };
    let mut arguments = match given {
        Some([]) if step.table.is_empty() => return Err("arguments are missing".to_owned()),
        Some(given) => arguments(given)?,
        None => Map::new(),
    };
    if let [call, name @ ..] = what
        && call.is("call")
    {
        let tool = name_of(name, "a tool")?;
        return Ok((tool.clone(), Call { tool, arguments }));
    }
    let by = what.iter().rposition(|token| token.is("via") || token.is("using"));
    let Some(at) = by.filter(|at| *at > 0) else {
        return Err(format!(
            "`{}` is not understood; say which tool does it, as in `escalate via tickets` or \
             `call tickets with action = \"escalate\"`",
            step.text
        ));
    };
    let (phrase, tool) = (&what[..at], &what[at + 1..]);
    let id = name_of(phrase, "an action")?;
    if arguments.contains_key(ACTION) {
        return Err(format!("`{ACTION}` is said twice, before the tool and behind `with`"));
    }
    let words: Vec<&str> = phrase.iter().filter_map(Token::word).collect();
    arguments.insert(ACTION.to_owned(), Value::from(words.join(" ")));
    Ok((id, Call { tool: name_of(tool, "a tool")?, arguments }))
}

/// The name that words make.
fn name_of(tokens: &[Token], what: &str) -> Result<String, String> {
    let words: Option<Vec<&str>> = tokens.iter().map(Token::word).collect();
    let words = words.filter(|words| !words.is_empty()).ok_or_else(|| {
        format!("{what} is named by words; {} says more; put values behind `with`", quote(tokens))
    })?;
    let joins = |word: &&&str| CONJUNCTIONS.contains(&word.to_lowercase().as_str());
    if let Some(word) = words.iter().find(joins) {
        let words = words.join(" ");
        return Err(format!(
            "`{word}` in `{words}` says more than one thing; write a step for each"
        ));
    }
    let refused = || format!("`{}` does not make the name of {what}", words.join(" "));
    slug(words.iter().copied()).ok_or_else(refused)
}

/// `a = 1, b = "x" and c = ${y}`.
fn arguments(tokens: &[Token]) -> Result<Map<String, Value>, String> {
    let mut arguments = Map::new();
    let mut rest = tokens;
    while !rest.is_empty() {
        let (name, value, after) = match rest {
            [Token::Word(name), Token::Sign('='), value, after @ ..] => {
                (name, value.value(), after)
            }
            other => return Err(format!("arguments are `name = value`, not {}", quote(other))),
        };
        let value = value.ok_or_else(|| {
            format!("the value of `{name}` is no number, no text in quotes and no `${{field}}`")
        })?;
        if arguments.insert(name.clone(), value).is_some() {
            return Err(format!("the argument `{name}` is given twice"));
        }
        rest = match after {
            [] => after,
            [separator, more @ ..]
                if !more.is_empty() && (*separator == Token::Sign(',') || separator.is("and")) =>
            {
                more
            }
            other => return Err(format!("a comma stands between arguments, not {}", quote(other))),
        };
    }
    Ok(arguments)
}

/// Adds the arguments in a table under the sentence.
fn add_table(table: &[Row], call: &mut Call) -> Result<(), Vec<Mistake>> {
    let Some((header, rows)) = table.split_first() else { return Ok(()) };
    let names: Vec<&str> = header.cells.iter().map(String::as_str).collect();
    if !matches!(names.as_slice(), ["argument", "value"]) || rows.is_empty() {
        let message = "the columns of a table of arguments are `argument` and `value`";
        return Err(vec![Mistake::new(header.line, message)]);
    }
    let mut mistakes = Vec::new();
    for row in rows {
        let [name, value] = row.cells.as_slice() else { continue };
        if name.is_empty() || call.arguments.insert(name.clone(), cell(value)).is_some() {
            let message = format!("the argument `{name}` is given twice or has no name");
            mistakes.push(Mistake::new(row.line, message));
        }
    }
    if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
}

/// An action for each row of a table: the tool, perhaps an id, and arguments by their columns.
fn of_table(step: &Step, rest: &[Token]) -> Result<Vec<RuleAction>, Vec<Mistake>> {
    if !rest.is_empty() {
        let message =
            format!("nothing is understood behind `the following actions`: {}", quote(rest));
        return Err(vec![Mistake::new(step.line, message)]);
    }
    let Some((header, rows)) = step.table.split_first().filter(|(_, rows)| !rows.is_empty()) else {
        return Err(vec![Mistake::new(step.line, "a table of actions follows")]);
    };
    if !header.cells.iter().any(|name| name == "tool") {
        let message = "a table of actions has a column `tool`; others are `id` and arguments";
        return Err(vec![Mistake::new(header.line, message)]);
    }
    let (mut actions, mut mistakes) = (Vec::new(), Vec::new());
    for row in rows {
        match of_row(header, row) {
            Ok(action) => actions.push(action),
            Err(message) => mistakes.push(Mistake::new(row.line, message)),
        }
    }
    if mistakes.is_empty() { Ok(actions) } else { Err(mistakes) }
}

fn of_row(header: &Row, row: &Row) -> Result<RuleAction, String> {
    let (mut tool, mut id, mut arguments) = (None, None, Map::new());
    for (name, text) in header.cells.iter().zip(&row.cells).filter(|(_, text)| !text.is_empty()) {
        match name.as_str() {
            "" => return Err(format!("the column of `{text}` has no name")),
            "tool" => tool = slug(text.split_whitespace()),
            "id" => id = Some(text.clone()),
            _ => {
                arguments.insert(name.clone(), cell(text));
            }
        }
    }
    let tool = tool.ok_or("the row names no tool")?;
    let said = arguments.get(ACTION).and_then(Value::as_str);
    let named = said.and_then(|said| slug(said.split_whitespace()));
    let id = id.or(named).unwrap_or_else(|| tool.clone());
    Ok(action(id, tool, arguments))
}
