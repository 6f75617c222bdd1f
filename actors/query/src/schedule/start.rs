//! The edge of schedules: when the node has started, each looks at what it is now.

use std::collections::BTreeSet;

use perennial_runtime::{Runtime, SendError, StoreError};

use super::{Definitions, SCHEDULES, Schedule, ScheduleMessage};

/// Schedules that are known from before, at most.
const KNOWN: usize = 100_000;

/// Has every schedule look at its definition, also those that have none any more.
///
/// # Errors
/// The store cannot be read or written; some may have looked.
pub async fn begin(runtime: &Runtime, definitions: &Definitions) -> Result<(), StartError> {
    let mut names: BTreeSet<String> = definitions.by_name.keys().cloned().collect();
    let known = runtime.tables().scan(&SCHEDULES, b"", KNOWN)?;
    names.extend(known.into_iter().map(|row| row.name));
    for name in names {
        runtime.send::<Schedule>(name, &ScheduleMessage::Look).await?;
    }
    Ok(())
}

/// Why schedules could not be begun.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Those of before are not known.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// One could not be told.
    #[error(transparent)]
    Send(#[from] SendError),
}
