//! The format of the data directory is frozen: what was written when it was new opens and goes on.
//!
//! `tests/fixtures/format-N` is the data directory of a node that wrote format N and was killed in the middle of an
//! incident: restarted a container, was about to see whether that helped, and could tell nobody. `LOCK`
//! and `ballast` are left out; files that are mostly empty are packed.
//!
//! A new format gets a directory of its own beside the others: `PERENNIAL_NEW_SAMPLES=1 tests/run format_N` makes
//! it if there is none.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use perennial_healing::responder::audit::{ACTIONS, AuditEntry};
use perennial_store::{Backend, Key, SledBackend, SledOptions, Tag, check_data, decode, open};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::engine::{ContainerSpec, Engine};
use crate::support::node::{Node, NodeBuilder};
use crate::support::sink::{Answer, Sink};
use crate::support::wait::eventually;

/// Far above what anything awaited here takes, for machines that run many tests at once.
const LONG: Duration = Duration::from_secs(60);
/// The ends of the names of the containers in the fixture: one that was restarted because it had failed, ...
const HEALED: &str = "format-healed";
/// ... one whose failure nobody wanted to be told of, ...
const REFUSED: &str = "format-refused";
/// ... and one whose restart a person ordered and a gate refused.
const ORDERED: &str = "format-ordered";
/// Its audit, in order: whose action, and how far it came.
const AUDIT: [(&str, &str); 4] =
    [(REFUSED, "refused"), (ORDERED, "refused"), (HEALED, "intended"), (HEALED, "finished")];
/// What every node adds that opens that of format 1: the action that the mode held is asked for once more. The
/// moment for that was stored when the fixture was made, and has passed.
const ASKED_AGAIN: (&str, &str) = (REFUSED, "refused");
/// What is packed, by the beginning of its name, and what is taken as it is.
const PACKED: [&str; 4] = ["inflight", "store/db", "store/journal", "store/snap."];
const TAKEN: [&str; 3] = ["FORMAT", "RUNNING", "store/conf"];

/// The format that is written today.
const NEWEST: u32 = 2;

fn fixture(format: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/format-{format}"))
}

/// A node for which no moment comes that is not stored in the fixture, whenever it is started.
fn node(docker: &str, sink: &Sink) -> NodeBuilder {
    Node::builder()
        .toml(&format!("[docker]\nhost = \"{docker}\"\n[monitor]\ninclude = [\"*format-*\"]"))
        .toml("settle_time = \"36500days\"\n[analyzer]\nstabilisation = \"36500days\"")
        .toml("ask_again_after = \"36500days\"")
        .toml("[responder]\nstabilisation = \"36500days\"\nhealth_patience = \"36500days\"")
        .toml("[alert]\nretention = \"36500days\"\nexpires = \"36500days\"")
        .toml("repeat_interval = \"0s\"")
        .toml(&format!("[alert.webhook]\nurl = \"{}\"", sink.url("/hook")))
}

/// The fixture of this format, unpacked as the data of a node.
fn unpack(format: u32) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    fs::create_dir_all(data.join("store/blobs")).unwrap();
    for name in ["", "store"] {
        for entry in fs::read_dir(fixture(format).join(name)).expect("the fixture is there") {
            let from = entry.unwrap().path();
            let to = data.join(name).join(from.file_name().unwrap());
            if from.extension().is_some_and(|extension| extension == "gz") {
                let out = fs::File::create(to.with_extension("")).unwrap();
                let status = Command::new("gzip").arg("-dc").arg(&from).stdout(out).status();
                assert!(status.unwrap().success(), "{} cannot be unpacked", from.display());
            } else if from.is_file() {
                fs::copy(&from, to).unwrap();
            }
        }
    }
    directory
}

/// Packs the data directory of a node that was killed.
fn pack(data: &Path) {
    let fixture = fixture(NEWEST);
    fs::create_dir_all(fixture.join("store")).unwrap();
    for folder in ["", "store"] {
        for entry in fs::read_dir(data.join(folder)).unwrap() {
            let from = entry.unwrap().path();
            let name = from.strip_prefix(data).unwrap().to_str().unwrap();
            if TAKEN.contains(&name) {
                fs::copy(&from, fixture.join(name)).unwrap();
            } else if PACKED.iter().any(|begin| name.starts_with(begin)) {
                let out = fs::File::create(fixture.join(format!("{name}.gz"))).unwrap();
                let status = Command::new("gzip").arg("-9nc").arg(&from).stdout(out).status();
                assert!(status.unwrap().success(), "{name} cannot be packed");
            }
        }
    }
}

