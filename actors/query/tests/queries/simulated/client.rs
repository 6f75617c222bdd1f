//! Somebody who has a query done, and changes their mind. Outlives every process.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use perennial_query::admission::{ADMISSION, Admission, AdmissionMessage, Admitted};
use perennial_query::json::Json;
use perennial_query::orchestrator::{Orchestrator, OrchestratorMessage, Ordered, QueryOrder};
use perennial_query::plan::{OnFailure, Plan, Repeat, Retry, Step, ToolCall, Work};
use perennial_query::record::Submission;
use perennial_runtime::Runtime;
use serde_json::{Value, json};

use super::chance::Chance;
use super::sink::Sink;

const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub(super) struct Client {
    pub(super) plan: Plan,
    number: usize,
    held: Arc<Mutex<Held>>,
}

#[derive(Default)]
struct Held {
    id: Option<String>,
    /// After which wait what is wanted.
    orders: VecDeque<(Duration, QueryOrder)>,
    /// It was wanted that what may have been done is done again.
    anyway: bool,
}

impl Client {
    pub(super) fn new(number: usize, chance: &mut Chance) -> Self {
        let plan = plan(chance);
        let orders = (0..chance.below(6)).map(|_| order(chance)).collect();
        Self::with(number, plan, orders)
    }

    /// One who has this plan done, and wants this of it.
    pub(super) fn with(
        number: usize,
        plan: Plan,
        orders: VecDeque<(Duration, QueryOrder)>,
    ) -> Self {
        let held = Arc::new(Mutex::new(Held { orders, ..Held::default() }));
        Self { plan, number, held }
    }

    /// Wants the next thing at once.
    pub(super) fn hurries(&self) {
        if let Some(next) = self.held.lock().unwrap().orders.front_mut() {
            next.0 = Duration::ZERO;
        }
    }

    /// The id of the query, once that is known to be accepted.
    pub(super) fn id(&self) -> Option<String> {
        self.held.lock().unwrap().id.clone()
    }

    pub(super) fn wanted_it_anyway(&self) -> bool {
        self.held.lock().unwrap().anyway
    }

    /// Submits the query until that is accepted, and then wants one thing after the other.
    pub(super) async fn run(self, runtime: Runtime, sink: Sink) {
        let id = loop {
            match self.id() {
                Some(id) => break id,
                None => self.submit(&runtime).await,
            }
            if self.id().is_none() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        loop {
            let next = self.held.lock().unwrap().orders.front().cloned();
            let Some((wait, order)) = next else { return };
            tokio::time::sleep(wait).await;
            self.order(&id, order, &runtime, &sink).await;
            self.held.lock().unwrap().orders.pop_front();
        }
    }

    async fn submit(&self, runtime: &Runtime) {
        let name = Some(format!("name-{}", self.number));
        let inputs = Json(json!({}));
        let submission = Submission { plan: self.plan.clone(), inputs, name, ..Default::default() };
        let message = AdmissionMessage::Submit(Box::new(submission));
        let admitted = runtime.ask::<Admission, Admitted>(ADMISSION, &message, PATIENCE).await;
        if let Ok(Admitted::Accepted { id, .. }) = admitted {
            self.held.lock().unwrap().id = Some(id);
        }
    }

    pub(super) async fn order(&self, id: &str, order: QueryOrder, runtime: &Runtime, sink: &Sink) {
        let again = matches!(order, QueryOrder::Retry | QueryOrder::RetryAll);
        if again {
            sink.is_wanted(id);
        }
        if order == QueryOrder::RetryAll {
            self.held.lock().unwrap().anyway = true;
        }
        let cancels = matches!(order, QueryOrder::Cancel { .. });
        if again {
            // Whether there is room is asked first. Whatever dies in between, no place is lost.
            let message = AdmissionMessage::Readmit { id: id.to_owned(), key: None };
            let admitted = runtime.ask::<Admission, Admitted>(ADMISSION, &message, PATIENCE);
            admitted.await.ok();
        }
        let message = OrchestratorMessage::Order { by: "ann".to_owned(), order };
        let ordered = runtime.ask::<Orchestrator, Ordered>(id, &message, PATIENCE).await;
        if cancels && matches!(ordered, Ok(Ordered::Done)) {
            sink.is_cancelled(id);
        }
    }
}

fn order(chance: &mut Chance) -> (Duration, QueryOrder) {
    let wait = Duration::from_millis(chance.pick(&[0, 1, 5, 20, 100, 1_000, 20_000]));
    let step = format!("s{}", chance.below(4)).as_str().into();
    let order = match chance.below(10) {
        0..=3 => QueryOrder::Cancel { reason: String::new() },
        4 => QueryOrder::Pause,
        5 => QueryOrder::Resume,
        6 => QueryOrder::Decide { step, approved: chance.one_in(2), note: String::new() },
        7 | 8 => QueryOrder::Retry,
        _ => QueryOrder::RetryAll,
    };
    (wait, order)
}

fn call(chance: &mut Chance) -> ToolCall {
    let tool = chance.pick(&["shown", "shown", "blind", "look"]).to_owned();
    let mut wait = || chance.pick(&[0, 1, 3, 10, 50, 400, 4_000]);
    let (before, after) = (wait(), wait());
    let (fails, passes) = (chance.pick(&[0, 0, 0, 1, 2, 9]), chance.one_in(2));
    let arguments = json!({"before": before, "after": after, "fails": fails, "passes": passes});
    ToolCall { tool, arguments: Json(arguments) }
}

fn step(at: u64, chance: &mut Chance) -> Step {
    let id = format!("s{at}");
    let wait = Duration::from_secs(chance.pick(&[5, 600]));
    let mut step = if chance.one_in(8) {
        Step::new(&id, Work::Approval { prompt: "Really?".to_owned(), wait })
    } else {
        let mut step = Step::new(&id, Work::Call(call(chance)));
        if chance.one_in(3) {
            let items: Vec<Value> = (0..chance.below(4)).map(Value::from).collect();
            let max_parallel = 1 + chance.below(3) as u32;
            step.repeat = Repeat::Each { items: Json(items.into()), max_parallel, max_items: 9 };
        } else if chance.one_in(6) {
            let condition = "loop.index < 2".to_owned();
            step.repeat = Repeat::While { condition, max_iterations: 5 };
        }
        step
    };
    let other = call(chance);
    step.on_failure = match chance.below(6) {
        0 => OnFailure::Continue,
        1 => OnFailure::Skip,
        2 if matches!(step.work, Work::Call(_)) => OnFailure::Fallback(vec![other]),
        _ => OnFailure::Fail,
    };
    step.retry = Retry { base: Duration::from_millis(10), ..Retry::default() };
    step.timeout = chance.one_in(4).then(|| Duration::from_millis(chance.pick(&[2, 30, 300])));
    if at > 0 && chance.one_in(2) {
        step.needs.push(format!("s{}", chance.below(at)).as_str().into());
    }
    step
}

fn plan(chance: &mut Chance) -> Plan {
    let steps = (0..1 + chance.below(4)).map(|at| step(at, chance)).collect();
    let timeout = chance.one_in(4).then(|| Duration::from_millis(chance.pick(&[50, 1_000])));
    Plan { name: "random".to_owned(), steps, timeout, ..Plan::default() }
}
