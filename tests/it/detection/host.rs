//! B3: containers without a memory limit, and the memory of the machine they share.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::scope::{is_told_of, told_of};
use super::world::{SOON, World, rules, steps, symptoms};
use crate::support::engine::{Container, ContainerSpec};
use crate::support::sink::Sink;
use crate::support::wait::eventually;

/// What the kernel would tell of this machine if as much of its memory was in use as the test says.
struct Proc {
    directory: TempDir,
    total_kib: u64,
}

impl Proc {
    fn used(percent: u64) -> Proc {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        fs::create_dir(directory.path().join("pressure")).expect("a directory can be made");
        let own = fs::read_to_string("/proc/meminfo").expect("this machine tells of its memory");
        let total = own.lines().find_map(|line| line.strip_prefix("MemTotal:")?.strip_suffix("kB"));
        let total_kib = total.and_then(|kib| kib.trim().parse().ok()).expect("kibibytes");
        let proc = Proc { directory, total_kib };
        proc.set(percent, 0);
        proc
    }

    /// From now on so much is in use, and some task waited for memory for this part of the minute.
    fn set(&self, used: u64, stalled: u64) {
        let available = self.total_kib * (100 - used) / 100;
        let total = self.total_kib;
        self.write("meminfo", &format!("MemTotal: {total} kB\nMemAvailable: {available} kB\n"));
        let some = format!("some avg10=0.00 avg60={stalled}.00 avg300=0.00 total=1\n");
        self.write("pressure/memory", &some);
    }

    /// Whole at any moment, as the kernel's own files are.
    fn write(&self, name: &str, text: &str) {
        let new = self.directory.path().join("new");
        fs::write(&new, text).expect("a file can be written");
        fs::rename(&new, self.directory.path().join(name)).expect("a file can be renamed");
    }

    fn path(&self) -> &str {
        as_text(self.directory.path())
    }
}

fn as_text(path: &Path) -> &str {
    path.to_str().expect("a temporary directory has a plain name")
}

async fn world(proc: &Proc, sink: &Sink) -> World {
    World::with(&[
        ("MONITOR__PROC", proc.path()),
        ("ALERT__GROUP_WAIT", "500ms"),
        ("ALERT__GROUP_INTERVAL", "500ms"),
        ("ALERT__WEBHOOK__URL", &sink.url("/hook")),
    ])
    .await
}

/// Holds 48 MiB that cannot be dropped.
fn large(name: &str) -> ContainerSpec {
    let fill = "dd if=/dev/zero of=/memory/all bs=1M count=48; exec sleep 3600";
    ContainerSpec::new(name, fill).option("--tmpfs=/memory:size=64m").mode("auto")
}

fn is_full(row: &Value) -> bool {
    row["memory_bytes"].as_u64() > Some(48 << 20)
}

fn is_diagnosed(incident: &Value) -> bool {
    incident["diagnosis"].is_object()
}

/// Waits until the webhook was told this change of the container's incident.
async fn is_told(sink: &Sink, container: &Container, change: &str) {
    let told = async || {
        let bodies = sink.received().into_iter().map(|request| request.json());
        let items =
            bodies.flat_map(|body| body["incidents"].as_array().cloned().unwrap_or_default());
        let own = items.filter(|item| item["container"]["id"] == container.id());
        let changes: Vec<Value> = own.map(|item| item["change"].clone()).collect();
        if changes.iter().any(|told| told == change) { Ok(()) } else { Err(changes) }
    };
    eventually(&format!("{change} to be told"), SOON, told).await;
}

#[tokio::test]
async fn a_container_without_a_limit_on_a_host_with_room_is_said_once_to_have_none_and_left_alone()
{
    let (sink, proc) = (Sink::start(), Proc::used(50));
    let world = world(&proc, &sink).await;
    let unlimited = world.engine.run(large("unlimited"));
    let row = world.row(&unlimited, "full", is_full).await;
    assert_eq!((&row["memory"], &row["memory_limit_bytes"]), (&Value::Null, &Value::Null));
    assert_eq!(row["coverage_gaps"], json!(["no_memory_limit", "no_health_check"]));
    is_told_of(&sink, &unlimited).await;
    world.marker().await;
    world.assert_left_alone(&unlimited).await;
    assert_eq!(told_of(&sink, &unlimited), [json!(["no_memory_limit", "no_health_check"])]);
}

