//! Writing files, whole or not at all, and durably.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fchmod, fsync, linkat, openat, renameat};
use rustix::fs::{statat, unlinkat};
use rustix::io::Errno;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::append;
use super::place::Place;
use crate::plan::ErrorKind;
use crate::tool::{ToolAnswer, ToolError, Trace};

/// What a temporary file's name begins and ends with.
const TEMPORARY: (&str, &str) = (".perennial-", ".tmp");

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// It must not be there.
    Create,
    /// Whatever was there is gone afterwards.
    Replace,
    /// Behind what is there.
    Append,
}

/// One call's wish.
#[derive(Debug)]
pub(super) struct Writing {
    pub(super) place: Place,
    pub(super) content: String,
    pub(super) how: How,
    pub(super) make_folders: bool,
    /// Names the step among all steps: hexadecimal, of a fixed length.
    pub(super) key: String,
    /// From 1.
    pub(super) attempt: u32,
    /// No attempt at it was made before, in microseconds since the epoch.
    pub(super) since: u64,
    /// Nothing of it goes on after this, in microseconds since the epoch.
    pub(super) deadline: u64,
}

/// The key of a step as text that a file's name and attributes can hold.
pub(super) fn short(key: &str) -> String {
    let digest = Sha256::digest(key.as_bytes());
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a file of this name is one that is being written, or was when the node died.
pub(super) fn is_temporary(name: &str) -> bool {
    name.starts_with(TEMPORARY.0) && name.ends_with(TEMPORARY.1)
}

impl Writing {
    /// Does it. Once `cancelled` is set, nothing more is changed.
    pub(super) fn write(&self, cancelled: &AtomicBool) -> Result<ToolAnswer, ToolError> {
        match self.how {
            How::Create | How::Replace => self.whole(cancelled),
            How::Append => append::append(self, cancelled),
        }
    }

    /// What the file shows of an earlier attempt that nobody saw the end of.
    pub(super) fn trace(&self) -> Trace {
        match self.how {
            // Once more changes nothing.
            How::Replace => Trace::NotDone,
            How::Create => match self.place.folder(false) {
                Ok((folder, name)) if self.is_there(&folder, name) => {
                    Trace::Done(Ok(self.answer()))
                }
                // A different file is refused when it is tried.
                Ok(_) | Err(_) => Trace::NotDone,
            },
            How::Append => append::trace(self),
        }
    }

    pub(super) fn answer(&self) -> ToolAnswer {
        ToolAnswer::from(json!({
            "root": self.place.root.name(),
            "path": self.place.path(),
            "bytes": self.content.len(),
        }))
    }

    /// Into a temporary file first, which takes the other one's place when it is durable.
    fn whole(&self, cancelled: &AtomicBool) -> Result<ToolAnswer, ToolError> {
        let (folder, name) = self.place.folder(self.make_folders)?;
        let there = self.stat(&folder, name)?;
        if self.how == How::Create && there.is_some() {
            // What an earlier attempt of the same step has made is what this one is to make.
            let made = self.attempt > 1 && self.is_there(&folder, name);
            return if made { Ok(self.answer()) } else { Err(self.exists()) };
        }
        let temporary = self.temporary(name);
        // Of an attempt that a crash has ended, if there was one.
        unlinkat(&folder, &temporary, AtFlags::empty()).ok();
        let placed = self
            .fill(&folder, &temporary, there.as_ref())
            .map_err(|error| self.place.error(&folder, name, "writing", error))
            .and_then(|()| unless(cancelled))
            .and_then(|()| self.put(&folder, &temporary, name));
        if placed.is_err() || self.how == How::Create {
            unlinkat(&folder, &temporary, AtFlags::empty()).ok();
        }
        placed?;
        fsync(&folder).map_err(|error| self.place.error(&folder, name, "writing", error))?;
        Ok(self.answer())
    }

    /// The same for every attempt, so that none is left when one succeeds.
    fn temporary(&self, name: &str) -> String {
        let own = short(&format!("{}/{name}", self.key));
        format!("{}{own}{}", TEMPORARY.0, TEMPORARY.1)
    }

    /// What is there already; refused if it is no ordinary file.
    fn stat(&self, folder: &OwnedFd, name: &str) -> Result<Option<Stat>, ToolError> {
        match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => {
                Ok(Some(stat))
            }
            Ok(_) => self.place.open(folder, name, OFlags::RDONLY).map(|_| None),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(self.place.error(folder, name, "writing", error)),
        }
    }

    fn fill(&self, folder: &OwnedFd, temporary: &str, there: Option<&Stat>) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let file = openat(folder, temporary, flags | OFlags::CLOEXEC, Mode::from_raw_mode(0o666))?;
        if let Some(there) = there {
            fchmod(&file, Mode::from_raw_mode(there.st_mode))?;
        }
        let mut file = File::from(file);
        file.write_all(self.content.as_bytes())?;
        file.sync_all()
    }

    fn put(&self, folder: &OwnedFd, temporary: &str, name: &str) -> Result<(), ToolError> {
        let put = match self.how {
            // A link, unlike a new name, never takes another file's place.
            How::Create => linkat(folder, temporary, folder, name, AtFlags::empty()),
            How::Replace | How::Append => renameat(folder, temporary, folder, name),
        };
        put.map_err(|error| match error {
            Errno::EXIST => self.exists(),
            error => self.place.error(folder, name, "writing", error),
        })
    }

    fn exists(&self) -> ToolError {
        let place = &self.place;
        ToolError::failed(format!(
            "creating {place}: it is there already; `replace` would replace it"
        ))
    }

    /// Whether the file holds exactly what is to be written.
    fn is_there(&self, folder: &OwnedFd, name: &str) -> bool {
        let Ok(file) = self.place.open(folder, name, OFlags::RDONLY) else { return false };
        let room = u64::try_from(self.content.len()).unwrap_or(u64::MAX).saturating_add(1);
        let mut bytes = Vec::new();
        let read = File::from(file).take(room).read_to_end(&mut bytes);
        read.is_ok() && bytes == self.content.as_bytes()
    }
}

