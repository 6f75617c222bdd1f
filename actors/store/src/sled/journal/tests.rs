use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::Key;

/// Four sectors to a half.
const BYTES: u64 = 8 * SECTOR_BYTES;

fn row(number: u8) -> Key {
    Key::row("t", &[number])
}

fn put(number: u8, bytes: usize) -> Batch {
    let mut batch = Batch::new();
    batch.put(row(number), vec![number; bytes]);
    batch
}

fn journal() -> (tempfile::TempDir, Journal) {
    let temp = tempfile::tempdir().unwrap();
    let journal = Journal::create(temp.path(), BYTES, 0).unwrap();
    (temp, journal)
}

/// What a fresh look at the file finds after this commit: the keys, in order, and the damage.
fn found(temp: &tempfile::TempDir, after: u64) -> (Vec<Key>, Option<String>) {
    let found = Journal::open(temp.path()).unwrap().unwrap().read(after).unwrap();
    let keys = found.table.iter().map(|(key, _)| key.clone()).collect();
    (keys, found.damage.map(|damage| damage.to_string()))
}

/// Overwrites the sector of the file in which this one of a half lies.
fn spoil(temp: &tempfile::TempDir, half: u64, sector: u64) {
    let file = OpenOptions::new().write(true).open(path(temp.path())).unwrap();
    let offset = HEADER_BYTES + half * (BYTES / 2) + sector * SECTOR_BYTES;
    file.write_all_at(&[7; SECTOR_BYTES as usize], offset).unwrap();
}

#[test]
fn what_was_appended_is_found_and_what_the_engine_holds_is_passed_over() {
    let (temp, mut journal) = journal();
    assert_eq!(found(&temp, 0), (vec![], None));
    (1..=3).for_each(|number| journal.append(number, &put(number as u8, 100)).unwrap());
    assert_eq!(found(&temp, 0), (vec![row(1), row(2), row(3)], None));
    assert_eq!(found(&temp, 2), (vec![row(3)], None));
    assert_eq!(found(&temp, 9), (vec![], None));
}

#[test]
fn a_half_is_written_over_when_the_other_is_full() {
    let (temp, mut journal) = journal();
    assert_eq!(journal.place(&put(1, 4 * 512 - 100)), Place::Here);
    assert_eq!(journal.place(&put(1, 4 * 512)), Place::Nowhere);
    for number in 1..=10 {
        let batch = put(number as u8, 100);
        if journal.place(&batch) == Place::OtherHalf {
            journal.turn_over();
        }
        assert_eq!(journal.place(&batch), Place::Here);
        journal.append(number, &batch).unwrap();
    }
    // 9 and 10 stand where 1 and 2 did.
    assert_eq!(found(&temp, 8), (vec![row(9), row(10)], None));
    let (keys, damage) = found(&temp, 0);
    assert_eq!(keys, []);
    assert!(damage.unwrap().contains("commit 1 is lost or damaged, though commit 3"));
}

#[test]
fn a_torn_last_frame_is_nothing_and_a_damaged_one_before_others_is_a_loss() {
    let (temp, mut journal) = journal();
    (1..=2).for_each(|number| journal.append(number, &put(number as u8, 100)).unwrap());
    journal.append(3, &put(3, 600)).unwrap();
    spoil(&temp, 0, 3);
    assert_eq!(found(&temp, 0), (vec![row(1), row(2)], None));
    spoil(&temp, 0, 0);
    let (keys, damage) = found(&temp, 0);
    assert_eq!(keys, []);
    assert!(damage.unwrap().contains("commit 1 is lost or damaged, though commit 2"));
    assert_eq!(found(&temp, 1), (vec![row(2)], None));
}

#[test]
fn what_the_engine_was_said_to_hold_and_does_not_is_a_loss() {
    let (temp, mut journal) = journal();
    journal.append(1, &put(1, 100)).unwrap();
    journal.append_held(2).unwrap();
    journal.append(3, &put(3, 100)).unwrap();
    assert_eq!(found(&temp, 2), (vec![row(3)], None));
    let (keys, damage) = found(&temp, 0);
    assert_eq!(keys, [row(1)]);
    assert!(damage.unwrap().contains("commit 2 was stored, and the engine does not hold it"));
}

