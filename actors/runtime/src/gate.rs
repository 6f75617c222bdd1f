//! The way in: messages from outside are accepted here, or refused with a reason.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::BoxFuture;
use perennial_store::{CodecError, Key, MessageId, Tag, Timestamp, seal};
use tokio::sync::{oneshot, watch};

use crate::activation::Wake;
use crate::address::{Address, without_zeros};
use crate::core::{Answer, Core, Intake, Overloaded};
use crate::draft::Draft;
use crate::emission::{Door, Emission, SensorRun};
use crate::error::{AskError, SendError};
use crate::limits::{MAX_KEY_BYTES, MAX_PAYLOAD_BYTES};
use crate::merge::Fresh;
use crate::message::StoredMessage;
use crate::receipts::{self, Claim, StoredReceipt};
use crate::slot::Slot;
use crate::telling::{Saying, Untold};
use crate::turn::{Outgoing, TraceId};

/// How a message is sent.
#[derive(Clone, Debug, Default)]
pub struct SendOptions {
    /// The caller's message id: sending again under it changes nothing and has the same answer.
    pub token: Option<String>,
    /// The message is of no use after this; it then goes to the dead letters.
    pub expires: Option<Timestamp>,
}

/// Proof that a message is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The message's own id.
    pub id: MessageId,
    /// Whether it had been accepted before, under the same token.
    pub repeated: bool,
}

/// A token that is ours to use, or what was accepted under it.
enum Claimed {
    New(watch::Sender<()>),
    Before(StoredReceipt),
}

/// An accepted message, or one that had been.
pub(crate) enum Accepted {
    New(MessageId),
    Before(StoredReceipt),
}

impl Core {
    /// Refuses what the node cannot take now.
    fn check_intake(&self, to: &Address, bytes: usize) -> Result<(), SendError> {
        self.check_open(to, bytes)?;
        let waiting = self.slots.get(to).map_or(Ok(0), |slot| self.waiting(&slot));
        if waiting.map_err(|error| self.refuse_unreadable(error))? >= self.limits.quota {
            return Err(SendError::Overloaded(to.to_string()));
        }
        Ok(())
    }

    /// Refuses what the node cannot take now, whatever waits for the receiver.
    fn check_open(&self, to: &Address, bytes: usize) -> Result<(), SendError> {
        if self.is_stopping() {
            return Err(SendError::Stopping);
        }
        self.check_size(to, bytes).map_err(SendError::Refused)?;
        if self.intake.load(Ordering::Relaxed) == Intake::NoSpace as u8 {
            return Err(SendError::NoSpace);
        }
        Ok(())
    }

    /// Refuses what is never taken, however long one waits.
    pub(crate) fn check_size(&self, to: &Address, bytes: usize) -> Result<(), String> {
        let limit = self.limits.message_bytes.min(MAX_PAYLOAD_BYTES);
        if to.key().len() > MAX_KEY_BYTES {
            return Err(format!("a key is over the limit of {MAX_KEY_BYTES} bytes"));
        }
        if bytes > limit {
            return Err(format!("{bytes} bytes are over the limit of {limit}"));
        }
        Ok(())
    }

    /// Accepts one message; resolves when it is durable.
    pub(crate) async fn accept_message(
        self: &Arc<Self>,
        outgoing: Outgoing,
        token: Option<String>,
    ) -> Result<Accepted, SendError> {
        let Some(token) = usable(token)? else {
            return self.accept_plain(outgoing).await.map(Accepted::New);
        };
        self.check_intake(&outgoing.to, outgoing.payload.len())?;
        match self.claim(&token).await? {
            Claimed::Before(receipt) => {
                self.settled().await?;
                Ok(Accepted::Before(receipt))
            }
            Claimed::New(done) => {
                self.accept_new(outgoing, Some(token), Some(done)).await.map(Accepted::New)
            }
        }
    }

