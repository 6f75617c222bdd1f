use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::{SledBackend, SledOptions, check_data};

/// Every file below `path` with its content.
fn image(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut image = BTreeMap::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            image.extend(self::image(&path));
        } else {
            image.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    image
}

#[test]
fn a_new_directory_is_private_and_clean() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("a/b");
    let dir = DataDir::open(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!((dir.was_unclean(), dir.unclean_ends()), (false, 0));
    assert_eq!(fs::read_to_string(path.join("FORMAT")).unwrap(), "perennial 2\n");
    assert!(dir.store_dir().starts_with(&path));
}

#[test]
fn a_second_lock_is_refused_with_the_pid_of_the_first() {
    let temp = tempfile::tempdir().unwrap();
    let first = DataDir::open(temp.path()).unwrap();
    let error = DataDir::open(temp.path()).unwrap_err();
    let pid = format!("pid {}", std::process::id());
    assert!(matches!(&error, StoreError::Locked { holder, .. } if *holder == pid), "{error}");
    assert!(error.to_string().contains(&pid), "{error}");
    drop(first);
    DataDir::open(temp.path()).unwrap();
}

#[test]
fn a_refused_lock_tells_the_incarnation_of_its_holder_which_no_other_opening_has() {
    let temp = tempfile::tempdir().unwrap();
    let first = DataDir::open(temp.path()).unwrap();
    let error = DataDir::lock_existing(temp.path()).unwrap_err();
    let StoreError::Locked { incarnation, .. } = error else { panic!("{error}") };
    assert_eq!(incarnation.as_deref(), Some(first.incarnation()));
    let other = tempfile::tempdir().unwrap();
    assert_ne!(DataDir::open(other.path()).unwrap().incarnation(), first.incarnation());
    drop(first);
    let second = DataDir::open(temp.path()).unwrap();
    assert_ne!(Some(second.incarnation()), incarnation.as_deref());
}

#[test]
fn a_refused_second_opening_does_not_count_as_an_end() {
    let temp = tempfile::tempdir().unwrap();
    let first = DataDir::open(temp.path()).unwrap();
    DataDir::open(temp.path()).unwrap_err();
    first.mark_clean().unwrap();
    assert!(!DataDir::open(temp.path()).unwrap().was_unclean());
}

#[test]
fn a_newer_format_is_refused_and_nothing_is_touched() {
    for content in ["perennial 3\n", "perennial 2", "", "something\nelse"] {
        let temp = tempfile::tempdir().unwrap();
        DataDir::open(temp.path()).unwrap().mark_clean().unwrap();
        fs::create_dir(temp.path().join("store")).unwrap();
        fs::write(temp.path().join("store/db"), b"log").unwrap();
        fs::write(temp.path().join("FORMAT"), content).unwrap();
        let before = image(temp.path());
        let error = DataDir::open(temp.path()).unwrap_err();
        assert!(matches!(error, StoreError::NewerFormat { .. }), "{error}");
        assert_eq!(image(temp.path()), before);
    }
}

#[test]
fn a_directory_without_a_journal_is_of_the_newer_format_once_it_is_opened_and_not_when_looked_at() {
    let temp = tempfile::tempdir().unwrap();
    DataDir::open(temp.path()).unwrap().mark_clean().unwrap();
    let format = temp.path().join("FORMAT");
    fs::write(&format, "perennial 1\n").unwrap();
    drop(DataDir::lock_existing(temp.path()).unwrap());
    assert_eq!(fs::read_to_string(&format).unwrap(), "perennial 1\n");
    DataDir::open(temp.path()).unwrap();
    assert_eq!(fs::read_to_string(&format).unwrap(), "perennial 2\n");
}

#[test]
fn a_directory_of_other_files_is_refused_and_nothing_is_touched() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("thesis.tex"), b"text").unwrap();
    let before = image(temp.path());
    let error = DataDir::open(temp.path()).unwrap_err();
    assert!(error.to_string().contains("thesis.tex"), "{error}");
    assert_eq!(image(temp.path()), before);
}

#[test]
fn an_interrupted_first_opening_is_no_obstacle() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("LOCK"), b"1\n").unwrap();
    fs::write(temp.path().join("FORMAT.new"), b"peren").unwrap();
    fs::write(temp.path().join("store.unfinished"), b"").unwrap();
    fs::create_dir(temp.path().join("lost+found")).unwrap();
    assert!(!DataDir::open(temp.path()).unwrap().was_unclean());
}

#[test]
fn data_whose_store_is_gone_or_empty_is_refused_and_nothing_is_touched() {
    let temp = tempfile::tempdir().unwrap();
    let open = || DataDir::open(temp.path());
    let store = || SledBackend::open(&temp.path().join("store"), SledOptions::default()).unwrap();
    // A first start that was cut short before there was a store, and while it was made.
    drop(open().unwrap());
    assert_eq!(check_data(temp.path()).unwrap().records, 0);
    fs::create_dir(temp.path().join("store")).unwrap();
    assert_eq!(check_data(temp.path()).unwrap().records, 0);
    let opened = open().unwrap();
    drop(store());
    opened.mark_clean().unwrap();
    open().unwrap().mark_clean().unwrap();
    for make in [|_: &Path| Ok(()), |store: &Path| fs::create_dir(store)] {
        fs::remove_dir_all(temp.path().join("store")).unwrap();
        make(&temp.path().join("store")).unwrap();
        for format in ["perennial 1\n", "perennial 2\n"] {
            fs::write(temp.path().join("FORMAT"), format).unwrap();
            // The lock is not data.
            fs::write(temp.path().join("LOCK"), b"").unwrap();
            let before = image(temp.path());
            for refused in [open().err(), check_data(temp.path()).err()] {
                fs::write(temp.path().join("LOCK"), b"").unwrap();
                assert!(matches!(refused, Some(StoreError::NoStore { .. })), "{refused:?}");
                assert_eq!(image(temp.path()), before);
            }
        }
        fs::create_dir_all(temp.path().join("store")).unwrap();
    }
}

#[test]
fn unclean_ends_are_counted_until_a_clean_one() {
    let temp = tempfile::tempdir().unwrap();
    drop(DataDir::open(temp.path()).unwrap());
    for ends in 1..=3 {
        let dir = DataDir::open(temp.path()).unwrap();
        assert_eq!((dir.was_unclean(), dir.unclean_ends()), (true, ends));
    }
    DataDir::open(temp.path()).unwrap().mark_clean().unwrap();
    assert_eq!(DataDir::open(temp.path()).unwrap().unclean_ends(), 0);
}

#[test]
fn looking_at_a_directory_needs_data_and_the_lock_but_marks_nothing() {
    let temp = tempfile::tempdir().unwrap();
    assert!(matches!(DataDir::lock_existing(temp.path()), Err(StoreError::Io { .. })));
    assert!(image(temp.path()).is_empty());
    let dir = DataDir::open(temp.path()).unwrap();
    assert!(matches!(DataDir::lock_existing(temp.path()), Err(StoreError::Locked { .. })));
    dir.mark_clean().unwrap();
    drop(DataDir::lock_existing(temp.path()).unwrap());
    assert!(!DataDir::open(temp.path()).unwrap().was_unclean());
}
