//! The count of commits of a store that was made before there was a journal.
//!
//! Such a store has a file beside its log that remembers the number of a commit that was synced, as eight
//! bytes and their CRC32C, big-endian. The engine opens a damaged log silently without its end; a store that
//! has fewer commits than the file says has lost some. Since there is a journal, that shows it.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::{StoreError, files};

/// Fails if a store with `commits` is behind its witness; tells whether it has one.
pub(super) fn refuse_loss(dir: &Path, commits: u64) -> Result<bool, StoreError> {
    let path = dir.join("witness");
    let recorded = match fs::read(&path) {
        Ok(bytes) => decode(&bytes)?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(StoreError::io(format!("read {}", path.display()))(error)),
    };
    if commits >= recorded {
        return Ok(true);
    }
    Err(corrupted(format!(
        "it ends at commit {commits} though commit {recorded} was synced, so what came after is lost"
    )))
}

/// Removes the witness, when the journal has taken its place.
pub(super) fn remove(dir: &Path) -> Result<(), StoreError> {
    files::remove(&dir.join("witness"))
}

fn encode(commits: u64) -> [u8; 12] {
    let mut bytes = [0; 12];
    let (number, crc) = bytes.split_at_mut(8);
    number.copy_from_slice(&commits.to_be_bytes());
    crc.copy_from_slice(&crc32c::crc32c(number).to_be_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Result<u64, StoreError> {
    let number = bytes.first_chunk::<8>().copied().map(u64::from_be_bytes);
    number
        .filter(|number| encode(*number) == bytes)
        .ok_or_else(|| corrupted("the file `witness` beside it is damaged".to_owned()))
}

fn corrupted(reason: String) -> StoreError {
    StoreError::Corrupted { key: "log".to_owned(), reason }
}
