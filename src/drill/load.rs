//! The load: containers that fail, people who give orders and clients who ask, all the time that the drill
//! lasts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::asked::CALLS;
use super::engine::{BYSTANDER, Engine};
use super::ledger::Ledger;
use crate::client::Client;

/// Between two faults.
const FAULT_EVERY: Duration = Duration::from_millis(200);
/// People who give orders at the same time.
const PEOPLE: usize = 2;
/// Between two orders of one person.
const ORDER_EVERY: Duration = Duration::from_millis(50);
/// Clients who ask at the same time, each for the next when the one before has ended.
const CLIENTS: usize = 3;
/// Between two looks at a query, and two queries of one client.
const LOOK: Duration = Duration::from_millis(50);
/// Between two attempts to reach a node that is not there.
const AGAIN: Duration = Duration::from_millis(10);

/// The load of a drill; it ends when dropped.
#[derive(Debug)]
pub(super) struct Load {
    on: watch::Sender<bool>,
    engine: Arc<Engine>,
    numbers: Arc<AtomicU64>,
    _tasks: JoinSet<()>,
}

impl Load {
    /// Prepares it; nothing comes before [`Load::set`].
    pub(super) fn new(
        engine: Arc<Engine>,
        ledger: &Arc<Ledger>,
        client: &watch::Receiver<Client>,
        called: &str,
    ) -> Self {
        let (on, numbers, mut tasks) = (watch::Sender::new(false), Arc::default(), JoinSet::new());
        tasks.spawn(faults(engine.clone(), Arc::clone(&numbers), on.subscribe()));
        for _ in 0..PEOPLE {
            tasks.spawn(orders(client.clone(), ledger.clone(), numbers.clone(), on.subscribe()));
        }
        for _ in 0..CLIENTS {
            let (client, ledger) = (client.clone(), ledger.clone());
            let asking = Asking { client, ledger, on: on.subscribe() };
            tasks.spawn(asking.go_on(numbers.clone(), called.to_owned()));
        }
        Self { on, engine, numbers, _tasks: tasks }
    }

    /// Begins or ends it.
    pub(super) fn set(&self, on: bool) {
        self.on.send_replace(on);
    }

    /// One more container fails, now; returns its id.
    pub(super) fn one_more(&self) -> String {
        self.engine.fail_one(self.numbers.fetch_add(1, Ordering::SeqCst))
    }
}

async fn faults(engine: Arc<Engine>, numbers: Arc<AtomicU64>, mut on: watch::Receiver<bool>) {
    while on.wait_for(|on| *on).await.is_ok() {
        engine.fail_one(numbers.fetch_add(1, Ordering::SeqCst));
        tokio::time::sleep(FAULT_EVERY).await;
    }
}

async fn orders(
    client: watch::Receiver<Client>,
    ledger: Arc<Ledger>,
    numbers: Arc<AtomicU64>,
    mut on: watch::Receiver<bool>,
) {
    let body = json!({ "container": BYSTANDER, "action": "restart", "reason": "a drill" });
    while on.wait_for(|on| *on).await.is_ok() {
        let name = format!("drill-{}", numbers.fetch_add(1, Ordering::SeqCst));
        loop {
            // The node of this moment: it may be another one at the next attempt.
            let node = client.borrow().clone();
            if let Ok(answer) = node.submit("/v1/actions", &body, Some(&name)).await
                && let Some(incident) = answer["incident"].as_str()
            {
                ledger.accepted(incident);
                break;
            }
            if !*on.borrow() {
                // Never acknowledged, so nobody was promised anything.
                break;
            }
            tokio::time::sleep(AGAIN).await;
        }
        tokio::time::sleep(ORDER_EVERY).await;
    }
}

/// A client who asks.
struct Asking {
    /// The node of the moment.
    client: watch::Receiver<Client>,
    ledger: Arc<Ledger>,
    on: watch::Receiver<bool>,
}

impl Asking {
    async fn go_on(mut self, numbers: Arc<AtomicU64>, called: String) {
        while self.on.wait_for(|on| *on).await.is_ok() {
            let name = format!("drill-{}", numbers.fetch_add(1, Ordering::SeqCst));
            let body = json!({ "plan": plan(&name, &called) });
            if let Some(id) = self.submit(&name, &body).await {
                self.follow(&id).await;
            }
        }
    }

    /// Asks until it is accepted; none if the load was taken off before.
    async fn submit(&self, name: &str, body: &Value) -> Option<String> {
        loop {
            let node = self.client.borrow().clone();
            if let Ok(answer) = node.submit("/v1/queries", body, Some(name)).await
                && let Some(id) = answer["id"].as_str()
            {
                self.ledger.asked(id);
                return Some(id.to_owned());
            }
            if !*self.on.borrow() {
                return None;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Waits for its end, or until the load is taken off.
    async fn follow(&self, id: &str) {
        loop {
            tokio::time::sleep(LOOK).await;
            let node = self.client.borrow().clone();
            if look(&node, id, &self.ledger).await || !*self.on.borrow() {
                return;
            }
        }
    }
}

/// Calls one after the other. What a crash cut off is called again under the same key: whoever is called
/// knows it by that.
fn plan(name: &str, called: &str) -> Value {
    let kinds = ["timeout", "unavailable", "overloaded", "unknown"];
    let steps = (0..CALLS).map(|at| {
        let needs: Vec<String> =
            at.checked_sub(1).map(|before| format!("call{before}")).into_iter().collect();
        json!({
            "id": format!("call{at}"), "tool": "http", "needs": needs,
            "arguments": { "method": "POST", "url": format!("{called}calls/{at}"), "body": name },
            "retry": { "attempts": 10, "base": "10ms", "cap": "500ms", "kinds": kinds },
        })
    });
    json!({ "name": name, "steps": steps.collect::<Vec<_>>() })
}

/// Looks whether a query has ended, and how often it did, by its events; false while it has not.
pub(super) async fn look(node: &Client, id: &str, ledger: &Ledger) -> bool {
    let query = node.call(Method::GET, &format!("/v1/queries/{id}"), None).await;
    let Ok(query) = query.as_ref() else { return false };
    if query["status"] != "finished" {
        return false;
    }
    // The stream of a query that has ended comes to its end.
    let Ok((_, events)) = node.text(&format!("/v1/queries/{id}/events")).await else {
        return false;
    };
    let ends = events.lines().filter(|line| *line == "event: finished").count();
    ledger.answered(id, query["outcome"].as_str().unwrap_or_default(), ends);
    true
}
