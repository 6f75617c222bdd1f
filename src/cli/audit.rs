//! Who changed what of a node, beside asking it.

use clap::Args;
use serde_json::Value;

use super::NodeArgs;
use super::remote::{get, query, wait_for};
use super::show::{items, more, text};
use crate::exit::Failure;
use crate::table::Table;

/// What is listed, of everything or of something.
#[derive(Clone, Debug, Args)]
pub(super) struct DeedsArgs {
    /// Only what somebody of this name did
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Only what was done before the one of this number
    #[arg(long, value_name = "NUMBER")]
    after: Option<u64>,
    /// At most so many [default: 100]
    #[arg(long)]
    limit: Option<u32>,
    #[command(flatten)]
    node: NodeArgs,
}

/// What is listed.
#[derive(Clone, Debug, Args)]
pub(super) struct AuditArgs {
    /// Only what was done to these
    #[arg(long, value_name = "WHAT", value_parser = ["documents", "keys", "conversations"])]
    of: Option<String>,
    #[command(flatten)]
    deeds: DeedsArgs,
}

pub(super) fn execute(AuditArgs { of, deeds }: AuditArgs) -> Result<(), Failure> {
    list(of, deeds)
}

/// Lists what was done to `of`, or everything.
pub(super) fn list(of: Option<String>, args: DeedsArgs) -> Result<(), Failure> {
    let DeedsArgs { by, after, limit, node } = args;
    let (after, limit) = (after.map(|n| n.to_string()), limit.map(|n| n.to_string()));
    let query = query(&[("of", of), ("by", by), ("after", after), ("limit", limit)]);
    wait_for(get(node, format!("/v1/audit{query}"), shown))
}

fn shown(answer: &Value) -> String {
    let mut table = Table::new(&["NUMBER", "AT", "BY", "KEY", "WHAT", "ID", "NAME", "RESULT"]);
    for row in items(&answer["items"]) {
        let cells = ["number", "at", "by", "key", "what", "id", "name", "result"];
        table.row(cells.map(|cell| text(&row[cell])));
    }
    table.to_string() + &more(answer)
}
