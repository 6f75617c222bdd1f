//! Promise 8, second half: a message or an effect that kills the process is found out and put aside.
//!
//! A killed process is a child of this test: it runs the same world on the same directory.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use perennial_runtime::{DeadLetter, SystemClock};
use perennial_store::{Backend, DataDir, Key, MemoryBackend, SledBackend, SledOptions};
use tempfile::TempDir;

use crate::world::{
    Behaviour, Deed, Node, Outside, PATIENT, Settings, Told, clock, eventually, options, start,
    start_with,
};

const DIRECTORY: &str = "PERENNIAL_TEST_LETHAL_DIRECTORY";

async fn open(directory: &Path, behaviour: Behaviour) -> (Node, DataDir) {
    let data = DataDir::open(directory).unwrap();
    let backend = SledBackend::open(&data.store_dir(), SledOptions::default()).unwrap();
    let clock = clock();
    let mut options = options(Arc::new(backend), &clock);
    options.clock = Arc::new(SystemClock);
    options.limits.retry_base = std::time::Duration::from_millis(100);
    options.limits.retry_cap = options.limits.retry_base;
    options.unclean_ends = data.unclean_ends();
    options.inflight = Some(data.inflight_path());
    let lethal = Box::new(|| std::process::abort());
    let settings = Arc::new(Settings { lethal, ..Settings::default() });
    let outside = Outside::default();
    outside.behave(behaviour);
    (start_with(options, clock, outside, settings).await, data)
}

/// Runs a test of this binary on `directory`, again and again until it does not die. Returns how often
/// it died, and at most so often.
fn run_until_it_lives(test: &str, directory: &Path, most: u32) -> u32 {
    let mut deaths = 0;
    loop {
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(DIRECTORY, directory)
            .output()
            .unwrap();
        if status.status.success() {
            return deaths;
        }
        deaths += 1;
        let said = String::from_utf8_lossy(&status.stderr).into_owned();
        assert!(deaths <= most, "the killer was not put aside: {said}");
    }
}

/// What the child process does: takes in messages, one of which kills it, until it is put aside.
#[tokio::test]
async fn the_process_that_is_killed() {
    #[expect(clippy::disallowed_methods, reason = "how the parent names the directory")]
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    be_killed(&directory, false).await;
}

/// The same, but every other time it dies of something else, before anything is handled.
#[tokio::test]
async fn the_process_that_dies_of_two_things_in_turn() {
    #[expect(clippy::disallowed_methods, reason = "how the parent names the directory")]
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    be_killed(&directory, true).await;
}

async fn be_killed(directory: &str, dies_of_others: bool) {
    let (node, data) = open(Path::new(directory), Behaviour::Works).await;
    if dies_of_others && data.unclean_ends() % 2 == 1 {
        // Nothing but the start has had a turn on the one thread.
        std::process::abort();
    }
    if data.unclean_ends() == 0 {
        for n in 0..10 {
            node.tell("a", Told::Note(n.to_string())).await;
            node.tell("b", Told::Note(n.to_string())).await;
        }
        // Held up, so that the lethal message is accepted before it is handled: one that kills the
        // process before its commit was never accepted, and leaves no trace.
        node.tell("a", Told::Fail("hold".to_owned())).await;
        node.tell("a", Told::Lethal).await;
        node.tell("a", Told::Note("after".to_owned())).await;
    }
    eventually("the lethal message is put aside", async || killer(&node)).await;
    node.runtime.shutdown().await.unwrap();
    data.mark_clean().unwrap();
}

fn killer(node: &Node) -> Option<DeadLetter> {
    let mut letters = node.runtime.dead_letters().list(10).unwrap().into_iter();
    letters.find(|letter| letter.last_error.contains("the process ended"))
}

#[tokio::test]
async fn a_message_that_kills_the_process_is_put_aside_after_its_attempts_and_the_rest_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    let deaths = run_until_it_lives("quarantine::the_process_that_is_killed", &path, 6);
    assert!(deaths >= 2, "it was given more than one chance: {deaths}");
    let (node, data) = open(&path, Behaviour::Works).await;
    assert_eq!(killer(&node).unwrap().attempts, 5);
    node.tell("a", Told::Note("last".to_owned())).await;
    let told =
        node.until("a", |account| account.told.last().is_some_and(|last| last == "last")).await;
    assert!(told.told.len() >= 11, "what was accepted before it is there: {told:?}");
    assert_eq!(node.state("b").await.told.len(), 10);
    node.runtime.shutdown().await.unwrap();
    data.mark_clean().unwrap();
}

#[tokio::test]
async fn a_message_that_kills_the_process_is_found_out_though_it_dies_of_other_things_in_between() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    let test = "quarantine::the_process_that_dies_of_two_things_in_turn";
    let deaths = run_until_it_lives(test, &path, 14);
    assert_eq!(deaths, 12, "the first was not counted, and five were, each with another death");
    let (node, data) = open(&path, Behaviour::Works).await;
    assert_eq!(killer(&node).unwrap().attempts, 5);
    assert_eq!(node.state("b").await.told.len(), 10);
    node.runtime.shutdown().await.unwrap();
    data.mark_clean().unwrap();
}

