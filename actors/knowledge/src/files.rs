//! Files of the library, durably.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What could not be done to a file, and why.
#[derive(Debug, thiserror::Error)]
#[error(
    "could not {attempted}: {source}; check the disk and the permissions of the data directory"
)]
pub struct FileError {
    attempted: String,
    #[source]
    source: io::Error,
}

impl FileError {
    /// Completes an error of the system.
    pub(crate) fn of(attempted: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let attempted = attempted.into();
        |source| Self { attempted, source }
    }
}

/// Creates a directory that only its owner can enter, parents included, and makes its name durable.
pub(crate) fn create_dir(path: &Path) -> Result<(), FileError> {
    if path.is_dir() {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(path);
    made.map_err(FileError::of(format!("create the directory {}", path.display())))?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// A directory with a file of this name cannot be synced: nothing real makes only that fail.
#[cfg(test)]
pub(crate) const UNSYNCABLE: &str = "unsyncable";

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(path: &Path) -> Result<(), FileError> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    #[cfg(test)]
    if path.join(UNSYNCABLE).exists() {
        let refused = io::Error::other("the disk refuses it");
        return Err(FileError::of(format!("sync the directory {}", path.display()))(refused));
    }
    let synced = File::open(path).and_then(|dir| dir.sync_all());
    synced.map_err(FileError::of(format!("sync the directory {}", path.display())))
}

/// What a file is called while it is written.
const UNFINISHED: &str = "new";

/// Replaces a file's content durably: readers find the old content or the new one, whole. What failed leaves the old
/// one, or none, unless only the directory could not be synced: then the new one is there, and may not last.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let (aside, mut options) = (path.with_extension(UNFINISHED), OpenOptions::new());
    options.create(true).write(true).truncate(true).mode(0o600);
    let write = || {
        let mut file = options.open(&aside)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&aside, path)
    };
    write().map_err(|error| {
        // It takes room, and the disk may be full.
        drop(fs::remove_file(&aside));
        FileError::of(format!("write {}", path.display()))(error)
    })?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Removes unfinished files: what an interrupted [`replace`] left.
pub(crate) fn sweep(folder: &Path) -> Result<(), FileError> {
    let unfinished = |path: &&PathBuf| path.extension().is_some_and(|name| name == UNFINISHED);
    list(folder)?.iter().filter(unfinished).try_for_each(|path| remove(path))
}

/// Removes files of one directory durably, with one sync; those that are not there are fine.
pub(crate) fn remove_all(paths: &[PathBuf]) -> Result<(), FileError> {
    for path in paths {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(FileError::of(format!("remove {}", path.display()))(error));
            }
            Ok(()) | Err(_) => {}
        }
    }
    paths.first().and_then(|path| path.parent()).map_or(Ok(()), sync_dir)
}

/// Removes a file durably; one that is not there is fine.
pub(crate) fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(FileError::of(format!("remove {}", path.display()))(error)),
        Ok(()) => path.parent().map_or(Ok(()), sync_dir),
    }
}

/// Gives a file another name, durably; one that has it already is fine. What else has that name is kept.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), FileError> {
    let renamed = match (from.exists(), to.exists()) {
        (true, true) => Err(io::ErrorKind::AlreadyExists.into()),
        (true, false) => fs::rename(from, to),
        (false, _) => Ok(()),
    };
    renamed.map_err(FileError::of(format!("rename {} to {}", from.display(), to.display())))?;
    to.parent().map_or(Ok(()), sync_dir)
}

/// Removes a directory with all that is in it; one that is not there is fine.
pub(crate) fn remove_dir(path: &Path) -> Result<(), FileError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(FileError::of(format!("remove {}", path.display()))),
    }
}

/// Reads a file whole.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    fs::read(path).map_err(FileError::of(format!("read {}", path.display())))
}

/// The files in a directory, in the order of their names.
pub(crate) fn list(path: &Path) -> Result<Vec<PathBuf>, FileError> {
    let entries = || fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>();
    let mut paths: Vec<PathBuf> =
        entries().map_err(FileError::of(format!("list {}", path.display())))?;
    paths.sort();
    Ok(paths)
}
