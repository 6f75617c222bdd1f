//! Idempotency: a message sent again under the same token changes nothing and has the same answer.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use perennial_store::{Backend, CodecError, Key, MessageId, StoreError, Tag, Timestamp, seal};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::core::Answer;
use crate::draft::Draft;
use crate::error::AskError;
use crate::message::{open_envelope, seal_envelope};

/// What is known of a token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoredReceipt {
    pub(crate) id: MessageId,
    pub(crate) expires: Timestamp,
    pub(crate) end: Option<StoredEnd>,
}

/// How the message ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum StoredEnd {
    Replied(Vec<u8>),
    Silent,
    Rejected(String),
}

impl StoredEnd {
    pub(crate) fn answer(self) -> Answer {
        match self {
            Self::Replied(bytes) => Ok(bytes),
            Self::Silent => Err(AskError::NoAnswer("its turn gave no reply".to_owned())),
            Self::Rejected(reason) => Err(AskError::Rejected(reason)),
        }
    }
}

/// Writes what is known of `token`.
pub(crate) fn store(
    draft: &mut Draft,
    token: &str,
    (id, expires): (MessageId, Timestamp),
    answer: Option<&Answer>,
) -> Result<(), CodecError> {
    let end = answer.map(|answer| match answer {
        Ok(bytes) => StoredEnd::Replied(bytes.clone()),
        Err(AskError::Rejected(reason)) => StoredEnd::Rejected(reason.clone()),
        Err(_) => StoredEnd::Silent,
    });
    let key = Key::receipt(token);
    let bytes = seal_envelope(&key, Tag::Receipt, &StoredReceipt { id, expires, end })?;
    draft.batch.put(key, bytes);
    let expiry = Key::receipt_expiry(expires, token);
    let index = seal(&expiry, Tag::Receipt, 0, &[]);
    draft.batch.put(expiry, index);
    Ok(())
}

/// Reads what is stored of `token`.
pub(crate) fn read(
    backend: &dyn Backend,
    token: &str,
) -> Result<Option<StoredReceipt>, StoreError> {
    let key = Key::receipt(token);
    backend.get(key.as_ref())?.map(|bytes| open_envelope(&key, &bytes)).transpose()
}

/// Tokens whose acceptance is being committed.
#[derive(Debug, Default)]
pub(crate) struct Receipts(Mutex<HashMap<String, watch::Receiver<()>>>);

/// What to do about a token.
#[derive(Debug)]
pub(crate) enum Claim {
    /// Nobody used it: accept, and drop this when the fate of the commit is known.
    New(watch::Sender<()>),
    /// It is being accepted: wait for that, then ask again.
    Busy(watch::Receiver<()>),
    /// It was accepted.
    Known(StoredReceipt),
}

impl Receipts {
    pub(crate) fn claim(&self, backend: &dyn Backend, token: &str) -> Result<Claim, StoreError> {
        let mut busy = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = busy.get(token) {
            return Ok(Claim::Busy(waiting.clone()));
        }
        if let Some(receipt) = read(backend, token)? {
            return Ok(Claim::Known(receipt));
        }
        let (sender, receiver) = watch::channel(());
        busy.insert(token.to_owned(), receiver);
        Ok(Claim::New(sender))
    }

    pub(crate) fn release(&self, token: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(token);
    }
}
