//! The store alone: after any cut it holds exactly the first n batches, n no less than what was
//! acknowledged, and its directory tells the truth about itself.

use std::collections::BTreeMap;
use std::path::Path;

use perennial_store::{
    Backend, Batch, DataDir, Key, SledBackend, SledOptions, SpaceGuard, Tag, check_data, open, seal,
};

use super::cuts::Cut;
use super::disk::{Dice, ENGINE, JOURNAL, Keep};
use super::recording::{DATA, Recording, Said, record, record_on};
use super::small_journal;

const TABLE: &str = "t";
/// Rows that batches write to and delete from.
const ROWS: u64 = 48;
/// Small, because a cut copies it.
const RESERVE_BYTES: u64 = 4096;

type Rows = BTreeMap<Key, Vec<u8>>;

/// How many batches each owner of the store commits, how large they are, and whether it ends in order.
type Life = (u64, Sizes, bool);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sizes {
    Small,
    /// So large that the engine fills segments, moves pages and uses the space again.
    Large,
    /// All of one page, again and again, so that all but the newest segment is soon without use.
    OnePage,
    /// Of many rows in turn, so that a checkpoint replaces what several segments hold.
    InTurn,
    /// The same of small rows, of which there are thousands.
    InTurnSmall,
}

fn number_key() -> Key {
    Key::row(TABLE, b"number")
}

fn value(key: &Key, bytes: u64, dice: &mut Dice) -> Vec<u8> {
    let payload: Vec<u8> = (0..bytes).map(|_| dice.below(256) as u8).collect();
    seal(key, Tag::Row, 1, &payload)
}

/// What the batch with this number writes and deletes.
fn writes(number: u64, sizes: Sizes) -> Vec<(Key, Option<Vec<u8>>)> {
    let mut dice = Dice(number);
    let mut writes = match sizes {
        Sizes::Small | Sizes::Large => writes_to_any_rows(sizes, &mut dice),
        Sizes::OnePage => writes_to_one_page(&mut dice),
        Sizes::InTurn => writes_to_the_next_rows(number, (3, 96, 40_000), &mut dice),
        Sizes::InTurnSmall => writes_to_the_next_rows(number, (600, 6_000, 300), &mut dice),
    };
    let key = number_key();
    let number = seal(&key, Tag::Row, 1, &number.to_be_bytes());
    writes.push((key, Some(number)));
    writes
}

fn writes_to_any_rows(sizes: Sizes, dice: &mut Dice) -> Vec<(Key, Option<Vec<u8>>)> {
    let mut writes = Vec::new();
    for _ in 0..=dice.below(6) {
        let key = Key::row(TABLE, &[dice.below(ROWS) as u8]);
        let bytes = match dice.below(20) {
            0..4 => None,
            4 => Some(16_000 + dice.below(40_000)),
            5..8 => Some(dice.below(6_000)),
            _ if sizes == Sizes::Large => Some(20_000 + dice.below(60_000)),
            _ => Some(dice.below(300)),
        };
        let value = bytes.map(|bytes| value(&key, bytes, dice));
        writes.push((key, value));
    }
    writes
}

fn writes_to_one_page(dice: &mut Dice) -> Vec<(Key, Option<Vec<u8>>)> {
    let keys = (0..3).map(|row| Key::row(TABLE, &[row]));
    keys.map(|key| (key.clone(), Some(value(&key, 7_000, dice)))).collect()
}

/// To this many of so many rows, of so many bytes; in an order in which neighbours are far from each other.
fn writes_to_the_next_rows(
    number: u64,
    (count, rows, bytes): (u64, u64, u64),
    dice: &mut Dice,
) -> Vec<(Key, Option<Vec<u8>>)> {
    let row = |at: u64| ((number * count + at) * 7 % rows) as u16;
    let keys = (0..count).map(|at| Key::row(TABLE, &row(at).to_be_bytes()));
    keys.map(|key| (key.clone(), Some(value(&key, bytes, dice)))).collect()
}

/// What is stored after this many batches.
fn model(batches: u64, sizes: Sizes) -> Rows {
    let mut rows = Rows::new();
    for number in 1..=batches {
        for (key, value) in writes(number, sizes) {
            match value {
                Some(value) => rows.insert(key, value),
                None => rows.remove(&key),
            };
        }
    }
    rows
}

fn stored(store: &SledBackend) -> Rows {
    let all = Key::rows_all(TABLE);
    store.scan(&all.start..&all.end, usize::MAX).unwrap().into_iter().collect()
}

fn number_in(rows: &Rows) -> u64 {
    let key = number_key();
    rows.get(&key).map_or(0, |value| {
        u64::from_be_bytes(open(&key, value).unwrap().payload.try_into().unwrap())
    })
}

fn commit(number: u64, sizes: Sizes) -> Batch {
    let mut batch = Batch::new();
    for (key, value) in writes(number, sizes) {
        match value {
            Some(value) => batch.put(key, value),
            None => batch.delete(key),
        }
    }
    batch
}

/// What the child does, saying each step before and after.
fn work(root: &Path, lives: &[Life]) {
    work_with(small_journal(), root, lives);
}

