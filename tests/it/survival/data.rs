//! A data directory that must not be used.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Output;
use std::time::SystemTime;

use perennial_store::{Backend, Batch, DataDir, Key, SledBackend, SledOptions};
use serde_json::Value;

use super::{failing, node, told_of};
use crate::support::engine::Engine;
use crate::support::node::{Node, perennial};
use crate::support::sink::Sink;

fn run(node: &Node, data_dir: &Path) -> Output {
    let config = node.data_dir().with_file_name("perennial.toml");
    let path = |path: &Path| path.to_str().expect("a readable path").to_owned();
    let arguments = ["run", "--config", &path(&config), "--data-dir", &path(data_dir)];
    perennial(&std::env::temp_dir(), &[&arguments[..], &["--listen", "127.0.0.1:0"]].concat())
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// Every file with its content and the time of its last change.
fn snapshot(directory: &Path) -> BTreeMap<String, (Vec<u8>, SystemTime)> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(snapshot(&path));
        } else {
            let changed = fs::metadata(&path).and_then(|file| file.modified()).expect("a time");
            files.insert(path.display().to_string(), (fs::read(&path).expect("a file"), changed));
        }
    }
    files
}

#[tokio::test]
async fn a_second_node_on_the_same_data_says_who_uses_it_and_exits() {
    let (engine, sink) = (Engine::connect(), Sink::start());
    let mut node = node(&engine, &sink).start().await;
    let output = run(&node, &node.data_dir());
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    let said = said(&output);
    assert!(said.contains(&format!("in use by pid {}", node.pid())), "{said}");
    assert!(said.contains("another data directory"), "it says what to do: {said}");
    let check = perennial(
        &std::env::temp_dir(),
        &["check-data", node.data_dir().to_str().expect("a path")],
    );
    assert_eq!(check.status.code(), Some(69), "{check:?}");

    let sick = engine.run(failing("sick"));
    told_of(&sink, &sick, "opened").await;
    assert!(node.sigterm().0.success(), "the first goes on and ends in order");
}

#[tokio::test]
async fn data_of_a_newer_format_is_refused_and_left_as_it_is() {
    let (engine, sink) = (Engine::connect(), Sink::start());
    let mut node = node(&engine, &sink).start().await;
    assert!(node.sigterm().0.success());
    fs::write(node.data_dir().join("FORMAT"), "perennial 3\n").expect("a file");
    let before = snapshot(&node.data_dir());

    let output = run(&node, &node.data_dir());
    assert_eq!(output.status.code(), Some(65), "{output:?}");
    let said = said(&output);
    assert!(said.contains("perennial 3") && said.contains("perennial 2"), "{said}");
    assert_eq!(snapshot(&node.data_dir()), before);

    fs::write(node.data_dir().join("FORMAT"), "perennial 2\n").expect("a file");
    node.restart().await;
}

/// Changes one bit of the value of `key`, below the checksum that goes with it.
fn flip(data_dir: &Path, key: &Key) {
    let opened = DataDir::open(data_dir).expect("a data directory");
    let store = SledBackend::open(&opened.store_dir(), SledOptions::default()).expect("a store");
    let mut value = store.get(key.as_ref()).expect("a read").expect("a record");
    *value.last_mut().expect("a value") ^= 1;
    let mut batch = Batch::new();
    batch.put(key.clone(), value);
    store.commit(store.claim().expect("an epoch"), &batch).expect("a commit");
    store.close().expect("a close");
    opened.mark_clean().expect("a clean end");
}

#[tokio::test]
async fn a_corrupt_record_stops_the_node_and_is_named_by_it_and_by_check_data() {
    let (engine, sink) = (Engine::connect(), Sink::start());
    let mut node = node(&engine, &sink).start().await;
    let sick = engine.run(failing("sick"));
    told_of(&sink, &sick, "suppressed").await;
    assert!(node.sigterm().0.success());
    let path = node.data_dir();
    let check = || {
        let path = path.to_str().expect("a readable path");
        perennial(&std::env::temp_dir(), &["check-data", path, "--json"])
    };
    let intact = check();
    assert!(intact.status.success(), "{intact:?}");
    let report: Value = serde_json::from_slice(&intact.stdout).expect("JSON");
    assert!(report["records"].as_u64() > Some(10), "{report}");

    // The Responder, which is told of the engine's projects at each start.
    let key = Key::state("responder", "local");
    flip(&path, &key);
    let damaged = check();
    assert_eq!(damaged.status.code(), Some(65), "{damaged:?}");
    let report: Value = serde_json::from_slice(&damaged.stdout).expect("JSON");
    let named: Vec<&str> = report["corrupted"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["key"].as_str().expect("a key"))
        .collect();
    assert_eq!(named, [key.to_string().as_str()]);

    let output = run(&node, &path);
    assert_eq!(output.status.code(), Some(65), "{output:?}");
    let said = said(&output);
    assert!(said.contains(&key.to_string()), "{said}");
    assert!(said.contains("backup"), "it says what to do: {said}");

    flip(&path, &key);
    assert!(check().status.success());
    node.restart().await;
    let other = engine.run(failing("other"));
    told_of(&sink, &other, "suppressed").await;
}
