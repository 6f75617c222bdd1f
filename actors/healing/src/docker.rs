//! The engine: one client, shared by the edges. Versions are negotiated down, so that old engines
//! (API 1.41) are spoken to in their own version.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bollard::errors::Error;
use bollard::{API_DEFAULT_VERSION, Docker};
use perennial_runtime::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::{OnceCell, watch};

/// The client's own limit on waiting for an answer's head. Calls have tighter deadlines of their own;
/// this one only has to be longer than any of them, a stop with a long grace period included.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(3600);

/// Where the engine is and how long it may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address of the Docker engine: unix:///path or tcp://host:port.
    pub host: String,
    /// Longest wait for an answer of the engine to a short question.
    #[serde(with = "humantime_serde")]
    pub deadline: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { host: "unix:///var/run/docker.sock".to_owned(), deadline: Duration::from_secs(10) }
    }
}

impl Config {
    /// Why the address is of no kind that is spoken here, if so.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        scheme(&self.host).err().map(|error| error.to_string())
    }

    /// Says in sentences what in these values cannot work.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.deadline < Duration::from_millis(100) {
            problems.push(
                "docker.deadline is under 100 ms: the engine never answers so fast".to_owned(),
            );
        }
        problems
    }
}

/// Why the engine did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// There is no such container, service or exec.
    #[error("the engine does not know it: {0}")]
    NotFound(String),
    /// The engine answered with another error status; nothing was done.
    #[error("the engine refused with status {status}: {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The engine's own words.
        message: String,
    },
    /// There is no connection, or it broke. A request that was under way may have been carried out.
    #[error("the engine cannot be reached ({0}); check docker.host and that dockerd runs")]
    Unreachable(String),
    /// No answer within the deadline. The request may have been carried out.
    #[error("the engine gave no answer within {0:?}")]
    TimedOut(Duration),
    /// An answer came and cannot be read.
    #[error("the engine's answer cannot be read: {0}")]
    Garbled(String),
    /// The configured address is of no use.
    #[error("{0:?} is not supported: use unix:///path or tcp://host:port")]
    Host(String),
}

impl EngineError {
    /// Whether the connection, and not the question, is at fault.
    #[must_use]
    pub const fn is_lost(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::TimedOut(_))
    }
}

impl From<Error> for EngineError {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "all other errors of the client, present and future, mean that no answer came"
    )]
    fn from(error: Error) -> Self {
        match error {
            Error::DockerResponseServerError { status_code: 404, message } => {
                Self::NotFound(message)
            }
            Error::DockerResponseServerError { status_code, message } => {
                Self::Refused { status: status_code, message }
            }
            Error::RequestTimeoutError => Self::TimedOut(CLIENT_TIMEOUT),
            Error::JsonDataError { message, .. } => Self::Garbled(message),
            Error::JsonSerdeError { err } => Self::Garbled(err.to_string()),
            Error::UnsupportedURISchemeError { uri } => Self::Host(uri),
            other => Self::Unreachable(with_causes(&other)),
        }
    }
}

/// The transport's own text hides the reason in its sources.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

/// Whether the engine is there, for readiness.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineState {
    /// The event stream is open and the last re-list was answered.
    pub connected: bool,
    /// Since when that is so; the epoch before the first attempt.
    pub since: Timestamp,
    /// What went wrong last, while not connected.
    pub last_error: Option<String>,
}

/// The engine as the edges use it. Clones share one client.
#[derive(Clone, Debug)]
pub struct Engine(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    /// Filled at the first use while the engine is up: the client cannot be made without a socket,
    /// and no request is understood before the version is negotiated.
    client: OnceCell<Docker>,
    state: watch::Sender<EngineState>,
    /// What of the engine's machine cannot be judged, and why.
    blind: watch::Sender<Option<String>>,
}

impl Engine {
    /// Prepares to talk to the engine, which need not be up yet.
    ///
    /// # Errors
    /// [`EngineError::Host`]: the address is of no kind that is spoken here.
    pub fn connect(config: &Config) -> Result<Self, EngineError> {
        scheme(&config.host)?;
        let (state, _) = watch::channel(EngineState::default());
        let (blind, _) = watch::channel(None);
        Ok(Self(Arc::new(Inner { config: config.clone(), client: OnceCell::new(), state, blind })))
    }

    /// The client, once the engine has been reached and the version agreed on.
    ///
    /// # Errors
    /// The engine is not there; the next call tries again.
    pub async fn client(&self) -> Result<&Docker, EngineError> {
        let deadline = self.0.config.deadline;
        self.0.client.get_or_try_init(|| negotiated(&self.0.config.host, deadline)).await
    }

