//! Finding the records of a log: each file is read once, from its beginning to its end.

use std::fs::OpenOptions;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, RwLock};

use super::frame::{FIRST_LINE, HEAD, Item, Items, Kind};
use super::{ENDING, Known, Location, Log, Part, begin, name, path};
use crate::files::{self, FileError};
use crate::library::Key;

impl Log {
    /// Opens the log in a folder, or begins one, and hands each record to `see` in their order: its payload, or none if
    /// its key is gone or the record cannot be read. What an interrupted write left at the end is removed.
    pub(crate) fn open(
        folder: &Path,
        see: &mut dyn FnMut(&Key, Option<&[u8]>),
    ) -> Result<Self, FileError> {
        files::create_dir(folder)?;
        let mut known = Known::default();
        let numbers = numbers(folder)?;
        let (mut bytes, mut gone) = (Vec::new(), Vec::new());
        for number in &numbers {
            let last = numbers.last() == Some(number);
            let path = path(folder, *number);
            let part = read(&path, &mut bytes)?;
            known.parts.insert(*number, part);
            let opening =
                Opening { known: &mut known, number: *number, last, folder, gone: &mut gone };
            opening.look(&bytes, see)?;
        }
        for file in known.damaged.values() {
            if let Some(part) = known.parts.get_mut(file) {
                part.damaged = true;
            }
        }
        let log = Self { folder: folder.to_owned(), known: RwLock::new(known) };
        log.erase(&gone)?;
        Ok(log)
    }
}

/// The numbers of the files, in their order.
fn numbers(folder: &Path) -> Result<Vec<u32>, FileError> {
    let mut numbers = Vec::new();
    for path in files::list(folder)? {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        if let Ok(number) = u32::from_str_radix(&stem, 16)
            && path.file_name().is_some_and(|found| found.to_string_lossy() == name(number))
        {
            numbers.push(number);
        } else if path.extension().is_some_and(|found| found == ENDING) {
            tracing::warn!(path = %path.display(), "a file that is none of the log is passed over");
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Reads a file whole, into a buffer that is used again.
fn read(path: &Path, bytes: &mut Vec<u8>) -> Result<Part, FileError> {
    bytes.clear();
    let opened = OpenOptions::new().read(true).write(true).open(path).and_then(|mut file| {
        file.read_to_end(bytes)?;
        Ok(file)
    });
    let file = opened.map_err(FileError::of(format!("read {}", path.display())))?;
    Ok(Part { file: Arc::new(file), length: bytes.len() as u64, dead: 0, damaged: false })
}

/// One file while it is looked through.
struct Opening<'a> {
    known: &'a mut Known,
    number: u32,
    last: bool,
    folder: &'a Path,
    /// Removed records that a crash may have left as they were.
    gone: &'a mut Vec<Location>,
}

impl Opening<'_> {
    fn look(
        mut self,
        bytes: &[u8],
        see: &mut dyn FnMut(&Key, Option<&[u8]>),
    ) -> Result<(), FileError> {
        if !bytes.starts_with(FIRST_LINE) {
            return self.without_first_line(bytes);
        }
        for item in Items::new(bytes, FIRST_LINE.len()) {
            match item {
                Item::Record { at, head, payload } => {
                    let at = u32::try_from(at).unwrap_or(u32::MAX);
                    let location = Location { file: self.number, at, length: head.length };
                    match (head.kind, payload) {
                        (Kind::Put, Some(payload)) => {
                            self.known.note(&head.key, Some(location));
                            see(&head.key, Some(payload));
                        }
                        // What is replaced is erased only once what replaces it is durable: so this write was cut
                        // short, nobody was told of it, and the record before it counts.
                        (Kind::Put, None) if self.known.latest.get(&head.key).is_some() => {
                            tracing::warn!(
                                file = name(self.number),
                                at,
                                "a write that was cut short is passed over"
                            );
                            self.lose(location.bytes());
                        }
                        (Kind::Put, None) => {
                            // What was erased looks like this too, but then a later record has the last word.
                            self.known.note(&head.key, None);
                            self.known.damaged.insert(head.key, self.number);
                            self.lose(location.bytes());
                            see(&head.key, None);
                        }
                        (Kind::Removed, _) => {
                            let old = self.known.note(&head.key, None);
                            self.gone.extend(old.filter(|_| self.last));
                            see(&head.key, None);
                        }
                    }
                }
                Item::Gap { at } => self.gap(at),
                Item::Rest { at } if self.last => return self.cut(at),
                Item::Rest { at } => self.gap(at),
            }
        }
        Ok(())
    }

    /// Notes bytes that do not count.
    fn lose(&mut self, bytes: u64) {
        if let Some(part) = self.known.parts.get_mut(&self.number) {
            part.dead += bytes;
        }
    }

    fn gap(&mut self, at: usize) {
        self.known.gaps.insert((self.number, at));
        if let Some(part) = self.known.parts.get_mut(&self.number) {
            part.damaged = true;
        }
        self.known.closed |= self.last;
    }

    /// Removes the rest of the last file: a write that was cut short, of which nobody was told that it is there.
    fn cut(self, at: usize) -> Result<(), FileError> {
        let path = path(self.folder, self.number);
        let Some(part) = self.known.parts.get_mut(&self.number) else { return Ok(()) };
        tracing::warn!(path = %path.display(), bytes = part.length - at as u64, "an interrupted write is removed");
        let cut = part.file.set_len(at as u64).and_then(|()| part.file.sync_data());
        cut.map_err(FileError::of(format!("shorten {}", path.display())))?;
        part.length = at as u64;
        Ok(())
    }

    /// A file is made with its first line and synced before anything else; a crash before that leaves less.
    fn without_first_line(mut self, bytes: &[u8]) -> Result<(), FileError> {
        if !self.last || bytes.len() > FIRST_LINE.len() + HEAD {
            self.gap(0);
            return Ok(());
        }
        let path = path(self.folder, self.number);
        files::remove(&path)?;
        let (file, length) = (Arc::new(begin(&path)?), FIRST_LINE.len() as u64);
        self.known.parts.insert(self.number, Part { file, length, dead: 0, damaged: false });
        Ok(())
    }
}
