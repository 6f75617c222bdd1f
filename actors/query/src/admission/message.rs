//! Everything the Admission can be told.

use serde::{Deserialize, Serialize};

use crate::record::{Outcome, Submission, Watcher};

/// A message to the Admission.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum AdmissionMessage {
    /// A query to be taken in. Answered with [`Admitted`].
    Submit(Box<Submission>),
    /// A query that had given its place back wants one again. It was accepted, and so is never turned away.
    Return {
        /// Its id.
        id: String,
        /// The API key on whose behalf it is, if it is on one's.
        key: Option<u64>,
    },
    /// A query needs its place no more.
    Release {
        /// Its id.
        id: String,
        /// How it ended, if it has.
        result: Option<Outcome>,
    },
    /// A timer of its own: the result under this key is too old to be given again.
    Expired(String),
    /// A timer of its own: whatever is submitted under this name is another query from now on.
    Unnamed(String),
    /// A query to be taken in for another actor, which is told what becomes of it.
    SubmitFor {
        /// The query.
        submission: Box<Submission>,
        /// Who is told.
        watcher: Watcher,
    },
    /// A query that has ended is to be begun again: it is bounded like one that is submitted, and has its place, or waits
    /// for one, when it is told to begin again. Answered with [`Admitted`].
    Readmit {
        /// Its id.
        id: String,
        /// The API key on whose behalf it is, if it is on one's.
        key: Option<u64>,
    },
}

/// What became of a query that was to be taken in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Admitted {
    /// It will be done.
    Accepted {
        /// Its id.
        id: String,
        /// How many wait before it, as things stand.
        ahead: u64,
    },
    /// The same was asked before, and this is it: done, or under way.
    Shared {
        /// Its id.
        id: String,
    },
    /// There is no room for it: come again later.
    Full {
        /// How many wait.
        waiting: u64,
    },
    /// There is no room for more of its API key's: come again later.
    KeyFull {
        /// How many of them wait.
        waiting: u64,
    },
}
