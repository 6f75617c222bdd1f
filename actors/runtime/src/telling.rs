//! The way in for messages that wait in memory only: straight into the inbox, with no unit and no commit.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use perennial_store::Timestamp;
use tokio::sync::oneshot;

use crate::activation::Wake;
use crate::address::Address;
use crate::core::{Answer, Core, Intake, needs_wake};
use crate::draft::Draft;
use crate::error::{AskError, SendError};
use crate::message::Asker;
use crate::slot::{Phase, Slot, SlotState};
use crate::told::Told;

/// Why a message was not taken into memory.
#[derive(Debug)]
pub(crate) enum Untold {
    /// The mailbox has no room for so many bytes.
    Full(usize),
    /// It would overtake what waits in the store, or must be in the store should it kill the process.
    OnlyDurably,
    Refused(SendError),
}

/// What is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Saying<'a> {
    pub(crate) payload: &'a [u8],
    pub(crate) version: u16,
    pub(crate) expires: Option<Timestamp>,
}

impl Core {
    /// Puts a message into the inbox that nobody waits for.
    pub(crate) fn tell(&self, slot: &Arc<Slot>, saying: Saying<'_>) -> Result<(), Untold> {
        let mut state = self.open(slot, saying)?;
        self.put((slot, &mut state), saying, None);
        if needs_wake(&state) {
            self.wake_now((slot, &mut state), || Wake::RunAfterOthers(None));
        }
        Ok(())
    }

    /// Puts a question into the inbox; its answer comes through what is returned.
    pub(crate) fn inquire(
        &self,
        slot: &Arc<Slot>,
        saying: Saying<'_>,
    ) -> Result<oneshot::Receiver<Answer>, Untold> {
        let mut state = self.open(slot, saying)?;
        let (asker, answer) = oneshot::channel();
        self.put((slot, &mut state), saying, Some(asker));
        if needs_wake(&state) {
            self.wake_now((slot, &mut state), || Wake::Run(None));
        }
        Ok(answer)
    }

    /// Locks a slot that takes `saying` into memory.
    fn open<'a>(
        &self,
        slot: &'a Slot,
        saying: Saying<'_>,
    ) -> Result<std::sync::MutexGuard<'a, SlotState>, Untold> {
        self.check_size(&slot.address, saying.payload.len())
            .map_err(|why| Untold::Refused(SendError::Refused(why)))?;
        if self.intake.load(Ordering::Relaxed) == Intake::NoSpace as u8 {
            return Err(Untold::Refused(SendError::NoSpace));
        }
        let state = slot.lock();
        // Seen under the lock: what is told before it is set is kept by the shutdown.
        if self.is_stopping() {
            return Err(Untold::Refused(SendError::Stopping));
        }
        if self.untold.load(Ordering::Acquire) {
            return Err(Untold::Refused(SendError::Unknown));
        }
        if self.careful.load(Ordering::Relaxed)
            || state.inbox.has_spilled()
            || matches!(state.phase, Phase::GivenUp)
        {
            return Err(Untold::OnlyDurably);
        }
        if !state.inbox.has_room(saying.payload.len(), self.limits.told()) {
            return Err(Untold::Full(saying.payload.len()));
        }
        Ok(state)
    }

    fn put(
        &self,
        (slot, state): (&Slot, &mut SlotState),
        saying: Saying<'_>,
        asker: Option<Asker>,
    ) {
        debug_assert!(self.kinds.contains_key(slot.address.kind()));
        let Saying { payload, version, expires } = saying;
        // Its size was checked; numbered under the lock, so that numbers rise as messages stand.
        let bytes = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let told = Told { unit: self.unit_number(), expires, asker, bytes, version };
        state.inbox.tell(told, payload, || self.now());
    }

    /// Resolves when there may be room to tell so many bytes, or never will be.
    pub(crate) async fn until_room(&self, slot: &Slot, payload: usize) {
        let mut room = std::pin::pin!(slot.room.notified());
        let _waits = {
            let mut state = slot.lock();
            if state.inbox.has_room(payload, self.limits.told()) || self.is_stopping() {
                return;
            }
            // Under the lock, so that whoever makes room sees it.
            room.as_mut().enable();
            state.waiting += 1;
            Waits(slot)
        };
        tokio::select! {
            biased;
            () = room => {}
            _ = self.stopping.wait_for(|stopping| *stopping) => {}
            () = self.until_failed() => {}
        }
    }

    /// Lets go of those who asked in memory: the node has failed. Nobody asks any more afterwards.
    pub(crate) fn end_told(&self) {
        self.untold.store(true, Ordering::Release);
        for slot in self.slots.all() {
            slot.lock().inbox.drop_askers();
        }
    }

    /// Makes durable what was told and not handled, once nothing is told or handled any more. Those who
    /// asked are told that the node ends.
    pub(crate) fn keep_told(self: &Arc<Self>) {
        let mut draft = Draft::new(self);
        for slot in self.slots.all() {
            let told = slot.lock().inbox.take_told().into_envelopes(self.traces, self.now());
            for mut envelope in told {
                if let Some(asker) = envelope.asker.take() {
                    // Whoever asked may have stopped waiting.
                    let _gone = asker.send(Err(AskError::Send(SendError::Stopping)));
                } else if let Err(error) = keep(&mut draft, &slot.address, envelope) {
                    tracing::error!(%error, actor = %slot.address, "a message cannot be kept");
                }
            }
        }
        if !draft.sends.is_empty() {
            self.publish(draft, None);
        }
    }
}

/// Somebody who waits for room, until it is dropped.
struct Waits<'a>(&'a Slot);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
    }
}

fn keep(
    draft: &mut Draft,
    to: &Address,
    envelope: crate::message::Envelope,
) -> Result<(), perennial_store::CodecError> {
    draft.keep(to, envelope.origin.id(), (*envelope.message).clone())
}
