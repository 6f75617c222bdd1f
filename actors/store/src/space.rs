//! Room on the disk, and a reserve for when there is none.
//!
//! Deleting rows from a log-structured store writes first and frees later. So some space is set aside
//! while there is plenty, and given up when the disk is full: what frees space can still commit.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::{StoreError, data_dir, files};

/// The reserve unless told otherwise. The embedded store leaves 8 MiB to its engine, and to bring there what
/// its journal holds may take 16; the rest is for deletions and for the pages they move.
pub const DEFAULT_RESERVE_BYTES: u64 = 32 * 1024 * 1024;

/// A file that does nothing but occupy disk space until it is needed.
#[derive(Debug)]
pub struct Ballast {
    path: PathBuf,
    bytes: u64,
}

impl Ballast {
    /// Names the file and its size; touches nothing.
    pub fn new(path: &Path, bytes: u64) -> Ballast {
        Ballast { path: path.to_owned(), bytes }
    }

    /// Tells whether the space is set aside.
    pub fn is_held(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|file| file.len() == self.bytes)
    }

    /// Gives the space up.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] if the file cannot be removed.
    pub fn release(&self) -> Result<(), StoreError> {
        files::remove(&self.path)
    }

    /// Sets the space aside again, if it is not.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoSpace`] if there is no room for it; then nothing is set aside.
    pub fn restore(&self) -> Result<(), StoreError> {
        if self.is_held() {
            return Ok(());
        }
        match self.allocate() {
            Ok(()) => files::sync_parent(&self.path),
            Err(error) => {
                self.release()?;
                Err(self.explain(error)?)
            }
        }
    }

    fn allocate(&self) -> io::Result<()> {
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&self.path)?;
        files::allocate(&file, self.bytes)?;
        file.sync_all()
    }

    fn explain(&self, error: io::Error) -> Result<StoreError, StoreError> {
        let attempted = format!("set {} bytes aside in {}", self.bytes, self.path.display());
        if error.kind() != io::ErrorKind::StorageFull {
            return Ok(StoreError::Io { attempted, source: error });
        }
        let free = files::free_bytes(self.path.parent().unwrap_or(Path::new(".")))?;
        Ok(StoreError::NoSpace { attempted, free })
    }
}

/// How much room there is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Enough; the reserve is set aside.
    Ample,
    /// Little: new work is refused, accepted work goes on.
    Low,
    /// None: the reserve is given up, and only what frees space goes on.
    Full,
}

/// Watches the free space of a directory and manages its reserve.
///
/// In terms of the reserve R, on top of which free space is counted: `Low` below R free, `Full` below
/// 3 R / 4, which is all that the store may need at once. `Low` becomes `Ample` at 2 R, `Full` at 3 R, of
/// which R is set aside again. A directory that has no reserve yet starts as `Full`.
#[derive(Debug)]
pub struct SpaceGuard {
    dir: PathBuf,
    reserve_bytes: u64,
    ballast: Ballast,
    /// `None` until first checked.
    room: Mutex<Option<Room>>,
}

impl SpaceGuard {
    /// Watches the data directory `dir`; touches nothing until checked.
    pub fn new(dir: &Path, reserve_bytes: u64) -> SpaceGuard {
        SpaceGuard {
            dir: dir.to_owned(),
            reserve_bytes,
            ballast: Ballast::new(&data_dir::ballast_path(dir), reserve_bytes),
            room: Mutex::new(None),
        }
    }

    /// Looks at the disk, and gives up or restores the reserve as needed.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] if the disk cannot be asked or the reserve not be changed.
    pub fn check(&self) -> Result<Room, StoreError> {
        let mut room = self.room.lock().map_err(|_| StoreError::Poisoned)?;
        let free = files::free_bytes(&self.dir)?;
        let before =
            room.unwrap_or_else(|| if self.ballast.is_held() { Room::Ample } else { Room::Full });
        let after = self.settle(before, next_room(before, free, self.reserve_bytes))?;
        *room = Some(after);
        Ok(after)
    }

    fn settle(&self, before: Room, after: Room) -> Result<Room, StoreError> {
        match (before, after) {
            (_, Room::Full) => self.ballast.release().map(|()| Room::Full),
            (Room::Full, Room::Ample | Room::Low) => match self.ballast.restore() {
                Ok(()) => Ok(after),
                // Somebody else was faster; the space is theirs.
                Err(StoreError::NoSpace { .. }) => Ok(Room::Full),
                Err(error) => Err(error),
            },
            (Room::Ample | Room::Low, Room::Ample | Room::Low) => Ok(after),
        }
    }
}

/// Decides what `free` bytes mean, given what the last look at the disk meant.
fn next_room(before: Room, free: u64, reserve: u64) -> Room {
    match before {
        Room::Full if free >= reserve.saturating_mul(3) => Room::Ample,
        Room::Full => Room::Full,
        Room::Ample | Room::Low if free < reserve / 4 * 3 => Room::Full,
        Room::Ample if free < reserve => Room::Low,
        Room::Low if free < reserve.saturating_mul(2) => Room::Low,
        Room::Ample | Room::Low => Room::Ample,
    }
}

#[cfg(test)]
mod full_disk;
#[cfg(test)]
mod tests;
