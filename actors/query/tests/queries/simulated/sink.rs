//! The world that calls change: what was done to it, seen from outside of every process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::future::BoxFuture;
use perennial_query::plan::{ErrorKind, ValueType};
use perennial_query::tool::{
    Call, Parameter, Tool, ToolAnswer, ToolError, ToolSpec, Toolbox, Trace,
};
use perennial_runtime::SimulatedStore;
use serde_json::json;

/// One place of a plan in one query: the query, the step, the time.
pub(super) type Place = (String, u32, u32);

/// A deed that was done.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Done {
    pub(super) place: Place,
    pub(super) run: u32,
}

#[derive(Clone)]
pub(super) struct Sink {
    held: Arc<Mutex<Held>>,
    store: SimulatedStore,
    /// How long it takes to find out what became of a call.
    looks: Duration,
}

#[derive(Default)]
struct Held {
    done: BTreeMap<String, Done>,
    /// Calls of each place that have failed so far.
    failed: BTreeMap<String, u64>,
    /// Queries of which a cancel was acknowledged and nothing else was wanted since.
    cancelled: BTreeSet<String>,
    wrong: Vec<String>,
}

/// The query, the run, the step, the time and the alternative that a key names.
fn parse(key: &str) -> (String, u32, Place) {
    let parts: Vec<&str> = key.split('/').collect();
    let number = |at: usize| parts[at].parse().unwrap();
    let query = parts[0].to_owned();
    (query.clone(), number(1), (query, number(2), number(3)))
}

impl Sink {
    pub(super) fn new(store: SimulatedStore, looks: Duration) -> Self {
        Self { held: Arc::default(), store, looks }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap()
    }

    pub(super) fn is_cancelled(&self, query: &str) {
        self.lock().cancelled.insert(query.to_owned());
    }

    pub(super) fn has_cancelled(&self) -> bool {
        !self.lock().cancelled.is_empty()
    }

    /// Something else is wanted of it, which may be done from now on.
    pub(super) fn is_wanted(&self, query: &str) {
        self.lock().cancelled.remove(query);
    }

    pub(super) fn wrong(&self) -> Vec<String> {
        self.lock().wrong.clone()
    }

    pub(super) fn is_wrong(&self, what: String) {
        self.lock().wrong.push(what);
    }

    pub(super) fn done(&self) -> Vec<Done> {
        self.lock().done.values().cloned().collect()
    }

    /// What a process does that has died is not done.
    async fn unless_dead(&self) {
        if self.store.has_died() {
            std::future::pending::<()>().await;
        }
    }

    async fn call(&self, call: &Call, changes: bool) -> Result<ToolAnswer, ToolError> {
        self.unless_dead().await;
        let (query, run, place) = parse(&call.key);
        if self.lock().cancelled.contains(&query) {
            self.is_wrong(format!("{} was begun after its query was cancelled", call.key));
        }
        let arguments = &call.arguments.0;
        let wait = |name: &str| Duration::from_millis(arguments[name].as_u64().unwrap_or_default());
        tokio::time::sleep(wait("before")).await;
        self.unless_dead().await;
        if self.fails(&call.label, arguments["fails"].as_u64().unwrap_or_default()) {
            let passes = arguments["passes"] == json!(true);
            let kind = if passes { ErrorKind::Unavailable } else { ErrorKind::Failed };
            return Err(ToolError::new(kind, "it was told to fail"));
        }
        if changes {
            let before = self.lock().done.insert(call.key.clone(), Done { place, run });
            if before.is_some() {
                self.is_wrong(format!("{} was done twice", call.key));
            }
        }
        tokio::time::sleep(wait("after")).await;
        self.unless_dead().await;
        Ok(json!({"done": call.key}).into())
    }

    fn fails(&self, label: &str, times: u64) -> bool {
        let mut held = self.lock();
        let so_far = held.failed.entry(label.to_owned()).or_default();
        *so_far += 1;
        *so_far <= times
    }
}

/// Does things, and shows whether it did, or only looks.
struct Deed {
    spec: ToolSpec,
    sink: Sink,
    shows: bool,
}

impl Tool for Deed {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn call<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<ToolAnswer, ToolError>> {
        Box::pin(self.sink.call(call, self.spec.changes_world))
    }

    fn reconcile<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Trace> {
        Box::pin(async move {
            tokio::time::sleep(self.sink.looks).await;
            let done = self.sink.lock().done.contains_key(&call.key);
            match (self.spec.changes_world, self.shows) {
                (false, _) => Trace::NotDone,
                (true, false) => Trace::Unknown("nothing shows it".to_owned()),
                (true, true) if done => Trace::Done(Ok(json!({"done": call.key}).into())),
                (true, true) => Trace::NotDone,
            }
        })
    }
}

/// `shown` shows what it did, `blind` does not, and `look` does nothing.
pub(super) fn tools(sink: &Sink) -> Toolbox {
    let tool = |name: &str, changes_world, shows| {
        let integer = |name| Parameter::optional(name, ValueType::Integer, "For the test.");
        let spec = ToolSpec::new(name, "For the test.")
            .parameter(integer("before"))
            .parameter(integer("after"))
            .parameter(integer("fails"))
            .parameter(Parameter::optional("passes", ValueType::Boolean, "For the test."));
        let timeout = Duration::from_secs(3);
        let spec = ToolSpec { changes_world, timeout, group: "deeds".to_owned(), ..spec };
        Deed { spec, sink: sink.clone(), shows }
    };
    Toolbox::default()
        .with(tool("shown", true, true))
        .with(tool("blind", true, false))
        .with(tool("look", false, true))
}
