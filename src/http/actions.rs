//! Actions: the audit, verified each time it is shown, and what a person asks for.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use perennial_healing::model::Status;
use perennial_healing::monitor::{CONTAINERS, ContainerRow};
use perennial_healing::responder::audit::{ACTIONS, verify_chain};
use perennial_healing::responder::{Order, Ordered, RESPONDER, Responder, ResponderMessage};
use perennial_runtime::SendOptions;

use super::error::ApiError;
use super::extract::{Body, Params};
use super::model::{Actions, Chain, Page, Taken, Wanted};
use super::{App, aside, containers};
use crate::client::IDEMPOTENCY_KEY;

/// Entries verified; an hour allows ten actions, so these last for years.
const VERIFIED: usize = 200_000;

/// The wait for the Responder's commit.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest of these names, in bytes.
const LONGEST_KEY: usize = 200;

pub(super) async fn list(
    State(app): State<App>,
    Params(page): Params<Page>,
) -> Result<Json<Actions>, ApiError> {
    let limit = page.limit()?;
    let tables = app.runtime.tables();
    // Hashing all of it takes longer than other requests should wait.
    aside(move || {
        let entries = tables.scan(&ACTIONS, b"", VERIFIED)?;
        let chain = Chain::new(&entries, verify_chain(&entries));
        let newest = entries.into_iter().rev().take(limit).collect();
        Ok(Json(Actions::new(newest, chain)))
    })
    .await
}

/// Takes an order. Whether the gates let it through is in the audit, soon after.
pub(super) async fn order(
    State(app): State<App>,
    headers: HeaderMap,
    Body(wanted): Body<Wanted>,
) -> Result<(StatusCode, Json<Taken>), ApiError> {
    let action = wanted.action()?;
    let token = key(&headers)?;
    let ContainerRow { subject, facts, .. } = find(&app, &wanted.container)?;
    let order = Order { subject, facts, action, reason: wanted.reason };
    let (message, options) =
        (ResponderMessage::Order(order), SendOptions { token, ..SendOptions::default() });
    let answer = app.runtime.ask_with::<Responder, Ordered>(RESPONDER, &message, PATIENCE, options);
    let Ordered { incident } = answer.await?;
    Ok((StatusCode::ACCEPTED, Json(Taken { incident: incident.0 })))
}

fn key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    match value.to_str() {
        Ok(text) if !text.is_empty() && text.len() <= LONGEST_KEY => {
            Ok(Some(format!("order/{text}")))
        }
        Ok(_) | Err(_) => {
            let why =
                format!("`{IDEMPOTENCY_KEY}` must be 1 to {LONGEST_KEY} visible ASCII characters");
            Err(ApiError::Malformed(why))
        }
    }
}

/// The container of this name, id or short id.
fn find(app: &App, container: &str) -> Result<ContainerRow, ApiError> {
    let rows = app.runtime.tables().scan(&CONTAINERS, b"", containers::MOST)?;
    let named = |row: &ContainerRow| {
        let subject = &row.subject;
        [subject.id.0.as_str(), subject.id.short(), subject.name.as_str()].contains(&container)
    };
    let found = rows.into_iter().find(|row| row.facts.status != Status::Gone && named(row));
    found.ok_or_else(|| {
        let why = format!("there is no container {container}; /v1/containers lists them");
        ApiError::NotFound(why)
    })
}