    /// Agrees on the version again: after a reconnect the engine may be an older one.
    ///
    /// # Errors
    /// The engine is not there.
    pub async fn negotiate(&self) -> Result<(), EngineError> {
        match self.0.client.get() {
            None => self.client().await.map(|_| ()),
            // All clones of a client share its version.
            Some(docker) => {
                within(self.0.config.deadline, docker.clone().negotiate_version()).await.map(|_| ())
            }
        }
    }

    /// Asks the engine, at most for `deadline`, which includes reaching it.
    ///
    /// # Errors
    /// What the engine or the connection answered.
    pub async fn call<T, R, F>(&self, deadline: Duration, request: R) -> Result<T, EngineError>
    where
        R: FnOnce(Docker) -> F,
        F: Future<Output = Result<T, Error>>,
    {
        let asked = async {
            let docker = self.client().await?.clone();
            request(docker).await.map_err(EngineError::from)
        };
        tokio::time::timeout(deadline, asked).await.unwrap_or(Err(EngineError::TimedOut(deadline)))
    }

    /// The configured wait for an answer to a short question.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.0.config.deadline
    }

    /// The configured address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.0.config.host
    }

    /// Whether the engine is there, as it changes.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<EngineState> {
        self.0.state.subscribe()
    }

    /// Whether containers are being watched.
    ///
    /// # Errors
    /// Why not, for people.
    pub fn ready(&self) -> Result<(), String> {
        let state = self.0.state.borrow();
        if state.connected {
            return Ok(());
        }
        Err(state
            .last_error
            .clone()
            .unwrap_or_else(|| "not connected to the engine yet".to_owned()))
    }

    /// What of the engine's machine cannot be judged, and why; for people.
    #[must_use]
    pub fn blind(&self) -> Option<String> {
        self.0.blind.borrow().clone()
    }

    /// Says whether that is news.
    pub(crate) fn set_blind(&self, why: Option<String>) -> bool {
        self.0.blind.send_if_modified(|known| {
            let changed = *known != why;
            *known = why;
            changed
        })
    }

    pub(crate) fn set_connected(&self, now: Timestamp) {
        self.0.state.send_if_modified(|state| {
            let changed = !state.connected;
            if changed {
                *state = EngineState { connected: true, since: now, last_error: None };
            }
            changed
        });
    }

    pub(crate) fn set_lost(&self, now: Timestamp, error: &str) {
        self.0.state.send_modify(|state| {
            let since = if state.connected { now } else { state.since };
            *state = EngineState { connected: false, since, last_error: Some(error.to_owned()) };
        });
    }
}

fn scheme(host: &str) -> Result<(), EngineError> {
    let known = ["unix://", "tcp://", "http://"].iter().any(|scheme| host.starts_with(scheme));
    if known { Ok(()) } else { Err(EngineError::Host(host.to_owned())) }
}

async fn negotiated(host: &str, deadline: Duration) -> Result<Docker, EngineError> {
    let timeout = CLIENT_TIMEOUT.as_secs();
    let docker = if host.starts_with("unix://") {
        Docker::connect_with_unix(host, timeout, API_DEFAULT_VERSION)?
    } else {
        Docker::connect_with_http(host, timeout, API_DEFAULT_VERSION)?
    };
    within(deadline, docker.negotiate_version()).await
}

async fn within<T>(
    deadline: Duration,
    asked: impl Future<Output = Result<T, Error>>,
) -> Result<T, EngineError> {
    match tokio::time::timeout(deadline, asked).await {
        Ok(answer) => answer.map_err(EngineError::from),
        Err(_) => Err(EngineError::TimedOut(deadline)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_engine_that_is_not_there_is_unreachable_and_may_come_later() {
        let config = Config { host: "unix:///nowhere/docker.sock".to_owned(), ..Config::default() };
        let engine = Engine::connect(&config).unwrap();
        let error = engine.call(Duration::from_secs(1), |d| async move { d.ping().await }).await;
        assert!(matches!(error, Err(EngineError::Unreachable(_))), "{error:?}");
        assert!(engine.ready().is_err());
    }

    #[test]
    fn an_address_of_another_kind_is_refused_at_once() {
        let config = Config { host: "ssh://host".to_owned(), ..Config::default() };
        assert!(matches!(Engine::connect(&config), Err(EngineError::Host(_))));
        assert!(config.refusal().is_some_and(|why| why.contains("unix:///path")));
    }

    #[test]
    fn an_engine_is_ready_between_connected_and_lost() {
        let engine = Engine::connect(&Config::default()).unwrap();
        engine.set_connected(Timestamp::from_micros(5));
        assert_eq!(engine.ready(), Ok(()));
        engine.set_lost(Timestamp::from_micros(9), "stream ended");
        assert_eq!(engine.ready(), Err("stream ended".to_owned()));
        assert_eq!(engine.state().borrow().since, Timestamp::from_micros(9));
    }
}
