//! CPU and memory: sustained use, short spikes, and containers that are well.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use super::world::{World, rules, steps, symptoms};
use crate::support::engine::{Container, ContainerSpec, Engine};
use crate::support::sink::Sink;
use crate::survival::proxy::{Proxy, Trick};

const BURN: &str = "while :; do :; done";

/// Burns only in its first run.
const BURN_ONCE: &str = "[ -e /tmp/ran ] && exec sleep 3600; touch /tmp/ran; while :; do :; done";

/// A tenth of a core in short periods: saturated without a burden, and evenly within each sample.
/// Its weight keeps a busy machine from taking that tenth away.
fn tenth_of_a_core(name: &str, script: &str) -> ContainerSpec {
    let spec = ContainerSpec::new(name, script).option("--cpu-period=20000");
    spec.option("--cpu-quota=2000").option("--cpu-shares=8192")
}

/// Memory that cannot be dropped: 28 MiB of 32.
fn full(name: &str, then: &str) -> ContainerSpec {
    let script = format!("dd if=/dev/zero of=/memory/all bs=1M count=28; {then}");
    ContainerSpec::new(name, &script).memory_mib(32).option("--tmpfs=/memory:size=30m")
}

fn is_sampled(row: &Value) -> bool {
    row["cpu"].is_number() && row["memory_bytes"].is_number()
}

async fn restarts(world: &World, container: &Container) -> usize {
    world.actions(container, "finished").await.len()
}

/// B2.
#[tokio::test]
async fn cpu_use_that_a_restart_does_not_end_is_never_called_resolved() {
    let world = World::with(&[("RESPONDER__RESTARTS", "1")]).await;
    let burning = world.engine.run(tenth_of_a_core("burning", BURN).mode("auto"));
    let incident = world.incident_that_is(&burning, "escalated").await;
    let symptom = &steps(&incident, "opened")[0]["symptoms"][0];
    assert_eq!(symptom["kind"], "high_cpu", "{symptom}");
    let share = symptom["actual"].as_f64().expect("a share");
    assert!((0.85..1.3).contains(&share), "of its quota, not of a core: {share}");
    let text = symptom["text"].as_str().expect("a text");
    assert!(text.contains("of 0.10 cores for 2 s, at most 85 %"), "{text}");
    let not_resolved = steps(&incident, "not_resolved");
    assert_eq!(not_resolved.len(), 1, "{incident}");
    assert!(not_resolved[0]["reason"].as_str().is_some_and(|why| why.contains("high_cpu")));
    assert_eq!(restarts(&world, &burning).await, 1);
    world.engine.docker(&["rm", "--force", burning.id()]);
}

/// T3b.
#[tokio::test]
async fn an_endless_loop_is_sustained_load_and_asks_for_a_restart() {
    let world = World::start().await;
    let burning = world.engine.run(tenth_of_a_core("burning", BURN).mode("propose"));
    let proposed = |incident: &Value| !steps(incident, "concluded").is_empty();
    let incident = world.incident(&burning, "proposed", proposed).await;
    let diagnosis = steps(&incident, "diagnosed")[0];
    assert_eq!(
        (&diagnosis["verdict"], &diagnosis["action"]),
        (&"remediate".into(), &"restart".into())
    );
    assert!(diagnosis["confidence"].as_f64() >= Some(0.75), "{diagnosis}");
    assert!(["critical_resource", "sustained_cpu"].contains(&rules(&incident)[0]), "{diagnosis}");
}

/// T6a.
#[tokio::test]
async fn a_cpu_loop_goes_the_whole_way_from_alert_to_a_verified_restart() {
    let world = World::start().await;
    let looping = world.engine.run(tenth_of_a_core("looping", BURN_ONCE).mode("auto"));
    let before = looping.started_at();
    let incident = world.incident_that_is(&looping, "resolved").await;
    let kinds = ["opened", "evidence", "diagnosed", "gates", "action_intended"];
    let kinds = [&kinds[..], &["action_finished", "verifying", "concluded"]].concat();
    let places: Vec<_> = kinds.iter().map(|kind| steps(&incident, kind)[0]["n"].as_u64()).collect();
    assert!(places.is_sorted(), "{kinds:?}: {places:?}");
    assert_eq!(symptoms(&incident), ["high_cpu"]);
    assert!(looping.started_at() > before);
    assert_eq!(restarts(&world, &looping).await, 1);
}

