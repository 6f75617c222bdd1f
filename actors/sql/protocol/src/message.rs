//! What is said.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Table;

/// What the node says to its SQL process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToWorker {
    /// The first thing: what there is to work on, and with how much.
    Setup(Setup),
    /// A query.
    Ask(Ask),
    /// Nobody waits for this query any more.
    Cancel {
        /// Which one.
        id: u64,
    },
    /// Whether it still listens.
    Ping,
}

/// What the process is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// Below which all files are; absolute.
    pub directory: PathBuf,
    /// The tables.
    pub tables: Vec<Table>,
    /// Bytes of memory that the process may have.
    pub memory_bytes: u64,
}

/// A query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ask {
    /// Names it among those under way.
    pub id: u64,
    /// One statement that only reads.
    pub sql: String,
    /// What stands for `$1`, `$2` and so on in it: texts, numbers, booleans or nothing.
    pub parameters: Vec<Value>,
    /// Rows that are answered at most.
    pub rows: usize,
    /// Bytes that the rows may have as JSON.
    pub bytes: usize,
    /// On whose behalf.
    pub who: Who,
}

/// Whose rows are read. It is bound as values, and never becomes text of a query.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// Their name.
    pub name: String,
    /// Their role, which decides on what they may read.
    pub role: String,
    /// Their teams; [`crate::EVERY_TEAM`] for all.
    pub teams: Vec<String>,
}

/// What the SQL process says to the node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromWorker {
    /// It takes queries.
    Ready,
    /// What came of a query.
    Answered {
        /// Which one.
        id: u64,
        /// The rows.
        answer: Answer,
    },
    /// Why nothing came of it.
    Refused {
        /// Which one.
        id: u64,
        /// Why.
        refusal: Refusal,
    },
    /// Nothing of it goes on.
    Cancelled {
        /// Which one.
        id: u64,
    },
    /// It listens.
    Pong,
}

/// Rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// What each row holds, in order.
    pub columns: Vec<Column>,
    /// The rows.
    pub rows: Vec<Vec<Value>>,
    /// Why there are not all of them.
    pub cut: Option<Cut>,
    /// The tables that were read, by name.
    pub tables: Vec<String>,
}

/// A column of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds, such as `integer` or `timestamp`.
    pub r#type: String,
}

/// Why an answer does not have all rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// There are more than were asked for.
    Rows,
    /// They would be too long.
    Bytes,
}

/// Why a query was not answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What kind of reason.
    pub kind: RefusalKind,
    /// What is wrong, where, and what may have been meant.
    pub message: String,
}

impl Refusal {
    /// A refusal of this kind.
    pub fn new(kind: RefusalKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// What kind of reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// The query is none that is taken.
    Invalid,
    /// Who asks may not read that.
    Denied,
    /// It was tried, and failed.
    Failed,
    /// It needs more memory than there is.
    Memory,
}
