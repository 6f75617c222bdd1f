//! The layout of every key.
//!
//! A key is a one-byte prefix and its parts: numbers big-endian, so that bytes sort like numbers, and
//! texts ended by a zero byte, so that no text runs into the next part. The last part of a table row is
//! the row's own bytes, unterminated.

use std::fmt;
use std::ops::Range;

use crate::{MessageId, Timestamp};

mod parse;
mod text;

/// All prefixes. The order of the table is the order of the rows in the store.
mod prefix {
    pub(super) const ATTEMPT: u8 = b'a'; //        kind 0 key 0 id 0
    pub(super) const DEAD_LETTER: u8 = b'd'; //    message
    pub(super) const EFFECT: u8 = b'e'; //         message
    pub(super) const INBOX: u8 = b'i'; //          kind 0 key 0 message
    pub(super) const META: u8 = b'm'; //           name 0
    pub(super) const POSITION: u8 = b'p'; //       sensor 0
    pub(super) const RECEIPT: u8 = b'q'; //        token 0
    pub(super) const ROW: u8 = b'r'; //            table 0 row
    pub(super) const STATE: u8 = b's'; //          kind 0 key 0
    pub(super) const TIMER: u8 = b't'; //          kind 0 key 0 name 0
    pub(super) const TIMER_DUE: u8 = b'u'; //      time kind 0 key 0 name 0
    pub(super) const RECEIPT_EXPIRY: u8 = b'x'; // time token 0
    /// Parts of large values, hidden by the backends that use them; sorts after all else.
    pub(super) const CHUNK: u8 = 0xff; //          key index

    #[cfg(test)]
    pub(super) const TABLE: [u8; 13] = [
        ATTEMPT,
        DEAD_LETTER,
        EFFECT,
        INBOX,
        META,
        POSITION,
        RECEIPT,
        ROW,
        STATE,
        TIMER,
        TIMER_DUE,
        RECEIPT_EXPIRY,
        CHUNK,
    ];
}

/// The place of a row in the store.
///
/// Sorts by its bytes. Prints readably: `inbox responder/local 12-3`. Texts must not contain a zero
/// byte; whoever accepts a text from outside refuses those.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Vec<u8>);

