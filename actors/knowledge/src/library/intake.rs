//! Documents that were accepted and are not in the library yet. Each is a file of its own, whole before it counts,
//! and removed only when the library has the document or will never have it. So what was accepted is taken in once
//! whatever dies meanwhile: taking it in again changes nothing.

mod spool;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use perennial_query::plan::ErrorKind;
use perennial_query::tool::{Identity, ToolError};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::ingest::{Ingested, Submission, check};
use super::{Library, LibraryError, Taken, blocking};
use crate::document::DocumentId;
use spool::{Spool, Spooled};

/// Documents that are taken in at the same time: they share the syncs of the disk.
const AT_A_TIME: usize = 64;
/// Bytes of those, unless a single one has more.
const BYTES_AT_A_TIME: u64 = 32 << 20;
/// After so long without a change the index lets go of what it does not need any more.
const QUIET: Duration = Duration::from_secs(60);
/// Documents that wait, beyond which no more are accepted.
const MOST_WAITING: usize = 10_000;
/// Bytes of those.
const MOST_BYTES: u64 = 1 << 30;
/// Ends that are remembered, for who asks what became of a document that is not there.
const MOST_ENDS: usize = 10_000;
/// The longest wait between two attempts at what fails for reasons that may pass.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

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

struct Job {
    progress: Progress,
    identity: Identity,
    bytes: u64,
    cancelled: Arc<AtomicBool>,
}

#[derive(Default)]
struct Jobs {
    last: u64,
    waiting: BTreeMap<u64, Job>,
    /// Bytes of those.
    bytes: u64,
    /// Documents that are being taken in, and their bytes: two of one id keep their order.
    busy: BTreeMap<DocumentId, u64>,
    ended: BTreeMap<u64, Progress>,
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
        Ok(!of_it.is_empty())
    }

    fn set_stage(&self, number: u64, stage: Stage) {
        if let Some(job) = self.jobs().waiting.get_mut(&number) {
            job.progress.stage = stage;
        }
        self.ring();
    }

    /// The next document that is to be taken in.
    fn next(&self) -> Option<u64> {
        let mut jobs = self.jobs();
        let Jobs { waiting, busy, .. } = &mut *jobs;
        // Of one document the first comes first, so those behind it are passed over with it.
        let mut seen = BTreeSet::new();
        let (number, job) = waiting.iter().find(|(_, job)| {
            let document = &job.progress.document;
            seen.insert(document) && !busy.contains_key(document)
        })?;
        let bytes = busy.values().sum::<u64>() + job.bytes;
        if !busy.is_empty() && bytes > BYTES_AT_A_TIME {
            return None;
        }
        busy.insert(job.progress.document.clone(), job.bytes);
        Some(*number)
    }

    fn end(&self, number: u64, result: Result<Ingested, ToolError>) {
        let mut jobs = self.jobs();
        let Jobs { waiting, bytes, busy, ended, .. } = &mut *jobs;
        if let Some(job) = waiting.remove(&number) {
            *bytes -= job.bytes;
            busy.remove(&job.progress.document);
            ended.insert(number, Progress { stage: Stage::Ended(result), ..job.progress });
            if ended.len() > MOST_ENDS {
                ended.pop_first();
            }
        }
        drop(jobs);
        self.ring();
    }
}

impl Jobs {
    fn add(&mut self, number: u64, job: Job) {
        self.bytes += job.bytes;
        self.waiting.insert(number, job);
    }
}

impl Job {
    fn of(spooled: &Spooled) -> Self {
        let submission = &spooled.submission;
        let (name, team) = (submission.name.clone(), submission.team.clone());
        let document = DocumentId::new(team.as_deref(), &name);
        Self {
            progress: Progress { document, name, team, stage: Stage::Pending },
            identity: spooled.identity.clone(),
            bytes: submission.content.len() as u64,
            cancelled: Arc::default(),
        }
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
        blocking(move || {
            let job = Job::of(&spooled);
            let number = {
                let mut jobs = inner.intake.jobs();
                if jobs.waiting.len() >= MOST_WAITING || jobs.bytes + job.bytes > MOST_BYTES {
                    let why = format!("{} documents wait to be indexed", jobs.waiting.len());
                    return Err(ToolError::new(ErrorKind::Overloaded, why + "; come again later"));
                }
                jobs.last += 1;
                jobs.last
            };
            inner.intake.spool.write(number, &spooled).map_err(LibraryError::from)?;
            inner.intake.jobs().add(number, job);
            inner.intake.ring();
            Ok(Ticket(number))
        })
        .await
    }

    /// Takes in what was accepted, several documents at a time, for ever. Called once.
    pub async fn take_in(self) {
        let mut changed = self.inner.intake.changed.subscribe();
        let mut working = JoinSet::new();
        loop {
            changed.mark_unchanged();
            while working.len() < AT_A_TIME
                && let Some(number) = self.inner.intake.next()
            {
                working.spawn(self.clone().take_one(number));
            }
            tokio::select! {
                Some(ended) = working.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "taking a document in was broken off");
                    }
                }
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

    /// Takes one document in, however often that has to be tried.
    async fn take_one(self, number: u64) {
        let mut wait = Duration::from_secs(1);
        let result = loop {
            let result = self.try_one(number).await;
            match result {
                Err(error) if passes(error.kind) => {
                    tracing::warn!(%error, "a document cannot be taken in and is tried again");
                    self.inner.intake.set_stage(number, Stage::Delayed(error.message));
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
                ended => break ended,
            }
        };
        // While it is on the list nothing later of this document may be taken in: the next start would put this one
        // in its place again.
        let mut wait = Duration::from_secs(1);
        while let Err(error) = self.take_off(number, &result).await {
            tracing::warn!(%error, "an accepted document cannot be taken off the list; it is tried again");
            self.inner.intake.set_stage(number, Stage::Delayed(error.message));
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
        self.inner.intake.end(number, result);
    }

    /// Takes a document that has ended off the list, once it is kept what became of it.
    async fn take_off(
        &self,
        number: u64,
        result: &Result<Ingested, ToolError>,
    ) -> Result<(), ToolError> {
        let told = self.inner.intake.jobs().waiting.get(&number).map(|job| Taken {
            document: job.progress.document.clone(),
            name: job.progress.name.clone(),
            by: job.identity.clone(),
            result: result.clone(),
        });
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
