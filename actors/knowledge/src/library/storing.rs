//! Storing documents: what waits is stored together, for a sync and a commit of the index take as long for a
//! thousand documents as for one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use perennial_query::plan::ErrorKind;
use perennial_query::tool::ToolError;

use super::ingest::{Outcome, Prepared};
use super::{Entry, Inner, LibraryError, Slot, State, Truth};
use crate::document::DocumentId;
use crate::files;
use crate::vectors::DocumentVectors;

/// Bytes of files that are written together, so that memory stays bounded.
const MOST_BYTES: usize = 32 << 20;

/// A document that waits to be stored. Cheap to clone; all clones are one.
#[derive(Clone)]
pub(super) struct Waiting(Arc<Stored>);

struct Stored {
    prepared: Prepared,
    vectors: Arc<DocumentVectors>,
    cancelled: Arc<AtomicBool>,
    /// What became of it.
    outcome: Mutex<Option<Result<Outcome, ToolError>>>,
}

impl Waiting {
    pub(super) fn new(
        prepared: Prepared,
        vectors: DocumentVectors,
        cancelled: Arc<AtomicBool>,
    ) -> Self {
        let (vectors, outcome) = (Arc::new(vectors), Mutex::default());
        Self(Arc::new(Stored { prepared, vectors, cancelled, outcome }))
    }

    fn outcome(&self) -> Option<Result<Outcome, ToolError>> {
        self.0.outcome.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn settle(&self, outcome: Result<Outcome, ToolError>) {
        *self.0.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }
}

/// What is written together: the last version of each document, and whom to tell.
#[derive(Default)]
struct Batch {
    last: BTreeMap<DocumentId, Waiting>,
    told: Vec<(Waiting, Outcome)>,
}

impl Inner {
    /// Stores a document, with others that wait at the same time: vectors, files, index, then memory. See the
    /// library's own description for the order.
    pub(super) fn store(&self, waiting: &Waiting) -> Result<Outcome, ToolError> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push(waiting.clone());
        loop {
            let _writing = self.write_lock();
            // Whoever had the lock may have stored this one as well.
            if let Some(outcome) = waiting.outcome() {
                return outcome;
            }
            let next = self.next();
            if next.is_empty() {
                // Who was to store it died of it.
                return Err(ToolError::failed("the storing of documents was broken off"));
            }
            self.store_together(&next);
        }
    }

    /// What is stored next: the first of what waits, as much as fits.
    fn next(&self) -> Vec<Waiting> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = 0;
        let fits = queue.iter().take_while(|waiting| {
            let first = bytes == 0;
            bytes += waiting.0.prepared.file.len();
            first || bytes <= MOST_BYTES
        });
        let many = fits.count();
        queue.drain(..many).collect()
    }

    fn store_together(&self, all: &[Waiting]) {
        let mut state = State::clone(&self.state());
        let mut batch = Batch::default();
        for waiting in all {
            match self.place(&mut state, waiting) {
                Ok((outcome, true)) => {
                    let id = waiting.0.prepared.document.header.id.clone();
                    batch.last.insert(id, waiting.clone());
                    batch.told.push((waiting.clone(), outcome));
                }
                Ok((outcome, false)) => waiting.settle(Ok(outcome)),
                Err(error) => waiting.settle(Err(error)),
            }
        }
        if batch.told.is_empty() {
            return;
        }
        match self.write(&mut state, &batch) {
            Ok(()) => {
                self.set_state(state);
                batch.told.into_iter().for_each(|(waiting, outcome)| waiting.settle(Ok(outcome)));
            }
            Err(error) => {
                let error = ToolError::from(error);
                batch.told.iter().for_each(|(waiting, _)| waiting.settle(Err(error.clone())));
            }
        }
    }

    /// What becomes of a document, and whether it has to be written for that.
    fn place(&self, state: &mut State, waiting: &Waiting) -> Result<(Outcome, bool), ToolError> {
        let Stored { prepared, vectors, cancelled, .. } = &*waiting.0;
        if cancelled.load(Ordering::Relaxed) {
            let why = "nobody waits for the document any more";
            return Err(ToolError::new(ErrorKind::Cancelled, why));
        }
        // Another call may have been faster.
        if let Some(outcome) = self.settled(state, prepared)? {
            return Ok((outcome, false));
        }
        let (header, version) = (&prepared.document.header, &prepared.version);
        let outcome = match state.slot(&header.id) {
            None => Outcome::Added,
            // Only its vectors were missing.
            Some(old) if old.entry.version == *version => Outcome::Unchanged,
            Some(_) => Outcome::Replaced,
        };
        let entry = Arc::new(Entry { header: header.clone(), version: version.clone() });
        state.put(Slot { entry, vectors: Some(Arc::clone(vectors)) });
        let file = Truth::file_name(&header.id);
        state.damaged.retain(|damaged| damaged.file != file);
        Ok((outcome, true))
    }

    fn write(&self, state: &mut State, batch: &Batch) -> Result<(), LibraryError> {
        let mut vectors = Vec::with_capacity(batch.last.len());
        for (id, waiting) in &batch.last {
            vectors.push(self.vectors.file(id, &waiting.0.vectors)?);
        }
        let vectors = vectors.iter().map(|(path, bytes)| (path.clone(), bytes.as_slice()));
        let documents = batch
            .last
            .iter()
            .map(|(id, waiting)| (self.truth.path(id), waiting.0.prepared.file.as_slice()));
        let contents: Vec<(PathBuf, &[u8])> = vectors.chain(documents).collect();
        files::replace_all(&contents)?;
        let prepared = batch.last.values().map(|waiting| &waiting.0.prepared);
        self.index.replace(prepared.map(|new| (&new.document, new.version.as_str())))?;
        state.text = self.index.searcher();
        Ok(())
    }

    /// Adds vectors to a document, unless it has changed meanwhile.
    pub(super) fn add_vectors(
        &self,
        entry: &Arc<Entry>,
        vectors: DocumentVectors,
    ) -> Result<(), LibraryError> {
        let _writing = self.write_lock();
        let mut state = State::clone(&self.state());
        let id = &entry.header.id;
        if state.slot(id).is_some_and(|now| now.entry.version == entry.version) {
            self.vectors.write(id, &vectors)?;
            state.put(Slot { entry: Arc::clone(entry), vectors: Some(Arc::new(vectors)) });
            self.set_state(state);
        }
        Ok(())
    }

    /// Removes a document, and says whether there was any of it.
    pub(super) fn discard(&self, document: &DocumentId) -> Result<bool, LibraryError> {
        let _writing = self.write_lock();
        let withdrawn = self.intake.withdraw(document);
        let mut state = State::clone(&self.state());
        if state.slot(document).is_none() {
            return Ok(withdrawn);
        }
        self.truth.remove(document)?;
        self.index.remove(document)?;
        self.vectors.remove(document)?;
        state.take(document);
        state.text = self.index.searcher();
        self.set_state(state);
        Ok(true)
    }
}
