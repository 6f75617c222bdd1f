//! What the Admission keeps, as it is on the disk.

use perennial_runtime::{Timestamp, frozen};

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
    frozen("query/admission", Admission::VERSION, &vec![Admission::default(), sample()]);
    let until = Timestamp::from_micros(600_000_000);
    frozen("query/cached", CACHE.version(), &Cached { query: id(1), until });
    frozen("query/name", NAMES.version(), &id(1));
}
