//! Queries from their acceptance to their end: a plan of three cheap tools one after the other, from as many
//! clients at a time as it says, each of which waits for the end of one before it asks the next.
//!
//! `cargo bench -p perennial-bench --bench queries`. `SECONDS` (default 5) for each number of clients.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark ends with a panic where it cannot go on, and reads the clock"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use perennial_bench::figures::Figures;
use perennial_bench::table::{print, setting, short};
use perennial_query::admission::{ADMISSION, Admission, AdmissionMessage, Admitted};
use perennial_query::config::Config;
use perennial_query::json::Json;
use perennial_query::metrics::EVENTS;
use perennial_query::plan::{Plan, Step, ToolCall, ValueType, Work};
use perennial_query::record::{Outcome, QUERIES, QueryStatus, Submission};
use perennial_query::roles::Roles;
use perennial_query::schedule::Definitions;
use perennial_query::tool::{Call, Parameter, Tool, ToolAnswer, ToolError, ToolSpec, Toolbox};
use perennial_query::tree::tree;
use perennial_query::worker::Bounds;
use perennial_runtime::{Options, Runtime, SystemClock};
use perennial_store::{SledBackend, SledOptions};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Steps of each query.
const STEPS: usize = 3;
/// For the acceptance of one query.
const PATIENCE: Duration = Duration::from_secs(60);

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
    let backend = SledBackend::open(dir, SledOptions::default()).unwrap();
    let mut options = Options::new(Arc::new(backend), Arc::new(SystemClock));
    let (ringer, bell) = watch::channel(0);
    options.observer = Arc::new(move |observation| {
        if observation.metric == EVENTS {
            ringer.send_modify(|rung| *rung += 1);
        }
    });
    let spec = ToolSpec::new("echo", "Says it again.");
    let text = Parameter::required("text", ValueType::String, "What to say.");
    let toolbox = Toolbox::default().with(Echo(spec.parameter(text)));
    let bounds = Bounds { concurrency: clients, queue: 10_000 };
    let groups = [("echo".to_owned(), bounds)].into();
    let config = Config { max_concurrent: clients, groups, ..Config::default() };
    let tree = tree(config, Arc::new(Roles::default()), toolbox, Definitions::default());
    (Runtime::start(options, tree).await.unwrap(), bell)
}

/// One query, from its submission to its end.
async fn ask(runtime: &Runtime, bell: &mut watch::Receiver<u64>) -> Duration {
    let began = Instant::now();
    let submission = Submission { plan: plan(), inputs: Json(json!({})), ..Submission::default() };
    let message = AdmissionMessage::Submit(Box::new(submission));
    let admitted = runtime.ask::<Admission, Admitted>(ADMISSION, &message, PATIENCE).await;
    let Ok(Admitted::Accepted { id, .. }) = admitted else { panic!("{admitted:?}") };
    let tables = runtime.tables();
    loop {
        bell.mark_unchanged();
        let row = tables.get(&QUERIES, id.as_str()).unwrap();
        if let Some(row) = row.filter(|row| row.status == QueryStatus::Finished) {
            assert_eq!(row.outcome, Some(Outcome::Succeeded), "{}", row.reason);
            return began.elapsed();
        }
        bell.changed().await.unwrap();
    }
}

async fn measure(clients: usize, time: Duration) -> Vec<String> {
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
                took.push(ask(&runtime, &mut bell).await);
            }
            took
        });
    }
    let mut took = asking.join_all().await.concat();
    let (elapsed, commits) = (began.elapsed().as_secs_f64(), figures.commits() - commits);
    took.sort();
    let at = |share: usize| took[(took.len() - 1) * share / 100].as_secs_f64() * 1e3;
    let rate = took.len() as f64 / elapsed;
    runtime.shutdown().await.unwrap();
    vec![
        clients.to_string(),
        short(rate),
        short(rate * STEPS as f64),
        short(at(50)),
        short(at(99)),
        short(commits as f64 / took.len() as f64),
    ]
}

fn main() {
    let time = Duration::from_secs(setting("SECONDS", 5) as u64);
    let threads = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    threads.block_on(async {
        let mut rows = Vec::new();
        for clients in [1, 8, 64] {
            rows.push(measure(clients, time).await);
        }
        let head = ["clients", "queries/s", "steps/s", "p50 ms", "p99 ms", "commits a query"];
        print(&head, &rows);
    });
}
