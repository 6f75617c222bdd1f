//! Vectors of chunks: the files that keep them, and the search among them.
//!
//! They are made from the documents and can be made again; they are kept because making them may cost time and
//! money. One folder per embedder, one file per document: a line of JSON, then the numbers, then a checksum of
//! both. A search looks at every vector that may be found: exact, and for a million vectors of 256 numbers a
//! tenth of a second or so.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::document::{ChunkId, DocumentId};
use crate::embed::normalise;
use crate::files::{self, FileError};
use crate::text::{checksum, short_digest};

/// The version of the files. Those of another version are made again.
const FORMAT: u32 = 1;
/// A checksum and a line end.
const SEAL: usize = 65;

/// What of a file is not numbers.
#[derive(Serialize, Deserialize)]
struct Head {
    format: u32,
    embedder: String,
    document: DocumentId,
    dimensions: usize,
    chunks: Vec<ChunkId>,
}

/// The vectors of one document, in the order of its chunks.
#[derive(Debug)]
pub(crate) struct DocumentVectors {
    chunks: Vec<ChunkId>,
    dimensions: usize,
    /// One after the other, each of length 1.
    values: Vec<f32>,
}

impl DocumentVectors {
    /// The vectors of these chunks, all of one length, in their order.
    pub(crate) fn new(chunks: Vec<ChunkId>, vectors: Vec<Vec<f32>>) -> Result<Self, String> {
        let dimensions = vectors.first().map_or(0, Vec::len);
        if vectors.len() != chunks.len() || vectors.iter().any(|vector| vector.len() != dimensions)
        {
            return Err(format!(
                "{} vectors of several lengths for {} chunks",
                vectors.len(),
                chunks.len()
            ));
        }
        let mut values: Vec<f32> = vectors.into_iter().flatten().collect();
        values.chunks_mut(dimensions.max(1)).for_each(normalise);
        Ok(Self { chunks, dimensions, values })
    }

    fn iter(&self) -> impl Iterator<Item = (ChunkId, &[f32])> {
        self.chunks.iter().copied().zip(self.values.chunks(self.dimensions.max(1)))
    }

    /// The vectors by chunk.
    pub(crate) fn by_chunk(&self) -> BTreeMap<ChunkId, Vec<f32>> {
        self.iter().map(|(chunk, vector)| (chunk, vector.to_vec())).collect()
    }

    /// Whether these are the vectors of exactly these chunks.
    pub(crate) fn are_of(&self, chunks: impl Iterator<Item = ChunkId>) -> bool {
        chunks.eq(self.chunks.iter().copied())
    }
}

/// A chunk that was found near.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Neighbour {
    pub(crate) chunk: ChunkId,
    pub(crate) score: f32,
}

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Neighbours {
    pub(crate) nearest: Vec<Neighbour>,
    /// Documents in which could not be searched: without vectors, or with such of another length.
    pub(crate) missing: usize,
}

/// A search for the chunks nearest to a query, by cosine; of equals the one with the lower id. It looks at the
/// vectors that it is shown, all of them.
pub(crate) struct Search {
    query: Vec<f32>,
    most: usize,
    found: Neighbours,
}

impl Search {
    /// A search for the `most` nearest.
    pub(crate) fn new(query: &[f32], most: usize) -> Self {
        let mut query = query.to_vec();
        normalise(&mut query);
        Self { query, most, found: Neighbours::default() }
    }

    /// Looks at the vectors of a document, if it has any.
    pub(crate) fn look(&mut self, vectors: Option<&DocumentVectors>) {
        let Some(vectors) = vectors.filter(|of| of.dimensions == self.query.len()) else {
            self.found.missing += 1;
            return;
        };
        for (chunk, vector) in vectors.iter() {
            let nearest = &mut self.found.nearest;
            nearest.push(Neighbour { chunk, score: dot(&self.query, vector) });
            if nearest.len() >= 2 * self.most.max(512) {
                keep(nearest, self.most);
            }
        }
    }

    /// What was found.
    pub(crate) fn found(mut self) -> Neighbours {
        keep(&mut self.found.nearest, self.most);
        self.found
    }
}

