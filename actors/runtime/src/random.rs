//! Deterministic numbers: the same message sees the same sequence.

use std::hash::BuildHasher;

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): one word of state, any seed is good.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// A number that nobody can foretell, for what shall differ between two starts.
pub(crate) fn from_system() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the system for chance")]
    std::hash::RandomState::new().hash_one(0)
}

/// FNV-1a with 128 bits over length-prefixed parts. Stored in idempotency keys, so it never changes.
pub(crate) fn stable_hash(parts: &[&[u8]]) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let mut hash = OFFSET;
    let mut eat = |byte: u8| hash = (hash ^ u128::from(byte)).wrapping_mul(PRIME);
    for part in parts {
        (part.len() as u64).to_be_bytes().into_iter().for_each(&mut eat);
        part.iter().copied().for_each(&mut eat);
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_hash_does_not_change_and_tells_parts_apart() {
        assert_eq!(stable_hash(&[]), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
        assert_eq!(format!("{:032x}", stable_hash(&[b"responder", b"local"])), FROZEN);
        assert_ne!(stable_hash(&[b"ab", b"c"]), stable_hash(&[b"a", b"bc"]));
    }

    /// As this version computes it; stored idempotency keys rest on it.
    const FROZEN: &str = "accc2e003ff7f11bf032cd0a3baf1e1e";

    #[test]
    fn one_seed_gives_one_sequence() {
        let numbers = |seed| {
            let mut random = Random::seeded(seed);
            [random.next(), random.next(), random.next()]
        };
        assert_eq!(numbers(7), numbers(7));
        assert_ne!(numbers(7), numbers(8));
    }
}
