//! What models have cost, and whether there is anything left to spend. Pure.

use std::collections::{BTreeMap, VecDeque};

use perennial_runtime::Timestamp;

use super::config::Budget;

/// Queries whose tokens are remembered; the oldest are forgotten.
const QUERIES: usize = 10_000;
const MICROS_PER_DAY: u64 = 24 * 60 * 60 * 1_000_000;

/// What was spent since the node began, today and by query.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    /// Days since the epoch, by UTC.
    day: u64,
    /// Cost of that day.
    cost: f64,
    tokens: BTreeMap<String, u64>,
    /// The queries in `tokens`, the oldest first.
    order: VecDeque<String>,
}

impl Ledger {
    /// The tokens that `query` has left; no bound if there is none.
    ///
    /// # Errors
    /// What is spent, and what to do.
    pub(super) fn left(
        &mut self,
        budget: &Budget,
        query: &str,
        now: Timestamp,
    ) -> Result<u64, String> {
        self.turn_page(now);
        let bound = budget.cost_per_day;
        if bound > 0.0 && self.cost >= bound {
            return Err(format!(
                "the models' budget of {bound} a day is spent; it is renewed at midnight UTC, or raise \
                 query.llm.budget.cost_per_day"
            ));
        }
        let bound = budget.tokens_per_query;
        if bound == 0 {
            return Ok(u64::MAX);
        }
        match bound.saturating_sub(self.tokens.get(query).copied().unwrap_or_default()) {
            0 => Err(format!(
                "the query's budget of {bound} tokens is spent; ask less of it, or raise \
                 query.llm.budget.tokens_per_query"
            )),
            left => Ok(left),
        }
    }

    /// Notes what a request is thought to use before it is made, so that calls at the same time see it.
    pub(super) fn charge(&mut self, query: &str, tokens: u64, cost: f64, now: Timestamp) {
        self.turn_page(now);
        self.cost += cost;
        if !self.tokens.contains_key(query) {
            self.order.push_back(query.to_owned());
            if self.order.len() > QUERIES
                && let Some(oldest) = self.order.pop_front()
            {
                self.tokens.remove(&oldest);
            }
        }
        let spent = self.tokens.entry(query.to_owned()).or_default();
        *spent = spent.saturating_add(tokens);
    }

    /// Takes back what was charged.
    pub(super) fn refund(&mut self, query: &str, tokens: u64, cost: f64) {
        self.cost = (self.cost - cost).max(0.0);
        if let Some(spent) = self.tokens.get_mut(query) {
            *spent = spent.saturating_sub(tokens);
        }
    }

    fn turn_page(&mut self, now: Timestamp) {
        let day = now.as_micros() / MICROS_PER_DAY;
        if day != self.day {
            (self.day, self.cost) = (day, 0.0);
        }
    }
}

/// About the tokens of so much text, where the server does not tell: four bytes are one.
pub(super) fn estimate(bytes: usize) -> u64 {
    u64::try_from(bytes.div_ceil(4)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Budget = Budget { tokens_per_query: 100, cost_per_day: 1.0 };

    fn day(day: u64) -> Timestamp {
        Timestamp::from_micros(day * MICROS_PER_DAY)
    }

    #[test]
    fn a_query_has_what_it_has_not_spent_and_others_have_their_own() {
        let mut ledger = Ledger::default();
        ledger.charge("q1", 60, 0.0, day(1));
        assert_eq!(ledger.left(&BUDGET, "q1", day(1)), Ok(40));
        ledger.charge("q1", 60, 0.0, day(1));
        assert!(ledger.left(&BUDGET, "q1", day(1)).unwrap_err().contains("100 tokens is spent"));
        assert_eq!(ledger.left(&BUDGET, "q2", day(1)), Ok(100));
        ledger.refund("q1", 60, 0.0);
        assert_eq!(ledger.left(&BUDGET, "q1", day(1)), Ok(40));
    }

    #[test]
    fn the_cost_of_a_day_is_forgotten_on_the_next() {
        let mut ledger = Ledger::default();
        ledger.charge("q1", 1, 1.0, day(1));
        assert!(ledger.left(&BUDGET, "q2", day(1)).unwrap_err().contains("midnight"));
        assert!(ledger.left(&BUDGET, "q2", day(2)).is_ok());
    }

    #[test]
    fn without_bounds_nothing_is_ever_spent() {
        let mut ledger = Ledger::default();
        ledger.charge("q1", u64::MAX, 1e9, day(1));
        assert_eq!(ledger.left(&Budget::default(), "q1", day(1)), Ok(u64::MAX));
    }

    #[test]
    fn memory_stays_bounded_however_many_queries_ask() {
        let mut ledger = Ledger::default();
        for query in 0..QUERIES + 10 {
            ledger.charge(&query.to_string(), 1, 0.0, day(1));
        }
        assert_eq!((ledger.tokens.len(), ledger.order.len()), (QUERIES, QUERIES));
    }
}