/// Keeps the `most` nearest, in order.
fn keep(found: &mut Vec<Neighbour>, most: usize) {
    found.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.chunk.cmp(&b.chunk)));
    found.truncate(most);
}

/// The scalar product, in eight sums at a time so that the compiler can use wide registers.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    let (a, b) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a.zip(b) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// The folder of one embedder's vectors.
#[derive(Clone, Debug)]
pub(crate) struct VectorFiles {
    root: PathBuf,
    folder: PathBuf,
    embedder: String,
}

impl VectorFiles {
    pub(crate) fn open(root: PathBuf, embedder: &str) -> Result<Self, FileError> {
        let folder = root.join(short_digest(&["embedder", embedder], 8));
        files::create_dir(&folder)?;
        Ok(Self { root, folder, embedder: embedder.to_owned() })
    }

    fn path(&self, document: &DocumentId) -> PathBuf {
        self.folder.join(format!("{document}.vectors"))
    }

    pub(crate) fn write(
        &self,
        document: &DocumentId,
        vectors: &DocumentVectors,
    ) -> Result<(), FileError> {
        let (path, bytes) = self.file(document, vectors)?;
        files::replace(&path, &bytes)
    }

    /// The file of a document's vectors, to be written.
    pub(crate) fn file(
        &self,
        document: &DocumentId,
        vectors: &DocumentVectors,
    ) -> Result<(PathBuf, Vec<u8>), FileError> {
        let path = self.path(document);
        let head = Head {
            format: FORMAT,
            embedder: self.embedder.clone(),
            document: document.clone(),
            dimensions: vectors.dimensions,
            chunks: vectors.chunks.clone(),
        };
        let mut bytes = serde_json::to_vec(&head)
            .map_err(|error| FileError::of(format!("write {}", path.display()))(error.into()))?;
        bytes.push(b'\n');
        bytes.extend(vectors.values.iter().flat_map(|value| value.to_le_bytes()));
        let seal = checksum(&bytes);
        bytes.extend_from_slice(seal.as_bytes());
        bytes.push(b'\n');
        Ok((path, bytes))
    }

    /// The vectors of a document; none if they were never made, or if the file is not as it was written.
    pub(crate) fn read(&self, document: &DocumentId) -> Option<DocumentVectors> {
        let bytes = files::read(&self.path(document)).ok()?;
        let (body, seal) = bytes.split_at_checked(bytes.len().checked_sub(SEAL)?)?;
        if seal.strip_suffix(b"\n")? != checksum(body).as_bytes() {
            return None;
        }
        let end = body.iter().position(|byte| *byte == b'\n')?;
        let head: Head = serde_json::from_slice(&body[..end]).ok()?;
        let known = head.format == FORMAT && head.embedder == self.embedder;
        let numbers = body[end + 1..].chunks_exact(4);
        let values: Vec<f32> = numbers
            .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
            .collect();
        let whole = values.len() == head.dimensions.checked_mul(head.chunks.len())?;
        let Head { document: of, dimensions, chunks, .. } = head;
        (known && whole && of == *document).then_some(DocumentVectors {
            chunks,
            dimensions,
            values,
        })
    }

    /// Removes the vectors of a document, of every embedder.
    pub(crate) fn remove(&self, document: &DocumentId) -> Result<(), FileError> {
        for folder in files::list(&self.root)?.iter().filter(|path| path.is_dir()) {
            files::remove(&folder.join(format!("{document}.vectors")))?;
        }
        Ok(())
    }

    /// Removes what an interrupted write left.
    pub(crate) fn sweep(&self) -> Result<(), FileError> {
        sweep(&self.folder)
    }
}

/// Removes unfinished files.
pub(crate) fn sweep(folder: &Path) -> Result<(), FileError> {
    let unfinished =
        |path: &&PathBuf| path.extension().is_some_and(|name| name == files::UNFINISHED);
    files::list(folder)?.iter().filter(unfinished).try_for_each(|path| files::remove(path))
}

#[cfg(test)]
mod tests;
