//! Spares what calls rest on while it is out of order. Pure.

use std::time::Duration;

use perennial_runtime::Timestamp;
use serde::{Deserialize, Serialize};

/// Failures in a row that open it.
pub const THRESHOLD: u32 = 5;
/// How long it stays open.
pub const OPEN: Duration = Duration::from_secs(60);
/// Successes of single probes that close it.
pub const PROBES: u32 = 2;

/// Counts the failures of one thing that calls rest on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    /// Everything passes; failures in a row.
    Closed(u32),
    /// Nothing passes before this.
    Open(Timestamp),
    /// One probe at a time passes.
    HalfOpen { succeeded: u32, probing: bool },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed(0)
    }
}

impl Breaker {
    /// Lets a call through, or says how long to wait.
    ///
    /// # Errors
    /// The wait.
    pub fn enter(&mut self, now: Timestamp) -> Result<(), Duration> {
        match self.state {
            State::Closed(_) => Ok(()),
            State::Open(until) if now < until => Err(until.since(now)),
            State::Open(_) => {
                self.state = State::HalfOpen { succeeded: 0, probing: true };
                Ok(())
            }
            State::HalfOpen { probing: true, .. } => Err(Duration::from_secs(1)),
            State::HalfOpen { succeeded, probing: false } => {
                self.state = State::HalfOpen { succeeded, probing: true };
                Ok(())
            }
        }
    }

    /// It has answered, whatever it said.
    pub fn succeeded(&mut self) {
        self.state = match self.state {
            State::HalfOpen { succeeded, .. } if succeeded + 1 < PROBES => {
                State::HalfOpen { succeeded: succeeded + 1, probing: false }
            }
            State::HalfOpen { .. } | State::Closed(_) => State::Closed(0),
            // A call from before it opened.
            State::Open(until) => State::Open(until),
        };
    }

    /// It did not answer.
    pub fn failed(&mut self, now: Timestamp) {
        self.state = match self.state {
            State::Closed(failures) if failures + 1 < THRESHOLD => State::Closed(failures + 1),
            State::Closed(_) | State::HalfOpen { .. } => State::Open(now + OPEN),
            State::Open(until) => State::Open(until),
        };
    }

    /// A call that was let through has ended without telling anything about what it rests on.
    pub fn undecided(&mut self) {
        if let State::HalfOpen { succeeded, .. } = self.state {
            self.state = State::HalfOpen { succeeded, probing: false };
        }
    }

    /// How much would be lost with it: an order.
    #[must_use]
    pub fn weight(&self) -> (u8, u64) {
        match self.state {
            State::Closed(failures) => (0, u64::from(failures)),
            State::Open(until) => (1, until.as_micros()),
            State::HalfOpen { succeeded, .. } => (2, u64::from(succeeded)),
        }
    }

    /// The name of its state in documents.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self.state {
            State::Closed(_) => "closed",
            State::Open(_) => "open",
            State::HalfOpen { .. } => "half_open",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(n: u64) -> Timestamp {
        Timestamp::from_micros(n * 1_000_000)
    }

    fn open() -> Breaker {
        let mut breaker = Breaker::default();
        (0..THRESHOLD).for_each(|_| breaker.failed(second(0)));
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_for_a_minute() {
        let mut breaker = Breaker::default();
        (1..THRESHOLD).for_each(|_| breaker.failed(second(0)));
        breaker.succeeded();
        (1..THRESHOLD).for_each(|_| breaker.failed(second(0)));
        assert_eq!(breaker.enter(second(0)), Ok(()), "a success came between");
        breaker.failed(second(0));
        assert_eq!(breaker.enter(second(20)), Err(Duration::from_secs(40)));
    }

    #[test]
    fn one_probe_at_a_time_passes_and_two_successes_close_it() {
        let mut breaker = open();
        assert_eq!(breaker.enter(second(60)), Ok(()));
        assert!(breaker.enter(second(60)).is_err());
        breaker.succeeded();
        assert_eq!(breaker.enter(second(61)), Ok(()));
        assert!(breaker.enter(second(61)).is_err());
        breaker.succeeded();
        assert_eq!(breaker, Breaker::default());
    }

    #[test]
    fn a_probe_that_fails_opens_it_again_and_one_that_tells_nothing_makes_room() {
        let mut breaker = open();
        assert_eq!(breaker.enter(second(60)), Ok(()));
        breaker.undecided();
        assert_eq!(breaker.enter(second(61)), Ok(()));
        breaker.failed(second(61));
        assert_eq!(breaker.enter(second(62)), Err(Duration::from_secs(59)));
    }
}
