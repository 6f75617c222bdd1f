//! The section `[backup]`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, access};
use serde::{Deserialize, Serialize};

use super::{Invalid, zero};

/// `[backup]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Backup {
    /// The directory in which backups are kept, for this node alone; empty for none. Created if there
    /// is none.
    pub directory: PathBuf,
    /// From one backup to the next.
    #[serde(with = "humantime_serde")]
    pub every: Duration,
    /// How long one is kept. Old ones are removed only after a new one has succeeded.
    #[serde(with = "humantime_serde")]
    pub keep: Duration,
}

impl Default for Backup {
    fn default() -> Self {
        const DAY: Duration = Duration::from_hours(24);
        Self { directory: PathBuf::new(), every: DAY, keep: 7 * DAY }
    }
}

impl Backup {
    /// Whether backups are taken on a schedule.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.directory.as_os_str().is_empty()
    }

    /// The keys that make no sense, and why.
    pub(super) fn invalid(&self) -> Vec<Invalid> {
        // A file is named by its second.
        let every = zero("backup.every", self.every.as_secs());
        every.into_iter().chain(zero("backup.keep", self.keep.as_secs())).collect()
    }

    /// What is accepted but probably not meant.
    pub(super) fn check(&self, data_dir: &Path) -> Vec<String> {
        if !self.is_on() {
            return Vec::new();
        }
        let directory = self.directory.display();
        let inside = is_inside(&self.directory, data_dir).then(|| {
            format!("directory {directory} is lost together with store.data_dir, in which it is")
        });
        let locked = (!can_be_written(&self.directory))
            .then(|| format!("directory {directory} cannot be written by this user"));
        let short = (self.keep < self.every)
            .then(|| "keep is shorter than every, so only the newest backup is kept".to_owned());
        [inside, locked, short].into_iter().flatten().collect()
    }
}

fn is_inside(path: &Path, directory: &Path) -> bool {
    // What is not there yet has no canonical name.
    let whole = |path: &Path| {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        absolute.canonicalize().unwrap_or(absolute)
    };
    whole(path).starts_with(whole(directory))
}

/// Judges what is there by its permissions, and what is not by those of where it would be created.
fn can_be_written(path: &Path) -> bool {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let there = absolute.ancestors().find(|path| path.exists());
    there.is_some_and(|there| {
        there.is_dir() && access(there, Access::WRITE_OK | Access::EXEC_OK).is_ok()
    })
}
