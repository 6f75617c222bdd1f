//! Everything of this crate and the store that decodes bytes, and bytes to try it with. For tests and
//! for the fuzzers in `tests/fuzz`, which call the same functions.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

pub use perennial_store::decoding::journal;
use perennial_store::{Key, decode, open};
use serde::de::DeserializeOwned;

use crate::frozen;
use crate::inflight;
use crate::message::{StoredAttempts, StoredDeadLetter, StoredEffect, StoredMessage, StoredTimer};
use crate::random::Random;
use crate::receipts::StoredReceipt;

/// How much more memory than before decoding may ever have taken, in KiB: a damaged length reserves
/// at most 16 MiB, and the allocator keeps some.
const MEMORY_KIB: u64 = 64 * 1024;
/// The longest input, in bytes.
const LONGEST: usize = 16 * 1024;

/// Reads bytes as a record at a key: the first byte is the length of the key that follows.
pub fn record(bytes: &[u8]) {
    let Some((length, rest)) = bytes.split_first() else { return };
    let (key, value) = rest.split_at(usize::from(*length).min(rest.len()));
    let found = open(&Key::from_bytes(key), value);
    drop(found.map(|record| record.payload.len()));
}

/// Reads bytes as each kind of key, and shows them to a person.
pub fn key(bytes: &[u8]) {
    let key = Key::from_bytes(bytes);
    let read = [
        key.parse_inbox().is_some(),
        key.parse_timer_due().is_some(),
        key.parse_timer().is_some(),
        key.parse_effect().is_some(),
        key.parse_row().is_some(),
        key.parse_dead_letter().is_some(),
        key.parse_receipt_expiry().is_some(),
        key.parse_attempt().is_some(),
    ];
    let named = key.to_string();
    assert!(bytes.is_empty() || !named.is_empty(), "{read:?}");
}

/// Reads bytes as what is stored of messages, timers, effects, dead letters, attempts and receipts,
/// and as the file that names the messages being handled.
pub fn envelope(bytes: &[u8]) {
    payload::<StoredMessage>(bytes);
    payload::<StoredTimer>(bytes);
    payload::<StoredEffect>(bytes);
    payload::<StoredDeadLetter>(bytes);
    payload::<StoredAttempts>(bytes);
    payload::<StoredReceipt>(bytes);
    inflight::decode(bytes);
}

/// Reads bytes as a payload of this type.
pub fn payload<T: DeserializeOwned>(bytes: &[u8]) {
    drop(decode::<T>(bytes));
}

/// Feeds `decode` with the files in `tests/fuzz/seeds/<name>` and with `cases` mutations of them, the
/// same ones every time.
///
/// # Panics
/// `decode` does, or needs much memory; the text holds the input.
#[track_caller]
pub fn feed(name: &str, cases: u32, decode: impl Fn(&[u8])) {
    let seeds = seeds(name);
    let before = peak_kib();
    let mut random = Random::seeded(u64::from(cases));
    for case in 0..cases {
        let input = match seeds.get(case as usize) {
            Some(seed) => seed.clone(),
            None => mutated(&seeds, &mut random),
        };
        if catch_unwind(AssertUnwindSafe(|| decode(&input))).is_err() {
            let text = String::from_utf8_lossy(&input);
            panic!("decoding {name} failed with case {case}: {input:02x?}\n{text}");
        }
        let grown = peak_kib().saturating_sub(before);
        assert!(grown < MEMORY_KIB, "decoding {name} took {grown} KiB with case {case}");
    }
}

/// Writes a seed that does not exist yet, if the environment variable `PERENNIAL_NEW_SAMPLES` is 1. For tests that
/// make the seeds of a decoder of files which people do not write by hand.
///
/// # Panics
/// It does not exist, and was not asked for; the text says how to.
#[track_caller]
pub fn seed(target: &str, name: &str, bytes: &[u8]) {
    let path = folder(target).join(name);
    if !path.exists() {
        frozen::asked_for(&path);
        let written = path.parent().map_or(Ok(()), fs::create_dir_all);
        written.and_then(|()| fs::write(&path, bytes)).unwrap_or_else(|error| panic!("{error}"));
    }
}

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/seeds").join(target)
}

