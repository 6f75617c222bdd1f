//! Frames: how a record stands in a file of a log. Pure.

use crate::library::Key;

/// The first line of each file.
pub(super) const FIRST_LINE: &[u8] = b"perennial-log 1\n";
/// Bytes of a frame before its payload.
pub(super) const HEAD: usize = 36;

const MAGIC: &[u8; 4] = b"rec\n";
const PUT: u8 = b'P';
const REMOVED: u8 = b'R';

/// What a frame says of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It has this payload from now on.
    Put,
    /// It is not there from now on.
    Removed,
}

/// The beginning of a frame, which has a checksum of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) key: Key,
    /// Bytes of the payload.
    pub(super) length: u32,
    sum: u32,
}

impl Head {
    /// Reads the beginning of a frame, if there is a whole one.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let head = bytes.first_chunk::<HEAD>()?;
        let number = |at: usize| {
            let bytes = head.get(at..at + 4).and_then(|bytes| bytes.first_chunk::<4>());
            bytes.map(|bytes| u32::from_be_bytes(*bytes))
        };
        if !head.starts_with(MAGIC) || number(32)? != crc32c::crc32c(&head[..32]) {
            return None;
        }
        let kind = match head[4] {
            PUT => Kind::Put,
            REMOVED => Kind::Removed,
            _ => return None,
        };
        let mut key = Key::default();
        key.copy_from_slice(&head[8..24]);
        Some(Self { kind, key, length: number(24)?, sum: number(28)? })
    }
}

/// A record with its frame, behind what is in `bytes`. None for the payload says that the key is gone.
pub(super) fn append(bytes: &mut Vec<u8>, key: &Key, payload: Option<&[u8]>) -> Option<u32> {
    let start = bytes.len();
    let content = payload.unwrap_or_default();
    let length = u32::try_from(content.len()).ok()?;
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&[if payload.is_some() { PUT } else { REMOVED }, 0, 0, 0]);
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(content).to_be_bytes());
    let sum = crc32c::crc32c(&bytes[start..]);
    bytes.extend_from_slice(&sum.to_be_bytes());
    bytes.extend_from_slice(content);
    Some(length)
}

/// The payload of the one frame that `bytes` are, if it is that of `key` and as it was written.
pub(super) fn payload<'a>(bytes: &'a [u8], key: &Key) -> Option<&'a [u8]> {
    let head = Head::decode(bytes)?;
    let payload = bytes.get(HEAD..)?;
    (head.key == *key && crc32c::crc32c(payload) == head.sum).then_some(payload)
}

/// What stands in a file at one place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item<'a> {
    /// A record: where its frame begins, and its payload, or what is in its place if that is not as it was written.
    Record { at: usize, head: Head, payload: Result<&'a [u8], &'a [u8]> },
    /// Bytes that are no frame, with frames behind them.
    Gap { at: usize },
    /// Bytes that are no frame, up to the end.
    Rest { at: usize },
}

/// Everything in a file behind its first line, in its order. If the first line is not what it was, that is a gap.
pub(super) struct Items<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Items<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let at = if bytes.starts_with(FIRST_LINE) { FIRST_LINE.len() } else { 0 };
        Self { bytes, at }
    }

    /// The frame that begins at a place and ends before the file does.
    fn frame(&self, at: usize) -> Option<(Head, &'a [u8])> {
        let head = Head::decode(self.bytes.get(at..)?)?;
        let begin = at + HEAD;
        let end = begin.checked_add(usize::try_from(head.length).ok()?)?;
        Some((head, self.bytes.get(begin..end)?))
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        let at = self.at;
        if at >= self.bytes.len() {
            return None;
        }
        if let Some((head, content)) = self.frame(at) {
            self.at = at + HEAD + content.len();
            let whole = crc32c::crc32c(content) == head.sum;
            let payload = if whole { Ok(content) } else { Err(content) };
            return Some(Item::Record { at, head, payload });
        }
        let next = (at + 1..self.bytes.len()).find(|at| self.frame(*at).is_some());
        self.at = next.unwrap_or(self.bytes.len());
        Some(if next.is_some() { Item::Gap { at } } else { Item::Rest { at } })
    }
}
