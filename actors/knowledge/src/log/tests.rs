mod faults;

use std::collections::BTreeMap;
use std::fs;

use proptest::prelude::*;

use super::*;

fn key(number: u8) -> Key {
    let mut key = Key::default();
    (key[0], key[15]) = (number, number);
    key
}

impl Log {
    /// Brings the log to where it is after a write that could not be cut off.
    pub(crate) fn give_up(&self) {
        self.known_mut().stuck = true;
    }
}

fn open(folder: &Path) -> Log {
    Log::open(folder, &mut |_, _| true).unwrap()
}

fn put(log: &Log, records: &[(u8, &str)]) {
    log.put(records.iter().map(|(number, text)| (key(*number), text.as_bytes()))).unwrap();
}

fn get(log: &Log, number: u8) -> Option<String> {
    log.get(&key(number)).unwrap().map(|payload| String::from_utf8(payload).unwrap())
}

/// The content of all files, one after the other.
fn content(folder: &Path) -> Vec<u8> {
    files::list(folder).unwrap().iter().flat_map(|path| fs::read(path).unwrap()).collect()
}

fn has(folder: &Path, text: &str) -> bool {
    content(folder).windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn the_last_record_of_a_key_counts_also_after_it_was_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    put(&log, &[(1, "one"), (2, "two"), (1, "one again")]);
    put(&log, &[(3, "three")]);
    log.remove(&key(3)).unwrap();
    log.remove(&key(4)).unwrap();
    for log in [log, open(dir.path())] {
        assert_eq!(get(&log, 1).as_deref(), Some("one again"));
        assert_eq!(get(&log, 2).as_deref(), Some("two"));
        assert_eq!((get(&log, 3), get(&log, 4)), (None, None));
        assert_eq!(log.damaged(), []);
    }
    let mut seen = BTreeMap::new();
    drop(Log::open(dir.path(), &mut |key, payload| {
        seen.insert(*key, payload.map(<[u8]>::to_vec));
        true
    }));
    let expected = [(key(1), Some(b"one again".to_vec())), (key(2), Some(b"two".to_vec()))];
    assert_eq!(seen, expected.into_iter().chain([(key(3), None)]).collect());
}

#[test]
fn what_was_replaced_or_removed_is_in_no_file_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    put(&log, &[(1, "a secret of old"), (2, "a secret of mine")]);
    put(&log, &[(1, "nothing")]);
    log.remove(&key(2)).unwrap();
    assert!(!has(dir.path(), "secret"));
    assert_eq!((get(&log, 1).as_deref(), get(&log, 2)), (Some("nothing"), None));
}

#[test]
fn what_a_crash_left_of_a_removed_record_is_erased_when_the_log_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    put(&open(dir.path()), &[(1, "a secret"), (2, "two")]);
    let path = path(dir.path(), 0);
    let mut bytes = fs::read(&path).unwrap();
    frame::append(&mut bytes, &key(1), None).unwrap();
    fs::write(&path, bytes).unwrap();
    let log = open(dir.path());
    assert_eq!((get(&log, 1), get(&log, 2).as_deref()), (None, Some("two")));
    assert!(!has(dir.path(), "secret"));
    assert_eq!(open(dir.path()).damaged(), []);
}

/// Whatever a crash leaves of the last write: the records before it are there, and one more can be written.
#[test]
fn wherever_the_last_write_was_cut_what_was_there_before_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    put(&log, &[(1, "one"), (2, "two")]);
    let path = path(dir.path(), 0);
    let before = fs::read(&path).unwrap().len();
    put(&log, &[(2, "two again"), (3, "three")]);
    let whole = fs::read(&path).unwrap();
    drop(log);
    for cut in before..whole.len() {
        // The payload that was replaced is erased after the write only.
        let mut bytes = whole[..cut].to_vec();
        bytes[before - 3..before].copy_from_slice(b"two");
        fs::write(&path, bytes).unwrap();
        let log = open(dir.path());
        assert_eq!(get(&log, 1).as_deref(), Some("one"), "cut at {cut}");
        assert!(["two", "two again"].contains(&get(&log, 2).unwrap().as_str()), "cut at {cut}");
        put(&log, &[(4, "four")]);
        let log = open(dir.path());
        assert_eq!(get(&log, 4).as_deref(), Some("four"), "cut at {cut}");
        assert_eq!(log.damaged(), [], "cut at {cut}");
    }
}

