//! The format of the data directory is frozen: what was written when it was new opens and goes on.
//!
//! `tests/fixtures/format-1` is the data directory of a node that was killed in the middle of an
//! incident: restarted a container, was about to see whether that helped, and could tell nobody. `LOCK`
//! and `ballast` are left out, and the engine's log is packed, as most of it is empty.
//!
//! To make it anew, which only a new format is a reason for: remove the directory and run
//! `PERENNIAL_NEW_SAMPLES=1 tests/run format_1`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use perennial_store::{Backend, Key, SledBackend, SledOptions, Tag, check_data, open};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::engine::{ContainerSpec, Engine};
use crate::support::node::{Node, NodeBuilder};
use crate::support::process;
use crate::support::sink::{Answer, Sink};
use crate::support::wait::eventually;

/// Far above what anything awaited here takes, for machines that run many tests at once.
const LONG: Duration = Duration::from_secs(60);
/// The name of the container in the fixture.
const CONTAINER: &str = "format-1";
/// What the data directory of a node that was killed holds and the fixture does, too.
const FILES: [&str; 4] = ["FORMAT", "RUNNING", "inflight", "store/conf"];

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/format-1")
}

fn node(docker: &str, sink: &Sink) -> NodeBuilder {
    Node::builder()
        .toml(&format!("[docker]\nhost = \"{docker}\"\n[monitor]\ninclude = [\"*{CONTAINER}*\"]"))
        .toml("settle_time = \"1h\"\n[analyzer]\nstabilisation = \"1h\"")
        .toml("[responder]\nstabilisation = \"1h\"\nbackoff = \"1s\"")
        .toml(&format!("[alert.webhook]\nurl = \"{}\"", sink.url("/hook")))
}

/// The fixture, unpacked as the data of a node.
fn unpack() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    fs::create_dir_all(data.join("store/blobs")).unwrap();
    for name in ["", "store"] {
        for entry in fs::read_dir(fixture().join(name)).expect("the fixture is there") {
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
    fs::create_dir_all(fixture().join("store")).unwrap();
    for entry in fs::read_dir(data.join("store")).unwrap() {
        let from = entry.unwrap().path();
        let name = from.file_name().unwrap().to_str().unwrap().to_owned();
        if name == "db" || name.starts_with("snap.") {
            let out = fs::File::create(fixture().join(format!("store/{name}.gz"))).unwrap();
            process::run(Command::new("gzip").arg("-9kn").arg(&from));
            let packed = fs::read(from.with_file_name(format!("{name}.gz"))).unwrap();
            std::io::copy(&mut packed.as_slice(), &mut &out).unwrap();
        } else if name == "witness" {
            fs::copy(&from, fixture().join("store").join(name)).unwrap();
        }
    }
    for name in FILES {
        fs::copy(data.join(name), fixture().join(name)).unwrap();
    }
}

fn items(list: &Value) -> Vec<Value> {
    list["items"].as_array().expect("a list").clone()
}

async fn incident(node: &Node) -> Option<Value> {
    let mut all = items(&node.get_json("/v1/incidents").await);
    assert!(all.len() < 2, "one container, one incident: {all:?}");
    all.pop()
}

async fn make() {
    let (engine, sink) = (Engine::connect(), Sink::start());
    sink.answer(Answer::Status(503));
    let node_of_today = node(engine.host(), &sink);
    let mut node = node_of_today.start().await;
    let script = "trap 'exit 0' TERM; if test -e /tmp/was; then while :; do sleep 3600 & wait $!; \
                  done; fi; touch /tmp/was; exit 3";
    let _container = engine.run(ContainerSpec::new(CONTAINER, script).mode("auto"));
    eventually("the incident to be verified", LONG, async || match incident(&node).await {
        Some(incident) if incident["status"] == "verifying" => Ok(()),
        other => Err(other),
    })
    .await;
    let id = incident(&node).await.unwrap()["id"].as_str().unwrap().to_owned();
    let note = json!({ "by": "ann", "note": "seen" });
    let (status, text) = node.post(&format!("/v1/incidents/{id}/ack"), &note).await;
    assert!(status < 300, "{status}: {text}");
    sink.wait_for(2, LONG).await;
    node.kill9();
    pack(&node.data_dir());
}

/// The tags of all records that are stored.
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

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_of_format_1_opens_with_everything_in_it_and_goes_on() {
    if !fixture().exists() {
        #[expect(clippy::disallowed_methods, reason = "a switch of the tests, not a setting")]
        let asked = std::env::var("PERENNIAL_NEW_SAMPLES").is_ok_and(|value| value == "1");
        assert!(asked, "there is no {}", fixture().display());
        make().await;
    }
    let directory = unpack();
    let report = check_data(&directory.path().join("data")).unwrap();
    assert_eq!(report.corrupted, []);
    assert!(report.records > 10, "{report:?}");
    println!("{report:?} {:?}", tags(&directory.path().join("data")));

    let sink = Sink::start();
    // There is no engine any more, but everything that was known of it is.
    let mut node = node("unix:///nowhere/docker.sock", &sink).start_in(directory).await;
    let found = incident(&node).await.expect("the incident is there");
    println!("{found:#}");
    let actions = node.get_json("/v1/actions").await;
    println!("{actions:#}");
    println!(
        "{:#}",
        node.get_json(&format!("/v1/incidents/{}", found["id"].as_str().unwrap())).await
    );
    println!("{:#}", node.get_json("/v1/containers").await);
    tokio::time::sleep(Duration::from_secs(8)).await;
    for told in sink.received() {
        println!("{:?} {}", told.headers, String::from_utf8_lossy(&told.body));
    }
    println!(
        "{:#}",
        node.get_json(&format!("/v1/incidents/{}", found["id"].as_str().unwrap())).await
    );
    println!("{}", node.log());
    node.sigterm();
}
