//! The library of documents, made of the configuration.

use std::path::Path;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{FutureExt, TryFutureExt};
use perennial_knowledge::{
    Config, Endpoint, Library, LibraryError, Outcome, Recorder, Taken, tools,
};
use perennial_query::audit::{Act, Deed};
use perennial_query::tool::Toolbox;
use perennial_runtime::Runtime;
use tokio::task::spawn_blocking;

use crate::config::Knowledge;
use crate::exit::{Exit, Failure};
use crate::http::keep;

/// Opens the library, if there is to be one; looking through it may take a while, so not on the threads that
/// answer.
pub(super) async fn open(config: Knowledge) -> Result<Option<Library>, Failure> {
    let Some(directory) = config.directory().map(Path::to_owned) else { return Ok(None) };
    let opened = spawn_blocking(move || library(&directory, &config).map(Some));
    opened.await.map_err(|error| Failure::new(Exit::Software, error.to_string()))?
}

/// Has what becomes of documents kept in the audit.
#[derive(Debug)]
struct Kept(Runtime);

impl Recorder for Kept {
    fn taken<'a>(&'a self, taken: &'a Taken) -> BoxFuture<'a, Result<(), String>> {
        let Taken { document, name, by, result } = taken;
        let (result, changes) = match result {
            Ok(ingested) => {
                let changes = match ingested.outcome {
                    Outcome::Added | Outcome::Replaced => true,
                    Outcome::Unchanged | Outcome::Duplicate(_) | Outcome::Refused(_) => false,
                };
                (Ok(ingested.outcome.as_str().to_owned()), changes)
            }
            Err(error) => (Err(error.to_string()), false),
        };
        let deed = Deed {
            act: Act::DocumentAdded,
            object: document.to_string(),
            name: name.clone(),
            by: by.clone(),
            result,
        };
        keep(&self.0, deed, changes).map_err(|error| error.to_string()).boxed()
    }
}

/// Begins what goes on beside everything else: what was accepted is taken in, and vectors are made.
pub(super) fn look_after(library: &Library, runtime: &Runtime) {
    library.record_with(Arc::new(Kept(runtime.clone())));
    tokio::spawn(library.clone().take_in());
    tokio::spawn(catch_up(library.clone()));
}

/// Makes the vectors that are missing since the embedder was changed. What cannot be made now is not found by
/// likeness until the next start, and searches say so.
async fn catch_up(library: Library) {
    match library.catch_up().await {
        Ok(0) => {}
        Ok(documents) => tracing::info!(documents, "vectors were made anew"),
        Err(error) => tracing::warn!(%error, "not all vectors of documents could be made"),
    }
}

/// The same tools on documents of nobody's, for plans that are only checked. They are gone afterwards.
pub(super) fn with_described(toolbox: Toolbox, config: &Knowledge) -> Result<Toolbox, Failure> {
    if config.directory().is_none() {
        return Ok(toolbox);
    }
    let nowhere = tempfile::tempdir()
        .map_err(|error| Failure::new(Exit::Io, format!("a directory cannot be made: {error}")))?;
    Ok(with_tools(toolbox, &library(nowhere.path(), config)?))
}

/// Adds the tools of `library`.
pub(super) fn with_tools(toolbox: Toolbox, library: &Library) -> Toolbox {
    tools(library).into_iter().fold(toolbox, Toolbox::with_shared)
}

fn library(directory: &Path, config: &Knowledge) -> Result<Library, Failure> {
    let mut how = Config { limits: config.limits(), ..Config::default() };
    if let Some(endpoint) = config.endpoint() {
        let refused = |why: String| Failure::new(Exit::Config, format!("knowledge: {why}"));
        let endpoint = Endpoint::new(&endpoint, &config.embeddings_key);
        how.embedder = Arc::new(endpoint.map_err(|error| refused(error.to_string()))?);
    }
    Library::open(directory, how).map_err(|error| {
        let exit = match &error {
            LibraryError::InUse(_) => Exit::Unavailable,
            LibraryError::Version(_) | LibraryError::Damaged { .. } => Exit::Data,
            LibraryError::File(_) | LibraryError::Index(_) => Exit::Io,
            LibraryError::Encode(_) | LibraryError::Sanitizer(_) => Exit::Software,
        };
        Failure::new(exit, format!("the documents in {}: {error}", directory.display()))
    })
}
