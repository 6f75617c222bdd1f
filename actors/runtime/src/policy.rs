//! What a supervisor does about an ended child: pure, so that every case can be read and tested.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use tokio::time::Instant;

/// Which children are restarted when one of them ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// That one.
    #[default]
    OneForOne,
    /// All of them.
    OneForAll,
    /// That one and those started after it.
    RestForOne,
}

impl Strategy {
    /// The name used in the tree.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OneForOne => "one_for_one",
            Self::OneForAll => "one_for_all",
            Self::RestForOne => "rest_for_one",
        }
    }

    /// The children, by order of start, that are stopped and started when `failed` of `count` ends.
    pub(crate) fn affected(self, failed: usize, count: usize) -> Range<usize> {
        match self {
            Self::OneForOne => failed..failed + 1,
            Self::OneForAll => 0..count,
            Self::RestForOne => failed..count,
        }
    }
}

/// Whether a child that ended is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restart {
    /// However it ended.
    #[default]
    Permanent,
    /// Only after a failure.
    Transient,
    /// Never.
    Temporary,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// By itself, or because it was told to.
    Finished,
    /// With an error or a panic, or it could not be started.
    Failed,
    /// With a failure that its supervisor shall not handle.
    Escalated,
}

/// How many restarts are tolerated, and how they are spaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intensity {
    /// Restarts within the period; one more escalates.
    pub restarts: u32,
    /// The period.
    pub within: Duration,
    /// First wait before a restart; doubles with each, with full jitter.
    pub backoff_base: Duration,
    /// Longest wait before a restart.
    pub backoff_cap: Duration,
    /// After this long without a failure, the waits begin anew.
    pub stable: Duration,
}

impl Default for Intensity {
    /// Five in thirty seconds: OTP's one in five is meant for code without back-off.
    fn default() -> Self {
        Self {
            restarts: 5,
            within: Duration::from_secs(30),
            backoff_base: Duration::from_millis(100),
            backoff_cap: Duration::from_secs(10),
            stable: Duration::from_secs(60),
        }
    }
}

/// A child's failures so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    recent: VecDeque<Instant>,
    in_a_row: u32,
    last: Option<Instant>,
}

/// What is done about an ended child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Start it again after this.
    Restart(Duration),
    /// Leave it.
    Leave,
    /// Fail, so that the parent decides.
    Escalate,
}

/// Decides about a child that ended `now`. `jitter` is any number.
pub(crate) fn verdict(
    (restart, exit): (Restart, Exit),
    intensity: &Intensity,
    history: &mut History,
    now: Instant,
    jitter: u64,
) -> Verdict {
    match (restart, exit) {
        (Restart::Temporary, Exit::Finished | Exit::Failed)
        | (Restart::Transient, Exit::Finished) => Verdict::Leave,
        (Restart::Permanent | Restart::Transient | Restart::Temporary, Exit::Escalated) => {
            Verdict::Escalate
        }
        (Restart::Permanent, Exit::Finished | Exit::Failed)
        | (Restart::Transient, Exit::Failed) => again(intensity, history, now, jitter),
    }
}

fn again(intensity: &Intensity, history: &mut History, now: Instant, jitter: u64) -> Verdict {
    if history.last.is_some_and(|last| now.duration_since(last) >= intensity.stable) {
        *history = History::default();
    }
    history.last = Some(now);
    history.recent.push_back(now);
    while history.recent.front().is_some_and(|at| now.duration_since(*at) > intensity.within) {
        history.recent.pop_front();
    }
    if history.recent.len() > intensity.restarts as usize {
        return Verdict::Escalate;
    }
    history.in_a_row += 1;
    let attempt = history.in_a_row;
    Verdict::Restart(backoff(intensity.backoff_base, intensity.backoff_cap, attempt, jitter))
}

/// Exponential back-off with full jitter: between nothing and `base` doubled with each attempt after
/// the first, at most `cap`. (Brooker, "Exponential Backoff And Jitter", 2015.)
pub(crate) fn backoff(base: Duration, cap: Duration, attempt: u32, jitter: u64) -> Duration {
    let doubled =
        base.saturating_mul(1u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX));
    let longest = doubled.min(cap);
    let micros = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(if micros == u64::MAX { micros } else { jitter % (micros + 1) })
}

#[cfg(test)]
mod tests;
