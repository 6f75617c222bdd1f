//! `search`: chunks by their words.

use futures::FutureExt;
use futures::future::BoxFuture;
use perennial_query::tool::{Call, Tool, ToolAnswer, ToolError, ToolSpec};
use serde_json::json;

use super::arguments::{Asked, asked};
use super::{answer, library_warnings, search_spec};
use crate::index::Lexical;
use crate::library::{Library, LibraryError, State, blocking};

/// The tool.
#[derive(Debug)]
pub(super) struct Search {
    documents: Library,
    spec: ToolSpec,
}

impl Search {
    pub(super) fn new(library: &Library) -> Self {
        let description = "Finds passages of documents by their words (BM25). Words in double quotes must \
                           stand together; no other character has a meaning.";
        Self { documents: library.clone(), spec: search_spec("search", description) }
    }
}

impl Tool for Search {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn data_version(&self) -> u64 {
        self.documents.version()
    }

    fn call<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<ToolAnswer, ToolError>> {
        async move {
            let asked = asked(call)?;
            let state = self.documents.state();
            blocking(move || {
                let lexical = lexical(&state, &asked, asked.top_k)?;
                let mut warnings = library_warnings(&state);
                warnings.extend(lexical_warnings(&lexical));
                Ok(answer(&state, &lexical.found, json!({}), warnings))
            })
            .await
        }
        .boxed()
    }
}

/// The best by words of what may be seen.
pub(super) fn lexical(state: &State, asked: &Asked, most: usize) -> Result<Lexical, ToolError> {
    let scope = state.scope(&asked.identity, &asked.filter);
    let found = state.text.search(&asked.query, &scope, most);
    Ok(found.map_err(LibraryError::from)?)
}

pub(super) fn lexical_warnings(lexical: &Lexical) -> Vec<String> {
    let empty = lexical.empty.then(|| "the query has no words to look for".to_owned());
    let dropped = (lexical.dropped > 0)
        .then(|| format!("the last {} words of the query were not looked for", lexical.dropped));
    empty.into_iter().chain(dropped).collect()
}
