//! API keys: given out, listed and revoked. A secret is made here, shown once, and kept nowhere.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderName, StatusCode};
use perennial_query::audit::Act;
use perennial_query::keys::{
    API_KEYS, Created, KEYS, KeyRow, Keys, KeysMessage, MOST, NewKey, Revoked,
};

use super::access::{self, Caller};
use super::audit::keep_refusal;
use super::error::ApiError;
use super::extract::{Body, Params, Path};
use super::model::{ApiKey, KeyPage, List, NewApiKey, WantedKey};
use super::{App, aside};

/// The wait for the Keys' commit.
const PATIENCE: Duration = Duration::from_secs(5);

/// A status, a header that keeps the answer out of caches, and a new key.
type Given = (StatusCode, [(HeaderName, &'static str); 1], Json<NewApiKey>);

pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    Body(wanted): Body<WantedKey>,
) -> Result<Given, ApiError> {
    wanted.check()?;
    let name = wanted.name.clone();
    let given = give(&app, &caller, wanted).await;
    if let Err(why) = &given {
        let what = (Act::KeyCreated, String::new(), name);
        keep_refusal((&app, &caller), what, why).await;
    }
    given
}

async fn give(app: &App, caller: &Caller, wanted: WantedKey) -> Result<Given, ApiError> {
    caller.commands(&wanted.role, wanted.teams.iter())?;
    let secret = access::ApiKey::random()?;
    let WantedKey { name, role, teams } = wanted;
    let new = NewKey { name, role, teams, hash: secret.hash() };
    let message = KeysMessage::Create { new, by: caller.identity().clone() };
    let row = match app.runtime.ask::<Keys, Created>(KEYS, &message, PATIENCE).await? {
        Created::Key(row) => row,
        Created::UnknownRole(known) => {
            let why = format!("there is no such role; there are {}", known.join(", "));
            return Err(ApiError::Refused(why));
        }
        Created::Full => {
            let why = format!("there are {MOST} API keys already; revoke some");
            return Err(ApiError::Conflict(why));
        }
    };
    let (key, by) = (row.number, &caller.identity().name);
    tracing::info!(key, name = row.name, role = row.role, by, "an API key was given out");
    let key = secret.numbered(row.number).reveal();
    let given = NewApiKey { about: row.into(), key };
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], Json(given)))
}

/// All of them, the newest first, also those that were revoked.
pub(super) async fn list(
    State(app): State<App>,
    Params(page): Params<KeyPage>,
) -> Result<Json<List<ApiKey>>, ApiError> {
    let limit = page.limit()?;
    let tables = app.runtime.tables();
    aside(move || {
        let newest = tables.scan_back(&API_KEYS, b"", 1)?.first().map_or(0, |row| row.number);
        // No number is left out, and no row is ever deleted.
        let last = page.after.map_or(newest, |after| newest.min(after.saturating_sub(1)));
        let numbers = (1..=last).rev().take(limit);
        let rows = numbers.map(|number| tables.get(&API_KEYS, &number));
        let rows: Vec<KeyRow> = rows.filter_map(Result::transpose).collect::<Result<_, _>>()?;
        let next = rows.last().filter(|row| row.number > 1).map(|row| row.number.to_string());
        Ok(Json(List { items: rows.into_iter().map(ApiKey::from).collect(), next }))
    })
    .await
}

pub(super) async fn revoke(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let unknown = || ApiError::NotFound(format!("there is no API key {id}; /v1/keys lists them"));
    let number: u64 = id.parse().map_err(|_| unknown())?;
    // What a key may never changes, so nothing comes in between.
    let row = app.runtime.tables().get(&API_KEYS, &number)?.ok_or_else(unknown)?;
    if let Err(why) = caller.commands(&row.role, row.teams.iter()) {
        let what = (Act::KeyRevoked, number.to_string(), row.name);
        keep_refusal((&app, &caller), what, &why).await;
        return Err(why);
    }
    let message = KeysMessage::Revoke { number, by: caller.identity().clone() };
    match app.runtime.ask::<Keys, Revoked>(KEYS, &message, PATIENCE).await? {
        Revoked::Done => {
            let by = &caller.identity().name;
            tracing::info!(key = number, by, "an API key was revoked");
            Ok(StatusCode::NO_CONTENT)
        }
        Revoked::Unknown => Err(unknown()),
    }
}
