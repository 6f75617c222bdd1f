//! Answers that are still fresh. Bounded in entries and bytes; the oldest go first.

use std::collections::{BTreeMap, VecDeque};

use perennial_runtime::Timestamp;

use super::answer::Answered;

/// What was asked: the address, and the headers of the request that the caller chose.
pub(super) type Asked = (String, Vec<(String, String)>);

#[derive(Debug)]
struct Entry {
    answered: Answered,
    until: Timestamp,
    /// Tells it from an earlier entry for the same question.
    number: u64,
}

#[derive(Debug)]
pub(super) struct Cache {
    entries: BTreeMap<Asked, Entry>,
    /// From the oldest; may name entries that are gone.
    order: VecDeque<(Asked, u64)>,
    next: u64,
    bytes: usize,
    max_entries: usize,
    max_bytes: usize,
}

impl Cache {
    pub(super) fn new(max_entries: usize, max_bytes: usize) -> Self {
        Self {
            entries: BTreeMap::new(),
            order: VecDeque::new(),
            next: 0,
            bytes: 0,
            max_entries,
            max_bytes,
        }
    }

    /// The answer to `asked`, if there is one that is fresh.
    pub(super) fn get(&mut self, asked: &Asked, now: Timestamp) -> Option<Answered> {
        let entry = self.entries.get(asked)?;
        if entry.until > now {
            return Some(entry.answered.clone());
        }
        self.remove(asked);
        None
    }

    /// Keeps an answer until then, at the cost of older ones.
    pub(super) fn put(&mut self, asked: Asked, answered: Answered, until: Timestamp) {
        self.remove(&asked);
        if self.max_entries == 0 || answered.bytes > self.max_bytes {
            return;
        }
        let full = |cache: &Self| {
            cache.entries.len() >= cache.max_entries
                || cache.bytes + answered.bytes > cache.max_bytes
        };
        while full(self) {
            let Some((oldest, number)) = self.order.pop_front() else { break };
            if self.entries.get(&oldest).is_some_and(|entry| entry.number == number) {
                self.remove(&oldest);
            }
        }
        let number = self.next;
        self.next += 1;
        self.bytes += answered.bytes;
        self.order.push_back((asked.clone(), number));
        self.entries.insert(asked, Entry { answered, until, number });
        // What is gone is not remembered for ever.
        let entries = &self.entries;
        if self.order.len() > 2 * self.max_entries {
            self.order
                .retain(|(asked, number)| entries.get(asked).is_some_and(|e| e.number == *number));
        }
    }

    fn remove(&mut self, asked: &Asked) {
        if let Some(entry) = self.entries.remove(asked) {
            self.bytes -= entry.answered.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: &str) -> Asked {
        (name.to_owned(), Vec::new())
    }

    fn answered(bytes: usize) -> Answered {
        Answered { bytes, ..Answered::default() }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn an_answer_is_given_again_until_it_is_stale() {
        let mut cache = Cache::new(2, 100);
        cache.put(asked("a"), answered(10), at(5));
        assert!(cache.get(&asked("a"), at(4)).is_some());
        assert!(cache.get(&asked("a"), at(5)).is_none());
        assert_eq!((cache.entries.len(), cache.bytes), (0, 0));
    }

    #[test]
    fn the_oldest_make_room_and_what_is_too_large_is_not_kept() {
        let mut cache = Cache::new(2, 100);
        for name in ["a", "b", "a", "c"] {
            cache.put(asked(name), answered(10), at(5));
        }
        let there: Vec<bool> =
            ["a", "b", "c"].iter().map(|name| cache.get(&asked(name), at(0)).is_some()).collect();
        assert_eq!(there, [true, false, true], "a was renewed after b");
        cache.put(asked("d"), answered(95), at(5));
        assert_eq!((cache.entries.len(), cache.bytes), (1, 95));
        cache.put(asked("e"), answered(101), at(5));
        assert_eq!((cache.entries.len(), cache.bytes), (1, 95));
    }

    #[test]
    fn memory_stays_bounded_however_often_an_answer_is_renewed() {
        let mut cache = Cache::new(3, 100);
        for _ in 0..1000 {
            cache.put(asked("a"), answered(10), at(5));
        }
        assert!(cache.order.len() <= 7);
        assert_eq!(cache.bytes, 10);
    }
}
