//! Backups of a store that is being written to, and data directories made of them.
//!
//! The engine has no snapshots, and commits must not wait for a copy. So rows are copied in the order of
//! their keys while commits go on, and whatever is committed meanwhile goes into the backup as well, in
//! the order of the commits. Either alone is no image of any moment: a copied row may be older or newer
//! than its neighbour. Together they are: a row that nobody wrote meanwhile was copied as it is, and of
//! one that was written the last write stands among the changes. Writes do not build on what was there,
//! so the rows with the changes applied over them are exactly the store at the commit the backup ends with.
//!
//! Memory stays bounded: rows are read in windows, and changes wait in a queue of fixed size. A
//! destination too slow for the rate of commits makes the backup fail, never a commit wait.

use std::path::PathBuf;
use std::{fmt, io};

use crate::{StoreError, Timestamp};

mod archive;
mod file;
mod restoring;
mod tapped;

pub use self::file::BackupFile;
pub use self::restoring::{restore_backup, verify_backup};
pub use self::tapped::{Backup, TappedBackend, backup_data};

/// Bytes of changes that may wait for the destination of a backup.
const MAX_WAITING_BYTES: usize = 64 * 1024 * 1024;

/// What a backup says of itself.
#[derive(Clone, Copy)]
pub struct About<'a> {
    /// The version of the product that takes it.
    pub product: &'a str,
    /// Tells wall time.
    pub now: &'a dyn Fn() -> Timestamp,
}

impl fmt::Debug for About<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("About").field("product", &self.product).finish_non_exhaustive()
    }
}

/// What a whole backup holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The version of the product that took it.
    pub product: String,
    /// When it was begun.
    pub started: Timestamp,
    /// Of which moment it is the image.
    pub finished: Timestamp,
    /// Rows copied.
    pub rows: u64,
    /// Writes and deletions committed while they were copied.
    pub changes: u64,
    /// Bytes of the keys and values of both.
    pub bytes: u64,
    /// Bytes of the backup itself.
    pub file_bytes: u64,
}

/// Why there is no backup, or nothing was made of one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// One is being taken already.
    #[error("a backup of this store is being taken already; try again when it has ended")]
    Busy,
    /// The destination takes less than is written to the store.
    #[error(
        "the backup was given up: {waiting} bytes of changes wait for its destination, which is too slow"
    )]
    TooSlow {
        /// Bytes that wait.
        waiting: usize,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The backup could not be read or written.
    #[error("could not {attempted}")]
    Io {
        /// What was attempted.
        attempted: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// What was read is no backup, or damaged.
    #[error("it is no usable backup: {reason}, {place}; use another one")]
    Invalid {
        /// What does not fit.
        reason: String,
        /// Where: `at byte 17`.
        place: String,
    },
    /// It was written by another version.
    #[error(
        "it has format `{found}` and this version reads `{known}`; use the version that wrote it"
    )]
    OtherFormat {
        /// The format that was found.
        found: String,
        /// The format this version reads.
        known: String,
    },
    /// A file or directory that must not be there yet is there.
    #[error("{path} is not empty, there is {found}; nothing was changed: name another one", path = path.display())]
    NotEmpty {
        /// What was to be written.
        path: PathBuf,
        /// What is there.
        found: String,
    },
}

impl BackupError {
    /// Makes a [`BackupError::Io`]; fits `map_err`.
    fn io(attempted: impl Into<String>) -> impl FnOnce(io::Error) -> BackupError {
        move |source| BackupError::Io { attempted: attempted.into(), source }
    }
}

#[cfg(test)]
mod tests;
