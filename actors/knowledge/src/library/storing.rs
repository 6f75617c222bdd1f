//! Storing documents: what waits is stored together, for a sync and a commit of the index take as long for a
//! thousand documents as for one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use perennial_query::plan::ErrorKind;
use perennial_query::tool::ToolError;
use tokio::sync::oneshot;

use super::ingest::{Outcome, Prepared};
use super::{Entry, Inner, Key, Library, LibraryError, Slot, State};
use crate::document::DocumentId;
use crate::vectors::{DocumentVectors, Kept};

/// Bytes of documents that are written together, so that memory stays bounded.
const MOST_BYTES: usize = 32 << 20;

/// A document that waits to be stored. Cheap to clone; all clones are one.
#[derive(Clone)]
pub(super) struct Waiting(Arc<Stored>);

struct Stored {
    prepared: Prepared,
    kept: Kept,
    cancelled: Arc<AtomicBool>,
    /// Who is told what became of it.
    told: Mutex<Option<oneshot::Sender<Result<Outcome, ToolError>>>>,
}

impl Waiting {
    fn settle(&self, outcome: Result<Outcome, ToolError>) {
        let told = self.0.told.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Who does not wait any more need not be told.
        told.map(|told| told.send(outcome));
    }
}

/// Documents that wait to be stored, in the order in which they came.
#[derive(Default)]
pub(super) struct Queue {
    pub(super) waiting: Vec<Waiting>,
    /// Whether somebody stores what waits, until nothing does.
    served: bool,
}

/// Gives the place of who stores up if that ends in a panic. Those who still wait are told by being dropped.
struct Serving<'a>(&'a Inner);

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            *self.0.queue() = Queue::default();
        }
    }
}

/// What is written together: the last version of each document.
type Batch = BTreeMap<Key, Waiting>;
/// What became of a document.
type End = (Waiting, Result<Outcome, ToolError>);

impl Library {
    /// Stores a document, with others that wait at the same time. Once it is called, it is stored unless it is
    /// cancelled before its turn.
    pub(super) async fn store(
        &self,
        prepared: Prepared,
        vectors: DocumentVectors,
        cancelled: Arc<AtomicBool>,
    ) -> Result<Outcome, ToolError> {
        let kept = Kept { version: prepared.entry.version, vectors };
        let (told, outcome) = oneshot::channel();
        let told = Mutex::new(Some(told));
        let waiting = Waiting(Arc::new(Stored { prepared, kept, cancelled, told }));
        let serve = {
            let mut queue = self.inner.queue();
            queue.waiting.push(waiting);
            !std::mem::replace(&mut queue.served, true)
        };
        if serve {
            let inner = Arc::clone(&self.inner);
            // Not waited for: it goes on with what others bring.
            drop(tokio::task::spawn_blocking(move || inner.serve()));
        }
        let broken_off = |_| ToolError::failed("the storing of documents was broken off");
        outcome.await.map_err(broken_off)?
    }
}

impl Inner {
    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores what waits until nothing does: vectors, files, index, then memory. See the library's own description
    /// for the order.
    fn serve(self: Arc<Self>) {
        loop {
            let ends = self.store_next();
            let settle = || ends.into_iter().for_each(|(waiting, end)| waiting.settle(end));
            if !self.goes_on() {
                // Whoever is told last may open the folder anew.
                drop(self);
                return settle();
            }
            settle();
        }
    }

    /// Whether something waits. If nothing does, whoever comes next serves.
    fn goes_on(&self) -> bool {
        let mut queue = self.queue();
        queue.served = !queue.waiting.is_empty();
        queue.served
    }

    /// What is stored next: the first of what waits, as much as fits.
    fn next(&self) -> Vec<Waiting> {
        let mut queue = self.queue();
        let mut bytes = 0;
        let fits = queue.waiting.iter().take_while(|waiting| {
            let first = bytes == 0;
            bytes += waiting.0.prepared.file.len();
            first || bytes <= MOST_BYTES
        });
        let many = fits.count();
        queue.waiting.drain(..many).collect()
    }

