//! Durable messages per second, beside a raw log, Redis Streams, PostgreSQL and NATS JetStream.
//!
//! `cargo bench -p perennial-bench --bench durable`. A message has 256 bytes and is durable before it
//! is acknowledged. For Perennial the rate is that of messages acknowledged *and* handled by an actor
//! that changes a state of 128 bytes, durably; for the others the two are measured one after the
//! other. `ROUNDS` (default 5), `MILLIS` of one measurement (default 1000), `SENDERS` and `ACTORS` for
//! one point only, `ONLY_OURS=1` without the peers. `cpu us` is the processor time of this process for
//! a message: with a peer its clients' only, with ours everything. Peers are started here, in
//! directories of their own below `TMPDIR`; what is not installed is named.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark ends with a panic where it cannot go on, prints, and reads the clock"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use perennial_bench::counter::{self, Counter, Told};
use perennial_bench::figures::Figures;
use perennial_bench::load::{self, Pushed};
use perennial_bench::log::Log;
use perennial_bench::nats::Nats;
use perennial_bench::postgres::Postgres;
use perennial_bench::redis::Redis;
use perennial_bench::table::{Rounds, expect, print, setting, short};
use perennial_runtime::Limits;

const ACTORS: [usize; 3] = [1, 100, 10_000];
/// Connections that take messages out of a peer.
const WORKERS: usize = 64;

/// What the rounds of one line measured.
#[derive(Default)]
struct Line {
    push: Rounds,
    handle: Rounds,
    p50: Rounds,
    p99: Rounds,
    cpu: Rounds,
}

impl Line {
    fn add(&mut self, pushed: &Pushed, handled: f64) {
        self.push.push(pushed.rate());
        self.handle.push(handled);
        self.p50.push(pushed.p50);
        self.p99.push(pushed.p99);
        self.cpu.push(pushed.cpu);
    }
}

/// By number of senders, then name.
type Lines = BTreeMap<(usize, String), Line>;

struct Peers {
    redis: Option<Redis>,
    postgres: Option<Postgres>,
    nats: Option<Nats>,
    log: Arc<Log>,
    time: Duration,
}

fn main() {
    let threads = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    threads.block_on(run());
}

async fn run() {
    let dir = tempfile::tempdir().unwrap();
    let folder = |name: &str| {
        let folder = dir.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        folder
    };
    // Servers that run as another user need the way to their directory.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(dir.path(), open).unwrap();
    let only = setting("ONLY_OURS", 0) != 0;
    let peers = Peers {
        redis: if only { None } else { Redis::start(&folder("redis")) },
        postgres: if only { None } else { Postgres::start(&folder("postgres")).await },
        nats: if only { None } else { Nats::start(&folder("nats")).await },
        log: Arc::new(Log::create(&folder("log"))),
        time: Duration::from_millis(setting("MILLIS", 1000) as u64),
    };
    for (name, there) in [
        ("Redis (redis-server)", peers.redis.is_some()),
        ("PostgreSQL (postgresql)", peers.postgres.is_some()),
        ("NATS (nats-server)", peers.nats.is_some()),
    ] {
        if !there {
            println!("NOT INSTALLED or left out, so not measured: {name}");
        }
    }
    let mut lines = Lines::new();
    for round in 1..=setting("ROUNDS", 5) {
        for senders in [1, 64, 1024].into_iter().filter(|&at| chosen("SENDERS", at)) {
            peers.measure(senders, &mut lines).await;
            for actors in ACTORS.into_iter().filter(|&at| chosen("ACTORS", at)) {
                let line = format!("Perennial, {actors} actors");
                let (pushed, handled) = perennial(senders, actors, peers.time).await;
                lines.entry((senders, line)).or_default().add(&pushed, handled);
            }
        }
        println!("round {round} done");
    }
    report(&lines);
}

/// Whether the environment leaves this point in; all of them unless it names one.
fn chosen(name: &str, point: usize) -> bool {
    [0, point].contains(&setting(name, 0))
}

