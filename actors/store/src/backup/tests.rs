use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Cursor, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::*;
use crate::{
    Backend, Batch, DataDir, Epoch, FaultPlan, FaultyBackend, Key, MemoryBackend, SledBackend,
    SledOptions, Tag, check_data, open, seal,
};

const ACCOUNTS: u64 = 2_000;
const BALANCE: u64 = 1_000;

fn about() -> About<'static> {
    About { product: "1.2.3", now: &|| Timestamp::from_micros(7) }
}

fn account(number: u64) -> Key {
    Key::row("accounts", &number.to_be_bytes())
}

/// A balance, with what makes a row large enough for many blocks.
fn sealed(key: &Key, balance: u64) -> Vec<u8> {
    let mut payload = balance.to_be_bytes().to_vec();
    payload.extend((0..600_u64).map(|n| (n.wrapping_mul(balance | 1) >> 3) as u8));
    seal(key, Tag::Row, 1, &payload)
}

fn balance(key: &Key, value: &[u8]) -> u64 {
    let record = open(key, value).unwrap();
    u64::from_be_bytes(*record.payload.first_chunk().unwrap())
}

fn put(batch: &mut Batch, number: u64, amount: u64) {
    let key = account(number);
    let value = sealed(&key, amount);
    batch.put(key, value);
}

fn all_rows(store: &dyn Backend) -> BTreeMap<Key, Vec<u8>> {
    let all = Key::rows_all("accounts");
    store.scan(&all.start..&all.end, usize::MAX).unwrap().into_iter().collect()
}

/// A store in which every account has the same balance.
fn bank(inner: Arc<dyn Backend>) -> (Arc<TappedBackend>, Epoch) {
    let store = Arc::new(TappedBackend::new(inner));
    let epoch = store.claim().unwrap();
    let mut batch = Batch::new();
    (0..ACCOUNTS).for_each(|number| put(&mut batch, number, BALANCE));
    store.commit(epoch, &batch).unwrap();
    (store, epoch)
}

/// Moves money between two accounts, one of them new or removed now and then.
fn transfer(store: &TappedBackend, epoch: Epoch, step: u64) {
    let draw = |salt: u64| step.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(salt) >> 33;
    let (from, to) = (draw(0) % (ACCOUNTS + 50), draw(0xdead_beef << 8) % (ACCOUNTS + 50));
    let held = |number| {
        let key = account(number);
        store.get(key.as_ref()).unwrap().map_or(0, |value| balance(&key, &value))
    };
    let (has, gets) = (held(from), held(to));
    if from == to || has == 0 {
        return;
    }
    let amount = if step.is_multiple_of(3) { has } else { 1 + has / 2 };
    let mut batch = Batch::new();
    put(&mut batch, to, gets + amount);
    if has == amount {
        batch.delete(account(from));
    } else {
        put(&mut batch, from, has - amount);
    }
    store.commit(epoch, &batch).unwrap();
}

/// Takes bytes in, and does something at each write.
struct Slow<F> {
    bytes: Vec<u8>,
    then: F,
}

impl<F: FnMut()> Write for Slow<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        (self.then)();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Ends a loop in another thread, also when the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn taken(store: &Arc<TappedBackend>) -> Vec<u8> {
    let mut bytes = Vec::new();
    store.begin_backup().unwrap().write(&mut bytes, about()).unwrap();
    bytes
}

fn restored(bytes: &[u8], data: &Path) -> BTreeMap<Key, Vec<u8>> {
    restore_backup(&mut Cursor::new(bytes), data).unwrap();
    let report = check_data(data).unwrap();
    assert_eq!(report.corrupted, []);
    let store = SledBackend::open(&data.join("store"), SledOptions::default()).unwrap();
    let rows = all_rows(&store);
    store.close().unwrap();
    rows
}

fn sum(rows: &BTreeMap<Key, Vec<u8>>) -> u64 {
    rows.iter().map(|(key, value)| balance(key, value)).sum()
}

/// A small backup of a few rows.
fn small() -> Vec<u8> {
    let store = Arc::new(TappedBackend::new(Arc::new(MemoryBackend::new())));
    let epoch = store.claim().unwrap();
    let mut batch = Batch::new();
    put(&mut batch, 1, 10);
    put(&mut batch, 2, 20);
    store.commit(epoch, &batch).unwrap();
    taken(&store)
}

