//! Commits ahead of the engine.
//!
//! The engine takes several times as long for a batch as the disk takes for its bytes. So a commit is appended to
//! this file, with one write and one sync, and reaches the engine later, together with others
//! (`checkpoint.rs`). What the engine does not hold yet is read from here when the store is opened.
//!
//! The file has a header and two halves, all allocated when it is made: a commit only overwrites. While
//! one half is written, what the other holds goes into the engine; a half is begun again only after that is durable
//! there. So the commits in the file always reach back to the last one the engine is known to hold.
//!
//! A commit is a frame at the beginning of a sector: a head, the rows as in `entries.rs`, and zeros up to the
//! next sector. A frame is begun only when the one before it is durable. So the last may be torn, and was acknowledged to
//! nobody; one that is missing or damaged before others is a loss, and the store is not opened.
//!
//! The checksums are seeded with a number drawn when the file is made. What clients send lies in the frames as it is; nobody
//! can send what would pass for a frame where one was torn.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::recent::Table;
use crate::entries::{append_entry, read_entries};
use crate::{Batch, StoreError, files, random};

#[cfg(any(test, feature = "testing"))]
pub(crate) mod decoding;
mod scan;

/// The unit in which frames are laid out: what a disk writes whole or not at all.
const SECTOR_BYTES: u64 = 512;

/// Bytes before the first half: the header, alone in its page.
const HEADER_BYTES: u64 = 4096;

/// How the file begins.
const MAGIC: [u8; 8] = *b"perenjl1";

/// How a frame begins.
const FRAME_MAGIC: [u8; 3] = *b"frm";

/// Magic, kind, length of the rows, number of the commit, CRC32C.
const FRAME_HEAD_BYTES: usize = 20;

/// A buffer larger than this is not kept from commit to commit.
const KEPT_BUFFER_BYTES: usize = 256 * 1024;

/// The open file.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    /// Drawn when the file was made; all checksums begin with it.
    seed: u32,
    half_bytes: u64,
    /// Which half is being written, and how far.
    half: u64,
    at: u64,
    frame: Vec<u8>,
}

/// What a frame says. The numbers are in files and never change meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
enum Kind {
    /// These are the rows of the commit.
    Rows = b'R',
    /// The engine holds the commit, and all before it: it was too large to stand here, or the last one when
    /// the file was made.
    InEngine = b'E',
}

/// Where the frame of a commit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Frame {
    number: u64,
    kind: Kind,
    /// Of its rows, in the file.
    offset: u64,
    length: usize,
}

/// What a journal holds that the engine does not.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The rows, as after the last commit.
    pub(super) table: Table,
    /// What is missing or damaged; nothing after it is in `table`.
    pub(super) damage: Option<StoreError>,
}

