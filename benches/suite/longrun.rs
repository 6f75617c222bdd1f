//! Half of the highest rate for a long time: do memory, disk and latency stay flat?
//!
//! `cargo bench -p perennial-bench --bench longrun`. The highest rate is measured first, for 20 seconds, with
//! senders that send as soon as they are answered. Then the same senders send at half of it for `MINUTES`
//! (default 30), each message at its time: latency counts from when it was to be sent, so that a
//! standstill shows in all messages that it held up. `SENDERS` (default 1,024), `ACTORS` (default 1,000).
//! A line is printed sixty times. At the end the last third is held against the first; what is not flat
//! makes the exit code 1.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark ends with a panic where it cannot go on, prints, and reads the clock"
)]

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use perennial_bench::counter::{self, Counter, Told};
use perennial_bench::load;
use perennial_bench::table::{expect, expect_most, own_kilobytes, setting, short};
use perennial_runtime::{Limits, Runtime};
use tokio::task::JoinSet;

const LINES: usize = 60;
/// Buckets of latency for each doubling.
const PER_DOUBLING: f64 = 16.0;

/// How often each latency was seen, without memory that grows.
struct Latencies(Vec<AtomicU64>);

impl Latencies {
    fn new() -> Self {
        Self((0..512).map(|_| AtomicU64::new(0)).collect())
    }

    fn note(&self, latency: Duration) {
        let micros = latency.as_secs_f64() * 1e6;
        let bucket = (micros.max(1.0).log2() * PER_DOUBLING) as usize;
        self.0[bucket.min(self.0.len() - 1)].fetch_add(1, Ordering::Relaxed);
    }

    /// Takes out what was seen since the last time.
    fn take(&self) -> Vec<u64> {
        self.0.iter().map(|bucket| bucket.swap(0, Ordering::Relaxed)).collect()
    }
}

/// The upper end, in milliseconds, of the bucket below which `percent` of what was seen lies.
fn percentile(seen: &[u64], percent: f64) -> f64 {
    let wanted = seen.iter().sum::<u64>() as f64 * percent / 100.0;
    let mut below = 0;
    let bucket = seen.iter().position(|count| {
        below += count;
        below as f64 >= wanted
    });
    bucket.map_or(f64::NAN, |bucket| ((bucket + 1) as f64 / PER_DOUBLING).exp2() / 1e3)
}

/// One line of the table.
struct Seen {
    rate: f64,
    p50: f64,
    p99: f64,
    megabytes: f64,
    disk: f64,
    /// Who else wants the processor: what waits and is not flat for that is not ours.
    load: String,
}

fn main() -> ExitCode {
    let threads = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    threads.block_on(run())
}

