//! Reads what is stored in this version's format or, by a migration, in an older one.

use perennial_store::{Key, StoreError, decode};
use serde::de::DeserializeOwned;

use crate::durable::Failure;

/// What something was stored as, and what this version stores.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored {
    pub(crate) version: u16,
    pub(crate) current: u16,
    pub(crate) what: &'static str,
}

impl Stored {
    /// For a version that nothing reads.
    pub(crate) fn unknown(&self) -> Failure {
        let Self { version, current, what } = self;
        Failure::Reject(format!(
            "stored as version {version}; {what} are read from version {current} only"
        ))
    }

    fn newer(&self) -> Failure {
        let Self { version, current, what } = self;
        Failure::Reject(format!(
            "stored as version {version} by a newer program; this one reads {what} up to version {current}"
        ))
    }
}

/// Decodes `payload`, or has `migrate` read that of an older version. A newer one is refused.
pub(crate) fn read<T: DeserializeOwned>(
    stored: &Stored,
    payload: &[u8],
    migrate: impl FnOnce(u16, &[u8]) -> Result<T, Failure>,
) -> Result<T, Failure> {
    match stored.version.cmp(&stored.current) {
        std::cmp::Ordering::Equal => decode(payload).map_err(Failure::from),
        std::cmp::Ordering::Less => migrate(stored.version, payload),
        std::cmp::Ordering::Greater => Err(stored.newer()),
    }
}

/// The error for a row that could not be read.
pub(crate) fn unreadable(key: &Key, failure: &Failure) -> StoreError {
    StoreError::Corrupted { key: key.to_string(), reason: failure.reason().to_owned() }
}
