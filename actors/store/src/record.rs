//! What every value looks like on disk.
//!
//! | bytes | content |
//! |---|---|
//! | 0 | format, 1 |
//! | 1 | type tag |
//! | 2..4 | schema version, big-endian |
//! | 4..8 | CRC32C, big-endian: over the length of the key (4 bytes), the key, bytes 0..4 and the payload |
//! | 8.. | payload |

use crate::{Key, StoreError};

const FORMAT: u8 = 1;
/// Bytes of a record beside its content.
pub const HEADER_BYTES: usize = 8;

/// What kind of thing a record holds. The numbers are on disk and never change meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Tag {
    /// The state of an actor.
    State = 1,
    /// A message in an inbox.
    Message = 2,
    /// A timer.
    Timer = 3,
    /// An effect that was intended and is not yet known to be done.
    Effect = 4,
    /// A row of an actor's table.
    Row = 5,
    /// A message that could not be handled.
    DeadLetter = 6,
    /// The attempts made at a message.
    Attempt = 7,
    /// What was answered to a message sent from outside.
    Receipt = 8,
    /// How far a sensor has read.
    Position = 9,
    /// The store's own bookkeeping.
    Meta = 10,
}

impl Tag {
    /// Returns the tag with this number.
    pub const fn from_u8(number: u8) -> Option<Tag> {
        Some(match number {
            1 => Tag::State,
            2 => Tag::Message,
            3 => Tag::Timer,
            4 => Tag::Effect,
            5 => Tag::Row,
            6 => Tag::DeadLetter,
            7 => Tag::Attempt,
            8 => Tag::Receipt,
            9 => Tag::Position,
            10 => Tag::Meta,
            _ => return None,
        })
    }
}

/// A value that has proved to be what was written at its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// What the payload is.
    pub tag: Tag,
    /// The schema version of the payload.
    pub version: u16,
    /// The encoded content.
    pub payload: &'a [u8],
}

/// Makes the value to store at `key`.
pub fn seal(key: &Key, tag: Tag, version: u16, payload: &[u8]) -> Vec<u8> {
    let [high, low] = version.to_be_bytes();
    let head = [FORMAT, tag as u8, high, low];
    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
    bytes.extend_from_slice(&head);
    bytes.extend_from_slice(&checksum(key, head, payload).to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Reads the value found at `key`.
///
/// # Errors
///
/// [`StoreError::Corrupted`], naming the key, for anything but the unchanged result of [`seal`] with
/// the same key.
pub fn open<'a>(key: &Key, bytes: &'a [u8]) -> Result<Record<'a>, StoreError> {
    let corrupted = |reason: String| StoreError::Corrupted { key: key.to_string(), reason };
    let Some((header, payload)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Err(corrupted(format!("{} bytes are too few for a record", bytes.len())));
    };
    let [format, tag, high, low, a, b, c, d] = *header;
    if checksum(key, [format, tag, high, low], payload) != u32::from_be_bytes([a, b, c, d]) {
        return Err(corrupted("its checksum does not match".to_owned()));
    }
    if format != FORMAT {
        return Err(corrupted(format!("its format {format} is unknown to this version")));
    }
    let Some(tag) = Tag::from_u8(tag) else {
        return Err(corrupted(format!("its type tag {tag} is unknown to this version")));
    };
    Ok(Record { tag, version: u16::from_be_bytes([high, low]), payload })
}

/// The key's length goes first, so that no bytes can move between key and value unnoticed.
fn checksum(key: &Key, head: [u8; 4], payload: &[u8]) -> u32 {
    let key = key.as_ref();
    let crc = crc32c::crc32c(&(key.len() as u32).to_be_bytes());
    let crc = crc32c::crc32c_append(crc, key);
    let crc = crc32c::crc32c_append(crc, &head);
    crc32c::crc32c_append(crc, payload)
}

#[cfg(test)]
mod tests;
