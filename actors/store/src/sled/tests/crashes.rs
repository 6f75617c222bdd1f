//! Copies of the files of a running store, as a killed process leaves them, again and again.

use super::*;
use crate::sled::journal;

/// What a commit does to one row. Rows that are put as new have keys that no other commit puts.
#[derive(Clone, Debug)]
enum Change {
    Put(u8, usize),
    Delete(u8),
    New(usize),
    /// Of the oldest row that was put as new.
    DeleteNew,
}

#[derive(Clone, Debug)]
enum Act {
    Commit(Vec<Change>),
    /// Goes on with a copy of the files; with so many sectors of the last commit's frame spoiled.
    Crash(Option<u64>),
}

fn change() -> impl Strategy<Value = Change> {
    let size = prop_oneof![8 => 0..900usize, 1 => 5_000..20_000usize];
    prop_oneof![
        4 => (0..12u8, size.clone()).prop_map(|(key, size)| Change::Put(key, size)),
        2 => (0..12u8).prop_map(Change::Delete),
        4 => size.prop_map(Change::New),
        4 => Just(Change::DeleteNew),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        7 => prop::collection::vec(change(), 1..5).prop_map(Act::Commit),
        1 => prop::option::of(0..4u64).prop_map(Act::Crash),
    ]
}

type Model = BTreeMap<Key, Vec<u8>>;

fn new_row(number: u64) -> Key {
    Key::row("t", &[&[255][..], &number.to_be_bytes()].concat())
}

fn batch_of(changes: &[Change], salt: u64, model: &mut Model) -> Batch {
    let mut batch = Batch::new();
    for (change, n) in changes.iter().zip(salt * 16..) {
        match change {
            Change::Put(number, size) => {
                batch.put(row(*number), large(*size, n));
                model.insert(row(*number), large(*size, n));
            }
            Change::Delete(number) => {
                batch.delete(row(*number));
                model.remove(&row(*number));
            }
            Change::New(size) => {
                batch.put_fresh(new_row(n), large(*size, n));
                model.insert(new_row(n), large(*size, n));
            }
            Change::DeleteNew => {
                let oldest = model.range(new_row(0)..).next().map(|(key, _)| key.clone());
                if let Some(key) = oldest {
                    model.remove(&key);
                    batch.delete(key);
                }
            }
        }
    }
    batch
}

/// Copies the files while nothing is committed; the engine may be writing. The journal comes last.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.join("blobs")).unwrap();
    let mut names: Vec<_> = fs::read_dir(from).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort_by_key(|name| name == "journal");
    for name in names.iter().filter(|name| *name != "blobs") {
        // A snapshot that the engine writes may get another name meanwhile.
        match fs::copy(from.join(name), to.join(name)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            copied => drop(copied.unwrap()),
        }
    }
}

/// Spoils a sector of the last frame; tells whether there is one.
fn tear(store: &SledBackend, dir: &Path, sector: u64) -> bool {
    use std::os::unix::fs::FileExt;
    let (start, sectors) = store.writer.lock().unwrap().journal.last_frame();
    if sectors == 0 {
        return false;
    }
    let file = fs::File::options().write(true).open(journal::path(dir)).unwrap();
    file.write_all_at(&[7; 512], start + sector % sectors * 512).unwrap();
    true
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Crash after crash: what was committed is there, but for the last commit if it is torn.
    #[test]
    fn a_store_goes_on_from_what_a_crash_leaves(
        acts in prop::collection::vec(act(), 1..90),
        journal_bytes in prop_oneof![Just(2_000), Just(8_192), Just(40_000)],
    ) {
        let temp = tempfile::tempdir().unwrap();
        let dir = |number: usize| temp.path().join(number.to_string());
        let (mut store, mut epoch) = open_with(&dir(0), journal_bytes);
        let (mut model, mut before, mut opened) = (Model::new(), Model::new(), 0);
        let mut in_journal = false;
        for (act, salt) in acts.iter().zip(1..) {
            match act {
                Act::Commit(changes) => {
                    before = model.clone();
                    let batch = batch_of(changes, salt, &mut model);
                    in_journal = false;
                    if !batch.is_empty() {
                        store.commit(epoch, &batch).unwrap();
                        in_journal = store.shared.recent.read().unwrap().active.last() > 0;
                    }
                }
                Act::Crash(torn) => {
                    copy(&dir(opened), &dir(opened + 1));
                    let torn = torn.filter(|_| in_journal);
                    let torn = torn.is_some_and(|at| tear(&store, &dir(opened + 1), at));
                    if torn {
                        model = before.clone();
                    }
                    opened += 1;
                    drop(store);
                    (store, epoch) = open(&dir(opened));
                    in_journal = false;
                }
            }
            prop_assert_eq!(rows(&store), model.clone().into_iter().collect::<Vec<_>>());
        }
    }
}
