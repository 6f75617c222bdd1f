use std::collections::BTreeMap;
use std::fs;

use proptest::prelude::*;

use super::parts::PART_BYTES;
use super::*;
use crate::MAX_KEY_BYTES;

mod crashes;
mod failures;

fn open_with(dir: &Path, journal_bytes: u64) -> (SledBackend, Epoch) {
    let options = SledOptions { journal_bytes, ..SledOptions::default() };
    let store = SledBackend::open(dir, options).unwrap();
    let epoch = store.claim().unwrap();
    (store, epoch)
}

fn open(dir: &Path) -> (SledBackend, Epoch) {
    open_with(dir, SledOptions::default().journal_bytes)
}

/// Opens a store in whose journal hardly any commit fits, so that each goes to the engine itself.
fn open_through(dir: &Path) -> (SledBackend, Epoch) {
    open_with(dir, 0)
}

fn row(number: u8) -> Key {
    Key::row("t", &[number])
}

fn put(key: Key, value: Vec<u8>) -> Batch {
    let mut batch = Batch::new();
    batch.put(key, value);
    batch
}

/// A value in which no two parts are alike.
fn large(bytes: usize, salt: u64) -> Vec<u8> {
    (0..bytes as u64)
        .map(|n| (n.wrapping_mul(0x9e37_79b9).wrapping_add(salt) >> 13) as u8)
        .collect()
}

fn rows(store: &SledBackend) -> Rows {
    let all = Key::rows_all("t");
    store.scan(&all.start..&all.end, usize::MAX).unwrap()
}

/// How many rows the engine holds for the parts of large values.
fn engine_parts(store: &SledBackend) -> usize {
    store.checkpoint().unwrap();
    store.shared.engine.read().live().unwrap().db.range(Key::chunks()).count()
}

fn blobs(dir: &Path) -> usize {
    fs::read_dir(dir.join("blobs")).unwrap().count()
}

#[test]
fn committed_rows_are_there_after_a_drop_without_close() {
    let temp = tempfile::tempdir().unwrap();
    let (store, epoch) = open(temp.path());
    store.commit(epoch, &put(row(1), vec![1])).unwrap();
    drop(store);
    let (store, later) = open(temp.path());
    assert!(later > epoch);
    assert_eq!(store.get(row(1).as_ref()).unwrap(), Some(vec![1]));
}

#[test]
fn a_closed_store_refuses_everything_and_opens_again() {
    let temp = tempfile::tempdir().unwrap();
    let (store, epoch) = open(temp.path());
    store.commit(epoch, &put(row(1), vec![1])).unwrap();
    store.close().unwrap();
    store.close().unwrap();
    assert!(matches!(store.commit(epoch, &put(row(2), vec![])), Err(StoreError::Closed)));
    assert!(matches!(store.get(b"x"), Err(StoreError::Closed)));
    assert!(matches!(store.claim(), Err(StoreError::Closed)));
    assert_eq!(rows(&open(temp.path()).0), [(row(1), vec![1])]);
}

#[test]
fn an_owner_that_was_replaced_cannot_commit() {
    let temp = tempfile::tempdir().unwrap();
    let (store, held) = open(temp.path());
    let current = store.claim().unwrap();
    let error = store.commit(held, &put(row(1), vec![1])).unwrap_err();
    assert!(matches!(error, StoreError::Fenced { .. }), "{error}");
    assert_eq!(rows(&store), []);
    drop(store);

    let store = SledBackend::open(temp.path(), SledOptions::default()).unwrap();
    assert!(matches!(store.commit(held, &put(row(1), vec![1])), Err(StoreError::Fenced { .. })));
    assert!(store.claim().unwrap() > current);
}

