//! A chain of actors that ends in an effect: from the send to the call of the performer, beside one
//! sync.
//!
//! `cargo bench -p perennial-bench --bench chain`. `RUNS` of each (default 500), taken in turns: one
//! record appended to a preallocated log; one row committed to the store; chains of 1, 4 and 100.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark ends with a panic where it cannot go on, prints, and reads the clock"
)]

use std::sync::Arc;
use std::time::Instant;

use perennial_bench::counter::open;
use perennial_bench::figures::Figures;
use perennial_bench::load::message;
use perennial_bench::log::Log;
use perennial_bench::table::{expect_most, millis, percentile, print, setting, short};
use perennial_runtime::{
    Attempt, Durable, Effect, EffectError, Failure, Finished, Kind, Options, Performer, Runtime,
    Supervisor, SystemClock, Turn,
};
use perennial_store::{Batch, Key, Tag, seal};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

const CHAINS: [u32; 3] = [1, 4, 100];

#[derive(Clone, Default, Serialize, Deserialize)]
struct Link {
    passed: u64,
    rest: String,
}

#[derive(Serialize, Deserialize)]
enum LinkMessage {
    Hop { left: u32, body: String },
    Rung(Finished<Bell>),
}

impl From<Finished<Bell>> for LinkMessage {
    fn from(finished: Finished<Bell>) -> Self {
        Self::Rung(finished)
    }
}

impl Durable for Link {
    const KIND: Kind = Kind::new("link");
    type Message = LinkMessage;
    type Settings = ();

    fn handle(&mut self, message: LinkMessage, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        let LinkMessage::Hop { left, body } = message else { return Ok(()) };
        self.passed += 1;
        if self.rest.is_empty() {
            self.rest = "s".repeat(122);
        }
        match left {
            0 => drop(turn.perform(&Bell)),
            left => turn.send::<Self>(left.to_string(), &LinkMessage::Hop { left: left - 1, body }),
        }
        Ok(())
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct Bell;

impl Effect for Bell {
    const NAME: &'static str = "bell";
    type Owner = Link;
    type Outcome = ();
}

struct Ringer(mpsc::UnboundedSender<Instant>);

impl Performer<Bell> for Ringer {
    async fn perform(&self, _: &Bell, _: &Attempt) -> Result<(), EffectError> {
        self.0.send(Instant::now()).map_err(EffectError::permanent)
    }
}

fn main() {
    let threads = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    threads.block_on(run());
}

struct Bench {
    log: Log,
    runtime: Runtime,
    rung: mpsc::UnboundedReceiver<Instant>,
    figures: Figures,
    /// Turns that the chains so far have taken.
    turns: u64,
}

async fn run() {
    let (ours, plain, log) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (bell, rung) = mpsc::unbounded_channel();
    let tree = Supervisor::new("bench").actors::<Link>(()).performer::<Bell, _>(Ringer(bell));
    let inflight = Some(ours.path().join("inflight"));
    let mut options = Options::new(open(ours.path()), Arc::new(SystemClock));
    options.inflight = inflight;
    let runtime = Runtime::start(options, tree).await.unwrap();
    let figures = Figures::of(&runtime);
    let mut bench = Bench { log: Log::create(log.path()), runtime, rung, figures, turns: 0 };
    // All actors are in memory before anything is measured.
    bench.chain(100).await;
    let mut names = vec!["a record on a raw log".to_owned(), "a row in the store".to_owned()];
    names.extend(CHAINS.iter().map(|chain| format!("a chain of {chain}")));
    let mut times = vec![Vec::new(); names.len()];
    let mut syncs = [0; CHAINS.len()];
    let store = open(plain.path());
    let epoch = store.claim().unwrap();
    for run in 0..setting("RUNS", 500) {
        let began = Instant::now();
        bench.log.append(message().into()).await;
        times[0].push(millis(began.elapsed()));
        let key = Key::meta("bench");
        let mut batch = Batch::new();
        batch.put(key.clone(), seal(&key, Tag::Meta, 1, &[run as u8; 128]));
        let began = Instant::now();
        store.commit(epoch, &batch).unwrap();
        times[1].push(millis(began.elapsed()));
        for ((time, syncs), chain) in times[2..].iter_mut().zip(&mut syncs).zip(CHAINS) {
            let (took, commits) = bench.chain(chain).await;
            time.push(took);
            *syncs += commits;
        }
    }
    bench.runtime.shutdown().await.unwrap();
    report(&names, &mut times);
    for (chain, syncs) in CHAINS.iter().zip(syncs) {
        let syncs = syncs as f64 / times[0].len() as f64;
        println!("a chain of {chain}: {} syncs before its effect", short(syncs));
    }
}

impl Bench {
    /// How long a chain took, and how many syncs there were until its effect was performed.
    async fn chain(&mut self, length: u32) -> (f64, u64) {
        let before = self.figures.commits();
        let began = Instant::now();
        let hop = LinkMessage::Hop { left: length - 1, body: message() };
        let runtime = self.runtime.clone();
        let sent = tokio::spawn(async move { runtime.send::<Link>("first", &hop).await });
        let rung = self.rung.recv().await.unwrap();
        let commits = self.figures.commits() - before;
        sent.await.unwrap().unwrap();
        // The outcome of the effect is another turn, which is no part of it: the next chain begins when
        // that is durable, or it would wait for a sync that is not its own.
        self.turns += u64::from(length) + 1;
        while self.figures.turns() < self.turns {
            tokio::task::yield_now().await;
        }
        (millis(rung - began), commits)
    }
}

fn report(names: &[String], times: &mut [Vec<f64>]) {
    let mut rows = Vec::new();
    for (name, time) in names.iter().zip(times.iter_mut()) {
        time.sort_by(f64::total_cmp);
        let at = |percent| percentile(time, percent);
        let cells = [50.0, 10.0, 90.0, 99.0].map(|percent| short(at(percent)));
        rows.push([vec![name.clone()], cells.to_vec()].concat());
    }
    print(&["milliseconds", "p50", "p10", "p90", "p99"], &rows);
    let median = |at: usize| percentile(&times[at], 50.0);
    for (sync, name) in [(1, "the store's own sync"), (0, "a sync of a raw log")] {
        expect_most(&format!("a chain of 4, of {name}"), median(3) / median(sync), 1.3);
        expect_most(&format!("a chain of 100, of {name}"), median(4) / median(sync), 2.0);
    }
}
