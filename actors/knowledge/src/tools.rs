//! The tools of the library: what plans call.

mod arguments;
mod graph;
mod hybrid;
mod ingest;
mod sanitize;
mod search;
mod vector;

use std::sync::Arc;

use perennial_query::plan::{ErrorKind, ValueType};
use perennial_query::tool::{Citation, Parameter, Tool, ToolAnswer, ToolError, ToolSpec};
use serde_json::{Value, json};

use crate::document::ChunkId;
use crate::index::Found;
use crate::library::{Library, State};

/// The group of the tools that need the library's disk only, or can do without the embedder.
const GROUP: &str = "knowledge";
/// The group of those that need the embedder: when it is down, only they are.
const EMBEDDER_GROUP: &str = "embeddings";

/// The tools of `library`: `ingest`, `search`, `vector`, `hybrid`, `graph` and `sanitize`.
#[must_use]
pub fn tools(library: &Library) -> Vec<Arc<dyn Tool>> {
    vec![
        Arc::new(ingest::Ingest::new(library)),
        Arc::new(search::Search::new(library)),
        Arc::new(vector::VectorSearch::new(library)),
        Arc::new(hybrid::Hybrid::new(library)),
        Arc::new(graph::GraphWalk::new(library)),
        Arc::new(sanitize::Sanitize::new(library)),
    ]
}

/// A tool that searches, with the parameters that all searches have.
fn search_spec(name: &str, description: &str) -> ToolSpec {
    let text = |name, what| Parameter::optional(name, ValueType::String, what);
    ToolSpec { group: GROUP.to_owned(), ..ToolSpec::new(name, description) }
        .parameter(Parameter::required("query", ValueType::String, "What is looked for, in words."))
        .parameter(text("document", "The id or the name of the one document to look in."))
        .parameter(text("team", "The team in whose documents to look."))
        .parameter(Parameter::optional(
            "metadata",
            ValueType::Object,
            "Names and values, all of which a document must have; the values are strings.",
        ))
        .parameter(
            Parameter::optional(
                "top_k",
                ValueType::Integer,
                "At most as many chunks; 10 if not given.",
            )
            .between(1.0, 100.0),
        )
}

/// Chunks, whole, in the order of their scores.
fn answer(state: &State, found: &[Found], mut value: Value, warnings: Vec<String>) -> ToolAnswer {
    let mut citations = Vec::with_capacity(found.len());
    let mut hits = Vec::with_capacity(found.len());
    for hit in found {
        let front = state.slot(&hit.document).and_then(|slot| slot.entry.front());
        let (name, title) =
            front.map(|front| (front.name, front.title.to_owned())).unwrap_or_default();
        hits.push(json!({
            "id": hit.chunk.to_string(),
            "document": hit.document.as_str(),
            "name": name,
            "title": title,
            "place": hit.place,
            "text": hit.text,
            "score": hit.score,
        }));
        let (id, place) = (hit.chunk.to_string(), hit.place.clone());
        citations.push(Citation { id, source: title, place });
    }
    value["count"] = json!(hits.len());
    value["hits"] = Value::from(hits);
    ToolAnswer { value: value.into(), citations, warnings }
}

/// What is to be known of the library whatever is asked.
fn library_warnings(state: &State) -> Vec<String> {
    let damaged = state.damaged.len();
    let some = (damaged > 0)
        .then(|| format!("{damaged} files of documents are damaged and were not searched"));
    some.into_iter().collect()
}

/// Says that documents were left out of a search among vectors.
fn missing_vectors(missing: usize, embedder: &str) -> Option<String> {
    let what = format!("{missing} documents have no vectors of `{embedder}` and were not searched");
    (missing > 0)
        .then(|| format!("{what}; they are made when the node has started, or by ingesting again"))
}

/// The ids and ranks of chunks.
fn ids(found: &[Found]) -> Vec<ChunkId> {
    found.iter().map(|found| found.chunk).collect()
}

fn not_found(message: impl std::fmt::Display) -> ToolError {
    ToolError::new(ErrorKind::NotFound, message)
}

#[cfg(test)]
mod tests;
