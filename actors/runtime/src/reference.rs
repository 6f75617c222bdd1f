//! An actor as it is held by those outside who tell it much.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use perennial_store::{encode, encode_to};
use serde::de::DeserializeOwned;

use crate::address::Address;
use crate::core::Core;
use crate::durable::Durable;
use crate::error::{AskError, SendError};
use crate::gate::unknown;
use crate::runtime::decoded;
use crate::slot::Slot;
use crate::telling::{Saying, Untold};
use crate::turn::Outgoing;

/// An actor, live or not. Clones refer to the same; it stays valid whatever happens to the actor, and
/// keeps the address in memory, not the actor.
pub struct Reference<A: Durable> {
    core: Arc<Core>,
    slot: Arc<Slot>,
    /// Whether the node knows actors of the kind at all.
    known: bool,
    kind: PhantomData<fn(A)>,
}

impl<A: Durable> Clone for Reference<A> {
    fn clone(&self) -> Self {
        let (core, slot) = (self.core.clone(), self.slot.clone());
        Self { core, slot, known: self.known, kind: PhantomData }
    }
}

impl<A: Durable> fmt::Debug for Reference<A> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Reference").field(&self.slot.address).finish()
    }
}

/// Messages of up to this many bytes are encoded without an allocation.
const SMALL: usize = 512;

impl<A: Durable> Reference<A> {
    pub(crate) fn to(core: &Arc<Core>, key: impl Into<String>) -> Self {
        let address = Address::of(A::KIND, key);
        let known = core.kinds.contains_key(A::KIND.as_str());
        let slot = core.slots.get_or_insert(&address);
        Self { core: core.clone(), slot, known, kind: PhantomData }
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.slot.address
    }

    /// Tells the actor something that may be lost: it is handled at most once, and not at all if the
    /// process ends before. Waits while the mailbox is full. What one sender tells and sends arrives in
    /// order; where memory cannot keep that order, behind a backlog in the store, and after an unclean
    /// end, this is [`Runtime::send`](crate::Runtime::send).
    ///
    /// # Errors
    /// The message was refused, or, where it was sent, its fate is not known.
    pub async fn tell(&self, message: &A::Message) -> Result<(), SendError> {
        match self.told(message) {
            Ok(()) => Ok(()),
            Err(untold) => self.tell_later(message, untold).await,
        }
    }

    /// The same without waiting: refused when the mailbox is full, and where it would be sent.
    ///
    /// # Errors
    /// The message was refused.
    pub fn try_tell(&self, message: &A::Message) -> Result<(), SendError> {
        self.told(message).map_err(|untold| match untold {
            Untold::Refused(error) => error,
            Untold::Full(_) | Untold::OnlyDurably => {
                SendError::Overloaded(self.slot.address.to_string())
            }
        })
    }

    /// Asks the actor and waits for its answer, as [`Runtime::ask`](crate::Runtime::ask).
    ///
    /// # Errors
    /// As for [`Runtime::ask`](crate::Runtime::ask).
    pub async fn ask<T: DeserializeOwned>(
        &self,
        message: &A::Message,
        timeout: Duration,
    ) -> Result<T, AskError> {
        decoded(tokio::time::timeout(timeout, self.asked(message)).await)
    }

    async fn asked(&self, message: &A::Message) -> Result<Vec<u8>, AskError> {
        match self.with_payload(message, |saying| self.core.inquire(&self.slot, saying)) {
            Ok(answer) => Ok(answer.await.unwrap_or_else(|_| unknown())?),
            Err(Untold::Refused(error)) => Err(error.into()),
            Err(Untold::Full(_) | Untold::OnlyDurably) => {
                let outgoing = self.outgoing(encode(message).map_err(refused)?);
                self.core.clone().ask_durably(outgoing).await
            }
        }
    }

    fn told(&self, message: &A::Message) -> Result<(), Untold> {
        self.with_payload(message, |saying| self.core.tell(&self.slot, saying))
    }

    fn with_payload<T>(
        &self,
        message: &A::Message,
        say: impl FnOnce(Saying<'_>) -> Result<T, Untold>,
    ) -> Result<T, Untold> {
        if !self.known {
            return Err(Untold::OnlyDurably);
        }
        let saying = |payload| Saying { payload, version: A::VERSION, expires: None };
        let failed = |error| Untold::Refused(refused(error));
        let mut room = [0; SMALL];
        match encode_to(&mut room, message).map_err(failed)? {
            Some(bytes) => say(saying(&room[..bytes])),
            None => say(saying(&encode(message).map_err(failed)?)),
        }
    }

    async fn tell_later(&self, message: &A::Message, mut untold: Untold) -> Result<(), SendError> {
        loop {
            if !matches!(untold, Untold::Full(_)) {
                // It leaves no message behind whose turn would wake the next one who waits.
                self.slot.pass_on();
            }
            match untold {
                Untold::Refused(error) => return Err(error),
                Untold::Full(bytes) => self.core.until_room(&self.slot, bytes).await,
                Untold::OnlyDurably => {
                    let outgoing = self.outgoing(encode(message).map_err(refused)?);
                    return self.core.accept_message(outgoing, None).await.map(drop);
                }
            }
            match self.told(message) {
                Ok(()) => return Ok(()),
                Err(again) => untold = again,
            }
        }
    }

    fn outgoing(&self, payload: Vec<u8>) -> Outgoing {
        Outgoing { to: self.slot.address.clone(), version: A::VERSION, payload, expires: None }
    }
}

fn refused(error: perennial_store::CodecError) -> SendError {
    SendError::Refused(error.to_string())
}
