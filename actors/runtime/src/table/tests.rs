use perennial_store::{Backend, Batch, Key, MemoryBackend};

use super::*;

const FRUIT: Table<String> = Table::new("fruit", 1);

fn row(key: &str, value: &str) -> (Key, Vec<u8>) {
    let key = FRUIT.key(key);
    let bytes = FRUIT.seal(&key, &value.to_owned()).unwrap();
    (key, bytes)
}

fn stored() -> Arc<dyn Backend> {
    let backend = MemoryBackend::new();
    let epoch = backend.claim().unwrap();
    let mut batch = Batch::new();
    for (key, value) in ["a", "b", "c", "d"].map(|name| row(name, name)) {
        batch.put(key, value);
    }
    backend.commit(epoch, &batch).unwrap();
    Arc::new(backend)
}

#[test]
fn pending_rows_lie_over_stored_ones_and_deleted_ones_do_not_shorten_a_scan() {
    let backend = stored();
    let mut overlay = Overlay::new();
    overlay.insert(FRUIT.key("a"), None);
    overlay.insert(FRUIT.key("c"), Some(row("c", "changed").1));
    overlay.insert(FRUIT.key("bb"), Some(row("bb", "new").1));
    let rows = scan_merged(&overlay, FRUIT.range(&[]), 3, |range, limit| {
        backend.scan(&range.start..&range.end, limit)
    })
    .unwrap();
    let values: Vec<String> =
        rows.iter().map(|(key, bytes)| FRUIT.open(key, bytes).unwrap()).collect();
    assert_eq!(values, ["b", "new", "changed"]);
}

#[test]
fn a_prefix_takes_in_exactly_the_keys_that_start_with_it() {
    let range = FRUIT.range(b"b");
    let inside = |key: &str| range.contains(&FRUIT.key(key));
    assert!(inside("b") && inside("bb") && inside("b\u{10ffff}"));
    assert!(!inside("a") && !inside("c") && !inside(""));
    assert!(FRUIT.range(&[]).contains(&FRUIT.key("anything")));
    assert!(FRUIT.range(&[0xff]).contains(&Key::row("fruit", &[0xff, 0xff])));
}

#[test]
fn rows_before_a_key_are_read_from_the_last_down() {
    let reader = TableReader::new(stored());
    let before = |key: &str, limit| {
        let mut rows = Vec::new();
        let take = |row| {
            rows.push(row);
            if rows.len() == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        reader.visit_back(&FRUIT, Some(key.as_bytes()), take).unwrap();
        rows
    };
    assert_eq!(before("d", 2), ["c", "b"]);
    assert_eq!(before("bb", 9), ["b", "a"]);
    assert_eq!(before("a", 9), Vec::<String>::new());
}

#[test]
fn rows_of_one_owner_are_numbered_under_their_prefix() {
    let entries: Table<u64> = Table::new("entries", 1);
    let range = entries.range(&owner_prefix("inc-1"));
    assert!(range.contains(&entries.key(&("inc-1", 0))));
    assert!(range.contains(&entries.key(&("inc-1", u64::MAX))));
    assert!(!range.contains(&entries.key(&("inc-10", 0))));
    assert!(entries.key(&("inc-1", 9)) < entries.key(&("inc-1", 10)));
}

#[test]
fn a_row_of_another_version_is_refused() {
    let newer: Table<String> = Table::new("fruit", 2);
    let (key, bytes) = row("a", "a");
    assert!(newer.open(&key, &bytes).is_err(), "without a migration");
    let later = newer.seal(&key, &"2".to_owned()).unwrap();
    let refused = FRUIT.open(&key, &later).unwrap_err().to_string();
    assert!(refused.contains(&key.to_string()) && refused.contains("newer"), "{refused}");
    let reader = TableReader::new(stored());
    assert!(reader.get(&newer, "a").is_err());
    assert_eq!(reader.get(&FRUIT, "a").unwrap().unwrap(), "a");
    assert_eq!(reader.scan_back(&FRUIT, b"", 2).unwrap(), ["d", "c"]);
}

#[test]
fn a_visit_shows_each_row_once_in_order_however_many_there_are_and_ends_when_told_to() {
    let numbers: Table<u64> = Table::new("numbers", 1);
    let backend = MemoryBackend::new();
    let epoch = backend.claim().unwrap();
    let mut batch = Batch::new();
    let all = 2 * PAGE as u64;
    for number in 0..all {
        let key = numbers.key(&number);
        batch.put(key.clone(), numbers.seal(&key, &number).unwrap());
    }
    // Of another table, right behind.
    let other: Table<u64> = Table::new("numbers-too", 1);
    let key = other.key(&0);
    batch.put(key.clone(), other.seal(&key, &0).unwrap());
    backend.commit(epoch, &batch).unwrap();
    let reader = TableReader::new(Arc::new(backend));
    let seen = |from: &[u8], most: usize| {
        let mut seen = Vec::new();
        let visited = reader.visit(&numbers, from, |row| {
            seen.push(row);
            if seen.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        visited.map(|()| seen).unwrap()
    };
    assert_eq!(seen(b"", usize::MAX), (0..all).collect::<Vec<_>>());
    assert_eq!(seen(&7_u64.to_row_key(), PAGE + 1), (7..8 + PAGE as u64).collect::<Vec<_>>());
    assert_eq!(seen(&all.to_row_key(), usize::MAX), [0_u64; 0]);
}

#[test]
fn a_row_of_an_older_version_is_read_by_the_migration_of_its_table() {
    const COUNTED: Table<(String, u32)> =
        Table::new("fruit", 2).migrated_by(|version, bytes| match version {
            1 => Ok((perennial_store::decode(bytes)?, 1)),
            other => Err(Failure::Reject(format!("no migration from version {other}"))),
        });
    let reader = TableReader::new(stored());
    assert_eq!(reader.get(&COUNTED, "b").unwrap().unwrap(), ("b".to_owned(), 1));
    let (key, bytes) = row("e", "e");
    let unread = perennial_store::seal(&key, Tag::Row, 0, &bytes);
    let refused = COUNTED.open(&key, &unread).unwrap_err().to_string();
    assert!(refused.contains(&key.to_string()) && refused.contains("version 0"), "{refused}");
}
