//! Storing documents: what waits is stored together, for a sync and a commit of the index take as long for a
//! thousand documents as for one.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
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

/// Who stores what waits. If it never comes to that, whoever comes next serves.
struct Server(Option<Arc<Inner>>);

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(inner) = &self.0 {
            inner.queue().served = false;
        }
    }
}

impl Server {
    /// Stores what waits until nothing does: vectors, files, index, then memory. See the library's own description
    /// for the order. What ends in a panic is told to those whose documents it was about by their being dropped.
    fn serve(mut self) {
        while let Some(inner) = &self.0 {
            let stored = catch_unwind(AssertUnwindSafe(|| inner.store_next()));
            let ends = stored.unwrap_or_else(|_| {
                // What waits may not have been looked at: those are told as well, or this would go on for ever.
                drop(inner.next());
                Vec::new()
            });
            if !inner.goes_on() {
                // Whoever is told last may open the folder anew.
                self.0 = None;
            }
            ends.into_iter().for_each(|(waiting, end)| waiting.settle(end));
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
            let server = Server(Some(Arc::clone(&self.inner)));
            // Not waited for: it goes on with what others bring.
            drop(tokio::task::spawn_blocking(move || server.serve()));
        }
        let why = "the storing of documents was broken off";
        let broken_off = |_| ToolError::new(ErrorKind::Unavailable, why);
        outcome.await.map_err(broken_off)?
    }
}

impl Inner {
    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
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
        let _writing = self.write_lock();
        let caught_up = self.catch_up_index();
        let mut state = State::clone(&self.state());
        let (mut last, mut ends) = (Batch::new(), Vec::new());
        for waiting in self.next() {
            let placed = self.place(&mut state, &waiting);
            if let Ok((_, true)) = placed {
                last.insert(waiting.0.prepared.entry.key, waiting.clone());
            }
            ends.push((waiting, placed.map(|(outcome, _)| outcome)));
        }
        let written = caught_up.and_then(|()| match last.is_empty() {
            true => Ok(()),
            false => self.write(state, &last),
        });
        if let Err(error) = written {
            let error = ToolError::from(error);
            // Also those that are not written: what they are told may be because of one that was to be.
            for (_, end) in &mut ends {
                if !matches!(end, Err(told) if told.kind == ErrorKind::Cancelled) {
                    *end = Err(error.clone());
                }
            }
        }
        ends
    }

    /// Completes the index if a change of it has failed.
    fn catch_up_index(&self) -> Result<(), LibraryError> {
        if !self.is_behind() {
            return Ok(());
        }
        let mut state = State::clone(&self.state());
        self.index.catch_up(&state, &self.truth)?;
        state.text = self.index.searcher();
        self.set_state(state);
        self.behind.store(false, Ordering::Release);
        Ok(())
    }

    /// Whether the index lacks something of what is stored, for a change of it has failed.
    pub(super) fn is_behind(&self) -> bool {
        self.behind.load(Ordering::Acquire)
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

    /// Writes a batch. Once it is in the log it counts, whatever becomes of the index: that is completed before the next.
    fn write(&self, mut state: State, batch: &Batch) -> Result<(), LibraryError> {
        let all = || batch.iter().map(|(key, waiting)| (*key, &*waiting.0));
        let files = || all().map(|(key, new)| (key, new.prepared.file.as_slice()));
        let vectors = all().map(|(key, new)| (key, &new.kept));
        // Until the new versions are durable the old ones count, and their vectors may have cost money.
        self.vectors.put_then(vectors, || self.truth.put(files()))?;
        let documents = all().map(|(_, new)| (&new.prepared.document, &*new.prepared.entry));
        let indexed = self.index.replace(documents, &state.seal());
        match &indexed {
            Ok(()) => state.text = self.index.searcher(),
            Err(_) => self.behind.store(true, Ordering::Release),
        }
        state.damaged = self.truth.damaged();
        self.set_state(state);
        Ok(indexed?)
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
        self.catch_up_index()?;
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
            // What lacks others is not called whole for lacking this one.
            let seal = if self.is_behind() { String::new() } else { state.seal() };
            self.index.remove(document, &seal)?;
            state.text = self.index.searcher();
        }
        state.damaged = self.truth.damaged();
        self.set_state(state);
        Ok(withdrawn || stored || vectors || found)
    }
}