#[test]
fn a_large_value_survives_and_leaves_no_parts_when_it_goes() {
    let temp = tempfile::tempdir().unwrap();
    let (store, epoch) = open(temp.path());
    let value = large(200_000, 1);
    store.commit(epoch, &put(row(1), value.clone())).unwrap();
    store.commit(epoch, &put(row(2), vec![2])).unwrap();
    assert_eq!(engine_parts(&store), 24);
    drop(store);

    let (store, epoch) = open(temp.path());
    assert_eq!(store.get(row(1).as_ref()).unwrap().as_ref(), Some(&value));
    assert_eq!(rows(&store), [(row(1), value), (row(2), vec![2])]);

    let smaller = large(PART_BYTES + 1, 2);
    store.commit(epoch, &put(row(1), smaller.clone())).unwrap();
    assert_eq!(store.get(row(1).as_ref()).unwrap(), Some(smaller));
    assert_eq!(engine_parts(&store), 1);
    store.commit(epoch, &put(row(1), vec![1])).unwrap();
    assert_eq!(
        (engine_parts(&store), rows(&store)),
        (0, vec![(row(1), vec![1]), (row(2), vec![2])])
    );

    store.commit(epoch, &put(row(1), large(PART_BYTES * 2, 3))).unwrap();
    drop(store);
    let (store, epoch) = open(temp.path());
    let mut batch = Batch::new();
    batch.delete(row(1));
    store.commit(epoch, &batch).unwrap();
    assert_eq!((engine_parts(&store), rows(&store)), (0, vec![(row(2), vec![2])]));
}

#[test]
fn values_of_a_megabyte_leave_the_unsynced_directory_empty() {
    let temp = tempfile::tempdir().unwrap();
    let (store, epoch) = open_through(temp.path());
    for round in 0..3 {
        for number in 0..24 {
            let value = large(1_000_000, u64::from(number) + round);
            store.commit(epoch, &put(row(number), value)).unwrap();
        }
    }
    assert_eq!(blobs(temp.path()), 0);
    drop(store);
    let (store, _) = open(temp.path());
    assert_eq!(blobs(temp.path()), 0);
    let found = rows(&store);
    assert_eq!(found.len(), 24);
    assert!(found.iter().zip(0..).all(|((_, value), n)| *value == large(1_000_000, n + 2)));
}

#[test]
fn pages_of_the_largest_rows_stay_in_the_log() {
    let temp = tempfile::tempdir().unwrap();
    let (store, epoch) = open_through(temp.path());
    // Neighbours come and go, so that pages split, shrink and merge at every size.
    for round in 0..600u64 {
        let mut batch = Batch::new();
        for draw in 0..4u64 {
            let random = (round * 4 + draw).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
            let key = row((random % 90) as u8);
            if (random >> 8) % 3 == 0 {
                batch.delete(key);
            } else {
                batch.put(key, large(PART_BYTES, round));
            }
        }
        store.commit(epoch, &batch).unwrap();
    }
    assert_eq!((blobs(temp.path()), engine_parts(&store)), (0, 0));
}

#[test]
fn pages_of_the_longest_keys_stay_in_the_log() {
    let temp = tempfile::tempdir().unwrap();
    let (store, epoch) = open_through(temp.path());
    let longest = MAX_KEY_BYTES - row(0).as_ref().len() - 1;
    // What parts two pages is the whole of a key here: a group has a beginning of its own, and its keys
    // differ at the very end.
    for group in 0..900u64 {
        let mut batch = Batch::new();
        for n in 0..24u8 {
            let mut key = large(longest, group);
            key.rotate_left(group as usize % longest);
            key[longest - 1] = n;
            batch.put(Key::row("t", &key), vec![n]);
        }
        store.commit(epoch, &batch).unwrap();
    }
    assert_eq!(blobs(temp.path()), 0);
    assert_eq!(rows(&store).len(), 900 * 24);
}

#[test]
fn a_value_over_the_limit_is_refused_and_nothing_of_its_batch_is_stored() {
    let temp = tempfile::tempdir().unwrap();
    let (store, epoch) = open(temp.path());
    let mut batch = put(row(1), vec![1]);
    batch.put(row(2), vec![0; crate::MAX_VALUE_BYTES + 1]);
    let error = store.commit(epoch, &batch).unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { .. }), "{error}");
    batch.put(row(2), vec![0; crate::MAX_VALUE_BYTES]);
    assert_eq!(rows(&store), []);
    store.commit(epoch, &batch).unwrap();
    assert_eq!(rows(&store).len(), 2);
}

#[test]
fn a_store_with_unsynced_values_is_not_opened() {
    let temp = tempfile::tempdir().unwrap();
    drop(open(temp.path()));
    fs::write(temp.path().join("blobs/17"), b"value").unwrap();
    let error = SledBackend::open(temp.path(), SledOptions::default()).unwrap_err();
    assert!(matches!(error, StoreError::BlobFiles { .. }), "{error}");
}