/// What the child process does: performs deeds, one of which kills it, until that is put aside.
#[tokio::test]
async fn the_process_that_is_killed_by_a_deed() {
    #[expect(clippy::disallowed_methods, reason = "how the parent names the directory")]
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let lethal = Behaviour::KillsAt("lethal".to_owned());
    let (node, data) = open(Path::new(&directory), lethal).await;
    if data.unclean_ends() == 0 {
        let in_lane = |name| Deed { lane: Some("one".to_owned()), ..Deed::named(name) };
        let deeds = ["before", "lethal", "after"].map(in_lane);
        // In one turn: the lethal one may kill the process before another message is accepted.
        let all = Told::PerformAll([deeds.as_slice(), &[Deed::named("beside")]].concat());
        // The process may also be gone before it says that this was accepted.
        node.tell("a", all).await;
    }
    eventually("the lethal deed is put aside", async || killer(&node)).await;
    node.until("a", |account| account.outcomes.len() == 4).await;
    node.runtime.shutdown().await.unwrap();
    data.mark_clean().unwrap();
}

#[tokio::test]
async fn an_effect_that_kills_the_process_is_put_aside_after_its_attempts_and_the_rest_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    let deaths = run_until_it_lives("quarantine::the_process_that_is_killed_by_a_deed", &path, 6);
    assert_eq!(deaths, 4, "once unsuspected, and three times alone");
    let (node, data) = open(&path, Behaviour::Works).await;
    let letter = killer(&node).unwrap();
    assert_eq!((letter.effect.as_deref(), letter.attempts), (Some("deed"), 3));
    assert_eq!(letter.reason, "outcome unknown: the process ended each time it was performed");
    let mut told = node.state("a").await.outcomes;
    told.retain(|outcome| !outcome.ends_with(" beside"));
    assert_eq!(told, ["did before", "unknown", "did after"]);
    assert!(node.runtime.dead_letters().redrive(letter.id).await.unwrap());
    node.until("a", |account| account.outcomes.len() == 5).await;
    node.runtime.shutdown().await.unwrap();
    data.mark_clean().unwrap();
}

/// A node whose predecessor died while it performed one deed in the lane `patient` and two in none.
async fn with_suspects(behaviour: Behaviour) -> (Node, MemoryBackend, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let (marks, left) = (directory.path().join("inflight"), directory.path().join("left"));
    let (clock, backend) = (clock(), MemoryBackend::new());
    let mut first = options(Arc::new(backend.clone()), &clock);
    first.inflight = Some(marks.clone());
    let node = start(first, clock.clone(), Outside::default()).await;
    node.outside.behave(Behaviour::Hangs);
    let patient = Deed { lane: Some(PATIENT.to_owned()), ..Deed::named("patient") };
    let deeds = [patient, Deed::named("one"), Deed::named("two")];
    node.tell("a", Told::PerformAll(deeds.to_vec())).await;
    // What a process leaves that dies while they are under way.
    eventually("all deeds to be under way", async || {
        (node.outside.begun.load(Ordering::SeqCst) == 3).then_some(())
    })
    .await;
    std::fs::copy(&marks, &left).unwrap();
    node.runtime.shutdown().await.unwrap();

    let node = suspecting(&backend, &left, behaviour).await;
    (node, backend, directory)
}

/// A node that begins after an unclean end, with these marks of what ran.
async fn suspecting(backend: &MemoryBackend, marks: &Path, behaviour: Behaviour) -> Node {
    let clock = clock();
    let mut options = options(Arc::new(backend.clone()), &clock);
    options.inflight = Some(marks.to_owned());
    options.unclean_ends = 1;
    let outside = Outside::default();
    outside.behave(behaviour);
    start(options, clock, outside).await
}

#[tokio::test]
async fn a_suspect_that_takes_long_does_not_hold_up_the_others() {
    let (node, _, _marks) = with_suspects(Behaviour::HangsIn(PATIENT.to_owned())).await;
    let told = node.until("a", |account| account.outcomes.len() == 2).await;
    assert_eq!(told.outcomes, ["did one", "did two"]);
    assert_eq!(node.outside.begun.load(Ordering::SeqCst), 3, "it was begun once, and goes on");
    node.runtime.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_suspect_that_gave_way_to_others_is_not_blamed_if_the_process_dies_then() {
    let hangs = || Behaviour::HangsIn(PATIENT.to_owned());
    let (mut node, backend, directory) = with_suspects(hangs()).await;
    let left = directory.path().join("left");
    // More often than a deed is tried.
    for _ in 0..4 {
        eventually("it gave way", async || {
            let effects = Key::effects();
            let rows = backend.scan(&effects.start..&effects.end, 9).unwrap();
            let ahead = |row: &[u8]| String::from_utf8_lossy(row).contains("the process ended");
            let begun = node.outside.begun.load(Ordering::SeqCst) > 0;
            (begun && rows.len() == 1 && !ahead(&rows[0].1)).then_some(())
        })
        .await;
        node.runtime.shutdown().await.unwrap();
        node = suspecting(&backend, &left, hangs()).await;
    }
    node.runtime.shutdown().await.unwrap();
    node = suspecting(&backend, &left, Behaviour::Works).await;
    let told = node.until("a", |account| account.outcomes.len() == 3).await;
    assert_eq!(told.outcomes, ["did one", "did two", "did patient"]);
    node.runtime.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_suspect_whose_end_nobody_can_tell_does_not_hold_up_the_others() {
    let (node, _, _marks) = with_suspects(Behaviour::HidesWhatWasDoneIn(PATIENT.to_owned())).await;
    node.until("a", |account| account.outcomes.len() == 2).await;
    node.outside.behave(Behaviour::Works);
    let told = node.until("a", |account| account.outcomes.len() == 3).await;
    assert_eq!(told.outcomes.last().unwrap(), "did patient", "it is asked about again");
    node.runtime.shutdown().await.unwrap();
}