fn work_with(options: SledOptions, root: &Path, lives: &[Life]) {
    let said = Said::open(root);
    for (batches, sizes, in_order) in lives {
        said.say("opening");
        let data = DataDir::open(&root.join(DATA)).unwrap();
        said.say(&format!("opened {}", data.unclean_ends()));
        SpaceGuard::new(data.path(), RESERVE_BYTES).check().unwrap();
        let store = SledBackend::open(&data.store_dir(), options).unwrap();
        let epoch = store.claim().unwrap();
        said.say(&format!("claimed {}", epoch.as_u64()));
        let first = number_in(&stored(&store)) + 1;
        for number in first..first + batches {
            said.say(&format!("begun {number}"));
            store.commit(epoch, &commit(number, *sizes)).unwrap();
            said.say(&format!("done {number}"));
        }
        if *in_order {
            store.close().unwrap();
            said.say("ending");
            data.mark_clean().unwrap();
            said.say("ended");
        }
    }
}

/// What is known from outside.
#[derive(Debug, Default)]
struct Known {
    begun: u64,
    done: u64,
    epoch: u64,
    /// How many unclean ends the next owner may find: from, to.
    unclean: (u32, u32),
}

fn known(said: &[String]) -> Known {
    let mut known = Known::default();
    for line in said {
        let (word, number) = line.split_once(' ').unwrap_or((line, "0"));
        let number: u64 = number.parse().unwrap();
        match word {
            "opening" => known.unclean.1 += 1,
            "opened" => known.unclean = (number as u32 + 1, number as u32 + 1),
            "claimed" => known.epoch = number,
            "begun" => known.begun = known.begun.max(number),
            "done" => known.done = known.done.max(number),
            "ending" => known.unclean.0 = 0,
            "ended" => known.unclean = (0, 0),
            other => panic!("the child said {other}"),
        }
    }
    known
}

/// Opens what a cut left and holds it against what was said.
fn check(path: &Path, said: &[String], sizes: Sizes) -> Result<(), String> {
    let known = known(said);
    let failed = |what: &str, error: &dyn std::fmt::Display| format!("{what}: {error}; {known:?}");
    let data =
        DataDir::open(path).map_err(|error| failed("the directory does not open", &error))?;
    let unclean = data.unclean_ends();
    if unclean < known.unclean.0 || known.unclean.1 < unclean {
        return Err(failed("unclean ends", &unclean));
    }
    let store = SledBackend::open(&data.store_dir(), small_journal())
        .map_err(|error| failed("the store does not open", &error))?;
    let rows = stored(&store);
    let number = number_in(&rows);
    if number < known.done {
        return Err(failed("lost acknowledged batches, it ends at", &number));
    }
    if known.begun < number {
        return Err(failed("it holds a batch that was never begun", &number));
    }
    if rows != model(number, sizes) {
        return Err(failed("it differs from the batches up to", &number));
    }
    let epoch = store.claim().map_err(|error| failed("nobody can own it", &error))?;
    if epoch.as_u64() <= known.epoch {
        return Err(failed("an epoch was given twice", &epoch));
    }
    // It is not only readable, it goes on.
    let next = commit(number + 1, sizes);
    store.commit(epoch, &next).map_err(|error| failed("it does not go on", &error))?;
    store.close().map_err(|error| failed("it does not close", &error))?;
    drop(store);
    data.mark_clean().map_err(|error| failed("it does not end", &error))?;
    let report = check_data(path).map_err(|error| failed("it cannot be checked", &error))?;
    if !report.corrupted.is_empty() {
        return Err(format!("damaged records: {:?}", report.corrupted));
    }
    Ok(())
}

fn check_small(path: &Path, said: &[String]) -> Result<(), String> {
    check(path, said, Sizes::Small)
}

#[test]
fn the_process_that_commits_small_batches() {
    let Some(root) = Said::root() else { return };
    let small = Sizes::Small;
    work(&root, &[(20, small, true), (1, small, false), (80, small, true), (5, small, false)]);
}

#[test]
fn the_process_that_commits_large_batches() {
    let Some(root) = Said::root() else { return };
    work(&root, &[(120, Sizes::Large, false), (30, Sizes::Large, true)]);
}

#[test]
fn the_process_that_opens_a_store_of_segments_without_use() {
    let Some(root) = Said::root() else { return };
    let page = Sizes::OnePage;
    work(&root, &[(5, page, false), (95, page, false), (1, page, false)]);
}

#[test]
fn the_process_that_brings_several_segments_into_the_engine_at_a_time() {
    let Some(root) = Said::root() else { return };
    work_with(SledOptions::default(), &root, &[(200, Sizes::InTurn, false)]);
}

#[test]
fn the_process_that_brings_thousands_of_small_rows_into_the_engine_at_a_time() {
    let Some(root) = Said::root() else { return };
    work_with(SledOptions::default(), &root, &[(160, Sizes::InTurnSmall, false)]);
}

#[test]
fn the_process_that_goes_on_after_a_cut() {
    let Some(root) = Said::root() else { return };
    work(&root, &[(6, Sizes::Small, false)]);
}

