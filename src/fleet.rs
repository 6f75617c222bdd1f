//! The tool `fleet`: what the node knows of its containers, what was wrong with them, what was done, and how
//! its own actors are. Between the two halves of the product, which do not know each other.

use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::future::BoxFuture;
use humantime_serde::re::humantime::parse_duration;
use perennial_healing::alert::{INCIDENTS, Incident};
use perennial_healing::monitor::{CONTAINERS, ContainerRow};
use perennial_healing::responder::audit::{ACTIONS, AuditEntry};
use perennial_query::plan::{ErrorKind, ValueType};
use perennial_query::tool::{Call, Citation, Parameter, Tool, ToolAnswer, ToolError, ToolSpec};
use perennial_runtime::{
    Clock, Runtime, StoreError, SystemClock, TableReader, Timestamp, TreeNode,
};
use serde_json::{Value, json};

use crate::http::label_of;

/// What can be asked about.
const ABOUT: [&str; 4] = ["containers", "incidents", "actions", "actors"];

/// Rows of an answer unless the caller says otherwise, and at most.
const USUAL: u64 = 50;
const MOST: u64 = 500;

/// The node, once it runs.
pub(crate) type Running = Arc<OnceLock<Runtime>>;

/// The tool.
#[derive(Debug)]
pub(crate) struct Fleet {
    spec: ToolSpec,
    running: Running,
}

/// What is asked for.
struct Asked {
    /// Nothing that is older.
    since: Timestamp,
    container: Option<String>,
    status: Option<String>,
    severity: Option<String>,
    limit: usize,
}

impl Fleet {
    pub(crate) fn new(running: Running) -> Self {
        let text = |name, what| Parameter::optional(name, ValueType::String, what);
        let mut spec = ToolSpec::new("fleet", "Tells what the node knows of its containers.")
            .parameter(Parameter::required("about", ValueType::String, "What of it.").of(&ABOUT))
            .parameter(text("since", "How far back, such as 24h; only of incidents and actions."))
            .parameter(text("container", "Only of the container of this name or id."))
            .parameter(text("status", "Only those in this state."))
            .parameter(text("severity", "Only incidents this bad."))
            .parameter(
                Parameter::optional("limit", ValueType::Integer, "At most so many, the newest.")
                    .between(1.0, MOST as f64),
            );
        spec.permission = Some("fleet".to_owned());
        Self { spec, running }
    }

    fn answer(&self, arguments: &Value) -> Result<ToolAnswer, ToolError> {
        let away = || ToolError::new(ErrorKind::Unavailable, "the node is starting; ask again");
        let runtime = self.running.get().ok_or_else(away)?;
        let (tables, asked) = (runtime.tables(), Asked::of(arguments)?);
        let unread = |error: StoreError| ToolError::new(ErrorKind::Unavailable, error);
        match arguments["about"].as_str().unwrap_or_default() {
            "containers" => containers(&tables, &asked).map_err(unread),
            "incidents" => incidents(&tables, &asked).map_err(unread),
            "actions" => actions(&tables, &asked).map_err(unread),
            "actors" => Ok(actors(&runtime.tree())),
            other => Err(ToolError::invalid(format!("nothing is known about `{other}`"))),
        }
    }
}

impl Tool for Fleet {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn call<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<ToolAnswer, ToolError>> {
        // Rows are in memory or a page away.
        Box::pin(async move { self.answer(&call.arguments.0) })
    }
}

impl Asked {
    fn of(arguments: &Value) -> Result<Self, ToolError> {
        let text = |name: &str| arguments[name].as_str().map(str::to_owned);
        let back = match arguments["since"].as_str() {
            Some(since) => parse_duration(since).map_err(|error| {
                ToolError::invalid(format!("`since` is no time such as 24h: {error}"))
            })?,
            None => Duration::MAX,
        };
        let now = SystemClock.now().as_micros();
        let back = u64::try_from(back.as_micros()).unwrap_or(u64::MAX);
        let limit = arguments["limit"].as_u64().unwrap_or(USUAL).min(MOST);
        Ok(Self {
            since: Timestamp::from_micros(now.saturating_sub(back)),
            container: text("container"),
            status: text("status"),
            severity: text("severity"),
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
        })
    }

    fn wants_container(&self, name: &str, id: &str) -> bool {
        self.container
            .as_deref()
            .is_none_or(|wanted| wanted == name || (!wanted.is_empty() && id.starts_with(wanted)))
    }
}

fn fits(wanted: Option<&str>, is: &str) -> bool {
    wanted.is_none_or(|wanted| wanted == is)
}

