//! Incidents: what was wrong, what was done, and whether it helped.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use perennial_healing::alert::{ALERT, Acknowledgement, Alert, AlertMessage, INCIDENTS, JOURNAL};
use perennial_healing::model::IncidentId;
use perennial_runtime::owner_prefix;

use super::error::ApiError;
use super::extract::{Body, Params};
use super::model::{Acknowledge, Filter, Incident, IncidentWithJournal, List};
use super::{App, aside};

/// Incidents looked at for one list: more than are kept, as old ones are forgotten.
pub(super) const LOOKED_AT: usize = 100_000;

/// Journal entries shown of one incident.
const JOURNAL_ENTRIES: usize = 10_000;

/// The wait for the Alert agent's commit.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest `by` and `note`, in bytes: they are stored and sent on.
const LONGEST_BY: usize = 200;
const LONGEST_NOTE: usize = 2_000;

pub(super) async fn list(
    State(app): State<App>,
    Params(filter): Params<Filter>,
) -> Result<Json<List<Incident>>, ApiError> {
    filter.check()?;
    let limit = filter.limit()?;
    let tables = app.runtime.tables();
    let rows = aside(move || Ok(tables.scan(&INCIDENTS, b"", LOOKED_AT)?)).await?;
    let mut found: Vec<_> =
        rows.into_iter().filter(|row| row.known && filter.matches(row)).collect();
    found.sort_by_key(|incident| std::cmp::Reverse(incident.updated_at));
    Ok(Json(found.into_iter().take(limit).map(Incident::from).collect()))
}

pub(super) async fn show(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<IncidentWithJournal>, ApiError> {
    let tables = app.runtime.tables();
    let incident = tables.get(&INCIDENTS, id.as_str())?.ok_or_else(|| unknown(&id))?;
    let journal = tables.scan(&JOURNAL, &owner_prefix(&id), JOURNAL_ENTRIES)?;
    Ok(Json(IncidentWithJournal::new(incident, journal)))
}

pub(super) async fn acknowledge(
    State(app): State<App>,
    Path(id): Path<String>,
    Body(Acknowledge { by, note }): Body<Acknowledge>,
) -> Result<StatusCode, ApiError> {
    check(&by, note.as_deref())?;
    let message = AlertMessage::Acknowledge { incident: IncidentId(id.clone()), by, note };
    match app.runtime.ask::<Alert, Acknowledgement>(ALERT, &message, PATIENCE).await? {
        Acknowledgement::Acknowledged => Ok(StatusCode::NO_CONTENT),
        Acknowledgement::Unknown => Err(unknown(&id)),
        Acknowledgement::Closed => Err(ApiError::Conflict(format!("{id} is closed already"))),
    }
}

fn check(by: &str, note: Option<&str>) -> Result<(), ApiError> {
    let wrong = if by.trim().is_empty() || by.len() > LONGEST_BY {
        Some(format!("`by` must name a person, in at most {LONGEST_BY} bytes"))
    } else if note.is_some_and(|note| note.len() > LONGEST_NOTE) {
        Some(format!("`note` must be at most {LONGEST_NOTE} bytes"))
    } else {
        None
    };
    wrong.map_or(Ok(()), |why| Err(ApiError::Malformed(why)))
}

fn unknown(id: &str) -> ApiError {
    ApiError::NotFound(format!("there is no incident {id}; /v1/incidents lists them"))
}