    fn store_next(&self) -> Vec<End> {
        let _serving = Serving(self);
        let _writing = self.write_lock();
        let mut state = State::clone(&self.state());
        let (mut last, mut ends) = (Batch::new(), Vec::new());
        for waiting in self.next() {
            let placed = self.place(&mut state, &waiting);
            if let Ok((_, true)) = placed {
                last.insert(waiting.0.prepared.entry.key, waiting.clone());
            }
            ends.push((waiting, placed.map(|(outcome, _)| outcome)));
        }
        if last.is_empty() {
            return ends;
        }
        match self.write(&mut state, &last) {
            Ok(()) => self.set_state(state),
            Err(error) => {
                let error = ToolError::from(error);
                // One that is not written may say what it says because of another that was to be.
                ends.iter_mut().filter(|(_, end)| end.is_ok()).for_each(|(_, end)| {
                    *end = Err(error.clone());
                });
            }
        }
        ends
    }

    /// What becomes of a document, and whether it has to be written for that.
    fn place(&self, state: &mut State, waiting: &Waiting) -> Result<(Outcome, bool), ToolError> {
        let Stored { prepared, kept, cancelled, .. } = &*waiting.0;
        if cancelled.load(Ordering::Relaxed) {
            let why = "nobody waits for the document any more";
            return Err(ToolError::new(ErrorKind::Cancelled, why));
        }
        // Another call may have been faster.
        if let Some(outcome) = self.settled(state, prepared)? {
            return Ok((outcome, false));
        }
        let outcome = match state.slot(&prepared.document.header.id) {
            None => Outcome::Added,
            // Only its vectors were missing.
            Some(old) if old.entry.version == prepared.entry.version => Outcome::Unchanged,
            Some(_) => Outcome::Replaced,
        };
        let (entry, vectors) = (Arc::clone(&prepared.entry), kept.vectors.clone());
        state.put(Slot { entry, vectors: Some(vectors) });
        Ok((outcome, true))
    }

    fn write(&self, state: &mut State, batch: &Batch) -> Result<(), LibraryError> {
        let all = || batch.iter().map(|(key, waiting)| (*key, &*waiting.0));
        let files = || all().map(|(key, new)| (key, new.prepared.file.as_slice()));
        let vectors = all().map(|(key, new)| (key, &new.kept));
        // Until the new versions are durable the old ones count, and their vectors may have cost money.
        self.vectors.put_then(vectors, || self.truth.put(files()))?;
        let documents = all().map(|(_, new)| (&new.prepared.document, &*new.prepared.entry));
        self.index.replace(documents, &state.seal())?;
        state.damaged = self.truth.damaged();
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
        if state.slot(&entry.id()).is_some_and(|now| now.entry.version == entry.version) {
            let kept = Kept { version: entry.version, vectors };
            self.vectors.put([(entry.key, &kept)].into_iter())?;
            state.set_vectors(&entry.key, Some(kept));
            self.set_state(state);
        }
        Ok(())
    }

    /// Lets go of the parts of the index that were joined to others since the last change.
    pub(super) fn refresh(&self) -> Result<(), LibraryError> {
        let _writing = self.write_lock();
        if self.index.refresh()? {
            let mut state = State::clone(&self.state());
            state.text = self.index.searcher();
            self.set_state(state);
        }
        Ok(self.index.sweep()?)
    }

    /// Removes a document, and says whether there was any of it.
    pub(super) fn discard(&self, document: &DocumentId) -> Result<bool, LibraryError> {
        let _writing = self.write_lock();
        let withdrawn = self.intake.withdraw(document)?;
        let mut state = State::clone(&self.state());
        // Whatever is known of it: a write that failed may have left it, and a damaged one is to go as well.
        let stored = self.truth.remove(document)?;
        let vectors = self.vectors.remove(document)?;
        let found = state.slot(document).is_some();
        if found {
            state.take(&document.key());
            self.index.remove(document, &state.seal())?;
            state.text = self.index.searcher();
        }
        state.damaged = self.truth.damaged();
        self.set_state(state);
        Ok(withdrawn || stored || vectors || found)
    }
}