/// The newest of `rows`, each with what it is cited as.
fn listed(mut rows: Vec<(Timestamp, Value, Citation)>, limit: usize) -> ToolAnswer {
    rows.sort_by_key(|(at, _, _)| std::cmp::Reverse(*at));
    let more = rows.len().saturating_sub(limit);
    rows.truncate(limit);
    let (items, citations): (Vec<Value>, Vec<Citation>) =
        rows.into_iter().map(|(_, item, citation)| (item, citation)).unzip();
    let mut answer = ToolAnswer::from(json!({"items": items, "more": more}));
    answer.citations = citations;
    answer
}

fn citation(id: &str, source: &str, place: String) -> Citation {
    Citation { id: id.to_owned(), source: source.to_owned(), place }
}

fn containers(tables: &TableReader, asked: &Asked) -> Result<ToolAnswer, StoreError> {
    let mut rows = Vec::new();
    tables.visit(&CONTAINERS, b"", |row: ContainerRow| {
        let (subject, facts) = (&row.subject, &row.facts);
        let state = label_of(&facts.status);
        if asked.wants_container(&subject.name, &subject.id.0)
            && fits(asked.status.as_deref(), &state)
        {
            let item = json!({
                "name": subject.name,
                "id": subject.id.short(),
                "image": subject.image,
                "state": state,
                "exit_code": facts.exit_code,
                "oom_killed": facts.oom_killed,
                "restarts": facts.restart_count,
                "cpu": facts.cpu,
                "memory": facts.memory,
            });
            let cited = citation(subject.id.short(), "container", subject.name.clone());
            rows.push((row.updated_at, item, cited));
        }
        ControlFlow::Continue(())
    })?;
    Ok(listed(rows, asked.limit))
}

fn incidents(tables: &TableReader, asked: &Asked) -> Result<ToolAnswer, StoreError> {
    let mut rows = Vec::new();
    tables.visit(&INCIDENTS, b"", |row: Incident| {
        let subject = &row.subject;
        if row.known
            && row.updated_at >= asked.since
            && asked.wants_container(&subject.name, &subject.id.0)
            && fits(asked.status.as_deref(), row.status.as_str())
            && fits(asked.severity.as_deref(), row.severity.as_str())
        {
            rows.push((
                row.updated_at,
                incident(&row),
                citation(&row.id.0, "incident", subject.name.clone()),
            ));
        }
        ControlFlow::Continue(())
    })?;
    Ok(listed(rows, asked.limit))
}

fn incident(row: &Incident) -> Value {
    let symptoms: Vec<&str> = row.symptoms.iter().map(|symptom| symptom.kind.as_str()).collect();
    let diagnosis = row.diagnosis.as_ref();
    json!({
        "id": row.id.0,
        "container": row.subject.name,
        "severity": row.severity.as_str(),
        "status": row.status.as_str(),
        "opened_at": seconds(row.opened_at),
        "closed_at": row.closed_at.map(seconds),
        "symptoms": symptoms,
        "cause": diagnosis.map(|diagnosis| diagnosis.cause.clone()),
        "action": row.action.as_ref().map(|action| action.as_str()),
        "reason": row.reason,
    })
}

fn actions(tables: &TableReader, asked: &Asked) -> Result<ToolAnswer, StoreError> {
    let mut rows = Vec::new();
    tables.visit(&ACTIONS, b"", |row: AuditEntry| {
        if row.at >= asked.since
            && asked.wants_container(&row.subject.name, &row.subject.id.0)
            && fits(asked.status.as_deref(), row.stage.as_str())
        {
            let item = json!({
                "number": row.number,
                "at": seconds(row.at),
                "action": row.action.as_str(),
                "container": row.subject.name,
                "incident": row.incident.0,
                "stage": row.stage.as_str(),
                "outcome": row.outcome.as_ref().map(|outcome| outcome.as_str()),
                "reason": row.reason,
            });
            let cited =
                citation(&format!("action-{}", row.number), "audit", row.incident.0.clone());
            rows.push((row.at, item, cited));
        }
        ControlFlow::Continue(())
    })?;
    Ok(listed(rows, asked.limit))
}

/// The supervisors, kinds, pools and sensors; of single actors there may be too many.
fn actors(tree: &TreeNode) -> ToolAnswer {
    let (mut items, mut open) = (Vec::new(), vec![tree]);
    while let Some(node) = open.pop() {
        if node.kind == "actor" {
            continue;
        }
        items.push(json!({
            "kind": node.kind,
            "name": node.key,
            "state": node.state,
            "restarts": node.restarts,
            "mailbox_depth": node.mailbox_depth,
            "last_error": node.last_error,
        }));
        open.extend(node.children.iter().rev());
    }
    ToolAnswer::from(json!({"items": items, "more": 0}))
}

/// Seconds since 1970, which expressions can compare.
fn seconds(at: Timestamp) -> u64 {
    at.as_micros() / 1_000_000
}
