//! What can go wrong on the way into the runtime, by what the caller can do about it.

use perennial_store::StoreError;

/// Why a message was not accepted, or may not have been.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// Not stored: the receiver or the store is over its quota. Send again after the wait.
    #[error("{0} is over its quota; send again in a second")]
    Overloaded(String),
    /// Not stored: the disk has no room for new work. Free some; the node recovers by itself.
    #[error("the disk has no room for new messages; free some space")]
    NoSpace,
    /// Not stored: it is too large, cannot be encoded, or comes from a run of a sensor that another has
    /// followed.
    #[error("the message was refused: {0}")]
    Refused(String),
    /// Not stored: the node is shutting down.
    #[error("the node is shutting down; send again after it has started")]
    Stopping,
    /// It may be stored: the commit failed or did not answer. Sending again under the same message
    /// id is safe.
    #[error("the outcome is unknown; send again under the same message id")]
    Unknown,
}

/// Why an `ask` has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The message was not accepted, or may not have been.
    #[error(transparent)]
    Send(#[from] SendError),
    /// Its turn has not committed in time, and may still. Asking again under the same message id, if it
    /// was asked under one, returns the answer once there is one.
    #[error("no answer within the time allowed; the message may still be handled")]
    TimedOut,
    /// The message ended in the dead letters.
    #[error("the message was rejected: {0}")]
    Rejected(String),
    /// The turn committed without a reply, or with one of another type.
    #[error("the actor gave no usable answer: {0}")]
    NoAnswer(String),
}

/// Why the runtime did not start, or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// The store failed; nothing in memory can be trusted any more.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// Two registrations claim the same stored name.
    #[error("{0} is registered twice")]
    Duplicate(String),
    /// A supervisor gave up, and so did its parents.
    #[error("supervision gave up: {0}")]
    Escalated(String),
    /// An actor of the runtime's own could not be started.
    #[error("could not start {what}: {reason}")]
    Start {
        /// What was to be started.
        what: String,
        /// Why it was not.
        reason: String,
    },
}
