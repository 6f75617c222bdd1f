//! The data directory: one owner, one format, and whether the last owner ended in order.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::{StoreError, files, random};

/// What the file `FORMAT` says for data that this version writes.
pub(crate) const FORMAT: &str = "perennial 2";

/// The format before: the same without a journal. Opened as it is, and from then on of this version's format,
/// so that no older version overlooks the journal.
const WITHOUT_JOURNAL: &str = "perennial 1";

/// Tells whether the rows of data of this format are read by this version.
pub(crate) fn is_known(format: &str) -> bool {
    format == FORMAT || format == WITHOUT_JOURNAL
}

const FORMAT_FILE: &str = "FORMAT";
const LOCK_FILE: &str = "LOCK";
const RUNNING_FILE: &str = "RUNNING";
const STORE: &str = "store";
const UNFINISHED: &str = "store.unfinished";

/// An open data directory, locked for this process until dropped.
///
/// - `FORMAT` names the version of everything in the directory and is checked before anything is touched.
/// - `LOCK` is locked by the process that owns the directory, and holds its process id and incarnation.
/// - `RUNNING` exists from opening until [`DataDir::mark_clean`]; finding it means that the last owner was
///   killed, crashed or lost power. It holds how many owners in a row ended like that.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    unclean_ends: u32,
    lock: Lock,
}

/// Keeps a data directory from others until dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
    incarnation: String,
}

impl DataDir {
    /// Opens the directory at `path`, and creates it (mode 0700) if there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::NewerFormat`] if it holds anything but data of this version's format or the one before,
    /// [`StoreError::NoStore`] if the store of that data is gone, and [`StoreError::Locked`] if another process,
    /// or this one, has it open. None of them changes anything.
    pub fn open(path: &Path) -> Result<DataDir, StoreError> {
        check_format(path)?;
        files::create_dir(path)?;
        let lock = lock(path)?;
        // Again under the lock: another process may have been first.
        match check_format(path)? {
            Format::Absent => {
                // First, so that data without a store is known for a first start that was cut short.
                files::mark(&unfinished(&store_dir(path)))?;
                write_format(path)?;
            }
            Format::WithoutJournal => {
                refuse_without_store(path)?;
                write_format(path)?;
            }
            Format::Current => refuse_without_store(path)?,
        }
        let running = path.join(RUNNING_FILE);
        let unclean_ends = unclean_ends(&running)?;
        mark_running(path, &running, unclean_ends)?;
        Ok(DataDir { path: path.to_owned(), unclean_ends, lock })
    }

    /// Locks an existing directory for reading; says nothing about running or ending.
    pub(crate) fn lock_existing(path: &Path) -> Result<Lock, StoreError> {
        match check_format(path)? {
            Format::Current | Format::WithoutJournal => {
                let lock = lock(path)?;
                refuse_without_store(path)?;
                Ok(lock)
            }
            Format::Absent => {
                Err(StoreError::io(format!("find data in {}", path.display()))(io::Error::new(
                    io::ErrorKind::NotFound,
                    if path.exists() {
                        "there is no file FORMAT"
                    } else {
                        "there is no such directory"
                    },
                )))
            }
        }
    }

    /// Locks an existing directory for opening its store, which has a journal then: like an owner, notes that
    /// in its format before, but says nothing about running or ending.
    pub(crate) fn lock_stopped(path: &Path) -> Result<Lock, StoreError> {
        let lock = Self::lock_existing(path)?;
        if check_format(path)? == Format::WithoutJournal {
            write_format(path)?;
        }
        Ok(lock)
    }

    /// Locks a directory without any data, and creates it if there is none. `remains` is what is passed over.
    ///
    /// Returns the name of what is there instead of the lock, if something is; then nothing is changed.
    pub(crate) fn lock_empty(
        path: &Path,
        remains: &str,
    ) -> Result<Result<Lock, String>, StoreError> {
        if let Some(found) = entry_besides(path, &[remains])? {
            return Ok(Err(found));
        }
        files::create_dir(path)?;
        let lock = lock(path)?;
        // Again under the lock: another process may have been first.
        Ok(entry_besides(path, &[remains])?.map_or(Ok(lock), Err))
    }

    /// Makes data of what was put into the locked directory at `path`, as if its owner had been killed.
    ///
    /// The format comes last: without it nobody takes the directory for data.
    pub(crate) fn adopt(path: &Path) -> Result<(), StoreError> {
        mark_running(path, &path.join(RUNNING_FILE), 0)?;
        write_format(path)
    }

    /// Tells whether the last owner ended without [`DataDir::mark_clean`].
    pub fn was_unclean(&self) -> bool {
        self.unclean_ends > 0
    }

    /// Returns how many owners in a row ended without [`DataDir::mark_clean`], up to this one.
    pub fn unclean_ends(&self) -> u32 {
        self.unclean_ends
    }

    /// Records durably that this owner ended in order, and lets go of the directory.
    ///
    /// Called last: when everything is stored and closed.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`]; the next owner then takes this end for an unclean one.
    pub fn mark_clean(self) -> Result<(), StoreError> {
        files::remove(&self.path.join(RUNNING_FILE))
    }

    /// Returns what tells this opening of the directory from every other, of any directory anywhere.
    ///
    /// Whoever finds the directory locked finds it in [`StoreError::Locked`], and so can tell whether a process
    /// it speaks to is the owner; a path would not tell, which means another directory on another machine.
    pub fn incarnation(&self) -> &str {
        &self.lock.incarnation
    }

    /// Returns the directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the directory of the embedded store.
    pub fn store_dir(&self) -> PathBuf {
        store_dir(&self.path)
    }

