//! Wall-clock time as the store keeps it.

use std::fmt;
use std::ops::Add;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Microseconds since the Unix epoch, by the wall clock.
///
/// Prints as that number; formatting for people belongs to the edges. Arithmetic saturates: a
/// deadline too far away to be represented is "never", not a panic.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The start of 1970, and the default.
    pub const EPOCH: Timestamp = Timestamp(0);
    /// Later than every other timestamp.
    pub const MAX: Timestamp = Timestamp(u64::MAX);

    /// Makes a timestamp from microseconds since the Unix epoch.
    pub const fn from_micros(micros: u64) -> Timestamp {
        Timestamp(micros)
    }

    /// Returns the microseconds since the Unix epoch.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Adds `duration`, or returns `None` where the sum cannot be represented.
    pub fn checked_add(self, duration: Duration) -> Option<Timestamp> {
        let micros = u64::try_from(duration.as_micros()).ok()?;
        self.0.checked_add(micros).map(Timestamp)
    }

    /// Returns the time from `earlier` to `self`; zero if `earlier` is the later one.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// Encodes the timestamp so that the order of the bytes is the order of time.
    pub const fn to_key(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// Decodes what [`Timestamp::to_key`] encoded.
    pub const fn from_key(bytes: [u8; 8]) -> Timestamp {
        Timestamp(u64::from_be_bytes(bytes))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Timestamp;

    fn add(self, duration: Duration) -> Timestamp {
        self.checked_add(duration).unwrap_or(Timestamp::MAX)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_saturates_at_the_end_of_time() {
        let late = Timestamp::from_micros(u64::MAX - 1);
        assert_eq!(late + Duration::from_micros(1), Timestamp::MAX);
        assert_eq!(late + Duration::MAX, Timestamp::MAX);
        assert_eq!(late.checked_add(Duration::from_micros(2)), None);
    }

    #[test]
    fn time_since_a_later_moment_is_zero() {
        let (early, late) = (Timestamp::from_micros(5), Timestamp::from_micros(9));
        assert_eq!(late.since(early), Duration::from_micros(4));
        assert_eq!(early.since(late), Duration::ZERO);
    }

    #[test]
    fn key_bytes_sort_like_time() {
        let (early, late) = (Timestamp::from_micros(255), Timestamp::from_micros(256));
        assert!(early.to_key() < late.to_key());
        assert_eq!(Timestamp::from_key(late.to_key()), late);
        assert_eq!(late.to_string(), "256");
    }
}
