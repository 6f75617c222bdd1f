//! Queries for people.

use serde_json::Value;

use crate::cli::show::{harmless, items, text};
use crate::table::Table;

/// The longest result that is shown in a table, in characters.
const LONGEST: usize = 60;

pub(super) fn list(answer: &Value) -> String {
    let head = ["ID", "NAME", "TYPE", "BY", "STATUS", "OUTCOME", "ACCEPTED", "REASON"];
    let mut table = Table::new(&head);
    for row in items(&answer["items"]) {
        table.row([
            text(&row["id"]),
            text(&row["name"]),
            text(&row["type"]),
            text(&row["by"]),
            text(&row["status"]),
            text(&row["outcome"]),
            text(&row["accepted_at"]),
            text(&row["reason"]),
        ]);
    }
    match answer["next"].as_str() {
        Some(next) => format!("{table}\nmore may follow: --after {next}"),
        None => table.to_string(),
    }
}

pub(super) fn document(query: &Value) -> String {
    let mut shown = format!(
        "{}  {}  {}",
        text(&query["id"]),
        text(&query["name"]),
        query["outcome"].as_str().unwrap_or_else(|| query["status"].as_str().unwrap_or_default()),
    );
    for (name, value) in [("", &query["reason"]), ("\n", &query["answer"]["text"])] {
        if let Some(line) = value.as_str().filter(|line| !line.is_empty()) {
            shown = format!("{shown}\n{name}{line}");
        }
    }
    let mut table = Table::new(&["STEP", "STATUS", "ATTEMPTS", "SECONDS", "RESULT"]);
    for step in items(&query["steps"]) {
        table.row([
            text(&step["id"]),
            text(&step["status"]),
            text(&step["attempts"]),
            step["duration_seconds"].as_f64().map_or_else(String::new, |s| format!("{s:.3}")),
            came_of(step),
        ]);
    }
    shown = format!("{shown}\n\n{table}");
    let outputs = query["outputs"].as_object().into_iter().flatten();
    for (name, value) in outputs {
        shown = format!("{shown}\n{name} = {value}");
    }
    for warning in items(&query["warnings"]) {
        shown = format!("{shown}\nwarning: {}", text(warning));
    }
    harmless(&shown)
}

/// The answer to a question and what it rests on, or why there is none.
pub(super) fn answer(query: &Value) -> String {
    let mut shown = match query["answer"]["text"].as_str() {
        Some(answer) => answer.trim_end().to_owned(),
        None => format!("{}: {}", text(&query["outcome"]), text(&query["reason"])),
    };
    // There is an answer, but it is not what was asked for, and the exit code says so.
    let lesser = matches!(query["outcome"].as_str(), Some("degraded" | "failed"));
    if lesser && query["answer"]["text"].is_string() {
        let why = format!("{}: {}", text(&query["outcome"]), text(&query["reason"]));
        shown = format!("{why}\n\n{shown}");
    }
    for (at, citation) in items(&query["answer"]["citations"]).enumerate() {
        let (id, source, place) = (&citation["id"], &citation["source"], &citation["place"]);
        let blank = if at == 0 { "\n" } else { "" };
        let line = format!("[[{}]] {} {}", text(id), text(source), text(place));
        shown = format!("{shown}\n{blank}{}", line.trim_end());
    }
    for warning in items(&query["warnings"]) {
        shown = format!("{shown}\nwarning: {}", text(warning));
    }
    harmless(&shown)
}

/// What came of a step, on one line.
fn came_of(step: &Value) -> String {
    let whole = match (&step["error"]["message"], &step["reason"]) {
        (Value::String(error), _) => error.clone(),
        (_, Value::String(reason)) => reason.clone(),
        (_, _) => step["result"].to_string(),
    };
    match whole.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &whole[..end]),
        None => whole,
    }
}

/// Something that happened, on one line.
pub(super) fn event(event: &Value) -> String {
    let mut line = event["event"].as_str().unwrap_or_default().replace('_', " ");
    for name in [
        "step", "instance", "tool", "model", "attempt", "status", "outcome", "reason", "prompt",
        "by",
    ] {
        let value = text(&event[name]);
        if !value.is_empty() {
            line = match name {
                "step" | "tool" | "status" | "outcome" => format!("{line} {value}"),
                _ => format!("{line} {name}: {value}"),
            };
        }
    }
    harmless(&match event["error"]["message"].as_str() {
        Some(error) => format!("{line}: {error}"),
        None => line,
    })
}

pub(super) fn dead_steps(answer: &Value) -> String {
    let mut table = Table::new(&["QUERY", "STEP", "TOOL", "ATTEMPTS", "AT", "ERROR"]);
    for row in items(&answer["items"]) {
        table.row([
            text(&row["query"]),
            text(&row["step"]),
            text(&row["tool"]),
            text(&row["attempts"]),
            text(&row["at"]),
            text(&row["error"]["message"]),
        ]);
    }
    table.to_string()
}

pub(super) fn tools(answer: &Value) -> String {
    let mut table = Table::new(&["TOOL", "GROUP", "TIMEOUT", "TAKES", "DESCRIPTION"]);
    for row in items(&answer["items"]) {
        let parameters = row["parameters"]["properties"].as_object();
        let takes: Vec<&str> =
            parameters.into_iter().flat_map(|names| names.keys().map(String::as_str)).collect();
        table.row([
            text(&row["name"]),
            text(&row["group"]),
            row["timeout_seconds"].as_f64().map_or_else(String::new, |s| format!("{s} s")),
            takes.join(", "),
            text(&row["description"]),
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_host_said_does_not_command_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2J\u{9b}31m\r\n\tb"), "a [2J 31m \n\tb");
        let error = serde_json::json!({"event": "finished", "error": {"message": "\u{1b}[2J"}});
        assert_eq!(event(&error), "finished:  [2J");
        let ended = serde_json::json!({"outcome": "failed", "reason": "\u{1b}[2J"});
        assert!(!document(&ended).contains('\u{1b}') && !answer(&ended).contains('\u{1b}'));
    }
}
