//! The name of a message.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Names a message: the commit unit that carried it, and its place in it.
///
/// The order of ids is the order of commit. Prints and parses as `12-3`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct MessageId {
    /// The number of the commit unit, rising over the life of the store.
    pub unit: u64,
    /// The message's place among those of its unit, from 0.
    pub index: u32,
}

impl MessageId {
    /// Earlier than, or equal to, every other id.
    pub const FIRST: MessageId = MessageId { unit: 0, index: 0 };

    /// Encodes the id so that the order of the bytes is the order of commit.
    pub fn to_key(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        let (unit, index) = bytes.split_at_mut(8);
        unit.copy_from_slice(&self.unit.to_be_bytes());
        index.copy_from_slice(&self.index.to_be_bytes());
        bytes
    }

    /// Decodes what [`MessageId::to_key`] encoded.
    pub fn from_key(bytes: [u8; 12]) -> MessageId {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = bytes;
        MessageId {
            unit: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            index: u32::from_be_bytes([i, j, k, l]),
        }
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.unit, self.index)
    }
}

/// Says that a text does not name a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` does not name a message; expected two numbers like 12-3")]
pub struct MessageIdError(String);

impl FromStr for MessageId {
    type Err = MessageIdError;

    fn from_str(text: &str) -> Result<MessageId, MessageIdError> {
        let parse = || {
            let (unit, index) = text.split_once('-')?;
            Some(MessageId { unit: digits(unit)?, index: digits(index)? })
        };
        parse().ok_or_else(|| MessageIdError(text.to_owned()))
    }
}

/// Accepts digits only: the standard parser would take a leading `+`, giving one id two names.
fn digits<T: FromStr>(text: &str) -> Option<T> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_from_its_text_and_its_key() {
        let id = MessageId { unit: 12, index: 3 };
        assert_eq!(id.to_string(), "12-3");
        assert_eq!("12-3".parse(), Ok(id));
        assert_eq!(MessageId::from_key(id.to_key()), id);
    }

    #[test]
    fn key_bytes_sort_by_unit_and_then_by_index() {
        let ids = [(0, u32::MAX), (1, 0), (1, 256), (256, 0)];
        let keys: Vec<_> =
            ids.iter().map(|&(unit, index)| MessageId { unit, index }.to_key()).collect();
        assert!(keys.is_sorted());
    }

    #[test]
    fn a_text_that_is_no_id_is_refused() {
        for text in ["", "-", "12", "12-", "-3", "12-3-4", "+1-2", "1--2", "1-4294967296"] {
            assert!(text.parse::<MessageId>().is_err(), "{text}");
        }
    }
}
