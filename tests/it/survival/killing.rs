//! The kill loop: a node under load, killed at random moments, started again and checked, round by round.
//!
//! `ROUNDS=1000 SEED=7 tests/run killing` for more of it, and to see one run again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use perennial_healing::alert::{Entry, JOURNAL, JournalEntry};
use perennial_healing::model::ActionOutcome;
use perennial_healing::responder::audit::{ACTIONS, AuditEntry, Stage, verify_chain};
use perennial_runtime::Timestamp;
use perennial_store::{Backend, Key, SledBackend, SledOptions, decode, open};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::proxy::{Proxy, Trick};
use super::{LONG, node, text, told};
use crate::support::dice::{Dice, setting};
use crate::support::engine::{Container, ContainerSpec, Engine};
use crate::support::node::Node;
use crate::support::process::signal;
use crate::support::sink::{Received, Sink};
use crate::support::wait::eventually;

/// Rounds without `ROUNDS`.
const ROUNDS: u64 = 50;
/// Orders given in each round.
const ORDERS: u64 = 24;
/// People who give them at the same time.
const PEOPLE: u64 = 4;
/// The latest moment of a kill, after the node was started: it listens, is ready and works by then.
const LATEST_MS: u64 = 1_200;
/// Every so many rounds the node is stopped in order: after a kill it is careful, and starts anew to be
/// quick only then.
const ORDERLY: u64 = 4;

/// Ends with an error in its first run only, and writes a line per run.
fn counted(name: &str) -> ContainerSpec {
    let script = "echo run; trap 'exit 0' TERM; if test -e /tmp/was; then while :; do \
                  sleep 3600 & wait $!; done; fi; touch /tmp/was; exit 3";
    ContainerSpec::new(name, script).mode("auto")
}

/// What people ordered, by the name of the order: the incident it was accepted under, once it was.
type Orders = Arc<Mutex<BTreeMap<String, Option<String>>>>;

/// Gives this order until the node is gone. What is accepted twice is accepted as the same.
async fn give(http: reqwest::Client, url: String, container: String, name: String, orders: Orders) {
    let body = json!({ "container": container, "action": "restart", "reason": "a test" });
    for _ in 0..2 {
        let order = http.post(&url).header("idempotency-key", &name).json(&body);
        let Ok(answer) = order.send().await else { return };
        if answer.status() != 202 {
            continue;
        }
        let Ok(answer) = answer.json::<Value>().await else { return };
        let incident = text(&answer["incident"]).to_owned();
        let mut orders = orders.lock().unwrap();
        let before = orders.insert(name.clone(), Some(incident.clone())).flatten();
        assert!(before.is_none_or(|before| before == incident), "{name} was accepted as another");
    }
}

/// Gives all orders that were not accepted yet.
async fn give_all(node: &Node, idle: &Container, orders: &Orders) {
    let open: Vec<String> = {
        let orders = orders.lock().unwrap();
        let open = orders.iter().filter(|(_, incident)| incident.is_none());
        open.map(|(name, _)| name.clone()).collect()
    };
    let mut people = tokio::task::JoinSet::new();
    for person in 0..usize::try_from(PEOPLE).unwrap() {
        let names: Vec<_> = open.iter().skip(person).step_by(PEOPLE as usize).cloned().collect();
        let (http, url) = (node.http().clone(), node.url("/v1/actions"));
        let (idle, orders) = (idle.id().to_owned(), Arc::clone(orders));
        people.spawn(async move {
            for name in names {
                give(http.clone(), url.clone(), idle.clone(), name, Arc::clone(&orders)).await;
            }
        });
    }
    people.join_all().await;
}

/// What a node that is not running has stored.
struct Stored {
    audit: Vec<AuditEntry>,
    journal: Vec<(Key, JournalEntry)>,
}

impl Stored {
    fn read(node: &Node) -> Stored {
        let store = SledBackend::open(&node.data_dir().join("store"), SledOptions::default());
        let store = store.expect("what a killed node leaves can be opened");
        let rows = |keys: std::ops::Range<Key>| {
            store.scan(&keys.start..&keys.end, usize::MAX).expect("rows can be read")
        };
        let audit = rows(Key::rows_all(ACTIONS.name()));
        let journal = rows(Key::rows_all(JOURNAL.name()));
        let stored = Stored {
            audit: audit.iter().map(row).collect(),
            journal: journal.iter().map(|pair| (pair.0.clone(), row(pair))).collect(),
        };
        store.close().expect("a store can be closed");
        stored
    }

    fn intends(&self, container: &str) -> usize {
        let of =
            |entry: &&AuditEntry| entry.subject.id.0 == container && entry.stage == Stage::Intended;
        self.audit.iter().filter(of).count()
    }

