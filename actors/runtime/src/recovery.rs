//! What a node takes up again when it starts: one function per step.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use perennial_store::{Key, MessageId, StoreError};

use crate::activation::Wake;
use crate::address::Address;
use crate::core::Core;
use crate::draft::Draft;
use crate::message::{DeadContent, StoredEffect, StoredMessage, open_envelope};
use crate::outbox;
use crate::slot::{Phase, Slot};
use crate::window::{self, successor};

/// Rows and bytes read from the store at a time.
const PAGE: (usize, usize) = (1_000, 4 * 1024 * 1024);
/// Actors that work on what an earlier run left, at most, unless they are in trouble: each holds a window
/// of its messages.
const AT_ONCE: usize = 256;
/// Actors found between two times that those that are done are forgotten.
const RETIRE_EVERY: usize = 4 * AT_ONCE;
/// Inboxes looked for before other work of the same thread gets its turn.
const LOOKS: usize = 32;
/// How often it is looked whether they are done.
pub(crate) const GLANCE: Duration = Duration::from_millis(1);

/// Takes up what has to be known before anything runs: whether anything was left, and who is suspected of
/// having killed the process.
pub(crate) fn recover(core: &Arc<Core>) -> Result<(), StoreError> {
    let suspects = core.inflight.suspects();
    let all = Key::inbox_all();
    let first = core.backend.scan(&all.start..&all.end, 1)?.into_iter().next();
    // Often nothing was left, and then nobody has to wait until that is found out.
    core.slots.set_unseen(first.map(|(key, _)| key));
    let effects = Key::effects();
    let left = !core.backend.scan(&effects.start..&effects.end, 1)?.is_empty();
    for pool in core.pools.values() {
        pool.suspect(suspects);
        if left {
            pool.expect();
        }
    }
    let known = suspects.actors().filter(|actor| core.kinds.contains_key(actor.kind()));
    for suspect in known {
        core.slots.with(suspect, |slot, _| slot.clone()).suspect();
    }
    Ok(())
}

/// Takes up what waits while the node runs: finds the pending effects, and the actors that have messages,
/// a bounded number at a time. One that is reached by something else before that finds its own.
pub(crate) async fn run(core: Arc<Core>) {
    let found = async { futures::try_join!(effects(&core), inboxes(&core)) };
    let found = tokio::select! {
        biased;
        _ = core.stopping.wait_for(|stopping| *stopping) => return,
        found = found => found,
    };
    match found {
        Ok((0, 0)) => {}
        Ok((effects, actors)) => {
            tracing::info!(effects, actors, "all that waited at the start has been taken up");
        }
        Err(error) => core.unreadable(error),
    }
}

/// Finds the effects that earlier runs left, a page at a time; their pools hold a window of them.
async fn effects(core: &Arc<Core>) -> Result<usize, StoreError> {
    let all = Key::effects();
    let (mut from, mut found) = (all.start, 0);
    loop {
        let page = window::read(core.backend.as_ref(), from..all.end.clone(), outbox::PAGE)?;
        let mut ended = page.ended;
        for (key, bytes) in &page.rows {
            let Some(id) = key.parse_effect() else { continue };
            if core.is_own(id) {
                // Those of this run stand behind all others, and are announced.
                ended = true;
                break;
            }
            let effect: StoredEffect = open_envelope(key, bytes)?;
            found += 1;
            match core.pools.get(effect.name.as_str()) {
                Some(pool) => pool.find(core, id, effect),
                None => bury_effect(core, key.clone(), effect),
            }
        }
        let Some((last, _)) = page.rows.last().filter(|_| !ended) else { break };
        from = successor(last);
        core.committer.until_calm().await;
        tokio::task::yield_now().await;
    }
    core.pools.values().for_each(|pool| pool.note_found());
    Ok(found)
}

fn bury_effect(core: &Arc<Core>, key: Key, effect: StoredEffect) {
    let mut draft = Draft::new(core);
    let (owner, name) = (effect.owner.clone(), effect.name.clone());
    let (attempts, last) = (effect.attempts, effect.last_error.clone());
    draft.batch.delete(key);
    let reason = format!("no performer of {name} is registered");
    match draft.bury(&owner, DeadContent::Effect(effect), (&reason, attempts, &last)) {
        Ok(()) => {
            core.publish(draft, None);
        }
        Err(error) => tracing::error!(%error, name, "an effect cannot be buried"),
    }
}

/// Finds the actors with waiting messages by skipping from actor to actor, not by reading messages.
async fn inboxes(core: &Arc<Core>) -> Result<usize, StoreError> {
    let all = Key::inbox_all();
    let mut from = all.start.clone();
    let (mut looked, mut at_work) = (0_usize, AtWork::default());
    while let Some((key, _)) = core.backend.scan(&from..&all.end, 1)?.into_iter().next() {
        from = match key.parse_inbox() {
            None => successor(&key),
            Some((kind, name, _)) => {
                let own = Key::inbox_of(&kind, &name, MessageId { unit: 0, index: 0 });
                let address = Address::new(kind, name);
                if core.kinds.contains_key(address.kind()) {
                    at_work.until_room(core).await;
                    let slot = core.slots.with(&address, |slot, _| slot.clone());
                    core.wake(&slot);
                    at_work.add(core, slot);
                } else {
                    bury_inbox(core, &address, &own).await?;
                }
                own.end
            }
        };
        core.slots.set_unseen(Some(from.clone()));
        looked += 1;
        if looked % LOOKS == 0 {
            tokio::task::yield_now().await;
        }
    }
    core.slots.set_unseen(None);
    // Those that were only asked for, and turned out to be in the part that held nothing.
    core.slots.all().iter().for_each(|slot| core.wake(slot));
    Ok(at_work.taken_up)
}

