//! The library: documents on the disk, and what is known of them in memory.
//!
//! A document is stored by writing three things, each whole or not at all: its vectors, its record in the log of the
//! documents, and its entries in the full-text index. The record is the truth. A crash before it leaves vectors that fit
//! no document, and those of the version before it, which count until the record is written; a crash after it leaves an index that lacks the document, which
//! [`Library::open`] finds by a seal in the index, and mends by counting. So storing a document again changes nothing that is
//! there and completes what is not.

mod entry;
mod ingest;
mod intake;
mod recorder;
mod shards;
mod state;
mod storing;
mod truth;

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use perennial_query::plan::ErrorKind;
use perennial_query::tool::{Identity, ToolError};

use crate::document::{Document, DocumentId, Header};
use crate::embed::{Embedder, HashedNgrams};
use crate::files::{self, FileError};
use crate::index::{IndexError, TextIndex};
use crate::sanitize::{SanitizeOptions, Sanitizer};
use crate::text::unhex;
use crate::vectors::{DocumentVectors, VectorFiles};

pub(crate) use entry::{Entry, Version};
pub use ingest::{Ingested, Outcome, Submission, from_base64};
use intake::Intake;
pub use intake::{Progress, Stage, Ticket};
pub use recorder::{Recorder, Taken};
pub(crate) use shards::{Key, Shards};
pub use state::Filter;
pub(crate) use state::{Slot, State};
use storing::Queue;
pub(crate) use truth::Truth;

/// What the folder is, for later versions.
const FORMAT: &str = "perennial-knowledge 2\n";
/// What it was when each document was a file of its own: it is brought to the newer format when it is opened.
const FORMAT_1: &str = "perennial-knowledge 1\n";

/// How much is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one document.
    pub document_bytes: usize,
    /// Chunks of one document.
    pub document_chunks: usize,
    /// Chunks of all documents; a short document needs about a kilobyte of memory with the built-in embedder.
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
        "the library is `{0}`, and this version reads `perennial-knowledge 2` and `1`; use the version that wrote it"
    )]
    Version(String),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The full-text index could not be read or written.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// What is stored of a document is not as it was written.
    #[error(
        "what is stored of {document} is damaged: {why}; restore it from a backup or ingest the document again"
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

/// Something that is not as it was written. Its document is not found until it is ingested again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// The name of the file that it is in.
    pub file: String,
    /// The document, if it is known which one it was.
    pub document: Option<DocumentId>,
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
    /// What cannot be read.
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
    queue: Mutex<Queue>,
    /// Whether a change of the index has failed, and is to be completed.
    behind: AtomicBool,
    /// Held while something is changed.
    writing: Mutex<()>,
    _lock: File,
}

impl Library {
    /// Opens the library in `folder`, or begins one. Reads what is stored once, and mends the full-text index.
    /// Vectors that are missing are made by [`catch_up`](Self::catch_up). One of format 1 is brought to format 2. Blocks.
    ///
    /// # Errors
    ///
    /// Why it cannot be used. A damaged document is none: it is left out, and [`status`](Self::status) names it.
    pub fn open(folder: &Path, config: Config) -> Result<Self, LibraryError> {
        files::create_dir(folder)?;
        let lock = lock(folder)?;
        check_format(folder)?;
        let index = TextIndex::open(&folder.join("index"))?;
        let mut state = State::new(index.searcher());
        let truth = Truth::open(folder.join("documents"), &mut state)?;
        let embedder = config.embedder.name();
        let vectors = open_vectors(folder.join("vectors"), embedder, &truth, &mut state)?;
        let damaged = truth.damaged();
        for Damaged { file, document, why } in &damaged {
            let document = document.as_ref().map(DocumentId::as_str);
            tracing::error!(file, document, why, "what cannot be read is left out");
        }
        let added = index.catch_up(&state, &truth)?;
        if added > 0 {
            tracing::info!(documents = added, "the full-text index was caught up");
        }
        let state = state.opened(damaged, index.searcher());
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
            behind: AtomicBool::new(false),
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
        let (entry, slot) = (state.get(document, identity)?, state.slot(document)?);
        let (header, version) = (entry.header()?, entry.version());
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
        found.filter_map(|slot| slot.entry.header()).collect()
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

/// The log of the vectors; what fits the documents is put into `state`.
fn open_vectors(
    root: PathBuf,
    embedder: &str,
    truth: &Truth,
    state: &mut State,
) -> Result<VectorFiles, LibraryError> {
    let vectors =
        VectorFiles::open(root, embedder, &mut |key, kept| state.find_vectors(key, kept))?;
    let version_of = |id: &DocumentId, vectors: &DocumentVectors| {
        let (document, version) = truth.read(id).ok()?;
        unhex(&version).filter(|_| vectors.are_of(chunks(&document)))
    };
    let mut see = |key: &Key, kept| state.set_vectors(key, kept);
    vectors.take_in_files(embedder, &version_of, &mut see)?;
    Ok(vectors)
}

/// Nothing of a newer format is written before the folder says so: a version that does not know it must not open it.
fn check_format(folder: &Path) -> Result<(), LibraryError> {
    let path = folder.join("FORMAT");
    if !path.exists() {
        return Ok(files::replace(&path, FORMAT.as_bytes())?);
    }
    let found = String::from_utf8_lossy(&files::read(&path)?).into_owned();
    match found.as_str() {
        FORMAT => Ok(()),
        FORMAT_1 => Ok(files::replace(&path, FORMAT.as_bytes())?),
        other => Err(LibraryError::Version(other.trim().to_owned())),
    }
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
