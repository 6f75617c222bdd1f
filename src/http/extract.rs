//! Parts of a request, with a problem document for each that is not as expected.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::error::ApiError;

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        match Json::from_request(request, state).await {
            Ok(Json(value)) => Ok(Self(value)),
            Err(JsonRejection::MissingJsonContentType(_)) => Err(ApiError::NotJson),
            Err(rejection) if rejection.status() == 413 => Err(ApiError::BodyTooLarge),
            Err(rejection) => Err(malformed("the body", &rejection.body_text())),
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
