//! Conversations of a node: one's own.

use clap::Subcommand;
use hyper::Method;
use serde_json::Value;

use super::remote::{change, escaped, get, query, wait_for};
use super::show::{harmless, items, more, text};
use super::{NodeArgs, PageArgs};
use crate::exit::Failure;
use crate::table::Table;

/// What can be done with conversations; questions are asked with `perennial ask --conversation`.
#[derive(Debug, Subcommand)]
pub(super) enum ConversationsCommand {
    /// List one's own, the newest first
    List {
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Show one of them: its last questions, and what came of each
    Show {
        /// Its id, such as c-0660d2923edfe8-8de920a3
        id: String,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Delete one for good: a question that waits is not asked, and what was asked stays among the queries
    Delete {
        /// Its id
        id: String,
        #[command(flatten)]
        node: NodeArgs,
    },
}

pub(super) fn execute(command: ConversationsCommand) -> Result<(), Failure> {
    let path = |id: &str| format!("/v1/conversations/{}", escaped(id));
    match command {
        ConversationsCommand::List { page, node } => {
            let query = query(&page.parameters());
            wait_for(get(node, format!("/v1/conversations{query}"), list))
        }
        ConversationsCommand::Show { id, node } => wait_for(get(node, path(&id), show)),
        ConversationsCommand::Delete { id, node } => {
            let request = (Method::DELETE, None);
            wait_for(change(node, request, path(&id), format!("{id} is deleted")))
        }
    }
}

fn list(answer: &Value) -> String {
    let mut table = Table::new(&["ID", "BEGUN", "LAST SAID", "TURNS", "WAITING", "TITLE"]);
    for row in items(&answer["items"]) {
        let cells = ["id", "created_at", "last_at", "turns_so_far", "waiting", "title"];
        table.row(cells.map(|cell| text(&row[cell])));
    }
    table.to_string() + &more(answer)
}

fn show(conversation: &Value) -> String {
    let head = ["id", "title", "by"].map(|field| text(&conversation[field])).join("  ");
    let turns: String = items(&conversation["turns"]).map(turn).collect();
    harmless(&format!("{}\n{turns}", head.trim_end()))
}

/// A question with what came of it.
fn turn(turn: &Value) -> String {
    let end = if turn["outcome"].is_null() { &turn["status"] } else { &turn["outcome"] };
    let head = [&turn["number"], &turn["asked_at"], end, &turn["query"]].map(text).join("  ");
    let said = match turn["answer"]["text"].as_str() {
        Some(answer) => answer.to_owned(),
        None => text(&turn["reason"]),
    };
    let lines = text(&turn["question"]) + "\n" + said.trim_end();
    let lines: String =
        lines.lines().map(|line| format!("  {line}").trim_end().to_owned() + "\n").collect();
    format!("\n{}\n{lines}", head.trim_end())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_conversation_is_shown_turn_by_turn_with_answers_or_why_there_is_none() {
        let shown = show(
            &json!({"id": "c-1", "title": "About\u{1b}[2J it", "by": "ann", "turns": [
                {"number": 1, "asked_at": "t1", "status": "ended", "outcome": "succeeded", "query": "q-1",
                 "question": "Why?", "reason": "", "answer": {"text": "So.\n\nTaken from it.\n"}},
                {"number": 2, "asked_at": "t2", "status": "ended", "outcome": null, "query": null,
                 "question": "And you?", "reason": "no", "answer": null},
                {"number": 3, "asked_at": "t3", "status": "waiting", "outcome": null, "query": null,
                 "question": "And me?", "reason": "", "answer": null},
            ]}),
        );
        let expected = "c-1  About [2J it  ann\n\n\
            1  t1  succeeded  q-1\n  Why?\n  So.\n\n  Taken from it.\n\n\
            2  t2  ended\n  And you?\n  no\n\n\
            3  t3  waiting\n  And me?\n";
        assert_eq!(shown, expected);
    }
}
