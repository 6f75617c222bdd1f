//! Performs committed effects: lanes keep order, attempts are bounded, and nothing that may have
//! happened is repeated before the world was asked.

use std::collections::{HashMap, VecDeque};
use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use perennial_store::{Key, MessageId, Tag, decode, encode};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::JoinSet;

use crate::core::Core;
use crate::draft::{Draft, clipped};
use crate::durable::Durable;
use crate::effect::{
    Attempt, Effect, EffectError, Finished, IdempotencyKey, Performer, Reconciliation, Undone,
};
use crate::limits::MAX_PAYLOAD_BYTES;
use crate::message::{DeadContent, StoredEffect, seal_envelope};
use crate::policy::backoff;
use crate::pool::{Busy, Job, Pool};
use crate::slice::text;
use crate::turn::Outgoing;

#[derive(Debug)]
pub(crate) enum PoolMessage {
    /// There are fresh effects.
    Wake,
    /// This one ended, and its lane is free.
    Done(Option<String>),
}

/// The ractor actor of a pool.
pub(crate) struct PoolActor {
    pub(crate) core: Weak<Core>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) workers: usize,
    pub(crate) restarted: bool,
}

#[derive(Default)]
pub(crate) struct PoolState {
    /// Effects behind one that is being performed in the same lane.
    lanes: HashMap<String, VecDeque<MessageId>>,
    /// Effects that wait for a worker.
    waiting: VecDeque<MessageId>,
    running: usize,
    term: u64,
    /// Dropping it ends the workers.
    tasks: JoinSet<()>,
}

impl Actor for PoolActor {
    type Msg = PoolMessage;
    type State = PoolState;
    type Arguments = ();

    async fn pre_start(
        &self,
        myself: ActorRef<PoolMessage>,
        (): (),
    ) -> Result<PoolState, ActorProcessingErr> {
        let term = self.pool.take_over(myself.clone(), self.restarted);
        myself.cast(PoolMessage::Wake)?;
        Ok(PoolState { term, ..PoolState::default() })
    }

    async fn handle(
        &self,
        myself: ActorRef<PoolMessage>,
        message: PoolMessage,
        state: &mut PoolState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            PoolMessage::Wake => {
                self.pool.fresh(state.term).into_iter().for_each(|id| self.enqueue(state, id));
            }
            PoolMessage::Done(lane) => {
                state.running -= 1;
                if let Some(lane) = lane {
                    advance_lane(state, &lane);
                }
            }
        }
        while state.tasks.try_join_next().is_some() {}
        while state.running < self.workers
            && let Some(id) = state.waiting.pop_front()
        {
            self.start(&myself, state, id);
        }
        Ok(())
    }
}

impl PoolActor {
    fn enqueue(&self, state: &mut PoolState, id: MessageId) {
        let Some(job) = self.pool.get(id) else { return };
        match job.effect.lane {
            None => state.waiting.push_back(id),
            Some(lane) => match state.lanes.get_mut(&lane) {
                Some(behind) => behind.push_back(id),
                None => {
                    state.lanes.insert(lane, VecDeque::new());
                    state.waiting.push_back(id);
                }
            },
        }
    }

    fn start(&self, myself: &ActorRef<PoolMessage>, state: &mut PoolState, id: MessageId) {
        let (Some(core), Some(job)) = (self.core.upgrade(), self.pool.get(id)) else { return };
        state.running += 1;
        let (myself, pool, term) = (myself.clone(), self.pool.clone(), state.term);
        state.tasks.spawn(async move {
            let lane = job.effect.lane.clone();
            let busy = Busy::of(&pool);
            let drive = pool.driver.drive(core.clone(), pool.clone(), term, job.clone());
            if let Err(panic) = AssertUnwindSafe(drive).catch_unwind().await {
                let why = format!("panicked: {}", text(&*panic));
                bury(&core, &pool, term, &job, ("its outcome cannot be told", &why));
            }
            drop(busy);
            // A cast fails only when the pool is ending.
            let _ending = myself.cast(PoolMessage::Done(lane));
        });
    }
}

fn advance_lane(state: &mut PoolState, lane: &str) {
    match state.lanes.get_mut(lane).and_then(VecDeque::pop_front) {
        Some(next) => state.waiting.push_back(next),
        None => {
            state.lanes.remove(lane);
        }
    }
}

/// Brings one effect to its end, whatever its type.
pub(crate) trait Driver: Send + Sync {
    fn drive(
        &self,
        core: Arc<Core>,
        pool: Arc<Pool>,
        term: u64,
        job: Job,
    ) -> BoxFuture<'static, ()>;
}

/// Drives effects of type `E` by `performer`.
pub(crate) fn driver<E: Effect, P: Performer<E>>(performer: P) -> Box<dyn Driver> {
    Box::new(DriverOf { performer: Arc::new(performer), effect: PhantomData::<fn() -> E> })
}

