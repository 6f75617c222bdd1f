//! Where a call's path leads. No part of it is followed out of its root: every part is opened by itself,
//! below the one before it, and none may be a symbolic link. That holds on every kernel and file system,
//! and also while somebody else moves folders about.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, fsync, mkdirat, open, openat, statat};
use rustix::io::Errno;

use super::config::Root;
use crate::plan::ErrorKind;
use crate::tool::ToolError;

/// A path below a root.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) root: Root,
    /// Its parts, without `.` and `..`.
    parts: Vec<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}` in root `{}`", self.path(), self.root.name())
    }
}

impl Place {
    /// Reads `path`.
    ///
    /// # Errors
    /// It leaves the root or cannot be a path.
    pub(super) fn new(root: &Root, path: &str) -> Result<Self, ToolError> {
        let denied = |why: &str| {
            let message =
                format!("path `{path}` {why}; paths are relative to root `{}`", root.name());
            Err(ToolError::new(ErrorKind::Denied, message))
        };
        if path.starts_with('/') {
            return denied("is absolute");
        }
        if path.contains('\0') {
            return denied("holds a zero byte");
        }
        let parts: Vec<String> = path
            .split('/')
            .filter(|part| !part.is_empty() && *part != ".")
            .map(str::to_owned)
            .collect();
        if parts.iter().any(|part| part == "..") {
            return denied("holds `..`");
        }
        Ok(Self { root: root.clone(), parts })
    }

    /// The path, from the root.
    pub(super) fn path(&self) -> String {
        self.parts.join("/")
    }

    /// The folder that holds it, and its name there.
    ///
    /// # Errors
    /// It is the root itself, or the folder cannot be opened. With `make`, missing folders are made.
    pub(super) fn folder(&self, make: bool) -> Result<(OwnedFd, &str), ToolError> {
        let Some((name, folders)) = self.parts.split_last() else {
            return Err(ToolError::invalid(format!(
                "a path below root `{}` is needed",
                self.root.name()
            )));
        };
        Ok((self.descend(folders, make)?, name))
    }

    /// It itself, as a folder.
    pub(super) fn as_folder(&self) -> Result<OwnedFd, ToolError> {
        self.descend(&self.parts, false)
    }

    fn descend(&self, folders: &[String], make: bool) -> Result<OwnedFd, ToolError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = open(&self.root.path, flags, Mode::empty()).map_err(|error| {
            let (name, path) = (self.root.name(), self.root.path.display());
            let message = format!("root `{name}` at {path} cannot be opened: {}", describe(error));
            ToolError::new(ErrorKind::Unavailable, message)
        })?;
        let mut at = root;
        for part in folders {
            let flags = flags | OFlags::NOFOLLOW;
            let found = match openat(&at, part, flags, Mode::empty()) {
                Err(Errno::NOENT) if make => {
                    self.make(&at, part).and_then(|()| openat(&at, part, flags, Mode::empty()))
                }
                found => found,
            };
            at = found.map_err(|error| self.error(&at, part, "opening", error))?;
        }
        Ok(at)
    }

    fn make(&self, at: &OwnedFd, part: &str) -> rustix::io::Result<()> {
        match mkdirat(at, part, Mode::from_raw_mode(0o777)) {
            Ok(()) => fsync(at),
            Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Opens the file `name` in `folder`. One that is no ordinary file is refused, and not waited for.
    pub(super) fn open(
        &self,
        folder: &OwnedFd,
        name: &str,
        flags: OFlags,
    ) -> Result<OwnedFd, ToolError> {
        let safe = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = openat(folder, name, flags | safe, Mode::from_raw_mode(0o666))
            .map_err(|error| self.error(folder, name, "opening", error))?;
        let stat = rustix::fs::fstat(&file).map_err(|e| self.error(folder, name, "opening", e))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(file),
            FileType::Directory => Err(ToolError::failed(format!("{self} is a folder"))),
            FileType::Symlink
            | FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => {
                Err(ToolError::new(ErrorKind::Denied, format!("{self} is no ordinary file")))
            }
        }
    }

    /// What went wrong with `name` in `folder` while `doing`.
    pub(super) fn error(
        &self,
        folder: &OwnedFd,
        name: &str,
        doing: &str,
        error: impl Into<io::Error>,
    ) -> ToolError {
        let error = error.into();
        let link = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink);
        if link {
            let why = format!("{doing} {self}: `{name}` is a symbolic link, which is not followed");
            return ToolError::new(ErrorKind::Denied, why);
        }
        let found = error.kind();
        let denied = [io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem];
        let kind = if found == io::ErrorKind::NotFound {
            ErrorKind::NotFound
        } else if denied.contains(&found) {
            ErrorKind::Denied
        } else {
            ErrorKind::Failed
        };
        let what = if name == self.parts.last().map_or("", String::as_str) {
            String::new()
        } else {
            format!(", at `{name}`")
        };
        ToolError::new(kind, format!("{doing} {self}{what}: {}", describe(error)))
    }
}

/// An error in words, without its number.
fn describe(error: impl Into<io::Error>) -> String {
    let text = error.into().to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_below_its_root() {
        let root = Root { path: "/srv/data".into(), ..Root::default() };
        for path in ["/etc/passwd", "../x", "a/../../x", "a/..", "a\0b"] {
            let error = Place::new(&root, path).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Denied, "{path:?}");
        }
        let place = Place::new(&root, "./a//b.txt").unwrap();
        assert_eq!(place.to_string(), "`a/b.txt` in root `data`");
    }
}
