//! Performs committed effects: lanes keep order, attempts are bounded, and nothing that may have
//! happened is repeated before the world was asked.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use perennial_store::{Key, MessageId, Tag, Timestamp, decode, encode};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::JoinSet;

use crate::core::Core;
use crate::draft::Draft;
use crate::durable::Durable;
use crate::effect::{
    Attempt, Effect, EffectError, Finished, IdempotencyKey, Performer, Reconciliation, Undone,
};
use crate::message::{DeadContent, StoredEffect, seal_envelope};
use crate::policy::backoff;
use crate::slice::text;
use crate::turn::Outgoing;

/// An effect to be performed.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) id: MessageId,
    pub(crate) effect: StoredEffect,
    /// It may have been started before: ask the world first.
    pub(crate) reconcile: bool,
}

#[derive(Debug, Default)]
struct Held {
    /// Everything intended and not known to be done.
    known: BTreeMap<MessageId, Job>,
    fresh: VecDeque<MessageId>,
    running: usize,
    actor: Option<ActorRef<PoolMessage>>,
}

/// The effects of one type that are pending, and the pool that performs them.
pub(crate) struct Pool {
    pub(crate) name: &'static str,
    driver: Box<dyn Driver>,
    held: Mutex<Held>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Pool").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Pool {
    pub(crate) fn of<E: Effect, P: Performer<E>>(performer: P) -> Self {
        let driver = DriverOf { performer: Arc::new(performer), effect: PhantomData::<fn() -> E> };
        Self { name: E::NAME, driver: Box::new(driver), held: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in an effect whose intent is durable.
    pub(crate) fn submit(&self, job: Job) {
        let mut held = self.lock();
        held.fresh.push_back(job.id);
        held.known.insert(job.id, job);
        if let Some(actor) = &held.actor {
            // A cast fails only when the pool is ending; its successor takes everything over.
            let _ending = actor.cast(PoolMessage::Wake);
        }
    }

    /// Pending effects, and when the oldest was intended.
    pub(crate) fn depth(&self) -> (usize, Option<Timestamp>) {
        let held = self.lock();
        (held.known.len(), held.known.values().map(|job| job.effect.intended_at).min())
    }

    /// Whether an effect has been started and has not ended.
    pub(crate) fn busy(&self) -> bool {
        self.lock().running > 0
    }

    fn get(&self, id: MessageId) -> Option<Job> {
        self.lock().known.get(&id).cloned()
    }

    fn forget(&self, id: MessageId) {
        self.lock().known.remove(&id);
    }

    /// A pool that starts takes over all that its predecessor left: started or not is not known.
    fn take_over(&self, actor: ActorRef<PoolMessage>, restarted: bool) {
        let mut held = self.lock();
        held.fresh = held.known.keys().copied().collect();
        if restarted {
            held.known.values_mut().for_each(|job| job.reconcile = true);
        }
        held.actor = Some(actor);
    }
}

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
        self.pool.take_over(myself.clone(), self.restarted);
        myself.cast(PoolMessage::Wake)?;
        Ok(PoolState::default())
    }

    async fn handle(
        &self,
        myself: ActorRef<PoolMessage>,
        message: PoolMessage,
        state: &mut PoolState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            PoolMessage::Wake => {
                let fresh = std::mem::take(&mut self.pool.lock().fresh);
                fresh.into_iter().for_each(|id| self.enqueue(state, id));
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
        let (myself, pool) = (myself.clone(), self.pool.clone());
        state.tasks.spawn(async move {
            let lane = job.effect.lane.clone();
            pool.lock().running += 1;
            pool.driver.drive(core, job).await;
            pool.lock().running -= 1;
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
trait Driver: Send + Sync {
    fn drive(&self, core: Arc<Core>, job: Job) -> BoxFuture<'static, ()>;
}

struct DriverOf<E, P> {
    performer: Arc<P>,
    effect: PhantomData<fn() -> E>,
}

impl<E: Effect, P: Performer<E>> Driver for DriverOf<E, P> {
    fn drive(&self, core: Arc<Core>, job: Job) -> BoxFuture<'static, ()> {
        let performer = self.performer.clone();
        Box::pin(async move {
            let effect: E = match decode(&job.effect.payload) {
                Ok(effect) if job.effect.version == E::VERSION => effect,
                Ok(_) => {
                    let why = format!("stored as version {}", job.effect.version);
                    return bury(&core, &job, &why);
                }
                Err(error) => return bury(&core, &job, &error.to_string()),
            };
            let mut run = Run { core, performer, effect, job };
            let result = run.drive_on().await;
            run.complete(result);
        })
    }
}

/// An effect nobody can read goes to the dead letters; its owner cannot be told.
fn bury(core: &Arc<Core>, job: &Job, why: &str) {
    let mut draft = Draft::new(core);
    draft.batch.delete(Key::effect(job.id));
    let content = DeadContent::Effect(job.effect.clone());
    let buried = draft.bury(&job.effect.owner, content, ("undecodable", job.effect.attempts, why));
    if let Err(error) = buried {
        tracing::error!(%error, effect = %job.effect.name, "an effect can be neither read nor buried");
        return;
    }
    finish(core, draft, job.id, &job.effect.name);
}

fn finish(core: &Arc<Core>, mut draft: Draft, id: MessageId, name: &str) {
    let pool = core.pools.get(name).cloned();
    draft.then(move |durable| {
        if durable && let Some(pool) = pool {
            pool.forget(id);
        }
    });
    core.publish(draft, None);
}

struct Run<E: Effect, P> {
    core: Arc<Core>,
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
            let stored = &self.job.effect;
            if stored.policy.expires.is_some_and(|expires| self.core.now() >= expires) {
                return Err(Undone::Expired(stored.last_error.clone()));
            }
            let step = if self.job.reconcile { self.ask().await } else { self.attempt().await };
            match step {
                Step::End(result) => return result,
                Step::Again(at_least) => {
                    tries = tries.saturating_add(1);
                    tokio::time::sleep(self.wait(tries).max(at_least)).await;
                }
            }
        }
    }

    fn wait(&self, tries: u32) -> Duration {
        let policy = &self.job.effect.policy;
        let wait = backoff(policy.backoff_base, policy.backoff_cap, tries, self.core.jitter());
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
            EffectError::Unknown(why) => match self.ask().await {
                Step::End(result) => Step::End(result),
                Step::Again(_) => Step::End(Err(Undone::Unknown(why))),
            },
        }
    }

    /// Keeps what went wrong and how often, for people and for after a crash.
    fn note(&mut self, error: String) {
        tracing::debug!(effect = E::NAME, owner = %self.job.effect.owner, error, "an attempt failed");
        self.job.effect.last_error = error;
        let key = Key::effect(self.job.id);
        let mut draft = Draft::new(&self.core);
        if let Ok(bytes) = seal_envelope(&key, Tag::Effect, &self.job.effect) {
            draft.batch.put(key, bytes);
            self.core.publish(draft, None);
        }
    }

    /// Deletes the intent and tells the owner, in one commit.
    fn complete(self, result: Result<E::Outcome, Undone>) {
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
        finish(&self.core, draft, self.job.id, E::NAME);
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