#[test]
fn an_unfinished_snapshot_does_not_keep_the_store_closed() {
    let temp = tempfile::tempdir().unwrap();
    let (store, epoch) = open(temp.path());
    store.commit(epoch, &put(row(1), vec![1])).unwrap();
    drop(store);
    let leftover = temp.path().join("snap.0000000000000001.generating");
    fs::write(&leftover, b"half a snapsh").unwrap();
    assert_eq!(rows(&open(temp.path()).0), [(row(1), vec![1])]);
    assert!(!leftover.exists());
}

/// Were it after, a power cut in between would bring back a snapshot that needs what was overwritten.
#[test]
fn where_the_log_ends_is_noted_before_segments_without_use_are_overwritten() {
    let temp = tempfile::tempdir().unwrap();
    let (store, epoch) = open_through(temp.path());
    // One page, again and again: in the end only the last segment is of use.
    for round in 0..120 {
        let mut batch = Batch::new();
        (0..3).for_each(|number| batch.put(row(number), large(7_000, round)));
        store.commit(epoch, &batch).unwrap();
    }
    drop(store);
    let first_segment = || fs::read(temp.path().join("db")).unwrap()[..SEGMENT_BYTES].to_vec();
    let snapshots = || opening::snapshots(temp.path()).unwrap();
    let (bytes, before) = (first_segment(), snapshots());

    let config = opening::config(temp.path(), SledOptions::default());
    opening::note_end(temp.path(), &config).unwrap();
    let noted = snapshots();
    assert_ne!(noted, before);
    assert!(first_segment() == bytes, "overwritten while the end was noted");
    assert_eq!(blobs(temp.path()), 0);

    let opened = rows(&open(temp.path()).0);
    assert!(first_segment() != bytes, "the engine overwrote nothing, so this shows nothing");
    assert_eq!(snapshots(), noted);
    assert_eq!(opened, [0, 1, 2].map(|number| (row(number), large(7_000, 119))));
}

#[test]
fn an_opening_that_was_stopped_half_way_does_not_keep_the_store_closed() {
    let temp = tempfile::tempdir().unwrap();
    let (store, epoch) = open(temp.path());
    store.commit(epoch, &put(row(1), vec![1])).unwrap();
    drop(store);
    fs::create_dir(opening::stop(temp.path())).unwrap();
    assert_eq!(rows(&open(temp.path()).0), [(row(1), vec![1])]);
    assert_eq!(blobs(temp.path()), 0);
}

#[test]
fn a_store_keeps_the_segment_size_it_was_made_with() {
    let temp = tempfile::tempdir().unwrap();
    drop(::sled::Config::default().path(temp.path()).segment_size(4 * SEGMENT_BYTES).open());
    let (store, epoch) = open(temp.path());
    store.commit(epoch, &put(row(1), vec![1])).unwrap();
    drop(store);
    assert_eq!(rows(&open(temp.path()).0), [(row(1), vec![1])]);
}

#[test]
fn scans_go_both_ways_up_to_a_limit_and_never_show_parts() {
    let temp = tempfile::tempdir().unwrap();
    let (store, epoch) = open(temp.path());
    let mut batch = Batch::new();
    for number in 1..=5 {
        batch.put(row(number), large(70_000, u64::from(number)));
    }
    store.commit(epoch, &batch).unwrap();
    let numbers = |rows: Rows| -> Vec<u8> {
        rows.iter().map(|(key, _)| key.parse_row().unwrap().1[0]).collect()
    };
    let (start, end) = (row(2), row(5));
    assert_eq!(numbers(store.scan(&start..&end, 9).unwrap()), [2, 3, 4]);
    assert_eq!(numbers(store.scan_back(&start..&end, 2).unwrap()), [4, 3]);
    assert!(store.scan(&end..&start, 9).unwrap().is_empty());
    let (first, last) = (Key::from_bytes([]), Key::from_bytes([255; 9]));
    assert_eq!(store.scan(&first..&last, 99).unwrap().len(), 6);
    let error = store.commit(epoch, &put(last, vec![])).unwrap_err();
    assert!(matches!(error, StoreError::Backend { .. }), "{error}");
}

#[test]
fn reads_see_whole_batches_only() {
    reads_see_whole_batches_of_a_store_with(SledOptions::default().journal_bytes);
}

/// Each batch fills a half of the journal, so there is a checkpoint for each.
#[test]
fn reads_see_whole_batches_only_also_while_they_are_brought_into_the_engine() {
    reads_see_whole_batches_of_a_store_with(256 * 1024);
}

