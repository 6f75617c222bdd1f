//! The list of what was accepted, and whose turn it is: of one document the versions are taken in one after the
//! other, in the order of their numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use perennial_query::plan::ErrorKind;
use perennial_query::tool::{Identity, ToolError};

use super::spool::Spooled;
use super::{Intake, Progress, Stage};
use crate::document::DocumentId;
use crate::library::Ingested;

/// Bytes of documents that are taken in at the same time, unless a single one has more.
const BYTES_AT_A_TIME: u64 = 32 << 20;
/// Ends that are remembered, for who asks what became of a document that is not there.
const MOST_ENDS: usize = 10_000;
/// The wait after the first attempt at what fails for reasons that may pass; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A document that is on the list.
pub(super) struct Job {
    pub(super) progress: Progress,
    pub(super) identity: Identity,
    pub(super) bytes: u64,
    pub(super) cancelled: Arc<AtomicBool>,
    /// What became of it, when it only has to be taken off the list.
    pub(super) settled: Option<Result<Ingested, ToolError>>,
    /// Whether its end is told: not of one whose caller was told that it could not be accepted.
    pub(super) accepted: bool,
    /// How long it rests after the next attempt that fails.
    wait: Duration,
    /// Whether it waits for its next attempt.
    resting: bool,
}

impl Job {
    pub(super) fn of(spooled: &Spooled) -> Self {
        let submission = &spooled.submission;
        let (name, team) = (submission.name.clone(), submission.team.clone());
        let document = DocumentId::new(team.as_deref(), &name);
        Self {
            progress: Progress { document, name, team, stage: Stage::Pending },
            identity: spooled.identity.clone(),
            bytes: submission.content.len() as u64,
            cancelled: Arc::default(),
            settled: None,
            accepted: true,
            wait: FIRST_WAIT,
            resting: false,
        }
    }

    /// The same for one that could not be accepted, and whose file could not be removed either.
    pub(super) fn refused(mut self, why: ToolError) -> Self {
        self.progress.stage = Stage::Delayed(why.message.clone());
        Self { bytes: 0, settled: Some(Err(why)), accepted: false, ..self }
    }
}

/// How a version of a document comes that has a number and is not on the list.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// It is being written, to be accepted.
    Spooled,
    /// Who hands it in waits until it is stored.
    Direct,
}

/// What was accepted.
#[derive(Default)]
pub(super) struct Jobs {
    pub(super) last: u64,
    pub(super) waiting: BTreeMap<u64, Job>,
    /// Bytes of those.
    pub(super) bytes: u64,
    /// Those that are being taken in, and their bytes. What rests is none of them: it holds nobody up but the later
    /// versions of its document.
    busy: BTreeMap<u64, u64>,
    /// Numbers of versions that are not on the list; later ones of their documents wait for them.
    pub(super) given: BTreeMap<u64, (DocumentId, Way)>,
    pub(super) ended: BTreeMap<u64, Progress>,
}

impl Jobs {
    pub(super) fn add(&mut self, number: u64, job: Job) {
        self.bytes += job.bytes;
        self.waiting.insert(number, job);
    }

    /// The next document that is to be taken in.
    pub(super) fn next(&mut self) -> Option<u64> {
        let Self { waiting, busy, given, .. } = self;
        // Of one document the first comes first, so those behind it are passed over with it.
        let mut seen = BTreeSet::new();
        let (number, job) = waiting.iter().find(|(number, job)| {
            let document = &job.progress.document;
            let mut before = given.range(..**number).map(|(_, (document, _))| document);
            seen.insert(document)
                && !job.resting
                && !busy.contains_key(number)
                && !before.any(|before| before == document)
        })?;
        let bytes = busy.values().sum::<u64>() + job.bytes;
        if !busy.is_empty() && bytes > BYTES_AT_A_TIME {
            return None;
        }
        busy.insert(*number, job.bytes);
        Some(*number)
    }

    /// Whether a version that is handed in directly has nothing accepted before it. An error if what is before it cannot
    /// be taken in at the moment.
    pub(super) fn is_turn_of(&self, number: u64, document: &DocumentId) -> Result<bool, ToolError> {
        let mut before = self.waiting.range(..number).map(|(_, job)| &job.progress);
        match before.find(|before| before.document == *document) {
            Some(Progress { stage: Stage::Delayed(why), name, .. }) => {
                let why = format!("an earlier version of `{name}` cannot be taken in yet: {why}");
                Err(ToolError::new(ErrorKind::Unavailable, why + "; come again later"))
            }
            Some(_) => Ok(false),
            None => {
                let mut given = self.given.range(..number);
                Ok(!given.any(|(_, (other, way))| other == document && *way == Way::Spooled))
            }
        }
    }

    /// Has a document rest, and gives how long. Meanwhile others have its place.
    pub(super) fn delay(&mut self, number: u64, why: String) -> Duration {
        self.busy.remove(&number);
        self.waiting.get_mut(&number).map_or(Duration::ZERO, |job| {
            (job.progress.stage, job.resting) = (Stage::Delayed(why), true);
            let longer = (job.wait * 2).min(LONGEST_WAIT);
            std::mem::replace(&mut job.wait, longer)
        })
    }

    /// Ends the rest of a document.
    pub(super) fn wake(&mut self, number: u64) {
        if let Some(job) = self.waiting.get_mut(&number) {
            job.resting = false;
        }
    }

    pub(super) fn end(&mut self, number: u64, result: Result<Ingested, ToolError>) {
        self.busy.remove(&number);
        let Some(job) = self.waiting.remove(&number) else { return };
        self.bytes -= job.bytes;
        if job.accepted {
            self.ended.insert(number, Progress { stage: Stage::Ended(result), ..job.progress });
        }
        if self.ended.len() > MOST_ENDS {
            self.ended.pop_first();
        }
    }
}

/// The number of a version that is not on the list, until it is dropped.
pub(super) struct Place<'a> {
    intake: &'a Intake,
    pub(super) number: u64,
}

impl<'a> Place<'a> {
    /// The next number. `jobs` are those of `intake`.
    pub(super) fn next(
        intake: &'a Intake,
        jobs: &mut Jobs,
        document: DocumentId,
        way: Way,
    ) -> Self {
        jobs.last += 1;
        jobs.given.insert(jobs.last, (document, way));
        Self { intake, number: jobs.last }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.intake.jobs().given.remove(&self.number);
        self.intake.ring();
    }
}
