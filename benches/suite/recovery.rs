//! Starting again with a million pending messages for 100,000 actors that have a state each.
//!
//! `cargo bench -p perennial-bench --bench recovery`. `PENDING` (default 1,000,000), `ACTORS` (default
//! 100,000). The rows are written by a node whose actors cannot run, in a process of its own, so that its
//! memory is not counted; then a node starts on them: how long the store takes to open, the node to be ready (with
//! that), its first turn and its last are timed, and its memory is watched. `FILL=DIR` only fills, `FROM=DIR` starts on what
//! that filled, and drains it.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark ends with a panic where it cannot go on, prints, and starts itself again"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use perennial_bench::counter::open;
use perennial_bench::load;
use perennial_bench::table::{expect_most, own_kilobytes, print, setting, short};
use perennial_runtime::{
    Durable, Failure, Kind, Limits, Options, Runtime, Supervisor, SystemClock, Turn,
};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

/// A state of 128 bytes that counts; while the node only fills the store, a message for it waits.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Sleeper {
    count: u64,
    rest: String,
}

/// Turns since the start, and whether messages other than the first are put off.
struct Gauge {
    turns: Arc<AtomicU64>,
    filling: bool,
}

impl Durable for Sleeper {
    const KIND: Kind = Kind::new("sleeper");
    type Message = String;
    type Settings = Gauge;

    fn handle(&mut self, _: String, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        let gauge = turn.settings();
        gauge.turns.fetch_add(1, Ordering::Relaxed);
        if gauge.filling && self.count > 0 {
            return Err(Failure::Retry("waits for the next start".to_owned()));
        }
        if self.count == 0 {
            self.rest = "s".repeat(122);
        }
        self.count += 1;
        Ok(())
    }
}

fn main() {
    let threads = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    match std::env::var("FILL") {
        Ok(dir) => threads.block_on(fill(Path::new(&dir))),
        Err(_) => threads.block_on(run()),
    }
}

/// A node on the store in `dir`, and how long that took to open.
async fn start(dir: &Path, turns: &Arc<AtomicU64>, filling: bool) -> (Runtime, Duration) {
    // Put off for so long that nothing is tried twice.
    let wait = Duration::from_secs(3600);
    let limits = if filling {
        Limits { quota: 1_000_000, retry_base: wait, retry_cap: wait, ..Limits::default() }
    } else {
        Limits::default()
    };
    let gauge = Gauge { turns: turns.clone(), filling };
    let tree = Supervisor::new("bench").actors::<Sleeper>(gauge);
    let inflight = Some(dir.join("inflight"));
    let began = Instant::now();
    let store = open(dir);
    let opened = began.elapsed();
    let mut options = Options::new(store, Arc::new(SystemClock));
    (options.limits, options.inflight) = (limits, inflight);
    (Runtime::start(options, tree).await.unwrap(), opened)
}

/// Gives each actor a state with a first message, then leaves the others waiting.
async fn fill(dir: &Path) {
    let (pending, actors) = (setting("PENDING", 1_000_000), setting("ACTORS", 100_000));
    let (runtime, _) = start(dir, &Arc::default(), true).await;
    let mut senders = JoinSet::new();
    for sender in 0..1000 {
        let runtime = runtime.clone();
        senders.spawn(async move {
            for number in (sender..actors + pending).step_by(1000) {
                let key = (number % actors).to_string();
                runtime.send::<Sleeper>(key, &load::message()).await.unwrap();
            }
        });
    }
    senders.join_all().await;
    runtime.shutdown().await.unwrap();
}

async fn run() {
    let (pending, actors) = (setting("PENDING", 1_000_000), setting("ACTORS", 100_000));
    let own = tempfile::tempdir().unwrap();
    let from = std::env::var("FROM").map(PathBuf::from);
    let dir = from.as_deref().unwrap_or(own.path());
    if from.is_err() {
        let began = Instant::now();
        let mut again = tokio::process::Command::new(std::env::current_exe().unwrap());
        assert!(again.env("FILL", dir).status().await.unwrap().success());
        println!("filled in {:.1} s", began.elapsed().as_secs_f64());
    }
    let empty = own_kilobytes();
    let turns = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let (runtime, opened) = start(dir, &turns, false).await;
    let ready = began.elapsed();
    let at_ready = own_kilobytes() - empty;
    while turns.load(Ordering::Relaxed) == 0 {
        tokio::time::sleep(Duration::from_micros(100)).await;
    }
    let first = began.elapsed();
    let mut most = at_ready;
    while turns.load(Ordering::Relaxed) < pending as u64 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        most = most.max(own_kilobytes() - empty);
    }
    let drained = began.elapsed();
    runtime.shutdown().await.unwrap();
    let second = |time: Duration| format!("{:.3}", time.as_secs_f64());
    print(
        &[
            "pending",
            "actors",
            "store open s",
            "ready s",
            "first turn s",
            "drained s",
            "turns/s",
            "MB at ready",
            "MB at most",
        ],
        &[vec![
            pending.to_string(),
            actors.to_string(),
            second(opened),
            second(ready),
            second(first),
            second(drained),
            short(pending as f64 / (drained - ready).as_secs_f64()),
            short(at_ready / 1e3),
            short(most / 1e3),
        ]],
    );
    expect_most("seconds to ready", ready.as_secs_f64(), 1.0);
    expect_most("seconds from ready to the first turn", (first - ready).as_secs_f64(), 0.1);
}
