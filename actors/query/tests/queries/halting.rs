//! What becomes of calls that are under way when their query is to end: nothing that was done is lost or done
//! twice, and nothing is told as not done that may have been.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use perennial_query::config::Config;
use perennial_query::orchestrator::{Ordered, QueryOrder};
use perennial_query::plan::{ErrorKind, Repeat, Step, ValueType};
use perennial_query::record::{DEAD_STEPS, QueryStatus, StepStatus};
use perennial_query::tool::{Call, Parameter, Tool, ToolAnswer, ToolError, ToolSpec, Trace};
use perennial_runtime::owner_prefix;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::world::{Ended, Node, calls, plan, says};

/// What was done to the world, and the calls that wait.
#[derive(Debug)]
struct World {
    done: Mutex<BTreeSet<String>>,
    begun: AtomicU64,
    /// Calls go on with a permit of this.
    gate: Semaphore,
}

/// Changes the world, before or after it waits, and shows that it did or does not.
struct Deed {
    spec: ToolSpec,
    world: Arc<World>,
    shows: bool,
}

impl Tool for Deed {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn call<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<ToolAnswer, ToolError>> {
        Box::pin(async move {
            self.world.begun.fetch_add(1, Ordering::SeqCst);
            let waits = call.arguments.0["waits"].as_str().unwrap_or_default();
            if waits == "before" {
                self.world.gate.acquire().await.unwrap().forget();
            }
            let new = self.world.done.lock().unwrap().insert(call.key.clone());
            assert!(new, "{} is done twice", call.key);
            if waits == "after" {
                self.world.gate.acquire().await.unwrap().forget();
            }
            Ok(json!("done").into())
        })
    }

    fn reconcile<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Trace> {
        let done = self.world.done.lock().unwrap().contains(&call.key);
        let trace = match (self.shows, done) {
            (true, true) => Trace::Done(Ok(json!("done").into())),
            (true, false) => Trace::NotDone,
            (false, _) => Trace::Unknown("nothing shows it".to_owned()),
        };
        Box::pin(async { trace })
    }
}

impl World {
    fn new() -> Arc<Self> {
        let (done, begun) = (Mutex::default(), AtomicU64::new(0));
        Arc::new(Self { done, begun, gate: Semaphore::new(0) })
    }

    fn deed(self: &Arc<Self>, name: &str, shows: bool) -> Deed {
        let waits = Parameter::optional("waits", ValueType::String, "When it waits.");
        let spec = ToolSpec::new(name, "Does something.").parameter(waits);
        let spec = ToolSpec { changes_world: true, ..spec };
        Deed { spec, world: Arc::clone(self), shows }
    }

    fn done(&self) -> usize {
        self.done.lock().unwrap().len()
    }

    fn begun(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }
}

async fn node(world: &Arc<World>) -> Node {
    Node::start_with(|tools| tools.with(world.deed("shown", true)).with(world.deed("blind", false)))
        .await
}

fn deed(id: &str, tool: &str, waits: &str) -> Step {
    calls(id, tool, json!({"waits": waits}))
}

fn cancel() -> QueryOrder {
    QueryOrder::Cancel { reason: String::new() }
}

async fn succeeds(node: &Node, id: &str) -> Ended {
    node.until("it has succeeded", |node| {
        node.row(id)?.outcome.filter(|outcome| outcome.as_str() == "succeeded")
    })
    .await;
    node.ended(id).await
}

/// A query of a step that changes the world and one that fails while it does.
async fn fails_beside(node: &Node, world: &Arc<World>, step: Step) -> String {
    let failing = says("failing", json!({"text": "x", "fails": 1, "waits": true}));
    let id = node.submit(plan(vec![step, failing])).await;
    node.until_said(1).await;
    node.until("it is under way", |_| (world.begun() > 0).then_some(())).await;
    node.outside.gate.add_permits(9);
    id
}

#[tokio::test]
async fn a_call_that_was_done_when_another_step_failed_keeps_its_result_and_is_not_done_again() {
    let world = World::new();
    let node = node(&world).await;
    let id = fails_beside(&node, &world, deed("deed", "shown", "after")).await;
    let ended = node.ended(&id).await;
    assert_eq!(ended.outcome(), "failed");
    assert_eq!(ended.statuses(), ["deed succeeded", "failing failed"]);
    assert_eq!(node.order(&id, QueryOrder::Retry).await, Ordered::Done);
    let ended = succeeds(&node, &id).await;
    assert_eq!(ended.step("deed").result.clone().unwrap().0, json!("done"));
    assert_eq!((world.done(), world.begun()), (1, 1));
}

