//! What every request passes on its way in: the token, and the time it may take.

use std::hint::black_box;

use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::Response;

use super::App;
use super::error::ApiError;
use super::model::Wait;

/// Lets a request through that carries the node's token, if the node has one.
pub(super) async fn token(
    State(app): State<App>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let wanted = &app.http.token;
    let given = request.headers().get(AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
    match given {
        _ if !wanted.is_set() => Ok(next.run(request).await),
        Some(given) if same(given, wanted.expose().as_bytes()) => Ok(next.run(request).await),
        Some(_) | None => Err(ApiError::Unauthorized),
    }
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
