//! How an actor ends that cannot go on.

use std::fmt;

/// A failure that ends the live actor; its supervisor decides.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) reason: String,
    pub(crate) escalate: bool,
    /// Its stored state cannot be read by this version: starting it again does not help.
    pub(crate) illegible: bool,
}

impl Ended {
    /// A failure that is its supervisor's own to handle.
    pub(crate) fn failed(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), escalate: false, illegible: false }
    }

    pub(crate) fn escalated(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), escalate: true, illegible: false }
    }

    pub(crate) fn illegible(reason: &str) -> Self {
        Self { reason: reason.to_owned(), escalate: false, illegible: true }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.reason)
    }
}

impl std::error::Error for Ended {}