/// T3a.
#[tokio::test]
async fn a_cpu_spike_shorter_than_the_window_is_seen_and_is_no_fault() {
    let world = World::with(&[("MONITOR__CPU_WINDOW", "30s")]).await;
    let spec =
        tenth_of_a_core("spiky", "mkfifo /tmp/go; read go </tmp/go; while :; do sleep 1; done");
    let spiky = world.engine.run(spec.mode("auto"));
    world.row(&spiky, "sampled", is_sampled).await;
    spiky.exec(&format!("({BURN}) </dev/null >/dev/null 2>&1 & echo $! >/tmp/burner"));
    world.row(&spiky, "busy", |row| row["cpu"].as_f64() > Some(0.85)).await;
    spiky.exec("kill -KILL $(cat /tmp/burner)");
    world.row(&spiky, "calm again", |row| row["cpu"].as_f64() < Some(0.5)).await;
    world.marker().await;
    world.assert_left_alone(&spiky).await;
}

/// T3a, once the load has lasted for the window: it is over by the time of the diagnosis, for which the
/// engine is slow to answer.
#[tokio::test]
async fn a_cpu_spike_that_is_over_by_the_time_of_the_diagnosis_is_a_false_alarm() {
    let (slow, engine) = (Arc::new(AtomicBool::new(false)), Engine::connect());
    let evidence = ["/logs?", "/json"].map(str::to_owned).to_vec();
    let proxy = Proxy::start(engine.host(), Trick::HangWhile(Arc::clone(&slow), evidence));
    let options = [
        ("DOCKER__HOST", proxy.host()),
        ("ANALYZER__EVIDENCE_WAIT", "80s"),
        ("ANALYZER__STABILISATION", "20s"),
    ];
    let world = World::with(&options).await;
    let spec =
        tenth_of_a_core("spiky", "mkfifo /tmp/go; read go </tmp/go; while :; do sleep 1; done");
    // Reached on a busy machine, too, which leaves it less than its tenth.
    let spiky = world.engine.run(spec.mode("auto").label("perennial.cpu", "30"));
    world.row(&spiky, "sampled", is_sampled).await;
    slow.store(true, Ordering::SeqCst);
    spiky.exec(&format!("({BURN}) </dev/null >/dev/null 2>&1 & echo $! >/tmp/burner"));
    let incident = world.incident(&spiky, "open", |_| true).await;
    assert_eq!(steps(&incident, "opened")[0]["symptoms"][0]["kind"], "high_cpu", "{incident}");
    spiky.exec("kill -KILL $(cat /tmp/burner)");
    let calm = |incident: &Value| !steps(incident, "symptoms_changed").is_empty();
    let incident = world.incident(&spiky, "calm again", calm).await;
    assert!(rules(&incident).is_empty(), "{incident}");
    slow.store(false, Ordering::SeqCst);

    let incident = world.incident_that_is(&spiky, "recovered").await;
    assert_eq!(rules(&incident), ["transient"]);
    let diagnosis = steps(&incident, "diagnosed")[0];
    assert_eq!(diagnosis["verdict"], "false_alarm", "{diagnosis}");
    assert_eq!(diagnosis["confidence"], 0.65, "{diagnosis}");
    world.assert_not_acted_on(&spiky).await;
}

/// B7.
#[tokio::test]
async fn cpu_and_memory_together_are_one_incident_with_one_action_told_once() {
    let sink = Sink::start();
    let url = sink.url("/hook");
    let waits = [("ALERT__GROUP_WAIT", "1s"), ("ALERT__GROUP_INTERVAL", "1s")];
    let world = World::with(&[waits[0], waits[1], ("ALERT__WEBHOOK__URL", &url)]).await;
    // Memory first and steady by the time it counts, so that it alone asks for no restart.
    let both = "[ -e /tmp/ran ] && exec sleep 3600; touch /tmp/ran
        dd if=/dev/zero of=/memory/all bs=1M count=28; sleep 3; while :; do :; done";
    let spec = tenth_of_a_core("stressed", both).memory_mib(32).option("--tmpfs=/memory:size=30m");
    let stressed = world.engine.run(spec.mode("auto"));
    let incident = world.incident_that_is(&stressed, "resolved").await;
    assert_eq!(symptoms(&incident), ["high_cpu", "high_memory"]);
    assert_eq!(world.incidents(&stressed).await.len(), 1);
    assert_eq!(restarts(&world, &stressed).await, 1);

    let told = |change: &str| {
        let received = sink.received();
        let bodies = received.iter().map(|request| request.json());
        let items =
            bodies.flat_map(|body| body["incidents"].as_array().cloned().unwrap_or_default());
        items.filter(|item| item["id"] == incident["id"] && item["change"] == change).count()
    };
    let resolved = async || if told("resolved") > 0 { Ok(()) } else { Err(sink.received().len()) };
    crate::support::wait::eventually("its end to be told", super::world::SOON, resolved).await;
    let begun = told("opened") + told("no_safe_action") + told("worsened");
    assert!(told("opened") <= 1 && begun >= 1, "its beginning is told once: {:?}", sink.received());
    assert_eq!(told("resolved"), 1);
}

