//! Parts of a request, with a problem document for each that is not as expected.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use perennial_query::json::repeated;
use serde::de::DeserializeOwned;

use super::error::ApiError;
use crate::client::IDEMPOTENCY_KEY;

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            return Err(ApiError::NotJson);
        }
        let bytes = read(request, state).await?;
        match Json::from_bytes(&bytes) {
            Ok(Json(value)) => once_each(&bytes).map(|()| Self(value)),
            Err(rejection) => Err(malformed("the body", &rejection.body_text())),
        }
    }
}

/// A JSON body that may be left out, where every field of it may be.
pub(super) struct MaybeBody<T>(pub(super) T);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for MaybeBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes = read(request, state).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        let value = serde_json::from_slice(&bytes).map_err(|error| {
            ApiError::Malformed(format!("the body is not as expected: {error}"))
        })?;
        once_each(&bytes).map(|()| Self(value))
    }
}

async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    Bytes::from_request(request, state).await.map_err(|rejection| {
        if rejection.status() == 413 {
            return ApiError::BodyTooLarge;
        }
        malformed("the body", &rejection.body_text())
    })
}

/// Whether the body is said to be JSON, or something that is written in it (RFC 6839, section 3.1).
fn is_json(headers: &HeaderMap) -> bool {
    let said = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = said.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media == "application/json" || media.starts_with("application/") && media.ends_with("+json")
}

/// Refuses JSON of which a part would be passed over without a word.
pub(super) fn once_each(text: &[u8]) -> Result<(), ApiError> {
    repeated(text).map_or(Ok(()), |place| {
        let why = format!("`{place}` is given twice, and only one of its values could be meant");
        Err(ApiError::Malformed(why))
    })
}

/// The longest name of something that is to be done once, in bytes.
const LONGEST_KEY: usize = 200;

/// The name under which `what` is to be done once, if the client gave one.
pub(super) fn key(headers: &HeaderMap, what: &str) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    match value.to_str() {
        Ok(text) if !text.is_empty() && text.len() <= LONGEST_KEY => {
            Ok(Some(format!("{what}/{text}")))
        }
        Ok(_) | Err(_) => {
            let why =
                format!("`{IDEMPOTENCY_KEY}` must be 1 to {LONGEST_KEY} visible ASCII characters");
            Err(ApiError::Malformed(why))
        }
    }
}

/// The parameters behind the question mark.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query: Result<Query<T>, QueryRejection> = Query::from_request_parts(parts, state).await;
        query
            .map(|Query(value)| Self(value))
            .map_err(|rejection| malformed("the query", &rejection.body_text()))
    }
}

/// Says what of the request is not as expected: the library's text, without what it was doing.
fn malformed(part: &str, text: &str) -> ApiError {
    let why = text.split_once(": ").map_or(text, |(_, why)| why);
    ApiError::Malformed(format!("{part} is not as expected: {why}"))
}
