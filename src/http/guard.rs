//! What every request passes on its way in: who asks, and the time it may take.

use std::hint::black_box;

use axum::extract::{MatchedPath, Request, State};
use axum::http::HeaderValue;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::Response;
use perennial_query::keys::{API_KEYS, KeyRow};
use perennial_query::tool::Identity;

use super::App;
use super::access::{ApiKey, Caller, PREFIX};
use super::browser::refuse_pages;
use super::error::ApiError;
use super::model::Wait;

/// The header by which a key may be sent instead of as a bearer token.
const API_KEY: &str = "x-api-key";

/// Lets a request through that carries the node's token, if the node has one, or a good API key that may do
/// what is asked. Who it is goes along with the request.
pub(super) async fn access(
    State(app): State<App>,
    route: MatchedPath,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let caller = caller(&app, &request)?;
    app.access.admit(&caller, request.method(), route.as_str())?;
    let caller = app.access.enter(caller, app.http.max_connections)?;
    request.extensions_mut().insert(caller.clone());
    Ok(next.run(request).await)
}

/// Who asks.
fn caller(app: &App, request: &Request) -> Result<Caller, ApiError> {
    let (wanted, headers) = (&app.http.token, request.headers());
    let token = headers.get(AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
    if token.is_some_and(|given| wanted.is_set() && same(given, wanted.expose().as_bytes())) {
        return Ok(app.access.operator());
    }
    let as_token = token.filter(|given| given.starts_with(PREFIX.as_bytes()));
    let alone = || headers.get(API_KEY).filter(|_| token.is_none()).map(HeaderValue::as_bytes);
    match as_token.or_else(alone) {
        Some(text) => holder(app, text).map(|identity| app.access.caller(identity)),
        // What is given and not understood is no reason to take somebody for the operator.
        None if !wanted.is_set() && !headers.contains_key(AUTHORIZATION) => {
            refuse_pages(headers, request.uri())?;
            Ok(app.access.operator())
        }
        None => Err(ApiError::Unauthorized),
    }
}

/// Who holds the key of this text, if it is good.
fn holder(app: &App, text: &[u8]) -> Result<Identity, ApiError> {
    let key = ApiKey::parse(text).ok_or(ApiError::Unauthorized)?;
    let row = app.runtime.tables().get(&API_KEYS, &key.number)?;
    let good = |row: &KeyRow| row.revoked_at.is_none() && same(&key.hash().0, &row.hash.0);
    row.filter(good).map(|row| row.identity()).ok_or(ApiError::Unauthorized)
}

/// The token in a header such as `Bearer abc`; the scheme's case does not matter.
fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.split_at_checked(b"bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
}

/// Compares in a time that tells nothing about where the two differ.
fn same(given: &[u8], wanted: &[u8]) -> bool {
    let pairs = given.iter().zip(wanted);
    let difference = pairs.fold(0, |seen, (a, b)| black_box(seen | (a ^ b)));
    given.len() == wanted.len() && difference == 0
}

/// Answers 503 when the answer takes too long. Who asks to wait for the end of a query, or for a job, gets that
/// on top.
pub(super) async fn time(
    State(app): State<App>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let limit = app.http.request_timeout + Wait::of_uri(request.uri());
    let answered = tokio::time::timeout(limit, next.run(request)).await;
    answered.map_err(|_| ApiError::TimedOut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_token_is_the_same() {
        assert!(same(b"secret", b"secret"));
        for other in [&b"secreT"[..], b"secre", b"secrets", b""] {
            assert!(!same(other, b"secret"));
        }
    }

    #[test]
    fn a_bearer_token_is_found_whatever_the_case_of_its_scheme() {
        assert_eq!(bearer(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(bearer(b"bearer abc"), Some(&b"abc"[..]));
        assert_eq!(bearer(b"Basic abc"), None);
        assert_eq!(bearer(b"Bea"), None);
    }
}
