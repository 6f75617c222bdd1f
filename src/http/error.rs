//! RFC 9457 problem documents, and the one conversion of every error into a status.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use perennial_runtime::{AskError, SendError, StoreError};
use serde::Serialize;

/// Everything a request can fail with.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    /// It cannot be understood; what was expected.
    #[error("{0}")]
    Malformed(String),
    /// A JSON body was expected.
    #[error("the body must be JSON, sent with `content-type: application/json`")]
    NotJson,
    /// The body is longer than `http.max_body_bytes`.
    #[error("the body is longer than this node takes")]
    BodyTooLarge,
    /// The token is missing or is not ours, or the API key is not good.
    #[error(
        "send the header `authorization: Bearer TOKEN` with the token of this node or an API key"
    )]
    Unauthorized,
    /// Who asks may not do that; why.
    #[error("{0}")]
    Forbidden(String),
    /// Who asks has asked too often; when they may again.
    #[error("this API key has asked too often; ask again in {0:.1?}")]
    RateLimited(Duration),
    /// Who asks has as many requests under way as they may.
    #[error(
        "{0} requests are under way already, which is the most for one API key or for all; end one, or wait for its end"
    )]
    TooManyOpen(usize),
    /// It was understood and cannot be; why.
    #[error("{0}")]
    Refused(String),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// The path is known, and this method is not one of its own.
    #[error("this path does not take the method {0}")]
    MethodNotAllowed(String),
    /// It was there, and is not any more; what is left of it.
    #[error("{0}")]
    Gone(String),
    /// It does not fit the state of what it is about.
    #[error("{0}")]
    Conflict(String),
    /// A plan or its inputs are not valid: everything that is wrong.
    #[error("{}", .0.join("\n"))]
    Invalid(Vec<String>),
    /// So many queries wait that no more of whoever has one waiting are taken in.
    #[error("{0} queries are waiting, and `query.queue` lets no more; come again later")]
    Busy(u64),
    /// So many queries of one API key wait that no more of it are taken in.
    #[error(
        "{0} queries of this API key are waiting, and `query.queue_share` lets no more; come again later"
    )]
    KeyBusy(u64),
    /// So much of its kind waits that no more is taken in; what.
    #[error("{0}")]
    Full(String),
    /// What it rests on is out of order; what.
    #[error("{0}")]
    Unavailable(String),
    /// It was not answered within `http.request_timeout`.
    #[error("the request was not answered in time; what it asked for may still happen")]
    TimedOut,
    /// A message was not accepted, or may not have been.
    #[error(transparent)]
    Send(#[from] SendError),
    /// A question to an actor has no answer.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// What is stored cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A defect of the node.
    #[error("the node failed to answer: {0}")]
    Internal(String),
}

/// What a status means to the client, as its problem type says.
struct Class {
    status: StatusCode,
    /// Ends the problem's type, and is listed in `docs/operations.md`.
    slug: &'static str,
    title: &'static str,
    /// Seconds after which the same request may succeed.
    retry_after: Option<u32>,
}

const fn class(status: StatusCode, slug: &'static str, title: &'static str) -> Class {
    Class { status, slug, title, retry_after: None }
}

impl Class {
    const fn retry_after(self, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }
}

