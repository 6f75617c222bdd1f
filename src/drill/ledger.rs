//! What was accepted and what became of it, as seen from outside of the node.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use super::asked::Asked;

/// The changes of an incident that people are told.
const TOLD: [&str; 2] = ["opened", "resolved"];

/// A container that failed.
#[derive(Debug)]
struct Fault {
    at: Instant,
    restarted: Vec<Instant>,
    /// Of each change: when it was told first, and under which idempotency keys.
    told: BTreeMap<String, (Instant, BTreeSet<String>)>,
}

/// An order that the node accepted.
#[derive(Debug)]
struct Order {
    at: Instant,
    /// How often it is in the audit.
    recorded: usize,
}

#[derive(Debug, Default)]
struct Entries {
    faults: BTreeMap<String, Fault>,
    /// By the incident it was accepted under.
    orders: BTreeMap<String, Order>,
    asked: Asked,
}

/// The ledger of one drill.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: Mutex<Entries>,
    changes: watch::Sender<u64>,
}

/// How much work there was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Work {
    pub(super) faults: usize,
    pub(super) orders: usize,
    pub(super) queries: usize,
    /// Of the queries, those that have not ended.
    pub(super) under_way: usize,
}

impl Work {
    pub(super) fn is_at_least(&self, wanted: &Self) -> bool {
        self.faults >= wanted.faults
            && self.orders >= wanted.orders
            && self.queries >= wanted.queries
            && self.under_way >= wanted.under_way
    }
}

/// What became of the work of one scenario.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Balance {
    /// Faults that struck, and orders and queries that were accepted.
    pub(super) accepted: usize,
    /// Of these, what was never done.
    pub(super) lost: usize,
    /// Of these, what was done more than once.
    pub(super) twice: usize,
    /// When the first of what is lost was accepted.
    pub(super) oldest_lost: Option<Instant>,
}

impl Ledger {
    fn change<T>(&self, change: impl FnOnce(&mut Entries) -> T) -> T {
        let done = change(&mut self.read());
        self.changes.send_modify(|count| *count += 1);
        done
    }

