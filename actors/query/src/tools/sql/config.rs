//! Which tables there are, and what the process that reads them may take.

use std::path::{Path, PathBuf};
use std::time::Duration;

use perennial_sql_protocol::{EVERY_ROLE, Table, problems};
use serde::{Deserialize, Serialize};

use crate::roles::Roles;
use crate::tool::TOOL_TIMEOUT;

/// The process needs so much to begin with.
const LEAST_BYTES: u64 = 256 * 1024 * 1024;

/// What can be asked in SQL. Nothing without a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Below which the files of all tables are; absolute.
    pub directory: PathBuf,
    /// The tables, and who may read what of them.
    pub tables: Vec<Table>,
    /// The program that reads them; empty is `perennial-sql` beside the node's own.
    pub program: PathBuf,
    /// Bytes of memory that its process may have.
    pub memory_bytes: u64,
    /// A query may take so long.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            directory: PathBuf::new(),
            tables: Vec::new(),
            program: PathBuf::new(),
            memory_bytes: 1024 * 1024 * 1024,
            timeout: TOOL_TIMEOUT,
        }
    }
}

impl Config {
    /// What is wrong with it, each sentence beginning with the key it is about. Roles must be among `roles`.
    #[must_use]
    pub fn problems(&self, roles: &Roles) -> Vec<String> {
        let mut found = problems(&self.tables);
        let relative = |path: &Path| !path.is_absolute();
        if !self.tables.is_empty() && relative(&self.directory) {
            found.push(format!(
                "directory `{}` must be an absolute path, for there are tables",
                self.directory.display()
            ));
        }
        if !self.program.as_os_str().is_empty() && relative(&self.program) {
            found.push("program must be an absolute path".to_owned());
        }
        if self.memory_bytes < LEAST_BYTES {
            found.push(format!("memory_bytes must be at least {LEAST_BYTES}"));
        }
        if self.timeout.is_zero() {
            found.push("timeout must be longer than nothing".to_owned());
        }
        for (at, table) in self.tables.iter().enumerate() {
            for (nth, grant) in table.access.iter().enumerate() {
                let known = |role: &&String| *role == EVERY_ROLE || roles.0.contains_key(*role);
                let unknown = grant.roles.iter().filter(|role| !known(role));
                let key = format!("tables[{at}].access[{nth}].roles");
                found.extend(unknown.map(|role| format!("{key}: there is no role `{role}`")));
            }
        }
        found
    }
}
