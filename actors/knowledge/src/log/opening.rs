//! Finding the records of a log: each file is read once, from its beginning to its end.

use std::fs::OpenOptions;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, RwLock};

use super::frame::{FIRST_LINE, Head, Item, Items, Kind};
use super::known::{Known, Location, Part};
use super::{ASIDE, ENDING, Log, begin, name, path};
use crate::files::{self, FileError};
use crate::library::Key;

/// What is shown each record of a log that is opened: the payload, or none if its key is gone or the record cannot be read. It
/// says whether the record counts; if not, the one before it does, if there is one, and this one is erased.
pub(crate) type See<'a> = dyn FnMut(&Key, Option<&[u8]>) -> bool + 'a;

impl Log {
    /// Opens the log in a folder, or begins one, and shows each record to `see` in their order. What an interrupted write
    /// left at the end is removed, and what should have been erased is.
    pub(crate) fn open(folder: &Path, see: &mut See<'_>) -> Result<Self, FileError> {
        files::create_dir(folder)?;
        let (numbers, aside) = names(folder)?;
        let mut known = Known { aside, ..Known::default() };
        let mut bytes = Vec::new();
        for number in &numbers {
            let last = numbers.last() == Some(number);
            let path = path(folder, *number);
            let part = read(&path, &mut bytes)?;
            known.parts.insert(*number, part);
            let opening = Opening { known: &mut known, number: *number, last, folder };
            opening.look(&bytes, see)?;
        }
        let log = Self { folder: folder.to_owned(), known: RwLock::new(known) };
        if let Err(error) = log.erase() {
            tracing::warn!(%error, "replaced records could not be erased; it is tried again with the next change");
        }
        Ok(log)
    }
}

/// The numbers of the files, in their order, and the names of those that were put aside.
fn names(folder: &Path) -> Result<(Vec<u32>, Vec<String>), FileError> {
    let (mut numbers, mut aside) = (Vec::new(), Vec::new());
    for path in files::list(folder)? {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let found = path.file_name().unwrap_or_default().to_string_lossy();
        let ends = |ending: &str| path.extension().is_some_and(|found| found == ending);
        match u32::from_str_radix(&stem, 16) {
            Ok(number) if found == name(number) => numbers.push(number),
            Ok(_) if ends(ASIDE) => aside.push(found.into_owned()),
            Ok(_) | Err(_) if ends(ENDING) => {
                tracing::warn!(path = %path.display(), "a file that is none of the log is passed over");
            }
            Ok(_) | Err(_) => {}
        }
    }
    numbers.sort_unstable();
    Ok((numbers, aside))
}

/// Reads a file whole, into a buffer that is used again.
fn read(path: &Path, bytes: &mut Vec<u8>) -> Result<Part, FileError> {
    bytes.clear();
    let opened = OpenOptions::new().read(true).write(true).open(path).and_then(|mut file| {
        file.read_to_end(bytes)?;
        Ok(file)
    });
    let file = opened.map_err(FileError::of(format!("read {}", path.display())))?;
    Ok(Part::new(Arc::new(file), bytes.len() as u64))
}

/// One file while it is looked through.
struct Opening<'a> {
    known: &'a mut Known,
    number: u32,
    last: bool,
    folder: &'a Path,
}

impl Opening<'_> {
    fn look(mut self, bytes: &[u8], see: &mut See<'_>) -> Result<(), FileError> {
        // A file is made with its first line and synced before anything else; a crash before that leaves less.
        if self.last && bytes.len() <= FIRST_LINE.len() && bytes != FIRST_LINE {
            return self.begin_again();
        }
        for item in Items::new(bytes) {
            match item {
                Item::Record { at, head, payload } => {
                    let at = u32::try_from(at).unwrap_or(u32::MAX);
                    let location = Location { file: self.number, at, length: head.length };
                    self.record(location, head, payload, see);
                }
                Item::Gap { at } => self.gap(at),
                Item::Rest { at } if self.last && at > 0 => self.cut(at)?,
                Item::Rest { at } => self.gap(at),
            }
        }
        if self.last { self.sync() } else { Ok(()) }
    }

    fn record(
        &mut self,
        location: Location,
        head: Head,
        payload: Result<&[u8], &[u8]>,
        see: &mut See<'_>,
    ) {
        let has_earlier = self.known.latest.get(&head.key).is_some();
        match (head.kind, payload) {
            (Kind::Put, Ok(payload)) => {
                if see(&head.key, Some(payload)) || !has_earlier {
                    self.known.note(&head.key, Some(location));
                } else {
                    self.known.lose(&head.key, location);
                }
            }
            (Kind::Put, Err(content)) => {
                if has_earlier {
                    // What is replaced is erased only once what replaces it is durable: so this write was cut short,
                    // nobody was told of it, and the record before it counts.
                    let (file, at) = (name(location.file), location.at);
                    tracing::warn!(file, at, "a write that was cut short is passed over");
                } else {
                    // What was erased looks like this too, but then a later record has the last word.
                    self.known.damaged.insert(head.key, self.number);
                    see(&head.key, None);
                }
                self.known.add_dead(location);
                if content.iter().any(|byte| *byte != 0) {
                    self.known.remains.entry(head.key).or_default().push(location);
                }
            }
            (Kind::Removed, _) => {
                self.known.note(&head.key, None);
                see(&head.key, None);
            }
        }
    }

    fn gap(&mut self, at: usize) {
        self.known.gaps.insert((self.number, at));
        self.known.closed |= self.last;
    }

    /// Removes the rest of the last file: a write that was cut short, of which nobody was told that it is there.
    fn cut(&mut self, at: usize) -> Result<(), FileError> {
        let path = path(self.folder, self.number);
        let Some(part) = self.known.parts.get_mut(&self.number) else { return Ok(()) };
        tracing::warn!(path = %path.display(), bytes = part.length - at as u64, "an interrupted write is removed");
        part.file
            .set_len(at as u64)
            .map_err(FileError::of(format!("shorten {}", path.display())))?;
        part.length = at as u64;
        Ok(())
    }

    /// Makes the last file durable as it was read: who wrote it may have died before its own sync, and what it replaces is
    /// about to be erased.
    fn sync(self) -> Result<(), FileError> {
        let Some(part) = self.known.parts.get(&self.number) else { return Ok(()) };
        let path = path(self.folder, self.number);
        part.file.sync_data().map_err(FileError::of(format!("sync {}", path.display())))
    }

    fn begin_again(self) -> Result<(), FileError> {
        let path = path(self.folder, self.number);
        files::remove(&path)?;
        let part = Part::new(Arc::new(begin(&path)?), FIRST_LINE.len() as u64);
        self.known.parts.insert(self.number, part);
        Ok(())
    }
}
