//! A node whose tool `sql` asks the process, and queries of it.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use perennial_query::admission::{ADMISSION, Admission, AdmissionMessage, Admitted};
use perennial_query::config::Config;
use perennial_query::inputs;
use perennial_query::json::Json;
use perennial_query::pipeline;
use perennial_query::record::{QUERIES, QueryRow, QueryStatus, STEPS, StepRow, Submission};
use perennial_query::schedule::Definitions;
use perennial_query::tool::{Catalogue, Identity, Toolbox};
use perennial_query::tools::{data, sql};
use perennial_query::tree::tree;
use perennial_runtime::{Options, Runtime, SystemClock, owner_prefix};
use perennial_sql_protocol::Table;
use perennial_store::MemoryBackend;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::process::{Data, ENDLESS, MEMORY, PATIENCE, PROGRAM, numbers, table};

pub(crate) struct Node {
    runtime: Runtime,
    catalogue: Catalogue,
}

/// What came of a query.
pub(crate) struct Ended {
    pub(crate) row: QueryRow,
    pub(crate) steps: Vec<StepRow>,
}

impl Ended {
    pub(crate) fn outputs(&self) -> &Value {
        assert_eq!(self.row.outcome.unwrap().as_str(), "succeeded", "{:?}", self.steps);
        &self.row.outputs.0
    }

    pub(crate) fn answer(&self) -> &str {
        &self.row.answer.as_ref().unwrap().text
    }
}

impl Node {
    pub(crate) async fn start(data: &Data, tables: Vec<Table>) -> Self {
        let sql = sql::Config {
            directory: data.path().to_owned(),
            tables,
            program: PROGRAM.into(),
            memory_bytes: MEMORY,
            timeout: PATIENCE,
        };
        // Deadlines are not what is looked at, and the engine is slow without optimisation.
        let config = Config { timeout: PATIENCE * 2, ..Config::default() };
        let toolbox = data::add(Toolbox::default());
        let toolbox = sql::add(toolbox, &sql, &config.roles, &PathBuf::new()).unwrap();
        let catalogue = toolbox.catalogue();
        let tree = tree(config.clone(), Arc::new(config.roles), toolbox, Definitions::default());
        let options = Options::new(Arc::new(MemoryBackend::new()), Arc::new(SystemClock));
        Self { runtime: Runtime::start(options, tree).await.unwrap(), catalogue }
    }

    pub(crate) async fn begin(&self, text: &str, given: Value, asks: &Identity) -> String {
        let plan = pipeline::read(text, &self.catalogue).unwrap().plan;
        let inputs = Json(inputs::bind(&plan, &given).unwrap());
        let identity = asks.clone();
        let submission = Submission { plan, inputs, identity, ..Submission::default() };
        let message = AdmissionMessage::Submit(Box::new(submission));
        let admitted = self.runtime.ask::<Admission, Admitted>(ADMISSION, &message, PATIENCE);
        let Admitted::Accepted { id, .. } = admitted.await.unwrap() else { panic!() };
        id
    }

    pub(crate) async fn ended(&self, id: &str) -> Ended {
        let tables = self.runtime.tables();
        let row = until("a query ends", || {
            let row = tables.get(&QUERIES, id).unwrap();
            row.filter(|row| row.status == QueryStatus::Finished)
        });
        let row = row.await;
        let steps = tables.scan(&STEPS, &owner_prefix(id), 1_000).unwrap();
        Ended { row, steps }
    }

    pub(crate) async fn run(&self, text: &str, given: Value) -> Ended {
        let id = self.begin(text, given, &coach()).await;
        self.ended(&id).await
    }
}

pub(crate) fn coach() -> Identity {
    Identity { name: "kim".into(), role: "coach".into(), ..Identity::default() }
}

async fn until<T>(what: &str, holds: impl Fn() -> Option<T>) -> T {
    let waited = timeout(PATIENCE * 2, async {
        loop {
            if let Some(found) = holds() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("waited for: {what}"))
}

/// The process of this test's node: its own child of that name.
fn process() -> Option<i32> {
    let children = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let number: i32 = entry.unwrap().file_name().to_str()?.parse().ok()?;
        let about = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
        let (name, rest) = about.split_once(") ")?;
        let mut rest = rest.split(' ');
        let (state, parent) = (rest.next()?, rest.next()?);
        let own = parent == std::process::id().to_string() && state != "Z";
        (own && name.ends_with("(perennial-sql")).then_some(number)
    });
    children.into_iter().next()
}

