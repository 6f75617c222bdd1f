//! The bytes of a backup; `docs/storage-format.md` describes them.

use std::io::{self, ErrorKind, Read, Write};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{BackupError, Summary};
use crate::data_dir::{FORMAT, is_known};
use crate::entries::{ENTRY_HEAD_BYTES, Entry, append_entry, read_entries};
use crate::{Key, MAX_KEY_BYTES, MAX_VALUE_BYTES, Timestamp, codec};

/// The first line: readable by people, and by every later version.
const MAGIC: &str = "perennial-backup 1";

/// Bytes of entries after which a block is full.
pub(super) const BLOCK_BYTES: usize = 256 * 1024;

/// No block holds more: it is full before its last entry, which is as large as one can be.
const MAX_BLOCK_BYTES: usize = BLOCK_BYTES + MAX_KEY_BYTES + MAX_VALUE_BYTES + ENTRY_HEAD_BYTES;

/// Kind, length, stored length, and checksum of a block.
const HEAD_BYTES: usize = 13;

/// What a block holds. The numbers are in files and never change meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    /// Always the first.
    Header = b'H',
    Rows = b'R',
    Changes = b'C',
    /// The last of a whole backup; the digest of all before it follows.
    End = b'E',
    /// The last of one that was given up: why.
    GivenUp = b'X',
}

impl Kind {
    fn of(byte: u8) -> Option<Kind> {
        [Kind::Header, Kind::Rows, Kind::Changes, Kind::End, Kind::GivenUp]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    /// The format of the data directory that the rows are from.
    format: String,
    product: String,
    started: Timestamp,
}

#[derive(Debug, Serialize, Deserialize)]
struct End {
    finished: Timestamp,
    rows: u64,
    changes: u64,
    bytes: u64,
}

/// Rows, or changes, one after the other; a value of `None` deletes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entries {
    bytes: Vec<u8>,
    count: u64,
}

impl Entries {
    pub(super) fn add(&mut self, key: &Key, value: Option<&[u8]>) {
        append_entry(&mut self.bytes, key, value);
        self.count += 1;
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= BLOCK_BYTES
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Reads the entries; an error says what does not fit.
    pub(super) fn iter(&self) -> impl Iterator<Item = Result<Entry<'_>, String>> {
        read_entries(&self.bytes)
    }
}

/// Writes a backup, block by block.
pub(super) struct Writer<'a> {
    to: &'a mut dyn Write,
    digest: Sha256,
    blocks: u64,
    summary: Summary,
}

