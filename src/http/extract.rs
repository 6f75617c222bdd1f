//! Parts of a request, with a problem document for each that is not as expected.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{self, FromRequest, FromRequestParts, Query, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use percent_encoding::percent_decode_str;
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
        object(&bytes)?;
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
        object(&bytes)?;
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

/// Refuses JSON that is no object: the fields of what is read could be told from their order alone.
pub(super) fn object(text: &[u8]) -> Result<(), ApiError> {
    if text.trim_ascii_start().first().is_some_and(|first| *first != b'{') {
        let why = "the body is not as expected: it must be a JSON object, with its fields by name";
        return Err(ApiError::Malformed(why.to_owned()));
    }
    Ok(())
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
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.any(|other| other != value) {
        let why = format!("`{IDEMPOTENCY_KEY}` is given twice, with different values; send one");
        return Err(ApiError::Malformed(why));
    }
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
        if let Some(name) = parts.uri.query().and_then(unreadable) {
            return Err(malformed("the query", &format!("`{name}` is not UTF-8")));
        }
        let query: Result<Query<T>, QueryRejection> = Query::from_request_parts(parts, state).await;
        query
            .map(|Query(value)| Self(value))
            .map_err(|rejection| malformed("the query", &rejection.body_text()))
    }
}

/// The first parameter of a query that is no text, be it in its name or its value.
///
/// The library would put the same mark for whatever is not UTF-8, and take two values for one.
fn unreadable(query: &str) -> Option<&str> {
    let part = query.split('&').find(|part| percent_decode_str(part).decode_utf8().is_err())?;
    Some(part.split('=').next().unwrap_or_default())
}

/// The parts of the path that have a name.
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path: Result<extract::Path<T>, PathRejection> =
            extract::Path::from_request_parts(parts, state).await;
        path.map(|extract::Path(value)| Self(value))
            .map_err(|rejection| malformed("the path", &rejection.body_text()))
    }
}

/// Says what of the request is not as expected: the library's text, without what it was doing.
fn malformed(part: &str, text: &str) -> ApiError {
    let why = text.split_once(": ").map_or(text, |(_, why)| why);
    ApiError::Malformed(format!("{part} is not as expected: {why}"))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_parameter_that_is_no_text_is_found_by_its_name() {
        for text in
            ["", "a", "a=b&c", "a=%41%C3%A4", "a=%", "a=%zz&b=%4", "a=%EF%BF%BD", "a=100%25"]
        {
            assert_eq!(unreadable(text), None, "{text}");
        }
        for text in ["x=1&name=%ff.txt", "name=%C3", "name=%c3%28&x=1", "name=%ED%A0%80"] {
            assert_eq!(unreadable(text), Some("name"), "{text}");
        }
        assert_eq!(unreadable("%ff=1"), Some("%ff"));
    }

    #[test]
    fn what_is_to_be_done_once_has_one_name() {
        let given = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(IDEMPOTENCY_KEY, HeaderValue::from_static(value));
            }
            key(&headers, "order").ok()
        };
        assert_eq!(given(&[]), Some(None));
        assert_eq!(given(&["a"]), Some(Some("order/a".to_owned())));
        assert_eq!(given(&["a", "a"]), Some(Some("order/a".to_owned())), "the same said again");
        assert_eq!(given(&["a", "b"]), None);
        assert_eq!(given(&["a", "a", ""]), None);
        assert_eq!(given(&[""]), None);
    }

    #[test]
    fn a_body_is_an_object_whatever_space_is_before_it() {
        assert!(object(b"{}").is_ok() && object(b" \r\n\t{\"a\": 1}").is_ok());
        for text in ["[]", " [1]", "3", "null", "\"{}\""] {
            assert!(object(text.as_bytes()).is_err(), "{text}");
        }
    }
}
