//! Giving back the room of what does not count any more, and putting aside what is damaged.

use std::os::unix::fs::FileExt;

use super::frame::{Item, Items, Kind};
use super::{ASIDE, Batch, Log, path};
use crate::files::{self, FileError};

impl Log {
    /// Writes what still counts of one file anew, at the end of the log, and removes the file; if there is one of which
    /// more than half does not count, or one with bytes in it that are no record, which is put aside instead. A crash
    /// between leaves both, which say the same. What fails is tried again after the next change.
    pub(super) fn compact(&self) {
        for number in self.wasteful() {
            match self.write_anew(number) {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(%error, "a file of records could not be written anew and is kept");
                }
            }
        }
    }

    /// The files that are to be written anew. One in which the last record of a key cannot be read is left as it is, for a
    /// person, until there is another of that key.
    fn wasteful(&self) -> Vec<u32> {
        let known = self.known();
        let last = known.parts.last_key_value().map(|(number, _)| *number);
        let wasteful = known.parts.iter().filter(|(number, part)| {
            let wanted = part.dead * 2 > part.length || known.has_gap(**number);
            wanted && Some(**number) != last && !known.damaged.values().any(|of| of == *number)
        });
        wasteful.map(|(number, _)| *number).collect()
    }

    fn write_anew(&self, number: u32) -> Result<(), FileError> {
        let path = path(&self.folder, number);
        let (copied, has_gap) = {
            let known = self.known();
            (known.parts.get(&number).is_some_and(|part| part.copied), known.has_gap(number))
        };
        if !copied {
            let batch = self.counting(number, &self.content(number)?)?;
            self.append(batch)?;
            if let Some(part) = self.known_mut().parts.get_mut(&number) {
                part.copied = true;
            }
        }
        match has_gap {
            true => self.put_aside(number)?,
            // It may be gone already, and only the sync have failed.
            false => files::remove_all(&[path])?,
        }
        self.known_mut().forget(number);
        Ok(())
    }

    /// Reads a file by its handle, for it may have lost its name already.
    fn content(&self, number: u32) -> Result<Vec<u8>, FileError> {
        let length = self.known().parts.get(&number).map_or(0, |part| part.length);
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        if let Some(file) = self.handle(number) {
            let read = file.read_exact_at(&mut bytes, 0);
            read.map_err(FileError::of(format!("read {}", path(&self.folder, number).display())))?;
        }
        Ok(bytes)
    }

    /// Gives a file another name, of which nothing counts any more but has bytes in it that nobody can read. What was
    /// copied out of it is erased, for it may be removed later.
    fn put_aside(&self, number: u32) -> Result<(), FileError> {
        {
            let mut known = self.known_mut();
            let remains =
                known.remains.iter().flat_map(|(key, all)| all.iter().map(|at| (*at, *key)));
            let of_it: Vec<_> = remains.filter(|(location, _)| location.file == number).collect();
            known.stale.extend(of_it);
            known.remains.values_mut().for_each(|all| all.retain(|at| at.file != number));
        }
        self.erase()?;
        let path = path(&self.folder, number);
        let aside = path.with_extension(ASIDE);
        files::rename(&path, &aside)?;
        let name = aside.file_name().unwrap_or_default().to_string_lossy().into_owned();
        tracing::error!(file = %aside.display(), "a file with bytes in it that are no record was put aside; what could be read of it is in another");
        self.known_mut().aside.push(name);
        Ok(())
    }

    /// What of a file still counts. That a key is gone must be said as long as an older file may have a record of it.
    fn counting(&self, number: u32, bytes: &[u8]) -> Result<Batch, FileError> {
        let known = self.known();
        let oldest = known.parts.first_key_value().map(|(first, _)| *first) == Some(number);
        let mut batch = Batch::default();
        for item in Items::new(bytes) {
            let Item::Record { at, head, payload } = item else { continue };
            let latest = known.latest.get(&head.key);
            match head.kind {
                Kind::Put => {
                    let counts = latest.is_some_and(|latest| {
                        latest.file == number && usize::try_from(latest.at) == Ok(at)
                    });
                    match payload {
                        Ok(payload) if counts => batch.add(head.key, Some(payload))?,
                        Err(_) if counts => {
                            drop(known);
                            self.known_mut().damaged.insert(head.key, number);
                            return Err(unreadable());
                        }
                        Ok(_) | Err(_) => {}
                    }
                }
                Kind::Removed if latest.is_none() && !oldest => batch.add(head.key, None)?,
                Kind::Removed => {}
            }
        }
        Ok(batch)
    }
}

fn unreadable() -> FileError {
    let why = std::io::ErrorKind::InvalidData.into();
    FileError::of("read a record that was whole when the library was opened")(why)
}
