//! What the disk does not do, or did and said that it had not.

use super::*;

/// Puts another handle in the place of that of a file, and gives the one that was there.
fn swap(log: &Log, number: u32, handle: File) -> File {
    let mut known = log.known_mut();
    let handle =
        std::mem::replace(&mut known.parts.get_mut(&number).unwrap().file, Arc::new(handle));
    Arc::try_unwrap(handle).unwrap()
}

/// A handle that cannot be written to, as a disk that fails.
fn broken(folder: &Path) -> File {
    File::open(path(folder, 0)).unwrap()
}

/// Has the next record written to another file.
fn close(log: &Log) {
    log.known_mut().closed = true;
}

fn error(result: Result<impl std::fmt::Debug, FileError>) -> String {
    result.unwrap_err().to_string()
}

/// Puts a folder in the place of a file, which nobody can write or remove then.
fn obstruct(path: &Path) {
    fs::rename(path, path.with_extension("away")).unwrap();
    fs::create_dir(path).unwrap();
}

fn clear(path: &Path) {
    fs::remove_dir(path).unwrap();
    fs::rename(path.with_extension("away"), path).unwrap();
}

#[test]
fn a_write_that_is_told_as_failed_is_not_found_though_it_reached_the_disk() {
    for half in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let log = open(dir.path());
        put(&log, &[(1, "one")]);
        // What is written reaches the disk, and the sync says that it did not: nothing can be synced there.
        let null = OpenOptions::new().write(true).open("/dev/null").unwrap();
        let whole = swap(&log, 0, null);
        let mut bytes = fs::read(path(dir.path(), 0)).unwrap();
        frame::append(&mut bytes, &key(2), Some(b"two")).unwrap();
        bytes.truncate(bytes.len() - usize::from(half));
        fs::write(path(dir.path(), 0), bytes).unwrap();
        let error = error(log.put([(key(2), &b"two"[..])].into_iter()));
        assert!(error.contains("check the disk") && !error.contains("restart"), "{error}");
        drop(swap(&log, 0, whole));
        assert_eq!(get(&open(dir.path()), 2), None);
        put(&log, &[(3, "three")]);
        let log = open(dir.path());
        assert_eq!((get(&log, 1).as_deref(), get(&log, 2)), (Some("one"), None));
        assert_eq!((get(&log, 3).as_deref(), log.damaged()), (Some("three"), Vec::new()));
    }
}

#[test]
fn after_a_write_that_could_not_be_cut_off_nothing_contradicts_what_the_next_opening_finds() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    put(&log, &[(1, "one")]);
    swap(&log, 0, broken(dir.path()));
    obstruct(&path(dir.path(), 0));
    let told = error(log.put([(key(2), &b"two"[..])].into_iter()));
    assert!(told.contains("may be found after the next start"), "{told}");
    clear(&path(dir.path(), 0));
    // Whether there is anything of the second is not known, so it is not said that there is not.
    let later = [
        error(log.put([(key(3), &b"three"[..])].into_iter())),
        error(log.remove(&key(1))),
        error(log.remove(&key(2))),
    ];
    assert!(later.iter().all(|told| told.contains("restart the node")), "{later:?}");
    assert_eq!((get(&log, 1).as_deref(), get(&log, 3)), (Some("one"), None));
    let log = open(dir.path());
    put(&log, &[(3, "three")]);
    assert!(log.remove(&key(1)).unwrap() && !log.remove(&key(2)).unwrap());
    assert_eq!(get(&open(dir.path()), 3).as_deref(), Some("three"));
}

#[test]
fn a_removal_is_done_only_when_the_text_is_erased() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    put(&log, &[(1, "a secret"), (2, "two")]);
    let whole = swap(&log, 0, broken(dir.path()));
    close(&log);
    for _ in 0..2 {
        let told = error(log.remove(&key(1)));
        assert!(told.contains("erase"), "{told}");
    }
    assert!(has(dir.path(), "secret") && get(&log, 1).is_none());
    // What is not there at all is not kept from being told so.
    assert!(!log.remove(&key(3)).unwrap());
    swap(&log, 0, whole);
    assert!(log.remove(&key(1)).unwrap());
    assert!(!has(dir.path(), "secret"));
    assert!(!log.remove(&key(1)).unwrap());
    assert_eq!(get(&open(dir.path()), 2).as_deref(), Some("two"));
}

#[test]
fn what_could_not_be_erased_is_erased_when_the_log_is_opened_however_long_ago_that_was() {
    for replaced in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let log = open(dir.path());
        put(&log, &[(1, "a secret"), (2, "two"), (3, "three is more than half of it")]);
        swap(&log, 0, broken(dir.path()));
        close(&log);
        match replaced {
            true => put(&log, &[(1, "nothing")]),
            false => drop(log.remove(&key(1))),
        }
        close(&log);
        put(&log, &[(4, "four")]);
        assert!(has(dir.path(), "secret"));
        let log = open(dir.path());
        assert!(!has(dir.path(), "secret"));
        assert_eq!(get(&log, 1).as_deref(), replaced.then_some("nothing"));
        assert_eq!((get(&log, 2).as_deref(), log.damaged()), (Some("two"), Vec::new()));
    }
}

