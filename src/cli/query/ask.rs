//! Asking a node in words.

use std::io::{self, Write};

use clap::Args;
use serde_json::json;

use super::{follow, report};
use crate::cli::{NodeArgs, header_text, print};
use crate::exit::{Exit, Failure};

/// What is asked, and of whom.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct AskArgs {
    /// The question, as one argument
    question: String,
    /// Have it answered anew, though the same was answered a short while ago
    #[arg(long)]
    fresh: bool,
    /// Who words the answer, if the node leaves it to who asks
    #[arg(long, value_name = "WHO", value_parser = ["model", "template"])]
    answer_by: Option<String>,
    /// The conversation that it goes on, or `new` to begin one
    #[arg(long, value_name = "ID", conflicts_with = "fresh")]
    conversation: Option<String>,
    /// A name of this question; given again under the same name, it is answered once
    #[arg(long, value_name = "NAME", value_parser = header_text)]
    once: Option<String>,
    /// Only have it accepted, and print the id of its query
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    node: NodeArgs,
}

/// Has a question answered, and shows the answer with what it rests on.
pub(in crate::cli) fn ask(args: AskArgs) -> Result<Exit, Failure> {
    let AskArgs { question, fresh, answer_by, conversation, once, detach, node } = args;
    let mut body = json!({"question": question, "answer_by": answer_by});
    match &conversation {
        Some(id) => body["conversation"] = json!(id),
        None => body["cache"] = json!(!fresh),
    }
    let taken = match follow::submit(&node, &body, once.as_deref()) {
        Ok(taken) => taken,
        Err(follow::Refusal::Invalid(why)) => return Err(Failure::new(Exit::Usage, why)),
        Err(follow::Refusal::Other(failure)) => return Err(failure),
    };
    if let (false, Some(conversation)) = (node.json, taken["conversation"].as_str()) {
        // Standard error may be closed, which is no reason to fail.
        drop(writeln!(io::stderr().lock(), "conversation {conversation}"));
    }
    if detach {
        let waits = || format!("turn {} waits for those before it", taken["turn"]);
        let id = taken["id"].as_str().map_or_else(waits, str::to_owned);
        print(&if node.json { format!("{taken:#}") } else { id })?;
        return Ok(Exit::Success);
    }
    let taken = follow::turn(&node, taken)?;
    follow::follow(&node, taken["id"].as_str().unwrap_or_default(), report::answer)
}
