//! A process, the files it reads, and what is asked of it.

use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::parquet::arrow::ArrowWriter;
use perennial_sql_protocol::{
    Answer, Ask, FromWorker, Grant, Refusal, RefusalKind, Setup, Table, ToWorker, Who, receive,
    send,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_perennial-sql");

/// The engine is slow without optimisation, and the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(150);

pub(crate) const MEMORY: u64 = 1024 * 1024 * 1024;

/// Work without end that needs no more memory the longer it goes on.
pub(crate) const ENDLESS: &str =
    "WITH RECURSIVE r AS (SELECT 0 AS n UNION ALL SELECT n + 1 FROM r) SELECT max(n) FROM r";

/// A folder of files.
pub(crate) struct Data(TempDir);

impl Data {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file as another one of the same name.
    pub(crate) fn write(&self, name: &str, text: &str) -> &Self {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let new = path.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, path).unwrap();
        self
    }

    pub(crate) fn parquet(&self, name: &str, columns: Vec<(&str, ArrayRef)>) -> &Self {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let new = self.path().join("new");
        let file = File::create(&new).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        fs::rename(new, self.path().join(name)).unwrap();
        self
    }
}

/// A file of numbers, `n.csv`, from 0 to 1999.
pub(crate) fn numbers() -> Data {
    let data = Data::new();
    let lines: String = (0..2_000).map(|n| format!("{n}\n")).collect();
    data.write("n.csv", &format!("n\n{lines}"));
    data
}

/// A column for a Parquet file.
pub(crate) fn column<A: datafusion::arrow::array::Array + 'static>(values: A) -> ArrayRef {
    Arc::new(values)
}

/// A table that every role may read wholly.
pub(crate) fn table(name: &str, path: &str) -> Table {
    let access = vec![grant(&["*"])];
    Table { name: name.into(), path: path.into(), access, ..Table::default() }
}

pub(crate) fn grant(roles: &[&str]) -> Grant {
    let roles = roles.iter().map(|role| (*role).to_owned()).collect();
    Grant { roles, ..Grant::default() }
}

pub(crate) fn who(name: &str, role: &str, teams: &[&str]) -> Who {
    let teams = teams.iter().map(|team| (*team).to_owned()).collect();
    Who { name: name.into(), role: role.into(), teams }
}

/// The process.
pub(crate) struct Worker {
    pub(crate) child: Child,
    pub(crate) input: ChildStdin,
    pub(crate) output: ChildStdout,
    last: u64,
}

impl Worker {
    pub(crate) async fn start(data: &Data, tables: Vec<Table>) -> Self {
        Self::within(MEMORY, data, tables).await
    }

    pub(crate) async fn within(memory_bytes: u64, data: &Data, tables: Vec<Table>) -> Self {
        let mut command = Command::new(PROGRAM);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut worker = Self { child, input, output, last: 0 };
        let setup = Setup { directory: data.path().to_owned(), tables, memory_bytes };
        worker.say(&ToWorker::Setup(setup)).await;
        assert_eq!(worker.hear().await, Some(FromWorker::Ready));
        worker
    }

    pub(crate) async fn say(&mut self, what: &ToWorker) {
        send(&mut self.input, what).await.unwrap();
    }

    pub(crate) async fn hear(&mut self) -> Option<FromWorker> {
        timeout(PATIENCE, receive(&mut self.output)).await.expect("it says something").unwrap()
    }

    /// Says a query without waiting for what comes of it.
    pub(crate) async fn begin(&mut self, who: &Who, sql: &str, rows: usize) -> u64 {
        self.last += 1;
        let (id, sql, who) = (self.last, sql.to_owned(), who.clone());
        let ask = Ask { id, sql, parameters: Vec::new(), rows, bytes: 200_000, who };
        self.say(&ToWorker::Ask(ask)).await;
        id
    }

    /// Asks with values for `$1` and so on.
    pub(crate) async fn ask_with(
        &mut self,
        sql: &str,
        parameters: Value,
    ) -> Result<Answer, Refusal> {
        self.last += 1;
        let (id, sql, who) = (self.last, sql.to_owned(), Who::default());
        let parameters = parameters.as_array().unwrap().clone();
        self.say(&ToWorker::Ask(Ask { id, sql, parameters, rows: 10, bytes: 200_000, who })).await;
        self.answer(id).await
    }

    pub(crate) async fn ask(&mut self, who: &Who, sql: &str) -> Result<Answer, Refusal> {
        let id = self.begin(who, sql, 1_000).await;
        self.answer(id).await
    }

    pub(crate) async fn answer(&mut self, id: u64) -> Result<Answer, Refusal> {
        let said = self.hear().await.expect("it is still there");
        match &said {
            FromWorker::Answered { id: of, answer } if *of == id => Ok(answer.clone()),
            FromWorker::Refused { id: of, refusal } if *of == id => Err(refusal.clone()),
            FromWorker::Answered { .. }
            | FromWorker::Refused { .. }
            | FromWorker::Ready
            | FromWorker::Cancelled { .. }
            | FromWorker::Pong => panic!("{said:?}"),
        }
    }

    /// The rows of an answer, for somebody of whom nothing is known.
    pub(crate) async fn rows(&mut self, sql: &str) -> Vec<Vec<Value>> {
        self.ask(&Who::default(), sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}")).rows
    }

    pub(crate) async fn refused(&mut self, who: &Who, sql: &str) -> (RefusalKind, String) {
        match self.ask(who, sql).await {
            Ok(answer) => panic!("{sql} was answered: {answer:?}"),
            Err(refusal) => (refusal.kind, refusal.message),
        }
    }
}
