//! What the Admission keeps, as it is on the disk.

use std::collections::{BTreeSet, VecDeque};

use perennial_runtime::{Play, Timestamp, frozen};

use super::older::Admission2;
use super::*;

fn id(number: u8) -> String {
    format!("q-{number}")
}

fn shared() -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let shared = BTreeMap::from([(id(1), "key".to_owned())]);
    (shared, BTreeMap::from([("key".to_owned(), id(1))]))
}

/// As versions 1 and 2 kept it.
fn old_sample() -> Admission2 {
    let (shared, keys) = shared();
    Admission2 {
        running: BTreeSet::from([id(1), id(2)]),
        waiting: VecDeque::from([id(3), id(4)]),
        shared,
        keys,
        accepted: 4,
    }
}

/// The same, of two API keys and of somebody without one.
fn sample() -> Admission {
    let mut lanes = Lanes::default();
    for (number, holder) in [(1, Some(1)), (2, None), (3, Some(1)), (4, Some(7))] {
        lanes.wait(id(number), holder);
    }
    assert_eq!((lanes.next(), lanes.next()), (Some(id(1)), Some(id(2))));
    let (shared, keys) = shared();
    Admission { lanes, shared, keys, count: 4 }
}

#[test]
fn the_format_of_what_the_admission_keeps_is_frozen() {
    // Version 2 changed what it is told, not what it keeps.
    for version in [1, 2] {
        frozen("query/admission", version, &vec![Admission2::default(), old_sample()]);
    }
    // So did version 4.
    for version in [3, Admission::VERSION] {
        frozen("query/admission", version, &vec![Admission::default(), sample()]);
    }
    let until = Timestamp::from_micros(600_000_000);
    frozen("query/cached", CACHE.version(), &Cached { query: id(1), until });
    frozen("query/name", NAMES.version(), &id(1));
}

/// One of those that run ends, and the one whose turn it is begins.
fn goes_on(state: Admission, next: u8) {
    let settings = Settings { max_concurrent: 2, ..Settings::default() };
    let mut play = Play::<Admission>::new(ADMISSION, settings);
    play.state = state;
    let release = AdmissionMessage::Release { id: id(1), result: Some(Outcome::Succeeded) };
    let begun = play.handle(release).unwrap().sent::<Orchestrator>();
    assert_eq!(begun, [(id(next), OrchestratorMessage::Begin)]);
    assert!(play.row(&CACHE, "key").unwrap().is_some(), "what it shared can be given again");
}

#[test]
fn the_admission_goes_on_from_what_was_stored_of_it() {
    goes_on(sample(), 4);
    goes_on(old_sample().into(), 3);
    let stored = perennial_store::encode(&sample()).unwrap();
    assert_eq!(Admission::migrate(3, &stored).unwrap(), sample());
    // Four maps and lists, and a number.
    let nothing = [0; 5];
    for version in [1, 2] {
        assert_eq!(Admission::migrate(version, &nothing).unwrap(), Admission::default());
    }
    assert!(Admission::migrate(9, &nothing).is_err());
}
