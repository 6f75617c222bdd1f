//! What was given up, for people to look at, send again or throw away.

use std::sync::Arc;

use perennial_store::{Key, MessageId, StoreError, Timestamp};
use tokio::sync::oneshot;

use crate::address::Address;
use crate::core::Core;
use crate::draft::Draft;
use crate::error::SendError;
use crate::message::{DeadContent, StoredDeadLetter, open_envelope};

/// One message or effect that was given up.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadLetter {
    /// Names the letter.
    pub id: MessageId,
    /// Whom the message was for, or who intended the effect.
    pub to: Address,
    /// The effect's name; none for a message.
    pub effect: Option<String>,
    /// Why it was given up.
    pub reason: String,
    /// Attempts made.
    pub attempts: u32,
    /// What the last attempt said.
    pub last_error: String,
    /// When it was given up.
    pub at: Timestamp,
    /// Size of what it carries.
    pub payload_bytes: usize,
}

/// The dead letters of a node.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    core: Arc<Core>,
}

impl DeadLetters {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// The newest `limit` letters, newest first.
    ///
    /// # Errors
    /// The store cannot be read, or a letter is corrupt.
    pub fn list(&self, limit: usize) -> Result<Vec<DeadLetter>, StoreError> {
        let range = Key::dead_letters();
        let rows = self.core.backend.scan_back(&range.start..&range.end, limit)?;
        let letters: Result<Vec<Option<DeadLetter>>, StoreError> =
            rows.iter().map(|(key, bytes)| letter(key, bytes)).collect();
        self.core.backend.settle()?;
        Ok(letters?.into_iter().flatten().collect())
    }

    /// One letter.
    ///
    /// # Errors
    /// As for [`DeadLetters::list`].
    pub fn show(&self, id: MessageId) -> Result<Option<DeadLetter>, StoreError> {
        let key = Key::dead_letter(id);
        let bytes = self.core.backend.get(key.as_ref())?;
        self.core.backend.settle()?;
        bytes.map_or(Ok(None), |bytes| letter(&key, &bytes))
    }

    /// Sends a letter's content again, with its attempts forgotten, and deletes the letter: in one
    /// commit. False when there is no such letter.
    ///
    /// # Errors
    /// Nothing was done, or with [`SendError::Unknown`] all of it may have been.
    pub async fn redrive(&self, id: MessageId) -> Result<bool, SendError> {
        let held = self.core.letters.clone().lock_owned().await;
        let Some(stored) = self.read(id)? else { return Ok(false) };
        let mut draft = Draft::new(&self.core);
        draft.batch.delete(Key::dead_letter(id));
        let redriven = match stored.content {
            DeadContent::Message(message) => draft.resend(&self.core, stored.to, message),
            DeadContent::Effect(mut effect) => {
                (effect.attempts, effect.deaths) = (0, 0);
                effect.doubtful = true;
                effect.policy.expires = None;
                draft.put_effect(&self.core, effect)
            }
        };
        redriven.map_err(|error| SendError::Refused(error.to_string()))?;
        self.commit(draft, held).await
    }

    /// Deletes a letter. False when there is no such letter.
    ///
    /// # Errors
    /// As for [`DeadLetters::redrive`].
    pub async fn discard(&self, id: MessageId) -> Result<bool, SendError> {
        let held = self.core.letters.clone().lock_owned().await;
        if self.read(id)?.is_none() {
            return Ok(false);
        }
        let mut draft = Draft::new(&self.core);
        draft.batch.delete(Key::dead_letter(id));
        self.commit(draft, held).await
    }

    fn read(&self, id: MessageId) -> Result<Option<StoredDeadLetter>, SendError> {
        if self.core.is_stopping() {
            return Err(SendError::Stopping);
        }
        let key = Key::dead_letter(id);
        let read = self.core.backend.get(key.as_ref()).and_then(|bytes| {
            bytes.map(|bytes| open_envelope::<StoredDeadLetter>(&key, &bytes)).transpose()
        });
        read.map_err(|error| SendError::Refused(error.to_string()))
    }

    /// `held` is let go when the fate of the letter is known, also when the caller has gone.
    async fn commit(&self, mut draft: Draft, held: Held) -> Result<bool, SendError> {
        let (sender, receiver) = oneshot::channel();
        draft.then(move |durable| {
            drop(held);
            // The caller may have stopped waiting.
            let _gone = sender.send(durable);
        });
        self.core.publish(draft, None);
        if receiver.await.unwrap_or(false) { Ok(true) } else { Err(SendError::Unknown) }
    }
}

type Held = tokio::sync::OwnedMutexGuard<()>;

fn letter(key: &Key, bytes: &[u8]) -> Result<Option<DeadLetter>, StoreError> {
    let Some(id) = key.parse_dead_letter() else { return Ok(None) };
    let stored: StoredDeadLetter = open_envelope(key, bytes)?;
    let payload_bytes = match &stored.content {
        DeadContent::Message(message) => message.payload.len(),
        DeadContent::Effect(effect) => effect.payload.len(),
    };
    Ok(Some(DeadLetter {
        id,
        to: stored.to,
        effect: (!stored.effect.is_empty()).then_some(stored.effect),
        reason: stored.reason,
        attempts: stored.attempts,
        last_error: stored.last_error,
        at: stored.at,
        payload_bytes,
    }))
}
