//! SQL over ten million rows of Parquet through the whole path of a query (taken in, planned, its step durable, asked
//! of the process, answered, durable), beside the Python packages of DataFusion and DuckDB on the same file, in turns.
//!
//! `cargo build --release -p perennial-sql`, then `cargo bench -p perennial-bench --bench sql`. The packages are
//! installed into `sql-peers` in the target directory, where the file is made too, once. `ROUNDS` (default 9) of each.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark ends with a panic where it cannot go on, and reads the clock"
)]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use perennial_bench::table::{print, setting};
use perennial_query::admission::{ADMISSION, Admission, AdmissionMessage, Admitted};
use perennial_query::config::Config;
use perennial_query::json::Json;
use perennial_query::metrics::EVENTS;
use perennial_query::plan::{Plan, Step, ToolCall, Work};
use perennial_query::record::{Outcome, QUERIES, QueryStatus, Submission};
use perennial_query::schedule::Definitions;
use perennial_query::tool::Toolbox;
use perennial_query::tools::sql;
use perennial_query::tree::tree;
use perennial_runtime::{Options, Runtime, SystemClock};
use perennial_store::{SledBackend, SledOptions};
use serde_json::json;
use tokio::sync::watch;

/// For the acceptance of one query.
const PATIENCE: Duration = Duration::from_secs(60);

/// About a second's work, and next to none.
const QUERIES_ASKED: [(&str, &str); 2] = [
    (
        "long",
        "SELECT k, count(*) AS n, sum(v) AS s, avg(v) AS a, max(t) AS m FROM t GROUP BY k ORDER BY s DESC, k LIMIT 10",
    ),
    ("small", "SELECT count(*) AS n FROM t"),
];

/// Makes the file: ten million rows, a million keys.
const MAKE: &str = "
import duckdb, sys
duckdb.sql(\"\"\"COPY (SELECT i AS id, (i * 7919) % 1000003 AS k, sin(i) * 1000 AS v, 'text ' || (i % 1000) AS t
FROM range(10000000) r(i)) TO '\"\"\" + sys.argv[1] + \"' (FORMAT parquet, COMPRESSION snappy)\")
";

/// Answers queries line by line with the seconds that each took.
const PEER: &str = "
import sys, time
path = sys.argv[2]
if sys.argv[1] == 'datafusion':
    import datafusion
    context = datafusion.SessionContext()
    context.register_parquet('t', path)
    run = lambda sql: context.sql(sql).to_pylist()
else:
    import duckdb
    connection = duckdb.connect()
    connection.execute(\"CREATE VIEW t AS SELECT * FROM '\" + path + \"'\")
    run = lambda sql: connection.execute(sql).fetchall()
for sql in sys.stdin:
    began = time.perf_counter()
    run(sql)
    print(time.perf_counter() - began, flush=True)
";

/// Where the programs of this build are.
fn target() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.ancestors().find(|folder| folder.ends_with("release")).unwrap().to_owned()
}

fn run(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}

/// The Python of the peers, and the file that all read. Both are made once.
fn prepare(folder: &Path) -> (PathBuf, PathBuf) {
    let (python, file) = (folder.join("bin/python"), folder.join("data/t.parquet"));
    if !python.exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(folder));
        run(Command::new(&python).args(["-m", "pip", "install", "-q", "duckdb", "datafusion"]));
    }
    if !file.exists() {
        std::fs::create_dir_all(folder.join("data")).unwrap();
        let new = folder.join("new.parquet");
        run(Command::new(&python).args(["-c", MAKE]).arg(&new));
        std::fs::rename(new, &file).unwrap();
    }
    (python, file)
}

/// A peer that waits for queries.
struct Peer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Peer {
    fn start(python: &Path, name: &str, file: &Path) -> Self {
        let mut command = Command::new(python);
        command.args(["-c", PEER, name]).arg(file).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, input, output: BufReader::new(output) }
    }

    fn ask(&mut self, sql: &str) -> f64 {
        writeln!(self.input, "{sql}").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().parse().unwrap()
    }

    fn end(self) {
        let Self { mut child, input, .. } = self;
        drop(input);
        child.wait().unwrap();
    }
}

