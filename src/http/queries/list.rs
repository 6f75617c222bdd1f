//! The list of queries, the newest first.

use std::ops::ControlFlow;

use axum::Json;
use axum::extract::State;
use perennial_query::record::{QUERIES, QueryRow};

use crate::http::access::Caller;
use crate::http::error::ApiError;
use crate::http::extract::Params;
use crate::http::model::{List, QueryFilter, QuerySummary};
use crate::http::{App, aside};

/// Rows that are looked at for one answer. What is behind them is for who asks for what follows.
const LOOKED_AT: usize = 10_000;

pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(filter): Params<QueryFilter>,
) -> Result<Json<List<QuerySummary>>, ApiError> {
    let mut found = Found::new(filter.limit()?, LOOKED_AT);
    let tables = app.runtime.tables();
    aside(move || {
        let after = filter.after.as_deref().map(str::as_bytes);
        tables.visit_back(&QUERIES, after, |row| {
            let wanted = caller.sees(&row) && filter.matches(&row);
            found.look_at(row, wanted)
        })?;
        Ok(Json(found.into()))
    })
    .await
}

/// The queries for one answer, of those that were looked at.
struct Found {
    limit: usize,
    /// So many more may be looked at.
    left: usize,
    rows: Vec<QueryRow>,
    /// The last one that was looked at.
    last: Option<String>,
    /// Others may follow behind this one.
    next: Option<String>,
}

impl Found {
    fn new(limit: usize, left: usize) -> Self {
        Self { limit, left, rows: Vec::new(), last: None, next: None }
    }

    fn look_at(&mut self, row: QueryRow, wanted: bool) -> ControlFlow<()> {
        let full = wanted && self.rows.len() == self.limit;
        if full || self.left == 0 {
            self.next = self.last.take();
            return ControlFlow::Break(());
        }
        self.left -= 1;
        self.last = Some(row.id.clone());
        if wanted {
            self.rows.push(row);
        }
        ControlFlow::Continue(())
    }
}

impl From<Found> for List<QuerySummary> {
    fn from(found: Found) -> Self {
        Self { items: found.rows.iter().map(QuerySummary::from).collect(), next: found.next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids of one answer about 10 queries of which every third is wanted, and where the next one goes on.
    fn answer(limit: usize, left: usize, after: Option<&str>) -> (Vec<String>, Option<String>) {
        let mut found = Found::new(limit, left);
        for number in (0..10).rev() {
            let row = QueryRow { id: format!("q-{number}"), ..QueryRow::default() };
            let follows = after.is_none_or(|after| *row.id < *after);
            if follows && found.look_at(row, number % 3 == 0).is_break() {
                break;
            }
        }
        (found.rows.iter().map(|row| row.id.clone()).collect(), found.next)
    }

    #[test]
    fn asked_for_what_follows_until_nothing_does_every_wanted_query_is_listed_once() {
        for (limit, left) in [(1, 1), (1, 4), (2, 3), (2, 100), (3, 2), (4, 100), (9, 10)] {
            let (mut all, mut after) = (Vec::new(), None);
            loop {
                let (ids, next) = answer(limit, left, after.as_deref());
                assert!(ids.len() <= limit);
                all.extend(ids);
                after = next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(all, ["q-9", "q-6", "q-3", "q-0"], "{limit} of {left}");
        }
    }

    #[test]
    fn a_list_of_all_there_are_has_nothing_that_follows_and_one_that_was_not_looked_through_has() {
        assert_eq!(answer(4, 10, None).1, None);
        assert_eq!(answer(4, 9, None).1.as_deref(), Some("q-1"), "q-0 was not looked at");
        assert_eq!(answer(100, 2, Some("q-6")), (Vec::new(), Some("q-4".to_owned())));
    }
}
