//! An embedder that needs no model: words and their parts, hashed. It finds texts that share words and spellings,
//! not texts that mean the same, and its name says what it is.

use std::collections::BTreeMap;

use futures::future::{BoxFuture, FutureExt, ready};
use perennial_query::tool::ToolError;

use super::{Embedder, normalise};

/// The length of its vectors.
const DIMENSIONS: usize = 256;
/// What a part of a word counts, against 1 for the word.
const PART: f32 = 0.3;

/// Hashes words, and runs of three and four characters in them, to 256 numbers (feature hashing: Weinberger and
/// others, ICML 2009). The same everywhere and always.
#[derive(Clone, Copy, Debug, Default)]
pub struct HashedNgrams;

impl HashedNgrams {
    /// Its name, in every answer that rests on it.
    pub const NAME: &str = "hashed-ngrams-256";

    /// The vector of one text, of length 1; all zero if it has no words.
    #[must_use]
    pub fn vector(text: &str) -> Vec<f32> {
        let mut features: BTreeMap<u64, (f32, f32)> = BTreeMap::new();
        let mut add = |kind: u8, feature: &str, weight: f32| {
            let entry = features.entry(hash(kind, feature)).or_insert((0.0, weight));
            entry.0 += 1.0;
        };
        let text = text.to_lowercase();
        for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
            add(0, word, 1.0);
            let framed: Vec<char> = format!("<{word}>").chars().collect();
            for (kind, length) in [(3, 3), (4, 4)] {
                for part in framed.windows(length) {
                    add(kind, &part.iter().collect::<String>(), PART);
                }
            }
        }
        let mut vector = vec![0.0; DIMENSIONS];
        for (hash, (often, weight)) in features {
            // The low byte is the place, the highest bit the sign: what meets by chance cancels out.
            let place = usize::from(hash.to_le_bytes()[0]);
            let sign = if hash >> 63 == 0 { 1.0 } else { -1.0 };
            vector[place] += sign * weight * (1.0 + often.ln());
        }
        normalise(&mut vector);
        vector
    }
}

/// FNV-1a with 64 bits, and a final mix, for its low bits alone are poor (MurmurHash3's finalizer).
fn hash(kind: u8, feature: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = std::iter::once(kind).chain(feature.bytes()).fold(0xcbf2_9ce4_8422_2325, step);
    let hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ hash >> 33
}

impl Embedder for HashedNgrams {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn embed<'a>(&'a self, texts: &'a [String]) -> BoxFuture<'a, Result<Vec<Vec<f32>>, ToolError>> {
        ready(Ok(texts.iter().map(|text| Self::vector(text)).collect())).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn likeness(a: &str, b: &str) -> f32 {
        let (a, b) = (HashedNgrams::vector(a), HashedNgrams::vector(b));
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn texts_that_share_words_and_spellings_are_more_alike_than_others() {
        let text = "The pump was restarted after the pressure fell.";
        assert!((likeness(text, text) - 1.0).abs() < 1e-5);
        let (near, far) =
            ("restarting pumps when pressure falls", "quarterly sales of apples in Ghent");
        assert!(likeness(text, near) > likeness(text, far) + 0.2);
        assert!(likeness("colour", "colours") > likeness("colour", "weather") + 0.3);
        assert_eq!(likeness("...", text), 0.0);
    }

    /// Vectors are kept on the disk: if this changes, the name must.
    #[test]
    fn the_vector_of_a_text_stays_the_same_for_ever() {
        let vector = HashedNgrams::vector("durable actors");
        let bits: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(
            crate::text::checksum(&bits),
            "dd94899b4f2fec3762a4e0cf146be16f64135be3712b424db94bfa31ab2706f3"
        );
    }
}
