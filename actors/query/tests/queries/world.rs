//! A node that answers queries, its tools, and what is asked of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use perennial_query::admission::{ADMISSION, Admission, AdmissionMessage, Admitted};
use perennial_query::config::Config;
use perennial_query::json::Json;
use perennial_query::orchestrator::{Orchestrator, OrchestratorMessage, Ordered, QueryOrder};
use perennial_query::plan::{ErrorKind, Plan, Retry, Step, ToolCall, ValueType, Work};
use perennial_query::question::Planner;
use perennial_query::record::{
    EVENTS, EventRow, QUERIES, QueryRow, QueryStatus, STEPS, StepRow, Submission,
};
use perennial_query::roles::{ADMIN, EVERYTHING, Roles};
use perennial_query::schedule::Definitions;
use perennial_query::tool::{
    Call, Catalogue, Parameter, Tool, ToolAnswer, ToolError, ToolSpec, Toolbox,
};
use perennial_query::tools::llm::NAME;
use perennial_query::tree::tree;
use perennial_runtime::{Clock, ManualClock, Options, Runtime, SystemClock, owner_prefix};
use perennial_store::{Backend, MemoryBackend};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What the tools of a node do and have done, over its whole life.
#[derive(Debug)]
pub(crate) struct Outside {
    /// What was said, in order.
    said: Mutex<Vec<String>>,
    /// How often each name has failed so far.
    failures: Mutex<BTreeMap<String, u32>>,
    running: AtomicUsize,
    pub(crate) peak: AtomicUsize,
    /// Calls that wait go on with a permit of this.
    pub(crate) gate: Semaphore,
    /// Calls that were dropped before they had ended.
    pub(crate) dropped: AtomicUsize,
}

impl Outside {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            said: Mutex::default(),
            failures: Mutex::default(),
            running: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            gate: Semaphore::new(0),
            dropped: AtomicUsize::new(0),
        })
    }

    pub(crate) fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }

    /// Something is said, whoever says it.
    pub(crate) fn say(&self, text: &str) {
        self.said.lock().unwrap().push(text.to_owned());
    }

    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }
}

/// Says what it is told to, fails as often as it is told to, and waits if it is told to.
pub(crate) struct Say {
    spec: ToolSpec,
    outside: Arc<Outside>,
}

/// Counts a call as running until it is dropped.
struct Running<'a>(&'a Outside, bool);

