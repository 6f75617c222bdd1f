//! Documents that were accepted and are not in the library yet. Each is a file of its own, whole before it counts,
//! and removed only when the library has the document or will never have it. So what was accepted is taken in once
//! whatever dies meanwhile: taking it in again changes nothing.

mod jobs;
mod spool;

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use perennial_query::plan::ErrorKind;
use perennial_query::tool::{Identity, ToolError};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::ingest::{Ingested, Submission, check};
use super::{Library, LibraryError, Taken, blocking};
use crate::document::DocumentId;
use jobs::{Job, Jobs, Place, Way};
use spool::{Spool, Spooled};

/// Documents that are taken in at the same time: they share the syncs of the disk.
const AT_A_TIME: usize = 64;
/// After so long without a change the index lets go of what it does not need any more.
const QUIET: Duration = Duration::from_secs(60);
/// Documents that wait, beyond which no more are accepted.
const MOST_WAITING: usize = 10_000;
/// Bytes of those.
const MOST_BYTES: u64 = 1 << 30;

/// A document that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// How far a document is that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It waits, or is being read.
    Pending,
    /// It was read, sanitised and cut into as many chunks, which are being indexed.
    Chunked(usize),
    /// It cannot be taken in at the moment, for this reason, and is tried again.
    Delayed(String),
    /// It has ended: what became of it, or why it never will be in the library.
    Ended(Result<Ingested, ToolError>),
}

/// A document that was accepted, and how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The document.
    pub document: DocumentId,
    /// What its team calls it.
    pub name: String,
    /// Its team.
    pub team: Option<String>,
    /// How far it is.
    pub stage: Stage,
}

/// What was accepted.
pub(super) struct Intake {
    spool: Spool,
    jobs: Mutex<Jobs>,
    /// Rises whenever something has changed.
    changed: watch::Sender<u64>,
}

impl Intake {
    /// Finds what was accepted before. What an interrupted write left was never accepted, and is removed.
    pub(super) fn open(folder: &Path) -> Result<Self, LibraryError> {
        let spool = Spool::open(folder)?;
        let mut jobs = Jobs::default();
        for number in spool.numbers()? {
            jobs.last = jobs.last.max(number);
            match spool.read(number)? {
                Ok(spooled) => jobs.add(number, Job::of(&spooled)),
                Err(why) => tracing::error!(
                    number,
                    why,
                    "an accepted document cannot be read and is left where it is"
                ),
            }
        }
        Ok(Self { spool, jobs: Mutex::new(jobs), changed: watch::channel(0).0 })
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self) {
        self.changed.send_modify(|rung| *rung += 1);
    }

    /// Takes what is accepted of a document off the list, durably, and says whether there was any. What is being stored
    /// at the moment is looked at again before it is.
    pub(super) fn withdraw(&self, document: &DocumentId) -> Result<bool, LibraryError> {
        let of_it: Vec<u64> = {
            let jobs = self.jobs();
            let of_it = jobs.waiting.iter().filter(|(_, job)| job.progress.document == *document);
            of_it
                .map(|(number, job)| {
                    job.cancelled.store(true, Ordering::Relaxed);
                    *number
                })
                .collect()
        };
        self.spool.remove(&of_it)?;
        of_it.iter().for_each(|number| self.wake(*number));
        Ok(!of_it.is_empty())
    }

    fn set_stage(&self, number: u64, stage: Stage) {
        if let Some(job) = self.jobs().waiting.get_mut(&number) {
            job.progress.stage = stage;
        }
        self.ring();
    }

    /// What became of a document that only has to be taken off the list.
    fn settled(&self, number: u64) -> Option<Result<Ingested, ToolError>> {
        self.jobs().waiting.get(&number).and_then(|job| job.settled.clone())
    }

    fn settle(&self, number: u64, result: &Result<Ingested, ToolError>) {
        if let Some(job) = self.jobs().waiting.get_mut(&number) {
            job.settled = Some(result.clone());
        }
    }

    /// Ends the rest of a document.
    fn wake(&self, number: u64) {
        self.jobs().wake(number);
        self.ring();
    }

