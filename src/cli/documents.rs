//! Documents of a node.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Map, Value, json};

use super::audit::{self, DeedsArgs};
use super::remote::{change, client, escaped, get, query, wait_for, wait_for_value};
use super::show::{items, more, text};
use super::{NodeArgs, PageArgs, counted, print};
use crate::client::{Client, ClientError};
use crate::exit::{Exit, Failure};
use crate::table::Table;

/// Seconds that one answer is waited for; less than the client's own patience.
const WAIT: u64 = 10;

/// How often a node is asked how far a document is.
const AGAIN: Duration = Duration::from_millis(500);

/// Characters of a passage that a list shows.
const PASSAGE: usize = 200;

/// What can be done with documents.
#[derive(Debug, Subcommand)]
pub(super) enum DocumentsCommand {
    /// Put files into the library, each under its own name, and wait until they are indexed; exit code 1 if one is not
    Add(AddArgs),
    /// List documents, or those that wait to be indexed
    List {
        /// Only those of this team
        #[arg(long, value_name = "TEAM")]
        team: Option<String>,
        /// Only those with this metadata; may be given more than once
        #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
        meta: Vec<(String, String)>,
        /// Those that were accepted and are not indexed yet
        #[arg(long)]
        waiting: bool,
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Show what is known of a document
    Show {
        /// Its id, such as doc-0123…
        id: String,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Remove a document for good; one that is not there is fine, and what is no id is not found
    Remove {
        /// Its id, such as doc-0123…
        id: String,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// List who put documents in and removed them, when, and what came of it
    Audit(DeedsArgs),
    /// Find passages; exit code 1 if there are none
    Search(SearchArgs),
}

/// What is put in.
#[derive(Clone, Debug, Args)]
pub(super) struct AddArgs {
    /// The files
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// What they are written in [default: what their names end with]
    #[arg(long)]
    format: Option<String>,
    /// Who may see them [default: everybody]
    #[arg(long, value_name = "TEAM")]
    team: Option<String>,
    /// What searches can ask for; may be given more than once
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    meta: Vec<(String, String)>,
    /// Do not wait until they are indexed
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    node: NodeArgs,
}

/// What is looked for.
#[derive(Clone, Debug, Args)]
pub(super) struct SearchArgs {
    /// The words; those in double quotes must stand together
    #[arg(required = true)]
    words: Vec<String>,
    /// By words, by likeness, or both
    #[arg(long, value_parser = ["words", "likeness", "both"], default_value = "both")]
    by: String,
    /// Only in the document of this id or name
    #[arg(long, value_name = "DOCUMENT")]
    document: Option<String>,
    /// Only in those of this team
    #[arg(long, value_name = "TEAM")]
    team: Option<String>,
    /// Only in those with this metadata; may be given more than once
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    meta: Vec<(String, String)>,
    /// At most so many passages
    #[arg(long, default_value_t = 10)]
    limit: u32,
    #[command(flatten)]
    node: NodeArgs,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Metadata as the node takes it, if there is any.
fn metadata(pairs: &[(String, String)]) -> Option<String> {
    let entries = pairs.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str())));
    (!pairs.is_empty()).then(|| Value::Object(entries.collect()).to_string())
}

pub(super) fn execute(command: DocumentsCommand) -> Result<Exit, Failure> {
    let path = |id: &str| format!("/v1/documents/{}", escaped(id));
    let done = match command {
        DocumentsCommand::Add(args) => return add(&args),
        DocumentsCommand::Search(args) => return search(&args),
        DocumentsCommand::List { team, meta, waiting, page, node } => {
            let [after, limit] = page.parameters();
            let query = query(&[
                ("team", team),
                ("metadata", metadata(&meta)),
                ("status", waiting.then(|| "waiting".to_owned())),
                after,
                limit,
            ]);
            wait_for(get(node, format!("/v1/documents{query}"), list))
        }
        DocumentsCommand::Audit(args) => audit::list(Some("documents".to_owned()), args),
        DocumentsCommand::Show { id, node } => wait_for(get(node, path(&id), whole)),
        DocumentsCommand::Remove { id, node } => wait_for(change(
            node,
            (Method::DELETE, None),
            path(&id),
            format!("{id} is not there any more"),
        )),
    };
    done.map(|()| Exit::Success)
}

/// Nothing is sent unless every file can be read.
fn add(args: &AddArgs) -> Result<Exit, Failure> {
    let names = args.files.iter().map(|path| name_of(path)).collect::<Result<Vec<_>, _>>()?;
    for path in &args.files {
        fs::File::open(path).map_err(|error| unreadable(path, &error))?;
    }
    wait_for_value(async {
        let client = client(&args.node)?;
        let (mut answers, mut all) = (Vec::new(), true);
        for (path, name) in args.files.iter().zip(names) {
            let content = fs::read(path).map_err(|error| unreadable(path, &error))?;
            match add_one(&client, args, &name, content).await {
                Ok(document) => {
                    all &= document["status"] != "refused";
                    if !args.node.json {
                        print(&added(&document))?;
                    }
                    answers.push(document);
                }
                Err(ClientError::Refused { status, detail }) => {
                    all = false;
                    drop(writeln!(io::stderr().lock(), "{name}: {detail}"));
                    let refusal = json!({"name": name, "status": "refused", "reason": detail, "http": status.as_u16()});
                    answers.push(refusal);
                }
                Err(other) => return Err(other.into()),
            }
        }
        if args.node.json {
            print(&format!("{:#}", json!({ "items": answers })))?;
        }
        Ok(if all { Exit::Success } else { Exit::Failed })
    })?
}

async fn add_one(
    client: &Client,
    args: &AddArgs,
    name: &str,
    content: Vec<u8>,
) -> Result<Value, ClientError> {
    let wait = if args.detach { 0 } else { WAIT };
    let query = query(&[
        ("name", Some(name.to_owned())),
        ("format", args.format.clone()),
        ("team", args.team.clone()),
        ("metadata", metadata(&args.meta)),
        ("wait", Some(wait.to_string())),
    ]);
    let mut document = client.upload(&format!("/v1/documents{query}"), content).await?;
    while !args.detach && under_way(&document) {
        tokio::time::sleep(AGAIN).await;
        let path = format!("/v1/documents/{}", text(&document["id"]));
        document = client.call(Method::GET, &path, None).await?;
    }
    Ok(document)
}

/// Whether the document, or a later version of it, is to be indexed yet.
fn under_way(document: &Value) -> bool {
    let stages = [&document["status"], &document["next_version"]];
    stages
        .iter()
        .any(|stage| ["pending", "chunked", "delayed"].iter().any(|known| **stage == *known))
}

fn name_of(path: &Path) -> Result<String, Failure> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.map(str::to_owned).ok_or_else(|| {
        let why = format!("{} has no name that is text", path.display());
        Failure::new(Exit::Usage, why)
    })
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Usage, format!("{} cannot be read: {error}", path.display()))
}

