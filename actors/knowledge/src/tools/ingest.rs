//! `ingest`: takes a document into the library.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use perennial_query::plan::ValueType;
use perennial_query::tool::{Call, Parameter, Tool, ToolAnswer, ToolError, ToolSpec, Trace};
use serde_json::{Value, json};

use super::EMBEDDER_GROUP;
use super::arguments::{choice, required, strings, text};
use crate::document::Format;
use crate::library::{Ingested, Library, Submission, from_base64};

/// A large document, and an embedder that is far away, take their time.
const TIMEOUT: Duration = Duration::from_secs(120);
/// What a role must be allowed.
const PERMISSION: &str = "ingest";

/// The tool.
#[derive(Debug)]
pub(super) struct Ingest {
    documents: Library,
    spec: ToolSpec,
}

impl Ingest {
    pub(super) fn new(library: &Library) -> Self {
        let description = "Takes a document into the library, or replaces the one of the same name and team. \
                           The same document again changes nothing.";
        let optional = Parameter::optional;
        let formats = Format::ALL.map(|(name, _)| name);
        let spec = ToolSpec {
            group: EMBEDDER_GROUP.to_owned(),
            permission: Some(PERMISSION.to_owned()),
            timeout: TIMEOUT,
            changes_world: true,
            ..ToolSpec::new("ingest", description)
        };
        let spec = spec
            .parameter(Parameter::required(
                "name",
                ValueType::String,
                "What the document is called, such as its file's name.",
            ))
            .parameter(optional(
                "title",
                ValueType::String,
                "For people; if not given, what the document says.",
            ))
            .parameter(
                Parameter::required(
                    "format",
                    ValueType::String,
                    "What it is written in. Parquet is asked with the tool `sql` instead.",
                )
                .of(&formats),
            )
            .parameter(optional("content", ValueType::String, "The document, if it is text."))
            .parameter(optional(
                "content_base64",
                ValueType::String,
                "The document's bytes in base64, if it is not.",
            ))
            .parameter(optional(
                "metadata",
                ValueType::Object,
                "Names and values that searches can ask for; strings.",
            ))
            .parameter(optional(
                "team",
                ValueType::String,
                "Who may see it; everybody if not given.",
            ));
        Self { documents: library.clone(), spec }
    }
}

impl Tool for Ingest {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn data_version(&self) -> u64 {
        self.documents.version()
    }

    fn call<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<ToolAnswer, ToolError>> {
        async move {
            let ingested = self.documents.ingest(submission(call)?, &call.identity).await?;
            Ok(answer(ingested))
        }
        .boxed()
    }

    /// Whatever a crash left of it, doing it again completes it and changes nothing else.
    fn reconcile<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Trace> {
        async move {
            let Ok(submission) = submission(call) else { return Trace::NotDone };
            match self.documents.holds(submission, &call.identity).await {
                Ok(Some(ingested)) => Trace::Done(Ok(answer(ingested))),
                Ok(None) | Err(_) => Trace::NotDone,
            }
        }
        .boxed()
    }

    /// A document that is being written when the call is told to end is completed all the same.
    fn tells_apart(&self, _call: &Call) -> bool {
        false
    }
}

fn submission(call: &Call) -> Result<Submission, ToolError> {
    let format = choice(call, "format", &Format::ALL)?;
    let format = format.ok_or_else(|| ToolError::invalid("format is required"))?;
    let content = match (text(call, "content")?, text(call, "content_base64")?) {
        (Some(text), None) => text.into_bytes(),
        (None, Some(encoded)) => from_base64(&encoded)?,
        (Some(_), Some(_)) | (None, None) => {
            return Err(ToolError::invalid("give either content or content_base64"));
        }
    };
    Ok(Submission {
        name: required(call, "name")?,
        title: text(call, "title")?,
        format,
        content,
        metadata: strings(call, "metadata")?,
        team: text(call, "team")?,
    })
}

fn answer(ingested: Ingested) -> ToolAnswer {
    let (outcome, reason) = (&ingested.outcome, ingested.outcome.reason());
    let value: Value = json!({
        "document": ingested.document.as_str(),
        "status": outcome.as_str(),
        "kept": outcome.is_kept(),
        "reason": reason,
        "chunks": ingested.chunks,
        "repeated_chunks": ingested.repeated,
        "characters": ingested.characters,
        "sanitized": ingested.sanitized,
    });
    let mut warnings = ingested.warnings;
    warnings.extend(reason.map(|reason| format!("the document was not taken: {reason}")));
    ToolAnswer { warnings, ..ToolAnswer::from(value) }
}
