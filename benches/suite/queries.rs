//! Queries from their acceptance to their end: a plan of three cheap tools one after the other, from as many
//! clients at a time as it says, each of which waits for the end of one before it asks the next.
//!
//! Beside it workflows of three cheap durable steps on DBOS, by as many clients, in turns.
//!
//! `cargo bench -p perennial-bench --bench queries`. `SECONDS` (default 5) for each number of clients and each of
//! the `ROUNDS` (3); `ONLY_OURS=1` without DBOS, which is installed with pip where the build is.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark ends with a panic where it cannot go on, prints, and reads the clock"
)]

mod asking;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use perennial_bench::dbos::Dbos;
use perennial_bench::figures::Figures;
use perennial_bench::table::{Rounds, expect, millis, percentile, print, setting, short};
use perennial_query::config::Config;
use perennial_query::json::Json;
use perennial_query::plan::{Plan, Step, ToolCall, ValueType, Work};
use perennial_query::roles::Roles;
use perennial_query::schedule::Definitions;
use perennial_query::tool::{Call, Parameter, Tool, ToolAnswer, ToolError, ToolSpec, Toolbox};
use perennial_query::tree::tree;
use perennial_query::worker::Bounds;
use perennial_runtime::Runtime;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Steps of each query.
const STEPS: usize = 3;

/// Answers at once.
struct Echo(ToolSpec);

impl Tool for Echo {
    fn spec(&self) -> &ToolSpec {
        &self.0
    }

    fn call<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<ToolAnswer, ToolError>> {
        Box::pin(async { Ok(json!({"text": call.arguments.0["text"]}).into()) })
    }
}

fn plan() -> Plan {
    let call = |text: &str| {
        let arguments = Json(json!({ "text": text }));
        Work::Call(ToolCall { tool: "echo".to_owned(), arguments })
    };
    let steps = vec![
        Step::new("a", call("hello")),
        Step::new("b", call("{{ steps.a.result.text }} and")),
        Step::new("c", call("{{ steps.b.result.text }} good night")),
    ];
    let outputs = vec![("said".to_owned(), Json(json!("{{ steps.c.result.text }}")))];
    Plan { name: "three steps".to_owned(), steps, outputs, ..Plan::default() }
}

/// A node that answers queries, and what rings when something has happened in one.
async fn start(dir: &Path, clients: usize) -> (Runtime, watch::Receiver<u64>) {
    let (options, bell) = asking::options(dir);
    let spec = ToolSpec::new("echo", "Says it again.");
    let text = Parameter::required("text", ValueType::String, "What to say.");
    let toolbox = Toolbox::default().with(Echo(spec.parameter(text)));
    let bounds = Bounds { concurrency: clients, queue: 10_000 };
    let groups = [("echo".to_owned(), bounds)].into();
    let config = Config { max_concurrent: clients, groups, ..Config::default() };
    let tree = tree(config, Arc::new(Roles::default()), toolbox, Definitions::default());
    (Runtime::start(options, tree).await.unwrap(), bell)
}

/// What the clients saw in one round.
struct Round {
    /// Milliseconds of each query, sorted.
    took: Vec<f64>,
    elapsed: f64,
    /// Commits for a query.
    commits: f64,
}

impl Round {
    fn rate(&self) -> f64 {
        self.took.len() as f64 / self.elapsed
    }
}

async fn ours(clients: usize, time: Duration) -> Round {
    let dir = tempfile::tempdir().unwrap();
    let (runtime, bell) = start(dir.path(), clients).await;
    let figures = Figures::of(&runtime);
    let (began, commits) = (Instant::now(), figures.commits());
    let mut asking = JoinSet::new();
    for _ in 0..clients {
        let (runtime, mut bell) = (runtime.clone(), bell.clone());
        asking.spawn(async move {
            let mut took = Vec::new();
            while began.elapsed() < time {
                took.push(millis(asking::ask(&runtime, &mut bell, plan()).await));
            }
            took
        });
    }
    let mut took = asking.join_all().await.concat();
    let (elapsed, commits) = (began.elapsed().as_secs_f64(), figures.commits() - commits);
    took.sort_by(f64::total_cmp);
    runtime.shutdown().await.unwrap();
    let commits = commits as f64 / took.len() as f64;
    Round { took, elapsed, commits }
}

fn theirs(dbos: &mut Dbos, clients: usize, time: Duration) -> Round {
    let began = Instant::now();
    let mut took = dbos.measure(clients, time);
    let elapsed = began.elapsed().as_secs_f64();
    took.sort_by(f64::total_cmp);
    Round { took, elapsed, commits: f64::NAN }
}

/// A line of the table, over all rounds.
#[derive(Default)]
struct Line {
    rate: Rounds,
    p50: Rounds,
    p99: Rounds,
    commits: Rounds,
}

impl Line {
    fn add(&mut self, round: &Round) {
        self.rate.push(round.rate());
        self.p50.push(percentile(&round.took, 50.0));
        self.p99.push(percentile(&round.took, 99.0));
        self.commits.push(round.commits);
    }

    fn row(&self, clients: usize, what: &str) -> Vec<String> {
        let commits = self.commits.median();
        vec![
            clients.to_string(),
            what.to_owned(),
            self.rate.cell(),
            short(self.rate.median() * STEPS as f64),
            short(self.p50.median()),
            short(self.p99.median()),
            if commits.is_nan() { "-".to_owned() } else { short(commits) },
        ]
    }
}

/// All numbers of clients, one after the other, and at each of them both in turns.
async fn compare(mut dbos: Option<Dbos>) {
    let (time, rounds) = (Duration::from_secs(setting("SECONDS", 5) as u64), setting("ROUNDS", 3));
    let (mut rows, mut ratios) = (Vec::new(), Vec::new());
    for clients in [1, 8, 64] {
        let (mut own, mut peer, mut ratio) = (Line::default(), Line::default(), Rounds::default());
        for _ in 0..rounds {
            let round = ours(clients, time).await;
            own.add(&round);
            if let Some(dbos) = &mut dbos {
                let beside = theirs(dbos, clients, time);
                ratio.push(round.rate() / beside.rate());
                peer.add(&beside);
            }
        }
        rows.push(own.row(clients, "Perennial"));
        if dbos.is_some() {
            rows.push(peer.row(clients, "DBOS on PostgreSQL"));
            ratios.push((clients, ratio));
        }
    }
    let head = ["clients", "what", "queries/s", "steps/s", "p50 ms", "p99 ms", "commits a query"];
    print(&head, &rows);
    for (clients, ratio) in ratios {
        println!("{clients} clients, durable steps/s of DBOS: {}", ratio.cell());
        expect(&format!("{clients} clients, of DBOS"), ratio.median(), 5.0);
    }
}

fn main() {
    let threads = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    threads.block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("postgres");
        std::fs::create_dir(&database).unwrap();
        // The server runs as another user, who needs the way to its directory.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(dir.path(), open).unwrap();
        let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dbos");
        let alone = setting("ONLY_OURS", 0) != 0;
        let dbos = if alone { None } else { Dbos::start(&venv, &database).await };
        if dbos.is_none() {
            println!("NOT INSTALLED or left out, so not measured: DBOS (python3, postgresql)");
        }
        compare(dbos).await;
    });
}
