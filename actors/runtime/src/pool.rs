//! The effects of one type: who performs them now, and who may write what became of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use perennial_store::{Key, MessageId, StoreError, Timestamp};
use ractor::ActorRef;

use crate::core::Core;
use crate::draft::Draft;
use crate::effect::{Effect, Performer};
use crate::message::{StoredEffect, open_envelope};
use crate::outbox::{Outbox, PAGE};
use crate::pool_actor::{Driver, PoolMessage, driver};
use crate::signal::Signal;
use crate::suspects::{Ahead, Suspects};
use crate::window;

/// An effect to be performed.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) id: MessageId,
    pub(crate) effect: StoredEffect,
    /// It may have been started before: ask the world first.
    pub(crate) reconcile: bool,
    /// It was being performed when the process died: performed alone, and counted before.
    pub(crate) suspect: bool,
    /// How often it has waited for another try, in this run of the node.
    pub(crate) waits: u32,
    /// How often it gave way to other suspects while the world was asked about it.
    pub(crate) gave_way: u32,
}

impl Job {
    /// About what it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.effect.payload.len() + self.effect.last_error.len() + 512
    }
}

/// What is waited for effects that were ended in the middle of their work.
const DISMISSAL: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
struct Held {
    outbox: Outbox,
    /// Effects of any type, and the runs that died while they were performed.
    suspects: HashMap<MessageId, Vec<u64>>,
    /// Counts the pool's actors: what an earlier one left running may no longer write.
    term: u64,
    actor: Option<ActorRef<PoolMessage>>,
}

