//! What can go wrong with the store, and what to do about it.

use std::io;
use std::path::PathBuf;

use crate::Epoch;

/// Says what the store could not do.
///
/// Keys appear as readable text; values never appear.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A value is not what was written at its key.
    #[error("record {key} is corrupt: {reason}; stop the node and restore it from a backup")]
    Corrupted {
        /// The record's key, readable.
        key: String,
        /// What does not fit.
        reason: String,
    },
    /// The engine finds its files damaged.
    #[error(
        "could not {attempted}: {part} is damaged ({reason}); stop the node, see with `perennial \
         check-data` what can be read, and restore it from a backup"
    )]
    Damaged {
        /// What was attempted.
        attempted: String,
        /// Which files, in the data directory: `store/db`.
        part: &'static str,
        /// What the engine said.
        reason: String,
    },
    /// Another owner has taken the store over.
    #[error("epoch {held} no longer owns the store, epoch {current} does; stop this node")]
    Fenced {
        /// The epoch the caller holds.
        held: Epoch,
        /// The epoch that owns the store.
        current: Epoch,
    },
    /// An earlier write or sync failed, so what is on the disk is unknown.
    #[error("an earlier write failed and the store takes no more; restart the node")]
    Poisoned,
    /// A key is longer than the store takes.
    #[error("key {key} has {bytes} bytes, over the limit of {limit}; name things shorter")]
    KeyTooLong {
        /// The key, readable.
        key: String,
        /// Its length.
        bytes: usize,
        /// The longest that is taken.
        limit: usize,
    },
    /// A value is larger than the store takes.
    #[error("value of {bytes} bytes for {key} is over the limit of {limit}; store less in one row")]
    TooLarge {
        /// The row's key, readable.
        key: String,
        /// The size of the value.
        bytes: usize,
        /// The largest size that is taken.
        limit: usize,
    },
    /// Another process uses the data directory.
    #[error("{path} is in use by {holder}; stop that process or use another data directory", path = path.display())]
    Locked {
        /// The data directory.
        path: PathBuf,
        /// Who holds the lock, as far as it is known: `pid 123`.
        holder: String,
        /// The holder's [`crate::DataDir::incarnation`], if it is known.
        incarnation: Option<String>,
    },
    /// The data directory was written by another version, or is not a data directory.
    #[error(
        "{path} has format `{found}` and this version knows `{known}`; nothing was changed: \
         use the version that wrote it, or another data directory",
        path = path.display()
    )]
    NewerFormat {
        /// The data directory.
        path: PathBuf,
        /// The format that was found.
        found: String,
        /// The format this version writes.
        known: String,
    },
    /// The store of a data directory is gone.
    #[error(
        "{path} holds data, says its `FORMAT`, but its directory `store` is gone or empty; nothing was \
         changed: restore a backup into another directory, or remove this one to begin anew",
        path = path.display()
    )]
    NoStore {
        /// The data directory.
        path: PathBuf,
    },
    /// The engine has written values aside, where they are not synced.
    #[error("{path} is not empty, so some values may not be durable; restore from a backup", path = path.display())]
    BlobFiles {
        /// The directory that should be empty.
        path: PathBuf,
    },
    /// The disk has no room; the store is as it was.
    #[error("could not {attempted}: only {free} bytes are free; free some disk space")]
    NoSpace {
        /// What was attempted.
        attempted: String,
        /// Bytes that were free on the file system.
        free: u64,
    },
    /// The operating system refused.
    #[error("could not {attempted}; check the disk and the permissions of the data directory")]
    Io {
        /// What was attempted.
        attempted: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The engine refused.
    #[error("could not {attempted}: {message}; restart the node, and check the data if it recurs")]
    Backend {
        /// What was attempted.
        attempted: String,
        /// What the engine said.
        message: String,
    },
    /// The store was closed.
    #[error("the store is closed; open it again")]
    Closed,
}

impl StoreError {
    /// Makes an [`StoreError::Io`]; fits `map_err`.
    pub(crate) fn io(attempted: impl Into<String>) -> impl FnOnce(io::Error) -> StoreError {
        move |source| StoreError::Io { attempted: attempted.into(), source }
    }
}
