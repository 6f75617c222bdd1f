//! Queries that the node of a drill accepted, the calls it made for them, and how they ended.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

/// What a query that was done ends as.
const DONE: &str = "succeeded";
/// Calls of each query, one after the other.
pub(super) const CALLS: usize = 3;

/// A query that was accepted.
#[derive(Debug)]
struct Query {
    at: Instant,
    /// When it was first seen to have ended.
    answered: Option<Instant>,
    outcome: String,
    /// How often it ended, by its events.
    ends: usize,
}

/// All queries, and what was called for them.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// By their ids.
    queries: BTreeMap<String, Query>,
    /// Of each query and each of its calls: the idempotency keys under which it arrived. A key that comes
    /// again is no second call: whoever is called does things once. A call may arrive before the
    /// acceptance of its query is known.
    calls: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
}

impl Asked {
    pub(super) fn accept(&mut self, id: &str) {
        let at = perennial_runtime::instant();
        let query = Query { at, answered: None, outcome: String::new(), ends: 0 };
        self.queries.entry(id.to_owned()).or_insert(query);
    }

    /// A call of this name was made under this key, which begins with the query's id.
    pub(super) fn call(&mut self, name: &str, key: &str) {
        let query = key.split('/').next().unwrap_or_default();
        let calls = self.calls.entry(query.to_owned()).or_default();
        calls.entry(name.to_owned()).or_default().insert(key.to_owned());
    }

    pub(super) fn answer(&mut self, id: &str, outcome: &str, ends: usize) {
        if let Some(query) = self.queries.get_mut(id) {
            query.answered.get_or_insert_with(perennial_runtime::instant);
            (query.outcome, query.ends) = (outcome.to_owned(), ends);
        }
    }

    pub(super) fn ids(&self) -> Vec<String> {
        self.queries.keys().cloned().collect()
    }

    pub(super) fn unanswered(&self) -> Vec<String> {
        let open = self.queries.iter().filter(|(_, query)| query.answered.is_none());
        open.map(|(id, _)| id.clone()).collect()
    }

    /// When the first of the queries that were accepted after `since` was done.
    pub(super) fn answered_since(&self, since: Instant) -> Option<Instant> {
        let done = self.queries.values().filter(|query| query.at >= since && query.outcome == DONE);
        done.filter_map(|query| query.answered).min()
    }

    /// Of each query: when it was accepted, and how often what should be done once was done, the least and
    /// the most of it.
    pub(super) fn times(&self) -> impl Iterator<Item = (Instant, (usize, usize))> {
        self.queries.iter().map(|(id, query)| (query.at, self.times_of(id, query)))
    }

    fn times_of(&self, id: &str, query: &Query) -> (usize, usize) {
        let calls = self.calls.get(id);
        let made = calls.map_or(0, BTreeMap::len);
        let most = calls.into_iter().flatten().map(|(_, keys)| keys.len()).max().unwrap_or(0);
        let done = query.outcome == DONE && made == CALLS;
        (if done { query.ends } else { 0 }, most.max(query.ends))
    }

    /// What became of each that was not done exactly once, for people.
    pub(super) fn flaws(&self) -> impl Iterator<Item = String> {
        let flawed = self.queries.iter().filter(|(id, query)| self.times_of(id, query) != (1, 1));
        flawed.map(|(id, query)| {
            let calls = self.calls.get(id).map(|calls| calls.values().map(BTreeSet::len));
            let calls: Vec<String> =
                calls.into_iter().flatten().map(|keys| keys.to_string()).collect();
            let (outcome, ends, calls) = (&query.outcome, query.ends, calls.join(", "));
            format!("the query {id}: ended {ends} times, `{outcome}`, its calls made {calls} times")
        })
    }
}
