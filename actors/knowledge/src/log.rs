//! Records by key, in few files that are only appended to: what a million small files would be too slow for.
//!
//! The last record of a key counts. Changes come one at a time, which the library's lock sees to; readers come at any
//! time. Where the records are is known in memory, and found by reading all files once when the log is opened.

mod compact;
mod frame;
mod opening;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::files::{self, FileError};
use crate::library::{Key, Shards};
use frame::{FIRST_LINE, HEAD};

/// Bytes behind which a file is not appended to any more.
const FILE_BYTES: u64 = 32 << 20;
/// What the files end with.
const ENDING: &str = "log";

/// Where a record is: its file, the beginning of its frame, and the bytes of its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Location {
    file: u32,
    at: u32,
    length: u32,
}

impl Location {
    /// Bytes of the frame and its payload.
    fn bytes(self) -> u64 {
        HEAD as u64 + u64::from(self.length)
    }
}

/// A file of the log.
#[derive(Debug)]
struct Part {
    file: Arc<File>,
    /// Bytes up to the end of its last record.
    length: u64,
    /// Bytes of records that do not count any more.
    dead: u64,
    /// Whether some of it cannot be read. Then it is left as it is, for a person.
    damaged: bool,
}

/// What is known of the files.
#[derive(Debug, Default)]
struct Known {
    latest: Shards<Location>,
    parts: BTreeMap<u32, Part>,
    /// Keys of which the last record cannot be read, and in which file that is.
    damaged: BTreeMap<Key, u32>,
    /// Files with bytes in them that are no record, and where those begin.
    gaps: BTreeSet<(u32, usize)>,
    /// Whether the last file is not to be appended to: something went wrong at its end.
    closed: bool,
}

impl Known {
    /// Notes the record that counts for a key from now on, and gives the one that did.
    fn note(&mut self, key: &Key, location: Option<Location>) -> Option<Location> {
        self.damaged.remove(key);
        let old = match location {
            Some(location) => self.latest.insert(*key, location),
            None => self.latest.remove(key),
        };
        if let Some(old) = old
            && let Some(part) = self.parts.get_mut(&old.file)
        {
            part.dead += old.bytes();
        }
        old
    }
}

/// A record that cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The disk says so.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is not as it was written.
    #[error("its checksum is not that of its content")]
    Damaged,
}

/// A log of records.
#[derive(Debug)]
pub(crate) struct Log {
    folder: PathBuf,
    known: RwLock<Known>,
}

