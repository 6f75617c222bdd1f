//! Schedules: what is done when, how each stands, and what people want of them.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use perennial_query::record::QUERIES;
use perennial_query::schedule::{
    Definition, SCHEDULES, Schedule as Actor, ScheduleMessage, ScheduleOrder, ScheduleOrdered,
};
use perennial_runtime::{SendOptions, Timestamp};

use super::access::Caller;
use super::error::ApiError;
use super::extract::{MaybeBody, Path, key};
use super::model::{Fired, List, Reason, Schedule};
use super::queries::watch;
use super::{App, aside};

/// The wait for a schedule's commit.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn list(State(app): State<App>) -> Result<Json<List<Schedule>>, ApiError> {
    aside(move || {
        let definitions = app.queries.schedules.by_name.values();
        let shown = definitions.map(|definition| shown(&app, definition));
        Ok(Json(shown.collect::<Result<List<Schedule>, ApiError>>()?))
    })
    .await
}

pub(super) async fn show(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<Schedule>, ApiError> {
    aside(move || shown(&app, defined(&app, &name)?).map(Json)).await
}

pub(super) async fn pause(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    MaybeBody(Reason { by, .. }): MaybeBody<Reason>,
) -> Result<StatusCode, ApiError> {
    order(&app, &name, caller.signs(by)?, ScheduleOrder::Pause, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn resume(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    MaybeBody(Reason { by, .. }): MaybeBody<Reason>,
) -> Result<StatusCode, ApiError> {
    order(&app, &name, caller.signs(by)?, ScheduleOrder::Resume, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Has it done at once. The id of the query is told if it is known soon; how the schedule stands tells it later.
pub(super) async fn fire(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    headers: axum::http::HeaderMap,
    MaybeBody(Reason { by, .. }): MaybeBody<Reason>,
) -> Result<(StatusCode, Json<Fired>), ApiError> {
    let token = key(&headers, &caller.names(&format!("schedule/{name}")))?;
    let fired = order(&app, &name, caller.signs(by)?, ScheduleOrder::Fire, token).await?;
    let due = fired.ok_or_else(|| ApiError::Internal("it was not told for when".to_owned()))?;
    let tables = app.runtime.tables();
    let query = watch((&app, &name), PATIENCE, || {
        let last = tables.get(&SCHEDULES, &name)?.and_then(|row| row.last);
        Ok(last.filter(|last| last.due == due).and_then(|last| last.query))
    });
    let query = query.await?;
    Ok((StatusCode::ACCEPTED, Json(Fired::new(name, due, query))))
}

/// The time that it is done for, if it is done.
async fn order(
    app: &App,
    name: &str,
    by: String,
    order: ScheduleOrder,
    token: Option<String>,
) -> Result<Option<Timestamp>, ApiError> {
    // An address that nobody uses would come to be by being asked.
    defined(app, name)?;
    let message = ScheduleMessage::Order { by, order };
    let options = SendOptions { token, ..SendOptions::default() };
    let asked = app.runtime.ask_with::<Actor, ScheduleOrdered>(name, &message, PATIENCE, options);
    match asked.await? {
        ScheduleOrdered::Done => Ok(None),
        ScheduleOrdered::Fires(due) => Ok(Some(due)),
        ScheduleOrdered::Unknown => Err(unknown(name)),
        ScheduleOrdered::Conflict(why) => {
            Err(ApiError::Conflict(format!("schedule {name}: {why}")))
        }
    }
}

fn defined<'a>(app: &'a App, name: &str) -> Result<&'a Definition, ApiError> {
    app.queries.schedules.by_name.get(name).ok_or_else(|| unknown(name))
}

fn unknown(name: &str) -> ApiError {
    ApiError::NotFound(format!("there is no schedule {name}; /v1/schedules lists them"))
}

fn shown(app: &App, definition: &Definition) -> Result<Schedule, ApiError> {
    let tables = app.runtime.tables();
    let row = tables.get(&SCHEDULES, &definition.written.name)?.unwrap_or_default();
    // A query that was begun again says better how it ended than the schedule was told.
    let query = row.last.as_ref().and_then(|last| last.query.clone());
    let query = query.map(|id| tables.get(&QUERIES, &id)).transpose()?.flatten();
    Ok(Schedule::new(&definition.written, row, query.as_ref()))
}