fn small_batches() -> Recording {
    record("power::batches::the_process_that_commits_small_batches")
}

#[test]
fn whatever_is_cut_every_acknowledged_batch_is_there_and_none_in_part() {
    let recording = small_batches();
    recording.survives(&recording.cuts(1), check_small);
}

#[test]
fn the_store_survives_cuts_while_it_moves_pages_and_uses_space_again() {
    let recording = record("power::batches::the_process_that_commits_large_batches");
    assert!(recording.writes_over("data/store/db"), "the workload uses no space again");
    let check = |path: &Path, said: &[String]| check(path, said, Sizes::Large);
    recording.survives(&recording.cuts(3), check);
}

/// The engine uses space again when it has handed what was there to the disk elsewhere, and does not wait
/// until that is durable.
fn space_that_is_used_again_loses_nothing(recording: &Recording, sizes: Sizes) {
    assert!(recording.writes_over("data/store/db"), "the workload uses no space again");
    let syncs =
        recording.syncs().into_iter().filter(|at| recording.is_sync_of("data/store/db", *at));
    let scattered = |before| (0..16).map(move |seed| Cut { before, keep: Keep::Scattered(seed) });
    let cuts: Vec<Cut> = syncs.flat_map(scattered).collect();
    // Few syncs are cut in all these ways, many in some of them.
    let cuts: Vec<Cut> = cuts.iter().copied().step_by(cuts.len().div_ceil(60)).collect();
    let check = |path: &Path, said: &[String]| check(path, said, sizes);
    recording.survives(&cuts, check);
}

#[test]
fn space_that_is_used_again_while_much_is_brought_into_the_engine_loses_nothing() {
    let process =
        "power::batches::the_process_that_brings_several_segments_into_the_engine_at_a_time";
    space_that_is_used_again_loses_nothing(&record(process), Sizes::InTurn);
}

#[test]
fn space_that_is_used_again_while_thousands_of_rows_get_into_the_engine_loses_nothing() {
    let process =
        "power::batches::the_process_that_brings_thousands_of_small_rows_into_the_engine_at_a_time";
    space_that_is_used_again_loses_nothing(&record(process), Sizes::InTurnSmall);
}

/// The engine overwrites such segments when it opens, before it knows that it need not read them again.
#[test]
fn a_cut_while_segments_without_use_are_overwritten_leaves_a_store_that_opens() {
    let recording =
        record("power::batches::the_process_that_opens_a_store_of_segments_without_use");
    let last = |cut: &Cut| {
        let said = recording.said(*cut);
        let count = |word| said.iter().filter(|line| line.starts_with(word)).count();
        count("opening") == 3 && count("begun") == 100
    };
    let cuts: Vec<Cut> = recording.cuts_in_all_ways().into_iter().filter(last).collect();
    let check = |path: &Path, said: &[String]| check(path, said, Sizes::OnePage);
    recording.survives(&cuts, check);
}

#[test]
fn a_second_cut_while_the_first_is_recovered_from_loses_nothing_either() {
    let first = small_batches();
    let syncs = first.syncs();
    for (number, keep) in (1..=3).zip([Keep::Nothing, Keep::Scattered(1), Keep::TornByBytes(2)]) {
        let cut = Cut { before: syncs[syncs.len() * number / 4], keep };
        let prepare = |root: &Path| {
            first.leave(cut, root);
            first.said(cut)
        };
        let second = record_on("power::batches::the_process_that_goes_on_after_a_cut", prepare);
        second.survives(&second.cuts(1), check_small);
    }
}

/// What is found wrong on a disk that takes syncs of this file for nothing: among the first owner's batches,
/// once it has acknowledged so many, where nothing is kept.
fn found_without_syncs_of(file: &'static str, done: usize) -> Vec<String> {
    let recording = small_batches();
    let acknowledged = |cut: &Cut| {
        let said = recording.said(*cut);
        let count = |word| said.iter().filter(|line| line.starts_with(word)).count();
        count("opening") == 1 && count("done") > done
    };
    let bare = recording.cuts(1).into_iter().filter(|cut| cut.keep == Keep::Nothing);
    let cuts: Vec<Cut> = bare.filter(acknowledged).take(4).collect();
    recording.find_wrong(&cuts, &recording.before.without_syncs_of(file), 1, check_small)
}

/// The first negative control: if this passes without the sync of a commit, the cuts above prove nothing.
#[test]
fn a_store_that_does_not_sync_its_journal_is_found_to_lose_acknowledged_batches() {
    let wrong = found_without_syncs_of(JOURNAL, 4);
    assert!(wrong.iter().any(|why| why.contains("lost acknowledged batches")), "found {wrong:?}");
}

/// The second one: the engine flushed and not synced, and the journal written over.
#[test]
fn a_store_that_only_flushes_its_engine_is_found_to_lose_acknowledged_batches() {
    let wrong = found_without_syncs_of(ENGINE, 15);
    assert!(wrong.iter().any(|why| why.contains("is lost or damaged, though")), "found {wrong:?}");
}
