//! The tools of a node: the edge between queries and whatever they reach. Each is off until its
//! configuration names what it may reach.

pub mod data;
pub mod external;
pub mod file;
pub mod http;
pub mod llm;
pub mod shell;
pub mod sql;

/// Why a tool cannot be made of its configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct ConfigError(
    /// Sentences, each beginning with the key it is about, seen from the tool's own section.
    pub Vec<String>,
);

impl ConfigError {
    /// Refuses a configuration that has problems.
    fn unless_none(problems: Vec<String>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self(problems)) }
    }
}