impl ApiError {
    fn class(&self) -> Class {
        use StatusCode as S;
        match self {
            Self::Malformed(_) => class(S::BAD_REQUEST, "malformed", "Malformed request"),
            Self::NotJson => class(S::UNSUPPORTED_MEDIA_TYPE, "not-json", "Not JSON"),
            Self::BodyTooLarge => class(S::PAYLOAD_TOO_LARGE, "body-too-large", "Body too large"),
            Self::Unauthorized => class(S::UNAUTHORIZED, "unauthorized", "Token needed"),
            Self::Forbidden(_) => class(S::FORBIDDEN, "forbidden", "Forbidden"),
            Self::RateLimited(wait) => {
                // A wait of less than a second is one all the same.
                let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX);
                class(S::TOO_MANY_REQUESTS, "rate-limited", "Too many requests")
                    .retry_after(seconds.saturating_add(1))
            }
            Self::TooManyOpen(_) => {
                class(S::TOO_MANY_REQUESTS, "rate-limited", "Too many requests").retry_after(1)
            }
            Self::Refused(_) => class(S::UNPROCESSABLE_ENTITY, "refused", "Refused"),
            Self::NotFound(_) => class(S::NOT_FOUND, "not-found", "Not found"),
            Self::MethodNotAllowed(_) => {
                class(S::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed")
            }
            Self::Gone(_) => class(S::GONE, "gone", "Gone"),
            Self::Conflict(_) => class(S::CONFLICT, "conflict", "Conflict"),
            Self::Invalid(_) => class(S::UNPROCESSABLE_ENTITY, "invalid-plan", "Invalid plan"),
            Self::Busy(_) => class(S::TOO_MANY_REQUESTS, "busy", "Busy").retry_after(1),
            Self::KeyBusy(_) => class(S::TOO_MANY_REQUESTS, "key-busy", "Busy").retry_after(1),
            Self::Full(_) => class(S::TOO_MANY_REQUESTS, "overloaded", "Overloaded").retry_after(5),
            Self::Unavailable(_) => {
                class(S::SERVICE_UNAVAILABLE, "unavailable", "Unavailable").retry_after(5)
            }
            Self::TimedOut => {
                class(S::SERVICE_UNAVAILABLE, "timed-out", "Timed out").retry_after(1)
            }
            Self::Send(error) => send_class(error),
            Self::Ask(AskError::Send(error)) => send_class(error),
            Self::Ask(AskError::TimedOut) => {
                class(S::GATEWAY_TIMEOUT, "no-answer-yet", "No answer yet").retry_after(1)
            }
            Self::Ask(AskError::Rejected(_)) => {
                class(S::UNPROCESSABLE_ENTITY, "rejected", "Rejected")
            }
            Self::Ask(AskError::NoAnswer(_) | _) | Self::Internal(_) => {
                class(S::INTERNAL_SERVER_ERROR, "internal", "Internal error")
            }
            Self::Store(_) => class(S::INTERNAL_SERVER_ERROR, "store-failed", "Store failed"),
        }
    }
}

fn send_class(error: &SendError) -> Class {
    use StatusCode as S;
    match error {
        SendError::Overloaded(_) => {
            class(S::TOO_MANY_REQUESTS, "overloaded", "Overloaded").retry_after(1)
        }
        SendError::NoSpace => {
            class(S::INSUFFICIENT_STORAGE, "no-space", "Disk full").retry_after(30)
        }
        SendError::Refused(_) => class(S::UNPROCESSABLE_ENTITY, "refused", "Refused"),
        SendError::Stopping => {
            class(S::SERVICE_UNAVAILABLE, "stopping", "Shutting down").retry_after(5)
        }
        SendError::Unknown | _ => {
            class(S::SERVICE_UNAVAILABLE, "outcome-unknown", "Outcome unknown").retry_after(1)
        }
    }
}

/// The body of a problem document.
#[derive(Debug, Serialize)]
struct Problem {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: String,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Class { status, slug, title, retry_after } = self.class();
        let detail = self.to_string();
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(problem = slug, error = %detail, "a request failed");
        }
        let kind = format!("urn:perennial:problem:{slug}");
        let problem = Problem { kind, title, status: status.as_u16(), detail };
        let mut response = (status, Json(problem)).into_response();
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, json);
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status_and_wait(error: ApiError) -> (u16, Option<String>) {
        let response = error.into_response();
        let wait = response.headers().get(header::RETRY_AFTER);
        (response.status().as_u16(), wait.map(|wait| wait.to_str().unwrap().to_owned()))
    }

    #[test]
    fn a_full_mailbox_and_a_full_disk_ask_to_come_back_later() {
        let overloaded = SendError::Overloaded("alert/local".into());
        assert_eq!(status_and_wait(overloaded.into()), (429, Some("1".into())));
        let full = ApiError::from(AskError::Send(SendError::NoSpace));
        assert_eq!(status_and_wait(full), (507, Some("30".into())));
    }

    #[test]
    fn who_asks_too_often_is_told_a_wait_that_is_long_enough() {
        let limited = |millis| ApiError::RateLimited(Duration::from_millis(millis));
        assert_eq!(status_and_wait(limited(60)), (429, Some("1".into())));
        assert_eq!(status_and_wait(limited(1_500)), (429, Some("2".into())));
    }

    #[test]
    fn a_problem_is_typed_as_one_and_names_the_scheme_it_wants() {
        let response = ApiError::Unauthorized.into_response();
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer");
    }
}
