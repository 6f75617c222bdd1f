//! Data that is damaged or gone is told of as such, by the node and by the data check.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::support::node::{Node, perennial};

/// A node without an engine that was started and stopped twice.
async fn stopped() -> Node {
    let node = Node::builder().toml("[docker]\nhost = \"unix:///nowhere/docker.sock\"");
    let mut node = node.start_listening().await;
    assert!(node.sigterm().0.success());
    node.restart_listening().await;
    assert!(node.sigterm().0.success());
    node
}

/// The exit codes and words of a start and of a data check.
fn judged(data: &Path) -> [(Option<i32>, String); 2] {
    let path = data.to_str().expect("a readable path");
    let run = ["run", "--listen", "127.0.0.1:0", "--data-dir", path];
    [&run[..], &["check-data", path]].map(|arguments| {
        let output = perennial(&std::env::temp_dir(), arguments);
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    })
}

fn snapshot(data: &Path) -> PathBuf {
    let entries = fs::read_dir(data.join("store")).expect("a store");
    let mut paths = entries.map(|entry| entry.expect("an entry").path());
    let is_snapshot = |path: &PathBuf| path.display().to_string().contains("/snap.");
    paths.find(is_snapshot).expect("a snapshot of the store's engine")
}

#[tokio::test]
async fn a_start_on_data_in_order_warns_of_nothing_in_the_store() {
    let node = stopped().await;
    let log = node.log();
    assert!(log.contains("\"stopped\""), "{log}");
    let of_the_engine = |line: &&str| line.contains("sled") && line.contains("WARN");
    assert_eq!(log.lines().find(of_the_engine), None);
}

/// Everything below `directory` that others than its owner may read or enter.
fn open_to_others(directory: &Path) -> Vec<(PathBuf, u32)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let mode = fs::metadata(&path).expect("a file").permissions().mode() & 0o777;
        let private = if path.is_dir() { 0o700 } else { 0o600 };
        if mode != private {
            found.push((path.clone(), mode));
        }
        if path.is_dir() {
            found.extend(open_to_others(&path));
        }
    }
    found
}

#[tokio::test]
async fn everything_in_a_data_directory_is_for_its_owner_only_also_what_was_not() {
    let mut node = stopped().await;
    let data = node.data_dir();
    assert_eq!(open_to_others(&data), []);
    for path in [data.join("inflight"), data.join("store/db"), snapshot(&data)] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).expect("a change of the mode");
    }
    node.restart_listening().await;
    assert!(node.sigterm().0.success());
    assert_eq!(open_to_others(&data), []);
}

#[tokio::test]
async fn damaged_files_of_the_engine_are_named_and_the_exit_code_asks_for_no_restart() {
    let node = stopped().await;
    let data = node.data_dir();
    let path = snapshot(&data);
    let mut bytes = fs::read(&path).expect("a file");
    bytes[0] ^= 1;
    fs::write(&path, &bytes).expect("a file");
    for (code, said) in judged(&data) {
        assert_eq!(code, Some(65), "{said}");
        for part in ["store/snap.*", "check-data", "restore it from a backup"] {
            assert!(said.contains(part), "{part} in {said}");
        }
    }
}

#[tokio::test]
async fn data_without_its_store_is_refused_and_no_new_one_is_made() {
    let node = stopped().await;
    let data = node.data_dir();
    fs::remove_dir_all(data.join("store")).expect("a directory");
    for (code, said) in judged(&data) {
        assert_eq!(code, Some(65), "{said}");
        for part in [data.to_str().expect("a readable path"), "store", "restore a backup", "anew"] {
            assert!(said.contains(part), "{part} in {said}");
        }
    }
    assert!(!data.join("store").exists());
}