#[test]
fn a_record_with_one_byte_changed_is_never_given_and_the_others_are() {
    let dir = tempfile::tempdir().unwrap();
    put(&open(dir.path()), &[(1, "one"), (2, "two"), (3, "three")]);
    let path = path(dir.path(), 0);
    let whole = fs::read(&path).unwrap();
    let texts = ["one", "two", "three"];
    let last = FIRST_LINE.len() + 2 * HEAD + texts[0].len() + texts[1].len();
    for at in FIRST_LINE.len()..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
        let log = open(dir.path());
        let found: Vec<Option<String>> = (1..=3).map(|number| get(&log, number)).collect();
        let lost: Vec<usize> = (0..3).filter(|at| found[*at].is_none()).collect();
        assert_eq!(lost.len(), 1, "byte {at}: {found:?}");
        assert!(
            found
                .iter()
                .zip(texts)
                .all(|(found, text)| found.as_deref().is_none_or(|found| found == text))
        );
        // The beginning of the last one is all that cannot be told from a write that was cut short.
        let told = at < last || at >= last + HEAD;
        assert_eq!(log.damaged().len(), usize::from(told), "byte {at}");
        // What is written later is found, and damage is no longer told of what has been written again.
        put(&log, &[(4, "four")]);
        let number = u8::try_from(lost[0] + 1).unwrap();
        put(&log, &[(number, "again")]);
        let log = open(dir.path());
        assert_eq!(get(&log, 4).as_deref(), Some("four"), "byte {at}");
        assert_eq!(get(&log, number).as_deref(), Some("again"), "byte {at}");
        files::remove_dir(dir.path()).unwrap();
        files::create_dir(dir.path()).unwrap();
    }
}

#[test]
fn a_file_whose_first_line_was_not_written_yet_is_begun_again_and_other_files_are_passed_over() {
    for left in [&b""[..], &FIRST_LINE[..7]] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(path(dir.path(), 0), left).unwrap();
        fs::write(dir.path().join("notes.log"), "mine").unwrap();
        let log = open(dir.path());
        put(&log, &[(1, "one")]);
        assert_eq!(get(&open(dir.path()), 1).as_deref(), Some("one"));
        assert_eq!(fs::read(dir.path().join("notes.log")).unwrap(), b"mine");
    }
}

#[test]
fn after_a_write_that_failed_nothing_of_it_is_found_and_the_next_goes_well() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    put(&log, &[(1, "one")]);
    // A file that cannot be written to, as a disk that fails.
    let broken = Arc::new(File::open(path(dir.path(), 0)).unwrap());
    log.known_mut().parts.get_mut(&0).unwrap().file = broken;
    let error = log.put([(key(2), &b"two"[..])].into_iter()).unwrap_err();
    assert!(error.to_string().contains("check the disk"), "{error}");
    assert_eq!((get(&log, 1).as_deref(), get(&log, 2)), (Some("one"), None));
    put(&log, &[(3, "three")]);
    for log in [log, open(dir.path())] {
        assert_eq!(get(&log, 2), None);
        assert_eq!(get(&log, 3).as_deref(), Some("three"));
    }
}

/// A payload of which a file holds eight.
fn large(number: u8) -> Vec<u8> {
    vec![number; usize::try_from(FILE_BYTES / 8).unwrap()]
}

fn size(folder: &Path) -> u64 {
    files::list(folder).unwrap().iter().map(|path| fs::metadata(path).unwrap().len()).sum()
}

#[test]
fn the_room_of_what_was_replaced_or_removed_is_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    for round in 0..5 {
        for number in 0..8 {
            log.put([(key(number), large(number + round).as_slice())].into_iter()).unwrap();
        }
    }
    log.remove(&key(7)).unwrap();
    assert!(size(dir.path()) < 3 * FILE_BYTES, "{}", size(dir.path()));
    for log in [log, open(dir.path())] {
        for number in 0..7 {
            assert_eq!(log.get(&key(number)).unwrap(), Some(large(number + 4)));
        }
        assert_eq!((log.get(&key(7)).unwrap(), log.damaged()), (None, Vec::new()));
    }
}