impl Log {
    fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_mut(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The payload of the last record of a key.
    pub(crate) fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, ReadError> {
        loop {
            let Some((location, file)) = self.locate(key) else { return Ok(None) };
            let mut bytes = vec![0; usize::try_from(location.bytes()).unwrap_or(usize::MAX)];
            let path = path(&self.folder, location.file);
            let read = file.read_exact_at(&mut bytes, u64::from(location.at));
            read.map_err(FileError::of(format!("read {}", path.display())))?;
            if frame::payload(&bytes, key).is_some() {
                bytes.drain(..HEAD);
                return Ok(Some(bytes));
            }
            // It may have been replaced and erased meanwhile.
            if self.locate(key).map(|(now, _)| now) == Some(location) {
                return Err(ReadError::Damaged);
            }
        }
    }

    fn locate(&self, key: &Key) -> Option<(Location, Arc<File>)> {
        let known = self.known();
        let location = *known.latest.get(key)?;
        Some((location, Arc::clone(&known.parts.get(&location.file)?.file)))
    }

    /// What cannot be read: the file, and of what, if that is known.
    pub(crate) fn damaged(&self) -> Vec<(String, Option<Key>)> {
        let known = self.known();
        let records = known.damaged.iter().map(|(key, file)| (name(*file), Some(*key)));
        let gaps = known.gaps.iter().map(|(file, _)| (name(*file), None));
        records.chain(gaps).collect()
    }

    /// Appends records durably, in their order: a crash may leave the first of them. What they replace is erased.
    pub(crate) fn put<'a>(
        &self,
        records: impl Iterator<Item = (Key, &'a [u8])>,
    ) -> Result<(), FileError> {
        let mut batch = Batch::default();
        for (key, payload) in records {
            batch.add(key, Some(payload))?;
        }
        let replaced = self.append(batch)?;
        // A crash before this leaves them until their file is written anew: no promise is broken.
        if let Err(error) = self.erase(&replaced) {
            tracing::warn!(%error, "replaced records could not be erased");
        }
        self.compact();
        Ok(())
    }

    /// Removes the record of a key durably, and erases it.
    pub(crate) fn remove(&self, key: &Key) -> Result<(), FileError> {
        let is_there = {
            let known = self.known();
            known.latest.get(key).is_some() || known.damaged.contains_key(key)
        };
        if !is_there {
            return Ok(());
        }
        let mut batch = Batch::default();
        batch.add(*key, None)?;
        let replaced = self.append(batch)?;
        self.erase(&replaced)?;
        self.compact();
        Ok(())
    }

    /// Appends a batch durably, and gives what it replaces. What failed leaves nothing behind that is found.
    fn append(&self, batch: Batch) -> Result<Vec<Location>, FileError> {
        if batch.records.is_empty() {
            return Ok(Vec::new());
        }
        let (number, file, at) = self.tail()?;
        let path = path(&self.folder, number);
        let written = file.write_all_at(&batch.bytes, at).and_then(|()| file.sync_data());
        if let Err(error) = written {
            // What a failed sync left in memory is not to be trusted, so the next record goes to another file.
            drop(file.set_len(at));
            self.known_mut().closed = true;
            return Err(FileError::of(format!("write {}", path.display()))(error));
        }
        let mut known = self.known_mut();
        let mut replaced = Vec::new();
        for Framed { key, offset, length } in &batch.records {
            let at = u32::try_from(at).unwrap_or(u32::MAX).saturating_add(*offset);
            let location = length.map(|length| Location { file: number, at, length });
            replaced.extend(known.note(key, location));
        }
        if let Some(part) = known.parts.get_mut(&number) {
            part.length = at + batch.bytes.len() as u64;
        }
        Ok(replaced)
    }

    /// The file that is appended to, and where; a new one if the last is full.
    fn tail(&self) -> Result<(u32, Arc<File>, u64), FileError> {
        let next = {
            let known = self.known();
            match known.parts.last_key_value() {
                Some((number, part)) if part.length < FILE_BYTES && !known.closed => {
                    return Ok((*number, Arc::clone(&part.file), part.length));
                }
                Some((number, _)) => number + 1,
                None => 0,
            }
        };
        let path = path(&self.folder, next);
        let file = Arc::new(begin(&path)?);
        let length = FIRST_LINE.len() as u64;
        let part = Part { file: Arc::clone(&file), length, dead: 0, damaged: false };
        let mut known = self.known_mut();
        known.parts.insert(next, part);
        known.closed = false;
        Ok((next, file, length))
    }

    /// Writes zeros over payloads that do not count any more. They are found to be damaged then, and are passed over.
    fn erase(&self, locations: &[Location]) -> Result<(), FileError> {
        let mut changed = BTreeMap::new();
        for Location { file: number, at, length } in locations {
            let file = self.known().parts.get(number).map(|part| Arc::clone(&part.file));
            let Some(file) = file else { continue };
            let zeros = vec![0; usize::try_from(*length).unwrap_or_default()];
            let written = file.write_all_at(&zeros, u64::from(*at) + HEAD as u64);
            let path = path(&self.folder, *number);
            written.map_err(FileError::of(format!("write {}", path.display())))?;
            changed.insert(path, file);
        }
        changed.into_iter().try_for_each(|(path, file)| {
            file.sync_data().map_err(FileError::of(format!("write {}", path.display())))
        })
    }
}

/// A record of a batch: where its frame begins, and the bytes of its payload unless it says that the key is gone.
struct Framed {
    key: Key,
    offset: u32,
    length: Option<u32>,
}

/// Records that are appended together.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    records: Vec<Framed>,
}

impl Batch {
    fn add(&mut self, key: Key, payload: Option<&[u8]>) -> Result<(), FileError> {
        let large =
            || FileError::of("write records of gigabytes")(std::io::ErrorKind::FileTooLarge.into());
        let offset = u32::try_from(self.bytes.len()).map_err(|_| large())?;
        let length = frame::append(&mut self.bytes, &key, payload).ok_or_else(large)?;
        // Room for the file that they are appended to.
        if self.bytes.len() as u64 + FILE_BYTES > u64::from(u32::MAX) {
            return Err(large());
        }
        self.records.push(Framed { key, offset, length: payload.map(|_| length) });
        Ok(())
    }
}

/// Begins a file, durably. What failed leaves nothing behind that would be in the way of the next attempt.
fn begin(path: &Path) -> Result<File, FileError> {
    files::replace(path, FIRST_LINE)?;
    let opened = OpenOptions::new().read(true).write(true).open(path);
    opened.map_err(FileError::of(format!("open {}", path.display())))
}

fn name(number: u32) -> String {
    format!("{number:08x}.{ENDING}")
}

fn path(folder: &Path, number: u32) -> PathBuf {
    folder.join(name(number))
}

#[cfg(test)]
mod tests;