    /// Makes the token ours, or finds what was accepted under it.
    async fn claim(self: &Arc<Self>, token: &str) -> Result<Claimed, SendError> {
        loop {
            let claim = self.receipts.claim(self.backend.as_ref(), token);
            match claim.map_err(|error| self.refuse_unreadable(error))? {
                Claim::Known(receipt) => return Ok(Claimed::Before(receipt)),
                // The sender is dropped when the fate is known, which ends the wait with an error.
                Claim::Busy(mut done) => while done.changed().await.is_ok() {},
                Claim::New(done) => return Ok(Claimed::New(done)),
            }
        }
    }

    /// What was read may stand in a commit that is not durable yet: nothing leaves before it is.
    async fn settled(&self) -> Result<(), SendError> {
        if self.committer.barrier().await { Ok(()) } else { Err(SendError::Unknown) }
    }

    fn refuse_unreadable(&self, error: perennial_store::StoreError) -> SendError {
        self.unreadable(error);
        SendError::Unknown
    }

    /// Accepts a message that comes without a token: most do, so nothing is done that it does not need.
    async fn accept_plain(self: &Arc<Self>, outgoing: Outgoing) -> Result<MessageId, SendError> {
        self.check_open(&outgoing.to, outgoing.payload.len())?;
        if !self.kinds.contains_key(outgoing.to.kind()) {
            return self.accept_new(outgoing, None, None).await;
        }
        let Outgoing { to, version, payload, expires } = outgoing;
        let id = MessageId { unit: self.unit_number(), index: 1 };
        let message = Arc::new(StoredMessage {
            accepted_at: Core::now(self),
            trace: Core::new_trace(self),
            expires,
            token: None,
            asked: false,
            version,
            payload,
        });
        let ticket = loop {
            match self.publish_message(Fresh { to: to.clone(), id, message: message.clone() }) {
                Ok(ticket) => break ticket.ok_or(SendError::Unknown)?,
                // What an earlier run left is counted here, if it was not yet.
                Err(Overloaded) => self.check_intake(&to, message.payload.len())?,
            }
        };
        if self.committer.redeem(ticket).await { Ok(id) } else { Err(SendError::Unknown) }
    }

    async fn accept_new(
        self: &Arc<Self>,
        outgoing: Outgoing,
        token: Option<String>,
        claim: Option<watch::Sender<()>>,
    ) -> Result<MessageId, SendError> {
        let mut draft = Draft::new(self);
        let held = token.as_ref().map(|token| (token.clone(), claim, self.clone()));
        let id = match self.draft_message(&mut draft, outgoing, (token, false)) {
            Ok(id) => id,
            Err(error) => {
                release_token(held);
                return Err(SendError::Refused(error.to_string()));
            }
        };
        let (sender, receiver) = oneshot::channel();
        draft.then(move |durable| {
            release_token(held);
            // Whoever sent it may have stopped waiting.
            let _gone = sender.send(durable);
        });
        self.publish(draft, None);
        if receiver.await.unwrap_or(false) { Ok(id) } else { Err(SendError::Unknown) }
    }

    fn draft_message(
        &self,
        draft: &mut Draft,
        outgoing: Outgoing,
        (token, asked): (Option<String>, bool),
    ) -> Result<MessageId, CodecError> {
        let expires = draft.now() + self.limits.receipts;
        let stored = token.clone().unwrap_or_default();
        let id = draft.send(self, outgoing, self.new_trace(), Some((stored, asked)))?;
        if let Some(token) = token {
            receipts::store(draft, &token, (id, expires), None)?;
        }
        Ok(id)
    }

    /// A sensor can wait for room: the world is still there to be looked at.
    async fn until_taken(&self, outgoing: &Outgoing) -> Result<(), SendError> {
        // One that is too large is not delivered to anybody, so it needs no room there.
        let bytes = outgoing.payload.len();
        while self.check_size(&outgoing.to, bytes).is_ok() {
            match self.check_intake(&outgoing.to, bytes) {
                Err(SendError::Overloaded(_) | SendError::NoSpace) => {
                    tokio::time::sleep(SENSOR_WAIT).await;
                }
                result => return result,
            }
        }
        Ok(())
    }

