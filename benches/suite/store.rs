//! What a batch costs without any actor: rows committed to the store, beside the same bytes appended to
//! a raw log.
//!
//! `cargo bench -p perennial-bench --bench store`. States of 128 bytes, of 10,000 actors, taken in turns
//! with the log; `RUNS` batches of each size (default 200). "cpu us" is processor time of all threads for
//! a row. 100 rows are what 1,024 messages to 100 actors come to.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark ends with a panic where it cannot go on, and reads the clock"
)]

use std::time::Instant;

use perennial_bench::counter::open;
use perennial_bench::log::Log;
use perennial_bench::table::{cpu_seconds, millis, percentile, print, setting, short};
use perennial_store::{Batch, Key, Tag, seal};

const ACTORS: usize = 10_000;
const ROWS: [usize; 4] = [1, 100, 1_000, ACTORS];

/// What the batches of one size took.
#[derive(Default)]
struct Times {
    each: Vec<f64>,
    cpu: f64,
}

impl Times {
    fn add(&mut self, run: impl FnOnce()) {
        let (began, cpu) = (Instant::now(), cpu_seconds());
        run();
        self.each.push(millis(began.elapsed()));
        self.cpu += cpu_seconds() - cpu;
    }

    fn row(&mut self, what: &str, rows: usize) -> Vec<String> {
        self.each.sort_by(f64::total_cmp);
        let at = |percent| percentile(&self.each, percent);
        let cpu = self.cpu * 1e6 / (rows * self.each.len()) as f64;
        let rate = rows as f64 / at(50.0) * 1e3;
        let cells = [at(50.0), at(10.0), at(90.0), rate, cpu].map(short);
        [vec![rows.to_string(), what.to_owned()], cells.to_vec()].concat()
    }
}

fn main() {
    let (dir, logs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(dir.path());
    let epoch = store.claim().unwrap();
    let log = Log::create(logs.path());
    let tasks = tokio::runtime::Builder::new_current_thread().build().unwrap();
    store.commit(epoch, &batch(0, ACTORS)).unwrap();
    let mut rows = Vec::new();
    for size in ROWS {
        let (mut ours, mut raw) = (Times::default(), Times::default());
        let runs = setting("RUNS", 200).min(2_000_000 / size);
        for run in 1..=runs {
            let batch = batch(run, size);
            let record = "s".repeat(batch.bytes());
            ours.add(|| store.commit(epoch, &batch).unwrap());
            raw.add(|| tasks.block_on(log.append(record.into())));
        }
        rows.push(raw.row("raw log, the same bytes", size));
        rows.push(ours.row("the store", size));
    }
    store.close().unwrap();
    print(&["rows", "what", "p50 ms", "p10", "p90", "rows/s at p50", "cpu us a row"], &rows);
}

/// New states of as many actors, spread over all of them.
fn batch(run: usize, rows: usize) -> Batch {
    let mut batch = Batch::new();
    for row in 0..rows {
        let key = Key::state("counter", &((run * 7919 + row * 7) % ACTORS).to_string());
        let state = seal(&key, Tag::State, 1, &[run as u8; 128]);
        batch.put(key, state);
    }
    batch
}
