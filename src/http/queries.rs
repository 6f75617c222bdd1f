//! Queries: what is asked, how far it is, and what came of it.

mod events;
mod order;
mod question;
mod sharing;
mod submit;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use perennial_query::config::Questions;
use perennial_query::question::Planner;
use perennial_query::record::{DEAD_STEPS, MODEL_CALLS, QUERIES, QueryRow, STEPS, SUBMISSIONS};
use perennial_query::tool::{Catalogue, Toolbox};
use perennial_query::tools::external::Broker;
use perennial_runtime::{SystemClock, TableReader, owner_prefix};
use tokio::sync::watch;

use super::access::Caller;
use super::error::ApiError;
use super::extract::Params;
use super::model::{DeadStep, List, Page, Query, QueryFilter, QuerySummary, Tool};
use super::{App, aside};

pub(super) use events::stream;
pub(super) use order::{approve, cancel, discard, pause, reject, resume, retry};
use sharing::readable;
pub(super) use submit::submit;

/// Rows of one query's steps that are shown.
const STEP_ROWS: usize = 20_000;

/// Times that a model was asked for one query that are shown.
const MODEL_ROWS: usize = 1_000;

/// Rows of queries that are looked at for one list. Where more follow, it ends with where it has come to, also
/// if fewer are in it than were asked for.
const LOOKED_AT: usize = 10_000;
/// Of those, the ones that are read at a time.
const PAGE: usize = 500;

/// What handlers need to know of queries.
#[derive(Debug)]
pub(crate) struct Queries {
    /// The tools there are.
    pub(crate) catalogue: Arc<Catalogue>,
    /// The tools themselves, which tell the versions of their data.
    pub(crate) tools: Toolbox,
    /// The directory of the node's pipelines; empty for none.
    pub(crate) pipelines: PathBuf,
    /// The directory of the node's rules; empty for none.
    pub(crate) rules: PathBuf,
    /// Where workers outside the node come for their jobs.
    pub(crate) broker: Arc<Broker>,
    /// What makes plans of questions in words.
    pub(crate) planner: Planner,
    /// What language models do for them.
    pub(crate) questions: Questions,
    /// When they are asked.
    pub(crate) clock: SystemClock,
    /// Rises when something has happened in a query.
    pub(crate) bell: watch::Receiver<u64>,
}

pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(filter): Params<QueryFilter>,
) -> Result<Json<List<QuerySummary>>, ApiError> {
    let limit = filter.limit()?;
    let tables = app.runtime.tables();
    aside(move || {
        let (mut found, mut looked_at) = (Vec::new(), 0);
        let mut after = filter.after.clone();
        while found.len() <= limit && looked_at < LOOKED_AT {
            let rows = match &after {
                Some(after) => tables.scan_before(&QUERIES, after.as_str(), PAGE)?,
                None => tables.scan_back(&QUERIES, b"", PAGE)?,
            };
            looked_at += rows.len();
            let more = rows.last().filter(|_| rows.len() == PAGE).map(|row| row.id.clone());
            found.extend(rows.into_iter().filter(|row| caller.sees(row) && filter.matches(row)));
            after = more;
            if after.is_none() {
                break;
            }
        }
        let last = found.get(limit.saturating_sub(1)).map(|row: &QueryRow| row.id.clone());
        let next = if found.len() > limit { last } else { after };
        let items = found.iter().take(limit).map(QuerySummary::from).collect();
        Ok(Json(List { items, next }))
    })
    .await
}

pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Query>, ApiError> {
    aside(move || {
        readable(&app, &caller, &id)?;
        document(&app.runtime.tables(), &id).map(Json)
    })
    .await
}

/// Everything that is known of a query.
fn document(tables: &TableReader, id: &str) -> Result<Query, ApiError> {
    let row = tables.get(&QUERIES, id)?.ok_or_else(|| unknown(id))?;
    let submission = tables.get(&SUBMISSIONS, id)?.unwrap_or_default();
    let steps = tables.scan(&STEPS, &owner_prefix(id), STEP_ROWS)?;
    let asked = tables.scan(&MODEL_CALLS, &owner_prefix(id), MODEL_ROWS)?;
    Ok(Query::new(&row, &submission, &steps).with_models(&asked))
}

fn unknown(id: &str) -> ApiError {
    ApiError::NotFound(format!("there is no query {id}; /v1/queries lists them"))
}

pub(super) async fn tools(State(app): State<App>) -> Json<List<Tool>> {
    Json(app.queries.catalogue.0.values().map(Tool::from).collect())
}

/// Steps whose attempts were used up.
pub(super) async fn dead_steps(
    State(app): State<App>,
    Params(page): Params<Page>,
) -> Result<Json<List<DeadStep>>, ApiError> {
    let rows = app.runtime.tables().scan_back(&DEAD_STEPS, b"", page.limit()?)?;
    Ok(Json(rows.iter().map(DeadStep::from).collect()))
}

/// Waits until `seen` gives something, or for no longer than `patience`. Looked at again whenever something
/// has happened in a query.
async fn watch<T>(
    app: &App,
    patience: Duration,
    seen: impl Fn() -> Result<Option<T>, ApiError>,
) -> Result<Option<T>, ApiError> {
    let mut bell = app.queries.bell.clone();
    let end = tokio::time::sleep(patience);
    tokio::pin!(end);
    loop {
        bell.mark_unchanged();
        if let Some(found) = seen()? {
            return Ok(Some(found));
        }
        tokio::select! {
            changed = bell.changed() => {
                if changed.is_err() {
                    return Ok(None);
                }
            }
            () = &mut end => return seen(),
        }
    }
}
