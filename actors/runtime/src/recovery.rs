//! What a node takes up again when it starts: one function per step.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use perennial_store::{Key, MessageId, StoreError};

use crate::address::Address;
use crate::core::Core;
use crate::draft::Draft;
use crate::inflight::Suspects;
use crate::message::{DeadContent, StoredEffect, StoredMessage, open_envelope};
use crate::window::{self, successor};

/// Waiting messages that are counted at the start, over all actors; the rest count when they are read.
const COUNTED: usize = 50_000;
/// Rows and bytes read from the store at a time.
const PAGE: (usize, usize) = (1_000, 4 * 1024 * 1024);

/// Takes up pending effects and messages. Actors are started by their supervisors afterwards.
pub(crate) fn recover(core: &Arc<Core>, suspects: &Suspects) -> Result<(), StoreError> {
    effects(core, &suspects.effects)?;
    inboxes(core)?;
    for suspect in &suspects.actors {
        core.slots.with(suspect, |slot, _| slot.clone()).suspect();
    }
    Ok(())
}

fn effects(core: &Arc<Core>, suspects: &[MessageId]) -> Result<(), StoreError> {
    core.pools.values().for_each(|pool| pool.suspect(suspects));
    let all = Key::effects();
    let mut from = all.start.clone();
    loop {
        let page = window::read(core.backend.as_ref(), from..all.end.clone(), PAGE)?;
        for (key, bytes) in &page.rows {
            let Some(id) = key.parse_effect() else { continue };
            let effect: StoredEffect = open_envelope(key, bytes)?;
            match core.pools.get(effect.name.as_str()) {
                Some(pool) => pool.submit(core, id, effect),
                None => bury_effect(core, key.clone(), effect),
            }
        }
        let Some((last, _)) = page.rows.last().filter(|_| !page.ended) else { return Ok(()) };
        from = successor(last);
    }
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
fn inboxes(core: &Arc<Core>) -> Result<(), StoreError> {
    let all = Key::inbox_all();
    let mut from = all.start.clone();
    let mut counted = 0;
    while let Some((key, _)) = core.backend.scan(&from..&all.end, 1)?.into_iter().next() {
        let Some((kind, name, first)) = key.parse_inbox() else {
            from = successor(&key);
            continue;
        };
        let own = Key::inbox_of(&kind, &name, MessageId { unit: 0, index: 0 });
        from = own.end.clone();
        let address = Address::new(kind, name);
        if !core.kinds.contains_key(address.kind()) {
            bury_inbox(core, &address, &own)?;
            continue;
        }
        let most = core.limits.quota.saturating_add(1).min(COUNTED.saturating_sub(counted)).max(1);
        let count = core.backend.scan(&own.start..&own.end, most)?.len();
        counted += count;
        core.slots.with(&address, |_, state| state.inbox.note_backlog(first, count));
    }
    Ok(())
}

/// Messages to a kind that is no longer registered are addressed to nobody.
fn bury_inbox(
    core: &Arc<Core>,
    address: &Address,
    own: &std::ops::Range<Key>,
) -> Result<(), StoreError> {
    let reason = format!("no actor of kind {} is registered", address.kind());
    let mut from = own.start.clone();
    loop {
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
        core.slots.all().iter().for_each(|slot| slot.lock().suspect = false);
        tracing::info!("running normally again");
    });
}

const LONGEST_CARE: Duration = Duration::from_secs(600);
