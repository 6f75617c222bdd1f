//! `vector`: chunks by what they are like.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use perennial_query::tool::{Call, Tool, ToolAnswer, ToolError, ToolSpec};
use serde_json::json;

use super::arguments::{Asked, asked};
use super::{EMBEDDER_GROUP, answer, library_warnings, missing_vectors, search_spec};
use crate::document::ChunkId;
use crate::library::{Library, LibraryError, State, blocking};
use crate::vectors::Neighbours;

/// The tool.
#[derive(Debug)]
pub(super) struct VectorSearch {
    documents: Library,
    spec: ToolSpec,
}

impl VectorSearch {
    pub(super) fn new(library: &Library) -> Self {
        let description = "Finds the passages of documents whose vectors are nearest to that of the query \
                           (cosine). Only what the filters admit is compared, and all of it.";
        let spec = search_spec("vector", description);
        Self {
            documents: library.clone(),
            spec: ToolSpec { group: EMBEDDER_GROUP.to_owned(), ..spec },
        }
    }
}

impl Tool for VectorSearch {
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
            let embedder = self.documents.embedder().name().to_owned();
            let near = nearest(&self.documents, &state, &asked, asked.top_k).await?;
            blocking(move || {
                let found = state.text.get(&scored(&near)).map_err(LibraryError::from)?;
                let mut warnings = library_warnings(&state);
                warnings.extend(missing_vectors(near.missing, &embedder));
                Ok(answer(&state, &found, json!({ "embedder": embedder }), warnings))
            })
            .await
        }
        .boxed()
    }
}

/// The nearest of what may be seen.
pub(super) async fn nearest(
    library: &Library,
    state: &Arc<State>,
    asked: &Asked,
    most: usize,
) -> Result<Neighbours, ToolError> {
    let query = library.embedder().embed(std::slice::from_ref(&asked.query)).await?;
    let query = query.into_iter().next();
    let query =
        query.ok_or_else(|| ToolError::failed("the embedder made no vector of the query"))?;
    let (state, asked) = (Arc::clone(state), asked.clone());
    blocking(move || Ok(state.nearest(&query, &asked.identity, &asked.filter, most))).await
}

fn scored(near: &Neighbours) -> Vec<(ChunkId, f64)> {
    near.nearest.iter().map(|near| (near.chunk, f64::from(near.score))).collect()
}