    /// What the journal tells of a container's incidents, for whoever reads a failure.
    fn story(&self, container: &str) -> Vec<(Timestamp, &Entry)> {
        let subject = |step: &JournalEntry| {
            if let Entry::Opened { subject, .. } = &step.entry {
                Some(subject.id.0.clone())
            } else {
                None
            }
        };
        let opens = |step| subject(step).is_some_and(|id| id == container);
        let opened = self.journal.iter().filter(|(_, step)| opens(step));
        // The place of a step ends with its number.
        let incident = |place: &Key| place.as_ref()[..place.as_ref().len() - 8].to_vec();
        let incidents: BTreeSet<_> = opened.map(|(place, _)| incident(place)).collect();
        let of = self.journal.iter().filter(|(place, _)| incidents.contains(&incident(place)));
        of.map(|(_, step)| (step.at, &step.entry)).collect()
    }

    /// Whether the journal says that this was to be told: written with the intent to deliver it.
    fn intends_to_tell(&self, request: &Received) -> bool {
        let body = request.json();
        body["incidents"].as_array().expect("incidents").iter().all(|told| {
            let (id, told) = (text(&told["id"]), text(&told["change"]));
            self.journal.iter().any(|(place, step)| {
                let of = |entry: &Entry| matches!(entry, Entry::Notification { change, .. } if change == told);
                place.as_ref().windows(id.len()).any(|part| part == id.as_bytes()) && of(&step.entry)
            })
        })
    }
}

fn row<R: DeserializeOwned>((key, value): &(Key, Vec<u8>)) -> R {
    decode(open(key, value).expect("a row is whole").payload).expect("a row can be read")
}

/// The world around the node, and what was seen of it so far.
struct World {
    engine: Engine,
    sink: Sink,
    heads: Arc<Mutex<Vec<String>>>,
    /// Of the deliveries, those that were looked at.
    looked_at: usize,
    hint: String,
}

impl World {
    /// Nothing that left the node is without its intent in what it stored.
    fn nothing_left_before_its_intent(&mut self, stored: &Stored) {
        let received = self.sink.received();
        for request in &received[self.looked_at..] {
            assert!(stored.intends_to_tell(request), "{}: {:?}", self.hint, request.json());
        }
        self.looked_at = received.len();
        for head in self.heads.lock().unwrap().iter() {
            let container =
                head.split("/containers/").nth(1).and_then(|rest| rest.split('/').next());
            let container = container.unwrap_or_else(|| panic!("{}: {head}", self.hint));
            assert!(stored.intends(container) > 0, "{}: no intent for {head}", self.hint);
        }
    }
}

/// How often a container was started.
fn runs(container: &Container) -> usize {
    container.logs().lines().filter(|line| *line == "run").count()
}

/// Waits until people were told how it ended. What was put aside and had been done all the same is
/// seen to have helped later.
async fn the_end_is_told(sink: &Sink, container: &Container) {
    eventually("the end of an incident to be told", LONG, async || {
        let told = told(&sink.received(), container);
        let has = |end: &str| told.iter().any(|change| change == end);
        let ended =
            has("resolved") || has("escalated") && (runs(container) == 1 || has("recovered"));
        let last = || last_told(&sink.received(), container);
        if ended { Ok(()) } else { Err((container.name().to_owned(), told, last())) }
    })
    .await;
}

/// The last that was told of a container, with why.
fn last_told(received: &[Received], container: &Container) -> Option<Value> {
    let told = received.iter().flat_map(incidents_told);
    told.filter(|incident| incident["container"]["id"] == container.id()).last()
}

fn incidents_told(request: &Received) -> Vec<Value> {
    request.json()["incidents"].as_array().expect("incidents").clone()
}