/// B8.
#[tokio::test]
async fn a_container_that_is_well_is_listed_as_such_and_left_alone_while_others_fall_ill() {
    let world = World::start().await;
    let healthy = world.engine.run(ContainerSpec::idle("healthy").mode("auto"));
    let started = healthy.started_at();
    let sick = ContainerSpec::new("sick", "exit 1").restart("always");
    let sick = world.engine.run(sick);
    let loops = |incident: &Value| rules(incident).contains(&"crash_loop");
    world.incident(&sick, "a crash loop", loops).await;
    world.marker().await;
    let row = world.row(&healthy, "sampled", is_sampled).await;
    assert_eq!((&row["state"], &row["watched"]), (&"running".into(), &true.into()));
    assert_eq!(row["symptoms"], Value::Array(Vec::new()));
    world.assert_left_alone(&healthy).await;
    assert_eq!(healthy.started_at(), started);
}

/// T2.
#[tokio::test]
async fn a_healthy_container_is_shown_with_its_figures_and_opens_no_incident() {
    let world = World::start().await;
    let check = crate::support::engine::Health {
        command: "true",
        interval: std::time::Duration::from_millis(500),
        retries: 1,
        start_period: std::time::Duration::ZERO,
    };
    let spec = ContainerSpec::idle("web").memory_mib(32).cpus(0.5).health(check);
    let web = world.engine.run(spec);
    let shown = |row: &Value| is_sampled(row) && row["health"] == "healthy";
    let row = world.row(&web, "healthy and sampled", shown).await;
    assert_eq!(row["name"], web.name());
    assert_eq!(row["memory_limit_bytes"], 32 << 20);
    assert!(row["memory"].as_f64().is_some_and(|share| share > 0.0 && share < 0.5), "{row}");
    assert_eq!(row["coverage_gaps"], Value::Array(Vec::new()));
    world.marker().await;
    world.assert_left_alone(&web).await;
}

/// T6b.
#[tokio::test]
async fn memory_that_stays_near_its_limit_is_told_and_not_called_a_false_alarm() {
    let world = World::start().await;
    let hungry = world.engine.run(full("hungry", "exec sleep 3600").mode("auto"));
    let incident = world.incident(&hungry, "diagnosed", |i| i["diagnosis"].is_object()).await;
    let symptom = &steps(&incident, "opened")[0]["symptoms"][0];
    assert_eq!(symptom["kind"], "high_memory", "{symptom}");
    assert!(symptom["actual"].as_f64() > Some(0.8), "{symptom}");
    assert_eq!(incident["diagnosis"]["rule"], "steady_memory", "{incident}");
    assert_eq!(incident["diagnosis"]["verdict"], "no_safe_action");
    assert!(world.actions(&hungry, "intended").await.is_empty());
}

/// T6b.
#[tokio::test]
async fn the_page_cache_of_a_written_file_is_no_use_of_memory() {
    let world = World::start().await;
    let script = "dd if=/dev/zero of=/tmp/file bs=1M count=40; exec sleep 3600";
    let writer = world.engine.run(ContainerSpec::new("writer", script).memory_mib(32).mode("auto"));
    let read = "cat /sys/fs/cgroup/memory/memory.usage_in_bytes 2>/dev/null \
        || cat /sys/fs/cgroup/memory.current";
    let charged = async || {
        let bytes: u64 = writer.exec(read).parse().expect("a number");
        if bytes > 27 << 20 { Ok(()) } else { Err(bytes) }
    };
    crate::support::wait::eventually("the cache to fill", super::world::SOON, charged).await;
    world.marker().await;
    let row = world.row(&writer, "sampled", is_sampled).await;
    assert!(row["memory"].as_f64() < Some(0.5), "{row}");
    world.assert_left_alone(&writer).await;
}
