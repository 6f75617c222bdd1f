//! What is wrong with a configuration, where, and what was probably meant.

use std::fmt;
use std::path::{Path, PathBuf};

use perennial_query::names::closest;

/// What the standard library says of text that is no socket address.
const NO_ADDRESS: &str = "invalid socket address syntax";

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, with the line from 1 if it is known.
    pub place: Option<(PathBuf, Option<usize>)>,
    /// What is wrong and what to do.
    pub message: String,
}

impl Problem {
    /// A problem of no file: of the environment, the command line or several sources together.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { place: None, message: message.into() }
    }

    pub(super) fn in_file(file: &Path, line: Option<usize>, message: impl Into<String>) -> Self {
        Self { place: Some((file.to_owned(), line)), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some((file, Some(line))) => write!(formatter, "{}:{line}: ", file.display())?,
            Some((file, None)) => write!(formatter, "{}: ", file.display())?,
            None => {}
        }
        formatter.write_str(&self.message)
    }
}

/// Why a configuration was refused: at least one problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(pub Vec<Problem>);

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(Problem::to_string).collect();
        formatter.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for ConfigError {}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

/// The line, from 1, at which byte `offset` of `text` stands.
pub(super) fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

/// Rewrites the parser's message for an unknown name so that it says which name was probably meant.
pub(super) fn explain(message: &str) -> String {
    let message = message.trim();
    if message == NO_ADDRESS {
        return "not an address and a port, such as 127.0.0.1:8000".to_owned();
    }
    let Some(unknown) = unknown_name(message) else { return message.to_owned() };
    let known: Vec<&str> = quoted(message).into_iter().skip(1).collect();
    let what = if message.starts_with("unknown variant") { "value" } else { "key" };
    match closest(unknown, known.iter().copied()) {
        Some(name) => format!("unknown {what} `{unknown}`; did you mean `{name}`?"),
        None if known.is_empty() => format!("unknown {what} `{unknown}`; there are none here"),
        None => format!("unknown {what} `{unknown}`; known are `{}`", known.join("`, `")),
    }
}

/// The name that the parser's message calls unknown, if that is what it says.
pub(super) fn unknown_name(message: &str) -> Option<&str> {
    let says_so = message.starts_with("unknown field") || message.starts_with("unknown variant");
    says_so.then(|| quoted(message).into_iter().next())?
}

/// What stands between back-quotes.
fn quoted(message: &str) -> Vec<&str> {
    message.split('`').skip(1).step_by(2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_answered_with_the_closest_known_one() {
        let message = "unknown field `listn`, expected one of `token`, `listen`, `token_file`";
        assert_eq!(explain(message), "unknown key `listn`; did you mean `listen`?");
    }

    #[test]
    fn a_key_close_to_none_lists_them_all() {
        let message = "unknown field `zebra`, expected `level` or `format`";
        assert_eq!(explain(message), "unknown key `zebra`; known are `level`, `format`");
    }

    #[test]
    fn an_address_that_is_none_is_answered_with_what_one_looks_like() {
        let refused = "nowhere".parse::<std::net::SocketAddr>().unwrap_err();
        assert!(explain(&refused.to_string()).contains("127.0.0.1:8000"));
    }

    #[test]
    fn lines_count_from_one() {
        assert_eq!(line_of("a\nb\nc", 0), 1);
        assert_eq!(line_of("a\nb\nc", 4), 3);
    }
}