fn added(document: &Value) -> String {
    let what = document["outcome"].as_str().or(document["status"].as_str()).unwrap_or_default();
    let chunks = document["chunks"]
        .as_u64()
        .map_or_else(String::new, |chunks| format!("  {}", counted(chunks, "chunk")));
    let reason = document["reason"].as_str().map_or_else(String::new, |why| format!("  {why}"));
    format!("{}  {}  {what}{chunks}{reason}", text(&document["id"]), text(&document["name"]))
}

fn list(answer: &Value) -> String {
    let mut table = Table::new(&["ID", "NAME", "FORMAT", "TEAM", "STATUS", "CHUNKS", "METADATA"]);
    for row in items(&answer["items"]) {
        table.row([
            text(&row["id"]),
            text(&row["name"]),
            text(&row["format"]),
            text(&row["team"]),
            text(&row["status"]),
            text(&row["chunks"]),
            pairs(&row["metadata"]),
        ]);
    }
    format!("{table}{}", more(answer))
}

fn pairs(entries: &Value) -> String {
    let entries = entries.as_object().into_iter().flatten();
    let pairs: Vec<String> =
        entries.map(|(name, value)| format!("{name}={}", text(value))).collect();
    pairs.join(" ")
}

/// A line for each thing that is known.
fn whole(document: &Value) -> String {
    let fields = [
        "id",
        "name",
        "title",
        "format",
        "team",
        "status",
        "duplicate_of",
        "next_version",
        "reason",
    ];
    let counts = ["chunks", "characters", "repeated_chunks", "links", "vectors", "version"];
    let line = |name: &str, value: String| match value.is_empty() {
        true => String::new(),
        false => format!("{}: {value}\n", name.replace('_', " ")),
    };
    let mut shown: String = fields.iter().map(|name| line(name, text(&document[name]))).collect();
    shown += &line("metadata", pairs(&document["metadata"]));
    shown.extend(counts.iter().map(|name| line(name, text(&document[name]))));
    shown += &line("quality", pairs(&document["quality"]));
    shown += &line("taken out", pairs(&document["sanitized"]));
    shown.extend(items(&document["warnings"]).map(|warning| line("warning", text(warning))));
    shown
}