/// A node that answers queries, and what rings when something has happened in one.
async fn start(dir: &Path, directory: &Path) -> (Runtime, watch::Receiver<u64>) {
    let backend = SledBackend::open(dir, SledOptions::default()).unwrap();
    let mut options = Options::new(Arc::new(backend), Arc::new(SystemClock));
    let (ringer, bell) = watch::channel(0);
    options.observer = Arc::new(move |observation| {
        if observation.metric == EVENTS {
            ringer.send_modify(|rung| *rung += 1);
        }
    });
    let tables = json!([{"name": "t", "path": "t.parquet", "access": [{"roles": ["*"]}]}]);
    let sql = sql::Config {
        directory: directory.to_owned(),
        tables: serde_json::from_value(tables).unwrap(),
        memory_bytes: 4 << 30,
        ..sql::Config::default()
    };
    let config = Config::default();
    let toolbox = sql::add(Toolbox::default(), &sql, &config.roles, &target()).unwrap();
    let roles = Arc::new(config.roles.clone());
    let tree = tree(config, roles, toolbox, Definitions::default());
    (Runtime::start(options, tree).await.unwrap(), bell)
}

/// One query, from its submission to its end, in seconds.
async fn ask(runtime: &Runtime, bell: &mut watch::Receiver<u64>, sql: &str) -> f64 {
    let began = Instant::now();
    let arguments = Json(json!({ "query": sql }));
    let work = Work::Call(ToolCall { tool: "sql".to_owned(), arguments });
    let plan =
        Plan { name: "sql".to_owned(), steps: vec![Step::new("a", work)], ..Plan::default() };
    let submission = Submission { plan, inputs: Json(json!({})), ..Submission::default() };
    let message = AdmissionMessage::Submit(Box::new(submission));
    let admitted = runtime.ask::<Admission, Admitted>(ADMISSION, &message, PATIENCE).await;
    let Ok(Admitted::Accepted { id, .. }) = admitted else { panic!("{admitted:?}") };
    let tables = runtime.tables();
    loop {
        bell.mark_unchanged();
        let row = tables.get(&QUERIES, id.as_str()).unwrap();
        if let Some(row) = row.filter(|row| row.status == QueryStatus::Finished) {
            assert_eq!(row.outcome, Some(Outcome::Succeeded), "{}", row.reason);
            return began.elapsed().as_secs_f64();
        }
        bell.changed().await.unwrap();
    }
}

fn median(mut took: Vec<f64>) -> f64 {
    took.sort_by(f64::total_cmp);
    took[took.len() / 2] * 1e3
}

async fn measure(rounds: usize) -> Vec<Vec<String>> {
    let folder = target().join("sql-peers");
    let (python, file) = prepare(&folder);
    let dir = tempfile::tempdir().unwrap();
    let (runtime, mut bell) = start(dir.path(), file.parent().unwrap()).await;
    let mut datafusion = Peer::start(&python, "datafusion", &file);
    let mut duckdb = Peer::start(&python, "duckdb", &file);
    let mut rows = Vec::new();
    for (name, sql) in QUERIES_ASKED {
        let mut took = [Vec::new(), Vec::new(), Vec::new()];
        // The first round warms all of them up, and does not count.
        for round in 0..=rounds {
            let times = [ask(&runtime, &mut bell, sql).await, datafusion.ask(sql), duckdb.ask(sql)];
            if round > 0 {
                took.iter_mut().zip(times).for_each(|(all, one)| all.push(one));
            }
        }
        let [ours, datafusion, duckdb] = took.map(median);
        let more = ours - datafusion;
        rows.push(vec![
            name.to_owned(),
            format!("{ours:.1}"),
            format!("{datafusion:.1}"),
            format!("{duckdb:.1}"),
            format!("{more:.1}"),
            format!("{:.1} %", more / datafusion * 100.0),
        ]);
    }
    datafusion.end();
    duckdb.end();
    runtime.shutdown().await.unwrap();
    rows
}

fn main() {
    let rounds = setting("ROUNDS", 9);
    let threads = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let rows = threads.block_on(measure(rounds));
    let head = ["query", "perennial ms", "datafusion ms", "duckdb ms", "more ms", "more"];
    print(&head, &rows);
}