fn items(list: &Value) -> Vec<Value> {
    list["items"].as_array().expect("a list").clone()
}

/// The incident of the container whose name ends like this.
async fn incident(node: &Node, container: &str) -> Option<Value> {
    let all = items(&node.get_json("/v1/incidents").await);
    let of =
        |incident: &Value| incident["container"]["name"].as_str().unwrap().ends_with(container);
    let id = all.into_iter().find(of)?["id"].as_str().unwrap().to_owned();
    Some(node.get_json(&format!("/v1/incidents/{id}")).await)
}

async fn has_finished_action(node: &Node) {
    eventually("an action to be finished", LONG, async || {
        let all = items(&node.get_json("/v1/actions").await);
        let finished = all.iter().any(|action| action["stage"] == "finished");
        if finished { Ok(()) } else { Err(all) }
    })
    .await;
}

/// Brings a node into the state that the fixture holds, kills it and packs its directory.
async fn make() {
    let (engine, sink) = (Engine::connect(), Sink::start());
    let mut node = node(engine.host(), &sink).start().await;
    // Notifications that were refused for good: dead letters.
    sink.answer(Answer::Status(400));
    let _refused = engine.run(ContainerSpec::new(REFUSED, "exit 3").mode("observe"));
    eventually("dead letters", LONG, async || {
        let letters = items(&node.get_json("/v1/dead-letters").await);
        if letters.len() == 2 { Ok(()) } else { Err(letters) }
    })
    .await;
    // An order under a key of its client: a receipt.
    let ordered = engine.run(ContainerSpec::idle(ORDERED).mode("observe"));
    eventually("an order to be taken", LONG, async || {
        let order = json!({ "container": ordered.id(), "action": "restart", "reason": "asked" });
        let request = node.http().post(node.url("/v1/actions")).json(&order);
        let answer = request.header("Idempotency-Key", "format-1").send().await.unwrap();
        if answer.status() == 202 { Ok(()) } else { Err(answer.status()) }
    })
    .await;
    // An incident in the middle, of which nobody could be told.
    sink.answer(Answer::Status(503));
    let script = "trap 'exit 0' TERM; if test -e /tmp/was; then while :; do sleep 3600 & wait $!; \
                  done; fi; touch /tmp/was; exit 3";
    let _healed = engine.run(ContainerSpec::new(HEALED, script).mode("auto"));
    has_finished_action(&node).await;
    let id = incident(&node, HEALED).await.unwrap()["id"].as_str().unwrap().to_owned();
    let note = json!({ "by": "ann", "note": "seen" });
    let (status, text) = node.post(&format!("/v1/incidents/{id}/acknowledge"), &note).await;
    assert!(status < 300, "{status}: {text}");
    node.kill9();
    pack(&node.data_dir());
}

/// The kinds of all records that are stored.
fn tags(data: &Path) -> Vec<Tag> {
    let store = SledBackend::open(&data.join("store"), SledOptions::default()).unwrap();
    let (first, last) = (Key::from_bytes([]), Key::from_bytes([255; 9]));
    let rows = store.scan(&first..&last, usize::MAX).unwrap();
    let mut tags: Vec<_> = rows.iter().map(|(key, row)| open(key, row).unwrap().tag).collect();
    store.close().unwrap();
    tags.sort();
    tags.dedup();
    tags
}

/// The audit that is stored: whose actions, and how far they came.
fn audit(data: &Path) -> Vec<(&'static str, &'static str)> {
    let store = SledBackend::open(&data.join("store"), SledOptions::default()).unwrap();
    let keys = Key::rows_all(ACTIONS.name());
    let rows = store.scan(&keys.start..&keys.end, usize::MAX).unwrap();
    let entries = rows.iter().map(|(key, row)| decode(open(key, row).unwrap().payload).unwrap());
    let entries: Vec<AuditEntry> = entries.collect();
    store.close().unwrap();
    let told = entries.iter().map(|entry| (entry.subject.name.as_str(), entry.stage.as_str()));
    by_ends(told)
}

/// The same with the ends of the names, as they are known here.
fn by_ends<'a>(
    told: impl Iterator<Item = (&'a str, &'a str)>,
) -> Vec<(&'static str, &'static str)> {
    let stages = ["refused", "intended", "finished"];
    let known = |all: &[&'static str], name: &str| {
        let found = all.iter().find(|end| name.ends_with(**end));
        *found.unwrap_or_else(|| panic!("{name} is not among {all:?}"))
    };
    told.map(|(name, stage)| (known(&[HEALED, REFUSED, ORDERED], name), known(&stages, stage)))
        .collect()
}