#[test]
fn what_cannot_be_read_is_left_for_a_person_and_erased_when_its_key_is_removed_or_put_again() {
    for again in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        put(&open(dir.path()), &[(2, "two"), (1, "a secret of mine")]);
        let path = path(dir.path(), 0);
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, bytes).unwrap();
        let log = open(dir.path());
        assert_eq!(log.damaged().len(), 1);
        assert!(has(dir.path(), "secret"));
        match again {
            true => put(&log, &[(1, "one")]),
            false => assert!(log.remove(&key(1)).unwrap()),
        }
        assert!(!has(dir.path(), "secret"));
        let log = open(dir.path());
        assert_eq!((log.damaged(), get(&log, 2).as_deref()), (Vec::new(), Some("two")));
    }
}

/// Damages the last byte of the head of the second of three records.
fn with_a_gap(folder: &Path) {
    put(&open(folder), &[(1, "one"), (2, "a secret"), (3, "three")]);
    let path = path(folder, 0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[FIRST_LINE.len() + 2 * HEAD + "one".len() - 1] ^= 1;
    fs::write(&path, bytes).unwrap();
}

fn files_of(log: &Log) -> Vec<String> {
    log.damaged().into_iter().map(|unreadable| unreadable.file).collect()
}

#[test]
fn a_file_with_bytes_that_are_no_record_is_put_aside_once_what_can_be_read_of_it_is_in_another() {
    let dir = tempfile::tempdir().unwrap();
    with_a_gap(dir.path());
    let log = open(dir.path());
    assert_eq!(files_of(&log), ["00000000.log"]);
    put(&log, &[(4, "four")]);
    let aside = dir.path().join("00000000.damaged");
    for log in [log, open(dir.path())] {
        for (number, text) in [(1, Some("one")), (2, None), (3, Some("three")), (4, Some("four"))] {
            assert_eq!(get(&log, number).as_deref(), text);
        }
        assert!(!path(dir.path(), 0).exists());
        assert_eq!(files_of(&log), ["00000000.damaged"]);
        assert!(log.damaged()[0].why.contains("delete it"));
    }
    // What was copied may be removed later, so it is not kept there.
    let left = fs::read(&aside).unwrap();
    let holds = |text: &[u8]| left.windows(text.len()).any(|window| window == text);
    assert!(holds(b"a secret") && !holds(b"one") && !holds(b"three"));
    // Once it is deleted nothing is told of it any more.
    let log = open(dir.path());
    fs::remove_file(aside).unwrap();
    assert_eq!((log.damaged(), open(dir.path()).damaged()), (Vec::new(), Vec::new()));
}

#[test]
fn a_file_is_not_put_aside_while_a_record_in_it_waits_for_a_person() {
    let dir = tempfile::tempdir().unwrap();
    with_a_gap(dir.path());
    let mut bytes = fs::read(path(dir.path(), 0)).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(path(dir.path(), 0), bytes).unwrap();
    let log = open(dir.path());
    put(&log, &[(4, "four")]);
    assert_eq!(files_of(&log), ["00000000.log", "00000000.log"]);
    put(&log, &[(3, "three again")]);
    assert_eq!(files_of(&log), ["00000000.damaged"]);
    assert_eq!(get(&open(dir.path()), 1).as_deref(), Some("one"));
}

#[test]
fn a_file_that_is_in_the_way_of_one_that_is_put_aside_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    with_a_gap(dir.path());
    let aside = dir.path().join("00000000.damaged");
    fs::write(&aside, "earlier").unwrap();
    let log = open(dir.path());
    put(&log, &[(4, "four")]);
    assert_eq!(fs::read(&aside).unwrap(), b"earlier");
    assert_eq!(get(&log, 1).as_deref(), Some("one"));
    fs::remove_file(&aside).unwrap();
    put(&log, &[(5, "five")]);
    assert!(aside.exists() && !path(dir.path(), 0).exists());
    let log = open(dir.path());
    for (number, text) in [(1, "one"), (3, "three"), (4, "four"), (5, "five")] {
        assert_eq!(get(&log, number).as_deref(), Some(text));
    }
}

#[test]
fn a_damaged_first_line_costs_no_record() {
    let dir = tempfile::tempdir().unwrap();
    put(&open(dir.path()), &[(1, "one"), (2, "two")]);
    let whole = fs::read(path(dir.path(), 0)).unwrap();
    let mut changed = whole.clone();
    changed[3] ^= 1;
    for bytes in [&changed[..], &whole[5..]] {
        fs::write(path(dir.path(), 0), bytes).unwrap();
        let log = open(dir.path());
        assert_eq!(files_of(&log), ["00000000.log"]);
        put(&log, &[(3, "three")]);
        for log in [log, open(dir.path())] {
            for (number, text) in [(1, "one"), (2, "two"), (3, "three")] {
                assert_eq!(get(&log, number).as_deref(), Some(text));
            }
        }
        files::remove_dir(dir.path()).unwrap();
        files::create_dir(dir.path()).unwrap();
    }
}

