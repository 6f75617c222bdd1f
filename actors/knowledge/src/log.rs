//! Records by key, in few files that are only appended to: what a million small files would be too slow for.
//!
//! The last record of a key counts. Changes come one at a time, which the library's lock sees to; readers come at any
//! time. Where the records are is known in memory, and found by reading all files once when the log is opened.

mod compact;
mod erasing;
mod frame;
mod known;
mod opening;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::files::{self, FileError};
use crate::library::Key;
use frame::{FIRST_LINE, HEAD};
use known::{Change, Known, Location, Part};

/// Bytes behind which a file is not appended to any more.
const FILE_BYTES: u64 = 32 << 20;
/// What the files end with.
const ENDING: &str = "log";
/// What files end with that were put aside.
const ASIDE: &str = "damaged";
/// What is wrong with a record that cannot be read.
const NOT_AS_WRITTEN: &str = "its checksum is not that of its content";

/// A record that cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The disk says so.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is not as it was written.
    #[error("{NOT_AS_WRITTEN}")]
    Damaged,
}

/// Something in the files that cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unreadable {
    pub(crate) file: String,
    /// Of what it was, if that is known.
    pub(crate) key: Option<Key>,
    pub(crate) why: &'static str,
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

    fn handle(&self, number: u32) -> Option<Arc<File>> {
        self.known().parts.get(&number).map(|part| Arc::clone(&part.file))
    }

    /// What cannot be read.
    pub(crate) fn damaged(&self) -> Vec<Unreadable> {
        let known = self.known();
        let records = known.damaged.iter().map(|(key, file)| Unreadable {
            file: name(*file),
            key: Some(*key),
            why: NOT_AS_WRITTEN,
        });
        let gaps = known.gaps.iter().map(|(file, _)| Unreadable {
            file: name(*file),
            key: None,
            why: "there are bytes in it that are no record",
        });
        let aside = known.aside.iter().filter(|name| self.folder.join(name).exists());
        let aside = aside.map(|name| Unreadable {
            file: name.clone(),
            key: None,
            why: "it was put aside, for there are bytes in it that are no record: put in again what is missing, then delete it",
        });
        records.chain(gaps).chain(aside).collect()
    }

    /// Appends records durably, in their order: a crash may leave the first of them. What they replace is erased.
    pub(crate) fn put<'a>(
        &self,
        records: impl Iterator<Item = (Key, &'a [u8])>,
    ) -> Result<(), FileError> {
        self.put_then(records, || Ok(()))
    }

    /// Appends records durably, then does something else. What they replace is erased after that; if it fails, what they were
    /// to replace counts again. A crash between leaves both, and who opens the log says which of them counts.
    pub(crate) fn put_then<'a, E: From<FileError>>(
        &self,
        records: impl Iterator<Item = (Key, &'a [u8])>,
        then: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let mut batch = Batch::default();
        for (key, payload) in records {
            batch.add(key, Some(payload))?;
        }
        let changes = self.append(batch)?;
        let done = then();
        if done.is_err() {
            self.known_mut().take_back(&changes);
        }
        // A crash before this leaves them until the log is opened: no promise is broken.
        if let Err(error) = self.erase() {
            tracing::warn!(%error, "replaced records could not be erased; it is tried again");
        }
        self.compact();
        done
    }

    /// Removes the records of a key durably, and erases them. Says whether there was anything of it; what an earlier attempt
    /// left to be erased is such.
    pub(crate) fn remove(&self, key: &Key) -> Result<bool, FileError> {
        // What could not be cut off may be one of it.
        self.takes_writes()?;
        let (counts, waits) = {
            let known = self.known();
            let counts = known.latest.get(key).is_some() || known.damaged.contains_key(key);
            (counts, known.is_stale(key))
        };
        if counts {
            let mut batch = Batch::default();
            batch.add(*key, None)?;
            self.append(batch)?;
        }
        if counts || waits {
            if let Err(error) = self.erase() {
                if self.known().is_stale(key) {
                    return Err(error);
                }
                tracing::warn!(%error, "other records could not be erased; it is tried again");
            }
            self.compact();
        }
        Ok(counts || waits)
    }

    /// Whether anything can be written. After a write that could neither be completed nor cut off, nothing is until the log
    /// is opened again: only then is known what of it there is.
    pub(crate) fn takes_writes(&self) -> Result<(), FileError> {
        if !self.known().stuck {
            return Ok(());
        }
        let why = "an earlier write failed and could not be cut off, so nothing is written before the next start; restart the node when the disk is well";
        let attempted = format!("write to {}", self.folder.display());
        Err(FileError::of(attempted)(io::Error::other(why)))
    }

    /// Appends a batch durably, and gives what it changed. What failed is not found by the next opening, or the error says so.
    fn append(&self, batch: Batch) -> Result<Vec<Change>, FileError> {
        self.takes_writes()?;
        if batch.records.is_empty() {
            return Ok(Vec::new());
        }
        let (number, file, at) = self.tail()?;
        let written = file.write_all_at(&batch.bytes, at).and_then(|()| file.sync_data());
        if let Err(error) = written {
            return Err(self.cut_off(number, (&file, at), error));
        }
        let mut known = self.known_mut();
        let changes = batch.records.iter().map(|Framed { key, offset, length }| {
            let at = u32::try_from(at).unwrap_or(u32::MAX).saturating_add(*offset);
            let new = length.map(|length| Location { file: number, at, length });
            Change { key: *key, new, old: known.note(key, new) }
        });
        let changes = changes.collect();
        if let Some(part) = known.parts.get_mut(&number) {
            part.length = at + batch.bytes.len() as u64;
        }
        Ok(changes)
    }

    /// Cuts a write that failed off again, durably and before anything else is written: what is told as failed must not be
    /// found by the next opening, nor may a later file come behind a rest that is no record. What a failed sync left
    /// in memory is not to be trusted, so the next record goes to another file.
    fn cut_off(&self, number: u32, (file, at): (&File, u64), error: io::Error) -> FileError {
        let path = path(&self.folder, number);
        let cut = match file.set_len(at) {
            Ok(()) => file.sync_data(),
            // The handle may be what is broken. A sync that failed is not tried again: the second would only say that it went well.
            Err(_) => OpenOptions::new().write(true).open(&path).and_then(|file| {
                file.set_len(at)?;
                file.sync_data()
            }),
        };
        let mut known = self.known_mut();
        known.closed = true;
        known.stuck = cut.is_err();
        if cut.is_ok() && at == FIRST_LINE.len() as u64 {
            // Nothing is in it, and the next file takes its place: each failure would leave one more open otherwise.
            known.parts.remove(&number);
        }
        let error = match cut {
            Ok(()) => error,
            Err(cut) => {
                let rest = format!(
                    "and what was written could not be cut off ({cut}): it may be found after the next start, and nothing is written before that"
                );
                io::Error::new(error.kind(), format!("{error}, {rest}"))
            }
        };
        FileError::of(format!("write {}", path.display()))(error)
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
        let part = Part::new(Arc::clone(&file), length);
        let mut known = self.known_mut();
        known.parts.insert(next, part);
        known.closed = false;
        Ok((next, file, length))
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
