//! The Analyzer's limits.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::adviser;
use crate::analyzer::rules::{Answer, RULES};

/// Configuration of the Analyzer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// A remedy is asked for only when the diagnosis is at least this sure, from 0 to 1.
    pub confidence_threshold: f64,
    /// Earlier diagnoses of a container that a diagnosis looks at, at most.
    pub history_size: usize,
    /// Earlier diagnoses older than this are forgotten.
    #[serde(with = "humantime_serde")]
    pub history_ttl: Duration,
    /// Longest wait for evidence; after it the diagnosis is made without.
    #[serde(with = "humantime_serde")]
    pub evidence_wait: Duration,
    /// Shortest time between two diagnoses of one incident.
    #[serde(with = "humantime_serde")]
    pub rediagnose_after: Duration,
    /// An incident without an action ends when its symptoms have been gone for this long.
    #[serde(with = "humantime_serde")]
    pub stabilisation: Duration,
    /// A container that falls ill again this soon after an incident gets the same incident back.
    #[serde(with = "humantime_serde")]
    pub reopen_window: Duration,
    /// A request for an action is not carried out later than this.
    #[serde(with = "humantime_serde")]
    pub request_deadline: Duration,
    /// First wait before asking again for an action that a gate held without saying until when;
    /// doubles each time.
    #[serde(with = "humantime_serde")]
    pub ask_again_after: Duration,
    /// Times an incident asks again after a gate held its action.
    pub ask_again_limit: u32,
    /// Whether, when and at what price a model is asked.
    pub model: adviser::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            confidence_threshold: 0.7,
            history_size: 10,
            history_ttl: Duration::from_secs(3600),
            evidence_wait: Duration::from_secs(3),
            rediagnose_after: Duration::from_secs(10),
            stabilisation: Duration::from_secs(30),
            reopen_window: Duration::from_secs(15 * 60),
            request_deadline: Duration::from_secs(60),
            ask_again_after: Duration::from_secs(5 * 60),
            ask_again_limit: 5,
            model: adviser::Config::default(),
        }
    }
}

impl Config {
    /// Says in sentences what in these values cannot work or can never trip.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let threshold = self.confidence_threshold;
        if !(0.0..=1.0).contains(&threshold) {
            problems.push(format!("confidence_threshold is {threshold} and must be from 0 to 1"));
        }
        let remedies = RULES.iter().filter(|rule| matches!(rule.answer, Answer::Restart));
        let unsure: Vec<&str> =
            remedies.filter(|rule| rule.confidence < threshold).map(|rule| rule.name).collect();
        if !unsure.is_empty() {
            problems.push(format!(
                "confidence_threshold is {threshold}, so these rules never ask for an action: {}",
                unsure.join(", ")
            ));
        }
        if self.history_size == 0 || self.history_ttl.is_zero() {
            problems.push("without history no recurrence is ever noticed".to_owned());
        }
        if self.request_deadline.is_zero() {
            problems.push("request_deadline is 0, so every request expires".to_owned());
        }
        if self.evidence_wait.is_zero() {
            problems.push("evidence_wait is 0, so no diagnosis ever sees evidence".to_owned());
        }
        problems.extend(self.model.check());
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_have_no_problems() {
        assert_eq!(Config::default().check(), Vec::<String>::new());
    }

    #[test]
    fn a_threshold_no_rule_reaches_is_reported_with_the_rules() {
        let config = Config { confidence_threshold: 0.72, ..Config::default() };
        let problems = config.check();
        assert!(problems.iter().any(|p| p.ends_with("unhealthy")), "{problems:?}");
        let wild = Config { confidence_threshold: f64::NAN, ..Config::default() };
        assert!(wild.check().iter().any(|p| p.contains("from 0 to 1")));
    }
}
