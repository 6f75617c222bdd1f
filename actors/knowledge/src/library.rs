//! The library: documents on the disk, and what is known of them in memory.
//!
//! A document is stored by writing three things, each whole or not at all: its vectors, its file, and its entries
//! in the full-text index. The file is the truth. A crash before it leaves vectors that fit no document, which
//! count as missing; a crash after it leaves an index that lacks the document, which
//! [`Library::open`] finds by counting and mends. So storing a document again changes nothing that is there
//! and completes what is not.

mod ingest;
mod intake;
mod recorder;
mod shards;
mod state;
mod storing;
mod truth;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use perennial_query::plan::ErrorKind;
use perennial_query::tool::{Identity, ToolError};

use crate::document::{Document, DocumentId, Header};
use crate::embed::{Embedder, HashedNgrams};
use crate::files::{self, FileError};
use crate::index::{IndexError, TextIndex};
use crate::sanitize::{SanitizeOptions, Sanitizer};
use crate::vectors::VectorFiles;

pub use ingest::{Ingested, Outcome, Submission, from_base64};
use intake::Intake;
pub use intake::{Progress, Stage, Ticket};
pub use recorder::{Recorder, Taken};
pub use state::Filter;
pub(crate) use state::{Entry, Slot, State};
use storing::Waiting;
pub(crate) use truth::Truth;

/// What the folder is, for later versions.
const FORMAT: &str = "perennial-knowledge 1\n";

/// How much is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one document.
    pub document_bytes: usize,
    /// Chunks of one document.
    pub document_chunks: usize,
    /// Chunks of all documents; each needs about a kilobyte of memory with the built-in embedder.
    pub chunks: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { document_bytes: 16 << 20, document_chunks: 20_000, chunks: 500_000 }
    }
}

/// How a library works.
#[derive(Clone)]
pub struct Config {
    /// What makes vectors.
    pub embedder: Arc<dyn Embedder>,
    /// What is taken out of text beyond what always is.
    pub sanitize: SanitizeOptions,
    /// How much is taken.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            embedder: Arc::new(HashedNgrams),
            sanitize: SanitizeOptions::default(),
            limits: Limits::default(),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Config")
            .field("embedder", &self.embedder.name())
            .field("sanitize", &self.sanitize)
            .field("limits", &self.limits)
            .finish()
    }
}

/// Why a library cannot be opened, read or changed.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// Another process has it.
    #[error("the library at {0} is in use by another process; stop that one first")]
    InUse(String),
    /// It was written by another version.
    #[error(
        "the library is `{0}`, and this version reads `perennial-knowledge 1`; use the version that wrote it"
    )]
    Version(String),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The full-text index could not be read or written.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The file of a document is not as it was written.
    #[error(
        "the file of {document} is damaged: {why}; restore it from a backup or ingest the document again"
    )]
    Damaged {
        /// The document.
        document: DocumentId,
        /// What is wrong with it.
        why: String,
    },
    /// A document cannot be written as JSON.
    #[error("a document cannot be written: {0}")]
    Encode(#[from] serde_json::Error),
    /// A pattern of the sanitiser is malformed.
    #[error("the sanitiser cannot be made: {0}")]
    Sanitizer(#[from] regex::Error),
}

impl From<LibraryError> for ToolError {
    fn from(error: LibraryError) -> Self {
        let kind = match &error {
            LibraryError::InUse(_) | LibraryError::File(_) | LibraryError::Index(_) => {
                ErrorKind::Unavailable
            }
            LibraryError::Version(_)
            | LibraryError::Damaged { .. }
            | LibraryError::Encode(_)
            | LibraryError::Sanitizer(_) => ErrorKind::Failed,
        };
        Self::new(kind, error)
    }
}

/// A file that is not as it was written. Its document is not found until it is ingested again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// The file's name.
    pub file: String,
    /// What is wrong with it.
    pub why: String,
}

/// A document that is in the library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What is known of it.
    pub header: Header,
    /// Changes with it.
    pub version: String,
    /// Whether it can be found by likeness.
    pub vectors: bool,
}

/// How a library is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Documents that can be found.
    pub documents: usize,
    /// Their chunks.
    pub chunks: usize,
    /// Documents that have no vectors of the embedder.
    pub without_vectors: usize,
    /// The embedder's name.
    pub embedder: String,
    /// Files that cannot be read.
    pub damaged: Vec<Damaged>,
}

/// Documents, and what finds them. Cheap to clone; all clones are one library.
#[derive(Clone)]
pub struct Library {
    inner: Arc<Inner>,
}

impl fmt::Debug for Library {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Library").field("status", &self.status()).finish_non_exhaustive()
    }
}

struct Inner {
    config: Config,
    sanitizer: Sanitizer,
    truth: Truth,
    index: TextIndex,
    vectors: VectorFiles,
    intake: Intake,
    /// Keeps what becomes of what was accepted, if somebody does.
    recorder: OnceLock<Arc<dyn Recorder>>,
    /// Replaced as a whole after each change, so that a search sees one time only.
    state: RwLock<Arc<State>>,
    /// Documents that wait to be stored.
    queue: Mutex<Vec<Waiting>>,
    /// Held while something is changed.
    writing: Mutex<()>,
    _lock: File,
}

