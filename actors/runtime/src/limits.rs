//! What the runtime takes in before it pushes back, and how it retries.

use std::time::Duration;

/// Largest payload of a message, timer, effect, reply or row, in bytes. Half of what the store takes in
/// one row, so that the envelope around it, also that of a dead letter, always fits.
pub(crate) const MAX_PAYLOAD_BYTES: usize = perennial_store::MAX_VALUE_BYTES / 2;

/// Longest key of an actor or row, name of a timer, or message id, in bytes. They are parts of stored
/// keys: two of them, the names of a kind and a table, and some bytes between fit one key of the store.
pub(crate) const MAX_KEY_BYTES: usize = 255;

const _: () = assert!(2 * MAX_KEY_BYTES + 2 * 64 + 16 <= perennial_store::MAX_KEY_BYTES);

/// Bounds and retry behaviour, the same for all actors of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Messages of one mailbox held in memory; the rest waits in the store.
    pub window: usize,
    /// Bytes of one mailbox held in memory.
    pub window_bytes: usize,
    /// Messages waiting for one actor before senders are turned away or slowed down.
    pub quota: usize,
    /// Largest message, in bytes.
    pub message_bytes: usize,
    /// Messages handled in one slice, and so in one state copy.
    pub slice: usize,
    /// Bytes waiting to be committed before actors pause.
    pub commit_backlog_bytes: usize,
    /// Attempts at a message before it goes to the dead letters.
    pub attempts: u32,
    /// First wait after a failed turn; doubles, with full jitter.
    pub retry_base: Duration,
    /// Longest wait after a failed turn.
    pub retry_cap: Duration,
    /// An actor without messages for this long leaves memory.
    pub idle: Duration,
    /// How long a message id is remembered, so that sending it again changes nothing.
    pub receipts: Duration,
    /// Effects of one type performed at a time.
    pub effect_workers: usize,
    /// Restarts per second over the whole node; more wait.
    pub restarts_per_second: u32,
    /// After an unclean end: how long actors run carefully, doubled by each further unclean end.
    pub careful: Duration,
    /// How long effects under way may take to end at shutdown; what remains is reconciled later.
    pub effect_grace: Duration,
}

impl Limits {
    /// Messages and bytes of one mailbox above which nothing more is told.
    pub(crate) fn told(&self) -> (usize, usize) {
        (self.window.min(self.quota), self.window_bytes)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            window: 1024,
            window_bytes: 1024 * 1024,
            quota: 10_000,
            message_bytes: 1024 * 1024,
            slice: 64,
            commit_backlog_bytes: 32 * 1024 * 1024,
            attempts: 5,
            retry_base: Duration::from_millis(50),
            retry_cap: Duration::from_secs(5),
            idle: Duration::from_secs(60),
            receipts: Duration::from_secs(24 * 3600),
            effect_workers: 16,
            restarts_per_second: 100,
            careful: Duration::from_secs(10),
            effect_grace: Duration::from_millis(500),
        }
    }
}
