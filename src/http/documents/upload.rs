//! A document as a client sends it: as a field of JSON, or as the body itself.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use perennial_knowledge::{Format, Submission};
use serde::Deserialize;

use crate::http::error::ApiError;
use crate::http::extract::{object, once_each};
use crate::http::model::{metadata, patience};

/// The header that names a document, for clients that cannot write a query.
const NAME: &str = "x-document-name";

/// Room in a body of JSON beside the document.
const JSON_ROOM: usize = 64 * 1024;

/// What stands behind the question mark.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Given {
    name: Option<String>,
    title: Option<String>,
    format: Option<String>,
    team: Option<String>,
    /// Names and values, as a JSON object.
    metadata: Option<String>,
    wait: Option<u64>,
}

impl Given {
    /// What the document is called, as far as that is said beside it.
    pub(super) fn said(&self, headers: &HeaderMap) -> Option<String> {
        let header =
            || headers.get(NAME).and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
        self.name.clone().or_else(|| header().map(str::to_owned))
    }

    pub(super) fn wait(&self) -> Result<Option<Duration>, ApiError> {
        patience(self.wait)
    }
}

/// A document within JSON.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    name: String,
    title: Option<String>,
    format: Option<String>,
    content: Option<String>,
    content_base64: Option<String>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    team: Option<String>,
}

/// Reads a document of at most `most` bytes.
pub(super) async fn read(
    given: Given,
    request: Request,
    most: usize,
) -> Result<Submission, ApiError> {
    let headers = request.headers().clone();
    let media = media_type(&headers)?;
    let json = media == "application/json";
    // Base64 makes four of three, and a text may be written with escapes.
    let room = if json { most.saturating_mul(2).saturating_add(JSON_ROOM) } else { most };
    let body = to_bytes(request.into_body(), room).await.map_err(|error| too_large(&error))?;
    let submission =
        if json { whole(&given, &body)? } else { raw(given, &headers, &media, body.into())? };
    if submission.content.len() > most {
        return Err(ApiError::BodyTooLarge);
    }
    Ok(submission)
}

fn too_large(error: &axum::Error) -> ApiError {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if cause.to_string().contains("length limit exceeded") {
            return ApiError::BodyTooLarge;
        }
        source = cause.source();
    }
    ApiError::Malformed(format!("the body could not be read to its end: {error}"))
}

/// What the body is, without parameters and in lower case.
fn media_type(headers: &HeaderMap) -> Result<String, ApiError> {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let value = value.ok_or_else(|| {
        let why = "content-type must say what the body is: application/json, or what the document is written in";
        ApiError::Malformed(why.to_owned())
    })?;
    Ok(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

fn whole(given: &Given, body: &[u8]) -> Result<Submission, ApiError> {
    let Given { name, title, format, team, metadata, wait: _ } = given;
    if [name, title, format, team, metadata].iter().any(|parameter| parameter.is_some()) {
        let why = "a document in JSON has its name, title, format, team and metadata in the body, not in the query";
        return Err(ApiError::Malformed(why.to_owned()));
    }
    object(body)?;
    let whole: Whole = serde_json::from_slice(body)
        .map_err(|error| ApiError::Malformed(format!("the body is not as expected: {error}")))?;
    once_each(body)?;
    let Whole { name, title, format, content, content_base64, metadata, team } = whole;
    let content = match (content, content_base64) {
        (Some(text), None) => text.into_bytes(),
        (None, Some(encoded)) => perennial_knowledge::from_base64(&encoded)
            .map_err(|error| ApiError::Malformed(error.message))?,
        (Some(_), Some(_)) | (None, None) => {
            let why = "give either `content` or `content_base64`";
            return Err(ApiError::Malformed(why.to_owned()));
        }
    };
    let format = format_of(format.as_deref(), None, &name)?;
    Ok(Submission { name, title, format, content, metadata, team })
}

fn raw(
    given: Given,
    headers: &HeaderMap,
    media: &str,
    content: Vec<u8>,
) -> Result<Submission, ApiError> {
    let Given { name, title, format, team, metadata: pairs, wait: _ } = given;
    let name = match (name, headers.get(NAME)) {
        (Some(name), _) => name,
        (None, Some(value)) => std::str::from_utf8(value.as_bytes())
            .map_err(|_| ApiError::Malformed(format!("{NAME} is not UTF-8")))?
            .to_owned(),
        (None, None) => {
            let why = format!("name the document: with ?name= or the header {NAME}");
            return Err(ApiError::Malformed(why));
        }
    };
    let format = format_of(format.as_deref(), Some(media), &name)?;
    let metadata = metadata(pairs.as_deref())?;
    Ok(Submission { name, title, format, content, metadata, team })
}

/// What a document is written in: what is said of it, or else what it is sent as, or else what its name ends with.
fn format_of(said: Option<&str>, media: Option<&str>, name: &str) -> Result<Format, ApiError> {
    if let Some(said) = said {
        return Format::named(said).ok_or_else(|| {
            let why = format!("format is `{said}`; expected one of {}", Format::names());
            ApiError::Malformed(why)
        });
    }
    let parquet = media == Some("application/vnd.apache.parquet")
        || name.to_ascii_lowercase().ends_with(".parquet");
    if parquet {
        let why = "Parquet is not taken: ask it with the tool `sql`, or write the table out as CSV";
        return Err(ApiError::Malformed(why.to_owned()));
    }
    let found = media.and_then(Format::of_media_type).or_else(|| Format::of_file_name(name));
    found.ok_or_else(|| {
        let why =
            format!("say what `{name}` is written in with `format`: one of {}", Format::names());
        ApiError::Malformed(why)
    })
}
