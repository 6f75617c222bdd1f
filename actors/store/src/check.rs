//! Verification of everything that is stored.

use std::path::Path;

use crate::data_dir::{self, DataDir};
use crate::{StoreError, record};

/// What a look at every record found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Records looked at.
    pub records: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Readable keys of the records that are corrupt, all of them, and what is wrong with each. The keys
    /// `log` and `journal` stand for commits that are gone altogether.
    pub corrupted: Vec<(String, String)>,
}

/// Opens the data directory at `path` and verifies the checksum of every record in it.
///
/// The directory must exist and must not be in use. Rows are not changed; the engine may tidy its files.
///
/// # Errors
///
/// Fails if the data cannot be opened or read at all; damaged records are no error but reported.
pub fn check_data(path: &Path) -> Result<Report, StoreError> {
    let _lock = DataDir::lock_existing(path)?;
    let dir = data_dir::store_dir(path);
    let mut report = Report::default();
    if data_dir::unfinished(&dir).exists() {
        // The first start was cut short before anything was stored.
        return Ok(report);
    }
    let damage = crate::sled::inspect(&dir, |key, value| {
        report.records += 1;
        let verified = value.and_then(|value| {
            report.bytes += (key.as_ref().len() + value.len()) as u64;
            record::open(&key, &value).map(|_| ())
        });
        report.corrupted.extend(verified.err().map(|error| describe(&key.to_string(), error)));
    })?;
    report.corrupted.extend(damage.into_iter().map(|error| describe("log", error)));
    Ok(report)
}

/// Tells which record is damaged, `place` unless the error knows better, and how.
fn describe(place: &str, error: StoreError) -> (String, String) {
    if let StoreError::Corrupted { key, reason } = error {
        (key, reason)
    } else {
        (place.to_owned(), error.to_string())
    }
}

#[cfg(test)]
mod tests;
