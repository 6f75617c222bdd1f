//! A backup in a file.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{BackupError, Summary, verify_backup};
use crate::files;

/// A file that appears under its name when it holds a whole, verified backup, and not before.
///
/// Until then it is written beside it, with `.part` behind the name; dropped unfinished, it is removed.
/// Only its owner can read it.
#[derive(Debug)]
pub struct BackupFile {
    path: PathBuf,
    part: PathBuf,
    file: File,
    finished: bool,
}

impl BackupFile {
    /// Begins the file.
    ///
    /// # Errors
    ///
    /// [`BackupError::NotEmpty`] if there is such a file already; [`BackupError::Io`].
    pub fn create(path: &Path) -> Result<BackupFile, BackupError> {
        let create = |path: &Path| BackupError::io(format!("create {}", path.display()));
        let path = std::path::absolute(path).map_err(create(path))?;
        if fs::symlink_metadata(&path).is_ok() {
            let found = "a file of this name already".to_owned();
            return Err(BackupError::NotEmpty { path, found });
        }
        let part = part_of(&path);
        // What an earlier process left there may be readable by others.
        files::remove(&part)?;
        let file = OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&part)
            .map_err(create(&part))?;
        Ok(BackupFile { path, part, file, finished: false })
    }

    /// Verifies what was written and gives it its name, durably.
    ///
    /// # Errors
    ///
    /// As for [`verify_backup`]; [`BackupError::Io`].
    pub fn finish(mut self) -> Result<Summary, BackupError> {
        self.file.sync_all().map_err(BackupError::io(format!("sync {}", self.part.display())))?;
        let summary = File::open(&self.part)
            .map_err(BackupError::io(format!("read {}", self.part.display())))
            .and_then(|file| verify_backup(&mut io::BufReader::new(file)))?;
        fs::rename(&self.part, &self.path)
            .map_err(BackupError::io(format!("create {}", self.path.display())))?;
        self.finished = true;
        files::sync_parent(&self.path)?;
        Ok(summary)
    }
}

impl Write for BackupFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for BackupFile {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        if let Err(error) = fs::remove_file(&self.part) {
            tracing::warn!(%error, path = %self.part.display(), "an unfinished backup is left behind");
        }
    }
}

fn part_of(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".part");
    name.into()
}
