//! `sanitize`: makes untrusted text fit for a model.

use futures::FutureExt;
use futures::future::BoxFuture;
use perennial_query::plan::ValueType;
use perennial_query::tool::{Call, Parameter, Tool, ToolAnswer, ToolError, ToolSpec};
use serde_json::{Value, json};

use super::GROUP;
use super::arguments::{choice, required};
use crate::library::{Library, blocking};
use crate::sanitize::{Purpose, SanitizeOptions};

/// What a text may be, by name.
const PURPOSES: [(&str, Purpose); 3] =
    [("plain", Purpose::Plain), ("toc", Purpose::Toc), ("index", Purpose::Index)];

/// The tool.
#[derive(Debug)]
pub(super) struct Sanitize {
    documents: Library,
    spec: ToolSpec,
}

impl Sanitize {
    pub(super) fn new(library: &Library) -> Self {
        let description = "Takes out of untrusted text what is meant to act on a program or a model, and says \
                           what and how often. Ordinary text stays as it is.";
        let flag = |name, what| Parameter::optional(name, ValueType::Boolean, what);
        let purposes = PURPOSES.map(|(name, _)| name);
        let spec = ToolSpec { group: GROUP.to_owned(), ..ToolSpec::new("sanitize", description) }
            .parameter(Parameter::required("text", ValueType::String, "The text."))
            .parameter(
                Parameter::optional(
                    "purpose",
                    ValueType::String,
                    "What the text is; plain if not given.",
                )
                .of(&purposes),
            )
            .parameter(flag("code_fences", "Whether to take out fenced code as well."))
            .parameter(flag(
                "markdown",
                "Whether to take out addresses of Markdown links as well.",
            ));
        Self { documents: library.clone(), spec }
    }
}

impl Tool for Sanitize {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn call<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<ToolAnswer, ToolError>> {
        async move {
            let text = required(call, "text")?;
            let purpose = choice(call, "purpose", &PURPOSES)?.unwrap_or_default();
            let flag =
                |name| call.arguments.0.get(name).and_then(Value::as_bool).unwrap_or_default();
            let options =
                SanitizeOptions { code_fences: flag("code_fences"), markdown: flag("markdown") };
            let library = self.documents.clone();
            blocking(move || {
                let result = library.sanitizer().sanitize(&text, purpose, &options);
                let removed: u64 = result.counts.values().sum();
                Ok(ToolAnswer::from(json!({
                    "text": result.text,
                    "counts": result.counts,
                    "removed": removed,
                    "too_short": result.too_short,
                })))
            })
            .await
        }
        .boxed()
    }
}
