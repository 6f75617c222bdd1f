//! Giving back the room of what does not count any more.

use std::io::Read;

use super::frame::{FIRST_LINE, Item, Items, Kind};
use super::{Batch, Log, path};
use crate::files::{self, FileError};

impl Log {
    /// Writes what still counts of one file anew, at the end of the log, and removes the file; if there is one of which
    /// more than half does not count. A crash between leaves both, which say the same.
    pub(super) fn compact(&self) {
        let wasteful = {
            let known = self.known();
            let last = known.parts.last_key_value().map(|(number, _)| *number);
            let mut parts = known.parts.iter().filter(|(number, _)| Some(**number) != last);
            parts
                .find(|(_, part)| !part.damaged && part.dead * 2 > part.length)
                .map(|(number, _)| *number)
        };
        let Some(number) = wasteful else { return };
        if let Err(error) = self.write_anew(number) {
            tracing::warn!(%error, "a file of records could not be written anew and is kept");
        }
    }

    fn write_anew(&self, number: u32) -> Result<(), FileError> {
        let path = path(&self.folder, number);
        let mut bytes = Vec::new();
        let opened = std::fs::File::open(&path).and_then(|mut file| file.read_to_end(&mut bytes));
        opened.map_err(FileError::of(format!("read {}", path.display())))?;
        let batch = self.counting(number, &bytes)?;
        self.append(batch)?;
        files::remove(&path)?;
        self.known_mut().parts.remove(&number);
        Ok(())
    }

    /// What of a file still counts. That a key is gone must be said as long as an older file may have a record of it.
    fn counting(&self, number: u32, bytes: &[u8]) -> Result<Batch, FileError> {
        let known = self.known();
        let oldest = known.parts.first_key_value().map(|(first, _)| *first) == Some(number);
        let mut batch = Batch::default();
        for item in Items::new(bytes, FIRST_LINE.len()) {
            let Item::Record { at, head, payload } = item else { continue };
            let latest = known.latest.get(&head.key);
            match head.kind {
                Kind::Put => {
                    let counts = latest.is_some_and(|latest| {
                        latest.file == number && usize::try_from(latest.at) == Ok(at)
                    });
                    match payload {
                        Some(payload) if counts => batch.add(head.key, Some(payload))?,
                        None if counts => return Err(unreadable()),
                        Some(_) | None => {}
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
