//! What an operator can set about the Responder.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::responder::ladder;
use crate::responder::maintenance::Window;
use crate::responder::past::{HOUR, retention};

/// Configuration of the Responder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Every gate runs and is recorded, and nothing is done.
    pub dry_run: bool,
    /// After an action that ran, no new remediation of the same container for this long.
    #[serde(with = "humantime_serde")]
    pub cooldown: Duration,
    /// Attempts at actions per container and hour, successful or not. The label
    /// `perennial.restart.max` overrides it.
    pub budget_per_container: u32,
    /// Attempts at actions per node and hour, successful or not.
    pub budget_per_node: u32,
    /// Failures in a row that open a container's breaker.
    pub breaker_failures: u32,
    /// How long an open breaker refuses; afterwards exactly one action is let through as a probe.
    #[serde(with = "humantime_serde")]
    pub breaker_open: Duration,
    /// How long an action still counts against the third of a Compose project that may be disturbed
    /// at once.
    #[serde(with = "humantime_serde")]
    pub blast_recent: Duration,
    /// How long the symptoms must be gone and health must pass before an incident is resolved.
    #[serde(with = "humantime_serde")]
    pub stabilisation: Duration,
    /// The same, when a symptom is sustained CPU or memory use: the Monitor's window for these (60 s)
    /// and time for the samples to come in.
    #[serde(with = "humantime_serde")]
    pub stabilisation_sustained: Duration,
    /// How long after an action a health check may go without a verdict, or the Monitor show the run
    /// before it, until that counts as failed. For as long after it was first found well, looks may find it
    /// without a verdict and well in turns, until that counts as failed for it cannot be decided.
    #[serde(with = "humantime_serde")]
    pub health_patience: Duration,
    /// Longest wait for a Monitor's answer, which is asked for twice. Without one, nothing is done.
    #[serde(with = "humantime_serde")]
    pub standing_timeout: Duration,
    /// Restarts tried in one remediation, each followed by a verification.
    pub restarts: u32,
    /// Wait before the second restart; doubles with each further one.
    #[serde(with = "humantime_serde")]
    pub backoff: Duration,
    /// Longest wait between restarts.
    #[serde(with = "humantime_serde")]
    pub backoff_cap: Duration,
    /// What is done after the last restart did not help, before a person is called: `leave` it as it
    /// is, or `stop` it.
    pub last_rung: LastRung,
    /// Failures in a row that look exactly the same and end a remediation at once; 0 is never.
    pub identical_failures: u32,
    /// Seconds a container is given to stop. Its label `autoheal.stop.timeout` or its own setting
    /// overrides it.
    pub stop_timeout: u32,
    /// Replicas beyond which a Swarm service is not scaled.
    pub scale_max: u64,
    /// Running commands in containers.
    pub exec: Exec,
    /// Times in which nothing is done: weekly (`days`, `from`, `to`, `timezone`) or once (`start`,
    /// `end`), for the containers whose name matches the glob `containers`.
    pub maintenance: Vec<Window>,
}

/// Which commands may be run in containers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Exec {
    /// Whether any command may be run.
    pub enabled: bool,
    /// The commands that may be run, each as its exact argument vector.
    pub allow: Vec<Vec<String>>,
    /// Longest run of a command.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
}

/// The end of the ladder, before a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LastRung {
    /// Leave the container as it is.
    #[default]
    Leave,
    /// Stop it.
    Stop,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            dry_run: false,
            cooldown: HOUR,
            budget_per_container: 3,
            budget_per_node: 10,
            breaker_failures: 3,
            breaker_open: HOUR,
            blast_recent: Duration::from_secs(300),
            stabilisation: Duration::from_secs(30),
            stabilisation_sustained: Duration::from_secs(75),
            health_patience: Duration::from_secs(300),
            standing_timeout: Duration::from_secs(10),
            restarts: 2,
            backoff: Duration::from_secs(30),
            backoff_cap: Duration::from_secs(300),
            last_rung: LastRung::Leave,
            identical_failures: 3,
            stop_timeout: 10,
            scale_max: 10,
            exec: Exec::default(),
            maintenance: Vec::new(),
        }
    }
}

impl Default for Exec {
    fn default() -> Self {
        Self { enabled: false, allow: Vec::new(), timeout: Duration::from_secs(10) }
    }
}

