//! Spares a channel that is down, so that it is asked by one notification at a time. Pure.

use std::time::Duration;

use perennial_runtime::Timestamp;

/// Failures in a row that open it.
const THRESHOLD: u32 = 3;
/// How long it stays open first; doubles with every further failure.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest it stays open: what a channel that is back waits for at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Counts the failures of one channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Breaker {
    failures: u32,
    paused_until: Timestamp,
}

impl Breaker {
    /// Lets an attempt through, or says how long to wait. Whoever is let through after a pause is the
    /// only one until it has succeeded or another pause is over, so that nothing hangs on an attempt
    /// that is abandoned.
    pub(super) fn enter(&mut self, now: Timestamp) -> Result<(), Duration> {
        if self.failures < THRESHOLD {
            return Ok(());
        }
        if now < self.paused_until {
            return Err(self.paused_until.since(now));
        }
        self.paused_until = now + self.pause();
        Ok(())
    }

    /// The channel answered: it is up, whatever it said of the notification.
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// The channel did not answer, or said that it is out of order.
    pub(super) fn failed(&mut self, now: Timestamp) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= THRESHOLD {
            self.paused_until = now + self.pause();
        }
    }

    fn pause(&self) -> Duration {
        let doublings = self.failures.saturating_sub(THRESHOLD).min(8);
        (FIRST_PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(n: u64) -> Timestamp {
        Timestamp::from_micros(n * 1_000_000)
    }

    #[test]
    fn three_failures_in_a_row_pause_the_channel_and_one_success_ends_that() {
        let mut breaker = Breaker::default();
        for _ in 0..3 {
            assert_eq!(breaker.enter(second(0)), Ok(()));
            breaker.failed(second(0));
        }
        assert_eq!(breaker.enter(second(1)), Err(Duration::from_secs(4)));
        assert_eq!(breaker.enter(second(5)), Ok(()));
        breaker.succeeded();
        assert_eq!(breaker.enter(second(5)), Ok(()));
        assert_eq!(breaker.enter(second(5)), Ok(()));
    }

    #[test]
    fn after_a_pause_one_attempt_at_a_time_is_let_through() {
        let mut breaker = Breaker { failures: 3, paused_until: second(5) };
        assert_eq!(breaker.enter(second(5)), Ok(()));
        assert_eq!(breaker.enter(second(6)), Err(Duration::from_secs(4)));
        assert_eq!(breaker.enter(second(10)), Ok(()), "the attempt before was abandoned");
    }

    #[test]
    fn a_pause_never_exceeds_half_a_minute() {
        let mut breaker = Breaker::default();
        for _ in 0..100 {
            breaker.failed(second(0));
        }
        assert_eq!(breaker.enter(second(0)), Err(LONGEST_PAUSE));
    }
}