fn refused(bytes: &[u8]) -> String {
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("data");
    let error = restore_backup(&mut Cursor::new(bytes), &data).unwrap_err();
    assert!(!data.exists(), "nothing is written: {error}");
    error.to_string()
}

#[test]
fn what_is_restored_is_the_store_at_the_end_of_the_backup_whatever_was_committed_meanwhile() {
    for salt in 0..4 {
        let (store, epoch) = bank(Arc::new(MemoryBackend::new()));
        let mut step = salt * 1_000_000;
        // Transfers before, at and behind where the copy is; none after its last row was read.
        let then = || {
            for _ in 0..8 {
                step += 1;
                if step % 1_000_000 < 100 {
                    transfer(&store, epoch, step);
                }
            }
        };
        let mut to = Slow { bytes: Vec::new(), then };
        let summary = store.begin_backup().unwrap().write(&mut to, about()).unwrap();
        let bytes = to.bytes;
        assert!(summary.changes > 100, "{summary:?}");
        let temp = tempfile::tempdir().unwrap();
        assert_eq!(restored(&bytes, temp.path()), all_rows(store.as_ref()));
    }
}

#[test]
fn each_backup_of_a_store_under_load_is_of_one_moment() {
    let temp = tempfile::tempdir().unwrap();
    let inner = SledBackend::open(&temp.path().join("live"), SledOptions::default()).unwrap();
    let (store, epoch) = bank(Arc::new(inner));
    let (steps, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                transfer(&store, epoch, steps.fetch_add(1, Ordering::Relaxed));
            }
        });
        let _stop = Stop(&stop);
        let mut changes = 0;
        for round in 0..5 {
            let mut bytes = Vec::new();
            let backup = store.begin_backup().unwrap();
            // It is begun and not copied yet: what happens now is a change.
            let begun = steps.load(Ordering::Relaxed);
            while steps.load(Ordering::Relaxed) < begun + 20 {
                std::thread::yield_now();
            }
            changes += backup.write(&mut bytes, about()).unwrap().changes;
            let data = temp.path().join(format!("restored-{round}"));
            assert_eq!(sum(&restored(&bytes, &data)), ACCOUNTS * BALANCE);
        }
        assert!(changes > 20, "{changes}");
    });
}

#[test]
fn a_restored_directory_is_taken_over_as_after_an_unclean_end_under_an_epoch_never_used() {
    let temp = tempfile::tempdir().unwrap();
    let inner = SledBackend::open(&temp.path().join("live"), SledOptions::default()).unwrap();
    let (store, _) = bank(Arc::new(inner));
    let epoch = store.claim().unwrap();
    let (large, mut batch) = (Key::row("accounts", b"large"), Batch::new());
    let value = seal(&large, Tag::Row, 1, &vec![3; 300_000]);
    batch.put(large.clone(), value.clone());
    store.commit(epoch, &batch).unwrap();
    let bytes = taken(&store);
    // It goes on after the backup.
    let later = store.claim().unwrap();

    let data = temp.path().join("data");
    let rows = restored(&bytes, &data);
    assert_eq!(rows.get(&large), Some(&value));
    assert_eq!(fs::read(data.join("FORMAT")).unwrap(), b"perennial 2\n");
    let opened = DataDir::open(&data).unwrap();
    assert_eq!(opened.unclean_ends(), 1);
    let store = SledBackend::open(&opened.store_dir(), SledOptions::default()).unwrap();
    assert!(store.claim().unwrap().as_u64() > later.as_u64() + 900);
}

#[test]
fn a_backup_with_any_byte_changed_is_refused_and_nothing_is_written() {
    let whole = small();
    verify_backup(&mut whole.as_slice()).unwrap();
    for place in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x10;
        let error = refused(&bytes);
        assert!(error.contains("at byte") || error.contains("has format"), "{place}: {error}");
    }
}

