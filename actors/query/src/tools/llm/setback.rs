//! Why a model did not answer, and what that means for the others. Pure.

use std::time::Duration;

use super::protocol;
use crate::plan::ErrorKind;

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
    pub(super) fn of_status(status: u16, retry_after: Option<Duration>, body: &str) -> Self {
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
            retry_after,
            refused: !kind.passes(),
            ..Self::new(kind, format!("answered {status}{colon}{said}"))
        }
    }
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
        Setback::of_status(status, None, "{\"error\": \"no\\nway\"}")
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
    }

    #[test]
    fn long_texts_are_repeated_in_part() {
        let said = line(&"ä ".repeat(SAID));
        assert_eq!(said.chars().count(), SAID + 1);
    }
}
