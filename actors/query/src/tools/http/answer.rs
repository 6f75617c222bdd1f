//! What a host's answer means. Pure.

use perennial_runtime::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde_json::{Map, Value, json};

use super::config::Method;
use super::freshness::retry_after;
use crate::plan::ErrorKind;
use crate::tool::{Citation, ToolAnswer, ToolError};

/// Headers that an answer repeats.
const HEADERS: [&str; 5] = ["content-type", "date", "etag", "last-modified", "link"];
/// Characters of a body that an error repeats.
const SAID: usize = 200;

/// What a host answered, all of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
    /// Of the body, as it came.
    pub(super) bytes: usize,
    /// Where it came from at last.
    pub(super) url: String,
    pub(super) redirects: u32,
    /// Whether something was posted before, and this only tells what came of it.
    pub(super) done: bool,
}

/// The answer, or the error that its status stands for. What was to be done and may have been is not an
/// error to try again.
pub(super) fn judge(
    answered: &Answered,
    method: Method,
    from_cache: bool,
    now: Timestamp,
) -> Result<ToolAnswer, ToolError> {
    let status = answered.status;
    let posted = method == Method::Post;
    let kind = match status {
        200..=299 => return Ok(accepted(answered, method, from_cache)),
        401 | 403 | 407 | 451 => ErrorKind::Denied,
        404 | 410 => ErrorKind::NotFound,
        429 => ErrorKind::Overloaded,
        503 => ErrorKind::Unavailable,
        408 | 502 | 504 if posted => ErrorKind::Unknown,
        408 => ErrorKind::Timeout,
        502 | 504 => ErrorKind::Unavailable,
        500..=599 if !posted => ErrorKind::Unavailable,
        _ => ErrorKind::Failed,
    };
    let said = line(&answered.body);
    let colon = if said.is_empty() { "" } else { ": " };
    let (url, method) = (without_query(&answered.url), method.as_str());
    let mut error = ToolError::new(kind, format!("{method} {url} answered {status}{colon}{said}"));
    error.retry_after = retry_after(&answered.headers, now);
    Err(error)
}

fn accepted(answered: &Answered, method: Method, from_cache: bool) -> ToolAnswer {
    let text = |name: &str| answered.headers.get(name).and_then(|value| value.to_str().ok());
    let headers: Map<String, Value> = HEADERS
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), Value::from(text(name)?))))
        .collect();
    let content_type = text(CONTENT_TYPE.as_str()).unwrap_or_default();
    let is_json = is_json(content_type) && method != Method::Head && !answered.body.is_empty();
    let parsed = is_json.then(|| serde_json::from_str::<Value>(&answered.body));
    let (json, content) = match &parsed {
        Some(Ok(value)) => (value.clone(), Value::Null),
        Some(Err(_)) | None => (Value::Null, Value::from(answered.body.clone())),
    };
    let mut answer = ToolAnswer::from(json!({
        "status": answered.status,
        "url": answered.url,
        "headers": headers,
        "content": content,
        "json": json,
        "bytes": answered.bytes,
        "redirects": answered.redirects,
        "from_cache": from_cache,
    }));
    if let Some(Err(error)) = parsed {
        let warning =
            format!("{} says it is JSON and is not: {error}", without_query(&answered.url));
        answer.warnings.push(warning);
    }
    let url = answered.url.clone();
    answer.citations.push(Citation { id: url.clone(), source: url, place: String::new() });
    answer
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}

/// A body as text, exactly: what is no text is refused rather than changed.
pub(super) fn text(bytes: Vec<u8>, headers: &HeaderMap) -> Result<String, String> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default().to_ascii_lowercase();
    if ["charset=iso-8859-1", "charset=\"iso-8859-1\""].iter().any(|c| content_type.contains(c)) {
        // Its bytes are the first characters of Unicode.
        return Ok(bytes.into_iter().map(char::from).collect());
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        format!("its body is no UTF-8 text (byte {at}; `{content_type}`)")
    })
}

/// The beginning of a body on one line.
fn line(body: &str) -> String {
    let words: Vec<&str> = body.split_whitespace().collect();
    words.join(" ").chars().take(SAID).collect()
}

/// An address as it may stand in an error: what is asked for in it can hold keys.
pub(super) fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn kind(status: u16, method: Method) -> ErrorKind {
        let answered = Answered { status, ..Answered::default() };
        judge(&answered, method, false, Timestamp::EPOCH).unwrap_err().kind
    }

    #[test]
    fn a_status_becomes_the_kind_of_error_that_it_stands_for() {
        let kinds = [
            (400, ErrorKind::Failed),
            (401, ErrorKind::Denied),
            (403, ErrorKind::Denied),
            (404, ErrorKind::NotFound),
            (408, ErrorKind::Timeout),
            (429, ErrorKind::Overloaded),
            (500, ErrorKind::Unavailable),
            (503, ErrorKind::Unavailable),
            (504, ErrorKind::Unavailable),
        ];
        for (status, expected) in kinds {
            assert_eq!(kind(status, Method::Get), expected, "{status}");
        }
        // What may have been done is not tried again.
        for (status, expected) in [(500, ErrorKind::Failed), (502, ErrorKind::Unknown)] {
            assert_eq!(kind(status, Method::Post), expected, "{status}");
        }
    }

    #[test]
    fn a_host_that_asks_to_come_again_later_says_when() {
        let mut answered = Answered { status: 429, ..Answered::default() };
        answered.headers.insert("retry-after", "9".parse().unwrap());
        let error = judge(&answered, Method::Get, false, Timestamp::EPOCH).unwrap_err();
        assert_eq!(error.retry_after, Some(Duration::from_secs(9)));
    }

    #[test]
    fn an_error_does_not_repeat_what_was_asked_for() {
        let url = "https://x.example/a?key=hunter2".to_owned();
        let answered =
            Answered { status: 404, url, body: "no\nsuch".into(), ..Answered::default() };
        let error = judge(&answered, Method::Get, false, Timestamp::EPOCH).unwrap_err();
        assert_eq!(error.message, "GET https://x.example/a answered 404: no such");
    }

    #[test]
    fn a_body_is_text_exactly_or_refused() {
        let latin: HeaderMap = [(CONTENT_TYPE, "text/html; charset=ISO-8859-1".parse().unwrap())]
            .into_iter()
            .collect();
        assert_eq!(text(vec![b'a', 0xe4], &latin).unwrap(), "aä");
        assert!(text(vec![b'a', 0xe4], &HeaderMap::new()).unwrap_err().contains("byte 1"));
    }
}
