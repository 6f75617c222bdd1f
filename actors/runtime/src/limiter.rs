//! A bound on restarts per second over the whole node, so that many failing actors cannot starve the
//! rest.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Hands out places in time, evenly spaced once a second's worth is used up.
#[derive(Debug)]
pub(crate) struct Limiter {
    spacing: Duration,
    next: Mutex<Option<Instant>>,
}

impl Limiter {
    pub(crate) fn per_second(count: u32) -> Self {
        Self { spacing: Duration::from_secs(1) / count.max(1), next: Mutex::new(None) }
    }

    /// How long to wait before the next restart. A second's worth may go at once.
    pub(crate) fn wait(&self, now: Instant) -> Duration {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let burst = Duration::from_secs(1);
        let earliest = next.map_or(now, |next| next.max(now));
        *next = Some(earliest + self.spacing);
        earliest.duration_since(now).saturating_sub(burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::instant;

    #[tokio::test]
    async fn a_storm_of_restarts_is_spread_out() {
        let limiter = Limiter::per_second(10);
        let now = instant();
        let waits: Vec<Duration> = (0..30).map(|_| limiter.wait(now)).collect();
        assert!(waits[..11].iter().all(Duration::is_zero), "{waits:?}");
        assert!(waits[29] >= Duration::from_millis(1800), "{waits:?}");
        assert_eq!(limiter.wait(now + Duration::from_secs(60)), Duration::ZERO);
    }
}