#[tokio::test]
async fn on_a_host_short_of_memory_the_largest_container_without_a_limit_is_told_of_and_left_running()
 {
    let (sink, proc) = (Sink::start(), Proc::used(50));
    let world = world(&proc, &sink).await;
    let unlimited = world.engine.run(large("unlimited"));
    let limited = world.engine.run(large("limited").memory_mib(96));
    let small = world.engine.run(ContainerSpec::idle("small").mode("auto"));
    world.row(&unlimited, "full", is_full).await;
    world.row(&limited, "full", is_full).await;
    world.row(&small, "sampled", |row| row["memory_bytes"].is_number()).await;
    assert_eq!(world.incidents(&unlimited).await, Vec::<Value>::new());
    let run = unlimited.started_at();

    proc.set(97, 20);
    let incident = world.incident(&unlimited, "diagnosed", is_diagnosed).await;
    let symptom = &steps(&incident, "opened")[0]["symptoms"][0];
    assert_eq!(symptom["kind"], "host_pressure", "{symptom}");
    assert_eq!(symptom["severity"], "critical", "{symptom}");
    let text = symptom["text"].as_str().expect("a text");
    for part in ["97 % of ", "at most 90 %", "waited for memory 20 %"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let diagnosis = &incident["diagnosis"];
    assert_eq!(diagnosis["rule"], "host_pressure", "{diagnosis}");
    assert_eq!(diagnosis["verdict"], "no_safe_action", "{diagnosis}");
    is_told(&sink, &unlimited, "no_safe_action").await;

    proc.set(50, 0);
    world.incident_that_is(&unlimited, "recovered").await;
    world.assert_not_acted_on(&unlimited).await;
    assert_eq!(unlimited.started_at(), run);
    for other in [&limited, &small] {
        world.assert_left_alone(other).await;
    }
}

#[tokio::test]
async fn memory_that_grows_without_a_limit_is_told_of_before_the_host_is_short() {
    let (sink, proc) = (Sink::start(), Proc::used(50));
    let url = sink.url("/hook");
    let options = [
        ("MONITOR__PROC", proc.path()),
        ("MONITOR__LEAK_WINDOW", "20s"),
        ("MONITOR__LEAK_POINTS", "8"),
        ("MONITOR__LEAK_HORIZON", "30days"),
        ("ALERT__WEBHOOK__URL", &url),
        ("ALERT__GROUP_WAIT", "500ms"),
        ("ALERT__GROUP_INTERVAL", "500ms"),
    ];
    let world = World::with(&options).await;
    let steady = world.engine.run(large("steady"));
    let grow = "i=0; while [ $i -lt 180 ]; do i=$((i + 1))
        dd if=/dev/zero of=/memory/$i bs=1M count=1; sleep 0.5; done; exec sleep 3600";
    let growing = ContainerSpec::new("growing", grow).option("--tmpfs=/memory:size=200m");
    let growing = world.engine.run(growing.mode("auto"));
    let incident = world.incident(&growing, "diagnosed", is_diagnosed).await;
    assert_eq!(symptoms(&incident), ["memory_leak"]);
    let text = steps(&incident, "opened")[0]["symptoms"][0]["text"].as_str().expect("a text");
    assert!(text.contains("without a limit uses up the "), "{text}");
    assert_eq!(rules(&incident), ["no_memory_limit"]);
    assert_eq!(incident["diagnosis"]["verdict"], "no_safe_action", "{incident}");
    is_told(&sink, &growing, "no_safe_action").await;
    world.assert_not_acted_on(&growing).await;
    world.assert_left_alone(&steady).await;
}

#[tokio::test]
async fn a_node_that_cannot_see_its_hosts_memory_says_so_and_does_the_rest() {
    let (sink, proc) = (Sink::start(), Proc::used(99));
    fs::remove_file(proc.directory.path().join("meminfo")).expect("the file is there");
    let world = world(&proc, &sink).await;
    let unlimited = world.engine.run(large("unlimited"));
    world.row(&unlimited, "full", is_full).await;
    let (status, checks) = world.node.get("/readyz?verbose").await;
    let docker = checks.lines().find(|line| line.starts_with("[+]docker ok: "));
    assert!(docker.is_some_and(|line| line.contains("is not judged")), "{checks}");
    assert_eq!(status, 200);
    world.marker().await;
    world.assert_left_alone(&unlimited).await;
    assert_eq!(world.node.log().matches("is not judged").count(), 1, "said once");
}