/// Whoever sends a message chooses its bytes, and a torn frame is searched for others.
#[test]
fn bytes_of_a_client_that_look_like_a_frame_are_none() {
    let (temp, mut journal) = journal();
    let (other, mut foreign) = self::journal();
    foreign.append(2, &put(9, 100)).unwrap();
    let forged = fs::read(path(other.path())).unwrap()[HEADER_BYTES as usize..][..512].to_vec();
    let mut batch = Batch::new();
    let key = row(1);
    let before = 512 - FRAME_HEAD_BYTES - crate::entries::ENTRY_HEAD_BYTES - key.as_ref().len();
    batch.put(key, [vec![0; before], forged].concat());
    journal.append(1, &batch).unwrap();
    assert_eq!(found(&temp, 0), (vec![row(1)], None));
    spoil(&temp, 0, 0);
    assert_eq!(found(&temp, 0), (vec![], None));
}

#[test]
fn a_damaged_header_or_length_is_told_and_not_taken_for_an_empty_journal() {
    let (temp, mut journal) = journal();
    journal.append(1, &put(1, 100)).unwrap();
    let whole = fs::read(path(temp.path())).unwrap();
    let open = |bytes: &[u8]| {
        fs::write(path(temp.path()), bytes).unwrap();
        Journal::open(temp.path()).map(|journal| journal.is_some()).map_err(|e| e.to_string())
    };
    assert_eq!(open(&whole), Ok(true));
    let mut flipped = whole.clone();
    flipped[10] ^= 1;
    assert!(open(&flipped).unwrap_err().contains("its header is damaged"));
    assert!(open(&[]).unwrap_err().contains("its header is damaged"));
    assert!(open(&whole[..whole.len() - 1]).unwrap_err().contains("the length"));
}

#[test]
fn a_large_buffer_is_not_kept() {
    let temp = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(temp.path(), 4 * 1024 * 1024, 0).unwrap();
    journal.append(1, &put(1, 1024 * 1024)).unwrap();
    assert!(journal.frame.capacity() <= KEPT_BUFFER_BYTES);
    assert_eq!(found(&temp, 0), (vec![row(1)], None));
}

/// What a journal of these commits, in numbers of bytes, holds after `after`, up to `last`.
fn model(commits: &[usize], after: u64, last: u64) -> BTreeMap<Key, Vec<u8>> {
    let numbered =
        commits.iter().zip(1..).filter(|(_, number)| (after + 1..=last).contains(number));
    numbered.map(|(bytes, number)| (row(number as u8 % 5), vec![number as u8; *bytes])).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever becomes of its bytes, what is read of it are whole commits, from the first one on, or the damage is
    /// told; and reading ends.
    #[test]
    fn a_damaged_journal_is_read_up_to_a_whole_commit_or_its_damage_is_told(
        commits in prop::collection::vec(0..1500usize, 1..12),
        spoiled in prop::collection::vec((0..HEADER_BYTES + BYTES, any::<u8>(), 1..40usize), 0..4),
    ) {
        let (temp, mut journal) = journal();
        // The last commit of the half before this one, which the engine holds before a half is begun again.
        let (mut after, mut end_of_half) = (0, 0);
        for (bytes, number) in commits.iter().zip(1..) {
            let mut batch = Batch::new();
            batch.put(row(number as u8 % 5), vec![number as u8; *bytes]);
            if journal.place(&batch) == Place::OtherHalf {
                (after, end_of_half) = (end_of_half, number - 1);
                journal.turn_over();
            }
            journal.append(number, &batch).unwrap();
        }
        let mut bytes = fs::read(path(temp.path())).unwrap();
        for (at, byte, length) in spoiled {
            let at = at as usize;
            let end = bytes.len().min(at + length);
            bytes[at..end].fill(byte);
        }
        fs::write(path(temp.path()), bytes).unwrap();
        let Ok(journal) = Journal::open(temp.path()) else { return Ok(()) };
        let found = journal.unwrap().read(after).unwrap();
        let last = found.table.last().max(after);
        let rows: BTreeMap<Key, Vec<u8>> = found
            .table
            .iter()
            .map(|(key, value)| (key.clone(), value.unwrap().to_vec()))
            .collect();
        prop_assert!(last <= commits.len() as u64);
        prop_assert_eq!(rows, model(&commits, after, last));
    }
}
