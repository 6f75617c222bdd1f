//! The logs of vectors: one folder per embedder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;

use super::DocumentVectors;
use crate::document::{ChunkId, DocumentId};
use crate::files::{self, FileError};
use crate::library::{Key, Version};
use crate::log::Log;
use crate::text::{checksum, short_digest};

/// The version of the payloads, their first byte; the version of the document follows, then the vectors. Those of another
/// version are made again.
const FORMAT: u8 = 2;
/// What the files of format 1 end with.
const ENDING: &str = "vectors";
/// Bytes of files that are brought into the log together.
const TOGETHER: usize = 8 << 20;

/// The vectors of a document, and of which version of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kept {
    pub(crate) version: Version,
    pub(crate) vectors: DocumentVectors,
}

/// The log of one embedder's vectors.
#[derive(Debug)]
pub(crate) struct VectorFiles {
    root: PathBuf,
    folder: PathBuf,
    log: Log,
    /// The logs of other embedders, by their folders, from the first removal on: to open one is to read all of it.
    others: Mutex<BTreeMap<PathBuf, Log>>,
}

impl VectorFiles {
    /// Opens the log of an embedder, and hands what is there to `see` in its order: of which document, and the
    /// vectors, or none if they are gone or cannot be read. It says whether they count; if not, those before them do.
    pub(crate) fn open(
        root: PathBuf,
        embedder: &str,
        see: &mut dyn FnMut(&Key, Option<Kept>) -> bool,
    ) -> Result<Self, FileError> {
        let folder = root.join(short_digest(&["embedder", embedder], 8));
        let log = Log::open(&folder, &mut |key, payload| see(key, payload.and_then(decode)))?;
        Ok(Self { root, folder, log, others: Mutex::default() })
    }

    /// Stores vectors durably, each with the document and the version that they are of, then does something else: those that
    /// they replace are erased only after that, and count again if it fails.
    pub(crate) fn put_then<'a, E: From<FileError>>(
        &self,
        all: impl Iterator<Item = (Key, &'a Kept)>,
        then: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let encoded: Vec<(Key, Vec<u8>)> = all.map(|(key, kept)| (key, encode(kept))).collect();
        self.log.put_then(encoded.iter().map(|(key, payload)| (*key, payload.as_slice())), then)
    }

    /// Stores vectors durably, each with the document and the version that they are of.
    pub(crate) fn put<'a>(
        &self,
        all: impl Iterator<Item = (Key, &'a Kept)>,
    ) -> Result<(), FileError> {
        self.put_then(all, || Ok(()))
    }

    /// Removes the vectors of a document, of every embedder. Says whether there was anything of them.
    pub(crate) fn remove(&self, document: &DocumentId) -> Result<bool, FileError> {
        let key = document.key();
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        let mut removed = false;
        for folder in files::list(&self.root)?.into_iter().filter(|path| path.is_dir()) {
            files::remove(&folder.join(format!("{document}.{ENDING}")))?;
            if folder == self.folder {
                removed |= self.log.remove(&key)?;
            } else if let Some(other) = others.get(&folder) {
                removed |= other.remove(&key)?;
            } else {
                let other = Log::open(&folder, &mut |_, _| true)?;
                removed |= others.entry(folder).or_insert(other).remove(&key)?;
            }
        }
        Ok(removed)
    }

    /// Brings files of format 1 into the log and removes them: a crash between leaves both, which say the same. `version` tells
    /// that of the document with these chunks; vectors that fit none, or are damaged, are made again.
    pub(crate) fn take_in_files(
        &self,
        embedder: &str,
        version: &dyn Fn(&DocumentId, &DocumentVectors) -> Option<Version>,
        see: &mut dyn FnMut(&Key, Option<Kept>),
    ) -> Result<(), FileError> {
        files::sweep(&self.folder)?;
        let of_ours = |path: &PathBuf| path.extension().is_some_and(|ending| ending == ENDING);
        let paths: Vec<PathBuf> = files::list(&self.folder)?.into_iter().filter(of_ours).collect();
        let mut rest = paths.as_slice();
        while !rest.is_empty() {
            let (mut taken, mut bytes, mut done) = (Vec::new(), 0, 0);
            while bytes < TOGETHER
                && let Some(path) = rest.get(done)
            {
                done += 1;
                let Some((id, vectors)) = file_of_format_1(path, embedder)? else { continue };
                let Some(version) = version(&id, &vectors) else { continue };
                bytes += vectors.bytes().len();
                taken.push((id.key(), Kept { version, vectors }));
            }
            self.put(taken.iter().map(|(key, kept)| (*key, kept)))?;
            let (now, later) = rest.split_at(done);
            files::remove_all(now)?;
            taken.into_iter().for_each(|(key, kept)| see(&key, Some(kept)));
            rest = later;
        }
        Ok(())
    }
}

fn encode(Kept { version, vectors }: &Kept) -> Vec<u8> {
    [&[FORMAT], version.as_slice(), vectors.bytes()].concat()
}

fn decode(payload: &[u8]) -> Option<Kept> {
    let (version, vectors) = payload.strip_prefix(&[FORMAT])?.split_first_chunk()?;
    Some(Kept { version: *version, vectors: DocumentVectors::decode(vectors)? })
}

/// What of a file of format 1 is not numbers.
#[derive(Deserialize)]
struct Head {
    format: u32,
    embedder: String,
    document: DocumentId,
    dimensions: usize,
    chunks: Vec<ChunkId>,
}

/// Reads a file of format 1: a line of JSON, the numbers as 32-bit floats, a checksum of both.
fn file_of_format_1(
    path: &Path,
    embedder: &str,
) -> Result<Option<(DocumentId, DocumentVectors)>, FileError> {
    Ok(decode_format_1(&files::read(path)?).and_then(|(head, vectors)| {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let known = head.format == 1 && head.embedder == embedder && head.document.as_str() == stem;
        known
            .then(|| DocumentVectors::new(head.chunks, vectors).ok())?
            .map(|found| (head.document, found))
    }))
}

fn decode_format_1(bytes: &[u8]) -> Option<(Head, Vec<Vec<f32>>)> {
    // A checksum in hexadecimal and a line end.
    let (body, seal) = bytes.split_at_checked(bytes.len().checked_sub(65)?)?;
    if seal.strip_suffix(b"\n")? != checksum(body).as_bytes() {
        return None;
    }
    let end = body.iter().position(|byte| *byte == b'\n')?;
    let head: Head = serde_json::from_slice(&body[..end]).ok()?;
    let numbers = body[end + 1..].chunks_exact(4);
    let values: Vec<f32> =
        numbers.map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect();
    let whole = values.len() == head.dimensions.checked_mul(head.chunks.len())?;
    let vectors = values.chunks(head.dimensions.max(1)).map(<[f32]>::to_vec).collect();
    whole.then_some((head, vectors))
}
