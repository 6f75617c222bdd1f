//! DBOS on PostgreSQL: durable workflows in Python, whose steps are rows of a database.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use crate::postgres::Postgres;
use crate::process::find;

/// What is installed, from the Python package index.
const PACKAGES: [&str; 2] = ["dbos==3.4.0", "psycopg[binary]==3.3.9"];
/// The workflows, and the clients that wait for them.
const STEPS: &str = include_str!("dbos_steps.py");

/// Processes that run workflows. An interpreter of Python uses one core, so there is one for each of two.
pub const PROCESSES: usize = 2;

/// Python with DBOS in it, and a database.
#[derive(Debug)]
pub struct Dbos {
    processes: Vec<Process>,
    _postgres: Postgres,
}

/// A process that runs workflows; it is killed when this is dropped.
#[derive(Debug)]
struct Process {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Dbos {
    /// Installs it in `venv`, if it is not there, and starts it with a database in `dir`; none if Python,
    /// its package index or PostgreSQL is not there.
    pub async fn start(venv: &Path, dir: &Path) -> Option<Self> {
        let python = install(venv)?;
        let postgres = Postgres::start(dir).await?;
        let url = postgres.url("bench");
        // One after the other: the first one makes the tables.
        let processes = (0..PROCESSES).map(|number| Process::start(&python, &url, number));
        let processes = processes.collect::<Option<_>>()?;
        Some(Self { processes, _postgres: postgres })
    }

    /// Has clients wait for one workflow after the other for `time`; returns the milliseconds that each
    /// workflow took.
    pub fn measure(&mut self, clients: usize, time: Duration) -> Vec<f64> {
        let busy = self.processes.len().min(clients);
        for (number, process) in self.processes.iter_mut().take(busy).enumerate() {
            // What cannot be shared out evenly goes to the first ones.
            let share = clients / busy + usize::from(number < clients % busy);
            writeln!(process.orders, "{share} {}", time.as_secs_f64()).unwrap();
        }
        let answers = self.processes.iter_mut().take(busy).map(Process::line);
        let lines: Vec<String> = answers.collect();
        lines.iter().flat_map(|line| line.split_whitespace()).map(|t| t.parse().unwrap()).collect()
    }
}

impl Process {
    fn start(python: &Path, url: &str, number: usize) -> Option<Self> {
        let mut command = Command::new(python);
        command.args(["-c", STEPS, url, &number.to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (orders, out) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut process = Self { child, orders, answers: BufReader::new(out) };
        (process.line().trim() == "ready").then_some(process)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line
    }
}

/// The interpreter of an environment with the packages; none if it cannot be made.
fn install(venv: &Path) -> Option<PathBuf> {
    let python = venv.join("bin/python");
    let done = |command: &mut Command| command.status().is_ok_and(|status| status.success());
    if !python.is_file()
        && !done(Command::new(find("python3", &[])?).args(["-m", "venv"]).arg(venv))
    {
        return None;
    }
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    done(Command::new(&python).args(pip).args(PACKAGES)).then_some(python)
}