    /// Accepts all of an emission with the sensor's position; waits while a receiver is over quota. A
    /// message that is too large becomes a dead letter: the sensor would emit it again for ever. Refused
    /// once the sensor's next run has begun, which emits the same.
    async fn accept_emission(
        self: &Arc<Self>,
        run: &SensorRun,
        emission: Emission,
    ) -> Result<(), SendError> {
        let SensorRun { sensor, version, .. } = run;
        check_position(emission.position.as_deref())?;
        for outgoing in &emission.messages {
            self.until_taken(outgoing).await?;
        }
        let mut draft = Draft::new(self);
        for outgoing in emission.messages {
            let drafted = match self.check_size(&outgoing.to, outgoing.payload.len()) {
                Ok(()) => draft.send(self, outgoing, emission.trace, None).map(drop),
                Err(why) => draft.refuse(outgoing, emission.trace, &format!("{sensor}: {why}")),
            };
            drafted.map_err(|error| SendError::Refused(error.to_string()))?;
        }
        if let Some(position) = emission.position {
            let key = Key::position(sensor);
            let bytes = seal(&key, Tag::Position, *version, &position);
            draft.batch.put(key, bytes);
        }
        draft.observe(emission.observations);
        let (sender, receiver) = oneshot::channel();
        draft.then(move |durable| {
            // The sensor may have been stopped meanwhile.
            let _gone = sender.send(durable);
        });
        let mut latest = true;
        let claim = |_| {
            latest = run.is_latest();
            latest
        };
        self.publish_if(claim, draft, Wake::RunAfterOthers);
        if !latest {
            return Err(SendError::Refused(format!("{sensor} was started again meanwhile")));
        }
        if receiver.await.unwrap_or(false) { Ok(()) } else { Err(SendError::Unknown) }
    }
}

/// The store takes no larger row, and refuses the whole commit.
fn check_position(position: Option<&[u8]>) -> Result<(), SendError> {
    match position.map_or(0, <[u8]>::len) {
        bytes if bytes > MAX_PAYLOAD_BYTES => Err(SendError::Refused(format!(
            "a position of {bytes} bytes is over the limit of {MAX_PAYLOAD_BYTES}"
        ))),
        _ => Ok(()),
    }
}

const SENSOR_WAIT: Duration = Duration::from_millis(50);

/// A token as it can be part of a key; an empty one is none.
fn usable(token: Option<String>) -> Result<Option<String>, SendError> {
    let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(None) };
    if token.len() > MAX_KEY_BYTES {
        let why = format!("a message id is over the limit of {MAX_KEY_BYTES} bytes");
        return Err(SendError::Refused(why));
    }
    Ok(Some(without_zeros(token)))
}

type HeldToken = Option<(String, Option<watch::Sender<()>>, Arc<Core>)>;

/// Lets those go on who wait for the fate of the same token.
fn release_token(held: HeldToken) {
    if let Some((token, claim, core)) = held {
        core.receipts.release(&token);
        drop(claim);
    }
}

impl Door for Arc<Core> {
    fn now(&self) -> Timestamp {
        Core::now(self)
    }

    fn new_trace(&self) -> TraceId {
        Core::new_trace(self)
    }

    fn accept<'a>(
        &'a self,
        run: &'a SensorRun,
        emission: Emission,
    ) -> BoxFuture<'a, Result<(), SendError>> {
        Box::pin(self.accept_emission(run, emission))
    }
}

