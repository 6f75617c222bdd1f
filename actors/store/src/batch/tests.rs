use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{Backend, MemoryBackend};

fn key(number: u8) -> Key {
    Key::row("t", &[number])
}

fn writes(batch: &Batch) -> Vec<(Key, Option<Vec<u8>>)> {
    batch.iter().map(|(key, value)| (key.clone(), value.map(<[u8]>::to_vec))).collect()
}

#[test]
fn the_last_write_to_a_key_wins() {
    let mut batch = Batch::new();
    batch.put(key(1), vec![1]);
    batch.delete(key(1));
    batch.put(key(1), vec![2]);
    batch.put(key(0), vec![0]);
    batch.delete(key(0));
    assert_eq!(writes(&batch), [(key(0), None), (key(1), Some(vec![2]))]);
}

#[test]
fn a_fresh_row_deleted_in_its_batch_leaves_nothing() {
    let mut batch = Batch::new();
    batch.put_fresh(key(1), vec![1]);
    batch.put(key(1), vec![1, 2]);
    batch.delete(key(1));
    assert!(batch.is_empty());
    assert_eq!(batch.bytes(), 0);
}

#[test]
fn a_fresh_row_deleted_by_a_later_batch_leaves_nothing() {
    let (mut first, mut second) = (Batch::new(), Batch::new());
    first.put(key(0), vec![0]);
    first.put_fresh(key(1), vec![1]);
    second.delete(key(1));
    first.merge(second);
    assert_eq!(writes(&first), [(key(0), Some(vec![0]))]);
}

#[test]
fn a_row_that_may_exist_stays_deleted() {
    let mut batch = Batch::new();
    batch.delete(key(1));
    batch.put_fresh(key(1), vec![1]);
    batch.delete(key(1));
    assert_eq!(writes(&batch), [(key(1), None)]);
}

#[test]
fn debug_output_shows_no_values() {
    let mut batch = Batch::new();
    batch.put(key(b'k'), b"secret".to_vec());
    assert_eq!(format!("{batch:?}"), "{row t k: Some(6)}");
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u8),
    PutFresh(u8, u8),
    Delete(u8),
    Merge,
    Commit,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..6u8, any::<u8>()).prop_map(|(key, value)| Step::Put(key, value)),
        // Fresh keys come from a range of their own, each of which is used once.
        (6..12u8, any::<u8>()).prop_map(|(key, value)| Step::PutFresh(key, value)),
        (0..12u8).prop_map(Step::Delete),
        Just(Step::Merge),
        Just(Step::Commit),
    ]
}

proptest! {
    /// However writes are grouped into batches and merged, the store ends as if done one by one.
    #[test]
    fn merged_batches_do_what_their_writes_do_one_by_one(steps in prop::collection::vec(step(), 0..60)) {
        let store = MemoryBackend::new();
        let epoch = store.claim().unwrap();
        let mut model: BTreeMap<Key, Vec<u8>> = BTreeMap::new();
        let (mut merged, mut batch) = (Batch::new(), Batch::new());
        let mut used = std::collections::BTreeSet::new();
        for step in steps.into_iter().chain([Step::Commit]) {
            match step {
                Step::Put(number, value) => {
                    batch.put(key(number), vec![value]);
                    model.insert(key(number), vec![value]);
                }
                Step::PutFresh(number, value) => {
                    if used.insert(number) {
                        batch.put_fresh(key(number), vec![value]);
                        model.insert(key(number), vec![value]);
                    }
                }
                Step::Delete(number) => {
                    batch.delete(key(number));
                    model.remove(&key(number));
                }
                Step::Merge => merged.merge(std::mem::take(&mut batch)),
                Step::Commit => {
                    merged.merge(std::mem::take(&mut batch));
                    let sizes = merged.iter().map(|(key, value)| {
                        key.as_ref().len() + value.map_or(0, <[u8]>::len)
                    });
                    prop_assert_eq!(merged.bytes(), sizes.sum::<usize>());
                    store.commit(epoch, &std::mem::take(&mut merged)).unwrap();
                }
            }
        }
        let all = Key::rows_all("t");
        let rows = store.scan(&all.start..&all.end, usize::MAX).unwrap();
        prop_assert_eq!(rows, model.into_iter().collect::<Vec<_>>());
    }
}
