//! The example that engineers begin with keeps what the runtime promises.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::parcels;
use crate::world::PATIENCE;

const DIRECTORY: &str = "PERENNIAL_TEST_PARCELS";
const PARCELS: u32 = 300;

/// What the child process does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_process_that_ships_parcels() {
    #[expect(clippy::disallowed_methods, reason = "how the parent names the directory")]
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    parcels::run(Path::new(&directory), PARCELS).await.unwrap();
}

/// Runs the process until so many lines stand in the book, and kills it; false if it was done before.
async fn run_until(directory: &Path, written: usize) -> bool {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "example::the_process_that_ships_parcels", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = perennial_runtime::instant() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "it ended by itself: {status}");
            return false;
        }
        let stand = parcels::lines_of(&directory.join("book.txt")).unwrap().len();
        if stand >= written {
            child.kill().unwrap();
            child.wait().unwrap();
            return true;
        }
        assert!(perennial_runtime::instant() < deadline, "{stand} lines, {written} wanted");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn the_parcels_of_the_example_are_shipped_once_each_however_often_it_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let mut kills = 0;
    for written in (0..PARCELS as usize).step_by(40) {
        kills += u32::from(run_until(directory.path(), written).await);
    }
    assert!(kills > 2, "it was killed {kills} times");
    let book = parcels::run(directory.path(), PARCELS).await.unwrap();
    let parcels: BTreeSet<&str> = book.iter().filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!(parcels.len(), PARCELS as usize, "each was shipped");
    assert_eq!(book.len(), parcels.len(), "and once");
}