async fn run() -> ExitCode {
    let (senders, actors) = (setting("SENDERS", 1_024), setting("ACTORS", 1_000));
    let time = Duration::from_secs(setting("MINUTES", 30) as u64 * 60);
    let dir = tempfile::tempdir().unwrap();
    let runtime = counter::start(dir.path(), Limits::default()).await;
    let highest = highest(&runtime, senders, actors).await;
    println!("highest rate: {} messages/s; half of it from now on", short(highest));
    let latencies = Arc::new(Latencies::new());
    let pace = Pace { began: Instant::now(), time, every: 2.0 / highest, senders, actors };
    let mut tasks = JoinSet::new();
    for sender in 0..senders {
        tasks.spawn(pace.clone().send(runtime.clone(), sender, latencies.clone()));
    }
    let all = watch(&latencies, dir.path(), time / LINES as u32).await;
    tasks.join_all().await;
    runtime.shutdown().await.unwrap();
    if is_flat(&all, highest / 2.0) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Of the second half of twenty seconds: the first is for warming up.
async fn highest(runtime: &Runtime, senders: usize, actors: usize) -> f64 {
    let mut rate = 0.0;
    for _ in 0..2 {
        let all = (0..senders).map(|sender| (runtime.clone(), sender)).collect();
        let send = move |(runtime, sender): (Runtime, usize), number: usize| async move {
            let told = Told::Add(load::message());
            let actor = ((sender + number * senders) % actors).to_string();
            runtime.send::<Counter>(actor, &told).await.unwrap();
            (runtime, sender)
        };
        rate = load::drive(all, Duration::from_secs(10), send).await.rate();
    }
    rate
}

/// When each message is to be sent.
#[derive(Clone)]
struct Pace {
    began: Instant,
    time: Duration,
    /// Seconds between two messages, over all senders.
    every: f64,
    senders: usize,
    actors: usize,
}

impl Pace {
    async fn send(self, runtime: Runtime, sender: usize, latencies: Arc<Latencies>) {
        for number in (sender..).step_by(self.senders) {
            let due = Duration::from_secs_f64(number as f64 * self.every);
            if due >= self.time {
                return;
            }
            let due = self.began + due;
            tokio::time::sleep_until(due.into()).await;
            let told = Told::Add(load::message());
            let actor = (number % self.actors).to_string();
            runtime.send::<Counter>(actor, &told).await.unwrap();
            latencies.note(due.elapsed());
        }
    }
}

/// Prints a line after each interval.
async fn watch(latencies: &Latencies, dir: &Path, interval: Duration) -> Vec<Seen> {
    println!(
        "{:>8}  {:>8}  {:>7}  {:>7}  {:>7}  {:>7}  {:>7}",
        "s", "sent/s", "p50 ms", "p99 ms", "MB", "disk MB", "load"
    );
    let (began, mut all) = (Instant::now(), Vec::new());
    for line in 1..=LINES as u32 {
        let before = began.elapsed();
        tokio::time::sleep_until((began + interval * line).into()).await;
        let took = began.elapsed() - before;
        let counts = latencies.take();
        let seen = Seen {
            rate: counts.iter().sum::<u64>() as f64 / took.as_secs_f64(),
            p50: percentile(&counts, 50.0),
            p99: percentile(&counts, 99.0),
            megabytes: own_kilobytes() / 1e3,
            disk: disk(dir) as f64 / 1e6,
            load: std::fs::read_to_string("/proc/loadavg").unwrap(),
        };
        println!(
            "{:>8.0}  {:>8}  {:>7}  {:>7}  {:>7}  {:>7}  {:>7}",
            began.elapsed().as_secs_f64(),
            short(seen.rate),
            short(seen.p50),
            short(seen.p99),
            short(seen.megabytes),
            short(seen.disk),
            seen.load.split(' ').next().unwrap_or_default()
        );
        all.push(seen);
    }
    all
}

/// Bytes that the files below `dir` take.
fn disk(dir: &Path) -> u64 {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        // A file may go away while it is looked at.
        let Ok(metadata) = entry.metadata() else { continue };
        bytes += if metadata.is_dir() { disk(&entry.path()) } else { metadata.blocks() * 512 };
    }
    bytes
}

/// Holds the last third against the first.
fn is_flat(all: &[Seen], wanted: f64) -> bool {
    let third = all.len() / 3;
    let (first, last) = (&all[..third], &all[all.len() - third..]);
    let mean = |of: &[Seen], value: fn(&Seen) -> f64| {
        of.iter().map(value).sum::<f64>() / of.len().max(1) as f64
    };
    let median = |of: &[Seen], value: fn(&Seen) -> f64| {
        let mut values: Vec<f64> = of.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let megabytes = |of: &[Seen]| mean(of, |seen| seen.megabytes);
    let disk = |of: &[Seen]| mean(of, |seen| seen.disk);
    println!("means of the last third against the first, for latency medians:");
    let rate = expect("messages/s of those wanted", mean(last, |seen| seen.rate) / wanted, 0.98);
    [
        rate,
        expect_most("MB in memory", megabytes(last), megabytes(first) * 1.1 + 5.0),
        expect_most("MB on disk", disk(last), disk(first) * 1.2 + 20.0),
        expect_most("p50 ms", median(last, |seen| seen.p50), median(first, |seen| seen.p50) * 1.5),
        expect_most("p99 ms", median(last, |seen| seen.p99), median(first, |seen| seen.p99) * 1.5),
    ]
    .into_iter()
    .all(|met| met)
}
