//! API keys of a node.

use std::io::{self, Write};

use clap::Subcommand;
use hyper::Method;
use serde_json::{Value, json};

use super::remote::{change, client, get, query, wait_for};
use super::show::{items, text};
use super::{NodeArgs, print};
use crate::exit::Failure;
use crate::table::Table;

/// What can be done with API keys.
#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Give out a key; it is printed this once and kept nowhere
    Create {
        /// Who will hold it
        #[arg(long, value_name = "NAME")]
        name: String,
        /// What they may do: a role of the node's configuration
        #[arg(long, value_name = "ROLE")]
        role: String,
        /// Whose rows they may see, with commas between; * is everybody's [default: none]
        #[arg(long, value_name = "TEAMS", value_delimiter = ',')]
        teams: Vec<String>,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// List keys, the newest first, without their secrets
    List {
        /// At most so many [default: 100]
        #[arg(long)]
        limit: Option<u32>,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Have a key be good for nothing from now on
    Revoke {
        /// Its id, such as 12
        id: u64,
        #[command(flatten)]
        node: NodeArgs,
    },
}

pub(super) fn execute(command: KeysCommand) -> Result<(), Failure> {
    match command {
        KeysCommand::Create { name, role, teams, node } => {
            let teams: Vec<&str> = teams.iter().map(|team| team.trim()).collect();
            let body = json!({"name": name, "role": role, "teams": teams});
            wait_for(create(node, body))
        }
        KeysCommand::List { limit, node } => {
            let query = query(&[("limit", limit.map(|limit| limit.to_string()))]);
            wait_for(get(node, format!("/v1/keys{query}"), list))
        }
        KeysCommand::Revoke { id, node } => {
            let done = format!("key {id} is revoked");
            wait_for(change(node, (Method::DELETE, None), format!("/v1/keys/{id}"), done))
        }
    }
}

/// The key alone goes to the standard output, where a program can take it from.
async fn create(node: NodeArgs, body: Value) -> Result<(), Failure> {
    let given = client(&node)?.call(Method::POST, "/v1/keys", Some(&body)).await?;
    if node.json {
        return print(&format!("{given:#}"));
    }
    let (id, name, role) = (text(&given["id"]), text(&given["name"]), text(&given["role"]));
    let note = format!("key {id} for {name}, role {role}; it is not shown again:");
    // Standard error may be closed, which is no reason to keep the key back.
    drop(writeln!(io::stderr().lock(), "{note}"));
    print(&text(&given["key"]))
}

fn list(answer: &Value) -> String {
    let mut table = Table::new(&["ID", "NAME", "ROLE", "TEAMS", "CREATED", "REVOKED"]);
    for row in items(&answer["items"]) {
        let teams: Vec<String> = items(&row["teams"]).map(text).collect();
        table.row([
            text(&row["id"]),
            text(&row["name"]),
            text(&row["role"]),
            teams.join(", "),
            text(&row["created_at"]),
            text(&row["revoked_at"]),
        ]);
    }
    table.to_string()
}
