//! Which files may be read and written.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What the file tools may touch. Nothing without a root.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The folders below which files may be read. The first one is meant where a call names none.
    pub roots: Vec<Root>,
    /// No call reads or writes more than this, in bytes.
    pub max_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { roots: Vec::new(), max_bytes: 1024 * 1024 }
    }
}

/// A folder below which files may be read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Root {
    /// What calls name it by; empty is the last part of its path.
    pub name: String,
    /// Where it is; absolute. Symbolic links in it are followed, those below it are not.
    pub path: PathBuf,
    /// Whether files below it may be written.
    pub write: bool,
}

impl Root {
    /// What calls name it by.
    #[must_use]
    pub fn name(&self) -> String {
        if self.name.is_empty() {
            let last = self.path.file_name().unwrap_or_default();
            return last.to_string_lossy().into_owned();
        }
        self.name.clone()
    }
}

impl Config {
    /// What is wrong with it, each sentence beginning with the key it is about.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut names = BTreeSet::new();
        for (at, root) in self.roots.iter().enumerate() {
            let name = root.name();
            if !root.path.is_absolute() {
                let path = root.path.display();
                problems.push(format!("roots[{at}].path `{path}` must be absolute"));
            }
            if name.is_empty() {
                problems.push(format!("roots[{at}].name must be set, as its path ends in no name"));
            }
            if !names.insert(name.clone()) {
                problems.push(format!("roots[{at}].name: there are two roots `{name}`; name them"));
            }
        }
        if self.max_bytes == 0 {
            problems.push("max_bytes must be more than 0".to_owned());
        }
        problems
    }
}
