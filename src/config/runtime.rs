//! `[runtime]`: what the runtime takes in before it pushes back, and how it retries.

use std::time::Duration;

use perennial_runtime::Limits;
use serde::{Deserialize, Serialize};

/// `[runtime]`; the defaults are the runtime's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Runtime {
    /// Messages of one mailbox held in memory; the rest waits on the disk.
    pub window: usize,
    /// Bytes of one mailbox held in memory.
    pub window_bytes: usize,
    /// Messages waiting for one actor before senders are turned away or slowed down.
    pub quota: usize,
    /// Largest message, in bytes.
    pub message_bytes: usize,
    /// Messages an actor handles before others get their turn.
    pub slice: usize,
    /// Bytes waiting to be committed before actors pause.
    pub commit_backlog_bytes: usize,
    /// Attempts at a message before it goes to the dead letters.
    pub attempts: u32,
    /// First wait after a failed turn; doubles, with jitter.
    #[serde(with = "humantime_serde")]
    pub retry_base: Duration,
    /// Longest wait after a failed turn.
    #[serde(with = "humantime_serde")]
    pub retry_cap: Duration,
    /// An actor without messages for this long leaves memory.
    #[serde(with = "humantime_serde")]
    pub idle: Duration,
    /// How long a message is remembered, so that sending it again changes nothing.
    #[serde(with = "humantime_serde")]
    pub receipts: Duration,
    /// Effects of one type performed at a time.
    pub effect_workers: usize,
    /// Restarts per second over the whole node; more wait.
    pub restarts_per_second: u32,
    /// After a crash: how long actors run one message at a time, doubled by each further crash.
    #[serde(with = "humantime_serde")]
    pub careful: Duration,
    /// How long effects under way may take to end at shutdown; the rest is reconciled at the next
    /// start.
    #[serde(with = "humantime_serde")]
    pub effect_grace: Duration,
}

impl Default for Runtime {
    fn default() -> Self {
        let Limits {
            window,
            window_bytes,
            quota,
            message_bytes,
            slice,
            commit_backlog_bytes,
            attempts,
            retry_base,
            retry_cap,
            idle,
            receipts,
            effect_workers,
            restarts_per_second,
            careful,
            effect_grace,
        } = Limits::default();
        Self {
            window,
            window_bytes,
            quota,
            message_bytes,
            slice,
            commit_backlog_bytes,
            attempts,
            retry_base,
            retry_cap,
            idle,
            receipts,
            effect_workers,
            restarts_per_second,
            careful,
            effect_grace,
        }
    }
}

impl From<Runtime> for Limits {
    fn from(config: Runtime) -> Self {
        Self {
            window: config.window,
            window_bytes: config.window_bytes,
            quota: config.quota,
            message_bytes: config.message_bytes,
            slice: config.slice,
            commit_backlog_bytes: config.commit_backlog_bytes,
            attempts: config.attempts,
            retry_base: config.retry_base,
            retry_cap: config.retry_cap,
            idle: config.idle,
            receipts: config.receipts,
            effect_workers: config.effect_workers,
            restarts_per_second: config.restarts_per_second,
            careful: config.careful,
            effect_grace: config.effect_grace,
        }
    }
}

impl Runtime {
    /// The keys that make no sense, and why.
    pub(super) fn invalid(&self) -> Vec<super::Invalid> {
        let counts = [
            ("runtime.window", self.window as u64),
            ("runtime.window_bytes", self.window_bytes as u64),
            ("runtime.quota", self.quota as u64),
            ("runtime.message_bytes", self.message_bytes as u64),
            ("runtime.slice", self.slice as u64),
            ("runtime.commit_backlog_bytes", self.commit_backlog_bytes as u64),
            ("runtime.attempts", u64::from(self.attempts)),
            ("runtime.effect_workers", self.effect_workers as u64),
            ("runtime.restarts_per_second", u64::from(self.restarts_per_second)),
        ];
        let mut invalid: Vec<_> =
            counts.into_iter().filter_map(|(key, value)| super::zero(key, value)).collect();
        if self.retry_cap < self.retry_base {
            let why = "must not be shorter than runtime.retry_base".to_owned();
            invalid.push(("runtime.retry_cap", why));
        }
        if self.effect_grace > Duration::from_millis(1500) {
            let why = "must be 1.5s or less, as the node stops within two seconds".to_owned();
            invalid.push(("runtime.effect_grace", why));
        }
        invalid
    }
}
