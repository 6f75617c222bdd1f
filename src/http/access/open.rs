//! How many requests of each API key are under way. Who follows queries or waits for them holds a connection, of
//! which a node has few: one key must leave some to the others, and all together some to who asks whether the node lives.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One key has at most the connections of a node divided by this.
const SHARE: usize = 4;
/// The connections of a node divided by this are left for its health.
const LEFT: usize = 8;

/// Requests under way, by the number of the key; none is the operator's.
#[derive(Clone, Debug, Default)]
pub(super) struct Open(Arc<Mutex<BTreeMap<Option<u64>, usize>>>);

impl Open {
    /// A place for one more request of `key` on a node with so many connections, or the bound that leaves none: that of
    /// the key, which the operator has not, or that of all.
    pub(super) fn enter(&self, key: Option<u64>, connections: usize) -> Result<Place, usize> {
        let own = if key.is_some() { (connections / SHARE).max(1) } else { usize::MAX };
        let most = (connections - connections / LEFT).max(1);
        let mut held = self.lock();
        if held.get(&key).is_some_and(|count| *count >= own) {
            return Err(own);
        }
        if held.values().sum::<usize>() >= most {
            return Err(most);
        }
        *held.entry(key).or_default() += 1;
        Ok(Place { open: self.clone(), key })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Option<u64>, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is under way until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    open: Open,
    key: Option<u64>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.open.lock();
        if let Some(count) = held.get_mut(&self.key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                held.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_a_share_of_the_connections_and_gets_back_what_has_ended() {
        let open = Open::default();
        let (first, second) = (open.enter(Some(1), 8).unwrap(), open.enter(Some(1), 8).unwrap());
        assert_eq!(open.enter(Some(1), 8).unwrap_err(), 2);
        let other = open.enter(Some(2), 8).unwrap();
        drop(first);
        let third = open.enter(Some(1), 8).unwrap();
        assert_eq!(open.enter(Some(1), 8).unwrap_err(), 2);
        drop((second, third, other));
        assert!(open.lock().is_empty(), "nothing is kept of keys that ask nothing");
    }

    #[test]
    fn a_node_of_few_connections_answers_every_key() {
        assert!(Open::default().enter(Some(1), 1).is_ok());
    }

    #[test]
    fn however_many_follow_queries_connections_are_left_for_the_nodes_health() {
        for keys in [vec![None], vec![Some(1), Some(2), Some(3), Some(4), Some(5)]] {
            let open = Open::default();
            let places: Vec<Place> =
                keys.iter().cycle().take(50).filter_map(|key| open.enter(*key, 16).ok()).collect();
            assert_eq!(places.len(), 14);
        }
    }
}
