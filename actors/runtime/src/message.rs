//! What is stored of messages, timers and effects, and how a message travels in memory.

use std::sync::Arc;
use std::time::Duration;

use perennial_store::{Key, MessageId, StoreError, Tag, Timestamp, decode, encode, open, seal};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::address::Address;
use crate::core::Answer;
use crate::effect::EffectPolicy;
use crate::turn::TraceId;

/// Version of the envelopes below. The payload inside has the version of its own type.
const ENVELOPE: u16 = 1;

/// Encodes bytes as a whole: what serde does with a `Vec<u8>` gives the same bytes, one call for each.
mod whole {
    use std::fmt;

    use serde::de::{Error, Visitor};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        from.deserialize_byte_buf(Bytes)
    }

    struct Bytes;

    impl Visitor<'_> for Bytes {
        type Value = Vec<u8>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("bytes")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
            Ok(bytes.to_vec())
        }

        fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
            Ok(bytes)
        }
    }
}

/// A message in an inbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoredMessage {
    pub(crate) accepted_at: Timestamp,
    pub(crate) trace: TraceId,
    pub(crate) expires: Option<Timestamp>,
    /// The sender's idempotency token, under which a reply is kept.
    pub(crate) token: Option<String>,
    /// Whether somebody waits for the answer.
    pub(crate) asked: bool,
    pub(crate) version: u16,
    #[serde(with = "whole")]
    pub(crate) payload: Vec<u8>,
}

/// A timer: the message that fires is inside it, so firing writes nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoredTimer {
    /// Names this setting of the timer: a later one with the same name and time is another.
    pub(crate) id: MessageId,
    pub(crate) due: Timestamp,
    pub(crate) period: Option<Duration>,
    pub(crate) trace: TraceId,
    pub(crate) version: u16,
    #[serde(with = "whole")]
    pub(crate) payload: Vec<u8>,
}

/// An effect that is intended and not yet known to be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoredEffect {
    pub(crate) name: String,
    pub(crate) owner: Address,
    pub(crate) key: String,
    pub(crate) lane: Option<String>,
    pub(crate) policy: EffectPolicy,
    pub(crate) intended_at: Timestamp,
    pub(crate) trace: TraceId,
    pub(crate) attempts: u32,
    pub(crate) last_error: String,
    /// How often the process died while it was performed alone.
    pub(crate) deaths: u32,
    /// It may have been started before it was stored, as one that is redriven.
    pub(crate) doubtful: bool,
    pub(crate) version: u16,
    #[serde(with = "whole")]
    pub(crate) payload: Vec<u8>,
}

/// What is left of a message or effect that was given up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoredDeadLetter {
    pub(crate) to: Address,
    /// The effect's name; empty for a message.
    pub(crate) effect: String,
    pub(crate) reason: String,
    pub(crate) attempts: u32,
    pub(crate) last_error: String,
    pub(crate) at: Timestamp,
    /// What a redrive puts back.
    pub(crate) content: DeadContent,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum DeadContent {
    Message(StoredMessage),
    Effect(StoredEffect),
}

/// Attempts at a message that failed or did not end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoredAttempts {
    pub(crate) count: u32,
    pub(crate) last_error: String,
}

/// Seals one of the envelopes of this module.
pub(crate) fn seal_envelope<T: Serialize>(
    key: &Key,
    tag: Tag,
    value: &T,
) -> Result<Vec<u8>, perennial_store::CodecError> {
    Ok(seal(key, tag, ENVELOPE, &encode(value)?))
}

/// Opens one of the envelopes of this module.
pub(crate) fn open_envelope<T: DeserializeOwned>(key: &Key, bytes: &[u8]) -> Result<T, StoreError> {
    let record = open(key, bytes)?;
    if record.version != ENVELOPE {
        return Err(StoreError::Corrupted {
            key: key.to_string(),
            reason: format!("envelope version {}, expected {ENVELOPE}", record.version),
        });
    }
    decode(record.payload)
        .map_err(|error| StoreError::Corrupted { key: key.to_string(), reason: error.to_string() })
}

/// Where a message waits durably until it is consumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A row of the inbox.
    Inbox(MessageId),
    /// Nowhere: it was told, and is in memory only.
    Told(MessageId),
    /// A timer's row.
    Timer { name: String, due: Timestamp, id: MessageId },
}

impl Origin {
    /// Tells messages of one actor apart, also those that have no id of their own.
    pub(crate) fn source(&self) -> String {
        match self {
            Self::Inbox(_) | Self::Told(_) => String::new(),
            Self::Timer { name, due, .. } => format!("{name}@{due}"),
        }
    }

    pub(crate) fn id(&self) -> MessageId {
        match self {
            Self::Inbox(id) | Self::Told(id) | Self::Timer { id, .. } => *id,
        }
    }

    pub(crate) fn attempt_key(&self, to: &Address) -> Key {
        let id = match self {
            Self::Inbox(id) | Self::Told(id) => id.to_string(),
            Self::Timer { .. } => self.source(),
        };
        Key::attempt(to.kind(), to.key(), &id)
    }
}

/// A message on its way through memory.
#[derive(Debug)]
pub(crate) struct Envelope {
    pub(crate) origin: Origin,
    /// Shared with the unit that writes it, if it must be written.
    pub(crate) message: Arc<StoredMessage>,
    pub(crate) attempts: u32,
    /// Whether an attempts row is in the store, to be deleted with the message.
    pub(crate) counted: bool,
    /// Whoever waits for the answer to a message that was told.
    pub(crate) asker: Option<Asker>,
}

/// Somebody who waits for an answer in memory.
pub(crate) type Asker = oneshot::Sender<Answer>;

impl Envelope {
    pub(crate) fn new(origin: Origin, message: impl Into<Arc<StoredMessage>>) -> Self {
        Self { origin, message: message.into(), attempts: 0, counted: false, asker: None }
    }

    pub(crate) fn is_told(&self) -> bool {
        matches!(self.origin, Origin::Told(_))
    }

    pub(crate) fn bytes(&self) -> usize {
        self.message.payload.len() + 128
    }
}

#[cfg(test)]
mod tests;