impl Config {
    /// Says in sentences which limits can never trip and which settings do nothing.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut warnings = self.idle_limits();
        warnings.extend(self.dead_ends());
        for (at, window) in self.maintenance.iter().enumerate() {
            warnings.extend(window.check().map(|why| format!("responder.maintenance[{at}] {why}")));
        }
        warnings
    }

    /// Limits that can never trip.
    fn idle_limits(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut warn = |condition: bool, text: String| {
            if condition {
                warnings.push(text);
            }
        };
        let (container, node) = (self.budget_per_container, self.budget_per_node);
        let possible = self.failures_remembered();
        warn(
            container > node,
            format!(
                "responder.budget_per_container = {container} can never trip: \
                 budget_per_node = {node} always trips first"
            ),
        );
        warn(
            self.breaker_failures == 0 || self.breaker_open.is_zero(),
            "responder.breaker_failures or breaker_open is zero: the breaker never opens"
                .to_owned(),
        );
        warn(
            u64::from(self.breaker_failures) > possible,
            format!(
                "responder.breaker_failures = {} can never trip: budget and cooldown leave room for \
                 at most {possible} failures in the time they are remembered",
                self.breaker_failures
            ),
        );
        warn(
            u64::from(self.identical_failures) > possible,
            format!(
                "responder.identical_failures = {} can never trip: budget and cooldown leave room \
                 for at most {possible} failures in the time they are remembered",
                self.identical_failures
            ),
        );
        warnings
    }

    /// How many attempts at one container fit into the time its failures are remembered. An attempt
    /// that did not run sets no cooldown, so the budget alone bounds the failures.
    fn failures_remembered(&self) -> u64 {
        let hours = retention(self).as_secs().div_ceil(HOUR.as_secs());
        hours * u64::from(self.budget_per_container.min(self.budget_per_node))
    }

    /// Settings that do nothing, or that keep the Responder from doing anything.
    fn dead_ends(&self) -> Vec<String> {
        let cases = [
            (
                self.budget_per_container == 0 || self.budget_per_node == 0,
                "responder.budget_per_container or budget_per_node is 0: no action is ever done",
            ),
            (
                self.stabilisation.is_zero(),
                "responder.stabilisation is 0: every action counts as successful at once",
            ),
            (
                self.standing_timeout.is_zero(),
                "responder.standing_timeout is 0: no Monitor can answer, so nothing is ever done",
            ),
            (self.restarts == 0, "responder.restarts is 0: a restart is never tried"),
            (
                self.exec.enabled && self.exec.allow.is_empty(),
                "responder.exec is enabled and allows no command: every command is refused",
            ),
            (
                !self.exec.enabled && !self.exec.allow.is_empty(),
                "responder.exec.allow lists commands and exec.enabled is false: all are refused",
            ),
            (
                self.restarts > 1 && self.backoff > self.backoff_cap,
                "responder.backoff is longer than backoff_cap: every wait is the cap",
            ),
            (
                self.health_patience < self.stabilisation,
                "responder.health_patience is shorter than stabilisation: a health check without \
                 a verdict fails at the first look",
            ),
        ];
        let met = cases.into_iter().filter(|(condition, _)| *condition);
        met.map(|(_, text)| text.to_owned()).collect()
    }

    /// How long after an action these symptoms must have been gone.
    #[must_use]
    pub fn window(&self, symptoms: &[crate::model::SymptomKind]) -> Duration {
        if symptoms.iter().any(|kind| ladder::is_sustained(*kind)) {
            return self.stabilisation.max(self.stabilisation_sustained);
        }
        self.stabilisation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_draw_no_warning() {
        assert_eq!(Config::default().check(), Vec::<String>::new());
    }

    #[test]
    fn a_breaker_that_the_budget_never_lets_trip_is_warned_about() {
        let config = Config { breaker_failures: 100, ..Config::default() };
        let warnings = config.check();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("at most 72 failures"), "{warnings:?}");
    }

    #[test]
    fn a_container_budget_above_the_node_budget_is_warned_about() {
        let config = Config { budget_per_container: 11, ..Config::default() };
        assert!(config.check()[0].contains("budget_per_node = 10 always trips first"));
    }

    #[test]
    fn exec_that_allows_nothing_is_warned_about() {
        let exec = Exec { enabled: true, ..Exec::default() };
        let config = Config { exec, ..Config::default() };
        assert!(config.check()[0].contains("every command is refused"));
    }

    #[test]
    fn a_sustained_symptom_is_verified_over_the_longer_window() {
        use crate::model::SymptomKind::{HighCpu, Unhealthy};
        let config = Config::default();
        assert_eq!(config.window(&[Unhealthy]), Duration::from_secs(30));
        assert_eq!(config.window(&[Unhealthy, HighCpu]), Duration::from_secs(75));
    }
}