#[test]
fn a_file_that_could_not_be_removed_is_removed_later_and_keeps_no_other_from_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let replace = |number: u8, by: u8| {
        log.put([(key(number), large(by).as_slice())].into_iter()).unwrap();
    };
    (0..16).for_each(|number| replace(number, number));
    obstruct(&path(dir.path(), 0));
    (0..5).for_each(|number| replace(number, number + 50));
    assert!(log.known().parts.contains_key(&0), "it cannot be removed");
    // Another file does not count any more either.
    (8..13).for_each(|number| replace(number, number + 50));
    assert!(!path(dir.path(), 1).exists());
    // The name is gone, as after a removal of which only the sync failed.
    fs::remove_dir(path(dir.path(), 0)).unwrap();
    let before = size(dir.path());
    put(&log, &[(40, "forty")]);
    assert!(!log.known().parts.contains_key(&0));
    assert!(size(dir.path()) < before + 1000, "what counted was copied once");
    fs::remove_file(path(dir.path(), 0).with_extension("away")).unwrap();
    for log in [&log, &open(dir.path())] {
        for number in 0..16 {
            let replaced = number < 5 || (8..13).contains(&number);
            let expected = if replaced { number + 50 } else { number };
            assert_eq!(log.get(&key(number)).unwrap(), Some(large(expected)), "{number}");
        }
    }
}

#[test]
fn what_counts_of_a_file_is_copied_once_however_often_its_removal_fails() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let replace = |number: u8| {
        log.put([(key(number), large(number).as_slice())].into_iter()).unwrap();
    };
    (0..8).for_each(replace);
    // As long as there is a file before it, it must be said that this is gone.
    log.remove(&key(0)).unwrap();
    (8..16).for_each(replace);
    obstruct(&path(dir.path(), 1));
    (8..16).for_each(replace);
    (20..30).for_each(|number| put(&log, &[(number, "small")]));
    assert!(log.known().parts.contains_key(&1), "it cannot be removed");
    let bytes: Vec<u8> =
        [2, 3].iter().flat_map(|file| fs::read(path(dir.path(), *file)).unwrap()).collect();
    assert_eq!(bytes.windows(5).filter(|window| window == b"rec\nR").count(), 1);
}

fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for path in files::list(from).unwrap() {
        fs::copy(&path, to.path().join(path.file_name().unwrap())).unwrap();
    }
    to
}

#[test]
fn what_is_replaced_is_there_until_what_is_done_besides_is_done_and_counts_again_if_it_fails() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    put(&log, &[(1, "one"), (2, "two")]);
    let mut crashed = None;
    let again = [(key(1), &b"one again"[..]), (key(3), &b"three"[..])];
    let failed = log.put_then(again.into_iter(), || {
        crashed = Some(copy(dir.path()));
        Err(FileError::of("do more")(io::Error::other("no")))
    });
    assert!(error(failed).contains("do more"));
    for log in [log, open(dir.path())] {
        assert_eq!(get(&log, 1).as_deref(), Some("one"));
        assert!(log.damaged().is_empty() && !has(dir.path(), "one again"));
    }
    // After a crash in the midst both are there, and who opens the log knows which counts.
    let crashed = crashed.unwrap();
    let mut both = Vec::new();
    let chosen = Log::open(copy(crashed.path()).path(), &mut |of, payload| {
        both.extend(payload.filter(|_| *of == key(1)).map(<[u8]>::to_vec));
        true
    });
    assert_eq!(both, [b"one".to_vec(), b"one again".to_vec()]);
    assert_eq!(get(&chosen.unwrap(), 1).as_deref(), Some("one again"));
    let first = |_: &Key, payload: Option<&[u8]>| {
        payload != Some(b"one again") && payload != Some(b"three")
    };
    let chosen = Log::open(crashed.path(), &mut { first }).unwrap();
    // There is nothing before the third that could count.
    assert_eq!(
        (get(&chosen, 1).as_deref(), get(&chosen, 3).as_deref()),
        (Some("one"), Some("three"))
    );
    assert_eq!(get(&open(crashed.path()), 1).as_deref(), Some("one"));
    assert!(!has(crashed.path(), "one again"));
}

#[test]
fn writes_that_fail_leave_one_empty_file_however_many_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    for _ in 0..5 {
        // The next file is begun, and nothing can be written to it.
        assert_eq!(log.tail().unwrap().0, 0);
        swap(&log, 0, broken(dir.path()));
        error(log.put([(key(1), &b"one"[..])].into_iter()));
        assert_eq!(log.known().parts.len(), 0);
    }
    put(&log, &[(1, "one")]);
    assert_eq!(files::list(dir.path()).unwrap(), [path(dir.path(), 0)]);
    assert_eq!(get(&open(dir.path()), 1).as_deref(), Some("one"));
}