/// The effects of one type, and the pool that performs them.
pub(crate) struct Pool {
    pub(crate) name: &'static str,
    pub(crate) driver: Box<dyn Driver>,
    held: Mutex<Held>,
    /// Effects that have been started and have not ended. Begun under the lock of `held`.
    running: Signal<usize>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Pool").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Pool {
    pub(crate) fn of<E: Effect, P: Performer<E>>(performer: P) -> Self {
        let driver = driver::<E, P>(performer);
        Self { name: E::NAME, driver, held: Mutex::default(), running: Signal::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Learns who may have killed an earlier run of the process.
    pub(crate) fn suspect(&self, suspects: &Suspects) {
        let mut held = self.lock();
        for (id, run) in suspects.effects() {
            held.suspects.entry(*id).or_default().push(*run);
        }
    }

    /// Takes in an effect whose intent is durable.
    pub(crate) fn submit(&self, core: &Core, id: MessageId, effect: StoredEffect) {
        let mut held = self.lock();
        let job = held.job(core, id, effect);
        held.outbox.arrive(job);
        held.wake();
    }

    /// An earlier run left effects, which are found from now on.
    pub(crate) fn expect(&self) {
        self.lock().outbox.expect();
    }

    /// Takes in an effect that an earlier run left; all of them in their order, and each once.
    pub(crate) fn find(&self, core: &Core, id: MessageId, effect: StoredEffect) {
        let mut held = self.lock();
        let job = held.job(core, id, effect);
        held.outbox.find(job);
        held.wake();
    }

    /// All that an earlier run left was found.
    pub(crate) fn note_found(&self) {
        let mut held = self.lock();
        held.outbox.note_found();
        held.wake();
    }

    /// Whether an earlier run may have left effects that were not found yet.
    pub(crate) fn is_finding(&self) -> bool {
        self.lock().outbox.is_finding()
    }

    /// Pending effects, and when the oldest of those in memory was intended.
    pub(crate) fn depth(&self) -> (usize, Option<Timestamp>) {
        self.lock().outbox.depth()
    }

    /// Pending effects in memory.
    pub(crate) fn in_memory(&self) -> usize {
        self.lock().outbox.held()
    }

    /// Whether an effect has been started and has not ended.
    pub(crate) fn busy(&self) -> bool {
        self.running.get() > 0
    }

    /// Lets nothing more be started or written for the pool's actor, and waits until nothing that was
    /// started for it is under way: a task that is ended by another thread still runs up to its next
    /// await. False when that takes too long.
    pub(crate) async fn dismiss(&self) -> bool {
        self.lock().term += 1;
        let over = self.running.wait_for(|running| *running == 0);
        tokio::time::timeout(DISMISSAL, over).await.is_ok()
    }

    /// Publishes what became of an effect, unless a later pool has taken it over. Returns the position
    /// of the commit. One that has ended is forgotten at once, so that nobody takes it over any more.
    pub(crate) fn write(
        self: &Arc<Self>,
        (term, id): (u64, MessageId),
        ends: bool,
        core: &Arc<Core>,
        mut draft: Draft,
    ) -> Option<u64> {
        let mut held = self.lock();
        if held.term != term || !held.outbox.is_known(id) {
            return None;
        }
        if ends {
            held.outbox.end(id);
            let pool = self.clone();
            draft.then(move |durable| {
                if durable {
                    pool.lock().outbox.ended(id);
                }
            });
        }
        core.publish(draft, None)
    }

    /// A pool that starts takes over all that its predecessor left: started or not is not known.
    pub(crate) fn take_over(&self, actor: ActorRef<PoolMessage>, restarted: bool) -> u64 {
        let mut held = self.lock();
        held.term += 1;
        held.outbox.begin_again(restarted);
        held.actor = Some(actor);
        held.term
    }

    /// What the pool's actor of this `term` starts next.
    pub(crate) fn next(&self, term: u64, worker_free: bool) -> Option<Job> {
        let mut held = self.lock();
        if held.term == term { held.outbox.next(worker_free) } else { None }
    }

    /// Keeps how an effect stands that waits for another try. It keeps its place in its lane, and no
    /// worker.
    pub(crate) fn put_off(&self, term: u64, job: Job) {
        let mut held = self.lock();
        if held.term == term {
            held.outbox.put_off(job);
        }
    }

    /// Has an effect started that has waited for another try.
    pub(crate) fn resume(&self, term: u64, id: MessageId) {
        let mut held = self.lock();
        if held.term == term {
            held.outbox.resume(id);
        }
    }

    /// Lets the next effect of the lane start.
    pub(crate) fn advance(&self, term: u64, lane: &str) {
        let mut held = self.lock();
        if held.term == term {
            held.outbox.advance(lane);
        }
    }

    /// Reads from the store what memory has room for again; false when there is nothing to read. What
    /// was read may not be durable yet, so nothing is started before a barrier of the committer.
    pub(crate) fn refill(&self, core: &Core) -> Result<bool, StoreError> {
        // Locked while it reads: nothing arrives or ends between the scan and its use.
        let mut held = self.lock();
        let Some(wanted) = held.outbox.wanted() else { return Ok(false) };
        let range = Key::effect(wanted.from)..Key::effects().end;
        let page = window::read(core.backend.as_ref(), range, PAGE)?;
        let mut found = Vec::new();
        let mut next = None;
        for (key, bytes) in &page.rows {
            let Some(id) = key.parse_effect() else { continue };
            next = (!page.ended).then(|| after(id));
            let effect: StoredEffect = open_envelope(key, bytes)?;
            if effect.name == self.name {
                found.push(held.job(core, id, effect));
            }
        }
        held.outbox.load(&wanted, found, next);
        Ok(true)
    }
}

/// The first id that can stand behind `id`.
fn after(id: MessageId) -> MessageId {
    MessageId { unit: id.unit, index: id.index.saturating_add(1) }
}

impl Held {
    fn wake(&self) {
        if let Some(actor) = &self.actor {
            // A cast fails only when the pool is ending; its successor takes everything over.
            let _ending = actor.cast(PoolMessage::Wake);
        }
    }

    /// What an earlier run of the process left may have been started by it.
    fn job(&self, core: &Core, id: MessageId, mut effect: StoredEffect) -> Job {
        let reconcile = effect.doubtful || !core.is_own(id);
        let deaths = self.suspects.get(&id);
        let suspect = deaths.is_some();
        if !Ahead::PERFORMED.counts(&effect.last_error, deaths.map_or(&[], Vec::as_slice)) {
            effect.deaths = effect.deaths.saturating_sub(1);
        }
        Job { id, effect, reconcile, suspect, waits: 0, gave_way: 0 }
    }
}

/// Counts an effect as running, also until its task is aborted.
pub(crate) struct UnderWay(Arc<Pool>);

impl UnderWay {
    /// None when the pool's actor of this `term` is dismissed: it starts nothing any more.
    pub(crate) fn of(pool: &Arc<Pool>, term: u64) -> Option<Self> {
        let held = pool.lock();
        (held.term == term).then(|| {
            pool.running.update(|running| *running += 1);
            Self(pool.clone())
        })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.running.update(|running| *running -= 1);
    }
}
