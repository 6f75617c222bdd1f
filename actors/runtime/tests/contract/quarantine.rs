//! Promise 8, second half: a message that kills the process is found out and put aside.
//!
//! A killed process is a child of this test: it runs the same world on the same directory.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use perennial_runtime::{DeadLetter, SystemClock};
use perennial_store::{DataDir, SledBackend, SledOptions};

use crate::world::{Node, Outside, Settings, Told, clock, eventually, options, start_with};

const DIRECTORY: &str = "PERENNIAL_TEST_LETHAL_DIRECTORY";

async fn open(directory: &Path) -> (Node, DataDir) {
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
    (start_with(options, clock, Outside::default(), settings).await, data)
}

/// What the child process does: takes in messages, one of which kills it, until it is put aside.
#[tokio::test]
async fn the_process_that_is_killed() {
    #[expect(clippy::disallowed_methods, reason = "how the parent names the directory")]
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let (node, data) = open(Path::new(&directory)).await;
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
    let mut deaths = 0;
    loop {
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "quarantine::the_process_that_is_killed", "--nocapture"])
            .env(DIRECTORY, &path)
            .output()
            .unwrap();
        if status.status.success() {
            break;
        }
        deaths += 1;
        let said = String::from_utf8_lossy(&status.stderr).into_owned();
        assert!(deaths <= 6, "the message was not put aside: {said}");
    }
    assert!(deaths >= 2, "it was given more than one chance: {deaths}");
    let (node, data) = open(&path).await;
    assert_eq!(killer(&node).unwrap().attempts, 5);
    node.tell("a", Told::Note("last".to_owned())).await;
    let told =
        node.until("a", |account| account.told.last().is_some_and(|last| last == "last")).await;
    assert!(told.told.len() >= 11, "what was accepted before it is there: {told:?}");
    assert_eq!(node.state("b").await.told.len(), 10);
    node.runtime.shutdown().await.unwrap();
    data.mark_clean().unwrap();
}