impl Peers {
    async fn measure(&self, senders: usize, lines: &mut Lines) {
        let mut add = |name: &str, pushed: &Pushed, handled| {
            lines.entry((senders, name.to_owned())).or_default().add(pushed, handled);
        };
        let record: Arc<str> = load::message().into();
        let logs = vec![self.log.clone(); senders];
        let pushed = load::drive(logs, self.time, move |log, _| {
            let record = record.clone();
            async move {
                log.append(record).await;
                log
            }
        });
        add("raw log", &pushed.await, f64::NAN);
        if let Some(redis) = &self.redis {
            let pushed = redis.push(senders, self.time).await;
            add("Redis Streams", &pushed, redis.handle(WORKERS, pushed.count).await);
        }
        if let Some(postgres) = &self.postgres {
            let pushed = postgres.push(senders, self.time).await;
            add("PostgreSQL", &pushed, postgres.handle(WORKERS, pushed.count).await);
        }
        if let Some(nats) = &self.nats {
            let pushed = nats.push(senders, self.time).await;
            add("NATS (not synced)", &pushed, nats.handle(WORKERS, pushed.count).await);
        }
    }
}

/// The rate of handling counts from the first send to the last state that is durable.
async fn perennial(senders: usize, actors: usize, time: Duration) -> (Pushed, f64) {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { quota: 1_000_000, ..Limits::default() };
    let runtime = counter::start(dir.path(), limits).await;
    // Actors are in memory before the clock starts.
    assert_eq!(counter::counted(&runtime, actors).await, 0);
    let message = Arc::new(Told::Add(load::message()));
    let keys: Arc<Vec<String>> = Arc::new((0..actors).map(|actor| actor.to_string()).collect());
    let figures = Figures::of(&runtime);
    let before = figures.turns();
    let began = Instant::now();
    let all = (0..senders).map(|sender| (sender, runtime.clone())).collect();
    let pushed = load::drive(all, time, move |(sender, runtime), number| {
        let (message, keys) = (message.clone(), keys.clone());
        async move {
            // Each sender walks over the actors from a place of its own.
            let key = &keys[(sender * 7919 + number) % keys.len()];
            runtime.send::<Counter>(key.as_str(), &message).await.unwrap();
            (sender, runtime)
        }
    })
    .await;
    // Asking all actors takes a while itself, so it is not what the clock waits for.
    figures.until_turns(before + pushed.count as u64).await;
    let rate = pushed.count as f64 / began.elapsed().as_secs_f64();
    let handled = counter::counted(&runtime, actors).await;
    assert_eq!(handled, pushed.count as u64, "every acknowledged message was handled, and once");
    runtime.shutdown().await.unwrap();
    (pushed, rate)
}

fn report(lines: &Lines) {
    let limit = |senders: usize| lines[&(senders, "raw log".to_owned())].push.median();
    let rows = lines.iter().map(|((senders, name), line)| {
        let ratio = line.push.median() / limit(*senders);
        let handled = line.handle.median();
        vec![
            senders.to_string(),
            name.clone(),
            line.push.cell(),
            format!("{ratio:.2}"),
            if handled.is_nan() { "-".to_owned() } else { line.handle.cell() },
            short(line.p50.median()),
            short(line.p99.median()),
            short(line.cpu.median()),
        ]
    });
    let head =
        ["senders", "what", "pushed/s", "of raw log", "handled/s", "p50 ms", "p99 ms", "cpu us"];
    print(&head, &rows.collect::<Vec<_>>());
    println!();
    let ours = |senders, actors: usize| {
        let line = lines.get(&(senders, format!("Perennial, {actors} actors")));
        line.map_or(f64::NAN, |line| line.handle.median())
    };
    for (senders, least) in [(1, 0.6), (1024, 1.0)] {
        if chosen("SENDERS", senders) && chosen("ACTORS", 100) {
            let what = format!("{senders} senders, 100 actors, handled, of the raw log");
            expect(&what, ours(senders, 100) / limit(senders), least);
        }
    }
    for ((senders, name), line) in lines {
        if name == "raw log" || name.starts_with("Perennial") {
            continue;
        }
        for actors in ACTORS.into_iter().filter(|&at| chosen("ACTORS", at)) {
            let ratio = ours(*senders, actors) / line.push.median();
            let what =
                format!("{senders} senders, {actors} actors, handled, of {name} pushed only");
            expect(&what, ratio, if *senders >= 64 { 3.0 } else { 1.0 });
        }
    }
}
