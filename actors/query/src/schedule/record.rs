//! What is kept of a schedule, for people.

use perennial_runtime::{Table, Timestamp};
use serde::{Deserialize, Serialize};

use crate::record::Outcome;

/// Schedules by name, written by their actors alone.
pub const SCHEDULES: Table<ScheduleRow> = Table::new("query-schedules", 1);

/// How a schedule stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleRow {
    /// Its name.
    pub name: String,
    /// Who paused it, if it is paused.
    pub paused_by: Option<String>,
    /// When it is due next; never while it is paused or not enabled.
    pub next: Option<Timestamp>,
    /// What was done last.
    pub last: Option<Firing>,
    /// Queries that were taken in for it.
    pub fired: u64,
    /// Times that nothing was done for, because the node did not run, or it was paused before they could be made
    /// up for.
    pub missed: u64,
    /// Times that nothing was done for, because an earlier query had not ended.
    pub overlapped: u64,
    /// Times that nothing could be done for.
    pub refused: u64,
    /// The last of these, in words; empty if there was none.
    pub note: String,
    /// When that was.
    pub noted_at: Option<Timestamp>,
}

/// A time of a schedule, and what was done for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firing {
    /// The time.
    pub due: Timestamp,
    /// When it was done.
    pub at: Timestamp,
    /// Who wanted it; none if it was due.
    pub by: Option<String>,
    /// The query, once it was taken in.
    pub query: Option<String>,
    /// How it ended, once it has.
    pub outcome: Option<Outcome>,
}
