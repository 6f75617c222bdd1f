//! A breaker for each thing that calls of a group rest on. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use perennial_runtime::Timestamp;
use serde::{Deserialize, Serialize};

use super::breaker::Breaker;
use super::message::CallId;

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
pub(super) struct Breakers(pub(super) BTreeMap<Rests, Breaker>);

impl Breakers {
    /// Lets a call through, or says how long to wait.
    pub(super) fn enter(
        &mut self,
        rests: &Rests,
        call: &CallId,
        now: Timestamp,
    ) -> Result<(), Duration> {
        // One that is closed lets through, and stays as it is.
        self.0.get_mut(rests).map_or(Ok(()), |breaker| breaker.enter(call, now))
    }

    /// It has answered a call, whatever it said.
    pub(super) fn succeeded(&mut self, rests: &Rests, call: &CallId) {
        let Some(breaker) = self.0.get_mut(rests) else { return };
        breaker.succeeded(call);
        if *breaker == Breaker::default() {
            self.0.remove(rests);
        }
    }

    /// It did not answer a call.
    pub(super) fn failed(&mut self, rests: Rests, call: &CallId, now: Timestamp) {
        if self.0.len() >= MOST && !self.0.contains_key(&rests) {
            self.forget_one();
        }
        self.0.entry(rests).or_default().failed(call, now);
    }

    /// A call that was let through has ended, whether it told anything about what it rests on or not, and whatever that is
    /// found to be by now: a tool may have gone away meanwhile.
    pub(super) fn ended(&mut self, call: &CallId) {
        self.0.values_mut().for_each(|breaker| breaker.undecided(call));
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
    use crate::worker::breaker::{OPEN, THRESHOLD};

    fn at(target: &str) -> Rests {
        Rests { tool: "http".to_owned(), target: target.to_owned() }
    }

    fn call() -> CallId {
        CallId::default()
    }

    fn now() -> Timestamp {
        Timestamp::from_micros(1_000_000)
    }

    #[test]
    fn what_fails_is_spared_and_nothing_else_is() {
        let mut breakers = Breakers::default();
        (0..THRESHOLD).for_each(|_| breakers.failed(at("a"), &call(), now()));
        assert!(breakers.enter(&at("a"), &call(), now()).is_err());
        assert!(breakers.enter(&at("b"), &call(), now()).is_ok());
        let other = Rests { tool: "other".to_owned(), ..at("a") };
        assert!(breakers.enter(&other, &call(), now()).is_ok());
    }

    #[test]
    fn nothing_is_kept_of_what_is_in_order() {
        let mut breakers = Breakers::default();
        breakers.succeeded(&at("a"), &call());
        breakers.ended(&call());
        assert_eq!(breakers, Breakers::default());
        breakers.failed(at("a"), &call(), now());
        breakers.succeeded(&at("a"), &call());
        assert_eq!(breakers, Breakers::default());
    }

    #[test]
    fn a_probe_that_has_ended_makes_room_though_it_is_not_known_any_more_what_it_rested_on() {
        let mut breakers = Breakers::default();
        (0..THRESHOLD).for_each(|_| breakers.failed(at("a"), &call(), now()));
        let later = now() + OPEN;
        breakers.enter(&at("a"), &call(), later).unwrap();
        assert!(breakers.enter(&at("a"), &call(), later).is_err());
        breakers.succeeded(&at("b"), &call());
        breakers.ended(&call());
        assert!(breakers.enter(&at("a"), &call(), later).is_ok());
    }

    #[test]
    fn of_more_things_than_are_kept_those_that_are_out_of_order_stay() {
        let mut breakers = Breakers::default();
        (0..THRESHOLD).for_each(|_| breakers.failed(at("down"), &call(), now()));
        for number in 0..2 * MOST {
            breakers.failed(at(&number.to_string()), &call(), now());
        }
        assert_eq!(breakers.0.len(), MOST);
        assert!(breakers.enter(&at("down"), &call(), now()).is_err());
    }
}
