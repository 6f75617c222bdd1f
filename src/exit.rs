//! How the process ends, and why: one table of exit codes. `docs/operations.md` says what to do.

use std::fmt;
use std::process::ExitCode;

use perennial_runtime::RuntimeError;
use perennial_store::{BackupError, StoreError};

use crate::config::ConfigError;

/// What the exit code says; numbers from 64 on are those of `sysexits.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Success = 0,
    /// The answer is no: not ready, not found, refused.
    Failed = 1,
    /// The command line cannot be understood.
    Usage = 2,
    /// Stored data is damaged or of another version.
    Data = 65,
    /// What is needed is not there: the node does not answer, the address or the data directory is
    /// in use.
    Unavailable = 69,
    /// The node gave up, or a defect showed.
    Software = 70,
    /// The disk failed or is full.
    Io = 74,
    /// The configuration was refused.
    Config = 78,
    /// What was asked for was taken back, as by an interrupt.
    Cancelled = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command failed: for a person, and for whoever started it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What the exit code says.
    pub exit: Exit,
    /// What was attempted and what to do.
    pub message: String,
}

impl Failure {
    /// Ends the process with `exit`.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(Exit::Config, error.to_string())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(store_exit(&error), with_sources(&error))
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        let exit = match &error {
            BackupError::Store(error) => store_exit(error),
            BackupError::Io { .. } => Exit::Io,
            BackupError::Invalid { .. } | BackupError::OtherFormat { .. } => Exit::Data,
            BackupError::Busy | BackupError::TooSlow { .. } | BackupError::NotEmpty { .. } | _ => {
                Exit::Failed
            }
        };
        Self::new(exit, with_sources(&error))
    }
}

impl From<RuntimeError> for Failure {
    fn from(error: RuntimeError) -> Self {
        Self::from(&error)
    }
}

impl From<&RuntimeError> for Failure {
    fn from(error: &RuntimeError) -> Self {
        let exit = match error {
            RuntimeError::Store(error) => store_exit(error),
            RuntimeError::Duplicate(_)
            | RuntimeError::Escalated(_)
            | RuntimeError::Start { .. }
            | _ => Exit::Software,
        };
        Self::new(exit, with_sources(error))
    }
}

fn store_exit(error: &StoreError) -> Exit {
    match error {
        StoreError::Corrupted { .. }
        | StoreError::Damaged { .. }
        | StoreError::NewerFormat { .. }
        | StoreError::NoStore { .. }
        | StoreError::BlobFiles { .. } => Exit::Data,
        StoreError::Locked { .. } | StoreError::Fenced { .. } => Exit::Unavailable,
        StoreError::Poisoned
        | StoreError::NoSpace { .. }
        | StoreError::Io { .. }
        | StoreError::Backend { .. } => Exit::Io,
        StoreError::KeyTooLong { .. } | StoreError::TooLarge { .. } | StoreError::Closed | _ => {
            Exit::Software
        }
    }
}

/// The error and everything it was caused by.
pub(crate) fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_in_use_says_so_and_a_damaged_one_asks_not_to_be_started_again() {
        let locked =
            StoreError::Locked { path: "d".into(), holder: "pid 7".into(), incarnation: None };
        assert_eq!(Failure::from(locked).exit, Exit::Unavailable);
        let damaged = StoreError::Corrupted { key: "k".into(), reason: "checksum".into() };
        let failure = Failure::from(RuntimeError::Store(damaged));
        assert_eq!(failure.exit, Exit::Data);
        assert!(failure.message.contains("record k is corrupt"), "{failure}");
        let (attempted, reason) = ("open the store".into(), "zeros".into());
        let damaged = StoreError::Damaged { attempted, part: "store/db", reason };
        let failure = Failure::from(RuntimeError::Store(damaged));
        assert_eq!(failure.exit, Exit::Data);
        assert!(failure.message.contains("store/db is damaged"), "{failure}");
    }
}
