//! Messages and effects that were given up.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use perennial_runtime::MessageId;

use super::App;
use super::error::ApiError;
use super::extract::{Params, Path};
use super::model::{DeadLetter, List, Page};

pub(super) async fn list(
    State(app): State<App>,
    Params(page): Params<Page>,
) -> Result<Json<List<DeadLetter>>, ApiError> {
    let letters = app.runtime.dead_letters().list(page.limit()?)?;
    Ok(Json(letters.into_iter().map(DeadLetter::from).collect()))
}

pub(super) async fn show(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<DeadLetter>, ApiError> {
    let letter = app.runtime.dead_letters().show(parse(&id)?)?;
    letter.map(|letter| Json(letter.into())).ok_or_else(|| unknown(&id))
}

pub(super) async fn redrive(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let found = app.runtime.dead_letters().redrive(parse(&id)?).await?;
    if found { Ok(StatusCode::NO_CONTENT) } else { Err(unknown(&id)) }
}

pub(super) async fn discard(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let found = app.runtime.dead_letters().discard(parse(&id)?).await?;
    if found { Ok(StatusCode::NO_CONTENT) } else { Err(unknown(&id)) }
}

fn parse(id: &str) -> Result<MessageId, ApiError> {
    id.parse()
        .map_err(|error: perennial_store::MessageIdError| ApiError::Malformed(error.to_string()))
}

fn unknown(id: &str) -> ApiError {
    ApiError::NotFound(format!("there is no dead letter {id}; /v1/dead-letters lists them"))
}
