//! Queries that many clients submit to a node which is killed again and again: `QUERY_ROUNDS=100 QUERY_SEED=7`
//! for more of it, and to see one run again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{World, text};
use crate::support::answers::LONG;
use crate::support::dice::{Dice, setting};
use crate::support::node::Node;
use crate::support::process::signal;
use crate::support::wait::eventually;

/// Rounds without `QUERY_ROUNDS`.
const ROUNDS: u64 = 6;
/// Queries that are submitted in each round: no more than the appends that a file remembers, beyond which it
/// cannot tell whether one that a crash cut off was done.
const QUERIES: usize = 12;
/// Who submit them at the same time.
const CLIENTS: usize = 4;
/// The latest moment of a kill, after the node listens.
const LATEST_MS: u64 = 1_500;

/// Ids of the queries that were accepted, by their names; none yet for the others.
type Accepted = Arc<Mutex<BTreeMap<String, Option<String>>>>;

/// Two lines in two files of its round, the second of which needs what the first one resulted in.
fn plan(name: &str) -> Value {
    let round = name.split('-').nth(1).expect("a name holds its round");
    let line = |file: &str, content: String| json!({"path": format!("{file}-{round}"), "mode": "append", "content": content});
    json!({"name": name, "steps": [
        {"id": "first", "tool": "file_write", "arguments": line("first", format!("{name}\n"))},
        {"id": "second", "tool": "file_write",
         "arguments": line("second", format!("{name} {{{{ steps.first.result.bytes }}}}\n"))},
    ]})
}

/// Submits a query, and once more what was accepted. What is accepted twice is accepted as the same.
async fn give(http: &reqwest::Client, url: &str, name: &str, accepted: &Accepted) {
    for _ in 0..2 {
        let request =
            http.post(url).header("idempotency-key", name).json(&json!({"plan": plan(name)}));
        let Ok(answer) = request.send().await else { return };
        if answer.status() != 202 {
            continue;
        }
        let Ok(answer) = answer.json::<Value>().await else { return };
        let id = text(&answer["id"]).to_owned();
        let before = accepted.lock().unwrap().insert(name.to_owned(), Some(id.clone())).flatten();
        assert!(before.is_none_or(|before| before == id), "{name} was accepted as another query");
    }
}

/// Submits these queries, by several clients at the same time.
async fn give_all(node: &Node, names: &[String], accepted: &Accepted) {
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let names: Vec<String> = names.iter().skip(client).step_by(CLIENTS).cloned().collect();
        let (http, url) = (node.http().clone(), node.url("/v1/queries"));
        let accepted = Arc::clone(accepted);
        clients.spawn(async move {
            for name in names {
                give(&http, &url, &name, &accepted).await;
            }
        });
    }
    clients.join_all().await;
}

/// Names of queries that were not accepted yet.
fn open(accepted: &Accepted) -> Vec<String> {
    let accepted = accepted.lock().unwrap();
    accepted.iter().filter(|(_, id)| id.is_none()).map(|(name, _)| name.clone()).collect()
}

fn kill_after(node: &Node, moment: Duration) -> tokio::task::JoinHandle<()> {
    let pid = node.pid();
    tokio::spawn(async move {
        tokio::time::sleep(moment).await;
        signal(pid, "KILL");
    })
}

/// All queries that the node knows.
async fn listed(node: &Node) -> Vec<Value> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = node.get_json(&format!("/v1/queries?limit=1000{after}")).await;
        all.extend(super::items(&page));
        let Some(next) = page["next"].as_str() else { return all };
        after = format!("&after={next}");
    }
}

/// Waits until every query has ended, and returns what they ended as.
async fn ends(world: &World, hint: &str) -> Vec<Value> {
    eventually("every query to end", 4 * LONG, async || {
        let all = listed(&world.node).await;
        let busy = all.iter().filter(|query| query["status"] != "finished").count();
        if busy == 0 { Ok(all) } else { Err(format!("{hint}: {busy} of {} have not", all.len())) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn whenever_a_node_is_killed_each_query_it_accepted_is_done_once_and_wholly() {
    let (rounds, seed) = (setting("QUERY_ROUNDS", ROUNDS), setting("QUERY_SEED", 1));
    let (mut dice, accepted) = (Dice(seed), Accepted::default());
    let mut world = World::start().await;
    let mut hint = String::new();
    for round in 0..rounds {
        let moment = Duration::from_millis(dice.below(LATEST_MS));
        hint = format!(
            "QUERY_SEED={seed} QUERY_ROUNDS={rounds}, round {round}, killed after {moment:?}"
        );
        let names: Vec<String> =
            (0..QUERIES).map(|number| format!("query-{round}-{number}")).collect();
        accepted.lock().unwrap().extend(names.iter().map(|name| (name.clone(), None)));
        let killed = kill_after(&world.node, moment);
        give_all(&world.node, &open(&accepted), &accepted).await;
        killed.await.expect("a kill does not panic");
        world.node.kill9();
        world.node.restart_listening().await;
    }
    while !open(&accepted).is_empty() {
        give_all(&world.node, &open(&accepted), &accepted).await;
    }
    let given = accepted.lock().unwrap().clone();
    assert_eq!(given.len(), QUERIES * usize::try_from(rounds).unwrap());

    let ended = ends(&world, &hint).await;
    assert_eq!(ended.len(), given.len(), "{hint}: what was accepted is there, once");
    for query in &ended {
        assert_eq!(query["outcome"], "succeeded", "{hint}: {query}");
        let id = given.get(text(&query["name"])).and_then(Option::as_deref);
        assert_eq!(id, query["id"].as_str(), "{hint}: who submitted it knows its id");
    }
    let sorted = |file: &str| {
        let files = (0..rounds).map(|round| world.read(&format!("{file}-{round}")));
        let whole: String = files.collect();
        let mut lines: Vec<String> = whole.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let names: Vec<String> = given.keys().cloned().collect();
    assert_eq!(sorted("first"), names, "{hint}: each line once");
    let mut second: Vec<String> =
        names.iter().map(|name| format!("{name} {}", name.len() + 1)).collect();
    second.sort();
    assert_eq!(sorted("second"), second, "{hint}: each line once");
    give_all(&world.node, &names, &accepted).await;
    assert_eq!(
        *accepted.lock().unwrap(),
        given,
        "{hint}: a name that is given again is the same query"
    );
    assert_eq!(sorted("first"), names, "{hint}: and is not done again");
}