/// The kinds of what is told in a journal, in order.
fn kinds(incident: &Value) -> Vec<&str> {
    let journal = incident["journal"].as_array().unwrap();
    journal.iter().map(|entry| entry["kind"].as_str().unwrap()).collect()
}

/// Sees that the node knows what the fixture holds, and has this audit.
async fn verify(node: &Node, audit: &[(&str, &str)]) {
    let healed = incident(node, HEALED).await.expect("the incident is there");
    assert_eq!((&healed["status"], &healed["outcome"]), (&json!("verifying"), &json!("done")));
    assert_eq!(healed["acknowledged_by"], "ann");
    for kind in ["opened", "evidence", "diagnosed", "gates", "action_intended", "action_finished"] {
        assert!(kinds(&healed).contains(&kind), "no {kind} in {healed:#}");
    }
    let refused = incident(node, REFUSED).await.expect("the other incident is there");
    assert_eq!(refused["severity"], "critical");
    eventually("everything asked for to be in the audit", LONG, async || {
        let actions = node.get_json("/v1/actions").await;
        assert_eq!(actions["chain"]["intact"], true);
        let entries = items(&actions).len();
        if entries >= audit.len() { Ok(()) } else { Err(actions) }
    })
    .await;
    let actions = items(&node.get_json("/v1/actions").await);
    let told = actions.iter().rev().map(|action| {
        (action["container"]["name"].as_str().unwrap(), action["stage"].as_str().unwrap())
    });
    assert_eq!(by_ends(told), audit, "{actions:#?}");
    let containers = items(&node.get_json("/v1/containers").await);
    assert_eq!(containers.len(), 3, "{containers:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_of_format_1_opens_with_everything_in_it_and_goes_on() {
    opens_with_everything_in_it_and_goes_on(1, &[&AUDIT[..], &[ASKED_AGAIN]].concat()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_of_format_2_opens_with_everything_in_it_and_goes_on() {
    let fixture = fixture(NEWEST);
    if !fixture.exists() {
        #[expect(clippy::disallowed_methods, reason = "a switch of the tests, not a setting")]
        let asked = std::env::var("PERENNIAL_NEW_SAMPLES").is_ok_and(|value| value == "1");
        assert!(asked, "there is no {}", fixture.display());
        make().await;
    }
    opens_with_everything_in_it_and_goes_on(NEWEST, &AUDIT).await;
}

async fn opens_with_everything_in_it_and_goes_on(format: u32, becomes: &[(&str, &str)]) {
    let directory = unpack(format);
    let data = directory.path().join("data");
    let report = check_data(&data).unwrap();
    assert_eq!(report.corrupted, []);
    let lasting = [
        Tag::State,
        Tag::Timer,
        Tag::Effect,
        Tag::Row,
        Tag::DeadLetter,
        Tag::Receipt,
        Tag::Position,
        Tag::Meta,
    ];
    assert_eq!(tags(&data), lasting);
    assert_eq!(audit(&data), AUDIT);

    // There is no engine any more; what was known is.
    let sink = Sink::start();
    let mut node = node("unix:///nowhere/docker.sock", &sink).start_in(directory).await;
    verify(&node, becomes).await;
    // What could not be told is told now, and what was given up when that is asked for.
    let letters = items(&node.get_json("/v1/dead-letters").await);
    assert_eq!(letters.len(), 2, "{letters:#?}");
    for letter in &letters {
        let redrive = format!("/v1/dead-letters/{}/redrive", letter["id"].as_str().unwrap());
        let (status, text) = node.post(&redrive, &json!({})).await;
        assert!(status < 300, "{status}: {text}");
    }
    eventually("everything to be told and known as told", LONG, async || {
        for name in [HEALED, REFUSED] {
            let incident = incident(&node, name).await.unwrap();
            let told = sink.received().iter().any(|told| told.json().to_string().contains(name));
            let journal = incident["journal"].to_string();
            if !told || !journal.contains("\"delivered\"") {
                return Err(incident);
            }
        }
        Ok(())
    })
    .await;
    // What it writes today it reads, too.
    node.kill9();
    node.restart_listening().await;
    verify(&node, becomes).await;
    assert_eq!(items(&node.get_json("/v1/dead-letters").await), Vec::<Value>::new());
    assert_eq!(node.sigterm().0.code(), Some(0));
}
