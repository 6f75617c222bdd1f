//! How soon a server may be asked again: so many requests a second, and a second's worth at once. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// The pace of one server (the generic cell rate algorithm, ITU-T I.371).
#[derive(Clone, Debug)]
pub(super) struct Pace {
    interval: Duration,
    /// How far ahead of the pace requests may be.
    burst: Duration,
    /// When the pace has caught up with all requests so far.
    caught_up: Option<Instant>,
}

impl Pace {
    pub(super) fn new(per_second: f64) -> Self {
        let interval = Duration::from_secs_f64(1.0 / per_second);
        Self { interval, burst: Duration::from_secs(1).max(interval), caught_up: None }
    }

    /// Takes the next place, unless it is after `until`: how long to wait for it.
    ///
    /// # Errors
    /// How long it would have been.
    pub(super) fn take(&mut self, now: Instant, until: Instant) -> Result<Duration, Duration> {
        let caught_up = self.caught_up.map_or(now, |at| at.max(now)) + self.interval;
        let ahead = caught_up.saturating_duration_since(now);
        let wait = ahead.saturating_sub(self.burst);
        if now + wait >= until {
            return Err(wait);
        }
        self.caught_up = Some(caught_up);
        Ok(wait)
    }
}

#[cfg(test)]
mod tests {
    use perennial_runtime::instant;

    use super::*;

    #[test]
    fn a_seconds_worth_passes_at_once_and_the_rest_at_the_pace() {
        let now = instant();
        let until = now + Duration::from_secs(60);
        let mut pace = Pace::new(4.0);
        let waits: Vec<u128> = (0..7).map(|_| pace.take(now, until).unwrap().as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 250, 500, 750]);
        let later = now + Duration::from_secs(10);
        assert_eq!(pace.take(later, until), Ok(Duration::ZERO));
    }

    #[test]
    fn a_place_that_comes_too_late_is_not_taken() {
        let now = instant();
        let mut pace = Pace::new(0.5);
        let until = now + Duration::from_secs(1);
        assert_eq!(pace.take(now, until), Ok(Duration::ZERO));
        assert_eq!(pace.take(now, until), Err(Duration::from_secs(2)));
        let until = now + Duration::from_secs(3);
        assert_eq!(pace.take(now, until), Ok(Duration::from_secs(2)));
    }
}
