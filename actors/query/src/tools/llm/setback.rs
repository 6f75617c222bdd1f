//! Why a model did not answer, and what that means for the others. Pure.

use std::time::Duration;

use perennial_runtime::Timestamp;

use super::protocol;
use crate::plan::ErrorKind;

/// The longest wait that a server may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// Characters of what a server or a model said that an error repeats.
pub(super) const SAID: usize = 300;

/// Why a request brought no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setback {
    pub(super) kind: ErrorKind,
    pub(super) message: String,
    /// The wait that the server asked for.
    pub(super) retry_after: Option<Duration>,
    /// Whether the server will not take requests as they are, so that the model is not to be relied on.
    pub(super) refused: bool,
    /// What the model had written, if anything may have been written.
    pub(super) written: Option<String>,
}

impl Setback {
    /// The request came nowhere, or nothing was made of it.
    pub(super) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after: None, refused: false, written: None }
    }

    /// The answer broke off after `written`.
    pub(super) fn broken(kind: ErrorKind, message: &str, written: &str) -> Self {
        let so_far = match line(written) {
            said if said.is_empty() => String::new(),
            said => format!("; until then it had written: {said}"),
        };
        let message = format!("{message}{so_far}");
        Self { written: Some(written.to_owned()), ..Self::new(kind, message) }
    }

    /// The server answered with `status`, which is no success, and `body`.
    pub(super) fn of_status(
        status: u16,
        retry_after: Option<&str>,
        body: &str,
        now: Timestamp,
    ) -> Self {
        let kind = match status {
            401 | 403 => ErrorKind::Denied,
            404 => ErrorKind::NotFound,
            408 => ErrorKind::Timeout,
            429 => ErrorKind::Overloaded,
            500..=599 => ErrorKind::Unavailable,
            _ => ErrorKind::Failed,
        };
        let said = line(&protocol::complaint(body));
        let colon = if said.is_empty() { "" } else { ": " };
        Self {
            retry_after: retry_after.and_then(|text| wait(text, now)),
            refused: !kind.passes(),
            ..Self::new(kind, format!("answered {status}{colon}{said}"))
        }
    }
}

/// Reads a `Retry-After` header: seconds, or a date (RFC 9110, section 10.2.3).
fn wait(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds).min(LONGEST_WAIT));
    }
    let date = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
    let date = Timestamp::from_micros(u64::try_from(date.as_microsecond()).ok()?);
    Some(date.since(now).min(LONGEST_WAIT))
}

/// The beginning of `text` on one line.
pub(super) fn line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let words = words.join(" ");
    match words.char_indices().nth(SAID) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16) -> Setback {
        Setback::of_status(status, Some("7"), "{\"error\": \"no\\nway\"}", Timestamp::EPOCH)
    }

    #[test]
    fn only_what_may_pass_is_no_refusal() {
        for (status, kind) in [
            (408, ErrorKind::Timeout),
            (429, ErrorKind::Overloaded),
            (500, ErrorKind::Unavailable),
            (529, ErrorKind::Unavailable),
        ] {
            assert_eq!((of(status).kind, of(status).refused), (kind, false), "{status}");
        }
        for (status, kind) in [
            (302, ErrorKind::Failed),
            (400, ErrorKind::Failed),
            (401, ErrorKind::Denied),
            (403, ErrorKind::Denied),
            (404, ErrorKind::NotFound),
        ] {
            assert_eq!((of(status).kind, of(status).refused), (kind, true), "{status}");
        }
        assert_eq!(of(400).message, "answered 400: no way");
        assert_eq!(of(429).retry_after, Some(Duration::from_secs(7)));
    }

    #[test]
    fn a_server_may_ask_for_a_wait_until_a_date_of_at_most_an_hour() {
        let now = Timestamp::from_micros(784_111_770_000_000);
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:37 GMT", now), Some(Duration::from_secs(7)));
        assert_eq!(wait("99999", now), Some(LONGEST_WAIT));
        assert_eq!(wait("soon", now), None);
    }

    #[test]
    fn long_texts_are_repeated_in_part() {
        let said = line(&"ä ".repeat(SAID));
        assert_eq!(said.chars().count(), SAID + 1);
    }
}
