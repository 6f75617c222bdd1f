//! Reading keys back.

use super::{Key, prefix};
use crate::{MessageId, Timestamp};

impl Key {
    /// Reads the key of a waiting message: its actor's kind and key, and its id.
    pub fn parse_inbox(&self) -> Option<(String, String, MessageId)> {
        let mut parts = self.parts(prefix::INBOX)?;
        let found = (parts.text()?, parts.text()?, parts.message()?);
        parts.end(found)
    }

    /// Reads the key of a timer by due time: the time, its actor's kind and key, and its name.
    pub fn parse_timer_due(&self) -> Option<(Timestamp, String, String, String)> {
        let mut parts = self.parts(prefix::TIMER_DUE)?;
        let found = (parts.time()?, parts.text()?, parts.text()?, parts.text()?);
        parts.end(found)
    }

    /// Reads the key of a timer by owner: its name.
    pub fn parse_timer(&self) -> Option<String> {
        let mut parts = self.parts(prefix::TIMER)?;
        let (_kind, _key, name) = (parts.text()?, parts.text()?, parts.text()?);
        parts.end(name)
    }

    /// Reads the key of an effect.
    pub fn parse_effect(&self) -> Option<MessageId> {
        let mut parts = self.parts(prefix::EFFECT)?;
        let found = parts.message()?;
        parts.end(found)
    }

    /// Reads the key of a table row: the table and the row.
    pub fn parse_row(&self) -> Option<(String, Vec<u8>)> {
        let mut parts = self.parts(prefix::ROW)?;
        Some((parts.text()?, parts.rest.to_vec()))
    }

    /// Reads the key of a dead letter.
    pub fn parse_dead_letter(&self) -> Option<MessageId> {
        let mut parts = self.parts(prefix::DEAD_LETTER)?;
        let found = parts.message()?;
        parts.end(found)
    }

    /// Reads the key of a receipt by expiry: the time and the token.
    pub fn parse_receipt_expiry(&self) -> Option<(Timestamp, String)> {
        let mut parts = self.parts(prefix::RECEIPT_EXPIRY)?;
        let found = (parts.time()?, parts.text()?);
        parts.end(found)
    }

    /// Reads the key of an attempt: its actor's kind and key, and the message's id.
    pub fn parse_attempt(&self) -> Option<(String, String, String)> {
        let mut parts = self.parts(prefix::ATTEMPT)?;
        let found = (parts.text()?, parts.text()?, parts.text()?);
        parts.end(found)
    }

    /// Reads the key of a part of a large value: the value's key and the part's number.
    pub(crate) fn parse_chunk(&self) -> Option<(Key, u16)> {
        let parts = self.parts(prefix::CHUNK)?;
        let (key, index) = parts.rest.split_last_chunk::<2>()?;
        Some((Key::from_bytes(key), u16::from_be_bytes(*index)))
    }

    fn parts(&self, prefix: u8) -> Option<Parts<'_>> {
        let (first, rest) = self.0.split_first()?;
        (*first == prefix).then_some(Parts { rest })
    }
}

/// What is left of a key that is being read.
pub(super) struct Parts<'a> {
    pub(super) rest: &'a [u8],
}

impl Parts<'_> {
    pub(super) fn text(&mut self) -> Option<String> {
        let end = self.rest.iter().position(|byte| *byte == 0)?;
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest.get(1..)?;
        String::from_utf8(text.to_vec()).ok()
    }

    pub(super) fn time(&mut self) -> Option<Timestamp> {
        let (bytes, rest) = self.rest.split_first_chunk::<8>()?;
        self.rest = rest;
        Some(Timestamp::from_key(*bytes))
    }

    pub(super) fn message(&mut self) -> Option<MessageId> {
        let (bytes, rest) = self.rest.split_first_chunk::<12>()?;
        self.rest = rest;
        Some(MessageId::from_key(*bytes))
    }

    /// Returns `found` if nothing is left.
    fn end<T>(self, found: T) -> Option<T> {
        self.rest.is_empty().then_some(found)
    }
}
