//! `hybrid`: chunks by their words and by what they are like, joined.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, join};
use perennial_query::tool::{Call, Tool, ToolAnswer, ToolError, ToolSpec};
use serde_json::json;

use super::arguments::{Asked, asked};
use super::search::{lexical, lexical_warnings};
use super::vector::nearest;
use super::{answer, ids, library_warnings, missing_vectors, search_spec};
use crate::document::ChunkId;
use crate::fusion::{K, fuse};
use crate::index::{Found, Lexical};
use crate::library::{Library, LibraryError, State, blocking};
use crate::vectors::Neighbours;

/// Each side is asked for as many times what is wanted.
const ASKED_FOR: usize = 2;

/// The tool.
#[derive(Debug)]
pub(super) struct Hybrid {
    documents: Library,
    spec: ToolSpec,
}

impl Hybrid {
    pub(super) fn new(library: &Library) -> Self {
        let description = "Finds passages of documents by their words and by their vectors, and joins both \
                           rankings (reciprocal rank fusion, k = 60). The usual choice for questions.";
        Self { documents: library.clone(), spec: search_spec("hybrid", description) }
    }

    async fn both(&self, state: &Arc<State>, asked: &Asked) -> Result<Sides, ToolError> {
        let most = ASKED_FOR * asked.top_k;
        let by_words = {
            let (state, asked) = (Arc::clone(state), asked.clone());
            blocking(move || lexical(&state, &asked, most))
        };
        let by_vectors = nearest(&self.documents, state, asked, most);
        let (by_words, by_vectors) = join(by_words, by_vectors).await;
        Sides::new(by_words, by_vectors)
    }
}

impl Tool for Hybrid {
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
            let sides = self.both(&state, &asked).await?;
            blocking(move || {
                let found = sides.fused(&state, asked.top_k)?;
                let mut warnings = library_warnings(&state);
                warnings.extend(lexical_warnings(&sides.lexical));
                warnings.extend(missing_vectors(sides.near.missing, &embedder));
                warnings.extend(sides.warning);
                Ok(answer(&state, &found, json!({ "embedder": embedder }), warnings))
            })
            .await
        }
        .boxed()
    }
}

/// What both searches found.
struct Sides {
    lexical: Lexical,
    near: Neighbours,
    /// Says that one of them failed.
    warning: Option<String>,
}

impl Sides {
    /// One side is enough, and that there was only one is said. An error if both failed.
    fn new(
        lexical: Result<Lexical, ToolError>,
        near: Result<Neighbours, ToolError>,
    ) -> Result<Self, ToolError> {
        let only = |side: &str, error| {
            Some(format!("the search by {side} failed, its ranking is missing: {error}"))
        };
        match (lexical, near) {
            (Ok(lexical), Ok(near)) => Ok(Self { lexical, near, warning: None }),
            (Ok(lexical), Err(error)) => {
                Ok(Self { lexical, near: Neighbours::default(), warning: only("vectors", error) })
            }
            (Err(error), Ok(near)) => {
                Ok(Self { lexical: Lexical::default(), near, warning: only("words", error) })
            }
            (Err(words), Err(vectors)) => Err(ToolError {
                message: format!("{}; and by vectors: {}", words.message, vectors.message),
                ..words
            }),
        }
    }

    fn fused(&self, state: &State, most: usize) -> Result<Vec<Found>, LibraryError> {
        let near: Vec<ChunkId> = self.near.nearest.iter().map(|near| near.chunk).collect();
        let mut fused = fuse(&[ids(&self.lexical.found), near], K);
        fused.truncate(most);
        // What was found by words has been read already.
        let read: BTreeMap<ChunkId, &Found> =
            self.lexical.found.iter().map(|found| (found.chunk, found)).collect();
        let mut found = Vec::with_capacity(fused.len());
        for (id, score) in fused {
            match read.get(&id) {
                Some(read) => found.push(Found { score, ..(*read).clone() }),
                None => found.extend(state.text.get(&[(id, score)])?),
            }
        }
        Ok(found)
    }
}
