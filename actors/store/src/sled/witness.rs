//! Notices when the engine forgets.
//!
//! The engine reads its log up to the first damaged byte and opens as if the rest had never been
//! written: one flipped bit can silently undo every later commit. So each batch carries the number of its
//! commit in a row, and a file beside the log remembers a number that was synced. A store whose row is
//! behind the file has lost commits, and is not opened.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::{Key, StoreError, Tag, files, record};

/// How many commits may go unwitnessed after an unclean end; closing witnesses all. One more sync in 64.
const COMMITS_PER_RECORD: u64 = 64;

const VERSION: u16 = 1;

/// The count of commits, in memory and in its file: eight bytes and their CRC32C, big-endian.
#[derive(Debug)]
pub(super) struct Witness {
    file: File,
    commits: u64,
    recorded: u64,
}

impl Witness {
    /// Opens the file in `dir`, or creates it, for a store that has `commits`.
    ///
    /// Fails if commits that were synced are gone. Removing the file is how an operator accepts a loss.
    pub(super) fn open(dir: &Path, commits: u64) -> Result<Witness, StoreError> {
        let path = path(dir);
        let recorded = match find_loss(dir, commits)? {
            Some(recorded) => recorded,
            None => {
                files::replace(&path, &encode(commits))?;
                commits
            }
        };
        let file = OpenOptions::new()
            .write(true)
            .open(&path)
            .map_err(StoreError::io(format!("open {}", path.display())))?;
        Ok(Witness { file, commits, recorded })
    }

    /// The row that the next batch carries.
    pub(super) fn next_row(&self) -> (Key, Vec<u8>) {
        let key = key();
        let value = record::seal(&key, Tag::Meta, VERSION, &(self.commits + 1).to_be_bytes());
        (key, value)
    }

    /// Counts a commit that is durable.
    pub(super) fn count(&mut self) -> Result<(), StoreError> {
        self.commits += 1;
        if self.commits - self.recorded < COMMITS_PER_RECORD { Ok(()) } else { self.record() }
    }

    /// Makes the count durable.
    pub(super) fn record(&mut self) -> Result<(), StoreError> {
        // Twelve bytes at the start of a file lie in one sector, which is written whole or not at all.
        self.file
            .write_all_at(&encode(self.commits), 0)
            .and_then(|()| self.file.sync_data())
            .map_err(StoreError::io("record the number of commits"))?;
        self.recorded = self.commits;
        Ok(())
    }
}

/// Returns the number in the file, if there is one, and fails if a store with `commits` is behind it.
pub(super) fn find_loss(dir: &Path, commits: u64) -> Result<Option<u64>, StoreError> {
    let path = path(dir);
    let recorded = match fs::read(&path) {
        Ok(bytes) => decode(&bytes)?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::io(format!("read {}", path.display()))(error)),
    };
    if commits >= recorded {
        return Ok(Some(recorded));
    }
    Err(corrupted(format!(
        "it ends at commit {commits} though commit {recorded} was synced, so what came after is lost"
    )))
}

fn path(dir: &Path) -> PathBuf {
    dir.join("witness")
}

/// The key of the row that holds the number of the last commit.
pub(super) fn key() -> Key {
    Key::meta("commits")
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