    /// A number for a document that is to be accepted, unless too much waits.
    fn place_for(&self, job: &Job) -> Result<Place<'_>, ToolError> {
        let mut jobs = self.jobs();
        if jobs.waiting.len() >= MOST_WAITING || jobs.bytes + job.bytes > MOST_BYTES {
            let why = format!("{} documents wait to be indexed", jobs.waiting.len());
            return Err(ToolError::new(ErrorKind::Overloaded, why + "; come again later"));
        }
        Ok(Place::next(self, &mut jobs, job.progress.document.clone(), Way::Spooled))
    }

    /// Waits until nothing is left that was accepted of a document before. What comes after that waits until what is
    /// given is dropped, for a version that was taken in later would replace a newer one.
    ///
    /// # Errors
    ///
    /// What is before it cannot be taken in at the moment.
    pub(super) async fn turn(&self, document: DocumentId) -> Result<impl Sized, ToolError> {
        let mut changed = self.changed.subscribe();
        let place = Place::next(self, &mut self.jobs(), document.clone(), Way::Direct);
        loop {
            changed.mark_unchanged();
            if self.jobs().is_turn_of(place.number, &document)? {
                return Ok(place);
            }
            if changed.changed().await.is_err() {
                return Err(ToolError::failed("the library was closed"));
            }
        }
    }

    /// Accepts a document, which is durable then.
    fn accept(&self, spooled: &Spooled) -> Result<Ticket, ToolError> {
        let job = Job::of(spooled);
        let place = self.place_for(&job)?;
        let number = place.number;
        let Err(error) = self.spool.write(number, spooled) else {
            self.jobs().add(number, job);
            return Ok(Ticket(number));
        };
        let error = ToolError::from(LibraryError::from(error));
        // Its file may be there all the same, and the next start would take in what its caller was told had failed.
        if let Err(left) = self.spool.remove(&[number]) {
            tracing::warn!(error = %left, "what could not be accepted cannot be removed yet");
            self.jobs().add(number, job.refused(error.clone()));
        }
        Err(error)
    }
}

impl fmt::Debug for Intake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Intake").field("waiting", &self.jobs().waiting.len()).finish()
    }
}

impl Library {
    /// Accepts a document on behalf of `identity`, durably: [`take_in`](Self::take_in) sees to it, also after a
    /// crash.
    ///
    /// # Errors
    ///
    /// What of the submission cannot be taken, that too much waits, or that it could not be written.
    pub async fn accept(
        &self,
        submission: Submission,
        identity: &Identity,
    ) -> Result<Ticket, ToolError> {
        check(&submission, identity, self.inner.config.limits.document_bytes)?;
        let inner = Arc::clone(&self.inner);
        let spooled = Spooled { submission, identity: identity.clone() };
        blocking(move || inner.intake.accept(&spooled)).await
    }

    /// Takes in what was accepted, several documents at a time, for ever. Called once.
    pub async fn take_in(self) {
        let mut changed = self.inner.intake.changed.subscribe();
        let (mut working, mut resting) = (JoinSet::new(), FuturesUnordered::new());
        loop {
            changed.mark_unchanged();
            while working.len() < AT_A_TIME
                && let Some(number) = self.inner.intake.jobs().next()
            {
                working.spawn(self.clone().take_one(number));
            }
            tokio::select! {
                Some(ended) = working.join_next() => match ended {
                    Ok(None) => {}
                    Ok(Some((number, wait))) => {
                        resting.push(tokio::time::sleep(wait).map(move |()| number));
                    }
                    Err(error) => tracing::error!(%error, "taking a document in was broken off"),
                },
                Some(number) = resting.next() => self.inner.intake.wake(number),
                _ = changed.changed() => {}
                () = tokio::time::sleep(QUIET) => self.refresh().await,
            }
        }
    }

    async fn refresh(&self) {
        let inner = Arc::clone(&self.inner);
        if let Err(error) = blocking(move || Ok(inner.refresh()?)).await {
            tracing::warn!(%error, "the full-text index keeps files that it does not need");
        }
    }

    /// Takes one document in. If that cannot be done now, it gives when it is to be tried again.
    async fn take_one(self, number: u64) -> Option<(u64, Duration)> {
        let taken = AssertUnwindSafe(self.try_to_end(number)).catch_unwind().await;
        let broken_off = "taking the document in was broken off by a panic, which the log tells of";
        let error = match taken.unwrap_or_else(|_| Err(ToolError::failed(broken_off))) {
            Ok(()) => return None,
            Err(error) => error,
        };
        tracing::warn!(%error, "an accepted document cannot be taken in or off the list and is tried again");
        let wait = self.inner.intake.jobs().delay(number, error.message);
        self.inner.intake.ring();
        Some((number, wait))
    }

