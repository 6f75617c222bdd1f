//! Brings one effect to its end: attempts are bounded, and nothing that may have happened is repeated
//! before the world was asked.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use perennial_store::{Key, Tag, encode};

use crate::core::Core;
use crate::draft::{Draft, clipped};
use crate::durable::Durable;
use crate::effect::{
    Attempt, Effect, EffectError, Finished, IdempotencyKey, Performer, Reconciliation, Undone,
};
use crate::limits::MAX_PAYLOAD_BYTES;
use crate::message::{DeadContent, StoredEffect, seal_envelope};
use crate::policy::backoff;
use crate::pool::{Job, Pool};
use crate::pool_actor::{Driven, NOTHING_WRITTEN, Task};
use crate::quarantine::{Alone, Place};
use crate::slice::text;
use crate::suspects::Ahead;
use crate::turn::Outgoing;

/// One effect while it is performed.
pub(crate) struct Run<E: Effect, P> {
    core: Arc<Core>,
    pool: Arc<Pool>,
    /// The pool's actor it runs for.
    term: u64,
    performer: Arc<P>,
    effect: E,
    job: Job,
    /// The death of the process was counted ahead of the call that is made.
    counted: bool,
    /// The process died of it too often: it is not tried again.
    lethal: bool,
}

/// What a suspect gets at first, while all other suspects wait. It gives way to them then. To ask the world
/// about it, it gets twice as long the next time, and to perform it, after the next unclean end: a killer
/// that strikes late is alone with its death sooner or later. Never longer than its whole time-out.
const ALONE: Duration = Duration::from_secs(1);

/// What follows from one round.
enum Step<O> {
    End(Result<O, Undone>),
    /// Go on at once.
    Now,
    /// Wait, then go on; the least wait the world asked for.
    Again(Duration),
    /// Nothing may be done or written any more: the store failed, or a later pool took over.
    Over,
}

/// Why a performer gave no answer.
enum Silent {
    Panicked(String),
    Late(String),
}

impl Silent {
    fn into_text(self) -> String {
        match self {
            Self::Panicked(why) | Self::Late(why) => why,
        }
    }
}

/// One call of a performer, bounded in time; a panic is its answer.
async fn call<T>(limit: Duration, called: impl Future<Output = T>) -> Result<T, Silent> {
    match tokio::time::timeout(limit, AssertUnwindSafe(called).catch_unwind()).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(panic)) => Err(Silent::Panicked(format!("panicked: {}", text(&*panic)))),
        Err(_) => Err(Silent::Late(format!("no answer within {limit:?}"))),
    }
}

fn doubled(time: Duration, times: u32) -> Duration {
    time.saturating_mul(1u32.checked_shl(times).unwrap_or(u32::MAX))
}

impl<E: Effect, P: Performer<E>> Run<E, P> {
    pub(crate) fn new(task: Task, performer: Arc<P>, effect: E) -> Self {
        let Task { core, pool, term, job } = task;
        Self { core, pool, term, performer, effect, job, counted: false, lethal: false }
    }

    /// Resolves when it has ended, or waits for another try: it does so without a worker.
    pub(crate) async fn drive(mut self) -> Driven {
        loop {
            // What may have happened is asked about even when it is too late to do it.
            if self.is_expired() && !self.job.reconcile {
                let expired = Undone::Expired(self.job.effect.last_error.clone());
                return self.complete(Err(expired));
            }
            match self.round().await {
                Step::End(result) => return self.complete(result),
                Step::Over => return Driven::Over,
                Step::Now => {}
                Step::Again(_) if self.is_expired() && self.job.reconcile => {
                    let unknown = Undone::Unknown(self.job.effect.last_error.clone());
                    return self.complete(Err(unknown));
                }
                Step::Again(at_least) => {
                    self.job.waits = self.job.waits.saturating_add(1);
                    let wait = self.wait(at_least);
                    return Driven::Waits(Box::new(self.job), wait);
                }
            }
        }
    }