const COUNT: &str = "
name: count
steps:
  - {id: count, tool: sql, arguments: {query: 'SELECT count(*) FROM n'}}
outputs:
  count: '{{ steps.count.result.rows[0][0] }}'
";

/// Work without end, of which each attempt may take as long as is given.
fn endless(limit: &str, attempts: u32) -> String {
    format!(
        "
name: endless
steps:
  - id: endless
    tool: sql
    timeout: {limit}
    retry: {{attempts: {attempts}, base: 10ms}}
    arguments:
      query: {ENDLESS}
"
    )
}

/// Asks for more memory at once than the process may have.
fn greedy(attempts: u32) -> String {
    format!(
        "
name: greedy
steps:
  - id: greedy
    tool: sql
    retry: {{attempts: {attempts}, base: 10ms}}
    arguments: {{query: \"SELECT length(repeat('x', 1900000000)) FROM n LIMIT 1\"}}
"
    )
}

#[tokio::test]
async fn a_query_without_end_costs_its_time_and_nothing_else() {
    let data = numbers();
    let node = Node::start(&data, vec![table("n", "n.csv")]).await;
    let endless = node.begin(&endless("2s", 1), json!({}), &coach()).await;
    let counted = node.run(COUNT, json!({})).await;
    assert_eq!(*counted.outputs(), json!({"count": 2_000}));
    let ended = node.ended(&endless).await;
    assert_eq!(ended.row.outcome.unwrap().as_str(), "failed");
    let error = ended.steps[0].error.as_ref().unwrap();
    assert_eq!(error.kind.as_str(), "timeout", "{error}");
    assert_eq!(*node.run(COUNT, json!({})).await.outputs(), json!({"count": 2_000}));
}

#[tokio::test]
async fn a_process_that_dies_is_replaced_and_what_was_lost_with_it_is_asked_again() {
    let data = numbers();
    let node = Node::start(&data, vec![table("n", "n.csv")]).await;
    node.run(COUNT, json!({})).await;
    let first = process().unwrap();
    let id = node.begin(&endless("40s", 2), json!({}), &coach()).await;
    let tables = node.runtime.tables();
    let attempts = |wanted: u32| {
        let tables = tables.clone();
        let id = id.clone();
        async move {
            until("an attempt begins", || {
                let rows = tables.scan(&STEPS, &owner_prefix(&id), 10).unwrap();
                rows.into_iter().find(|row| row.attempts >= wanted)
            })
            .await
        }
    };
    attempts(1).await;
    let dies = rustix::process::Pid::from_raw(first).unwrap();
    rustix::process::kill_process(dies, rustix::process::Signal::KILL).unwrap();
    attempts(2).await;
    let second = until("another process is there", || process().filter(|pid| *pid != first)).await;
    assert_ne!(second, first);
    assert_eq!(*node.run(COUNT, json!({})).await.outputs(), json!({"count": 2_000}));
}

#[tokio::test]
async fn memory_that_is_not_there_ends_the_process_and_not_the_node() {
    let data = numbers();
    let node = Node::start(&data, vec![table("n", "n.csv")]).await;
    let ended = node.run(&greedy(2), json!({})).await;
    let step = &ended.steps[0];
    let error = step.error.as_ref().unwrap();
    assert_eq!((error.kind.as_str(), step.attempts), ("unavailable", 2), "{error}");
    assert!(error.message.contains("memory allocation"), "{error}");
    assert_eq!(*node.run(COUNT, json!({})).await.outputs(), json!({"count": 2_000}));
}

#[tokio::test]
async fn however_often_the_process_is_ended_by_queries_the_next_one_is_answered() {
    let data = numbers();
    let node = Node::start(&data, vec![table("n", "n.csv")]).await;
    let ended = node.run(&greedy(6), json!({})).await;
    assert_eq!(ended.steps[0].attempts, 6);
    let counted = node.run(COUNT, json!({})).await;
    assert_eq!(*counted.outputs(), json!({"count": 2_000}));
    assert_eq!(counted.steps[0].attempts, 1);
}

#[tokio::test]
async fn a_query_of_nobody_who_may_read_is_denied_and_not_tried_again() {
    let data = numbers();
    let mut hidden = table("n", "n.csv");
    hidden.access[0].roles = vec!["analyst".to_owned()];
    let node = Node::start(&data, vec![hidden]).await;
    let ended = node.run(COUNT, json!({})).await;
    let step = &ended.steps[0];
    assert_eq!((step.error.as_ref().unwrap().kind.as_str(), step.attempts), ("denied", 1));
}