    fn read(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a container failed.
    pub(super) fn strikes(&self, container: &str) {
        let fault = Fault {
            at: perennial_runtime::instant(),
            restarted: Vec::new(),
            told: BTreeMap::new(),
        };
        self.change(|entries| entries.faults.insert(container.to_owned(), fault));
    }

    /// Notes that the node had it restarted.
    pub(super) fn restarted(&self, container: &str) {
        self.change(|entries| {
            if let Some(fault) = entries.faults.get_mut(container) {
                fault.restarted.push(perennial_runtime::instant());
            }
        });
    }

    /// Notes what a notification tells; its key names it.
    pub(super) fn told(&self, notice: &Value, key: &str) {
        let now = perennial_runtime::instant();
        self.change(|entries| {
            for told in notice["incidents"].as_array().into_iter().flatten() {
                let container = told["container"]["id"].as_str().unwrap_or_default();
                let change = told["change"].as_str().unwrap_or_default();
                if let Some(fault) = entries.faults.get_mut(container) {
                    let told = fault.told.entry(change.to_owned());
                    told.or_insert((now, BTreeSet::new())).1.insert(key.to_owned());
                }
            }
        });
    }

    /// Notes that an order was accepted under this incident.
    pub(super) fn accepted(&self, incident: &str) {
        let order = Order { at: perennial_runtime::instant(), recorded: 0 };
        self.change(|entries| {
            entries.orders.entry(incident.to_owned()).or_insert(order);
        });
    }

    /// Takes over what the node's audit, all pages of it, has of the orders.
    pub(super) fn audited(&self, audit: &[Value]) {
        let all = audit.iter().filter_map(|page| page["items"].as_array()).flatten();
        self.change(|entries| {
            entries.orders.values_mut().for_each(|order| order.recorded = 0);
            for entry in all {
                let incident = entry["incident"].as_str().unwrap_or_default();
                if let Some(order) = entries.orders.get_mut(incident) {
                    order.recorded += 1;
                }
            }
        });
    }

    /// Notes that a query was accepted.
    pub(super) fn asked(&self, query: &str) {
        self.change(|entries| entries.asked.accept(query));
    }

    /// Notes a call that was made for a query.
    pub(super) fn called(&self, name: &str, key: &str) {
        self.change(|entries| entries.asked.call(name, key));
    }

    /// Notes how a query ended, and how often.
    pub(super) fn answered(&self, query: &str, outcome: &str, ends: usize) {
        self.change(|entries| entries.asked.answer(query, outcome, ends));
    }

    /// The ids of all queries.
    pub(super) fn queries(&self) -> Vec<String> {
        self.read().asked.ids()
    }

    /// The ids of the queries that were not seen to have ended.
    pub(super) fn unanswered(&self) -> Vec<String> {
        self.read().asked.unanswered()
    }

    /// Forgets everything: a new scenario begins.
    pub(super) fn clear(&self) {
        self.change(|entries| *entries = Entries::default());
    }

    /// How much there was since [`Ledger::clear`].
    pub(super) fn work(&self) -> Work {
        let entries = self.read();
        Work {
            faults: entries.faults.len(),
            orders: entries.orders.len(),
            queries: entries.asked.ids().len(),
            under_way: entries.asked.unanswered().len(),
        }
    }

    /// When the node had restarted this container and told of it, had accepted an order that came after
    /// `since`, and had done a query that did; none as long as one of these is missing.
    pub(super) fn recovered(&self, container: &str, since: Instant) -> Option<Instant> {
        let entries = self.read();
        let fault = entries.faults.get(container)?;
        let (told, _) = fault.told.get(TOLD[0])?;
        let ordered = entries.orders.values().map(|order| order.at).filter(|at| *at >= since);
        let answered = entries.asked.answered_since(since)?;
        Some(*fault.restarted.first()?.max(told).max(&ordered.min()?).max(&answered))
    }

    /// What became of everything since [`Ledger::clear`].
    pub(super) fn balance(&self) -> Balance {
        let entries = self.read();
        let faults = entries.faults.values().map(|fault| (fault.at, fault.times()));
        let orders =
            entries.orders.values().map(|order| (order.at, (order.recorded, order.recorded)));
        let mut balance = Balance::default();
        for (at, (least, most)) in faults.chain(orders).chain(entries.asked.times()) {
            balance.accepted += 1;
            balance.twice += usize::from(most > 1);
            if least == 0 {
                balance.lost += 1;
                balance.oldest_lost = Some(balance.oldest_lost.map_or(at, |oldest| oldest.min(at)));
            }
        }
        balance
    }

    /// What became of each piece of work that was not done exactly once, for people.
    pub(super) fn flaws(&self) -> Vec<String> {
        let entries = self.read();
        let faults = entries.faults.iter().filter(|(_, fault)| fault.times() != (1, 1));
        let faults = faults.map(|(id, fault)| {
            let told: Vec<&str> = fault.told.keys().map(String::as_str).collect();
            let (restarts, told) = (fault.restarted.len(), told.join(", "));
            format!("the fault of {id}: restarted {restarts} times, told {told}")
        });
        let orders = entries.orders.iter().filter(|(_, order)| order.recorded != 1);
        let orders =
            orders.map(|(id, order)| format!("the order {id}: on record {} times", order.recorded));
        faults.chain(orders).chain(entries.asked.flaws()).collect()
    }

    /// Waits until `wanted` gives something.
    pub(super) async fn until<T>(&self, wanted: impl Fn(&Self) -> Option<T>) -> T {
        let mut changes = self.changes.subscribe();
        loop {
            changes.mark_unchanged();
            if let Some(value) = wanted(self) {
                return value;
            }
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Fault {
    /// How often what should be done once was done: the least and the most of it.
    fn times(&self) -> (usize, usize) {
        let told = TOLD.map(|change| self.told.get(change).map_or(0, |(_, keys)| keys.len()));
        let times = [self.restarted.len(), told[0], told[1]];
        (times.into_iter().min().unwrap_or(0), times.into_iter().max().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn notice(change: &str) -> Value {
        json!({ "incidents": [{ "change": change, "container": { "id": "a" } }] })
    }

    #[test]
    fn a_fault_is_lost_until_it_was_repaired_and_both_told() {
        let ledger = Ledger::default();
        ledger.strikes("a");
        ledger.told(&notice("opened"), "1");
        ledger.restarted("a");
        assert_eq!(ledger.balance().lost, 1);
        assert_eq!(ledger.flaws(), ["the fault of a: restarted 1 times, told opened"]);
        ledger.told(&notice("resolved"), "2");
        // The same delivery again is no second notification.
        ledger.told(&notice("resolved"), "2");
        assert_eq!(ledger.balance(), Balance { accepted: 1, ..Balance::default() });
        assert!(ledger.flaws().is_empty());
        ledger.restarted("a");
        assert_eq!(ledger.balance().twice, 1);
    }

    #[test]
    fn an_accepted_order_is_lost_until_it_is_in_the_audit() {
        let ledger = Ledger::default();
        ledger.accepted("inc-1");
        assert_eq!(ledger.balance().lost, 1);
        assert!(ledger.balance().oldest_lost.is_some());
        let page = |incident: &str| json!({ "items": [{ "incident": incident }] });
        ledger.audited(&[page("inc-2"), page("inc-1")]);
        assert_eq!(ledger.balance(), Balance { accepted: 1, ..Balance::default() });
        ledger.audited(&[page("inc-1"), page("inc-1")]);
        assert_eq!(ledger.balance().twice, 1);
    }

    #[test]
    fn an_accepted_query_is_lost_until_it_was_done_with_all_its_calls_and_each_happens_once() {
        let ledger = Ledger::default();
        ledger.called("a", "q-1/0/0");
        ledger.asked("q-1");
        ledger.called("b", "q-1/0/1");
        ledger.answered("q-1", "succeeded", 1);
        assert_eq!(ledger.balance().lost, 1, "a call is missing");
        ledger.called("c", "q-1/0/2");
        // The same call again is no second one.
        ledger.called("c", "q-1/0/2");
        assert_eq!(ledger.balance(), Balance { accepted: 1, ..Balance::default() });
        assert!(ledger.flaws().is_empty() && ledger.unanswered().is_empty());
        ledger.answered("q-1", "failed", 1);
        assert_eq!((ledger.balance().lost, ledger.flaws().len()), (1, 1));
        ledger.answered("q-1", "succeeded", 2);
        assert_eq!(ledger.balance().twice, 1, "it ended twice");
        ledger.answered("q-1", "succeeded", 1);
        ledger.called("c", "q-1/1/2");
        assert_eq!(ledger.balance().twice, 1, "a call under another key is another call");
    }
}
