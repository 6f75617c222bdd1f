//! The node's pipelines and rules: files of a directory each, read when they are asked for.

mod check;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use perennial_query::check::Finding;
use perennial_query::rules;
use perennial_query::tool::Catalogue;

pub(crate) use check::{Checked, check};

/// What a document is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// As every document can be.
    Yaml,
    /// As rules can be, in sentences.
    Gherkin,
}

/// A document of the node's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// What it is written in.
    pub language: Language,
    /// All of it.
    pub text: String,
}

/// What the files of a directory are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Pipelines.
    Pipelines,
    /// Rules.
    Rules,
}

impl Kind {
    /// What the files end with.
    const fn endings(self) -> &'static [(&'static str, Language)] {
        match self {
            Self::Pipelines => &[("yaml", Language::Yaml)],
            Self::Rules => &[("yaml", Language::Yaml), ("feature", Language::Gherkin)],
        }
    }

    /// The name in paths and options.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Pipelines => "pipelines",
            Self::Rules => "rules",
        }
    }
}

/// Why there is no such document.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// No directory is configured.
    #[error("this node has no {0}: set query.{0} to a directory of them")]
    Nowhere(&'static str),
    /// It is no name.
    #[error("`{1}` is not among the {0}; /v1/{0} lists them")]
    Name(&'static str, String),
    /// It cannot be read.
    #[error("{0} cannot be read: {1}")]
    Unreadable(PathBuf, io::Error),
}

/// The document `name` of `directory`.
///
/// # Errors
/// [`DocumentError`].
pub fn read(kind: Kind, directory: &Path, name: &str) -> Result<Document, DocumentError> {
    if directory.as_os_str().is_empty() {
        return Err(DocumentError::Nowhere(kind.as_str()));
    }
    // Nothing that could lead out of the directory.
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(plain) {
        for (ending, language) in kind.endings() {
            let path = directory.join(format!("{name}.{ending}"));
            match fs::read_to_string(&path) {
                Ok(text) => return Ok(Document { language: *language, text }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(DocumentError::Unreadable(path, error)),
            }
        }
    }
    Err(DocumentError::Name(kind.as_str(), name.to_owned()))
}

/// The rules of a document.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read_rules(
    document: &Document,
    catalogue: &Catalogue,
) -> Result<rules::read::Read, Vec<Finding>> {
    match document.language {
        Language::Yaml => rules::read::read(&document.text, Some(catalogue)),
        Language::Gherkin => rules::gherkin::read(&document.text, Some(catalogue)),
    }
}

/// The names of all documents of `directory`, sorted.
///
/// # Errors
/// The directory cannot be listed.
pub fn names(kind: Kind, directory: &Path) -> Result<Vec<String>, DocumentError> {
    if directory.as_os_str().is_empty() {
        return Ok(Vec::new());
    }
    let unreadable = |error| DocumentError::Unreadable(directory.to_owned(), error);
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let known = |ending: &str| kind.endings().iter().any(|(known, _)| *known == ending);
        if path.extension().and_then(|ending| ending.to_str()).is_some_and(known) {
            names.extend(path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned));
        }
    }
    names.sort();
    names.dedup();
    Ok(names)
}
