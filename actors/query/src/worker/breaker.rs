//! Spares what calls rest on while it is out of order. Pure.

use std::time::Duration;

use perennial_runtime::Timestamp;
use serde::{Deserialize, Serialize};

use super::message::CallId;

/// Failures in a row that open it.
pub const THRESHOLD: u32 = 5;
/// How long it stays open.
pub const OPEN: Duration = Duration::from_secs(60);
/// Successes of single probes that close it.
pub const PROBES: u32 = 2;

/// Counts the failures of one thing that calls rest on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    pub(super) state: State,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum State {
    /// Everything passes; failures in a row.
    Closed(u32),
    /// Nothing passes before this.
    Open(Timestamp),
    /// One probe at a time passes. No call decides but the probe: others that end now were begun before it opened.
    HalfOpen { succeeded: u32, probe: Option<CallId> },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed(0)
    }
}

impl Breaker {
    /// Lets `call` through, or says how long to wait.
    ///
    /// # Errors
    /// The wait.
    pub fn enter(&mut self, call: &CallId, now: Timestamp) -> Result<(), Duration> {
        let succeeded = match &self.state {
            State::Closed(_) => return Ok(()),
            State::Open(until) if now < *until => return Err(until.since(now)),
            State::Open(_) => 0,
            State::HalfOpen { probe: Some(_), .. } => return Err(Duration::from_secs(1)),
            State::HalfOpen { succeeded, probe: None } => *succeeded,
        };
        self.state = State::HalfOpen { succeeded, probe: Some(call.clone()) };
        Ok(())
    }

    /// `call` was answered, whatever it said.
    pub fn succeeded(&mut self, call: &CallId) {
        match &self.state {
            State::Closed(_) => self.state = State::Closed(0),
            State::HalfOpen { succeeded, probe } if probe.as_ref() == Some(call) => {
                let succeeded = succeeded + 1;
                self.state = if succeeded < PROBES {
                    State::HalfOpen { succeeded, probe: None }
                } else {
                    State::Closed(0)
                };
            }
            State::HalfOpen { .. } | State::Open(_) => {}
        }
    }

    /// `call` was not answered.
    pub fn failed(&mut self, call: &CallId, now: Timestamp) {
        match &self.state {
            State::Closed(failures) if failures + 1 < THRESHOLD => {
                self.state = State::Closed(failures + 1);
            }
            State::Closed(_) => self.state = State::Open(now + OPEN),
            State::HalfOpen { probe, .. } if probe.as_ref() == Some(call) => {
                self.state = State::Open(now + OPEN);
            }
            State::HalfOpen { .. } | State::Open(_) => {}
        }
    }

    /// `call`, which was let through, has ended without telling anything about what it rests on.
    pub fn undecided(&mut self, call: &CallId) {
        if let State::HalfOpen { probe, .. } = &mut self.state {
            probe.take_if(|probe| probe == call);
        }
    }

    /// How much would be lost with it: an order.
    #[must_use]
    pub fn weight(&self) -> (u8, u64) {
        match &self.state {
            State::Closed(failures) => (0, u64::from(*failures)),
            State::Open(until) => (1, until.as_micros()),
            State::HalfOpen { succeeded, .. } => (2, u64::from(*succeeded)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(n: u64) -> Timestamp {
        Timestamp::from_micros(n * 1_000_000)
    }

    fn call(step: u32) -> CallId {
        CallId { step, ..CallId::default() }
    }

    fn fails(breaker: &mut Breaker, times: u32) {
        (0..times).for_each(|step| breaker.failed(&call(step), second(0)));
    }

    fn open() -> Breaker {
        let mut breaker = Breaker::default();
        fails(&mut breaker, THRESHOLD);
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_for_a_minute() {
        let mut breaker = Breaker::default();
        fails(&mut breaker, THRESHOLD - 1);
        breaker.succeeded(&call(8));
        fails(&mut breaker, THRESHOLD - 1);
        assert_eq!(breaker.enter(&call(9), second(0)), Ok(()), "a success came between");
        breaker.failed(&call(9), second(0));
        assert_eq!(breaker.enter(&call(10), second(20)), Err(Duration::from_secs(40)));
    }

    #[test]
    fn one_probe_at_a_time_passes_and_two_successes_close_it() {
        let mut breaker = open();
        assert_eq!(breaker.enter(&call(10), second(60)), Ok(()));
        assert!(breaker.enter(&call(11), second(60)).is_err());
        breaker.succeeded(&call(10));
        assert_eq!(breaker.enter(&call(12), second(61)), Ok(()));
        assert!(breaker.enter(&call(13), second(61)).is_err());
        breaker.succeeded(&call(12));
        assert_eq!(breaker, Breaker::default());
    }

    #[test]
    fn a_probe_that_fails_opens_it_again_and_one_that_tells_nothing_makes_room() {
        let mut breaker = open();
        assert_eq!(breaker.enter(&call(10), second(60)), Ok(()));
        breaker.undecided(&call(10));
        assert_eq!(breaker.enter(&call(11), second(61)), Ok(()));
        breaker.failed(&call(11), second(61));
        assert_eq!(breaker.enter(&call(12), second(62)), Err(Duration::from_secs(59)));
    }

    #[test]
    fn calls_from_before_it_opened_decide_nothing_however_they_end() {
        let ends: [fn(&mut Breaker); 3] = [
            |breaker| breaker.succeeded(&call(7)),
            |breaker| breaker.failed(&call(7), second(60)),
            |breaker| breaker.undecided(&call(7)),
        ];
        for ends in ends {
            let mut breaker = open();
            ends(&mut breaker);
            assert_eq!(breaker, open(), "it is open");
            for probe in [10, 11] {
                assert_eq!(breaker.enter(&call(probe), second(60)), Ok(()));
                let before = breaker.clone();
                ends(&mut breaker);
                assert_eq!(breaker, before, "the probe is under way");
                assert!(breaker.enter(&call(20), second(60)).is_err());
                breaker.succeeded(&call(probe));
            }
            assert_eq!(breaker, Breaker::default(), "both probes were answered");
        }
    }
}
