//! What an actor costs: in memory while active and when it has left, and to be activated.
//!
//! `cargo bench -p perennial-bench --bench actors`. `ACTIVE` actors (default 100,000) are activated,
//! each with a state of 128 bytes, and leave again; then `ADDRESSES` (default 1,000,000) are reached
//! with one message each, leaving memory a second after it.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark ends with a panic where it cannot go on, prints, and reads the clock"
)]

use std::time::{Duration, Instant};

use perennial_bench::counter::{self, Counter, Told};
use perennial_bench::table::{own_kilobytes, print, setting, short};
use perennial_runtime::{Limits, Runtime};
use tokio::task::JoinSet;

fn main() {
    let threads = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    threads.block_on(async {
        activated(setting("ACTIVE", 100_000)).await;
        addresses(setting("ADDRESSES", 1_000_000)).await;
    });
}

/// One message to each of the first `actors`, from 1,000 senders.
async fn reach(runtime: &Runtime, actors: usize) -> f64 {
    let began = Instant::now();
    let mut senders = JoinSet::new();
    for sender in 0..1000 {
        let runtime = runtime.clone();
        senders.spawn(async move {
            for actor in (sender..actors).step_by(1000) {
                let told = Told::Add(String::new());
                runtime.send::<Counter>(actor.to_string(), &told).await.unwrap();
            }
        });
    }
    senders.join_all().await;
    actors as f64 / began.elapsed().as_secs_f64()
}

/// Actors in memory, as the tree shows them.
fn in_memory(runtime: &Runtime) -> usize {
    runtime.tree().children.iter().map(|kind| kind.children.len()).sum()
}

async fn activated(actors: usize) {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { idle: Duration::from_secs(20), ..Limits::default() };
    let runtime = counter::start(dir.path(), limits).await;
    reach(&runtime, 1000).await;
    let before = own_kilobytes();
    let rate = reach(&runtime, actors).await;
    let again = reach(&runtime, actors).await;
    let active = own_kilobytes();
    let began = Instant::now();
    while in_memory(&runtime) > 10 && began.elapsed() < Duration::from_secs(120) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let passive = own_kilobytes();
    let per_actor = |kilobytes: f64| short((kilobytes - before) * 1024.0 / actors as f64);
    print(
        &[
            "actors",
            "activations/s",
            "messages/s to active",
            "bytes each, active",
            "bytes each, left",
        ],
        &[vec![
            actors.to_string(),
            short(rate),
            short(again),
            per_actor(active),
            per_actor(passive),
        ]],
    );
    println!("still in memory at the end: {}", in_memory(&runtime));
    runtime.shutdown().await.unwrap();
}

async fn addresses(actors: usize) {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { idle: Duration::from_secs(1), ..Limits::default() };
    let runtime = counter::start(dir.path(), limits).await;
    let before = own_kilobytes();
    let rate = reach(&runtime, actors).await;
    let after = own_kilobytes();
    println!(
        "{actors} addresses: {} messages/s, {} MB more in memory right after",
        short(rate),
        short((after - before) / 1024.0)
    );
    runtime.shutdown().await.unwrap();
}
