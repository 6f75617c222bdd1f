//! Effects on the world outside: recorded as data in a turn, performed after its commit.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use perennial_store::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::durable::{Durable, Failure};
use crate::table::TableReader;

/// Something to be done to the world, as data. Its outcome comes back to the owner as a message.
pub trait Effect: Clone + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The stored name of this type of effect; it never changes.
    const NAME: &'static str;
    /// Schema version of the stored effect; raise it with an [`Effect::migrate`].
    const VERSION: u16 = 1;
    /// The kind of actor that records it and is told the outcome.
    type Owner: Durable<Message: From<Finished<Self>>>;
    /// What the world answered.
    type Outcome: Serialize + DeserializeOwned + Send + 'static;

    /// Effects in one lane are performed one at a time, in the order of their commits, each once the end
    /// of the one before it is durable. The default, `None`, puts no order on them.
    fn lane(&self) -> Option<String> {
        None
    }

    /// How long, how often and until when it is tried.
    fn policy(&self) -> EffectPolicy {
        EffectPolicy::default()
    }

    /// Reads an effect that an older version stored.
    ///
    /// # Errors
    /// The default knows no older version; the effect goes to the dead letters.
    fn migrate(version: u16, _payload: &[u8]) -> Result<Self, Failure> {
        Err(Failure::Reject(format!(
            "no migration of {} from version {version} to {}",
            Self::NAME,
            Self::VERSION
        )))
    }
}

/// Limits on performing one effect. Stored with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectPolicy {
    /// One attempt is abandoned after this long.
    pub timeout: Duration,
    /// Attempts in all; after the last failure the owner is told.
    pub attempts: u32,
    /// The first wait between attempts; doubles each time, with full jitter.
    pub backoff_base: Duration,
    /// The longest wait between attempts.
    pub backoff_cap: Duration,
    /// No attempt starts at this instant or later; the owner is then told that it expired.
    pub expires: Option<Timestamp>,
    /// Whether a final failure is also kept as a dead letter that a person can redrive.
    pub keep_failures: bool,
}

impl Default for EffectPolicy {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            attempts: 5,
            backoff_base: Duration::from_millis(500),
            backoff_cap: Duration::from_secs(60),
            expires: None,
            keep_failures: false,
        }
    }
}

/// Stable across re-runs and restarts: a hash of owner, message and call. Sent along to a world that
/// can use it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IdempotencyKey(pub(crate) String);

impl IdempotencyKey {
    /// 32 hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// How an effect ended, as its owner is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Finished<E: Effect> {
    /// The effect as it was recorded.
    pub effect: E,
    /// The key that [`crate::Turn::perform`] returned for it.
    pub key: IdempotencyKey,
    /// Attempts started, counting those before a crash.
    pub attempts: u32,
    /// What the world answered, or why there is no answer.
    pub result: Result<E::Outcome, Undone>,
}

/// Why an effect has no outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Undone {
    /// Every attempt failed, or the first failure was final.
    Failed(String),
    /// It was not done before it expired; the last error, if there was an attempt.
    Expired(String),
    /// It may or may not have happened, and the world gives no evidence.
    Unknown(String),
}

impl fmt::Display for Undone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(why) => write!(formatter, "failed: {why}"),
            Self::Expired(why) => write!(formatter, "expired: {why}"),
            Self::Unknown(why) => write!(formatter, "outcome unknown: {why}"),
        }
    }
}

/// One attempt at an effect, as its performer sees it.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Sent along so that a world that can will do it once.
    pub key: IdempotencyKey,
    /// 1 for the first attempt ever, counting those before a crash.
    pub number: u32,
    /// When the intent was committed.
    pub intended_at: Timestamp,
    /// When this attempt starts.
    pub now: Timestamp,
}

/// Why an attempt failed, and whether another makes sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EffectError {
    /// Try again, after the back-off or when the world said so.
    Transient {
        /// For people.
        message: String,
        /// The wait the world asked for, if it did.
        retry_after: Option<Duration>,
    },
    /// Trying again cannot help.
    Permanent(String),
    /// It may have happened: never blindly repeated, reconciled first.
    Unknown(String),
}

impl EffectError {
    /// A failure worth another attempt after the back-off.
    pub fn transient(message: impl fmt::Display) -> Self {
        Self::Transient { message: message.to_string(), retry_after: None }
    }

    /// A failure that no other attempt can mend.
    pub fn permanent(message: impl fmt::Display) -> Self {
        Self::Permanent(message.to_string())
    }

    /// What went wrong, for people.
    #[must_use]
    pub fn message(&self) -> &str {
        match self {
            Self::Transient { message, .. } | Self::Permanent(message) | Self::Unknown(message) => {
                message
            }
        }
    }
}

/// What the world shows of an effect that may have been started before a crash.
#[derive(Clone, Debug, PartialEq)]
pub enum Reconciliation<O> {
    /// It happened, and this was the outcome.
    Done(O),
    /// It did not happen; it is safe to perform.
    NotDone,
    /// Nothing shows whether it happened; the owner is told so.
    Unknown(String),
    /// The world could not be asked; asked again after a back-off.
    Unreachable(String),
}

/// Does one type of effect. Runs on a worker pool, with the effect's own limits around it.
pub trait Performer<E: Effect>: Send + Sync + 'static {
    /// Is given the rows of its node, each time its pool starts and before anything is asked of it. The
    /// default needs none.
    fn attach(&self, _rows: TableReader) {}

    /// Makes one attempt. Dropped at the effect's timeout, so it must be safe to cancel.
    fn perform(
        &self,
        effect: &E,
        attempt: &Attempt,
    ) -> impl Future<Output = Result<E::Outcome, EffectError>> + Send;

    /// Asked before an effect is repeated after a crash, a timeout or an unknown outcome. The default
    /// suits effects that may be repeated under their idempotency key.
    fn reconcile(
        &self,
        _effect: &E,
        _attempt: &Attempt,
    ) -> impl Future<Output = Reconciliation<E::Outcome>> + Send {
        async { Reconciliation::NotDone }
    }
}
