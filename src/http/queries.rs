//! Queries: what is asked, how far it is, and what came of it.

mod bells;
mod events;
mod list;
mod order;
mod question;
mod sharing;
mod steps;
mod submit;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use perennial_query::config::Questions;
use perennial_query::explain::NodeBounds;
use perennial_query::question::Planner;
use perennial_query::record::{DEAD_STEPS, MODEL_CALLS, QUERIES, SUBMISSIONS};
use perennial_query::schedule::Definitions;
use perennial_query::tool::{Catalogue, Toolbox};
use perennial_query::tools::external::Broker;
use perennial_runtime::{SystemClock, TableReader, owner_prefix};

use super::access::Caller;
use super::conversations::Conversations;
use super::error::ApiError;
use super::extract::{Params, Path};
use super::model::{DeadStep, List, Page, Query, StepsWanted, Tool};
use super::{App, aside};

pub(crate) use bells::Bells;
pub(super) use events::stream;
pub(super) use list::list;
pub(super) use order::{approve, cancel, discard, pause, reject, resume, retry};
use sharing::readable;
pub(super) use submit::{answer, submit, written};

/// Times that a model was asked for one query that are shown.
const MODEL_ROWS: usize = 1_000;

/// What handlers need to know of queries.
#[derive(Debug)]
pub(crate) struct Queries {
    /// The tools there are.
    pub(crate) catalogue: Arc<Catalogue>,
    /// What bounds every plan.
    pub(crate) bounds: NodeBounds,
    /// The tools themselves, which tell the versions of their data.
    pub(crate) tools: Toolbox,
    /// The directory of the node's pipelines; empty for none.
    pub(crate) pipelines: PathBuf,
    /// The directory of the node's rules; empty for none.
    pub(crate) rules: PathBuf,
    /// Where workers outside the node come for their jobs.
    pub(crate) broker: Arc<Broker>,
    /// What makes plans of questions in words.
    pub(crate) planner: Arc<Planner>,
    /// What language models do for them.
    pub(crate) questions: Questions,
    /// What is done when.
    pub(crate) schedules: Definitions,
    /// Questions that follow each other.
    pub(crate) conversations: Conversations,
    /// When they are asked.
    pub(crate) clock: SystemClock,
    /// Rung when something has happened in a query.
    pub(crate) bells: Bells,
}

pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Params(wanted): Params<StepsWanted>,
) -> Result<Json<Query>, ApiError> {
    let limit = wanted.limit()?;
    aside(move || {
        readable(&app, &caller, &id)?;
        document(&app.runtime.tables(), &id, wanted.after, limit).map(Json)
    })
    .await
}

/// Everything that is known of a query, with at most `limit` of its steps, those behind the one numbered `after`.
fn document(
    tables: &TableReader,
    id: &str,
    after: Option<u64>,
    limit: usize,
) -> Result<Query, ApiError> {
    let row = tables.get(&QUERIES, id)?.ok_or_else(|| unknown(id))?;
    let submission = tables.get(&SUBMISSIONS, id)?.unwrap_or_default();
    let steps = steps::page(tables, (id, &submission.plan), after, limit)?;
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
/// has happened in the query, or the schedule, `id`.
pub(super) async fn watch<T>(
    (app, id): (&App, &str),
    patience: Duration,
    seen: impl Fn() -> Result<Option<T>, ApiError>,
) -> Result<Option<T>, ApiError> {
    let mut bell = app.queries.bells.of(id);
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
