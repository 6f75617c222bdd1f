//! Rows as bytes, one after the other: what backups and the journal are made of.
//!
//! An entry is the length of the key (2 bytes), the length of the value (4 bytes, all ones for a row that was
//! deleted), the key and the value; numbers are big-endian.

use crate::Key;

/// The lengths of key and value.
pub(crate) const ENTRY_HEAD_BYTES: usize = 6;

/// Stands for the length of the value of a row that was deleted.
const DELETED: u32 = u32::MAX;

/// A key, and its value unless it was deleted.
pub(crate) type Entry<'a> = (Key, Option<&'a [u8]>);

/// Appends an entry. Keys and values over the limits of a store do not fit.
pub(crate) fn append_entry(bytes: &mut Vec<u8>, key: &Key, value: Option<&[u8]>) {
    let key = key.as_ref();
    bytes.extend_from_slice(&(key.len() as u16).to_be_bytes());
    let length = value.map_or(DELETED, |value| value.len() as u32);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(value.unwrap_or_default());
}

/// Reads entries; an error says what does not fit.
pub(crate) fn read_entries(bytes: &[u8]) -> impl Iterator<Item = Result<Entry<'_>, String>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        (!rest.is_empty()).then(|| {
            let entry = split_entry(rest);
            // Nothing can be read behind what cannot be.
            rest = entry.as_ref().map_or(&[], |(_, behind)| behind);
            entry.map(|(entry, _)| entry).ok_or_else(|| "an entry ends early".to_owned())
        })
    })
}

fn split_entry(bytes: &[u8]) -> Option<(Entry<'_>, &[u8])> {
    let (key_length, rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (key, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*key_length)))?;
    let length = u32::from_be_bytes(*length);
    if length == DELETED {
        return Some(((Key::from_bytes(key), None), rest));
    }
    let (value, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some(((Key::from_bytes(key), Some(value)), rest))
}
