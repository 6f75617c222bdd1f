//! Which models take requests, as far as is known. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use perennial_runtime::Timestamp;

/// What is known of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelState {
    /// The name by which calls know it.
    pub name: String,
    /// Whether it takes requests; one that nobody has asked is held to.
    pub healthy: bool,
    /// Why it does not; empty if it does.
    pub reason: String,
    /// When that was found out.
    pub checked_at: Option<Timestamp>,
}

/// What is known of each model that something is known of, by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Health(BTreeMap<String, ModelState>);

impl Health {
    /// What is known of the model `name`.
    pub(super) fn of(&self, name: &str) -> ModelState {
        self.0.get(name).cloned().unwrap_or_else(|| ModelState {
            name: name.to_owned(),
            healthy: true,
            reason: String::new(),
            checked_at: None,
        })
    }

    /// Notes what became of a request to the model, or of a look at it.
    pub(super) fn note(&mut self, name: &str, result: Result<(), String>, now: Timestamp) {
        let state = ModelState {
            name: name.to_owned(),
            healthy: result.is_ok(),
            reason: result.err().unwrap_or_default(),
            checked_at: Some(now),
        };
        self.0.insert(name.to_owned(), state);
    }

    /// Those of `names` that did not take requests and have not been looked at for so long. They count as
    /// looked at from now on, so that one call does it.
    pub(super) fn due(&mut self, names: &[String], every: Duration, now: Timestamp) -> Vec<String> {
        let mut due = Vec::new();
        for name in names {
            let state = self.0.get_mut(name).filter(|state| !state.healthy);
            let looked_at = state.as_ref().and_then(|state| state.checked_at);
            if let (Some(state), Some(at)) = (state, looked_at)
                && now.since(at) >= every
            {
                state.checked_at = Some(now);
                due.push(name.clone());
            }
        }
        due
    }

    /// The same names, those that take requests first.
    pub(super) fn sorted(&self, names: &[String]) -> Vec<String> {
        let mut names = names.to_vec();
        names.sort_by_key(|name| self.0.get(name).is_some_and(|state| !state.healthy));
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(n: u64) -> Timestamp {
        Timestamp::from_micros(n * 1_000_000)
    }

    #[test]
    fn a_model_that_refused_comes_last_until_it_is_well_again() {
        let names = ["a", "b", "c"].map(str::to_owned);
        let mut health = Health::default();
        assert_eq!(health.sorted(&names), names);
        health.note("a", Err("answered 401".to_owned()), second(0));
        assert_eq!(health.sorted(&names), ["b", "c", "a"]);
        assert_eq!(health.of("a").reason, "answered 401");
        health.note("a", Ok(()), second(1));
        assert_eq!(health.sorted(&names), names);
    }

    #[test]
    fn it_is_looked_at_again_after_a_while_by_one_call() {
        let names = ["a", "b"].map(str::to_owned);
        let every = Duration::from_secs(300);
        let mut health = Health::default();
        health.note("a", Err("answered 401".to_owned()), second(0));
        health.note("b", Ok(()), second(0));
        assert_eq!(health.due(&names, every, second(299)), [""; 0]);
        assert_eq!(health.due(&names, every, second(300)), ["a"]);
        assert_eq!(health.due(&names, every, second(300)), [""; 0]);
    }
}
