//! What the Admission keeps, as it is on the disk.

use perennial_runtime::{Play, Timestamp, frozen};

use super::*;

fn id(number: u8) -> String {
    format!("q-{number}")
}

fn sample() -> Admission {
    Admission {
        running: BTreeSet::from([id(1), id(2)]),
        waiting: VecDeque::from([id(3), id(4)]),
        shared: BTreeMap::from([(id(1), "key".to_owned())]),
        keys: BTreeMap::from([("key".to_owned(), id(1))]),
        accepted: 4,
    }
}

#[test]
fn the_format_of_what_the_admission_keeps_is_frozen() {
    // Version 2 changed what it is told, not what it keeps.
    for version in [1, Admission::VERSION] {
        frozen("query/admission", version, &vec![Admission::default(), sample()]);
    }
    let until = Timestamp::from_micros(600_000_000);
    frozen("query/cached", CACHE.version(), &Cached { query: id(1), until });
    frozen("query/name", NAMES.version(), &id(1));
}

#[test]
fn the_admission_goes_on_from_what_was_stored_of_it() {
    let settings = Settings { max_concurrent: 2, ..Settings::default() };
    let mut play = Play::<Admission>::new(ADMISSION, settings);
    play.state = sample();
    let release = AdmissionMessage::Release { id: id(1), result: Some(Outcome::Succeeded) };
    let begun = play.handle(release).unwrap().sent::<Orchestrator>();
    assert_eq!(begun, [(id(3), OrchestratorMessage::Begin)]);
    assert!(play.row(&CACHE, "key").unwrap().is_some(), "what it shared can be given again");
}
