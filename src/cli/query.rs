//! Queries: checking plans, having them done, and what people want of those under way.

mod ask;
mod follow;
mod report;
mod whole;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub(super) use ask::{AskArgs, ask};
use clap::{Args, Subcommand};
use hyper::Method;
use perennial_query::check::Finding;
use perennial_query::explain::{NodeBounds, explain};
use perennial_query::pipeline::{self, Compiled};
use serde_json::{Map, Value, json};

use super::remote::{change, escaped, get, query, wait_for};
use super::{NodeArgs, header_text, print};
use crate::config::{Config, Sources};
use crate::exit::{Exit, Failure};
use crate::node::catalogue;

/// What can be done with queries.
#[derive(Debug, Subcommand)]
pub(super) enum QueryCommand {
    /// Check a pipeline file and say everything that is wrong with it; exit code 2 if it is refused
    Validate(FileArgs),
    /// Show what a pipeline file will do: its order, tools, permissions and bounds
    Explain(FileArgs),
    /// Have a pipeline file done, and show its progress and what came of it
    Run(RunArgs),
    /// List queries, the newest first
    List {
        /// Only those in this status
        #[arg(long)]
        status: Option<String>,
        /// Only those that ended so
        #[arg(long)]
        outcome: Option<String>,
        /// Only those that somebody of this name asked
        #[arg(long, value_name = "NAME")]
        by: Option<String>,
        /// At most so many [default: 100]
        #[arg(long)]
        limit: Option<u32>,
        /// Only those behind this one, as the end of a list names it
        #[arg(long, value_name = "ID")]
        after: Option<String>,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Show a query: its steps, and what came of them
    Show(IdArgs),
    /// Follow a query until it ends; exit code as for `run`
    Follow(IdArgs),
    /// End a query
    Cancel(IdArgs),
    /// Have a query begin nothing more for now
    Pause(IdArgs),
    /// Have a paused query go on
    Resume(IdArgs),
    /// Do again what failed of a query, and what was not done because of it
    Retry {
        #[command(flatten)]
        query: IdArgs,
        /// Also what may have been done: you have looked
        #[arg(long)]
        unknown: bool,
    },
    /// Let a step pass that waits for approval
    Approve(DecideArgs),
    /// Refuse to let a step pass
    Reject(DecideArgs),
    /// List steps whose attempts were used up
    DeadSteps(NodeArgs),
    /// Take the failed steps of a query off that list
    Discard(IdArgs),
    /// List the tools of a node
    Tools(NodeArgs),
}

/// A pipeline file, checked against the tools that a configuration gives.
#[derive(Clone, Debug, Args)]
pub(super) struct FileArgs {
    /// The file
    file: PathBuf,
    /// The node's configuration file, for its tools
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is to be done.
#[derive(Clone, Debug, Args)]
pub(super) struct RunArgs {
    /// The file
    file: PathBuf,
    /// A value for an input; one that is not JSON is text
    #[arg(short, long = "input", value_name = "NAME=VALUE", value_parser = input)]
    inputs: Vec<(String, Value)>,
    /// A name of this query; given again under the same name, it is done once
    #[arg(long, value_name = "NAME", value_parser = header_text)]
    once: Option<String>,
    /// Only have it accepted, and print its id
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    node: NodeArgs,
}

/// A query.
#[derive(Clone, Debug, Args)]
pub(super) struct IdArgs {
    /// Its id
    id: String,
    #[command(flatten)]
    node: NodeArgs,
}

/// A decision on a step.
#[derive(Clone, Debug, Args)]
pub(super) struct DecideArgs {
    /// The id of the query
    id: String,
    /// The step that waits
    step: String,
    /// Who decides
    #[arg(long, value_name = "NAME")]
    by: String,
    /// What they have to say
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
    #[command(flatten)]
    node: NodeArgs,
}

fn input(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    Ok((name.to_owned(), value))
}

pub(super) fn execute(command: QueryCommand) -> Result<Exit, Failure> {
    let done = match command {
        QueryCommand::Validate(args) => return validate(&args),
        QueryCommand::Explain(args) => return show_plan(&args),
        QueryCommand::Run(args) => return run(args),
        QueryCommand::Follow(IdArgs { id, node }) => {
            return follow::follow(&node, &id, report::document);
        }
        QueryCommand::List { status, outcome, by, limit, after, node } => {
            let limit = limit.map(|limit| limit.to_string());
            let filter = [
                ("status", status),
                ("outcome", outcome),
                ("by", by),
                ("limit", limit),
                ("after", after),
            ];
            let query = query(&filter);
            wait_for(get(node, format!("/v1/queries{query}"), report::list))
        }
        QueryCommand::Show(IdArgs { id, node }) => wait_for(whole::show(node, id)),
        QueryCommand::DeadSteps(node) => {
            wait_for(get(node, "/v1/dead-steps".to_owned(), report::dead_steps))
        }
        QueryCommand::Tools(node) => wait_for(get(node, "/v1/tools".to_owned(), report::tools)),
        QueryCommand::Cancel(args) => order(args, "cancel", "cancelled"),
        QueryCommand::Pause(args) => order(args, "pause", "paused"),
        QueryCommand::Resume(args) => order(args, "resume", "resumed"),
        QueryCommand::Retry { query, unknown } => retry(query, unknown),
        QueryCommand::Discard(args) => order(args, "discard", "off the list"),
        QueryCommand::Approve(args) => decide(args, "approve"),
        QueryCommand::Reject(args) => decide(args, "reject"),
    };
    done.map(|()| Exit::Success)
}

fn path(id: &str) -> String {
    format!("/v1/queries/{}", escaped(id))
}

fn order(IdArgs { id, node }: IdArgs, what: &str, done: &str) -> Result<(), Failure> {
    let request = (Method::POST, None);
    wait_for(change(node, request, format!("{}/{what}", path(&id)), format!("{id} is {done}")))
}

fn retry(IdArgs { id, node }: IdArgs, unknown: bool) -> Result<(), Failure> {
    let request = (Method::POST, Some(json!({"unknown": unknown})));
    wait_for(change(node, request, format!("{}/retry", path(&id)), format!("{id} is begun again")))
}

fn decide(args: DecideArgs, what: &str) -> Result<(), Failure> {
    let DecideArgs { id, step, by, note, node } = args;
    let body = json!({"step": step, "by": by, "note": note});
    let done = format!("{by} decided on {step} of {id}");
    wait_for(change(node, (Method::POST, Some(body)), format!("{}/{what}", path(&id)), done))
}

/// The file, checked against the tools that the configuration gives.
fn compile(args: &FileArgs) -> Result<Result<Compiled, Vec<Finding>>, Failure> {
    let config = Config::load(&Sources::of_process(args.config.clone()))?;
    Ok(pipeline::read(&text_of(&args.file)?, &catalogue(&config)?))
}

fn text_of(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file).map_err(|error| {
        Failure::new(Exit::Usage, format!("{} cannot be read: {error}", file.display()))
    })
}

fn validate(args: &FileArgs) -> Result<Exit, Failure> {
    let (findings, plan) = match compile(args)? {
        Ok(compiled) => (compiled.warnings.clone(), Some(compiled)),
        Err(findings) => (findings, None),
    };
    if args.json {
        let report = json!({"valid": plan.is_some(), "findings": findings});
        print(&format!("{report:#}"))?;
    } else {
        tell(&args.file, &findings);
        if plan.is_some() {
            print(&format!("{} is valid", args.file.display()))?;
        }
    }
    Ok(if plan.is_some() { Exit::Success } else { Exit::Usage })
}

/// Findings, on the standard error: a line each.
fn tell(file: &Path, findings: &[Finding]) {
    for finding in findings {
        // Standard error may be closed, which is no reason to fail.
        drop(writeln!(io::stderr().lock(), "{}: {finding}", file.display()));
    }
}

fn show_plan(args: &FileArgs) -> Result<Exit, Failure> {
    let config = Config::load(&Sources::of_process(args.config.clone()))?;
    let catalogue = catalogue(&config)?;
    match pipeline::read(&text_of(&args.file)?, &catalogue) {
        Ok(compiled) => {
            let explanation = explain(&compiled, &catalogue, &NodeBounds::from(&config.query));
            if args.json {
                let text = serde_json::to_string_pretty(&explanation)
                    .map_err(|error| Failure::new(Exit::Software, error.to_string()))?;
                print(&text)?;
            } else {
                tell(&args.file, &compiled.warnings);
                print(&explanation.to_string())?;
            }
            Ok(Exit::Success)
        }
        Err(findings) => {
            tell(&args.file, &findings);
            Ok(Exit::Usage)
        }
    }
}

/// Inputs by name. One that is given twice is a slip: only one of its values could be meant.
fn once_each(inputs: Vec<(String, Value)>) -> Result<Map<String, Value>, Failure> {
    let mut given = Map::new();
    for (name, value) in inputs {
        if given.contains_key(&name) {
            let why = format!("the input `{name}` is given twice; give it once");
            return Err(Failure::new(Exit::Usage, why));
        }
        given.insert(name, value);
    }
    Ok(given)
}

/// Has the file done by a node. It is refused there too, with the same findings.
fn run(args: RunArgs) -> Result<Exit, Failure> {
    let RunArgs { file, inputs, once, detach, node } = args;
    let inputs = once_each(inputs)?;
    let body = json!({"yaml": text_of(&file)?, "inputs": inputs});
    let taken = follow::submit(&node, &body, once.as_deref());
    let taken = match taken {
        Ok(taken) => taken,
        Err(follow::Refusal::Invalid(findings)) => {
            for finding in findings.lines() {
                drop(writeln!(io::stderr().lock(), "{}: {finding}", file.display()));
            }
            return Ok(Exit::Usage);
        }
        Err(follow::Refusal::Other(failure)) => return Err(failure),
    };
    let id = taken["id"].as_str().unwrap_or_default();
    if detach {
        print(&if node.json { format!("{taken:#}") } else { id.to_owned() })?;
        return Ok(Exit::Success);
    }
    follow::follow(&node, id, report::document)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_no_json_is_text() {
        assert_eq!(input("a=1").unwrap(), ("a".to_owned(), json!(1)));
        assert_eq!(input("a=[1, true]").unwrap().1, json!([1, true]));
        assert_eq!(input("a=b=c").unwrap(), ("a".to_owned(), json!("b=c")));
        assert!(input("a").is_err());
    }

    #[test]
    fn an_input_that_is_given_twice_is_refused() {
        let pair = |name: &str| (name.to_owned(), json!(1));
        assert_eq!(once_each(vec![pair("a"), pair("b")]).unwrap().len(), 2);
        assert!(once_each(vec![pair("a"), pair("a")]).is_err());
    }
}
