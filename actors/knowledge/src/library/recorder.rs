//! Who put what in, and what came of it, for whoever keeps that.

use std::fmt::Debug;
use std::sync::Arc;

use futures::future::BoxFuture;
use perennial_query::tool::{Identity, ToolError};

use super::{Ingested, Library};
use crate::document::DocumentId;

/// A document that was accepted and has ended.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The document.
    pub document: DocumentId,
    /// What its team calls it.
    pub name: String,
    /// Who put it in.
    pub by: Identity,
    /// What became of it.
    pub result: Result<Ingested, ToolError>,
}

/// Keeps what became of accepted documents.
pub trait Recorder: Debug + Send + Sync {
    /// Keeps it durably. What cannot be kept is taken in again after the next start, which changes nothing but is
    /// told again.
    fn taken<'a>(&'a self, taken: &'a Taken) -> BoxFuture<'a, Result<(), String>>;
}

impl Library {
    /// Has what becomes of accepted documents told to `recorder`, from now on. Called once, before
    /// [`take_in`](Self::take_in).
    pub fn record_with(&self, recorder: Arc<dyn Recorder>) {
        if self.inner.recorder.set(recorder).is_err() {
            tracing::error!("who keeps what becomes of documents was said twice; the first does");
        }
    }
}
