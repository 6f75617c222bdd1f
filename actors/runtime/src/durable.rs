//! What an engineer writes: a serializable struct with a synchronous, pure `handle`.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::address::Kind;
use crate::turn::Turn;

/// A durable actor: state that survives anything, changed only by messages.
///
/// `handle` does no I/O and reads neither clock nor randomness except through the turn. It may run
/// more than once for a message; a run that did not commit leaves no trace.
pub trait Durable: Clone + Default + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The stored name of this type of actor.
    const KIND: Kind;
    /// Schema version of the stored state and messages; raise it with a [`Durable::migrate`].
    const VERSION: u16 = 1;
    /// Everything the actor can be asked, as one closed enum.
    type Message: Serialize + DeserializeOwned + Send + 'static;
    /// Configuration shared by all actors of the kind; not stored.
    type Settings: Send + Sync + 'static;

    /// Applies one message to the state and records on `turn` what shall happen.
    ///
    /// # Errors
    /// [`Failure`] says what becomes of the message; the turn and its changes are dropped whole.
    fn handle(&mut self, message: Self::Message, turn: &mut Turn<'_, Self>) -> Result<(), Failure>;

    /// Reads a state that an older version stored.
    ///
    /// # Errors
    /// The default knows no older version; the actor then stays inactive and its messages wait.
    fn migrate(version: u16, _payload: &[u8]) -> Result<Self, Failure> {
        Err(Failure::Escalate(format!(
            "{} stores version {} and was given state of version {version}",
            Self::KIND,
            Self::VERSION
        )))
    }

    /// Reads a message that an older version stored.
    ///
    /// # Errors
    /// The default knows no older version; the message goes to the dead letters.
    fn migrate_message(version: u16, _payload: &[u8]) -> Result<Self::Message, Failure> {
        Err(Failure::Reject(format!("no migration of messages from version {version}")))
    }
}

/// Why a turn did not apply, and what becomes of its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Run the message again after a back-off; dead letter after the last attempt.
    Retry(String),
    /// Move the message to the dead letters now.
    Reject(String),
    /// Rebuild the actor from its last commit, then run the message again.
    Restart(String),
    /// Hand the failure to the supervisor's parent.
    Escalate(String),
}

impl Failure {
    /// What went wrong, for people.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Retry(reason)
            | Self::Reject(reason)
            | Self::Restart(reason)
            | Self::Escalate(reason) => reason,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.reason())
    }
}

/// An ordinary error asks for a retry. `Failure` itself is not an `Error`, so that this holds for
/// every error type.
impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Retry(error.to_string())
    }
}