impl Journal {
    /// Opens the journal in `dir`; `None` if there is none.
    ///
    /// What a process that died had written and not synced is made durable before anything follows from it.
    pub(super) fn open(dir: &Path) -> Result<Option<Journal>, StoreError> {
        let path = path(dir);
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file.map_err(StoreError::io(format!("open {}", path.display())))?,
        };
        Journal::of_file(file, &path).map(Some)
    }

    fn of_file(file: File, path: &Path) -> Result<Journal, StoreError> {
        let io = || StoreError::io(format!("read {}", path.display()));
        file.sync_all().map_err(io())?;
        let bytes = file.metadata().map_err(io())?.len();
        let mut header = [0; HEADER_LENGTH];
        match file.read_exact_at(&mut header, 0) {
            Err(error) if error.kind() != ErrorKind::UnexpectedEof => return Err(io()(error)),
            Ok(()) | Err(_) => {}
        }
        let (half_bytes, seed) =
            decode_header(&header).ok_or_else(|| damaged("its header is damaged"))?;
        if Some(bytes) != half_bytes.checked_mul(2).and_then(|both| both.checked_add(HEADER_BYTES))
        {
            return Err(damaged("it does not have the length that its header says"));
        }
        Ok(Journal { file, seed, half_bytes, half: 0, at: 0, frame: Vec::new() })
    }

    /// Makes the journal of `dir`, of about `bytes`, for a store whose engine holds the commits up to `held`,
    /// and notes that: whole and durable, or not at all.
    pub(super) fn create(dir: &Path, bytes: u64, held: u64) -> Result<Journal, StoreError> {
        let (path, aside) = (path(dir), dir.join("journal.new"));
        let half_bytes = (bytes / 2).next_multiple_of(SECTOR_BYTES).max(SECTOR_BYTES);
        let seed = random::draw() as u32;
        let make = || {
            let file = OpenOptions::new()
                .create(true)
                .write(true)
                .read(true)
                .truncate(true)
                .mode(0o600)
                .open(&aside)?;
            files::allocate(&file, HEADER_BYTES + 2 * half_bytes)?;
            file.write_all_at(&encode_header(half_bytes, seed), 0)?;
            Ok(file)
        };
        let io = || StoreError::io(format!("create {}", path.display()));
        let file = make().map_err(io())?;
        let mut journal = Journal { file, seed, half_bytes, half: 0, at: 0, frame: Vec::new() };
        if held > 0 {
            journal.append_held(held)?;
        }
        journal.file.sync_all().and_then(|()| fs::rename(&aside, &path)).map_err(io())?;
        files::sync_dir(dir)?;
        Ok(journal)
    }

    /// Reads the commits after number `after`, which is the last one the engine holds.
    pub(super) fn read(&self, after: u64) -> Result<Found, StoreError> {
        let mut frames = scan::find_frames(self)?;
        frames.retain(|frame| frame.number > after);
        frames.sort_unstable();
        let mut found = Found::default();
        for (frame, number) in frames.iter().zip(after + 1..) {
            let missing = frame.number != number || frame.kind == Kind::InEngine;
            if missing {
                found.damage = Some(lost(number, frame.number));
                break;
            }
            self.replay(*frame, &mut found.table)?;
        }
        Ok(found)
    }

    fn replay(&self, frame: Frame, table: &mut Table) -> Result<(), StoreError> {
        let mut rows = vec![0; frame.length];
        self.file
            .read_exact_at(&mut rows, frame.offset)
            .map_err(StoreError::io("read the journal"))?;
        for entry in read_entries(&rows) {
            let (key, value) =
                entry.map_err(|why| damaged(&format!("in commit {}: {why}", frame.number)))?;
            table.replay(key, value.map(<[u8]>::to_vec));
        }
        table.end_commit(frame.number);
        Ok(())
    }

    /// Tells where a commit of these rows would go.
    pub(super) fn place(&self, batch: &Batch) -> Place {
        let heads = batch.len() * crate::entries::ENTRY_HEAD_BYTES;
        let length = (FRAME_HEAD_BYTES + heads + batch.bytes()) as u64;
        let length = length.next_multiple_of(SECTOR_BYTES);
        match length {
            _ if self.at + length <= self.half_bytes => Place::Here,
            _ if length <= self.half_bytes => Place::OtherHalf,
            _ => Place::Nowhere,
        }
    }

    /// Begins the other half, over what it held.
    pub(super) fn turn_over(&mut self) {
        self.half = 1 - self.half;
        self.at = 0;
    }

    /// Appends a commit, for which there is a place here, and makes it durable.
    pub(super) fn append(&mut self, number: u64, batch: &Batch) -> Result<(), StoreError> {
        self.append_frame(Kind::Rows, number, batch)
    }

    /// Notes durably that the engine holds everything up to this commit.
    pub(super) fn append_held(&mut self, number: u64) -> Result<(), StoreError> {
        let nothing = Batch::new();
        if self.place(&nothing) != Place::Here {
            self.turn_over();
        }
        self.append_frame(Kind::InEngine, number, &nothing)
    }

    fn append_frame(&mut self, kind: Kind, number: u64, batch: &Batch) -> Result<(), StoreError> {
        self.frame.clear();
        self.frame.resize(FRAME_HEAD_BYTES, 0);
        for (key, value) in batch.iter() {
            append_entry(&mut self.frame, key, value);
        }
        let (head, rows) = self.frame.split_at_mut(FRAME_HEAD_BYTES);
        head.copy_from_slice(&encode_head(self.seed, kind, number, rows));
        self.frame.resize(self.frame.len().next_multiple_of(SECTOR_BYTES as usize), 0);
        let offset = self.half_offset(self.half) + self.at;
        self.file
            .write_all_at(&self.frame, offset)
            .and_then(|()| self.file.sync_data())
            .map_err(StoreError::io("append a commit to the journal"))?;
        self.at += self.frame.len() as u64;
        if self.frame.capacity() > KEPT_BUFFER_BYTES {
            self.frame = Vec::new();
        }
        Ok(())
    }

    fn half_offset(&self, half: u64) -> u64 {
        HEADER_BYTES + half * self.half_bytes
    }

    /// Where in the file the last frame begins that was appended, and its sectors; for tests.
    #[cfg(test)]
    pub(super) fn last_frame(&self) -> (u64, u64) {
        let bytes = self.frame.len() as u64;
        (self.half_offset(self.half) + self.at - bytes, bytes / SECTOR_BYTES)
    }

    /// Takes what every later sync is asked of; for tests.
    #[cfg(test)]
    pub(super) fn replace_file(&mut self, file: File) -> File {
        std::mem::replace(&mut self.file, file)
    }
}