    fn is_expired(&self) -> bool {
        let expires = self.job.effect.policy.expires;
        expires.is_some_and(|expires| self.core.now() >= expires)
    }

    fn wait(&self, at_least: Duration) -> Duration {
        let (policy, waits) = (&self.job.effect.policy, self.job.waits);
        let wait = backoff(policy.backoff_base, policy.backoff_cap, waits, self.core.jitter());
        let wait = wait.max(at_least);
        match policy.expires {
            Some(expires) => wait.min(expires.since(self.core.now())),
            None => wait,
        }
    }

    /// Asks or attempts once. A suspect does so alone, and its death is counted durably before: should
    /// the process die of it, the next one knows.
    async fn round(&mut self) -> Step<E::Outcome> {
        let core = self.core.clone();
        if !self.job.suspect {
            let _marked = core.inflight.mark_effect(self.job.id);
            return self.step(None).await;
        }
        if self.job.effect.deaths >= self.job.effect.policy.attempts.min(core.limits.attempts) {
            self.lethal = true;
            let why = "the process ended each time it was performed".to_owned();
            return Step::End(Err(Undone::Unknown(why)));
        }
        let alone = match core.quarantined_effects.enter().await {
            Place::Alone(alone) => alone,
            Place::Beside(_beside) => {
                // Nobody could tell whose death it is.
                let _marked = core.inflight.mark_effect(self.job.id);
                return self.step(None).await;
            }
        };
        if !self.count_ahead().await {
            return Step::Over;
        }
        let _marked = core.inflight.mark_effect(self.job.id);
        self.step(Some(alone)).await
    }

    /// False when it could not be counted.
    async fn count_ahead(&mut self) -> bool {
        let effect = &mut self.job.effect;
        let attempt = u32::from(!self.job.reconcile);
        effect.deaths += 1;
        effect.attempts += attempt;
        let why = Ahead::PERFORMED.note(self.core.epoch);
        let before = std::mem::replace(&mut effect.last_error, why);
        let position = self.keep();
        self.job.effect.last_error = before;
        self.job.effect.attempts -= attempt;
        self.counted = true;
        match position {
            Some(position) => self.core.committer.wait_for(position).await,
            None => false,
        }
    }

    /// The process lives: what was counted ahead is taken back.
    fn survived(&mut self) {
        if std::mem::take(&mut self.counted) {
            self.job.effect.deaths -= 1;
        }
    }

    async fn step(&mut self, alone: Option<Alone<'_>>) -> Step<E::Outcome> {
        if self.job.reconcile { self.ask(self.patience()).await } else { self.attempt(alone).await }
    }

    fn this_attempt(&self) -> Attempt {
        Attempt {
            key: IdempotencyKey(self.job.effect.key.clone()),
            number: self.job.effect.attempts,
            intended_at: self.job.effect.intended_at,
            now: self.core.now(),
        }
    }

    /// How long the world may take to answer in this round.
    fn patience(&self) -> Duration {
        let whole = self.job.effect.policy.timeout;
        if !self.job.suspect {
            return whole;
        }
        doubled(ALONE, self.job.gave_way).min(whole)
    }

    /// Waits for what a suspect does: alone for a while, and then beside the others.
    async fn give_way<T>(&mut self, alone: Alone<'_>, performed: impl Future<Output = T>) -> T {
        let mut performed = pin!(performed);
        let time = doubled(ALONE, self.core.unclean_ends.saturating_sub(1));
        if let Ok(answer) = tokio::time::timeout(time, performed.as_mut()).await {
            return answer;
        }
        // Should the process die from now on, that is not counted: it may be of another one.
        self.survived();
        let (position, core) = (self.keep(), self.core.clone());
        let give_way = async {
            match position {
                Some(position) if core.committer.wait_for(position).await => Ok(alone.give_way()),
                Some(_) | None => Err(alone),
            }
        };
        tokio::join!(biased; performed, give_way).0
    }

