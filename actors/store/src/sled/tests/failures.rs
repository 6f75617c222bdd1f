//! What fails, what is lost, and what is told of it.

use std::fs::File;

use super::*;
use crate::sled::engine::EngineFile;

#[test]
fn a_commit_that_left_the_log_fails_for_ever() {
    let temp = tempfile::tempdir().unwrap();
    let (store, epoch) = open_through(temp.path());
    store.commit(epoch, &put(row(1), vec![0; 600])).unwrap();
    fs::write(temp.path().join("blobs/17"), b"value").unwrap();
    let error = store.commit(epoch, &put(row(1), vec![1; 600])).unwrap_err();
    assert!(matches!(error, StoreError::BlobFiles { .. }), "{error}");
    fs::remove_file(temp.path().join("blobs/17")).unwrap();
    assert!(matches!(store.commit(epoch, &put(row(1), vec![1])), Err(StoreError::Poisoned)));
}

#[test]
fn a_checkpoint_that_left_the_log_ends_the_store_and_the_journal_has_what_was_committed() {
    let temp = tempfile::tempdir().unwrap();
    let (store, epoch) = open(temp.path());
    store.commit(epoch, &put(row(1), vec![1])).unwrap();
    fs::write(temp.path().join("blobs/17"), b"value").unwrap();
    assert!(matches!(store.close(), Err(StoreError::Poisoned)));
    assert!(matches!(store.commit(epoch, &put(row(2), vec![2])), Err(StoreError::Poisoned)));
    assert!(matches!(store.get(row(1).as_ref()), Err(StoreError::Poisoned)));
    drop(store);
    fs::remove_file(temp.path().join("blobs/17")).unwrap();
    assert_eq!(rows(&open(temp.path()).0), [(row(1), vec![1])]);
}

/// Removes the engine's log, and where it had noted what stands in it.
fn remove_log(dir: &Path) {
    for file in fs::read_dir(dir).unwrap().map(|file| file.unwrap().path()) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        if name == "db" || name.starts_with("snap.") {
            fs::remove_file(file).unwrap();
        }
    }
}

#[test]
fn what_the_engine_lost_is_applied_again_while_the_journal_has_it() {
    let temp = tempfile::tempdir().unwrap();
    let (store, epoch) = open(temp.path());
    (1..=9).for_each(|number| store.commit(epoch, &put(row(number), vec![number])).unwrap());
    store.close().unwrap();
    drop(store);
    remove_log(temp.path());
    let (store, later) = open(temp.path());
    assert!(later > epoch);
    assert_eq!(rows(&store), (1..=9).map(|number| (row(number), vec![number])).collect::<Rows>());
}

#[test]
fn a_store_that_lost_synced_commits_is_not_opened_until_its_journal_is_removed() {
    // Of few commits the journal has only the last ones, of large ones none.
    for bytes in [100, 5_000] {
        let temp = tempfile::tempdir().unwrap();
        let (store, epoch) = open_with(temp.path(), 4096);
        (1..=9).for_each(|number| store.commit(epoch, &put(row(number), vec![0; bytes])).unwrap());
        store.close().unwrap();
        drop(store);
        remove_log(temp.path());
        let reopen = || SledBackend::open(temp.path(), SledOptions::default());
        let error = reopen().unwrap_err();
        assert!(matches!(&error, StoreError::Corrupted { key, .. } if key == "log"), "{error}");
        fs::remove_file(temp.path().join("journal")).unwrap();
        assert_eq!(rows(&reopen().unwrap()), []);
    }
}

/// A closed store of some megabytes, opened twice.
fn closed() -> tempfile::TempDir {
    let temp = tempfile::tempdir().unwrap();
    let (store, epoch) = open(temp.path());
    for number in 0..200 {
        store.commit(epoch, &put(row(number), large(30_000, number.into()))).unwrap();
    }
    store.close().unwrap();
    drop(store);
    drop(open(temp.path()));
    temp
}