/// Actors that were taken up, a bounded number at a time.
#[derive(Debug, Default)]
pub(crate) struct AtWork {
    slots: Vec<Arc<Slot>>,
    /// How many there have been.
    taken_up: usize,
}

impl AtWork {
    /// How many more may be taken up now. Those that are done leave memory.
    pub(crate) fn room(&mut self, core: &Core) -> usize {
        self.slots.retain(|slot| is_at_work(core, slot));
        AT_ONCE - self.slots.len()
    }

    async fn until_room(&mut self, core: &Core) {
        while self.slots.len() >= AT_ONCE && self.room(core) == 0 {
            tokio::time::sleep(GLANCE).await;
        }
    }

    pub(crate) fn add(&mut self, core: &Core, slot: Arc<Slot>) {
        self.slots.push(slot);
        self.taken_up += 1;
        if self.taken_up.is_multiple_of(RETIRE_EVERY) {
            core.slots.retire(core.committer.committed(), core.careful.load(Ordering::Relaxed));
        }
    }
}

/// Whether the actor still has something to do. One that has not leaves memory, so that there is room for
/// the next. One that is in trouble is left to itself, and so is one that has come to what is sent to it now:
/// it may never rest.
fn is_at_work(core: &Core, slot: &Arc<Slot>) -> bool {
    let state = slot.lock();
    match &state.phase {
        Phase::Passive => !state.inbox.is_empty(),
        Phase::Starting => state.last_error.is_none(),
        Phase::Active(_) if state.awake => {
            state.last_error.is_none() && !state.inbox.is_past_backlog(|id| core.is_own(id))
        }
        Phase::Active(bell) => {
            // A cast fails only when the actor is ending anyway.
            let _ending = bell.cast(Wake::Passivate);
            false
        }
        Phase::GivenUp => false,
    }
}

impl Core {
    /// How many messages wait at `slot`, at least; all of them, if they are fewer than the quota. What an
    /// earlier run left is counted the first time that somebody asks.
    pub(crate) fn waiting(&self, slot: &Slot) -> Result<usize, StoreError> {
        loop {
            let (depth, uncounted) = {
                let state = slot.lock();
                (state.inbox.depth(), state.inbox.uncounted_from())
            };
            let Some(from) = uncounted.filter(|_| depth < self.limits.quota) else {
                return Ok(depth);
            };
            let rows = self.count(&slot.address, from)?;
            slot.lock().inbox.note_counted(from, rows);
        }
    }

    fn count(&self, address: &Address, from: MessageId) -> Result<usize, StoreError> {
        let own = Key::inbox_of(address.kind(), address.key(), from);
        let (mut from, mut rows) = (own.start, 0);
        while rows < self.limits.quota {
            let most = PAGE.0.min(self.limits.quota - rows);
            let page = window::read(self.backend.as_ref(), from..own.end.clone(), (most, PAGE.1))?;
            rows += page.rows.len();
            let Some((last, _)) = page.rows.last().filter(|_| !page.ended) else { break };
            from = successor(last);
        }
        Ok(rows)
    }
}

/// Messages to a kind that is no longer registered are addressed to nobody.
async fn bury_inbox(
    core: &Arc<Core>,
    address: &Address,
    own: &std::ops::Range<Key>,
) -> Result<(), StoreError> {
    let reason = format!("no actor of kind {} is registered", address.kind());
    let mut from = own.start.clone();
    loop {
        core.committer.until_calm().await;
        let page = window::read(core.backend.as_ref(), from..own.end.clone(), PAGE)?;
        let mut draft = Draft::new(core);
        for (key, bytes) in &page.rows {
            let message: StoredMessage = open_envelope(key, bytes)?;
            draft.batch.delete(key.clone());
            let buried = draft.bury(address, DeadContent::Message(message), (&reason, 0, ""));
            if let Err(error) = buried {
                tracing::error!(%error, %address, "a message cannot be buried");
            }
        }
        core.publish(draft, None);
        let Some((last, _)) = page.rows.last().filter(|_| !page.ended) else { return Ok(()) };
        from = successor(last);
    }
}

/// After an unclean end actors run carefully for a while: single turns, and nothing is delivered
/// before it is durable, so that a message that kills the process is in the store when it is found
/// out. The time doubles with each unclean end in a row, so that a killer deep in a backlog is reached.
pub(crate) fn be_careful(core: &Arc<Core>, unclean_ends: u32) {
    if unclean_ends == 0 {
        return;
    }
    let doubled = 1u32.checked_shl(unclean_ends - 1).unwrap_or(u32::MAX);
    let period = core.limits.careful.saturating_mul(doubled).min(LONGEST_CARE);
    core.careful.store(true, Ordering::SeqCst);
    tracing::warn!(unclean_ends, ?period, "the last run did not end in order; running carefully");
    let core = core.clone();
    tokio::spawn(async move {
        tokio::select! {
            biased;
            _ = core.stopping.wait_for(|stopping| *stopping) => return,
            () = tokio::time::sleep(period) => {}
        }
        core.careful.store(false, Ordering::SeqCst);
        core.inflight.forget();
        tracing::info!("running normally again");
    });
}

const LONGEST_CARE: Duration = Duration::from_secs(600);
