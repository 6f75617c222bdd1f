//! What the engine says is wrong, in the terms of the store.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::StoreError;

/// The engine's log.
const LOG: &str = "store/db";

/// All files that the engine reads.
const ENGINE_FILES: &str = "one of store/db, store/snap.* and store/conf";

/// Makes an [`StoreError`] of what the engine says; fits `map_err`.
pub(super) fn engine_error(attempted: &'static str) -> impl FnOnce(::sled::Error) -> StoreError {
    let attempted = attempted.to_owned();
    move |error| match error {
        // It looked for something beyond the end of a file.
        ::sled::Error::Io(source) if source.kind() == io::ErrorKind::UnexpectedEof => {
            StoreError::Damaged { attempted, part: ENGINE_FILES, reason: source.to_string() }
        }
        ::sled::Error::Io(source) => StoreError::Io { attempted, source },
        ::sled::Error::Corruption { at: Some(at), .. } => {
            StoreError::Damaged { attempted, part: LOG, reason: format!("at {at:?}") }
        }
        ::sled::Error::Corruption { at: None, .. } => {
            let reason = "the engine does not say where".to_owned();
            StoreError::Damaged { attempted, part: ENGINE_FILES, reason }
        }
        ::sled::Error::CollectionNotFound(_)
        | ::sled::Error::Unsupported(_)
        | ::sled::Error::ReportableBug(_) => {
            StoreError::Backend { attempted, message: error.to_string() }
        }
    }
}

/// Reads files that may be damaged. The engine does not expect that everywhere, and panics.
pub(super) fn caught<T>(
    attempted: &str,
    read: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    // Nothing of what was being made is used afterwards.
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Err(StoreError::Damaged {
            attempted: attempted.to_owned(),
            part: ENGINE_FILES,
            reason: format!("the engine gave up: {}", text.unwrap_or("it does not say why")),
        })
    })
}
