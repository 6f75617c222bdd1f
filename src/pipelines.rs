//! The node's pipelines: files of a directory, read when they are asked for.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What the files end with.
const ENDING: &str = "yaml";

/// Why there is no such pipeline.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// No directory is configured.
    #[error("this node has no pipelines: set query.pipelines to a directory of them")]
    Nowhere,
    /// It is no name.
    #[error("`{0}` is no name of a pipeline; /v1/pipelines lists them")]
    Name(String),
    /// It cannot be read.
    #[error("the pipeline {0} cannot be read: {1}")]
    Unreadable(PathBuf, io::Error),
}

/// The text of the pipeline `name`.
///
/// # Errors
/// [`PipelineError`].
pub fn text(directory: &Path, name: &str) -> Result<String, PipelineError> {
    if directory.as_os_str().is_empty() {
        return Err(PipelineError::Nowhere);
    }
    // Nothing that could lead out of the directory.
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || !name.chars().all(plain) {
        return Err(PipelineError::Name(name.to_owned()));
    }
    let path = directory.join(format!("{name}.{ENDING}"));
    fs::read_to_string(&path).map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            PipelineError::Name(name.to_owned())
        } else {
            PipelineError::Unreadable(path, error)
        }
    })
}

/// The names of all pipelines, sorted.
///
/// # Errors
/// The directory cannot be listed.
pub fn names(directory: &Path) -> Result<Vec<String>, PipelineError> {
    if directory.as_os_str().is_empty() {
        return Ok(Vec::new());
    }
    let unreadable = |error| PipelineError::Unreadable(directory.to_owned(), error);
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        if path.extension().is_some_and(|ending| ending == ENDING) {
            names.extend(stem.map(str::to_owned));
        }
    }
    names.sort();
    Ok(names)
}