/// A query of one step: it is bounded, audited and checked as every other one.
fn search(args: &SearchArgs) -> Result<Exit, Failure> {
    let tool = match args.by.as_str() {
        "words" => "search",
        "likeness" => "vector",
        _ => "hybrid",
    };
    let mut arguments = Map::from_iter([
        ("query".to_owned(), json!(args.words.join(" "))),
        ("top_k".to_owned(), json!(args.limit)),
    ]);
    for (name, value) in [("document", &args.document), ("team", &args.team)] {
        arguments.extend(value.as_ref().map(|value| (name.to_owned(), json!(value))));
    }
    if !args.meta.is_empty() {
        let pairs: Map<String, Value> =
            args.meta.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        arguments.insert("metadata".to_owned(), Value::Object(pairs));
    }
    // What is written is looked for as it is: it is no template.
    let inputs = json!({ "arguments": arguments });
    let plan = json!({
        "name": "documents_search",
        "inputs": {"arguments": {"type": "object"}},
        "steps": [{"id": "search", "tool": tool, "arguments": verbatim(&arguments)}],
    });
    let body = json!({"plan": plan, "inputs": inputs});
    let answer = wait_for_value(async {
        let path = format!("/v1/queries?wait={WAIT}");
        client(&args.node)?.submit(&path, &body, None).await.map_err(Failure::from)
    })??;
    let step = &answer["steps"][0];
    if step["status"] != "succeeded" {
        let why = step["error"]["message"].as_str().or(answer["reason"].as_str());
        let why = why.unwrap_or("the search has not ended in time");
        return Err(Failure::new(Exit::Failed, format!("{}: {why}", text(&answer["id"]))));
    }
    let result = &step["result"];
    print(&if args.node.json { format!("{result:#}") } else { hits(result) })?;
    Ok(if result["count"] == 0 { Exit::Failed } else { Exit::Success })
}

/// Arguments that refer to the input of the same name, so that nothing in them is read as a template.
fn verbatim(arguments: &Map<String, Value>) -> Value {
    let refer = |name: &String| json!(format!("{{{{ inputs.arguments.{name} }}}}"));
    Value::Object(arguments.keys().map(|name| (name.clone(), refer(name))).collect())
}

fn hits(result: &Value) -> String {
    let hit = |hit: &Value| {
        let words: Vec<String> = text(&hit["text"]).split_whitespace().map(str::to_owned).collect();
        let passage: String = words.join(" ").chars().take(PASSAGE).collect();
        let place = text(&hit["place"]);
        let place = if place.is_empty() { place } else { format!(", {place}") };
        let score = hit["score"].as_f64().unwrap_or_default();
        format!(
            "{score:.4}  {}{place}  {}\n        {passage}\n",
            text(&hit["name"]),
            text(&hit["document"])
        )
    };
    let found: String = items(&result["hits"]).map(hit).collect();
    if found.is_empty() { "nothing was found\n".to_owned() } else { found }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_for_is_never_read_as_a_template() {
        let arguments = Map::from_iter([("query".to_owned(), json!("{{ 1 + 1 }}"))]);
        assert_eq!(verbatim(&arguments), json!({"query": "{{ inputs.arguments.query }}"}));
    }

    #[test]
    fn a_document_is_waited_for_until_its_latest_version_is_indexed_or_refused() {
        for (document, waits) in [
            (json!({"status": "pending"}), true),
            (json!({"status": "indexed", "next_version": "chunked"}), true),
            (json!({"status": "indexed", "next_version": null}), false),
            (json!({"status": "refused"}), false),
            (json!({"status": "duplicate"}), false),
        ] {
            assert_eq!(under_way(&document), waits, "{document}");
        }
    }
}