fn snapshot(dir: &Path) -> std::path::PathBuf {
    let [snapshot] = opening::snapshots(dir).unwrap().try_into().unwrap();
    snapshot
}

/// Opens the store in `dir` and reads all of it.
fn read_all(dir: &Path) -> Result<usize, StoreError> {
    let store = SledBackend::open(dir, SledOptions::default())?;
    let all = Key::rows_all("t");
    Ok(store.scan(&all.start..&all.end, usize::MAX)?.len())
}

#[test]
fn a_damaged_snapshot_of_the_engine_is_told_as_damage_of_its_files() {
    let store = closed();
    let path = snapshot(store.path());
    let whole = fs::read(&path).unwrap();
    for content in [&[&[whole[0] ^ 1], &whole[1..]].concat(), &whole[..8]] {
        fs::write(&path, content).unwrap();
        let error = read_all(store.path()).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        let said = error.to_string();
        assert!(said.contains("store/snap.*") && said.contains("check-data"), "{said}");
    }
    fs::write(&path, whole).unwrap();
    assert_eq!(read_all(store.path()).unwrap(), 200);
}

#[test]
fn wherever_the_engines_log_is_zeroed_nothing_but_damage_is_told() {
    const THREADS: usize = 8;
    const PLACES: usize = 24;
    // The engine takes seconds to give up a log that it cannot read, most of them waiting.
    let told: usize = std::thread::scope(|scope| {
        let places = |first: usize| (first..PLACES).step_by(THREADS);
        let counting =
            |first| move || places(first).filter(|at| tells_of_zeroes(*at, PLACES)).count();
        let threads: Vec<_> = (0..THREADS).map(|first| scope.spawn(counting(first))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!(told > 0);
}

/// Whether zeroes in one of the `places` of an engine's log are told. If not, nothing is missing.
fn tells_of_zeroes(at: usize, places: usize) -> bool {
    let store = closed();
    let path = store.path().join("db");
    let mut log = fs::read(&path).unwrap();
    let end = log.iter().rposition(|byte| *byte != 0).unwrap();
    let from = end / places * at;
    log[from..from + 4_096].fill(0);
    fs::write(&path, log).unwrap();
    match read_all(store.path()) {
        Ok(rows) => assert_eq!(rows, 200, "{from}"),
        Err(StoreError::Damaged { .. } | StoreError::Corrupted { .. }) => return true,
        Err(error) => panic!("at byte {from}: {error}"),
    }
    false
}

#[test]
fn a_store_without_a_journal_is_held_against_its_witness_and_gets_one() {
    let temp = tempfile::tempdir().unwrap();
    let (store, epoch) = open_through(temp.path());
    store.commit(epoch, &put(row(1), vec![1; 600])).unwrap();
    store.close().unwrap();
    drop(store);
    let path = temp.path().join("witness");
    fs::remove_file(temp.path().join("journal")).unwrap();
    let reopen = || SledBackend::open(temp.path(), SledOptions::default());
    fs::write(&path, witness_of(3)).unwrap();
    let error = reopen().unwrap_err();
    assert!(error.to_string().contains("ends at commit 2 though commit 3 was synced"), "{error}");
    fs::write(&path, b"no number").unwrap();
    assert!(matches!(reopen(), Err(StoreError::Corrupted { .. })));
    fs::write(&path, witness_of(2)).unwrap();
    assert_eq!(rows(&reopen().unwrap()), [(row(1), vec![1; 600])]);
    assert!(!path.exists() && temp.path().join("journal").exists());
}

#[test]
fn what_the_engine_held_when_its_journal_was_made_is_missed_if_it_loses_it() {
    let temp = tempfile::tempdir().unwrap();
    let (store, epoch) = open(temp.path());
    store.commit(epoch, &put(row(1), vec![1])).unwrap();
    store.close().unwrap();
    drop(store);
    fs::remove_file(temp.path().join("journal")).unwrap();
    let reopen = || SledBackend::open(temp.path(), SledOptions::default());
    assert_eq!(rows(&reopen().unwrap()), [(row(1), vec![1])]);
    remove_log(temp.path());
    let error = reopen().unwrap_err();
    assert!(error.to_string().contains("commit 2 was stored after it"), "{error}");
}

/// As when the process died before it had removed the witness, or an older one went on.
#[test]
fn a_witness_is_believed_beside_a_journal_too() {
    let temp = tempfile::tempdir().unwrap();
    drop(open(temp.path()));
    fs::write(temp.path().join("witness"), witness_of(9)).unwrap();
    let error = SledBackend::open(temp.path(), SledOptions::default()).unwrap_err();
    assert!(error.to_string().contains("though commit 9 was synced"), "{error}");
}

fn witness_of(commits: u64) -> Vec<u8> {
    let number = commits.to_be_bytes();
    [&number[..], &crc32c::crc32c(&number).to_be_bytes()].concat()
}

/// Syncing a descriptor of this device fails, as syncing a broken disk does.
fn broken() -> File {
    File::options().write(true).open("/dev/null").unwrap()
}

#[test]
fn a_failed_sync_poisons_the_store_for_ever() {
    let temp = tempfile::tempdir().unwrap();
    let (store, epoch) = open(temp.path());
    let whole = store.writer().unwrap().journal.replace_file(broken());
    let error = store.commit(epoch, &put(row(1), vec![1])).unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
    store.writer.lock().unwrap().journal.replace_file(whole);
    assert!(matches!(store.commit(epoch, &put(row(2), vec![])), Err(StoreError::Poisoned)));
    assert!(matches!(store.get(row(1).as_ref()), Err(StoreError::Poisoned)));
    assert!(matches!(store.claim(), Err(StoreError::Poisoned)));
    assert!(matches!(store.settle(), Err(StoreError::Poisoned)));
    assert!(matches!(store.close(), Err(StoreError::Poisoned)));
}

#[test]
fn a_failed_sync_of_the_engine_poisons_the_store_and_the_journal_keeps_what_was_committed() {
    let temp = tempfile::tempdir().unwrap();
    let (store, epoch) = open_with(temp.path(), 4096);
    let whole = {
        let mut live = store.shared.engine.write();
        std::mem::replace(&mut live.as_mut().unwrap().file, EngineFile(broken()))
    };
    let commits = |number: u8| store.commit(epoch, &put(row(number), vec![number; 400]));
    // Until a half of the journal may be used again.
    let kept = (1..50).take_while(|number| commits(*number).is_ok()).count();
    assert!((2..8).contains(&kept), "{kept} went");
    assert!(matches!(commits(50), Err(StoreError::Poisoned)));
    store.shared.engine.write().as_mut().unwrap().file = whole;
    drop(store);
    let found = rows(&open(temp.path()).0);
    assert_eq!(found, (1..=kept as u8).map(|n| (row(n), vec![n; 400])).collect::<Rows>());
}

/// It is applied to the engine, where reads look, before anybody can know whether it will survive.
#[test]
fn a_batch_too_large_for_the_journal_is_not_seen_before_it_is_durable() {
    let temp = tempfile::tempdir().unwrap();
    let (store, epoch) = open_through(temp.path());
    store.checkpoint().unwrap();
    let whole = {
        let mut live = store.shared.engine.write();
        std::mem::replace(&mut live.as_mut().unwrap().file, EngineFile(broken()))
    };
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while let Ok(found) = store.get(row(1).as_ref()) {
                assert_eq!(found, None, "seen, and its sync failed");
            }
        });
        let mut batch = put(row(1), vec![1]);
        (2..20).for_each(|number| batch.put(row(number), large(1_000_000, 0)));
        let error = store.commit(epoch, &batch).unwrap_err();
        assert!(matches!(error, StoreError::Io { .. }), "{error}");
        reader.join().unwrap();
    });
    store.shared.engine.write().as_mut().unwrap().file = whole;
}
