//! Schedules of a node.

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};

use super::remote::{change, client, escaped, get, wait_for};
use super::show::{items, text};
use super::{NodeArgs, header_text, print};
use crate::exit::Failure;
use crate::table::Table;

/// What can be done with schedules.
#[derive(Debug, Subcommand)]
pub(super) enum SchedulesCommand {
    /// List them: when each is due next, and what came of it last
    List(NodeArgs),
    /// Show one of them
    Show(NameArgs),
    /// Have a schedule do nothing for now; times meanwhile are not made up for
    Pause(NameArgs),
    /// Have a paused schedule go on
    Resume(NameArgs),
    /// Have it done once, at once
    Fire {
        #[command(flatten)]
        schedule: NameArgs,
        /// A name of this order; given again under the same name, it is done once
        #[arg(long, value_name = "NAME", value_parser = header_text)]
        once: Option<String>,
    },
}

/// A schedule.
#[derive(Clone, Debug, Args)]
pub(super) struct NameArgs {
    /// Its name
    name: String,
    #[command(flatten)]
    node: NodeArgs,
}

pub(super) fn execute(command: SchedulesCommand) -> Result<(), Failure> {
    match command {
        SchedulesCommand::List(node) => wait_for(get(node, "/v1/schedules".to_owned(), list)),
        SchedulesCommand::Show(NameArgs { name, node }) => wait_for(get(node, path(&name), show)),
        SchedulesCommand::Pause(args) => order(args, "pause", "is paused"),
        SchedulesCommand::Resume(args) => order(args, "resume", "goes on"),
        SchedulesCommand::Fire { schedule, once } => wait_for(fire(schedule, once)),
    }
}

fn path(name: &str) -> String {
    format!("/v1/schedules/{}", escaped(name))
}

fn order(NameArgs { name, node }: NameArgs, what: &str, done: &str) -> Result<(), Failure> {
    let path = format!("{}/{what}", path(&name));
    wait_for(change(node, (Method::POST, None), path, format!("{name} {done}")))
}

/// The id of the query alone goes to the standard output, for `perennial query follow`.
async fn fire(NameArgs { name, node }: NameArgs, once: Option<String>) -> Result<(), Failure> {
    let path = format!("{}/fire", path(&name));
    let fired = client(&node)?.submit(&path, &json!({}), once.as_deref()).await?;
    if node.json {
        return print(&format!("{fired:#}"));
    }
    match fired["query"].as_str() {
        Some(query) => print(query),
        None => print(&format!("{name} is done for {}", text(&fired["due"]))),
    }
}

/// Whether it is done at all.
fn state(row: &Value) -> &'static str {
    match (&row["enabled"], &row["paused_by"]) {
        (Value::Bool(false), _) => "disabled",
        (_, Value::String(_)) => "paused",
        (_, _) => "on",
    }
}

fn outcome(last: &Value) -> String {
    text(if last["outcome"].is_null() { &last["status"] } else { &last["outcome"] })
}

fn list(answer: &Value) -> String {
    let mut table =
        Table::new(&["NAME", "CRON", "ZONE", "STATE", "NEXT", "LAST QUERY", "OUTCOME", "MISSED"]);
    for row in items(&answer["items"]) {
        let last = &row["last"];
        table.row([
            text(&row["name"]),
            text(&row["cron"]),
            text(&row["zone"]),
            state(row).to_owned(),
            text(&row["next"]),
            text(&last["query"]),
            outcome(last),
            text(&row["missed"]),
        ]);
    }
    table.to_string()
}

fn show(row: &Value) -> String {
    let mut table = Table::new(&["SCHEDULE", &text(&row["name"])]);
    let paused = row["paused_by"].as_str().map(|by| format!("paused by {by}"));
    let what = if row["pipeline"].is_null() { &row["question"] } else { &row["pipeline"] };
    let last = &row["last"];
    let lines = [
        ("due", format!("{} in {}", text(&row["cron"]), text(&row["zone"]))),
        ("does", text(what)),
        ("role", text(&row["role"])),
        ("catch_up", text(&row["catch_up"])),
        ("overlap", text(&row["overlap"])),
        ("state", paused.unwrap_or_else(|| state(row).to_owned())),
        ("next", text(&row["next"])),
        ("last", text(&last["due"])),
        ("query", text(&last["query"])),
        ("outcome", outcome(last)),
        ("fired", text(&row["fired"])),
        ("missed", text(&row["missed"])),
        ("overlapped", text(&row["overlapped"])),
        ("refused", text(&row["refused"])),
        ("note", text(&row["note"])),
    ];
    for (name, value) in lines {
        table.row([name.to_owned(), value]);
    }
    table.to_string()
}