#[tokio::test]
async fn a_call_that_may_have_been_done_is_told_as_unknown_and_done_again_only_if_somebody_says_so()
{
    let world = World::new();
    let node = node(&world).await;
    let id = node.submit(plan(vec![deed("deed", "blind", "after")])).await;
    node.until("it is done", |_| (world.done() == 1).then_some(())).await;
    assert_eq!(node.order(&id, cancel()).await, Ordered::Done);
    let ended = node.ended(&id).await;
    assert_eq!((ended.outcome(), ended.statuses()), ("cancelled", vec!["deed failed".to_owned()]));
    assert_eq!(ended.step("deed").error.clone().unwrap().kind, ErrorKind::Unknown);
    let dead = node.runtime.tables().scan(&DEAD_STEPS, &owner_prefix(&id), 10).unwrap();
    assert_eq!(dead.len(), 1, "somebody should look at it");
    let refused = node.order(&id, QueryOrder::Retry).await;
    assert!(
        matches!(&refused, Ordered::Conflict(why) if why.contains("step `deed`")),
        "{refused:?}"
    );
    world.gate.add_permits(1);
    assert_eq!(node.order(&id, QueryOrder::RetryAll).await, Ordered::Done);
    succeeds(&node, &id).await;
    assert_eq!(world.done(), 2);
}

#[tokio::test]
async fn a_call_that_was_taken_back_before_it_did_anything_is_told_as_cancelled() {
    let world = World::new();
    let node = node(&world).await;
    let id = node.submit(plan(vec![deed("deed", "shown", "before")])).await;
    node.until("it has begun", |_| (world.begun() == 1).then_some(())).await;
    assert_eq!(node.order(&id, cancel()).await, Ordered::Done);
    let ended = node.ended(&id).await;
    assert_eq!(ended.statuses(), ["deed cancelled"]);
    assert_eq!(world.done(), 0);
    world.gate.add_permits(1);
    assert_eq!(node.order(&id, QueryOrder::Retry).await, Ordered::Done);
    succeeds(&node, &id).await;
    assert_eq!(world.done(), 1);
}

#[tokio::test]
async fn times_of_a_step_that_were_done_are_not_done_again_with_those_that_were_not() {
    let world = World::new();
    let node = node(&world).await;
    let mut each = deed("each", "shown", "{{ 'before' if item == 1 else 'no' }}");
    each.repeat = Repeat::Each { items: json!([0, 1, 2]).into(), max_parallel: 3, max_items: 9 };
    let failing = says("failing", json!({"text": "x", "fails": 1, "waits": true}));
    let id = node.submit(plan(vec![each, failing])).await;
    node.until("two are done", |_| (world.done() == 2 && world.begun() == 3).then_some(())).await;
    node.until_said(1).await;
    node.outside.gate.add_permits(2);
    let ended = node.ended(&id).await;
    assert_eq!(ended.statuses(), ["each cancelled", "failing failed"]);
    world.gate.add_permits(1);
    assert_eq!(node.order(&id, QueryOrder::Retry).await, Ordered::Done);
    let ended = succeeds(&node, &id).await;
    assert_eq!(ended.step("each").result.clone().unwrap().0, json!(["done", "done", "done"]));
    assert_eq!((world.done(), world.begun()), (3, 4));
}

#[tokio::test]
async fn a_cancelled_query_ends_when_nothing_of_it_goes_on_and_says_until_then_what_it_waits_for() {
    let node = Node::with(Config::default()).await;
    let id = node.submit(plan(vec![says("a", json!({"text": "a", "waits": true}))])).await;
    node.until_said(1).await;
    assert_eq!(node.order(&id, cancel()).await, Ordered::Done);
    assert_eq!(node.order(&id, cancel()).await, Ordered::Done, "it is to end already");
    let ended = node.ended(&id).await;
    assert_eq!(node.outside.running(), 0);
    assert_eq!(ended.statuses(), ["a cancelled"]);
    let told: Vec<&str> = node.events(&id).iter().map(|row| row.event.as_str()).collect();
    let expected = ["accepted", "started", "step_started", "ending", "step_ended", "finished"];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_plan_that_has_no_order_ends_its_query_and_gives_its_place_back() {
    let node = Node::with(Config { max_concurrent: 1, ..Config::default() }).await;
    let (mut one, mut two) = (says("one", json!({"text": "1"})), says("two", json!({"text": "2"})));
    one.needs.push("two".into());
    two.needs.push("one".into());
    let id = node.submit(plan(vec![one, two])).await;
    let ended = node.ended(&id).await;
    assert_eq!(ended.outcome(), "failed");
    assert!(ended.row.reason.contains("wait for each other"), "{}", ended.row.reason);
    assert_eq!(ended.statuses(), ["one not_run", "two not_run"]);
    let other = node.run(plan(vec![says("a", json!({"text": "a"}))])).await;
    assert_eq!(other.outcome(), "succeeded");
}

#[tokio::test]
async fn a_query_whose_time_is_over_tells_of_a_call_that_may_have_been_done_as_unknown() {
    let world = World::new();
    let node = node(&world).await;
    let mut plan = plan(vec![deed("deed", "blind", "after")]);
    plan.timeout = Some(Duration::from_millis(200));
    let id = node.submit(plan).await;
    let ended = node.ended(&id).await;
    assert_eq!((ended.outcome(), world.done()), ("failed", 1));
    let step = ended.step("deed");
    assert_eq!(step.status, StepStatus::Failed);
    assert_eq!(step.error.clone().unwrap().kind, ErrorKind::Unknown);
    assert_eq!(ended.row.status, QueryStatus::Finished);
}