impl<'a> Writer<'a> {
    pub(super) fn begin(
        to: &'a mut dyn Write,
        product: &str,
        started: Timestamp,
    ) -> Result<Writer<'a>, BackupError> {
        let product = product.to_owned();
        let header = Header { format: FORMAT.to_owned(), product: product.clone(), started };
        let summary = Summary {
            product,
            started,
            finished: started,
            rows: 0,
            changes: 0,
            bytes: 0,
            file_bytes: 0,
        };
        let mut writer = Writer { to, digest: Sha256::new(), blocks: 0, summary };
        writer.put(format!("{MAGIC}\n").as_bytes())?;
        writer.block(Kind::Header, &encode(&header)?)?;
        Ok(writer)
    }

    pub(super) fn rows(&mut self, rows: &Entries) -> Result<(), BackupError> {
        self.summary.rows += rows.count;
        self.entries(Kind::Rows, rows)
    }

    pub(super) fn changes(&mut self, changes: &Entries) -> Result<(), BackupError> {
        self.summary.changes += changes.count;
        self.entries(Kind::Changes, changes)
    }

    fn entries(&mut self, kind: Kind, entries: &Entries) -> Result<(), BackupError> {
        let heads = entries.count * ENTRY_HEAD_BYTES as u64;
        self.summary.bytes += entries.len() as u64 - heads;
        if entries.count == 0 { Ok(()) } else { self.block(kind, &entries.bytes) }
    }

    /// Ends a whole backup.
    pub(super) fn end(mut self, finished: Timestamp) -> Result<Summary, BackupError> {
        let Summary { rows, changes, bytes, .. } = self.summary;
        self.block(Kind::End, &encode(&End { finished, rows, changes, bytes })?)?;
        let digest = self.digest.clone().finalize();
        self.put(&digest)?;
        self.to.flush().map_err(BackupError::io("write the backup"))?;
        Ok(Summary { finished, ..self.summary })
    }

    /// Ends a backup that will not be whole, so that its reader learns why.
    pub(super) fn give_up(mut self, why: &str) -> Result<(), BackupError> {
        self.block(Kind::GivenUp, why.as_bytes())?;
        self.to.flush().map_err(BackupError::io("write the backup"))
    }

    fn block(&mut self, kind: Kind, content: &[u8]) -> Result<(), BackupError> {
        let packed = lz4_flex::block::compress(content);
        let stored = if packed.len() < content.len() { packed.as_slice() } else { content };
        let lengths = [content.len() as u32, stored.len() as u32];
        let crc = checksum(self.blocks, kind as u8, lengths, stored);
        let mut head = Vec::with_capacity(HEAD_BYTES);
        head.push(kind as u8);
        lengths.iter().for_each(|length| head.extend_from_slice(&length.to_be_bytes()));
        head.extend_from_slice(&crc.to_be_bytes());
        self.blocks += 1;
        self.put(&head)?;
        self.put(stored)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        self.to.write_all(bytes).map_err(BackupError::io("write the backup"))?;
        self.digest.update(bytes);
        self.summary.file_bytes += bytes.len() as u64;
        Ok(())
    }
}

fn encode(value: &impl Serialize) -> Result<Vec<u8>, BackupError> {
    codec::encode(value)
        .map_err(|error| BackupError::io("write the backup")(io::Error::other(error)))
}

/// The block's number goes in, so that blocks can neither be missing nor change places unnoticed.
fn checksum(number: u64, kind: u8, lengths: [u32; 2], stored: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&number.to_be_bytes());
    let crc = crc32c::crc32c_append(crc, &[kind]);
    let crc =
        lengths.iter().fold(crc, |crc, length| crc32c::crc32c_append(crc, &length.to_be_bytes()));
    crc32c::crc32c_append(crc, stored)
}

/// A part of a backup.
pub(super) enum Part {
    Rows(Entries),
    Changes(Entries),
    /// Everything before was whole.
    End(Summary),
}

/// Reads a backup and verifies every byte of it on the way.
pub(super) struct Reader<'a> {
    from: &'a mut dyn Read,
    digest: Sha256,
    blocks: u64,
    offset: u64,
    header: Header,
}

