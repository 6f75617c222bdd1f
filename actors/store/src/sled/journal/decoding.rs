//! Reading a journal, whatever its file holds.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use rustix::fs::{MemfdFlags, memfd_create};

use super::{HEADER_BYTES, Journal, Kind, SECTOR_BYTES, encode_head, encode_header};

/// The size of a half of a journal that is made of frames here.
const HALF_BYTES: usize = 8 * SECTOR_BYTES as usize;
/// The seed of its checksums.
const SEED: u32 = 7;

/// Reads bytes as the whole file.
pub(crate) fn file(bytes: &[u8]) {
    let Ok(file) = in_memory(bytes) else { return };
    let Ok(journal) = Journal::of_file(file, Path::new("journal")) else { return };
    // What the engine holds decides on what is read.
    for after in [0, 1, 1 << 40] {
        if let Ok(found) = journal.read(after) {
            drop(found.damage.map(|damage| damage.to_string()));
        }
    }
}

/// Reads bytes as the content of frames whose checksums are right.
pub(crate) fn frames(bytes: &[u8]) {
    file(&made_of(bytes));
}

/// A journal of frames: of each a byte for the kind and the half, one for the number of the commit and one for
/// the length, then its rows.
fn made_of(bytes: &[u8]) -> Vec<u8> {
    let mut halves = [Vec::new(), Vec::new()];
    let mut rest = bytes;
    while let Some(([kind, number, length], behind)) = rest.split_first_chunk::<3>() {
        let (rows, behind) = behind.split_at(behind.len().min(usize::from(*length)));
        rest = behind;
        let known = if kind.is_multiple_of(8) { Kind::InEngine } else { Kind::Rows };
        let half = &mut halves[usize::from(kind % 2)];
        half.extend_from_slice(&encode_head(SEED, known, u64::from(*number), rows));
        half.extend_from_slice(rows);
        half.resize(half.len().next_multiple_of(SECTOR_BYTES as usize), 0);
    }
    let mut whole = encode_header(HALF_BYTES as u64, SEED).to_vec();
    whole.resize(HEADER_BYTES as usize, 0);
    for mut half in halves {
        half.resize(HALF_BYTES, 0);
        whole.extend(half);
    }
    whole
}

fn in_memory(bytes: &[u8]) -> std::io::Result<File> {
    let mut file = File::from(memfd_create("journal", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StoreError;

    #[test]
    fn a_journal_made_of_frames_is_read_as_they_say() {
        // A row with a key of one byte and an empty value, in commit 1.
        let rows = [0, 1, 0, 0, 0, 0, b'k'];
        let whole = made_of(&[&[1, 1, rows.len() as u8][..], &rows].concat());
        let journal = Journal::of_file(in_memory(&whole).unwrap(), Path::new("journal")).unwrap();
        let found = journal.read(0).unwrap();
        let keys: Vec<&[u8]> = found.table.iter().map(|(key, _)| key.as_ref()).collect();
        assert_eq!(keys, [b"k"]);
        assert!(found.damage.is_none());
    }

    #[test]
    fn a_header_that_says_more_than_any_file_holds_is_damaged() {
        for half_bytes in [u64::MAX, u64::MAX / 2, 1 << 62] {
            let mut whole = encode_header(half_bytes, SEED).to_vec();
            whole.resize(HEADER_BYTES as usize, 0);
            let journal = Journal::of_file(in_memory(&whole).unwrap(), Path::new("journal"));
            assert!(matches!(journal, Err(StoreError::Corrupted { .. })), "{half_bytes}");
        }
    }
}