struct DriverOf<E, P> {
    performer: Arc<P>,
    effect: PhantomData<fn() -> E>,
}

impl<E: Effect, P: Performer<E>> Driver for DriverOf<E, P> {
    fn drive(
        &self,
        core: Arc<Core>,
        pool: Arc<Pool>,
        term: u64,
        job: Job,
    ) -> BoxFuture<'static, ()> {
        let performer = self.performer.clone();
        Box::pin(async move {
            let effect: E = match decode(&job.effect.payload) {
                Ok(effect) if job.effect.version == E::VERSION => effect,
                Ok(_) => {
                    let why = format!("stored as version {}", job.effect.version);
                    return bury(&core, &pool, term, &job, ("undecodable", &why));
                }
                Err(error) => {
                    let why = error.to_string();
                    return bury(&core, &pool, term, &job, ("undecodable", &why));
                }
            };
            let mut run = Run { core, pool, term, performer, effect, job };
            let result = run.drive_on().await;
            run.complete(result);
        })
    }
}

/// An effect nobody can read or tell of goes to the dead letters; its owner cannot be told.
fn bury(core: &Arc<Core>, pool: &Pool, term: u64, job: &Job, (reason, why): (&str, &str)) {
    let mut draft = Draft::new(core);
    draft.batch.delete(Key::effect(job.id));
    let content = DeadContent::Effect(job.effect.clone());
    let buried = draft.bury(&job.effect.owner, content, (reason, job.effect.attempts, why));
    if let Err(error) = buried {
        tracing::error!(%error, effect = %job.effect.name, "an effect can be neither read nor buried");
        return;
    }
    pool.write((term, job.id), true, core, draft);
}

struct Run<E: Effect, P> {
    core: Arc<Core>,
    pool: Arc<Pool>,
    /// The pool's actor it runs for.
    term: u64,
    performer: Arc<P>,
    effect: E,
    job: Job,
}

/// What follows from one attempt.
enum Step<O> {
    End(Result<O, Undone>),
    /// Wait, then go on; the least wait the world asked for.
    Again(Duration),
}

impl<E: Effect, P: Performer<E>> Run<E, P> {
    async fn drive_on(&mut self) -> Result<E::Outcome, Undone> {
        let mut tries: u32 = 0;
        loop {
            // What may have happened is asked about even when it is too late to do it.
            if self.is_expired() && !self.job.reconcile {
                return Err(Undone::Expired(self.job.effect.last_error.clone()));
            }
            let step = if self.job.reconcile { self.ask().await } else { self.attempt().await };
            match step {
                Step::End(result) => return result,
                Step::Again(_) if self.is_expired() && self.job.reconcile => {
                    return Err(Undone::Unknown(self.job.effect.last_error.clone()));
                }
                Step::Again(at_least) => {
                    tries = tries.saturating_add(1);
                    tokio::time::sleep(self.wait(tries, at_least)).await;
                }
            }
        }
    }

    fn is_expired(&self) -> bool {
        let expires = self.job.effect.policy.expires;
        expires.is_some_and(|expires| self.core.now() >= expires)
    }

    fn wait(&self, tries: u32, at_least: Duration) -> Duration {
        let policy = &self.job.effect.policy;
        let wait = backoff(policy.backoff_base, policy.backoff_cap, tries, self.core.jitter());
        let wait = wait.max(at_least);
        match policy.expires {
            Some(expires) => wait.min(expires.since(self.core.now())),
            None => wait,
        }
    }

    fn this_attempt(&self) -> Attempt {
        Attempt {
            key: IdempotencyKey(self.job.effect.key.clone()),
            number: self.job.effect.attempts,
            intended_at: self.job.effect.intended_at,
            now: self.core.now(),
        }
    }

