use super::*;
use crate::{Backend, Batch, Key, SledBackend, SledOptions, Tag, seal};

/// A data directory with 200 rows, and the engine's rows open to tampering.
fn tampered(tamper: impl FnOnce(&::sled::Db)) -> (tempfile::TempDir, Report) {
    let temp = tempfile::tempdir().unwrap();
    let dir = DataDir::open(temp.path()).unwrap();
    let store = SledBackend::open(&dir.store_dir(), SledOptions::default()).unwrap();
    let epoch = store.claim().unwrap();
    let mut batch = Batch::new();
    for number in 0..200 {
        batch.put(key(number), seal(&key(number), Tag::Row, 1, &[number; 30]));
    }
    batch.put(large(), seal(&large(), Tag::Row, 1, &[7; 200_000]));
    store.commit(epoch, &batch).unwrap();
    store.close().unwrap();
    let config =
        ::sled::Config::default().path(dir.store_dir()).segment_size(crate::sled::SEGMENT_BYTES);
    let db = config.open().unwrap();
    tamper(&db);
    db.flush().unwrap();
    drop(db);
    // The engine's threads may hold its file a little longer.
    std::fs::File::open(dir.store_dir().join("db")).unwrap().lock().unwrap();
    dir.mark_clean().unwrap();
    let report = check_data(temp.path()).unwrap();
    (temp, report)
}

fn key(number: u8) -> Key {
    Key::row("t", &[b'k', number])
}

fn large() -> Key {
    Key::row("t", b"large")
}

fn flip(db: &::sled::Db, key: &Key) {
    let mut value = db.get(key).unwrap().unwrap().to_vec();
    *value.last_mut().unwrap() ^= 1;
    db.insert(key, value).unwrap();
}

fn keys(report: &Report) -> Vec<&str> {
    report.corrupted.iter().map(|(key, _)| key.as_str()).collect()
}

#[test]
fn intact_data_is_counted_and_nothing_is_reported() {
    let (temp, report) = tampered(|_| {});
    assert_eq!((report.records, report.corrupted.len()), (203, 0));
    assert!(report.bytes > 206_000);
    assert!(!DataDir::open(temp.path()).unwrap().was_unclean());
}

#[test]
fn every_flipped_byte_is_reported_with_its_key() {
    let (_temp, report) = tampered(|db| {
        flip(db, &key(b'a'));
        flip(db, &key(b'b'));
        flip(db, &large().chunk(2));
        flip(db, &Key::meta("epoch"));
    });
    assert_eq!(report.records, 203);
    assert_eq!(keys(&report), ["meta epoch", "row t ka", "row t kb", "row t large"]);
    assert!(report.corrupted.iter().all(|(_, reason)| reason == "its checksum does not match"));
}

#[test]
fn a_damaged_log_is_reported_though_the_engine_opens_without_its_end() {
    let temp = tempfile::tempdir().unwrap();
    let dir = DataDir::open(temp.path()).unwrap();
    let store = SledBackend::open(
        &dir.store_dir(),
        SledOptions { journal_bytes: 0, ..SledOptions::default() },
    )
    .unwrap();
    let epoch = store.claim().unwrap();
    for number in 0..200 {
        let mut batch = Batch::new();
        batch.put(key(number), seal(&key(number), Tag::Row, 1, &[number; 500]));
        store.commit(epoch, &batch).unwrap();
    }
    // No orderly close.
    drop(store);
    let log = dir.store_dir().join("db");
    let mut bytes = std::fs::read(&log).unwrap();
    // The engine pads its file.
    let middle = bytes.iter().rposition(|byte| *byte != 0).unwrap() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&log, bytes).unwrap();

    let error = SledBackend::open(&dir.store_dir(), SledOptions::default()).unwrap_err();
    assert!(matches!(&error, StoreError::Corrupted { key, .. } if key == "log"), "{error}");
    dir.mark_clean().unwrap();
    let report = check_data(temp.path()).unwrap();
    assert_eq!(keys(&report), ["log"]);
    assert!(report.records < 200, "the engine has learnt to report this itself");
}

#[test]
fn what_only_the_journal_has_is_looked_at_too_and_a_damaged_journal_is_reported() {
    let temp = tempfile::tempdir().unwrap();
    let dir = DataDir::open(temp.path()).unwrap();
    let store = SledBackend::open(&dir.store_dir(), SledOptions::default()).unwrap();
    let epoch = store.claim().unwrap();
    let mut batch = Batch::new();
    batch.put(key(1), seal(&key(1), Tag::Row, 1, &[1; 30]));
    batch.put(key(2), seal(&key(1), Tag::Row, 1, &[1; 30]));
    store.commit(epoch, &batch).unwrap();
    drop(store);
    let store_dir = dir.store_dir();
    dir.mark_clean().unwrap();
    let report = check_data(temp.path()).unwrap();
    assert_eq!((report.records, keys(&report)), (3, vec!["row t 0x6b02"]));
    // Looking changed nothing.
    assert_eq!(check_data(temp.path()).unwrap(), report);

    std::fs::write(store_dir.join("journal"), b"nothing").unwrap();
    assert_eq!(keys(&check_data(temp.path()).unwrap()), ["journal"]);
}

#[test]
fn a_journal_that_is_gone_is_reported() {
    let temp = tempfile::tempdir().unwrap();
    let dir = DataDir::open(temp.path()).unwrap();
    let store = SledBackend::open(&dir.store_dir(), SledOptions::default()).unwrap();
    store.claim().unwrap();
    store.close().unwrap();
    let journal = dir.store_dir().join("journal");
    dir.mark_clean().unwrap();
    assert_eq!(keys(&check_data(temp.path()).unwrap()), Vec::<&str>::new());
    std::fs::remove_file(journal).unwrap();
    assert_eq!(keys(&check_data(temp.path()).unwrap()), ["journal"]);
}

#[test]
fn a_record_copied_to_another_key_is_reported() {
    let (_temp, report) = tampered(|db| {
        let value = db.get(key(b'a')).unwrap().unwrap();
        db.insert(key(b'b'), value).unwrap();
    });
    assert_eq!(keys(&report), ["row t kb"]);
}

#[test]
fn lost_parts_and_stray_parts_are_reported() {
    let (_temp, report) = tampered(|db| {
        db.remove(large().chunk(2)).unwrap();
        db.insert(key(b'z').chunk(1), vec![1]).unwrap();
        db.remove(key(b'z')).unwrap();
    });
    assert_eq!(keys(&report), ["row t large", "row t kz"]);
    assert_eq!(report.corrupted[0].1, "part 2 of 24 is missing");
}

#[test]
fn a_directory_without_data_is_an_error_and_stays_empty() {
    let temp = tempfile::tempdir().unwrap();
    assert!(check_data(temp.path()).is_err());
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);
}