#[test]
fn what_was_removed_stays_removed_when_the_file_that_says_so_is_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    // The first file keeps most of what it has, among it a record that a crash did not let be erased.
    for number in 0..9 {
        log.put([(key(number), large(number).as_slice())].into_iter()).unwrap();
    }
    let first = fs::read(path(dir.path(), 0)).unwrap();
    log.remove(&key(0)).unwrap();
    for number in (20..28).chain(20..28) {
        log.put([(key(number), large(number).as_slice())].into_iter()).unwrap();
    }
    assert!(!path(dir.path(), 1).exists(), "the file that says so was written anew");
    fs::write(path(dir.path(), 0), first).unwrap();
    let log = open(dir.path());
    assert_eq!(log.get(&key(0)).unwrap(), None);
    assert_eq!(log.get(&key(1)).unwrap(), Some(large(1)));
}

#[test]
fn a_crash_between_writing_a_file_anew_and_removing_it_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    for number in 0..9 {
        log.put([(key(number), large(number).as_slice())].into_iter()).unwrap();
    }
    let first = fs::read(path(dir.path(), 0)).unwrap();
    for number in 0..5 {
        log.put([(key(number), large(number + 50).as_slice())].into_iter()).unwrap();
    }
    assert!(!path(dir.path(), 0).exists());
    drop(log);
    fs::write(path(dir.path(), 0), first).unwrap();
    let log = open(dir.path());
    for number in 0..9 {
        let expected = if number < 5 { number + 50 } else { number };
        assert_eq!(log.get(&key(number)).unwrap(), Some(large(expected)), "{number}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn it_holds_what_a_plain_map_holds(
        changes in prop::collection::vec((0_u8..6, prop::option::of("[a-c]{0,9}")), 0..40),
        reopened in prop::collection::vec(any::<bool>(), 40),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, mut plain) = (open(dir.path()), BTreeMap::new());
        for ((number, text), again) in changes.into_iter().zip(reopened) {
            match text {
                Some(text) => {
                    put(&log, &[(number, &text)]);
                    plain.insert(number, text);
                }
                None => {
                    log.remove(&key(number)).unwrap();
                    plain.remove(&number);
                }
            }
            if again {
                log = open(dir.path());
            }
            for number in 0..6 {
                prop_assert_eq!(get(&log, number), plain.get(&number).cloned());
            }
        }
        prop_assert_eq!(log.damaged(), Vec::new());
    }
}

#[test]
fn a_record_stays_when_the_write_that_was_to_replace_it_did_not_reach_the_disk_whole() {
    let dir = tempfile::tempdir().unwrap();
    put(&open(dir.path()), &[(1, "one"), (2, "two")]);
    let path = path(dir.path(), 0);
    let mut bytes = fs::read(&path).unwrap();
    let begin = frame::append(&mut bytes, &key(1), Some(b"one again")).map(|_| bytes.len() - 9);
    bytes[begin.unwrap()..].fill(0);
    frame::append(&mut bytes, &key(2), Some(b"two again")).unwrap();
    fs::write(&path, bytes).unwrap();
    let log = open(dir.path());
    assert_eq!(
        (get(&log, 1).as_deref(), get(&log, 2).as_deref()),
        (Some("one"), Some("two again"))
    );
    assert_eq!(log.damaged(), []);
    put(&log, &[(1, "one at last")]);
    assert_eq!(get(&open(dir.path()), 1).as_deref(), Some("one at last"));
}

#[test]
fn a_record_that_cannot_be_read_can_be_removed() {
    let dir = tempfile::tempdir().unwrap();
    put(&open(dir.path()), &[(1, "one")]);
    let path = path(dir.path(), 0);
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    let log = open(dir.path());
    assert_eq!(log.damaged().len(), 1);
    log.remove(&key(1)).unwrap();
    assert!(log.damaged().is_empty() && open(dir.path()).damaged().is_empty());
}
