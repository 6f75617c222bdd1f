//! How many requests of each API key are under way. Who follows queries or waits for them holds a connection, of
//! which a node has few: one key must leave some to the others and to whoever looks after the node.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One key has at most the connections of a node divided by this.
const SHARE: usize = 4;

/// Requests under way, by the number of the key.
#[derive(Clone, Debug, Default)]
pub(super) struct Open(Arc<Mutex<BTreeMap<u64, usize>>>);

impl Open {
    /// A place for one more request of `key` on a node with so many connections, or the most that it may have.
    pub(super) fn enter(&self, key: u64, connections: usize) -> Result<Place, usize> {
        let most = (connections / SHARE).max(1);
        let mut held = self.lock();
        let count = held.entry(key).or_default();
        if *count >= most {
            return Err(most);
        }
        *count += 1;
        Ok(Place { open: self.clone(), key })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is under way until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    open: Open,
    key: u64,
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
        let (first, second) = (open.enter(1, 8).unwrap(), open.enter(1, 8).unwrap());
        assert_eq!(open.enter(1, 8).unwrap_err(), 2);
        let other = open.enter(2, 8).unwrap();
        drop(first);
        let third = open.enter(1, 8).unwrap();
        assert_eq!(open.enter(1, 8).unwrap_err(), 2);
        drop((second, third, other));
        assert!(open.lock().is_empty(), "nothing is kept of keys that ask nothing");
    }

    #[test]
    fn a_node_of_few_connections_answers_every_key() {
        assert!(Open::default().enter(1, 1).is_ok());
    }
}
