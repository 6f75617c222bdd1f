//! Everything a Schedule can be told. Its key is the name of its schedule.

use perennial_runtime::Timestamp;
use serde::{Deserialize, Serialize};

use crate::admission::Admitted;
use crate::record::Outcome;

/// A message to a Schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScheduleMessage {
    /// The node has started: look at what the schedule is now.
    Look,
    /// A timer of its own: it is due.
    Due(Timestamp),
    /// A timer of its own: what could not be taken in is submitted again.
    Again,
    /// A query was taken in, or was not.
    Admitted {
        /// The time that it is done for.
        due: Timestamp,
        /// What became of it.
        admitted: Admitted,
    },
    /// A query has ended.
    Ended {
        /// The time that it was done for.
        due: Timestamp,
        /// Its id.
        query: String,
        /// How.
        outcome: Outcome,
    },
    /// What somebody wants of it. Answered with [`ScheduleOrdered`].
    Order {
        /// Who.
        by: String,
        /// What.
        order: ScheduleOrder,
    },
}

/// What somebody can want of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScheduleOrder {
    /// Do nothing for now.
    Pause,
    /// Go on from now on, whatever an earlier query still does.
    Resume,
    /// Do it once, at once.
    Fire,
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScheduleOrdered {
    /// It is done, or was so already.
    Done,
    /// It is being done for this time.
    Fires(Timestamp),
    /// There is no such schedule.
    Unknown,
    /// It cannot be done as the schedule stands.
    Conflict(String),
}
