//! Jobs that wait for workers outside the node, and those that are lent to one.
//!
//! What is here may be lost with the process: the call that a job is made of is a stored intent, and makes
//! its job again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use perennial_runtime::{Clock, Timestamp};
use serde_json::Value;
use tokio::sync::{Notify, oneshot};

use super::config::Pool;
use crate::plan::ErrorKind;
use crate::tool::{Call, ToolAnswer, ToolError};

/// Times that a job is lent. A job that ends its workers is not given to all of them.
const LOANS: u32 = 3;
/// A pool whose workers were silent for longer than this and a lease is deserted.
const SILENCE: Duration = Duration::from_secs(60);

type Answer = Result<ToolAnswer, ToolError>;

/// The jobs of all pools.
#[derive(Debug)]
pub struct Broker {
    clock: Arc<dyn Clock>,
    pools: BTreeMap<String, Lent>,
}

/// One pool.
#[derive(Debug)]
struct Lent {
    lease: Duration,
    bell: Notify,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The number of the last job, and of the last loan.
    last: u64,
    waiting: VecDeque<Job>,
    loans: BTreeMap<u64, Loan>,
    /// When a worker last said anything.
    seen: Option<Timestamp>,
    /// Since when one could.
    begun: Timestamp,
}

/// A call that a worker is to make.
#[derive(Debug)]
struct Job {
    id: u64,
    call: Call,
    changes_world: bool,
    lent: u32,
    answer: oneshot::Sender<Answer>,
}

/// A job while a worker has it.
#[derive(Debug)]
struct Loan {
    job: Job,
    /// Rises with every loan, so that who has lost a job is told apart from who has it.
    fence: u64,
    worker: String,
    until: Timestamp,
}

/// A job as its worker sees it.
#[derive(Clone, Debug)]
pub struct Lending {
    /// Names it.
    pub id: u64,
    /// To be sent along with everything about it.
    pub lease: u64,
    /// Nothing need be said about it before this.
    pub until: Timestamp,
    /// What is to be done.
    pub call: Call,
}

/// Somebody else has the job by now, or nobody wants it done any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// How a pool stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its name.
    pub pool: String,
    /// Jobs that wait for a worker.
    pub waiting: usize,
    /// Jobs that workers have: the worker of each.
    pub lent: Vec<String>,
    /// When a worker last said anything.
    pub seen: Option<Timestamp>,
}

impl Broker {
    /// A broker of these pools.
    pub fn new(pools: &[Pool], clock: Arc<dyn Clock>) -> Self {
        let now = clock.now();
        // Numbers go on from an earlier process, whose workers may still give back what they had. And
        // workers need a moment to find out that there is a new one.
        let state = || State { last: now.as_micros(), begun: now, ..State::default() };
        let lent = |pool: &Pool| Lent {
            lease: pool.lease,
            bell: Notify::new(),
            state: Mutex::new(state()),
        };
        let pools = pools.iter().map(|pool| (pool.name.clone(), lent(pool))).collect();
        Self { clock, pools }
    }

    /// Has a worker of `pool` make `call`. When this is dropped, nobody need make it any more.
    pub(super) async fn have_done(&self, pool: &str, call: &Call, changes_world: bool) -> Answer {
        let Some(lent) = self.pools.get(pool) else {
            return Err(ToolError::invalid(format!("there is no pool `{pool}`")));
        };
        let (answer, mut answered) = oneshot::channel();
        let id = lent.add(call.clone(), changes_world, answer);
        let _kept = Kept { lent, id };
        loop {
            tokio::select! {
                biased;
                answer = &mut answered => {
                    return answer.unwrap_or_else(|_| Err(ToolError::failed("its job was lost")));
                }
                // A lease that is over is noticed a moment later, which is soon enough.
                () = tokio::time::sleep(Duration::from_millis(250)) => {
                    lent.reclaim(pool, self.clock.now());
                }
            }
        }
    }

    /// Lends a worker the next job of `pool`, waiting for one for no longer than `patience`. None is no job.
    ///
    /// # Errors
    /// There is no such pool.
    pub async fn lend(
        &self,
        pool: &str,
        worker: &str,
        patience: Duration,
    ) -> Result<Option<Lending>, Gone> {
        let lent = self.pools.get(pool).ok_or(Gone)?;
        let end = tokio::time::sleep(patience);
        tokio::pin!(end);
        loop {
            let rung = lent.bell.notified();
            tokio::pin!(rung);
            // Before looking, so that what comes in between is not missed.
            rung.as_mut().enable();
            if let Some(lending) = lent.lend(worker, self.clock.now()) {
                return Ok(Some(lending));
            }
            tokio::select! {
                () = rung => {}
                () = &mut end => return Ok(None),
            }
        }
    }

