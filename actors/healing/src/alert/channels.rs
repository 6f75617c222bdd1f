//! Delivers notifications: one performer that knows every channel.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use perennial_runtime::{Attempt, EffectError, Performer, Timestamp};

use crate::alert::deliver::Deliver;
use crate::alert::email::Email;
use crate::alert::slack::Slack;
use crate::alert::webhook::Webhook;
use crate::alert::{Config, EMAIL, Notice, SLACK, WEBHOOK};
use crate::breaker::{Breaker, Pauses};

/// Below the effect's own timeout, so that a channel that hangs is counted as down.
const PATIENCE: Duration = Duration::from_secs(9);
/// A channel that is down is asked by one notification at a time.
const PAUSES: Pauses =
    Pauses { threshold: 3, first: Duration::from_secs(5), longest: Duration::from_secs(30) };

/// Why a channel cannot be used as it is configured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// The value is a secret or has been shown by the configuration check.
    #[error("{option} is not a valid address; correct it")]
    Address {
        /// The option's name.
        option: &'static str,
    },
    /// A file that the channel needs.
    #[error("{option}: {path} cannot be read: {error}", path = path.display())]
    File {
        /// The option's name.
        option: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// The client library refused.
    #[error("{option}: the client could not be set up: {reason}")]
    Client {
        /// The option's name.
        option: &'static str,
        /// Why not.
        reason: String,
    },
}

impl ChannelError {
    pub(super) fn client(option: &'static str, error: impl std::error::Error) -> Self {
        let mut reason = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            reason = format!("{reason}: {cause}");
            source = cause.source();
        }
        Self::Client { option, reason }
    }
}

/// All channels that are configured. Made once; clients and their connections are kept.
pub struct Channels(BTreeMap<&'static str, Channel>);

impl fmt::Debug for Channels {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

struct Channel {
    sink: Sink,
    state: Mutex<State>,
}

/// How a channel has answered lately.
#[derive(Debug, Default)]
struct State {
    breaker: Breaker,
    /// What was wrong at the last failure: told for those that wait, too.
    last_error: String,
}

enum Sink {
    Slack(Slack),
    Email(Email),
    Webhook(Webhook),
}

impl Channels {
    /// Prepares every channel that `config` sets up. Secrets must have been read from their files.
    ///
    /// # Errors
    /// [`ChannelError`] names the option that must be corrected.
    pub fn new(config: &Config) -> Result<Self, ChannelError> {
        let mut channels = BTreeMap::new();
        for route in config.routes() {
            let sink = match route.channel {
                SLACK => Sink::Slack(Slack::new(config)?),
                EMAIL => Sink::Email(Email::new(config)?),
                WEBHOOK => Sink::Webhook(Webhook::new(config)?),
                _ => continue,
            };
            channels.insert(route.channel, Channel { sink, state: Mutex::default() });
        }
        Ok(Self(channels))
    }
}

impl Channel {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets an attempt through, unless the channel is spared for a while.
    fn enter(&self, name: &str, now: Timestamp) -> Result<(), EffectError> {
        let mut state = self.state();
        state.breaker.enter(now, &PAUSES).map_err(|wait| EffectError::Transient {
            message: format!("{name} is down, the next attempt waits: {}", state.last_error),
            retry_after: Some(wait),
        })
    }

    /// Notes how an attempt ended.
    fn note(&self, result: &Result<String, EffectError>, now: Timestamp) {
        let mut state = self.state();
        match result {
            Err(EffectError::Transient { message, .. }) => {
                state.breaker.failed(now, &PAUSES);
                state.last_error.clone_from(message);
            }
            Ok(_) | Err(EffectError::Permanent(_) | EffectError::Unknown(_)) => {
                state.breaker.succeeded();
            }
        }
    }

    async fn send(&self, notice: &Notice, attempt: &Attempt) -> Result<String, EffectError> {
        match &self.sink {
            Sink::Slack(slack) => slack.send(notice, attempt).await,
            Sink::Email(email) => email.send(notice).await,
            Sink::Webhook(webhook) => webhook.send(notice, attempt).await,
        }
    }
}

impl Performer<Deliver> for Channels {
    async fn perform(&self, effect: &Deliver, attempt: &Attempt) -> Result<String, EffectError> {
        let name = effect.channel.as_str();
        let Some(channel) = self.0.get(name) else {
            return Err(EffectError::permanent(format!(
                "channel {name} is not configured; set up alert.{name}, restart the node and \
                 redrive this from the dead letters"
            )));
        };
        channel.enter(name, attempt.now)?;
        let began = perennial_runtime::instant();
        let sending = tokio::time::timeout(PATIENCE, channel.send(&effect.notice, attempt));
        let result = sending.await.unwrap_or_else(|_| {
            Err(EffectError::transient(format!("no answer within {} s", PATIENCE.as_secs())))
        });
        channel.note(&result, attempt.now + began.elapsed());
        result
    }
}

#[cfg(test)]
mod tests;
