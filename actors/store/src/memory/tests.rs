use super::*;

fn put(number: u8) -> Batch {
    let mut batch = Batch::new();
    batch.put(Key::row("t", &[number]), vec![number]);
    batch
}

#[test]
fn a_clone_opens_the_same_image_as_after_a_restart() {
    let first = MemoryBackend::new();
    let epoch = first.claim().unwrap();
    first.commit(epoch, &put(1)).unwrap();
    first.close().unwrap();
    assert!(matches!(first.commit(epoch, &put(2)), Err(StoreError::Closed)));

    let second = first.clone();
    let later = second.claim().unwrap();
    assert!(later > epoch);
    assert_eq!(second.get(Key::row("t", &[1]).as_ref()).unwrap(), Some(vec![1]));
    second.commit(later, &put(2)).unwrap();
}

#[test]
fn an_owner_that_was_replaced_cannot_commit() {
    let store = MemoryBackend::new();
    let held = store.claim().unwrap();
    let current = store.clone().claim().unwrap();
    match store.commit(held, &put(1)) {
        Err(StoreError::Fenced { held: a, current: b }) => assert_eq!((a, b), (held, current)),
        other => panic!("expected a fenced commit, got {other:?}"),
    }
    assert_eq!(store.get(Key::row("t", &[1]).as_ref()).unwrap(), None);
}

#[test]
fn scans_go_both_ways_up_to_a_limit() {
    let store = MemoryBackend::new();
    let epoch = store.claim().unwrap();
    for number in 1..=5 {
        store.commit(epoch, &put(number)).unwrap();
    }
    let (start, end) = (Key::row("t", &[2]), Key::row("t", &[5]));
    let numbers = |rows: Rows| rows.into_iter().map(|(_, value)| value[0]).collect::<Vec<_>>();
    assert_eq!(numbers(store.scan(&start..&end, 9).unwrap()), [2, 3, 4]);
    assert_eq!(numbers(store.scan_back(&start..&end, 2).unwrap()), [4, 3]);
    assert!(store.scan(&end..&start, 9).unwrap().is_empty());
    assert_eq!(store.space().unwrap().free, u64::MAX);
}
