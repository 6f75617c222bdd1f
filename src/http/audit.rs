//! The audit of what is no query: who put documents in and removed them, when, and what came of it.

use std::ops::ControlFlow;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use perennial_query::audit::{self, AUDIT, Audit, AuditMessage, DEEDS, DeedRow};
use perennial_runtime::{AskError, RowKey, Runtime};

use super::error::ApiError;
use super::extract::Params;
use super::model::{Deed, DeedFilter, List};
use super::{App, aside};

/// The wait for the Audit's commit.
const PATIENCE: Duration = Duration::from_secs(5);

/// Keeps what somebody did, durably.
pub(crate) async fn keep(runtime: &Runtime, deed: audit::Deed) -> Result<(), AskError> {
    let message = AuditMessage::Keep(deed);
    runtime.ask::<Audit, u64>(AUDIT, &message, PATIENCE).await.map(drop)
}

/// What was done, the latest first. As many are looked at as there are: they are bounded.
pub(super) async fn list(
    State(app): State<App>,
    Params(filter): Params<DeedFilter>,
) -> Result<Json<List<Deed>>, ApiError> {
    let limit = filter.limit()?;
    let tables = app.runtime.tables();
    aside(move || {
        let mut found: Vec<DeedRow> = Vec::new();
        let before = filter.after.map(|number| number.to_row_key());
        tables.visit_back(&DEEDS, before.as_deref(), |row| {
            if filter.matches(&row) {
                found.push(row);
            }
            if found.len() > limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more).map(|row| row.number.to_string());
        Ok(Json(List { items: found.iter().map(Deed::from).collect(), next }))
    })
    .await
}