#[test]
fn a_backup_that_ends_early_or_goes_on_behind_its_end_is_refused() {
    let whole = small();
    for length in 0..whole.len() {
        let error = refused(&whole[..length]);
        assert!(error.contains("early") || error.contains("does not begin"), "{length}: {error}");
    }
    let longer = [whole.as_slice(), b"\n"].concat();
    assert!(refused(&longer).contains("something follows its end"));
    let twice = [whole.as_slice(), &whole].concat();
    assert!(refused(&twice).contains("something follows its end"));
}

#[test]
fn blocks_that_changed_places_or_are_missing_are_found() {
    let (store, _) = bank(Arc::new(MemoryBackend::new()));
    let whole = taken(&store);
    let mut blocks = Vec::new();
    let mut at = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    while at + 32 < whole.len() {
        let stored = u32::from_be_bytes(whole[at + 5..at + 9].try_into().unwrap()) as usize;
        blocks.push(at..at + 13 + stored);
        at += 13 + stored;
    }
    assert!(blocks.len() > 4, "{blocks:?}");
    let (first, second) = (&whole[blocks[1].clone()], &whole[blocks[2].clone()]);
    let before = &whole[..blocks[1].start];
    let swapped = [before, second, first, &whole[blocks[2].end..]].concat();
    let place = format!("in the block at byte {}", blocks[1].start);
    assert!(refused(&swapped).contains(&place));
    let without = [before, second, &whole[blocks[2].end..]].concat();
    assert!(refused(&without).contains(&place));
}

#[test]
fn what_is_no_backup_or_one_of_a_later_version_is_called_that() {
    assert!(refused(b"").contains("does not begin as a backup does"));
    assert!(refused(&[0x1f; 5000]).contains("does not begin as a backup does"));
    let later = refused(b"perennial-backup 27\nand what only that version knows");
    assert!(later.contains("perennial-backup 2"), "{later}");
}

#[test]
fn a_directory_that_is_not_empty_is_refused_and_left_alone() {
    let (temp, bytes) = (tempfile::tempdir().unwrap(), small());
    fs::write(temp.path().join("letter"), "dear").unwrap();
    let error = restore_backup(&mut Cursor::new(&bytes), temp.path()).unwrap_err();
    assert!(matches!(&error, BackupError::NotEmpty { found, .. } if found == "letter"), "{error}");
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);

    let data = temp.path().join("data");
    restored(&bytes, &data);
    let error = restore_backup(&mut Cursor::new(&bytes), &data).unwrap_err();
    assert!(matches!(error, BackupError::NotEmpty { .. }), "{error}");
    assert_eq!(
        sum(&all_rows(&SledBackend::open(&data.join("store"), SledOptions::default()).unwrap())),
        30
    );
}

#[test]
fn what_an_interrupted_restore_left_is_no_data_and_in_nobodys_way() {
    let temp = tempfile::tempdir().unwrap();
    fs::create_dir_all(temp.path().join("restoring/store")).unwrap();
    fs::write(temp.path().join("restoring/store/db"), "half").unwrap();
    fs::write(temp.path().join("LOCK"), "1\n").unwrap();
    assert!(DataDir::open(temp.path()).is_err());
    assert_eq!(sum(&restored(&small(), temp.path())), 30);
    assert!(!temp.path().join("restoring").exists());
}

#[test]
fn a_destination_slower_than_the_commits_ends_the_backup_and_not_the_commits() {
    let (store, epoch) = bank(Arc::new(MemoryBackend::new()));
    let mut commits = 0;
    let then = || {
        let key = Key::row("large", b"");
        let mut batch = Batch::new();
        batch.put(key.clone(), seal(&key, Tag::Row, 1, &vec![1; 8_000_000]));
        (0..10).for_each(|_| store.commit(epoch, &batch).unwrap());
        commits += 10;
    };
    let mut to = Slow { bytes: Vec::new(), then };
    let error = store.begin_backup().unwrap().write(&mut to, about()).unwrap_err();
    let bytes = to.bytes;
    assert!(matches!(error, BackupError::TooSlow { .. }), "{error}");
    assert!(commits > 10);
    assert!(refused(&bytes).contains("it was not finished (the backup was given up"), "told");
    taken(&store);
}

