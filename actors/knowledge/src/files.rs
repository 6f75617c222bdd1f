//! Files of the library, durably.

use std::collections::BTreeSet;
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

/// Makes the names in a directory durable.
fn sync_dir(path: &Path) -> Result<(), FileError> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let synced = File::open(path).and_then(|dir| dir.sync_all());
    synced.map_err(FileError::of(format!("sync the directory {}", path.display())))
}

/// What a file is called while it is written.
pub(crate) const UNFINISHED: &str = "new";

/// Beyond so many files all of the disk is synced at once, which takes less time than a sync of each.
const SYNCED_ONE_BY_ONE: usize = 16;

/// Replaces a file's content durably: readers find the old content or the new one, whole.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), FileError> {
    replace_all(&[(path.to_owned(), content)])
}

/// Replaces the contents of files durably. Of each, readers find the old content or the new one, whole; a crash may
/// leave some of them replaced, the first ones. What failed leaves nothing behind.
pub(crate) fn replace_all(contents: &[(PathBuf, &[u8])]) -> Result<(), FileError> {
    let written = write_aside(contents).and_then(|()| {
        contents.iter().try_for_each(|(path, _)| {
            let renamed = fs::rename(aside(path), path);
            renamed.map_err(FileError::of(format!("write {}", path.display())))
        })
    });
    if let Err(error) = written {
        // They take room, and the disk may be full. Those that were renamed are not there any more.
        contents.iter().for_each(|(path, _)| drop(fs::remove_file(aside(path))));
        return Err(error);
    }
    let folders: BTreeSet<&Path> = contents.iter().filter_map(|(path, _)| path.parent()).collect();
    folders.into_iter().try_for_each(sync_dir)
}

/// Where a file is written before it takes the place of the one that is there.
fn aside(path: &Path) -> PathBuf {
    path.with_extension(UNFINISHED)
}

/// Writes files aside, durably.
fn write_aside(contents: &[(PathBuf, &[u8])]) -> Result<(), FileError> {
    let mut options = OpenOptions::new();
    options.create(true).write(true).truncate(true).mode(0o600);
    let one_by_one = contents.len() <= SYNCED_ONE_BY_ONE;
    for (path, content) in contents {
        let write = || {
            let mut file = options.open(aside(path))?;
            file.write_all(content)?;
            if one_by_one { file.sync_all() } else { Ok(()) }
        };
        write().map_err(FileError::of(format!("write {}", path.display())))?;
    }
    let folder = contents.first().and_then(|(path, _)| path.parent()).filter(|_| !one_by_one);
    folder.map_or(Ok(()), |folder| {
        let synced = File::open(folder).and_then(|folder| Ok(rustix::fs::syncfs(folder)?));
        synced.map_err(FileError::of(format!("sync the disk of {}", folder.display())))
    })
}

/// Removes a file durably; one that is not there is fine.
pub(crate) fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(FileError::of(format!("remove {}", path.display()))(error)),
        Ok(()) => path.parent().map_or(Ok(()), sync_dir),
    }
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