impl Core {
    /// Accepts a message and waits for its turn's reply.
    pub(crate) async fn ask_message(
        self: Arc<Self>,
        outgoing: Outgoing,
        token: Option<String>,
    ) -> Result<Vec<u8>, AskError> {
        let token = usable(token)?;
        if token.is_none() {
            let known = self.kinds.contains_key(outgoing.to.kind());
            let slot = known.then(|| self.slots.get_or_insert(&outgoing.to));
            return self.ask_at(slot.as_ref(), outgoing).await;
        }
        self.check_intake(&outgoing.to, outgoing.payload.len())?;
        let id = match &token {
            None => return self.ask_new(outgoing, None, None).await,
            Some(token) => match self.claim(token).await? {
                Claimed::New(done) => {
                    return self.ask_new(outgoing, Some(token.clone()), Some(done)).await;
                }
                Claimed::Before(receipt) => receipt.id,
            },
        };
        // Accepted before: the answer is stored, or will be when its turn commits.
        let waiting = Waiting::new(self.clone(), id);
        let token = token.unwrap_or_default();
        let stored = receipts::read(self.backend.as_ref(), &token)
            .map_err(|error| self.refuse_unreadable(error))?;
        if let Some(end) = stored.and_then(|receipt| receipt.end) {
            self.settled().await?;
            return end.answer();
        }
        waiting.answer().await
    }

    /// Asks in memory where that is possible, else durably: nobody will ask for the answer again.
    pub(crate) async fn ask_at(
        self: Arc<Self>,
        slot: Option<&Arc<Slot>>,
        outgoing: Outgoing,
    ) -> Result<Vec<u8>, AskError> {
        if let Some(slot) = slot {
            let Outgoing { payload, version, expires, .. } = &outgoing;
            let saying = Saying { payload, version: *version, expires: *expires };
            match self.inquire(slot, saying) {
                // A node that fails lets go of those who ask: see `Core::end_told`.
                Ok(answer) => return answer.await.unwrap_or_else(|_| unknown()),
                Err(Untold::Refused(error)) => return Err(error.into()),
                Err(Untold::Full(_) | Untold::OnlyDurably) => {}
            }
        }
        self.ask_durably(outgoing).await
    }

    /// Asks under no message id; the question is stored until its turn is committed.
    pub(crate) async fn ask_durably(
        self: Arc<Self>,
        outgoing: Outgoing,
    ) -> Result<Vec<u8>, AskError> {
        self.check_intake(&outgoing.to, outgoing.payload.len())?;
        self.ask_new(outgoing, None, None).await
    }

    async fn ask_new(
        self: Arc<Self>,
        outgoing: Outgoing,
        token: Option<String>,
        claim: Option<watch::Sender<()>>,
    ) -> Result<Vec<u8>, AskError> {
        let mut draft = Draft::new(&self);
        let held = token.as_ref().map(|token| (token.clone(), claim, self.clone()));
        let id = match self.draft_message(&mut draft, outgoing, (token, true)) {
            Ok(id) => id,
            Err(error) => {
                release_token(held);
                return Err(SendError::Refused(error.to_string()).into());
            }
        };
        // Registered before it is delivered, so the answer cannot come too early.
        let waiting = Waiting::new(self.clone(), id);
        let core = self.clone();
        draft.then(move |durable| {
            release_token(held);
            if !durable {
                core.answer(id, &Err(AskError::Send(SendError::Unknown)));
            }
        });
        self.publish(draft, None);
        waiting.answer().await
    }
}

pub(crate) fn unknown() -> Answer {
    Err(AskError::Send(SendError::Unknown))
}

/// Somebody who waits for the answer to a message; nobody does any more when it is dropped.
struct Waiting {
    core: Arc<Core>,
    id: MessageId,
    answer: Option<oneshot::Receiver<Answer>>,
}

impl Waiting {
    fn new(core: Arc<Core>, id: MessageId) -> Self {
        let answer = Some(core.register_ask(id));
        Self { core, id, answer }
    }

    async fn answer(mut self) -> Answer {
        match self.answer.take() {
            Some(answer) => tokio::select! {
                biased;
                answer = answer => answer.unwrap_or_else(|_| unknown()),
                () = self.core.until_failed() => unknown(),
            },
            None => unknown(),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        drop(self.answer.take());
        self.core.forget_ask(self.id);
    }
}