#[test]
fn one_backup_is_taken_at_a_time() {
    let (store, _) = bank(Arc::new(MemoryBackend::new()));
    let first = store.begin_backup().unwrap();
    assert!(matches!(store.begin_backup(), Err(BackupError::Busy)));
    drop(first);
    taken(&store);
    taken(&store);
}

#[test]
fn a_damaged_record_is_named_and_not_backed_up() {
    let (store, epoch) = bank(Arc::new(MemoryBackend::new()));
    let mut batch = Batch::new();
    batch.put(account(3), sealed(&account(4), 1));
    store.commit(epoch, &batch).unwrap();
    let mut bytes = Vec::new();
    let error = store.begin_backup().unwrap().write(&mut bytes, about()).unwrap_err();
    assert!(error.to_string().contains(&account(3).to_string()), "{error}");
    assert!(refused(&bytes).contains("it was not finished"));
}

#[test]
fn a_commit_of_unknown_outcome_ends_the_backup() {
    let memory = MemoryBackend::new();
    let plan = FaultPlan::none().at(crate::Call::Commit, 2, crate::Fault::Fail);
    let (store, epoch) = bank(Arc::new(FaultyBackend::new(memory, plan)));
    let backup = store.begin_backup().unwrap();
    let mut batch = Batch::new();
    put(&mut batch, 1, 1);
    store.commit(epoch, &batch).unwrap_err();
    assert!(backup.write(&mut Vec::new(), about()).is_err());
}

#[test]
fn a_directory_that_nobody_uses_is_backed_up_without_changing_how_it_ended() {
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("data");
    let opened = DataDir::open(&data).unwrap();
    let inner = SledBackend::open(&opened.store_dir(), SledOptions::default()).unwrap();
    bank(Arc::new(inner));
    let busy = backup_data(&data, &mut Vec::new(), about()).unwrap_err();
    assert!(matches!(busy, BackupError::Store(StoreError::Locked { .. })), "{busy}");
    drop(opened);
    let mut bytes = Vec::new();
    let summary = backup_data(&data, &mut bytes, about()).unwrap();
    assert_eq!((summary.product.as_str(), summary.file_bytes), ("1.2.3", bytes.len() as u64));
    assert!(summary.file_bytes < summary.bytes, "{summary:?}");
    assert_eq!(verify_backup(&mut bytes.as_slice()).unwrap(), summary);
    assert_eq!(DataDir::open(&data).unwrap().unclean_ends(), 1);
    assert_eq!(sum(&restored(&bytes, &temp.path().join("other"))), ACCOUNTS * BALANCE);
}

#[test]
fn a_directory_of_the_format_before_has_a_journal_and_the_format_of_one_once_it_is_backed_up() {
    let temp = tempfile::tempdir().unwrap();
    let opened = DataDir::open(temp.path()).unwrap();
    let inner = SledBackend::open(&opened.store_dir(), SledOptions::default()).unwrap();
    let (store, _) = bank(Arc::new(inner));
    store.close().unwrap();
    let (format, journal) = (temp.path().join("FORMAT"), opened.store_dir().join("journal"));
    opened.mark_clean().unwrap();
    fs::write(&format, "perennial 1\n").unwrap();
    fs::remove_file(&journal).unwrap();
    backup_data(temp.path(), &mut Vec::new(), about()).unwrap();
    assert!(journal.exists());
    assert_eq!(fs::read(&format).unwrap(), b"perennial 2\n");
    assert!(!DataDir::open(temp.path()).unwrap().was_unclean());
}

#[test]
fn a_file_has_its_name_only_once_it_holds_a_whole_backup() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("a.backup");
    let (bytes, entries) = (small(), || fs::read_dir(temp.path()).unwrap().count());
    let mut file = BackupFile::create(&path).unwrap();
    file.write_all(&bytes[..bytes.len() / 2]).unwrap();
    assert!(matches!(file.finish(), Err(BackupError::Invalid { .. })));
    assert_eq!(entries(), 0);

    let mut file = BackupFile::create(&path).unwrap();
    file.write_all(&bytes).unwrap();
    assert!(!path.exists());
    file.finish().unwrap();
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(matches!(BackupFile::create(&path), Err(BackupError::NotEmpty { .. })));
    assert_eq!(entries(), 1);
}
