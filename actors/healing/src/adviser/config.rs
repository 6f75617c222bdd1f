//! Whether, when and at what price a model is asked.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// `[analyzer.model]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Of which diagnoses a model is asked.
    pub when: When,
    /// The mode of `[query.llm]` that says which models, in which order; empty is its default.
    pub mode: String,
    /// An answer that takes longer is not waited for. Nothing else waits for it in any case.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// It writes at most so many tokens.
    pub max_tokens: u32,
    /// Tokens of an hour, read and written; 0 is no bound.
    pub tokens_per_hour: u64,
    /// What may be asked of the Responder because a model proposes it, where no rule is sure. Every gate applies.
    pub actions: Vec<Permitted>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            when: When::Never,
            mode: String::new(),
            timeout: Duration::from_secs(30),
            max_tokens: 800,
            tokens_per_hour: 100_000,
            actions: Vec::new(),
        }
    }
}

/// Of which diagnoses a model is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// Of none.
    #[default]
    Never,
    /// Of those where no rule is sure.
    Unknown,
    /// Of each.
    Always,
}

/// An action that rules ask for, and that a model may therefore propose with effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permitted {
    /// Stop and start it.
    Restart,
}

impl Config {
    /// What makes the node refuse to start, each with its key, which begins with `analyzer.model`.
    #[must_use]
    pub fn refusals(&self) -> Vec<(&'static str, String)> {
        if self.when == When::Never {
            return Vec::new();
        }
        let zero = [
            ("analyzer.model.timeout", self.timeout.is_zero()),
            ("analyzer.model.max_tokens", self.max_tokens == 0),
        ];
        let zero = zero.into_iter().filter(|(_, zero)| *zero);
        zero.map(|(key, _)| (key, "must be more than 0".to_owned())).collect()
    }

    /// Says in sentences what can never happen.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let never = self.when == When::Never;
        if never && !self.actions.is_empty() {
            problems.push("model.actions has no effect, as model.when is never".to_owned());
        }
        let (least, bound) = (u64::from(self.max_tokens), self.tokens_per_hour);
        if !never && bound > 0 && bound <= least {
            problems.push(format!(
                "model.tokens_per_hour is {bound}, so that no question with an answer of up to {least} tokens \
                 is ever asked"
            ));
        }
        problems
    }
}
