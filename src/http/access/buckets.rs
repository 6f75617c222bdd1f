//! How often each API key may ask: a token bucket for each, in memory. A restart fills them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use perennial_query::keys::MOST;
use tokio::time::Instant;

/// Buckets of the keys that have asked lately.
#[derive(Debug)]
pub(super) struct Buckets {
    /// Tokens that a bucket holds, and gains in a minute.
    per_minute: f64,
    held: Mutex<BTreeMap<u64, Bucket>>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    /// When so many were in it.
    at: Instant,
}

impl Buckets {
    pub(super) fn new(per_minute: u32) -> Self {
        Self { per_minute: f64::from(per_minute), held: Mutex::default() }
    }

    /// Takes a token for a request of `key`.
    ///
    /// # Errors
    /// There is none; the time until there is.
    pub(super) fn take(&self, key: u64, now: Instant) -> Result<(), Duration> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if !held.contains_key(&key) && held.len() as u64 >= MOST {
            self.make_room(&mut held, now);
        }
        let bucket = held.entry(key).or_insert(Bucket { tokens: self.per_minute, at: now });
        *bucket = Bucket { tokens: self.tokens(*bucket, now), at: now };
        if bucket.tokens < 1.0 {
            let wanting = (1.0 - bucket.tokens) * 60.0 / self.per_minute;
            return Err(Duration::from_secs_f64(wanting));
        }
        bucket.tokens -= 1.0;
        Ok(())
    }

    fn tokens(&self, bucket: Bucket, now: Instant) -> f64 {
        let minutes = now.saturating_duration_since(bucket.at).as_secs_f64() / 60.0;
        (bucket.tokens + minutes * self.per_minute).min(self.per_minute)
    }

    /// Forgets buckets that are full again, which are as good as new, or else the fullest.
    fn make_room(&self, held: &mut BTreeMap<u64, Bucket>, now: Instant) {
        held.retain(|_, bucket| self.tokens(*bucket, now) < self.per_minute);
        if held.len() as u64 >= MOST {
            let tokens = |(_, bucket): &(&u64, &Bucket)| self.tokens(**bucket, now);
            let fullest = held.iter().max_by(|a, b| tokens(a).total_cmp(&tokens(b)));
            let fullest = fullest.map(|(key, _)| *key);
            fullest.and_then(|key| held.remove(&key));
        }
    }
}

#[cfg(test)]
mod tests {
    use perennial_runtime::instant;

    use super::*;

    #[test]
    fn a_key_may_ask_as_often_as_it_may_and_then_waits_for_the_next_token() {
        let (buckets, begin) = (Buckets::new(60), instant());
        for _ in 0..60 {
            assert_eq!(buckets.take(1, begin), Ok(()));
        }
        assert_eq!(buckets.take(1, begin), Err(Duration::from_secs(1)));
        assert_eq!(buckets.take(2, begin), Ok(()), "another key has its own");
        let half = begin + Duration::from_millis(500);
        assert_eq!(buckets.take(1, half), Err(Duration::from_millis(500)));
        assert_eq!(buckets.take(1, begin + Duration::from_secs(1)), Ok(()));
        assert!(buckets.take(1, begin + Duration::from_secs(1)).is_err());
    }

    #[test]
    fn a_key_that_was_quiet_for_long_has_saved_up_no_more_than_a_minute_s_worth() {
        let (buckets, begin) = (Buckets::new(2), instant());
        assert_eq!(buckets.take(1, begin), Ok(()));
        let later = begin + Duration::from_secs(3600);
        assert_eq!((buckets.take(1, later), buckets.take(1, later)), (Ok(()), Ok(())));
        assert!(buckets.take(1, later).is_err());
    }

    #[test]
    fn no_more_buckets_are_held_than_there_may_be_keys_and_empty_ones_stay() {
        let (buckets, begin) = (Buckets::new(2), instant());
        assert_eq!((buckets.take(0, begin), buckets.take(0, begin)), (Ok(()), Ok(())));
        for key in 1..MOST + 10 {
            assert_eq!(buckets.take(key, begin), Ok(()));
        }
        assert_eq!(buckets.held.lock().unwrap().len() as u64, MOST);
        assert!(buckets.take(0, begin).is_err(), "the empty one was not forgotten");
    }
}