    /// Asks the world whether it happened.
    async fn ask(&mut self) -> Step<E::Outcome> {
        let attempt = self.this_attempt();
        let asked = AssertUnwindSafe(self.performer.reconcile(&self.effect, &attempt));
        let limit = self.job.effect.policy.timeout;
        let answer = match tokio::time::timeout(limit, asked.catch_unwind()).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(panic)) => Reconciliation::Unknown(format!("panicked: {}", text(&*panic))),
            Err(_) => Reconciliation::Unreachable(format!("no answer within {limit:?}")),
        };
        match answer {
            Reconciliation::Done(outcome) => Step::End(Ok(outcome)),
            Reconciliation::NotDone => {
                self.job.reconcile = false;
                Step::Again(Duration::ZERO)
            }
            Reconciliation::Unknown(why) => Step::End(Err(Undone::Unknown(why))),
            Reconciliation::Unreachable(why) => {
                self.note(why);
                Step::Again(Duration::from_millis(100))
            }
        }
    }

    async fn attempt(&mut self) -> Step<E::Outcome> {
        self.job.effect.attempts += 1;
        let attempt = self.this_attempt();
        let performed = AssertUnwindSafe(self.performer.perform(&self.effect, &attempt));
        let limit = self.job.effect.policy.timeout;
        let error = match tokio::time::timeout(limit, performed.catch_unwind()).await {
            Ok(Ok(Ok(outcome))) => return Step::End(Ok(outcome)),
            Ok(Ok(Err(error))) => error,
            Ok(Err(panic)) => EffectError::Unknown(format!("panicked: {}", text(&*panic))),
            Err(_) => EffectError::Unknown(format!("no answer within {limit:?}")),
        };
        let last = self.job.effect.attempts >= self.job.effect.policy.attempts;
        self.note(error.message().to_owned());
        match error {
            EffectError::Permanent(why) => Step::End(Err(Undone::Failed(why))),
            EffectError::Transient { message, .. } if last => {
                Step::End(Err(Undone::Failed(message)))
            }
            EffectError::Transient { retry_after, .. } => {
                Step::Again(retry_after.unwrap_or_default())
            }
            // Asked even after the last attempt: it may have happened.
            EffectError::Unknown(_) if !last => {
                self.job.reconcile = true;
                Step::Again(Duration::ZERO)
            }
            EffectError::Unknown(why) => {
                self.job.reconcile = true;
                match self.ask().await {
                    Step::End(result) => Step::End(result),
                    // The world could not be asked.
                    Step::Again(_) if self.job.reconcile => Step::End(Err(Undone::Unknown(why))),
                    Step::Again(_) => Step::End(Err(Undone::Failed(why))),
                }
            }
        }
    }

    /// Keeps what went wrong and how often, for people and for after a crash.
    fn note(&mut self, error: String) {
        tracing::debug!(effect = E::NAME, owner = %self.job.effect.owner, error, "an attempt failed");
        self.job.effect.last_error = clipped(&error);
        let key = Key::effect(self.job.id);
        let mut draft = Draft::new(&self.core);
        if let Ok(bytes) = seal_envelope(&key, Tag::Effect, &self.job.effect) {
            draft.batch.put(key, bytes);
            self.pool.write((self.term, self.job.id), false, &self.core, draft);
        }
    }

    /// Deletes the intent and tells the owner, in one commit.
    fn complete(self, result: Result<E::Outcome, Undone>) {
        let result = storable(result);
        let stored = self.job.effect;
        let undone = result.as_ref().err().map(ToString::to_string);
        let mut draft = Draft::new(&self.core);
        draft.batch.delete(Key::effect(self.job.id));
        let finished = Finished {
            effect: self.effect,
            key: IdempotencyKey(stored.key.clone()),
            attempts: stored.attempts,
            result,
        };
        let told = tell_owner(&self.core, &mut draft, finished, &stored);
        let buried = match undone {
            Some(why) if stored.policy.keep_failures => {
                let content = DeadContent::Effect(stored.clone());
                draft.bury(&stored.owner, content, (&why, stored.attempts, &stored.last_error))
            }
            Some(_) | None => Ok(()),
        };
        if let Err(error) = told.and(buried) {
            tracing::error!(%error, effect = E::NAME, "the outcome of an effect cannot be stored");
            return;
        }
        self.pool.write((self.term, self.job.id), true, &self.core, draft);
    }
}

/// The message that tells the owner holds the effect as well.
const MAX_OUTCOME_BYTES: usize = MAX_PAYLOAD_BYTES / 2;

/// An outcome too large for a message: the owner is told that, instead of nothing.
fn storable<O: serde::Serialize>(result: Result<O, Undone>) -> Result<O, Undone> {
    let result = result.map_err(|undone| match undone {
        Undone::Failed(why) => Undone::Failed(clipped(&why)),
        Undone::Expired(why) => Undone::Expired(clipped(&why)),
        Undone::Unknown(why) => Undone::Unknown(clipped(&why)),
    })?;
    match encode(&result) {
        Ok(bytes) if bytes.len() <= MAX_OUTCOME_BYTES => Ok(result),
        Ok(bytes) => Err(Undone::Unknown(format!(
            "it was done, and its outcome of {} bytes is over the limit of {MAX_OUTCOME_BYTES}",
            bytes.len()
        ))),
        Err(error) => Err(Undone::Unknown(format!("it was done, and its outcome: {error}"))),
    }
}

fn tell_owner<E: Effect>(
    core: &Core,
    draft: &mut Draft,
    finished: Finished<E>,
    stored: &StoredEffect,
) -> Result<(), perennial_store::CodecError> {
    let message: <E::Owner as Durable>::Message = finished.into();
    let outgoing = Outgoing {
        to: stored.owner.clone(),
        version: E::Owner::VERSION,
        payload: encode(&message)?,
        expires: None,
    };
    draft.send(core, outgoing, stored.trace, None).map(drop)
}
