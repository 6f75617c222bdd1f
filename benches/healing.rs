//! How fast a fault becomes an incident, an action and a notification, and what watching costs.
//!
//! `cargo bench --bench healing` (as root: it starts a private Docker engine). `ROUNDS` faults
//! (default 30), each a container whose main process is killed from outside the engine, as a crash or
//! the kernel would; then `CONTAINERS` (default 100) idle containers, watched for `SECONDS` (default
//! 60). Everything is measured from outside the node, on the clock of this machine.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark ends with a panic where it cannot go on, and prints"
)]

use std::fs;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tokio::time::Instant;

use it::support::engine::{Container, ContainerSpec, Engine};
use it::support::node::Node;
use it::support::process::signal;
use it::support::sink::Sink;

#[path = "../tests/it"]
#[expect(dead_code, unused_imports, reason = "shared with the tests, which use more of it")]
#[expect(clippy::expect_used, clippy::print_stderr, reason = "helpers of tests panic and tell why")]
mod it {
    pub(crate) mod support;
}

/// Longer than anything measured here.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    let threads = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    threads.block_on(async {
        faults(&Engine::start_private().await).await;
        // Another one, whose memory of events is empty.
        watching(&Engine::start_private().await).await;
    });
}

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

async fn node(engine: &Engine, more: &str) -> (Node, Duration) {
    let config = format!(
        "[docker]\nhost = \"{}\"\n[monitor]\ninclude = [\"{}\"]\n{more}",
        engine.host(),
        engine.names()
    );
    let began = Instant::now();
    let node = Node::builder().toml(&config).start().await;
    (node, began.elapsed())
}

/// Milliseconds from the kill, of each stage.
#[derive(Default)]
struct Stages {
    event: Vec<f64>,
    incident: Vec<f64>,
    intent: Vec<f64>,
    running: Vec<f64>,
    told: Vec<f64>,
    detected: Vec<f64>,
}

async fn faults(engine: &Engine) {
    let sink = Sink::start();
    let budgets = "[responder]\nbudget_per_node = 100000\n";
    let webhook = format!("[alert.webhook]\nurl = \"{}\"\nkey = \"k\"\n", sink.url("/hook"));
    let (node, ready) = node(engine, &format!("{budgets}{webhook}")).await;
    println!("start to ready: {:.0} ms", ready.as_secs_f64() * 1e3);
    let mut stages = Stages::default();
    for round in 0..setting("ROUNDS", 30) {
        let spec = ContainerSpec::idle(&format!("victim-{round}")).mode("auto");
        let victim = engine.run(spec.memory_mib(64));
        fault(&node, &sink, &victim, &mut stages).await;
    }
    println!("\nmilliseconds from the death of a container's process   p50      p99      max");
    row("the engine's event of it", stages.event);
    row("the incident is recorded", stages.incident);
    row("the restart's intent is durable, the engine is called", stages.intent);
    row("the container runs again", stages.running);
    row("the notification has arrived (critical)", stages.told);
    println!("milliseconds from the engine's event");
    row("the incident is recorded", stages.detected);
}

async fn fault(node: &Node, sink: &Sink, victim: &Container, stages: &mut Stages) {
    let watched = "/v1/containers";
    until(|| async {
        let list = node.get_json(watched).await;
        list["items"].as_array().unwrap().iter().any(|item| item["id"] == victim.id()).then_some(())
    })
    .await;
    let pid = victim.inspect()["State"]["Pid"].as_u64().unwrap();
    let told_before = sink.received().len();
    let (killed, killed_at) = (Instant::now(), unix_now());
    signal(u32::try_from(pid).unwrap(), "KILL");
    let incident = until(|| async {
        let list = node.get_json("/v1/incidents").await;
        let mine = |item: &&Value| item["container"]["id"] == victim.id();
        let id = list["items"].as_array().unwrap().iter().find(mine)?["id"].as_str()?.to_owned();
        let incident = node.get_json(&format!("/v1/incidents/{id}")).await;
        at(&incident, "action_finished").is_some().then_some(incident)
    })
    .await;
    let told = until(|| async { sink.received().get(told_before).cloned() }).await;
    let since = |time: f64| (time - killed_at) * 1e3;
    let event = time(&incident["event_at"]);
    let opened = at(&incident, "opened").unwrap();
    stages.event.push(since(event));
    stages.incident.push(since(opened));
    stages.detected.push((opened - event) * 1e3);
    stages.intent.push(since(at(&incident, "action_intended").unwrap()));
    stages.running.push(since(time(&victim.inspect()["State"]["StartedAt"])));
    stages.told.push(told.at.duration_since(killed).as_secs_f64() * 1e3);
}

async fn watching(engine: &Engine) {
    let seconds = setting("SECONDS", 60);
    let (idle, _) = node(engine, "").await;
    let (memory, cpu) = cost(&idle, seconds).await;
    println!("\nwatching   0 containers: {memory:.1} MB resident, {cpu:.2} % of a core");
    drop(idle);
    let count = setting("CONTAINERS", 100);
    let spec = |n| ContainerSpec::idle(&format!("idle-{n}")).memory_mib(16);
    let containers: Vec<Container> = (0..count).map(|n| engine.run(spec(n))).collect();
    let (node, ready) = node(engine, "").await;
    let (memory, cpu) = cost(&node, seconds).await;
    println!("watching {count:3} containers: {memory:.1} MB resident, {cpu:.2} % of a core");
    println!("start to ready with {count} containers: {:.0} ms", ready.as_secs_f64() * 1e3);
    drop(containers);
}

/// Resident megabytes at the end, and the share of a core used, after a settling time.
async fn cost(node: &Node, seconds: usize) -> (f64, f64) {
    tokio::time::sleep(Duration::from_secs(20)).await;
    let (before, began) = (cpu_seconds(node.pid()), Instant::now());
    tokio::time::sleep(Duration::from_secs(seconds as u64)).await;
    let used = cpu_seconds(node.pid()) - before;
    (resident_megabytes(node.pid()), used / began.elapsed().as_secs_f64() * 100.0)
}

fn resident_megabytes(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0 / 1e6
}

/// User and system time. The kernel counts in hundredths on every Linux architecture.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |index: usize| fields[index].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

fn unix_now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64()
}

/// When the first entry of this kind was written to the journal.
fn at(incident: &Value, kind: &str) -> Option<f64> {
    let journal = incident["journal"].as_array()?;
    journal.iter().find(|entry| entry["kind"] == kind).map(|entry| time(&entry["at"]))
}

fn time(text: &Value) -> f64 {
    let instant: jiff::Timestamp = text.as_str().unwrap().parse().unwrap();
    instant.as_microsecond() as f64 / 1e6
}

fn row(what: &str, mut values: Vec<f64>) {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[((values.len() - 1) as f64 * share).ceil() as usize];
    println!("{what:<54} {:>7.1}  {:>7.1}  {:>7.1}", at(0.5), at(0.99), at(1.0));
}

/// Waits until `probe` gives something.
async fn until<T, F: Future<Output = Option<T>>>(probe: impl Fn() -> F) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "what was waited for did not happen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
