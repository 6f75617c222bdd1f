//! Messages that wait in memory only: those that are told, and questions that nobody has to find again.
//!
//! They cost no row, no commit and no allocation each. Whoever tells one knows that it is lost when the
//! process ends before the turn that handles it is committed.

use std::collections::VecDeque;

use perennial_store::{MessageId, Timestamp};

use crate::message::{Asker, Envelope, Origin, StoredMessage};
use crate::turn::TraceId;

/// One of them. Its payload is with those of the others.
#[derive(Debug)]
pub(crate) struct Told {
    /// From the sequence that numbers units, so it stands in order with a sender's stored messages.
    pub(crate) unit: u64,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) asker: Option<Asker>,
    pub(crate) bytes: u32,
    pub(crate) version: u16,
}

impl Told {
    /// Messages of a unit are numbered from 1.
    pub(crate) fn id(&self) -> MessageId {
        MessageId { unit: self.unit, index: 0 }
    }

    /// About what it takes in memory.
    pub(crate) fn held(&self) -> usize {
        self.bytes as usize + 64
    }

    /// What can be put back, put aside, or stored after all.
    pub(crate) fn into_envelope(
        self,
        payload: &[u8],
        (trace, accepted_at): (TraceId, Timestamp),
    ) -> Envelope {
        let id = self.id();
        let message = StoredMessage {
            accepted_at,
            trace,
            expires: self.expires,
            token: None,
            asked: self.asker.is_some(),
            version: self.version,
            payload: payload.to_vec(),
        };
        Envelope { asker: self.asker, ..Envelope::new(Origin::Told(id), message) }
    }
}

/// A message in memory.
#[derive(Debug)]
pub(crate) enum Waiting {
    Message(Envelope),
    Told(Told),
}

impl Waiting {
    pub(crate) fn id(&self) -> MessageId {
        match self {
            Self::Message(envelope) => envelope.origin.id(),
            Self::Told(told) => told.id(),
        }
    }

    pub(crate) fn held(&self) -> usize {
        match self {
            Self::Message(envelope) => envelope.bytes(),
            Self::Told(told) => told.held(),
        }
    }

    /// Tells messages of one actor apart, also those that have no id of their own.
    pub(crate) fn source(&self) -> String {
        match self {
            Self::Message(envelope) => envelope.origin.source(),
            Self::Told(_) => String::new(),
        }
    }

    /// Bytes of its payload that stand with the others.
    pub(crate) fn payload_bytes(&self) -> usize {
        match self {
            Self::Message(_) => 0,
            Self::Told(told) => told.bytes as usize,
        }
    }

    /// Attempts that were made before.
    pub(crate) fn attempts(&self) -> u32 {
        match self {
            Self::Message(envelope) => envelope.attempts,
            Self::Told(_) => 0,
        }
    }

    pub(crate) fn drop_asker(&mut self) {
        match self {
            Self::Message(envelope) => envelope.asker = None,
            Self::Told(told) => told.asker = None,
        }
    }

    /// Whether no row is behind it.
    pub(crate) fn is_told(&self) -> bool {
        match self {
            Self::Message(envelope) => envelope.is_told(),
            Self::Told(_) => true,
        }
    }
}

/// The payloads of what was told, one behind the other, in the order in which it is taken out.
#[derive(Debug, Default)]
pub(crate) struct Payloads(VecDeque<u8>);

/// Room that is kept for payloads when none wait.
const KEPT: usize = 64 * 1024;

impl Payloads {
    pub(crate) fn push(&mut self, payload: &[u8]) {
        self.0.extend(payload);
    }

    /// Moves the next `count` bytes to the end of `taken`.
    pub(crate) fn take(&mut self, count: usize, taken: &mut Vec<u8>) {
        let (front, back) = self.0.as_slices();
        let from_front = front.len().min(count);
        taken.extend_from_slice(&front[..from_front]);
        taken.extend_from_slice(&back[..count - from_front]);
        self.0.drain(..count);
        if self.0.is_empty() && self.0.capacity() > KEPT {
            self.0 = VecDeque::new();
        }
    }
}

/// What a slice is given: messages in order, and the payloads of those that were told.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) messages: Vec<Waiting>,
    pub(crate) payloads: Vec<u8>,
}

/// Messages and bytes of payloads for which a batch keeps its room. More would be in memory for each
/// actor that had a burst.
const ROOM: (usize, usize) = (8, 1024);

impl Batch {
    /// The same with nothing in it, and with its room, if that is small.
    pub(crate) fn emptied(mut self) -> Self {
        if self.messages.capacity() > ROOM.0 || self.payloads.capacity() > ROOM.1 {
            return Self::default();
        }
        self.messages.clear();
        self.payloads.clear();
        self
    }

    /// Whether there are so many messages, all were told, and nobody waits for an answer.
    pub(crate) fn is_nobodys(&self, count: usize) -> bool {
        let is_nobodys =
            |waiting: &Waiting| matches!(waiting, Waiting::Told(Told { asker: None, .. }));
        self.messages.len() == count && self.messages.iter().all(is_nobodys)
    }

    /// Takes out the messages from `at` on.
    pub(crate) fn split_off(&mut self, at: usize) -> Self {
        let messages = self.messages.split_off(at);
        let kept = self.messages.iter().map(Waiting::payload_bytes).sum();
        Self { messages, payloads: self.payloads.split_off(kept) }
    }

    pub(crate) fn into_envelopes(self, traces: u64, now: Timestamp) -> Vec<Envelope> {
        let mut from = 0;
        let envelope = |waiting| match waiting {
            Waiting::Message(envelope) => envelope,
            Waiting::Told(told) => {
                let payload = from..from + told.bytes as usize;
                from = payload.end;
                let trace = TraceId::begun_by(traces, told.unit);
                told.into_envelope(&self.payloads[payload], (trace, now))
            }
        };
        self.messages.into_iter().map(envelope).collect()
    }

    /// Goes through messages with the payload of each.
    pub(crate) fn with_payloads(&self) -> impl Iterator<Item = (&Waiting, &[u8])> {
        let mut at = 0;
        self.messages.iter().map(move |waiting| match waiting {
            Waiting::Message(envelope) => (waiting, envelope.message.payload.as_slice()),
            Waiting::Told(told) => {
                let from = at;
                at += told.bytes as usize;
                (waiting, &self.payloads[from..at])
            }
        })
    }
}
