//! The list of queries, the newest first.

use std::ops::ControlFlow;

use axum::Json;
use axum::extract::State;
use perennial_query::record::{QUERIES, QueryRow};
use perennial_runtime::TableReader;

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
    let limit = filter.limit()?;
    filter.check_after()?;
    let tables = app.runtime.tables();
    aside(move || listed(&tables, &caller, &filter, limit).map(Json)).await
}

fn listed(
    tables: &TableReader,
    caller: &Caller,
    filter: &QueryFilter,
    limit: usize,
) -> Result<List<QuerySummary>, ApiError> {
    let mut found = Found::new(limit, LOOKED_AT);
    let after = filter.after.as_deref().map(str::as_bytes);
    tables.visit_back(&QUERIES, after, |row| {
        let wanted = caller.sees(&row) && filter.matches(&row);
        found.look_at(row, wanted)
    })?;
    Ok(found.into())
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
    use std::sync::Arc;

    use axum::extract::Query;
    use perennial_query::roles::Roles;
    use perennial_query::tool::Identity;
    use perennial_runtime::{Options, RowKey, Runtime, Supervisor, SystemClock};
    use perennial_store::{Backend, Batch, Key, MemoryBackend, Tag, encode, seal};

    use super::*;
    use crate::http::Access;

    /// So many queries by bob, after a few by ann, and what reads them.
    async fn queries(by_ann: usize, by_bob: usize) -> TableReader {
        let backend = Arc::new(MemoryBackend::new());
        let options = Options::new(backend.clone(), Arc::new(SystemClock));
        let runtime = Runtime::start(options, Supervisor::new("none")).await.unwrap();
        let mut batch = Batch::new();
        for number in 0..by_ann + by_bob {
            let name = if number < by_ann { "ann" } else { "bob" }.to_owned();
            let id = format!("q-{number:06}");
            let key = Key::row(QUERIES.name(), &id.to_row_key());
            let identity = Identity { name, ..Identity::default() };
            let row = QueryRow { id, identity, ..QueryRow::default() };
            let row = seal(&key, Tag::Row, QUERIES.version(), &encode(&row).unwrap());
            batch.put(key, row);
        }
        backend.commit(backend.claim().unwrap(), &batch).unwrap();
        runtime.tables()
    }

    /// How many there are on each page of what `query` asks for.
    fn pages(tables: &TableReader, query: &str) -> Vec<usize> {
        let caller = Access::new(Arc::new(Roles::usual()), 1).operator();
        let (mut pages, mut after) = (Vec::new(), String::new());
        loop {
            let uri = format!("/v1/queries?{query}{after}").parse().unwrap();
            let Query(filter) = Query::<QueryFilter>::try_from_uri(&uri).unwrap();
            let list = listed(tables, &caller, &filter, filter.limit().unwrap()).unwrap();
            pages.push(list.items.len());
            match list.next {
                Some(next) => after = format!("&after={next}"),
                None => return pages,
            }
        }
    }

    #[tokio::test]
    async fn of_more_queries_than_are_looked_at_for_one_answer_none_is_left_out() {
        let tables = queries(3, LOOKED_AT + 50).await;
        assert_eq!(pages(&tables, "by=ann"), [0, 3], "the first answer says where to go on");
        assert_eq!(pages(&tables, "by=ann&limit=2"), [0, 2, 1]);
        let all = pages(&tables, "limit=1000");
        assert_eq!((all.len(), all.iter().sum()), (11, LOOKED_AT + 53));
        assert_eq!(pages(&tables, "by=nobody"), [0, 0]);
    }

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
