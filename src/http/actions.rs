//! The audit of actions, verified each time it is shown.

use axum::Json;
use axum::extract::State;
use perennial_healing::responder::audit::{ACTIONS, verify_chain};

use super::App;
use super::error::ApiError;
use super::extract::Params;
use super::model::{Actions, Chain, Page};

/// Entries verified; an hour allows ten actions, so these last for years.
const VERIFIED: usize = 200_000;

pub(super) async fn list(
    State(app): State<App>,
    Params(page): Params<Page>,
) -> Result<Json<Actions>, ApiError> {
    let limit = page.limit()?;
    let tables = app.runtime.tables();
    let verified = move || {
        let entries = tables.scan(&ACTIONS, b"", VERIFIED)?;
        let chain = Chain::new(&entries, verify_chain(&entries));
        let newest = entries.into_iter().rev().take(limit).collect();
        Ok(Json(Actions::new(newest, chain)))
    };
    // Hashing all of it takes longer than other requests should wait.
    tokio::task::spawn_blocking(verified)
        .await
        .map_err(|error| ApiError::Internal(error.to_string()))?
}