    /// Asks the world whether it happened.
    async fn ask(&mut self, limit: Duration) -> Step<E::Outcome> {
        let attempt = self.this_attempt();
        let answer = call(limit, self.performer.reconcile(&self.effect, &attempt)).await;
        self.survived();
        if matches!(answer, Err(Silent::Late(_))) && limit < self.job.effect.policy.timeout {
            self.job.gave_way = self.job.gave_way.saturating_add(1);
            return Step::Now;
        }
        let answer = answer.unwrap_or_else(|silent| match silent {
            Silent::Panicked(why) => Reconciliation::Unknown(why),
            Silent::Late(why) => Reconciliation::Unreachable(why),
        });
        match answer {
            Reconciliation::Done(outcome) => Step::End(Ok(outcome)),
            Reconciliation::NotDone => {
                self.job.reconcile = false;
                Step::Now
            }
            Reconciliation::Unknown(why) => Step::End(Err(Undone::Unknown(why))),
            Reconciliation::Unreachable(why) => {
                self.note(&why);
                Step::Again(Duration::from_millis(100))
            }
        }
    }

    async fn attempt(&mut self, alone: Option<Alone<'_>>) -> Step<E::Outcome> {
        self.job.effect.attempts += 1;
        let (attempt, limit) = (self.this_attempt(), self.job.effect.policy.timeout);
        let (performer, effect) = (self.performer.clone(), self.effect.clone());
        let performed = call(limit, performer.perform(&effect, &attempt));
        let performed = match alone {
            Some(alone) => self.give_way(alone, performed).await,
            None => performed.await,
        };
        self.survived();
        let performed =
            performed.unwrap_or_else(|silent| Err(EffectError::Unknown(silent.into_text())));
        match performed {
            Ok(outcome) => Step::End(Ok(outcome)),
            Err(error) => self.failed(error).await,
        }
    }

    async fn failed(&mut self, error: EffectError) -> Step<E::Outcome> {
        let last = self.job.effect.attempts >= self.job.effect.policy.attempts;
        self.note(error.message());
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
                match self.ask(self.job.effect.policy.timeout).await {
                    // The world could not be asked.
                    Step::Again(_) => Step::End(Err(Undone::Unknown(why))),
                    Step::Now => Step::End(Err(Undone::Failed(why))),
                    step @ (Step::End(_) | Step::Over) => step,
                }
            }
        }
    }

    /// Keeps what went wrong and how often, for people and for after a crash.
    fn note(&mut self, error: &str) {
        tracing::debug!(effect = E::NAME, owner = %self.job.effect.owner, error, "an attempt failed");
        self.job.effect.last_error = clipped(error);
        self.keep();
    }

    /// Writes the effect as it stands. Returns the position of the commit, if there is one.
    fn keep(&self) -> Option<u64> {
        let key = Key::effect(self.job.id);
        let mut draft = Draft::new(&self.core);
        let bytes = seal_envelope(&key, Tag::Effect, &self.job.effect).ok()?;
        draft.batch.put(key, bytes);
        self.pool.write((self.term, self.job.id), false, &self.core, draft)
    }

    /// Deletes the intent and tells the owner, in one commit.
    fn complete(self, result: Result<E::Outcome, Undone>) -> Driven {
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
            Some(why) if stored.policy.keep_failures || self.lethal => {
                let content = DeadContent::Effect(stored.clone());
                draft.bury(&stored.owner, content, (&why, stored.attempts, &stored.last_error))
            }
            Some(_) | None => Ok(()),
        };
        if let Err(error) = told.and(buried) {
            tracing::error!(%error, effect = E::NAME, "the outcome of an effect cannot be stored");
            return Driven::Ended(NOTHING_WRITTEN);
        }
        let written = self.pool.write((self.term, self.job.id), true, &self.core, draft);
        written.map_or(Driven::Over, Driven::Ended)
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
