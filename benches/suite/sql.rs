//! SQL over ten million rows of Parquet through the whole path of a query (taken in, planned, its step durable, asked
//! of the process, answered, durable), beside the Python packages of DataFusion and DuckDB on the same file, in turns.
//!
//! `cargo build --release -p perennial-sql`, then `cargo bench -p perennial-bench --bench sql`. The packages are
//! installed into `sql-peers` in the target directory, where the file is made too, once. `ROUNDS` (default 21) of each.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark ends with a panic where it cannot go on, and reads the clock"
)]

mod asking;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use perennial_bench::table::{Rounds, expect_most, print, setting};
use perennial_query::config::Config;
use perennial_query::json::Json;
use perennial_query::plan::{Plan, Step, ToolCall, Work};
use perennial_query::schedule::Definitions;
use perennial_query::tool::Toolbox;
use perennial_query::tools::sql;
use perennial_query::tree::tree;
use perennial_runtime::Runtime;
use serde_json::json;
use tokio::sync::watch;

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
    let (options, bell) = asking::options(dir);
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

fn plan(sql: &str) -> Plan {
    let arguments = Json(json!({ "query": sql }));
    let work = Work::Call(ToolCall { tool: "sql".to_owned(), arguments });
    Plan { name: "sql".to_owned(), steps: vec![Step::new("a", work)], ..Plan::default() }
}

/// The table, and of each query how many milliseconds and per cent ours takes more than DataFusion.
async fn measure(rounds: usize) -> (Vec<Vec<String>>, Vec<(f64, f64)>) {
    let folder = target().join("sql-peers");
    let (python, file) = prepare(&folder);
    let dir = tempfile::tempdir().unwrap();
    let (runtime, mut bell) = start(dir.path(), file.parent().unwrap()).await;
    let mut datafusion = Peer::start(&python, "datafusion", &file);
    let mut duckdb = Peer::start(&python, "duckdb", &file);
    let (mut rows, mut overhead) = (Vec::new(), Vec::new());
    for (name, sql) in QUERIES_ASKED {
        let mut took: [Rounds; 3] = Default::default();
        // The first round warms all of them up, and does not count.
        for round in 0..=rounds {
            let mut times = [0.0; 3];
            // Each goes first as often as the others: what one leaves behind slows down the next.
            for turn in 0..times.len() {
                let whose = (turn + round) % times.len();
                times[whose] = match whose {
                    0 => asking::ask(&runtime, &mut bell, plan(sql)).await.as_secs_f64(),
                    1 => datafusion.ask(sql),
                    _ => duckdb.ask(sql),
                };
            }
            if round > 0 {
                took.iter_mut().zip(times).for_each(|(all, one)| all.push(one));
            }
        }
        let [ours, datafusion, duckdb] = took.map(|rounds| rounds.median() * 1e3);
        let more = ours - datafusion;
        overhead.push((more, more / datafusion * 100.0));
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
    (rows, overhead)
}

fn main() {
    let rounds = setting("ROUNDS", 21);
    let threads = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (rows, overhead) = threads.block_on(measure(rounds));
    let head = ["query", "perennial ms", "datafusion ms", "duckdb ms", "more ms", "more"];
    print(&head, &rows);
    expect_most("the long query, per cent more than DataFusion", overhead[0].1, 10.0);
    expect_most("the small query, milliseconds more than DataFusion", overhead[1].0, 20.0);
}