    /// A worker is still at it. Returns until when it need not say so again.
    ///
    /// # Errors
    /// The job is not the worker's any more: it should stop.
    pub fn renew(&self, pool: &str, id: u64, lease: u64) -> Result<Timestamp, Gone> {
        let lent = self.pools.get(pool).ok_or(Gone)?;
        let mut state = lent.lock();
        let now = self.clock.now();
        state.seen = Some(now);
        let loan = state.loans.get_mut(&id).filter(|loan| loan.fence == lease).ok_or(Gone)?;
        loan.until = now + lent.lease;
        Ok(loan.until)
    }

    /// A worker has done it, or could not.
    ///
    /// # Errors
    /// The job is not the worker's any more: what it did counts for nothing.
    pub fn give_back(&self, pool: &str, id: u64, lease: u64, answer: Answer) -> Result<(), Gone> {
        let lent = self.pools.get(pool).ok_or(Gone)?;
        let mut state = lent.lock();
        state.seen = Some(self.clock.now());
        state.loans.get(&id).filter(|loan| loan.fence == lease).ok_or(Gone)?;
        let loan = state.loans.remove(&id).ok_or(Gone)?;
        loan.job.answer.send(answer).map_err(|_| Gone)
    }

    /// How every pool stands.
    #[must_use]
    pub fn standing(&self) -> Vec<Standing> {
        let standing = |(name, lent): (&String, &Lent)| {
            let state = lent.lock();
            Standing {
                pool: name.clone(),
                waiting: state.waiting.len(),
                lent: state.loans.values().map(|loan| loan.worker.clone()).collect(),
                seen: state.seen,
            }
        };
        self.pools.iter().map(standing).collect()
    }
}

impl Lent {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, call: Call, changes_world: bool, answer: oneshot::Sender<Answer>) -> u64 {
        let mut state = self.lock();
        state.last += 1;
        let id = state.last;
        state.waiting.push_back(Job { id, call, changes_world, lent: 0, answer });
        drop(state);
        self.bell.notify_one();
        id
    }

    fn lend(&self, worker: &str, now: Timestamp) -> Option<Lending> {
        let mut state = self.lock();
        state.seen = Some(now);
        let mut job = state.waiting.pop_front()?;
        job.lent += 1;
        state.last += 1;
        let (fence, until) = (state.last, now + self.lease);
        let lending = Lending { id: job.id, lease: fence, until, call: job.call.clone() };
        state.loans.insert(job.id, Loan { job, fence, worker: worker.to_owned(), until });
        // One ring may have been for two jobs.
        let more = !state.waiting.is_empty();
        drop(state);
        if more {
            self.bell.notify_one();
        }
        Some(lending)
    }

    /// Takes back what silent workers have, and gives up what no worker will come for.
    fn reclaim(&self, pool: &str, now: Timestamp) {
        let mut state = self.lock();
        let over: Vec<u64> =
            state.loans.iter().filter(|(_, loan)| loan.until <= now).map(|(id, _)| *id).collect();
        for loan in over.into_iter().filter_map(|id| state.loans.remove(&id)).collect::<Vec<_>>() {
            let Loan { job, worker, .. } = loan;
            if job.changes_world {
                let why = format!("worker `{worker}` fell silent; it may have done it");
                drop(job.answer.send(Err(ToolError::new(ErrorKind::Unknown, why))));
            } else if job.lent >= LOANS {
                let why = format!("{LOANS} workers fell silent over it, the last one `{worker}`");
                drop(job.answer.send(Err(ToolError::new(ErrorKind::Failed, why))));
            } else {
                state.waiting.push_front(job);
            }
        }
        let silent = now.since(state.seen.unwrap_or(state.begun));
        let deserted = silent > SILENCE.saturating_add(self.lease);
        if deserted {
            for job in state.waiting.drain(..) {
                let why = format!("no worker of the pool `{pool}` is there; start one");
                drop(job.answer.send(Err(ToolError::new(ErrorKind::Unavailable, why))));
            }
        }
        let any = !state.waiting.is_empty();
        drop(state);
        if any {
            self.bell.notify_one();
        }
    }
}

/// Takes a job away when nobody waits for it any more.
struct Kept<'a> {
    lent: &'a Lent,
    id: u64,
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        let mut state = self.lent.lock();
        state.waiting.retain(|job| job.id != self.id);
        state.loans.remove(&self.id);
    }
}

/// What a worker says of a job: an answer, or why there is none.
///
/// # Errors
/// It says neither or both.
pub fn answer_of(value: Option<Value>, error: Option<ToolError>) -> Result<Answer, String> {
    match (value, error) {
        (Some(value), None) => Ok(Ok(ToolAnswer::from(value))),
        (None, Some(error)) => Ok(Err(error)),
        (Some(_), Some(_)) | (None, None) => {
            Err("say exactly one of `value` and `error`".to_owned())
        }
    }
}