/// Where a commit would go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Behind the last one.
    Here,
    /// To the beginning of the other half.
    OtherHalf,
    /// It is larger than a half.
    Nowhere,
}

pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join("journal")
}

/// Magic, size of a half, seed, CRC32C of those.
const HEADER_LENGTH: usize = 24;

fn encode_header(half_bytes: u64, seed: u32) -> [u8; HEADER_LENGTH] {
    let mut bytes = [0; HEADER_LENGTH];
    let (content, crc) = bytes.split_at_mut(HEADER_LENGTH - 4);
    let parts = [&MAGIC[..], &half_bytes.to_be_bytes(), &seed.to_be_bytes()].concat();
    content.copy_from_slice(&parts);
    crc.copy_from_slice(&crc32c::crc32c(content).to_be_bytes());
    bytes
}

fn decode_header(bytes: &[u8; HEADER_LENGTH]) -> Option<(u64, u32)> {
    let (half_bytes, rest) = bytes.strip_prefix(&MAGIC)?.split_first_chunk::<8>()?;
    let (half_bytes, seed) =
        (u64::from_be_bytes(*half_bytes), u32::from_be_bytes(*rest.first_chunk::<4>()?));
    let whole = encode_header(half_bytes, seed) == *bytes && half_bytes > 0;
    whole.then_some((half_bytes, seed))
}

fn encode_head(seed: u32, kind: Kind, number: u64, rows: &[u8]) -> [u8; FRAME_HEAD_BYTES] {
    let mut head = [0; FRAME_HEAD_BYTES];
    let (content, crc) = head.split_at_mut(FRAME_HEAD_BYTES - 4);
    // A frame fits in half of a file, and rows that do not fit into this number fit into none.
    let length = (rows.len() as u32).to_be_bytes();
    let parts = [&FRAME_MAGIC[..], &[kind as u8], &length, &number.to_be_bytes()].concat();
    content.copy_from_slice(&parts);
    let checksum = crc32c::crc32c_append(crc32c::crc32c_append(seed, content), rows);
    crc.copy_from_slice(&checksum.to_be_bytes());
    head
}

fn lost(number: u64, after: u64) -> StoreError {
    let reason = if number < after {
        format!("commit {number} is lost or damaged, though commit {after} was stored after it")
    } else {
        format!("commit {number} was stored, and the engine does not hold it any more")
    };
    StoreError::Corrupted { key: "log".to_owned(), reason }
}

/// What is wrong with a store of so many commits that has no journal, nor is of the format before there was one.
pub(super) fn absent(commits: u64) -> StoreError {
    let reason = format!("there is none; if it held commits after {commits}, they are lost");
    StoreError::Corrupted { key: "journal".to_owned(), reason }
}

fn damaged(reason: &str) -> StoreError {
    StoreError::Corrupted { key: "journal".to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests;