    /// Takes a document in and off the list, or says why it has to be tried again.
    async fn try_to_end(&self, number: u64) -> Result<(), ToolError> {
        let settled = self.inner.intake.settled(number);
        let result = match settled {
            Some(result) => result,
            None => match self.try_one(number).await {
                Err(error) if passes(error.kind) => return Err(error),
                result => result,
            },
        };
        self.inner.intake.settle(number, &result);
        // While it is on the list nothing later of this document may be taken in: the next start would put this one
        // in its place again.
        self.take_off(number, &result).await?;
        self.inner.intake.jobs().end(number, result);
        self.inner.intake.ring();
        Ok(())
    }

    /// Takes a document that has ended off the list, once it is kept what became of it.
    async fn take_off(
        &self,
        number: u64,
        result: &Result<Ingested, ToolError>,
    ) -> Result<(), ToolError> {
        let told = {
            let jobs = self.inner.intake.jobs();
            let accepted = jobs.waiting.get(&number).filter(|job| job.accepted);
            accepted.map(|job| Taken {
                document: job.progress.document.clone(),
                name: job.progress.name.clone(),
                by: job.identity.clone(),
                result: result.clone(),
            })
        };
        if let (Some(recorder), Some(taken)) = (self.inner.recorder.get(), &told) {
            recorder.taken(taken).await.map_err(ToolError::failed)?;
        }
        let inner = Arc::clone(&self.inner);
        blocking(move || Ok(inner.intake.spool.remove(&[number]).map_err(LibraryError::from)?))
            .await
    }

    async fn try_one(&self, number: u64) -> Result<Ingested, ToolError> {
        let found = self
            .inner
            .intake
            .jobs()
            .waiting
            .get(&number)
            .map(|job| (job.identity.clone(), Arc::clone(&job.cancelled)));
        let Some((identity, cancelled)) = found else {
            return Err(ToolError::failed("it is not among what was accepted"));
        };
        if cancelled.load(Ordering::Relaxed) {
            return Err(ToolError::new(ErrorKind::Cancelled, "the document was removed"));
        }
        let inner = Arc::clone(&self.inner);
        let read =
            blocking(move || Ok(inner.intake.spool.read(number).map_err(LibraryError::from)?));
        let spooled = read.await?.map_err(ToolError::failed)?;
        let chunked = |chunks| self.inner.intake.set_stage(number, Stage::Chunked(chunks));
        self.ingest_unless(spooled.submission, &identity, cancelled, &chunked).await
    }

    /// How far the latest of what was accepted of a document is, for who may see it.
    #[must_use]
    pub fn progress(&self, document: &DocumentId, identity: &Identity) -> Option<Progress> {
        let jobs = self.inner.intake.jobs();
        let waiting = jobs.waiting.values().rev().map(|job| &job.progress);
        let mut known = waiting.chain(jobs.ended.values().rev());
        let found = known.find(|progress| progress.document == *document)?;
        identity.sees(found.team.as_deref()).then(|| found.clone())
    }

    /// What was accepted and has not ended, the first first, as far as `identity` may see it.
    #[must_use]
    pub fn waiting(&self, identity: &Identity) -> Vec<Progress> {
        let jobs = self.inner.intake.jobs();
        let all = jobs.waiting.values().map(|job| &job.progress);
        all.filter(|progress| identity.sees(progress.team.as_deref())).cloned().collect()
    }

    /// Waits until a document that was accepted has ended. Of one whose end was forgotten, it is an error.
    ///
    /// # Errors
    ///
    /// Why it is not in the library and never will be.
    pub async fn ended(&self, ticket: Ticket) -> Result<Ingested, ToolError> {
        let mut changed = self.inner.intake.changed.subscribe();
        loop {
            changed.mark_unchanged();
            {
                let jobs = self.inner.intake.jobs();
                if let Some(Progress { stage: Stage::Ended(result), .. }) =
                    jobs.ended.get(&ticket.0)
                {
                    return result.clone();
                }
                if !jobs.waiting.contains_key(&ticket.0) {
                    return Err(ToolError::failed(
                        "what became of the document is not known any more",
                    ));
                }
            }
            if changed.changed().await.is_err() {
                return Err(ToolError::failed("the library was closed"));
            }
        }
    }
}

/// Whether what failed may go well later.
const fn passes(kind: ErrorKind) -> bool {
    match kind {
        ErrorKind::Timeout | ErrorKind::Unavailable | ErrorKind::Overloaded => true,
        ErrorKind::Failed
        | ErrorKind::Invalid
        | ErrorKind::Denied
        | ErrorKind::NotFound
        | ErrorKind::Cancelled
        | ErrorKind::Unknown => false,
    }
}

#[cfg(test)]
mod tests;
