//! What several tests need.

use std::path::Path;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use perennial_query::plan::ErrorKind;
use perennial_query::tool::{Call, Identity, ToolAnswer, ToolError};
use perennial_runtime::Timestamp;
use serde_json::Value;

use crate::{Config, DocumentId, Embedder, Format, Ingested, Library, Submission, tools};

/// A library of a test: what is in it, and the folder that goes with it.
pub(crate) fn open(folder: &Path) -> Library {
    Library::open(folder, Config::default()).unwrap()
}

pub(crate) fn identity(teams: &[&str]) -> Identity {
    let teams = teams.iter().map(|team| (*team).to_owned()).collect();
    Identity { name: "Ann".to_owned(), role: "analyst".to_owned(), teams, key: None }
}

pub(crate) fn submission(name: &str, text: &str) -> Submission {
    Submission {
        name: name.to_owned(),
        title: None,
        format: Format::Markdown,
        content: text.as_bytes().to_vec(),
        metadata: Default::default(),
        team: None,
    }
}

pub(crate) async fn ingest(library: &Library, name: &str, text: &str) -> Ingested {
    library.ingest(submission(name, text), &identity(&[])).await.unwrap()
}

pub(crate) fn public(name: &str) -> DocumentId {
    DocumentId::new(None, name)
}

/// A text of several chunks.
pub(crate) fn long(topic: &str, paragraphs: usize) -> String {
    let paragraph = |number| format!("Paragraph {number} tells of {topic}. ").repeat(12);
    (0..paragraphs).map(paragraph).collect::<Vec<_>>().join("\n\n")
}

/// Calls a tool as the query's workers do.
pub(crate) async fn call(
    library: &Library,
    tool: &str,
    arguments: Value,
    teams: &[&str],
) -> Result<ToolAnswer, ToolError> {
    let tools = tools(library);
    let tool = tools.iter().find(|found| found.spec().name == tool).unwrap();
    assert_eq!(tool.spec().problems(&arguments, false), Vec::new());
    let call = Call {
        tool: tool.spec().name.clone(),
        arguments: arguments.into(),
        identity: identity(teams),
        key: "key".to_owned(),
        label: "query/step".to_owned(),
        attempt: 1,
        since: Timestamp::EPOCH,
        deadline: Timestamp::EPOCH,
        timeout: Duration::from_secs(60),
    };
    tool.call(&call).await
}

/// The names of the documents of the hits, in order.
pub(crate) fn hits(answer: &ToolAnswer) -> Vec<String> {
    let hits = answer.value.0["hits"].as_array().unwrap();
    hits.iter().map(|hit| hit["name"].as_str().unwrap().to_owned()).collect()
}

/// An embedder of one's own name that gives each text the same vector, or fails.
pub(crate) struct Constant {
    pub(crate) name: &'static str,
    pub(crate) works: bool,
}

impl Embedder for Constant {
    fn name(&self) -> &str {
        self.name
    }

    fn embed<'a>(&'a self, texts: &'a [String]) -> BoxFuture<'a, Result<Vec<Vec<f32>>, ToolError>> {
        let vectors = texts.iter().map(|_| vec![1.0, 0.0]).collect();
        let down = || ToolError::new(ErrorKind::Unavailable, "the service is down");
        let result = if self.works { Ok(vectors) } else { Err(down()) };
        std::future::ready(result).boxed()
    }
}
