//! The load: containers that fail and people who give orders, all the time that the drill lasts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::engine::{BYSTANDER, Engine};
use super::ledger::Ledger;
use crate::client::Client;

/// Between two faults.
const FAULT_EVERY: Duration = Duration::from_millis(200);
/// People who give orders at the same time.
const PEOPLE: usize = 2;
/// Between two orders of one person.
const ORDER_EVERY: Duration = Duration::from_millis(50);

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
    ) -> Self {
        let (on, numbers, mut tasks) = (watch::Sender::new(false), Arc::default(), JoinSet::new());
        tasks.spawn(faults(engine.clone(), Arc::clone(&numbers), on.subscribe()));
        for _ in 0..PEOPLE {
            tasks.spawn(orders(client.clone(), ledger.clone(), numbers.clone(), on.subscribe()));
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
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(ORDER_EVERY).await;
    }
}
