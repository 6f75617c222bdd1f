//! Spares what is down: after failures in a row it is asked once in a while, by one at a time. Pure.

use std::time::Duration;

use perennial_runtime::Timestamp;
use serde::{Deserialize, Serialize};

/// When it opens, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pauses {
    /// Failures in a row that open it.
    pub(crate) threshold: u32,
    /// How long it stays open first; doubles with every further failure.
    pub(crate) first: Duration,
    /// The longest it stays open: what somebody who could be served again waits for at most.
    pub(crate) longest: Duration,
}

/// Counts the failures of one peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Breaker {
    failures: u32,
    paused_until: Timestamp,
}

impl Breaker {
    /// Lets an attempt through, or says how long to wait. Whoever is let through after a pause is the
    /// only one until it has succeeded or another pause is over, so that nothing hangs on an attempt
    /// that is abandoned.
    pub(crate) fn enter(&mut self, now: Timestamp, pauses: &Pauses) -> Result<(), Duration> {
        if self.failures < pauses.threshold {
            return Ok(());
        }
        if now < self.paused_until {
            return Err(self.paused_until.since(now));
        }
        self.paused_until = now + self.pause(pauses);
        Ok(())
    }

    /// It answered: it is up, whatever it said.
    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// It did not answer, or said that it is out of order.
    pub(crate) fn failed(&mut self, now: Timestamp, pauses: &Pauses) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= pauses.threshold {
            self.paused_until = now + self.pause(pauses);
        }
    }

    fn pause(&self, pauses: &Pauses) -> Duration {
        let doublings = self.failures.saturating_sub(pauses.threshold).min(8);
        (pauses.first * 2_u32.pow(doublings)).min(pauses.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSES: Pauses =
        Pauses { threshold: 3, first: Duration::from_secs(5), longest: Duration::from_secs(30) };

    fn second(n: u64) -> Timestamp {
        Timestamp::from_micros(n * 1_000_000)
    }

    #[test]
    fn three_failures_in_a_row_pause_the_channel_and_one_success_ends_that() {
        let mut breaker = Breaker::default();
        for _ in 0..3 {
            assert_eq!(breaker.enter(second(0), &PAUSES), Ok(()));
            breaker.failed(second(0), &PAUSES);
        }
        assert_eq!(breaker.enter(second(1), &PAUSES), Err(Duration::from_secs(4)));
        assert_eq!(breaker.enter(second(5), &PAUSES), Ok(()));
        breaker.succeeded();
        assert_eq!(breaker.enter(second(5), &PAUSES), Ok(()));
        assert_eq!(breaker.enter(second(5), &PAUSES), Ok(()));
    }

    #[test]
    fn after_a_pause_one_attempt_at_a_time_is_let_through() {
        let mut breaker = Breaker { failures: 3, paused_until: second(5) };
        assert_eq!(breaker.enter(second(5), &PAUSES), Ok(()));
        assert_eq!(breaker.enter(second(6), &PAUSES), Err(Duration::from_secs(4)));
        assert_eq!(breaker.enter(second(10), &PAUSES), Ok(()), "the attempt before was abandoned");
    }

    #[test]
    fn a_pause_never_exceeds_half_a_minute() {
        let mut breaker = Breaker::default();
        for _ in 0..100 {
            breaker.failed(second(0), &PAUSES);
        }
        assert_eq!(breaker.enter(second(0), &PAUSES), Err(PAUSES.longest));
    }
}
