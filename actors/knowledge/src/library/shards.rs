//! A sorted map that is cheap to copy: a copy shares all of it, and a change of the copy copies one part in many
//! thousand. So each state of the library is a value of its own, also with a million documents in it.

use std::sync::Arc;

/// What entries are sorted by: a hash, so that the parts are of one size.
pub(crate) type Key = [u8; 16];

/// By so many bits at the start of its key an entry is in one part or another: of a million entries 61 are in each, which
/// is what an insertion moves, and a copy of the map counts up 16,384 references.
const BITS: u32 = 14;

/// The part of the map that holds `key`.
fn part(key: &Key) -> usize {
    usize::from(u16::from_be_bytes([key[0], key[1]]) >> (u16::BITS - BITS))
}

/// Entries of which neighbours by key are in one part.
#[derive(Clone, Debug)]
pub(crate) struct Shards<V> {
    parts: Vec<Arc<Vec<(Key, V)>>>,
    len: usize,
}

impl<V> Default for Shards<V> {
    fn default() -> Self {
        let empty = Arc::new(Vec::new());
        Self { parts: std::iter::repeat_n(empty, 1 << BITS).collect(), len: 0 }
    }
}

impl<V: Clone> Shards<V> {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&V> {
        let part = self.parts.get(part(key))?;
        let at = part.binary_search_by(|(known, _)| known.cmp(key)).ok()?;
        part.get(at).map(|(_, value)| value)
    }

    /// Puts an entry in, and gives the one that it replaces.
    pub(crate) fn insert(&mut self, key: Key, value: V) -> Option<V> {
        let part = Arc::make_mut(self.parts.get_mut(part(&key))?);
        match part.binary_search_by(|(known, _)| known.cmp(&key)) {
            Ok(at) => part.get_mut(at).map(|(_, old)| std::mem::replace(old, value)),
            Err(at) => {
                part.insert(at, (key, value));
                self.len += 1;
                None
            }
        }
    }

    pub(crate) fn remove(&mut self, key: &Key) -> Option<V> {
        self.get(key)?;
        let part = Arc::make_mut(self.parts.get_mut(part(key))?);
        let at = part.binary_search_by(|(known, _)| known.cmp(key)).ok()?;
        self.len -= 1;
        Some(part.remove(at).1)
    }

    /// All entries, in the order of their keys.
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.parts.iter().flat_map(|part| part.iter()).map(|(_, value)| value)
    }

    /// The entries behind `key`, in their order.
    pub(crate) fn after<'a>(&'a self, key: &'a Key) -> impl Iterator<Item = &'a V> {
        let parts = self.parts.iter().skip(part(key)).flat_map(|part| part.iter());
        parts.filter(move |(known, _)| known > key).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn it_holds_what_a_plain_map_holds_and_copies_stay_as_they_were(
            changes in prop::collection::vec((any::<bool>(), 0_u8..8, any::<u8>(), 0_u8..8), 0..60)
        ) {
            let (mut shards, mut plain) = (Shards::default(), BTreeMap::new());
            for (insert, high, value, low) in changes {
                let mut key = [0; 16];
                (key[0], key[15]) = (high << 5, low);
                let (copy, before) = (shards.clone(), plain.clone());
                if insert {
                    prop_assert_eq!(shards.insert(key, value), plain.insert(key, value));
                } else {
                    prop_assert_eq!(shards.remove(&key), plain.remove(&key));
                }
                prop_assert_eq!(shards.get(&key), plain.get(&key));
                prop_assert_eq!(shards.len(), plain.len());
                prop_assert!(copy.values().eq(before.values()));
                prop_assert!(shards.after(&key).eq(plain.range(key..).filter(|(at, _)| **at != key).map(|(_, value)| value)));
            }
        }
    }
}