fn reads_see_whole_batches_of_a_store_with(journal_bytes: u64) {
    let temp = tempfile::tempdir().unwrap();
    let (store, epoch) = open_with(temp.path(), journal_bytes);
    let write = |round: u8| {
        let mut batch = Batch::new();
        (0..50).for_each(|number| batch.put(row(number), vec![round; 2000]));
        store.commit(epoch, &batch).unwrap();
    };
    write(0);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            loop {
                let seen = rows(&store);
                assert!(seen.iter().all(|(_, value)| *value == seen[0].1), "half a batch was seen");
                if seen[0].1[0] == 60 {
                    break;
                }
            }
        });
        (1..=60).for_each(write);
        reader.join().unwrap();
    });
    store.settle().unwrap();
}

/// A row that was new when it was put, and deleted: at once, or when it is on its way into the engine or there.
#[test]
fn a_new_row_that_is_deleted_is_gone_wherever_it_had_come_to() {
    let temp = tempfile::tempdir().unwrap();
    let (store, epoch) = open(temp.path());
    let fresh = |number: u8| {
        let mut batch = Batch::new();
        batch.put_fresh(row(number), vec![number]);
        store.commit(epoch, &batch).unwrap();
    };
    let delete = |number: u8| {
        let mut batch = Batch::new();
        batch.delete(row(number));
        store.commit(epoch, &batch).unwrap();
    };
    (1..=2).for_each(fresh);
    store.checkpoint().unwrap();
    (3..=4).for_each(fresh);
    [1, 3].into_iter().for_each(delete);
    let left = [(row(2), vec![2]), (row(4), vec![4])];
    assert_eq!(rows(&store), left);
    let known = |number| store.shared.recent.read().unwrap().get(row(number).as_ref()).is_some();
    // Of 3 nobody else knows.
    assert_eq!([1, 2, 3, 4].map(known), [true, false, false, true]);
    // A checkpoint that was cut short, of before it was deleted.
    let (key, value) = (row(3), [3]);
    store.shared.engine.apply(std::iter::once((&key, Some(&value[..])))).unwrap();
    drop(store);
    assert_eq!(rows(&open(temp.path()).0), left);
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, usize, u64),
    Delete(u8),
    Commit,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![4 => 0..200usize, 1 => PART_BYTES - 1..PART_BYTES * 3];
    prop_oneof![
        8 => (0..40u8, size, any::<u64>()).prop_map(|(key, size, salt)| Step::Put(key, size, salt)),
        4 => (0..40u8).prop_map(Step::Delete),
        3 => Just(Step::Commit),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// What was committed is there after any reopening, and what was not is not; wherever it stands meanwhile.
    #[test]
    fn the_store_holds_what_a_plain_map_holds(
        steps in prop::collection::vec(step(), 0..80),
        journal_bytes in prop_oneof![Just(0), Just(3_000), Just(30_000), Just(3_000_000)],
    ) {
        let temp = tempfile::tempdir().unwrap();
        let (mut store, mut epoch) = open_with(temp.path(), journal_bytes);
        let (mut batch, mut pending) = (Batch::new(), BTreeMap::new());
        let mut model: BTreeMap<Key, Vec<u8>> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Put(number, size, salt) => {
                    batch.put(row(number), large(size, salt));
                    pending.insert(row(number), Some(large(size, salt)));
                }
                Step::Delete(number) => {
                    batch.delete(row(number));
                    pending.insert(row(number), None);
                }
                Step::Commit => {
                    store.commit(epoch, &std::mem::take(&mut batch)).unwrap();
                    for (key, value) in std::mem::take(&mut pending) {
                        match value {
                            Some(value) => model.insert(key, value),
                            None => model.remove(&key),
                        };
                    }
                }
                Step::Reopen => {
                    (batch, pending) = (Batch::new(), BTreeMap::new());
                    drop(store);
                    (store, epoch) = open(temp.path());
                }
            }
            prop_assert_eq!(rows(&store), model.clone().into_iter().collect::<Vec<_>>());
        }
        let parts: usize = model.values().map(|value| value.len().saturating_sub(1) / PART_BYTES).sum();
        prop_assert_eq!(engine_parts(&store), parts);
        prop_assert_eq!(blobs(temp.path()), 0);
    }
}