impl<'a> Reader<'a> {
    pub(super) fn begin(from: &'a mut dyn Read) -> Result<Reader<'a>, BackupError> {
        let header =
            Header { format: String::new(), product: String::new(), started: Timestamp::EPOCH };
        let mut reader = Reader { from, digest: Sha256::new(), blocks: 0, offset: 0, header };
        reader.magic()?;
        let (kind, content) = reader.block()?;
        if kind != Kind::Header {
            return Err(reader.invalid("it does not begin with a header"));
        }
        reader.header = reader.decode(&content)?;
        if is_known(&reader.header.format) {
            return Ok(reader);
        }
        Err(BackupError::OtherFormat { found: reader.header.format, known: FORMAT.to_owned() })
    }

    /// Where the last block that was read ends.
    pub(super) fn place(&self) -> String {
        format!("at byte {}", self.offset)
    }

    /// Says that what was read last does not fit.
    pub(super) fn invalid(&self, reason: impl Into<String>) -> BackupError {
        BackupError::Invalid { reason: reason.into(), place: self.place() }
    }

    pub(super) fn next(&mut self) -> Result<Part, BackupError> {
        let (kind, content) = self.block()?;
        match kind {
            Kind::Rows => Ok(Part::Rows(Entries { bytes: content, count: 0 })),
            Kind::Changes => Ok(Part::Changes(Entries { bytes: content, count: 0 })),
            Kind::End => self.end(&content),
            Kind::Header => Err(self.invalid("it begins a second time")),
            Kind::GivenUp => {
                let why = String::from_utf8_lossy(&content);
                Err(self.invalid(format!("it was not finished ({why})")))
            }
        }
    }

    fn end(&mut self, content: &[u8]) -> Result<Part, BackupError> {
        let End { finished, rows, changes, bytes } = self.decode(content)?;
        let digest = self.digest.clone().finalize();
        let mut found = [0; 32];
        self.fill(&mut found)?;
        if found[..] != digest[..] {
            return Err(self.invalid("the checksum of the whole does not match"));
        }
        let mut byte = [0];
        if self.from.read(&mut byte).map_err(BackupError::io("read the backup"))? > 0 {
            return Err(self.invalid("something follows its end"));
        }
        let Header { product, started, .. } = &self.header;
        let (product, started, file_bytes) = (product.clone(), *started, self.offset);
        Ok(Part::End(Summary { product, started, finished, rows, changes, bytes, file_bytes }))
    }

    fn magic(&mut self) -> Result<(), BackupError> {
        let mut line = vec![0; MAGIC.len() + 1];
        match self.fill(&mut line) {
            Err(BackupError::Invalid { .. }) => return Err(self.foreign()),
            result => result?,
        }
        if line == format!("{MAGIC}\n").as_bytes() {
            return Ok(());
        }
        let Some(version) = line.strip_prefix(b"perennial-backup ") else {
            return Err(self.foreign());
        };
        let version: String = version
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .map(|b| char::from(*b))
            .collect();
        let found = format!("perennial-backup {version}");
        Err(BackupError::OtherFormat { found, known: MAGIC.to_owned() })
    }

    fn foreign(&self) -> BackupError {
        let reason = "it does not begin as a backup does".to_owned();
        BackupError::Invalid { reason, place: "at byte 0".to_owned() }
    }

    fn block(&mut self) -> Result<(Kind, Vec<u8>), BackupError> {
        let begin = self.offset;
        let damaged = |reason: &str| BackupError::Invalid {
            reason: reason.to_owned(),
            place: format!("in the block at byte {begin}"),
        };
        let mut head = [0; HEAD_BYTES];
        self.fill(&mut head)?;
        let [kind, a, b, c, d, e, f, g, h, i, j, k, l] = head;
        let lengths = [u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h])];
        let [length, stored] = lengths.map(|length| length as usize);
        if stored > length || length > MAX_BLOCK_BYTES {
            return Err(damaged("its lengths are impossible"));
        }
        let mut content = vec![0; stored];
        self.fill(&mut content)?;
        if checksum(self.blocks, kind, lengths, &content) != u32::from_be_bytes([i, j, k, l]) {
            return Err(damaged("its checksum does not match"));
        }
        let kind = Kind::of(kind).ok_or_else(|| damaged("its kind is unknown"))?;
        if stored < length {
            content = lz4_flex::block::decompress(&content, length)
                .ok()
                .filter(|content| content.len() == length)
                .ok_or_else(|| damaged("it cannot be unpacked"))?;
        }
        self.blocks += 1;
        Ok((kind, content))
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), BackupError> {
        match self.from.read_exact(bytes) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                return Err(self.invalid("it ends early"));
            }
            result => result.map_err(BackupError::io("read the backup"))?,
        }
        self.digest.update(&*bytes);
        self.offset += bytes.len() as u64;
        Ok(())
    }

    fn decode<T: serde::de::DeserializeOwned>(&self, content: &[u8]) -> Result<T, BackupError> {
        codec::decode(content).map_err(|error| self.invalid(error.to_string()))
    }
}