/// Refuses to go on when nobody waits for it any more.
pub(super) fn unless(cancelled: &AtomicBool) -> Result<(), ToolError> {
    if cancelled.load(Ordering::SeqCst) {
        return Err(ToolError::new(
            ErrorKind::Cancelled,
            "nothing was written: the call was dropped",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::config::Root;
    use super::*;

    fn writing(folder: &std::path::Path, how: How) -> Writing {
        let root = Root { path: folder.to_owned(), ..Root::default() };
        let place = Place::new(&root, "a").unwrap();
        let (content, key) = ("new".to_owned(), short("step"));
        let (since, deadline) = (0, u64::MAX);
        Writing { place, content, how, make_folders: false, key, attempt: 1, since, deadline }
    }

    #[test]
    fn a_call_that_was_dropped_changes_nothing_any_more() {
        for how in [How::Create, How::Replace, How::Append] {
            let folder = tempfile::tempdir().unwrap();
            let written = writing(folder.path(), how).write(&AtomicBool::new(true));
            assert_eq!(written.unwrap_err().kind, ErrorKind::Cancelled);
            let left = fs::read_dir(folder.path()).unwrap().map(Result::unwrap);
            let bytes: u64 = left.map(|entry| entry.metadata().unwrap().len()).sum();
            assert_eq!(bytes, 0, "{how:?}");
        }
    }

    #[test]
    fn what_an_attempt_that_died_left_behind_is_cleared_away() {
        for how in [How::Create, How::Replace] {
            let folder = tempfile::tempdir().unwrap();
            let writing = writing(folder.path(), how);
            fs::write(folder.path().join(writing.temporary("a")), "half of it").unwrap();
            writing.write(&AtomicBool::new(false)).unwrap();
            assert_eq!(fs::read_to_string(folder.path().join("a")).unwrap(), "new");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{how:?}");
        }
    }
}