impl Key {
    /// Takes the bytes of a key as they are in the store.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Key {
        Key(bytes.into())
    }

    /// The state of an actor.
    pub fn state(kind: &str, key: &str) -> Key {
        Key::start(prefix::STATE).text(kind).text(key)
    }

    /// A message waiting for an actor.
    pub fn inbox(kind: &str, key: &str, id: MessageId) -> Key {
        Key::start(prefix::INBOX).text(kind).text(key).bytes(&id.to_key())
    }

    /// Every waiting message, by actor and then by order of commit.
    pub fn inbox_all() -> Range<Key> {
        Key::start(prefix::INBOX).all()
    }

    /// The messages waiting for one actor, from `from` on.
    pub fn inbox_of(kind: &str, key: &str, from: MessageId) -> Range<Key> {
        let inbox = Key::start(prefix::INBOX).text(kind).text(key);
        inbox.clone().bytes(&from.to_key())..inbox.successor()
    }

    /// A timer, by the time it is due.
    pub fn timer_due(due: Timestamp, kind: &str, key: &str, name: &str) -> Key {
        Key::start(prefix::TIMER_DUE).bytes(&due.to_key()).text(kind).text(key).text(name)
    }

    /// The timers due at `until` or before, by due time.
    pub fn timers_due_until(until: Timestamp) -> Range<Key> {
        Key::until(prefix::TIMER_DUE, until)
    }

    /// A timer, by its owner and name.
    pub fn timer(kind: &str, key: &str, name: &str) -> Key {
        Key::start(prefix::TIMER).text(kind).text(key).text(name)
    }

    /// The timers of one actor, by name.
    pub fn timers_of(kind: &str, key: &str) -> Range<Key> {
        Key::start(prefix::TIMER).text(kind).text(key).all()
    }

    /// An effect, by the message whose turn intended it.
    pub fn effect(id: MessageId) -> Key {
        Key::start(prefix::EFFECT).bytes(&id.to_key())
    }

    /// Every effect, by order of commit.
    pub fn effects() -> Range<Key> {
        Key::start(prefix::EFFECT).all()
    }

    /// A row of a table.
    pub fn row(table: &str, row: &[u8]) -> Key {
        Key::start(prefix::ROW).text(table).bytes(row)
    }

    /// The rows of a table with `start <= row < end`.
    pub fn rows(table: &str, rows: Range<&[u8]>) -> Range<Key> {
        Key::row(table, rows.start)..Key::row(table, rows.end)
    }

    /// Every row of a table.
    pub fn rows_all(table: &str) -> Range<Key> {
        Key::start(prefix::ROW).text(table).all()
    }

    /// A dead letter.
    pub fn dead_letter(id: MessageId) -> Key {
        Key::start(prefix::DEAD_LETTER).bytes(&id.to_key())
    }

    /// Every dead letter, by order of commit.
    pub fn dead_letters() -> Range<Key> {
        Key::start(prefix::DEAD_LETTER).all()
    }

    /// The attempts made at one message of an actor.
    pub fn attempt(kind: &str, key: &str, id: &str) -> Key {
        Key::start(prefix::ATTEMPT).text(kind).text(key).text(id)
    }

    /// The attempts made at the messages of an actor.
    pub fn attempts_of(kind: &str, key: &str) -> Range<Key> {
        Key::start(prefix::ATTEMPT).text(kind).text(key).all()
    }

    /// The receipt of a message sent from outside under `token`.
    pub fn receipt(token: &str) -> Key {
        Key::start(prefix::RECEIPT).text(token)
    }

    /// A receipt, by the time it expires.
    pub fn receipt_expiry(expires: Timestamp, token: &str) -> Key {
        Key::start(prefix::RECEIPT_EXPIRY).bytes(&expires.to_key()).text(token)
    }

    /// The receipts that expire at `until` or before, by time.
    pub fn receipts_expired_until(until: Timestamp) -> Range<Key> {
        Key::until(prefix::RECEIPT_EXPIRY, until)
    }

    /// How far a sensor has read.
    pub fn position(sensor: &str) -> Key {
        Key::start(prefix::POSITION).text(sensor)
    }

    /// The store's own bookkeeping.
    pub fn meta(name: &str) -> Key {
        Key::start(prefix::META).text(name)
    }

    /// The first key after this one.
    pub(crate) fn followed(mut self) -> Key {
        self.0.push(0);
        self
    }

    /// The part of the large value at `self` with this number.
    pub(crate) fn chunk(&self, index: u16) -> Key {
        Key::start(prefix::CHUNK).bytes(&self.0).bytes(&index.to_be_bytes())
    }

    /// The parts of all large values.
    pub(crate) fn chunks() -> Range<Key> {
        // The second byte is the prefix of the key that was split, and never this large.
        Key::start(prefix::CHUNK)..Key(vec![prefix::CHUNK, u8::MAX])
    }

    /// Where the rows of the layers above end.
    pub(crate) fn end() -> Key {
        Key::start(prefix::CHUNK)
    }

    fn start(prefix: u8) -> Key {
        let mut bytes = Vec::with_capacity(48);
        bytes.push(prefix);
        Key(bytes)
    }

    fn bytes(mut self, bytes: &[u8]) -> Key {
        self.0.extend_from_slice(bytes);
        self
    }

    fn text(mut self, text: &str) -> Key {
        debug_assert!(!text.contains('\0'), "a text in a key contains a zero byte: {text:?}");
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
        self
    }

    /// All keys that begin like this one.
    fn all(self) -> Range<Key> {
        let end = self.clone().successor();
        self..end
    }

    /// The keys that begin with `prefix` and a time up to and including `until`.
    fn until(prefix: u8, until: Timestamp) -> Range<Key> {
        let start = Key::start(prefix);
        let end = start.clone().bytes(&until.to_key()).successor();
        start..end
    }

    /// The smallest key after all that begin like this one.
    fn successor(mut self) -> Key {
        while self.0.pop_if(|last| *last == u8::MAX).is_some() {}
        if let Some(last) = self.0.last_mut() {
            *last += 1;
        }
        self
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl std::borrow::Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
