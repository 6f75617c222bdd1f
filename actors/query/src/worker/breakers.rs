//! A breaker for each thing that calls of a group rest on. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use perennial_runtime::Timestamp;
use serde::{Deserialize, Serialize};

use super::breaker::Breaker;

/// Breakers of one group that are kept: hosts can be any that a wildcard lets through.
const MOST: usize = 256;

/// What a call rests on: its tool, and what of the world if the tool can tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Rests {
    pub(super) tool: String,
    pub(super) target: String,
}

/// The breakers of those things that failed of late. Whatever has none is in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Breakers(BTreeMap<Rests, Breaker>);

impl Breakers {
    /// Lets a call through, or says how long to wait.
    pub(super) fn enter(&mut self, rests: &Rests, now: Timestamp) -> Result<(), Duration> {
        // One that is closed lets through, and stays as it is.
        self.0.get_mut(rests).map_or(Ok(()), |breaker| breaker.enter(now))
    }

    /// It has answered, whatever it said.
    pub(super) fn succeeded(&mut self, rests: &Rests) {
        let Some(breaker) = self.0.get_mut(rests) else { return };
        breaker.succeeded();
        if *breaker == Breaker::default() {
            self.0.remove(rests);
        }
    }

    /// It did not answer.
    pub(super) fn failed(&mut self, rests: Rests, now: Timestamp) {
        if self.0.len() >= MOST && !self.0.contains_key(&rests) {
            self.forget_one();
        }
        self.0.entry(rests).or_default().failed(now);
    }

    /// A call that was let through has ended without telling anything about it.
    pub(super) fn undecided(&mut self, rests: &Rests) {
        if let Some(breaker) = self.0.get_mut(rests) {
            breaker.undecided();
        }
    }

    /// Forgets the one that says least.
    fn forget_one(&mut self) {
        let least = self.0.iter().min_by_key(|(_, breaker)| breaker.weight());
        if let Some(rests) = least.map(|(rests, _)| rests.clone()) {
            self.0.remove(&rests);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::breaker::THRESHOLD;

    fn at(target: &str) -> Rests {
        Rests { tool: "http".to_owned(), target: target.to_owned() }
    }

    fn now() -> Timestamp {
        Timestamp::from_micros(1_000_000)
    }

    #[test]
    fn what_fails_is_spared_and_nothing_else_is() {
        let mut breakers = Breakers::default();
        (0..THRESHOLD).for_each(|_| breakers.failed(at("a"), now()));
        assert!(breakers.enter(&at("a"), now()).is_err());
        assert!(breakers.enter(&at("b"), now()).is_ok());
        let other = Rests { tool: "other".to_owned(), ..at("a") };
        assert!(breakers.enter(&other, now()).is_ok());
    }

    #[test]
    fn nothing_is_kept_of_what_is_in_order() {
        let mut breakers = Breakers::default();
        breakers.succeeded(&at("a"));
        breakers.undecided(&at("a"));
        assert_eq!(breakers, Breakers::default());
        breakers.failed(at("a"), now());
        breakers.succeeded(&at("a"));
        assert_eq!(breakers, Breakers::default());
    }

    #[test]
    fn of_more_things_than_are_kept_those_that_are_out_of_order_stay() {
        let mut breakers = Breakers::default();
        (0..THRESHOLD).for_each(|_| breakers.failed(at("down"), now()));
        for number in 0..2 * MOST {
            breakers.failed(at(&number.to_string()), now());
        }
        assert_eq!(breakers.0.len(), MOST);
        assert!(breakers.enter(&at("down"), now()).is_err());
    }
}