fn seeds(name: &str) -> Vec<Vec<u8>> {
    let folder = folder(name);
    let read = || -> std::io::Result<Vec<Vec<u8>>> {
        let mut paths: Vec<_> = fs::read_dir(&folder)?
            .map(|entry| Ok(entry?.path()))
            .collect::<std::io::Result<_>>()?;
        paths.sort();
        paths.into_iter().map(fs::read).collect()
    };
    let seeds = read().unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    assert!(!seeds.is_empty(), "there are no seeds in {}", folder.display());
    seeds
}

/// A seed with a few bytes changed, taken out, doubled, or put in from another seed.
fn mutated(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut below = |bound: usize| (random.next() % bound.max(1) as u64) as usize;
    let mut input = seeds[below(seeds.len())].clone();
    for _ in 0..=below(4) {
        let (at, length) = (below(input.len() + 1), below(12));
        let end = (at + length).min(input.len());
        match below(6) {
            0 => drop(input.drain(at..end)),
            1 => input.truncate(at),
            2 => {
                let twice: Vec<u8> = input[at..end].to_vec();
                input.splice(at..at, twice);
            }
            3 => {
                let other = &seeds[below(seeds.len())];
                let from = below(other.len() + 1);
                let to = (from + below(64)).min(other.len());
                input.splice(at..end, other[from..to].iter().copied());
            }
            4 => {
                // Bytes that lengths, numbers and texts are sensitive to.
                let special = [0, 1, 0x7f, 0x80, 0xfb, 0xfc, 0xfd, 0xff, b'"', b'9', b'-', b'\\'];
                let bytes: Vec<u8> = (0..length).map(|_| special[below(special.len())]).collect();
                input.splice(at..end, bytes);
            }
            _ => input[at..end].iter_mut().for_each(|byte| *byte = below(256) as u8),
        }
    }
    input.truncate(LONGEST);
    input
}

/// The most memory this process has had, in KiB.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use perennial_store::{Backend, Batch, SledBackend, SledOptions};

    use super::*;

    const CASES: u32 = 20_000;

    #[test]
    fn no_bytes_are_too_strange_to_be_read_as_a_record() {
        feed("record", CASES, record);
    }

    #[test]
    fn no_bytes_are_too_strange_to_be_read_as_a_key() {
        feed("key", CASES, key);
    }

    #[test]
    fn no_bytes_are_too_strange_to_be_read_as_an_envelope() {
        feed("envelope", CASES, envelope);
    }

    #[test]
    fn no_bytes_are_too_strange_to_be_read_as_a_journal() {
        feed("journal", 3_000, journal);
    }

    /// What a store leaves when its process is killed.
    #[test]
    fn the_seeds_of_a_journal_are_those_of_a_store() {
        let directory = tempfile::tempdir().unwrap();
        let options = SledOptions { journal_bytes: 8 * 512, ..SledOptions::default() };
        let store = SledBackend::open(directory.path(), options).unwrap();
        let epoch = store.claim().unwrap();
        for number in 0..6_u8 {
            let mut batch = Batch::new();
            batch.put(Key::row("t", &[number % 4]), vec![number; 90 * usize::from(number)]);
            if number == 5 {
                batch.delete(Key::row("t", &[0]));
            }
            store.commit(epoch, &batch).unwrap();
        }
        let left = fs::read(directory.path().join("journal")).unwrap();
        seed("journal", "file", &left);
        // Frames as `journal` makes them: the kind, the number, the length, and rows behind each other.
        let row = [0, 1, 0, 0, 0, 2, b'k', b'v', b'v'];
        let gone = [0, 1, 0xff, 0xff, 0xff, 0xff, b'k'];
        let frames =
            [&[1, 1, 9][..], &row, &[2, 2, 16], &row, &gone, &[8, 3, 0], &[3, 4, 7], &gone];
        seed("journal", "frames", &frames.concat());
        journal(&left);
    }

    #[test]
    #[should_panic(expected = "decoding key failed with case")]
    fn an_input_that_makes_a_decoder_panic_is_shown() {
        feed("key", CASES, |bytes| assert!(!bytes.contains(&0xfb)));
    }
}
