//! The effects of one type that are pending: who performs them now, and who may write what became of
//! them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use perennial_store::{MessageId, Timestamp};
use ractor::ActorRef;

use crate::core::Core;
use crate::draft::Draft;
use crate::effect::{Effect, Performer};
use crate::message::StoredEffect;
use crate::performer::{Driver, PoolMessage, driver};

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
    /// Counts the pool's actors: what an earlier one left running may no longer write.
    term: u64,
    actor: Option<ActorRef<PoolMessage>>,
}

/// The effects of one type that are pending, and the pool that performs them.
pub(crate) struct Pool {
    pub(crate) name: &'static str,
    pub(crate) driver: Box<dyn Driver>,
    held: Mutex<Held>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Pool").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Pool {
    pub(crate) fn of<E: Effect, P: Performer<E>>(performer: P) -> Self {
        Self { name: E::NAME, driver: driver::<E, P>(performer), held: Mutex::default() }
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

    pub(crate) fn get(&self, id: MessageId) -> Option<Job> {
        self.lock().known.get(&id).cloned()
    }

    /// Publishes what became of an effect, unless a later pool has taken it over. One that has ended
    /// is forgotten at once, so that nobody takes it over any more.
    pub(crate) fn write(
        &self,
        (term, id): (u64, MessageId),
        ends: bool,
        core: &Arc<Core>,
        draft: Draft,
    ) {
        let mut held = self.lock();
        if held.term == term && held.known.contains_key(&id) {
            if ends {
                held.known.remove(&id);
            }
            core.publish(draft, None);
        }
    }

    /// A pool that starts takes over all that its predecessor left: started or not is not known.
    pub(crate) fn take_over(&self, actor: ActorRef<PoolMessage>, restarted: bool) -> u64 {
        let mut held = self.lock();
        held.term += 1;
        held.fresh = held.known.keys().copied().collect();
        if restarted {
            held.known.values_mut().for_each(|job| job.reconcile = true);
        }
        held.actor = Some(actor);
        held.term
    }

    /// What came in since the pool's actor of this `term` last asked.
    pub(crate) fn fresh(&self, term: u64) -> VecDeque<MessageId> {
        let mut held = self.lock();
        if held.term == term { std::mem::take(&mut held.fresh) } else { VecDeque::new() }
    }
}

/// Counts an effect as running, also until its task is aborted.
pub(crate) struct Busy<'a>(&'a Pool);

impl<'a> Busy<'a> {
    pub(crate) fn of(pool: &'a Pool) -> Self {
        pool.lock().running += 1;
        Self(pool)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
    }
}
