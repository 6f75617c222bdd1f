//! Containers as they were last seen.

use axum::Json;
use axum::extract::State;
use perennial_healing::monitor::CONTAINERS;

use super::App;
use super::error::ApiError;
use super::model::{Container, List};

/// More than one engine runs.
pub(super) const MOST: usize = 10_000;

pub(super) async fn list(State(app): State<App>) -> Result<Json<List<Container>>, ApiError> {
    let mut rows = app.runtime.tables().scan(&CONTAINERS, b"", MOST)?;
    rows.sort_by(|a, b| a.subject.name.cmp(&b.subject.name));
    Ok(Json(rows.into_iter().map(Container::from).collect()))
}