impl Library {
    /// Opens the library in `folder`, or begins one. Reads every document once, and mends the full-text index.
    /// Vectors that are missing are made by [`catch_up`](Self::catch_up). Blocks.
    ///
    /// # Errors
    ///
    /// Why it cannot be used. A damaged document is none: it is left out, and [`status`](Self::status) names it.
    pub fn open(folder: &Path, config: Config) -> Result<Self, LibraryError> {
        files::create_dir(folder)?;
        let lock = lock(folder)?;
        check_format(folder)?;
        let truth = Truth::open(folder.join("documents"))?;
        let vectors = VectorFiles::open(folder.join("vectors"), config.embedder.name())?;
        vectors.sweep()?;
        let index = TextIndex::open(&folder.join("index"))?;
        let mut known = BTreeMap::new();
        let (entries, damaged) = truth.scan(|document| {
            let id = &document.header.id;
            let read = vectors.read(id).filter(|read| read.are_of(chunks(document)));
            known.extend(read.map(|read| (id.clone(), Arc::new(read))));
        })?;
        for Damaged { file, why } in &damaged {
            tracing::error!(file, why, "a document cannot be read and is left out");
        }
        let added = index.catch_up(&entries, &truth)?;
        if added > 0 {
            tracing::info!(documents = added, "the full-text index was caught up");
        }
        let slots = entries.into_iter().map(|entry| {
            let vectors = known.remove(&entry.header.id);
            Slot { entry, vectors }
        });
        let state = State::new(slots.collect(), damaged, index.searcher());
        let inner = Inner {
            sanitizer: Sanitizer::new()?,
            config,
            truth,
            index,
            vectors,
            intake: Intake::open(&folder.join("accepted"))?,
            recorder: OnceLock::new(),
            state: RwLock::new(Arc::new(state)),
            queue: Mutex::default(),
            writing: Mutex::new(()),
            _lock: lock,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// How the library is.
    #[must_use]
    pub fn status(&self) -> Status {
        let state = self.state();
        Status {
            documents: state.len(),
            chunks: state.chunks(),
            without_vectors: state.lacking_vectors(),
            embedder: self.inner.config.embedder.name().to_owned(),
            damaged: state.damaged.clone(),
        }
    }

    /// How much is taken.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.inner.config.limits
    }

    /// The document of this id, if it is there and `identity` may see it.
    #[must_use]
    pub fn find(&self, document: &DocumentId, identity: &Identity) -> Option<Found> {
        let state = self.state();
        state.get(document, identity)?;
        let slot = state.slot(document)?;
        let (header, version) = (slot.entry.header.clone(), slot.entry.version.clone());
        Some(Found { header, version, vectors: slot.vectors.is_some() })
    }

    /// At most `most` of the documents that `identity` may see and `filter` admits, in the order of their ids,
    /// behind `after` if that is given.
    #[must_use]
    pub fn list(
        &self,
        identity: &Identity,
        filter: &Filter,
        after: Option<&DocumentId>,
        most: usize,
    ) -> Vec<Header> {
        let (state, after) = (self.state(), after.map(DocumentId::key));
        let found = state.visible_after(after.as_ref(), identity, filter).take(most);
        found.map(|slot| slot.entry.header.clone()).collect()
    }

    /// Another number whenever what searches find may have changed, also after a restart.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.state().version(self.inner.config.embedder.name())
    }

    /// Reads a document from the disk. Blocks.
    ///
    /// # Errors
    ///
    /// Why it cannot be read.
    pub fn read(&self, document: &DocumentId) -> Result<Document, LibraryError> {
        self.inner.truth.read(document).map(|(document, _)| document)
    }

    pub(crate) fn state(&self) -> Arc<State> {
        Arc::clone(&self.inner.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn embedder(&self) -> &Arc<dyn Embedder> {
        &self.inner.config.embedder
    }

    pub(crate) fn sanitizer(&self) -> &Sanitizer {
        &self.inner.sanitizer
    }
}

impl Inner {
    /// What is behind the lock is nothing, so a panic under it has broken nothing.
    fn write_lock(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set_state(&self, state: State) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(state);
    }
}

fn chunks(document: &Document) -> impl Iterator<Item = crate::ChunkId> {
    document.chunks.iter().map(|chunk| chunk.id)
}

fn lock(folder: &Path) -> Result<File, LibraryError> {
    let path = folder.join("LOCK");
    let opened = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = opened.map_err(FileError::of(format!("open {}", path.display())))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LibraryError::InUse(folder.display().to_string())),
        Err(TryLockError::Error(error)) => {
            Err(FileError::of(format!("lock {}", path.display()))(error).into())
        }
    }
}

fn check_format(folder: &Path) -> Result<(), LibraryError> {
    let path = folder.join("FORMAT");
    if !path.exists() {
        return Ok(files::replace(&path, FORMAT.as_bytes())?);
    }
    let found = String::from_utf8_lossy(&files::read(&path)?).into_owned();
    if found == FORMAT { Ok(()) } else { Err(LibraryError::Version(found.trim().to_owned())) }
}

/// Does work that blocks on threads for that. A panic in it is an error.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ToolError> + Send + 'static,
) -> Result<T, ToolError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(ToolError::failed(format!("the work on documents was broken off: {error}")))
    })
}

#[cfg(test)]
mod tests;