    /// Returns the file that names the messages being handled.
    pub fn inflight_path(&self) -> PathBuf {
        self.path.join("inflight")
    }

    /// Returns the file that reserves disk space; [`crate::SpaceGuard`] uses the same one.
    pub fn ballast_path(&self) -> PathBuf {
        ballast_path(&self.path)
    }
}

pub(crate) fn store_dir(data: &Path) -> PathBuf {
    data.join(STORE)
}

/// Returns the file that is there from before there is data until its store has been made.
pub(crate) fn unfinished(store: &Path) -> PathBuf {
    store.with_extension("unfinished")
}

/// Refuses data whose store is gone. Changes nothing.
fn refuse_without_store(path: &Path) -> Result<(), StoreError> {
    let store = store_dir(path);
    let empty = match fs::read_dir(&store).map(|mut entries| entries.next().is_none()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        empty => empty.map_err(StoreError::io(format!("list {}", store.display())))?,
    };
    if empty && !unfinished(&store).exists() {
        return Err(StoreError::NoStore { path: path.to_owned() });
    }
    Ok(())
}

pub(crate) fn ballast_path(data: &Path) -> PathBuf {
    data.join("ballast")
}

#[derive(PartialEq, Eq)]
enum Format {
    Absent,
    WithoutJournal,
    Current,
}

fn write_format(path: &Path) -> Result<(), StoreError> {
    files::replace(&path.join(FORMAT_FILE), format!("{FORMAT}\n").as_bytes())
}

/// Reads the format without changing anything.
fn check_format(path: &Path) -> Result<Format, StoreError> {
    let unknown = |found: String| StoreError::NewerFormat {
        path: path.to_owned(),
        found,
        known: FORMAT.to_owned(),
    };
    match fs::read(path.join(FORMAT_FILE)) {
        Ok(content) if content == format!("{FORMAT}\n").as_bytes() => Ok(Format::Current),
        Ok(content) if content == format!("{WITHOUT_JOURNAL}\n").as_bytes() => {
            Ok(Format::WithoutJournal)
        }
        Ok(content) => {
            // A foreign file may hold anything; a version fits in a few words.
            let text = String::from_utf8_lossy(&content);
            let line = text.lines().next().unwrap_or_default();
            Err(unknown(line.chars().filter(|char| !char.is_control()).take(40).collect()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            match entry_besides(path, &[UNFINISHED])? {
                Some(name) => Err(unknown(format!("none, but there is {name}"))),
                None => Ok(Format::Absent),
            }
        }
        Err(error) => Err(StoreError::io(format!("read the format of {}", path.display()))(error)),
    }
}

/// Finds something, not `known`, that an interrupted first opening cannot have left in a directory,
/// so that a mistyped path never makes a data directory of somebody's files.
fn entry_besides(path: &Path, known: &[&str]) -> Result<Option<String>, StoreError> {
    let find = || -> io::Result<Option<String>> {
        for entry in fs::read_dir(path)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let leftover = matches!(name.as_str(), LOCK_FILE | "FORMAT.new" | "lost+found");
            if !leftover && !known.contains(&name.as_str()) {
                return Ok(Some(name));
            }
        }
        Ok(None)
    };
    match find() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map_err(StoreError::io(format!("list {}", path.display()))),
    }
}

fn lock(path: &Path) -> Result<Lock, StoreError> {
    let file = path.join(LOCK_FILE);
    let attempted = || format!("lock {}", file.display());
    let mut lock_file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(&file)
        .map_err(|error| StoreError::io(attempted())(error))?;
    match lock_file.try_lock() {
        Ok(()) => {
            let incarnation = format!("{:016x}", random::draw());
            let written = write_owner(&mut lock_file, &incarnation);
            written.map_err(|error| StoreError::io(attempted())(error))?;
            Ok(Lock { _file: lock_file, incarnation })
        }
        Err(TryLockError::WouldBlock) => {
            let (holder, incarnation) = owner(&mut lock_file);
            Err(StoreError::Locked { path: path.to_owned(), holder, incarnation })
        }
        Err(TryLockError::Error(error)) => Err(StoreError::io(attempted())(error)),
    }
}

fn write_owner(lock: &mut File, incarnation: &str) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    lock.write_all(format!("{}\n{incarnation}\n", std::process::id()).as_bytes())
}

/// Reads who holds the lock, as far as it is known: a text for people, and its incarnation.
fn owner(lock: &mut File) -> (String, Option<String>) {
    let mut text = String::new();
    // What cannot be read is not known.
    drop(lock.read_to_string(&mut text));
    let mut lines = text.lines();
    let holder = match lines.next().and_then(|pid| pid.parse::<u32>().ok()) {
        Some(pid) => format!("pid {pid}"),
        None => "another process".to_owned(),
    };
    (holder, lines.next().map(str::to_owned))
}

/// Writes the marker; on a full disk by giving up the ballast, without which no node could start there.
fn mark_running(path: &Path, running: &Path, unclean_ends: u32) -> Result<(), StoreError> {
    let content = format!("{unclean_ends}\n");
    match files::replace(running, content.as_bytes()) {
        Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::StorageFull => {
            files::remove(&ballast_path(path))?;
            files::replace(running, content.as_bytes())
        }
        result => result,
    }
}

/// Counts unclean ends, the last one included if the marker is there.
fn unclean_ends(running: &Path) -> Result<u32, StoreError> {
    match fs::read_to_string(running) {
        Ok(text) => Ok(text.trim().parse::<u32>().unwrap_or(0).saturating_add(1)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(StoreError::io(format!("read {}", running.display()))(error)),
    }
}

#[cfg(test)]
mod tests;
