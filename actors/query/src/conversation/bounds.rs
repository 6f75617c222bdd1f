//! What bounds conversations.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Conversations that one API key may have at a time, unless the configuration says otherwise.
pub const PER_KEY: usize = 200;
/// Turns that are kept of a conversation.
pub const TURNS_KEPT: usize = 20;
/// What they may have in bytes, all together.
pub const BYTES: u64 = 256 * 1024;
/// Questions of a conversation that wait for those before them.
pub const QUEUE: usize = 8;
/// A conversation in which nothing is said for so long is forgotten.
pub const TTL: Duration = Duration::from_secs(30 * 24 * 3600);
/// One in which nothing was ever asked is forgotten after this time, if not before: whoever begins one again, because
/// they were not told that it was begun, leaves it behind.
pub const EMPTY_TTL: Duration = Duration::from_secs(24 * 3600);
/// Turns that a model is told of.
pub const MODEL_TURNS: usize = 4;
/// What it is told of them in bytes, all together.
pub const MODEL_BYTES: usize = 8 * 1024;

/// The most that may be configured. What waits is in the state of an actor, which is small.
const MOST_QUEUED: u64 = 100;
/// The same of turns: they are looked through for the names of questions.
const MOST_TURNS: u64 = 1_000;
/// The same of what a model is told: it is stored with every query.
const MOST_MODEL_BYTES: u64 = 64 * 1024;

/// `[query.conversations]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Conversations that one API key may have at a time; the operator is bounded like a key.
    pub per_key: usize,
    /// Turns that are kept of a conversation.
    pub turns: usize,
    /// What they may have in bytes, all together; the last one is kept whatever it has.
    pub bytes: u64,
    /// Questions of one that wait for those before them; more are turned away.
    pub queue: usize,
    /// One in which nothing is said for so long is forgotten.
    #[serde(with = "humantime_serde")]
    pub ttl: Duration,
    /// Turns before a question that a model is told of which plans or words its answer.
    pub model_turns: usize,
    /// What it is told of them in bytes, all together.
    pub model_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            per_key: PER_KEY,
            turns: TURNS_KEPT,
            bytes: BYTES,
            queue: QUEUE,
            ttl: TTL,
            model_turns: MODEL_TURNS,
            model_bytes: MODEL_BYTES,
        }
    }
}

impl Config {
    /// What is wrong with it, each sentence beginning with the key it is about.
    pub(crate) fn problems(&self) -> Vec<String> {
        let counts = [
            ("per_key", self.per_key as u64, u64::MAX),
            ("turns", self.turns as u64, MOST_TURNS),
            ("bytes", self.bytes, u64::MAX),
            ("queue", self.queue as u64, MOST_QUEUED),
            ("ttl", self.ttl.as_secs(), u64::MAX),
        ];
        let mut problems = Vec::new();
        for (option, count, most) in counts {
            if count == 0 {
                problems.push(format!("{option} must be more than 0"));
            } else if count > most {
                problems.push(format!("{option} must be from 1 to {most}"));
            }
        }
        let told = [
            ("model_turns", self.model_turns as u64, MOST_TURNS),
            ("model_bytes", self.model_bytes as u64, MOST_MODEL_BYTES),
        ];
        let over = told.into_iter().filter(|(_, count, most)| count > most);
        problems.extend(over.map(|(option, _, most)| format!("{option} must be from 0 to {most}")));
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_that_bound_nothing_or_let_nothing_in_are_refused_all_at_once() {
        assert_eq!(Config::default().problems(), [] as [&str; 0]);
        let wrong = Config {
            per_key: 0,
            turns: 0,
            bytes: 0,
            queue: 101,
            ttl: Duration::from_millis(999),
            model_turns: 0,
            model_bytes: 65_537,
        };
        let told = [
            "per_key must be more than 0",
            "turns must be more than 0",
            "bytes must be more than 0",
            "queue must be from 1 to 100",
            "ttl must be more than 0",
            "model_bytes must be from 0 to 65536",
        ];
        assert_eq!(wrong.problems(), told);
    }
}