impl<'a> Running<'a> {
    fn new(outside: &'a Outside) -> Self {
        let now = outside.running.fetch_add(1, Ordering::SeqCst) + 1;
        outside.peak.fetch_max(now, Ordering::SeqCst);
        Self(outside, false)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
        if !self.1 {
            self.0.dropped.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Tool for Say {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn call<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<ToolAnswer, ToolError>> {
        Box::pin(async move {
            let mut running = Running::new(&self.outside);
            let arguments = &call.arguments.0;
            let text = arguments["text"].as_str().unwrap_or_default().to_owned();
            self.outside.said.lock().unwrap().push(text.clone());
            if arguments["waits"] == json!(true) {
                self.outside.gate.acquire().await.unwrap().forget();
            }
            running.1 = true;
            let wanted = arguments["fails"].as_u64().unwrap_or_default();
            let mut failures = self.outside.failures.lock().unwrap();
            let so_far = failures.entry(text.clone()).or_default();
            if u64::from(*so_far) < wanted {
                *so_far += 1;
                let kind = arguments["kind"].as_str().unwrap_or("failed");
                let kind = ErrorKind::ALL.into_iter().find(|known| known.as_str() == kind).unwrap();
                return Err(ToolError::new(kind, format!("`{text}` was told to fail")));
            }
            Ok(json!({"text": text, "attempt": call.attempt}).into())
        })
    }
}

fn say(name: &str, outside: &Arc<Outside>) -> Say {
    let spec = ToolSpec::new(name, "Says what it is told to.")
        .parameter(Parameter::required("text", ValueType::String, "What to say."))
        .parameter(Parameter::optional("fails", ValueType::Integer, "How often to fail."))
        .parameter(Parameter::optional("kind", ValueType::String, "How to fail."))
        .parameter(Parameter::optional("waits", ValueType::Boolean, "Whether to wait."));
    let secret = name == "whisper";
    let spec = ToolSpec { permission: secret.then(|| "secrets".to_owned()), ..spec };
    Say { spec, outside: Arc::clone(outside) }
}

impl Say {
    /// What a node knows of the tools here.
    pub(crate) fn catalogue() -> Arc<Catalogue> {
        Arc::new(Node::tools(&Outside::new()).catalogue())
    }
}

/// What a node is made of.
struct Made {
    config: Config,
    toolbox: Toolbox,
    clock: Arc<dyn Clock>,
    schedules: Definitions,
}

impl Default for Made {
    fn default() -> Self {
        Self {
            config: Config::default(),
            toolbox: Toolbox::default(),
            clock: Arc::new(SystemClock),
            schedules: Definitions::default(),
        }
    }
}

pub(crate) struct Node {
    pub(crate) runtime: Runtime,
    pub(crate) outside: Arc<Outside>,
    pub(crate) store: MemoryBackend,
}

impl Node {
    pub(crate) async fn start() -> Self {
        Self::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        Self::on(MemoryBackend::new(), Outside::new(), config).await
    }

    /// A node with further tools.
    pub(crate) async fn start_with(more: impl FnOnce(Toolbox) -> Toolbox) -> Self {
        let (store, outside) = (MemoryBackend::new(), Outside::new());
        let toolbox = more(Self::tools(&outside));
        let made = Made { config: Config::default(), toolbox, ..Made::default() };
        Self::of(Arc::new(store.clone()), (store, outside), made).await
    }

    /// A node of another time, with schedules; on what `before` has left, if there was one.
    pub(crate) async fn scheduled(
        before: Option<&Self>,
        clock: &ManualClock,
        config: Config,
        schedules: Definitions,
    ) -> Self {
        let (store, outside) = match before {
            Some(node) => (node.store.clone(), Arc::clone(&node.outside)),
            None => (MemoryBackend::new(), Outside::new()),
        };
        let toolbox = Self::tools(&outside);
        let made = Made { config, toolbox, clock: Arc::new(clock.clone()), schedules };
        Self::of(Arc::new(store.clone()), (store, outside), made).await
    }

    pub(crate) fn roles() -> Arc<Roles> {
        let mut roles = Roles::default();
        roles.0.insert("insider".to_owned(), ["secrets".to_owned()].into());
        Arc::new(roles)
    }

    /// A node on what `store` holds, with further tools.
    pub(crate) async fn on_with(
        (store, outside): (MemoryBackend, Arc<Outside>),
        config: Config,
        more: impl FnOnce(Toolbox) -> Toolbox,
    ) -> Self {
        let toolbox = more(Self::tools(&outside));
        // Questions are about nothing: whoever makes plans of them is a model.
        let (roles, catalogue) = (Self::roles(), Arc::new(toolbox.catalogue()));
        let planner = Arc::new(Planner { roles, catalogue, ..Planner::default() });
        let schedules = Definitions { planner, ..Definitions::default() };
        let made = Made { config, toolbox, schedules, ..Made::default() };
        Self::of(Arc::new(store.clone()), (store, outside), made).await
    }

    pub(crate) fn tools(outside: &Arc<Outside>) -> Toolbox {
        Toolbox::default().with(say("say", outside)).with(say("whisper", outside))
    }

    /// A node on what `store` holds.
    pub(crate) async fn on(store: MemoryBackend, outside: Arc<Outside>, config: Config) -> Self {
        Self::through(Arc::new(store.clone()), store, outside, config).await
    }

    pub(crate) async fn through(
        backend: Arc<dyn Backend>,
        store: MemoryBackend,
        outside: Arc<Outside>,
        config: Config,
    ) -> Self {
        let toolbox = Self::tools(&outside);
        Self::of(backend, (store, outside), Made { config, toolbox, ..Made::default() }).await
    }

    async fn of(
        backend: Arc<dyn Backend>,
        (store, outside): (MemoryBackend, Arc<Outside>),
        Made { config, toolbox, clock, schedules }: Made,
    ) -> Self {
        let mut roles = Self::roles().as_ref().clone();
        if toolbox.get(NAME).is_some() {
            // Models are asked by the node itself.
            roles.0.insert(ADMIN.to_owned(), [EVERYTHING.to_owned()].into());
        }
        let tree = tree(config, Arc::new(roles), toolbox, schedules);
        let options = Options::new(backend, clock);
        let runtime = Runtime::start(options, tree).await.unwrap();
        Self { runtime, outside, store }
    }

    pub(crate) async fn admit(&self, submission: Submission) -> Admitted {
        let message = AdmissionMessage::Submit(Box::new(submission));
        self.runtime.ask::<Admission, Admitted>(ADMISSION, &message, PATIENCE).await.unwrap()
    }

    /// Asks for a place for a query that has ended.
    pub(crate) async fn readmit(&self, id: &str, key: Option<u64>) -> Admitted {
        let message = AdmissionMessage::Readmit { id: id.to_owned(), key };
        self.runtime.ask::<Admission, Admitted>(ADMISSION, &message, PATIENCE).await.unwrap()
    }

    pub(crate) async fn submit(&self, plan: Plan) -> String {
        self.submit_with(plan, json!({})).await
    }

    pub(crate) async fn submit_with(&self, plan: Plan, inputs: Value) -> String {
        let submission = Submission { plan, inputs: Json(inputs), ..Submission::default() };
        let admitted = self.admit(submission).await;
        let Admitted::Accepted { id, .. } = admitted else { panic!("{admitted:?}") };
        id
    }

    pub(crate) async fn run(&self, plan: Plan) -> Ended {
        let id = self.submit(plan).await;
        self.ended(&id).await
    }

    pub(crate) async fn order(&self, id: &str, order: QueryOrder) -> Ordered {
        let message = OrchestratorMessage::Order { by: "ann".to_owned(), order };
        self.runtime.ask::<Orchestrator, Ordered>(id, &message, PATIENCE).await.unwrap()
    }

    pub(crate) fn row(&self, id: &str) -> Option<QueryRow> {
        self.runtime.tables().get(&QUERIES, id).unwrap()
    }

    pub(crate) fn events(&self, id: &str) -> Vec<EventRow> {
        self.runtime.tables().scan(&EVENTS, &owner_prefix(id), 10_000).unwrap()
    }

    /// Waits until `holds` gives something.
    pub(crate) async fn until<T>(&self, what: &str, holds: impl Fn(&Self) -> Option<T>) -> T {
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some(found) = holds(self) {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("waited for: {what}"))
    }

    pub(crate) async fn until_status(&self, id: &str, status: QueryStatus) -> QueryRow {
        self.until(&format!("{id} is {status:?}"), |node| {
            node.row(id).filter(|row| row.status == status)
        })
        .await
    }

    pub(crate) async fn until_said(&self, count: usize) {
        self.until(&format!("{count} things are said"), |node| {
            (node.outside.said().len() >= count).then_some(())
        })
        .await;
    }

    pub(crate) async fn ended(&self, id: &str) -> Ended {
        let row = self.until_status(id, QueryStatus::Finished).await;
        let steps = self.runtime.tables().scan(&STEPS, &owner_prefix(id), 10_000).unwrap();
        Ended { row, steps }
    }

    /// Another process takes the store over, as after the death of this one, which can commit no more.
    pub(crate) async fn again(&self, config: Config) -> Self {
        Self::on(self.store.clone(), Arc::clone(&self.outside), config).await
    }
}

/// A query that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) row: QueryRow,
    pub(crate) steps: Vec<StepRow>,
}

impl Ended {
    pub(crate) fn outcome(&self) -> &str {
        self.row.outcome.unwrap().as_str()
    }

    pub(crate) fn step(&self, id: &str) -> &StepRow {
        self.steps.iter().find(|row| row.id.as_str() == id && row.instance.is_none()).unwrap()
    }

    /// `id status` of each step, in the order of the plan.
    pub(crate) fn statuses(&self) -> Vec<String> {
        let whole = self.steps.iter().filter(|row| row.instance.is_none());
        whole.map(|row| format!("{} {}", row.id, row.status.as_str())).collect()
    }
}

pub(crate) fn plan(steps: Vec<Step>) -> Plan {
    Plan { name: "test".to_owned(), steps, ..Plan::default() }
}

/// A step that has something said.
pub(crate) fn says(id: &str, arguments: Value) -> Step {
    calls(id, "say", arguments)
}

pub(crate) fn calls(id: &str, tool: &str, arguments: Value) -> Step {
    let call = ToolCall { tool: tool.to_owned(), arguments: Json(arguments) };
    let quick = Retry { base: Duration::from_millis(5), ..Retry::default() };
    Step { retry: quick, ..Step::new(id, Work::Call(call)) }
}

pub(crate) fn value(id: &str, value: Value) -> Step {
    Step::new(id, Work::Value(Json(value)))
}