/// Kills the node after this long, whatever this test is doing then.
fn kill_after(node: &Node, moment: Duration) -> tokio::task::JoinHandle<()> {
    let pid = node.pid();
    tokio::spawn(async move {
        tokio::time::sleep(moment).await;
        signal(pid, "KILL");
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn whenever_a_node_under_load_is_killed_nothing_is_lost_done_twice_or_done_without_intent() {
    let (rounds, seed) = (setting("ROUNDS", ROUNDS), setting("SEED", 1));
    let (mut dice, engine, sink) = (Dice(seed), Engine::connect(), Sink::start());
    let heads = Arc::<Mutex<Vec<String>>>::default();
    let proxy = Proxy::start(engine.host(), Trick::Record(Arc::clone(&heads)));
    let mut node = node(&engine, &sink)
        .env("PERENNIAL__DOCKER__HOST", proxy.host())
        .env("PERENNIAL__RESPONDER__BUDGET_PER_NODE", "1000000")
        // A capture of evidence may be cut off again and again.
        .env("PERENNIAL__ANALYZER__EVIDENCE_WAIT", "30s")
        // Rounds last long on a busy machine, and what was judged in one is done in another.
        .env("PERENNIAL__ANALYZER__REQUEST_DEADLINE", "1h")
        // So may each list and each event that would show that an action helped.
        .env("PERENNIAL__RESPONDER__HEALTH_PATIENCE", "1h")
        .start()
        .await;
    let idle = engine.run(ContainerSpec::idle("idle").mode("observe"));
    super::killed::known(&node, &idle).await;
    let mut world = World { engine, sink, heads, looked_at: 0, hint: String::new() };
    let (orders, mut sick) = (Orders::default(), Vec::new());

    for round in 0..rounds {
        let moment = Duration::from_millis(dice.below(LATEST_MS));
        world.hint = format!("SEED={seed} ROUNDS={rounds}, round {round}, killed after {moment:?}");
        let names = (0..ORDERS).map(|number| (format!("order-{round}-{number}"), None));
        orders.lock().unwrap().extend(names);
        let killed = kill_after(&node, moment);
        let ((), container) = tokio::join!(give_all(&node, &idle, &orders), async {
            tokio::task::block_in_place(|| world.engine.run(counted(&format!("sick-{round}"))))
        });
        sick.push(container);
        killed.await.expect("a kill does not panic");
        node.kill9();
        world.nothing_left_before_its_intent(&Stored::read(&node));
        if round % ORDERLY == ORDERLY - 1 {
            node.restart().await;
            node.sigterm();
        }
        node.restart_listening().await;
    }

    println!("{}", world.hint);
    node.wait_until_ready(LONG).await;
    while orders.lock().unwrap().values().any(Option::is_none) {
        give_all(&node, &idle, &orders).await;
    }
    for container in &sick {
        the_end_is_told(&world.sink, container).await;
    }
    node.sigterm();
    let stored = Stored::read(&node);
    world.nothing_left_before_its_intent(&stored);
    nothing_is_lost_or_done_twice(&world, &stored, &sick, &orders.lock().unwrap());
}

fn nothing_is_lost_or_done_twice(
    world: &World,
    stored: &Stored,
    sick: &[Container],
    orders: &BTreeMap<String, Option<String>>,
) {
    let hint = &world.hint;
    assert_eq!(verify_chain(&stored.audit), Ok(()), "{hint}");
    let refused = stored.audit.iter().filter(|entry| entry.stage == Stage::Refused);
    let mut refused: Vec<&str> = refused.map(|entry| entry.incident.0.as_str()).collect();
    let mut accepted: Vec<&str> = orders.values().flatten().map(String::as_str).collect();
    refused.sort_unstable();
    accepted.sort_unstable();
    assert_eq!(refused, accepted, "{hint}: every accepted order is on record, once");

    let (received, mut resolved) = (world.sink.received(), 0);
    for container in sick {
        let (name, id) = (container.name(), container.id());
        let entries = stored.audit.iter().filter(|entry| entry.subject.id.0 == id);
        let stages: Vec<_> = entries.clone().map(|entry| entry.stage).collect();
        let runs = runs(container);
        let told = told(&received, container);
        if stages == [Stage::Intended, Stage::Finished, Stage::Resolved] {
            assert_eq!(runs, 2, "{hint}: {name} was restarted once");
            assert_eq!(told, ["opened", "resolved"], "{hint}: {name}: {:#?}", stored.story(id));
            resolved += 1;
            continue;
        }
        // An action that was under way at each of several kills is suspected of them, and put aside.
        let put_aside = [Stage::Intended, Stage::Finished, Stage::NotResolved, Stage::Escalated];
        let unknown = entries.filter_map(|entry| entry.outcome.as_ref());
        let unknown =
            unknown.filter(|outcome| matches!(outcome, ActionOutcome::Unknown(_))).count();
        assert_eq!(
            (&stages[..], unknown),
            (&put_aside[..], 1),
            "{hint}: {name}: {:#?}",
            stored.story(id)
        );
        let story: &[&str] = match runs {
            1 => &["opened", "escalated"],
            2 => &["opened", "escalated", "recovered"],
            _ => panic!("{hint}: {name} ran {runs} times"),
        };
        assert_eq!(told, story, "{hint}: {name}: {:#?}", stored.story(id));
    }
    assert!(resolved * 2 > sick.len(), "{hint}: {resolved} of {} resolved", sick.len());
    each_change_is_told_under_one_key(&received, sick, &accepted, hint);
}

/// Of an order people are told only if it was still under way when its group was due: that it is
/// opened, and then how it ends.
fn each_change_is_told_under_one_key(
    received: &[Received],
    sick: &[Container],
    orders: &[&str],
    hint: &str,
) {
    let mut keys: BTreeMap<(String, String), BTreeSet<&str>> = BTreeMap::new();
    for request in received {
        let key = request.header("idempotency-key").expect("a key");
        for incident in incidents_told(request) {
            let (id, change) = (text(&incident["id"]), text(&incident["change"]));
            let of_the_sick = sick.iter().any(|one| incident["container"]["id"] == one.id());
            let of_an_order = orders.contains(&id) && ["opened", "withdrawn"].contains(&change);
            assert!(of_the_sick || of_an_order, "{hint}: {incident:#}");
            keys.entry((id.to_owned(), change.to_owned())).or_default().insert(key);
        }
    }
    for (told, keys) in keys {
        assert_eq!(keys.len(), 1, "{hint}: {told:?}: {keys:?}");
    }
}
