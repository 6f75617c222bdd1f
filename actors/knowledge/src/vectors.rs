//! Vectors of chunks: how they are kept, and the search among them.
//!
//! They are made from the documents and can be made again; they are kept because making them may cost time and
//! money. Of each vector the numbers are rounded to 8 bits, scaled by the largest of them: a million vectors of 256 numbers
//! are a quarter of a gigabyte then, in memory and on the disk, and their likenesses are off by some thousandths. A search
//! looks at every vector that may be found: there is no index of neighbours that could miss one.

mod files;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::document::ChunkId;
use crate::embed::normalise;

pub(crate) use files::{Kept, VectorFiles};

/// What the largest number of a vector becomes.
const LARGEST: f32 = 127.0;
/// Bytes of the length of the vectors, before them.
const FRONT: usize = 4;
/// Bytes before the numbers of a vector: the chunk's id, and what the numbers are to be multiplied by.
const BEFORE: usize = 16 + 4;

/// The vectors of one document, in the order of its chunks: their length (4 bytes, big-endian), and of each its chunk (16
/// bytes), its scale (a 32-bit float, little-endian) and its numbers (a signed byte each). Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DocumentVectors(Arc<[u8]>);

/// One vector.
struct Vector<'a> {
    chunk: ChunkId,
    scale: f32,
    numbers: &'a [u8],
}

impl Vector<'_> {
    /// The numbers as they were before they were rounded, nearly.
    fn values(&self) -> impl Iterator<Item = f32> {
        let values = self.numbers.iter().map(|byte| f32::from(byte.cast_signed()));
        values.map(|value| value * self.scale)
    }
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
        let length = u32::try_from(dimensions).map_err(|_| "vectors of gigabytes".to_owned())?;
        let mut bytes = length.to_be_bytes().to_vec();
        for (chunk, mut vector) in chunks.into_iter().zip(vectors) {
            normalise(&mut vector);
            bytes.extend_from_slice(chunk.bytes());
            round(&vector, &mut bytes);
        }
        Ok(Self(bytes.into()))
    }

    /// Vectors as they are kept.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let found = Self(bytes.into());
        let each = BEFORE + found.dimensions()?;
        (bytes.len() - FRONT).is_multiple_of(each).then_some(found)
    }

    /// How they are kept.
    fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// How many numbers each vector has.
    fn dimensions(&self) -> Option<usize> {
        let length = u32::from_be_bytes(*self.0.first_chunk::<FRONT>()?);
        usize::try_from(length).ok()
    }

    fn iter(&self) -> impl Iterator<Item = Vector<'_>> {
        let each = BEFORE + self.dimensions().unwrap_or_default();
        let vectors = self.0.get(FRONT..).unwrap_or_default().chunks_exact(each);
        vectors.filter_map(|bytes| {
            let (chunk, rest) = bytes.split_first_chunk::<16>()?;
            let (scale, numbers) = rest.split_first_chunk::<4>()?;
            let (chunk, scale) = (ChunkId::of_bytes(*chunk), f32::from_le_bytes(*scale));
            Some(Vector { chunk, scale, numbers })
        })
    }

    /// The vectors by chunk.
    pub(crate) fn by_chunk(&self) -> BTreeMap<ChunkId, Vec<f32>> {
        self.iter().map(|vector| (vector.chunk, vector.values().collect())).collect()
    }

    /// Whether these are the vectors of exactly these chunks.
    pub(crate) fn are_of(&self, chunks: impl Iterator<Item = ChunkId>) -> bool {
        chunks.eq(self.iter().map(|vector| vector.chunk))
    }
}

/// The scale and the rounded numbers of a vector, behind what is in `bytes`. To round what was rounded changes nothing.
fn round(vector: &[f32], bytes: &mut Vec<u8>) {
    let largest = vector.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let scale = largest / LARGEST;
    bytes.extend_from_slice(&scale.to_le_bytes());
    let rounded = |value: &f32| if scale > 0.0 { (value / scale).round() } else { 0.0 };
    #[expect(clippy::cast_possible_truncation, reason = "no number is larger than the largest")]
    bytes.extend(vector.iter().map(|value| (rounded(value) as i8).cast_unsigned()));
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

/// What the query's numbers are multiplied by before they are rounded.
const FINENESS: f32 = 32_767.0;

/// A search for the chunks nearest to a query, by cosine; of equals the one with the lower id. It looks at the
/// vectors that it is shown, all of them: at each in whole numbers first, which is faster, and at those that may be
/// among the nearest once more.
pub(crate) struct Search {
    query: Vec<f32>,
    rounded: Vec<i16>,
    /// How much the likeness in whole numbers may be too small.
    error: f32,
    /// What is less like the query is not among the nearest.
    least: f32,
    most: usize,
    found: Neighbours,
}

impl Search {
    /// A search for the `most` nearest.
    pub(crate) fn new(query: &[f32], most: usize) -> Self {
        let mut query = query.to_vec();
        normalise(&mut query);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "no number of a normal vector is above 1"
        )]
        let rounded = query.iter().map(|value| (value * FINENESS).round() as i16).collect();
        // Each number is off by half of one at most, and the sum of a normal vector's by the root of their number.
        #[expect(clippy::cast_precision_loss, reason = "a vector has some thousand numbers")]
        let error = (query.len() as f32).sqrt() / FINENESS;
        Self { query, rounded, error, least: f32::MIN, most, found: Neighbours::default() }
    }

    /// Looks at the vectors of a document, if it has any.
    pub(crate) fn look(&mut self, vectors: Option<&DocumentVectors>) {
        let length = Some(self.query.len());
        let Some(vectors) = vectors.filter(|of| of.dimensions() == length) else {
            self.found.missing += 1;
            return;
        };
        for vector in vectors.iter() {
            let likeness = dot(&self.rounded, vector.numbers) * vector.scale / FINENESS;
            if likeness + self.error < self.least {
                continue;
            }
            let score = self.query.iter().zip(vector.values()).map(|(a, b)| a * b).sum();
            if score < self.least {
                continue;
            }
            let nearest = &mut self.found.nearest;
            nearest.push(Neighbour { chunk: vector.chunk, score });
            if nearest.len() >= 2 * self.most.max(32) {
                keep(nearest, self.most);
                self.least = nearest.last().map_or(f32::MIN, |last| last.score);
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

/// The scalar product in whole numbers, which the compiler makes wide instructions of. It fits: that of a vector of length
/// 32,767 and one of numbers up to 127 is less than 2^31 up to a quarter of a million numbers.
fn dot(query: &[i16], numbers: &[u8]) -> f32 {
    let products =
        query.iter().zip(numbers).map(|(a, b)| i32::from(*a) * i32::from(b.cast_signed()));
    #[expect(clippy::cast_precision_loss, reason = "the first 24 bits are enough")]
    let sum = products.sum::<i32>() as f32;
    sum
}

#[cfg(test)]
mod tests;
