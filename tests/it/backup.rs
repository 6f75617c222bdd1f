//! Backups: taken while the node runs, refused when they are damaged, and gone on from.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::answers::{LONG, items};
use crate::support::engine::{ContainerSpec, Engine};
use crate::support::node::{Node, NodeBuilder, perennial};
use crate::support::sink::{Answer, Sink};
use crate::support::wait::eventually;

const TOKEN: &str = "0123456789abcdef0123";

fn run(directory: &Path, arguments: &[&str]) -> (i32, String) {
    let Output { status, stdout, stderr } = perennial(directory, arguments);
    let said = [stdout, stderr].concat();
    (status.code().expect("it ended by itself"), String::from_utf8_lossy(&said).into_owned())
}

/// A node without an engine.
fn alone() -> NodeBuilder {
    Node::builder().toml("[docker]\nhost = \"unix:///nowhere/docker.sock\"")
}

fn files(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let name = |entry: fs::DirEntry| entry.file_name().into_string().expect("a readable name");
    let mut names: Vec<_> = entries.map(|entry| name(entry.expect("an entry"))).collect();
    names.sort();
    names
}

/// A directory with the backup `good` of a node that is not running any more.
async fn taken() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let node = alone().start_listening().await;
    let (code, said) = run(directory.path(), &["backup", "good", "--node", &node.url("")]);
    assert_eq!(code, 0, "{said}");
    directory
}

/// A node that needs its token and takes a while to see whether a restart helped.
fn guarded(engine: &Engine, sink: &Sink) -> NodeBuilder {
    Node::builder()
        .toml(&format!("[docker]\nhost = \"{}\"", engine.host()))
        .toml(&format!("[monitor]\ninclude = [\"{}\"]\nrelist_every = \"1s\"", engine.names()))
        .toml("[analyzer]\nstabilisation = \"2s\"\n[responder]\nstabilisation = \"20s\"")
        .toml(&format!("[alert.webhook]\nurl = \"{}\"", sink.url("/hook")))
        .toml(&format!("[http]\ntoken = \"{TOKEN}\""))
}

async fn authorized(node: &Node, path: &str) -> Value {
    let request = node.http().get(node.url(path)).bearer_auth(TOKEN);
    request.send().await.expect("an answer").json().await.expect("JSON")
}

/// The one incident of a node, once it has this status.
async fn incident_is(node: &Node, status: &str) -> Value {
    eventually(&format!("the incident to be {status}"), LONG, async || {
        match items(&authorized(node, "/v1/incidents").await).as_slice() {
            [incident] if incident["status"] == status => Ok(incident.clone()),
            others => Err(others.to_vec()),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_restored_from_a_backup_taken_in_the_middle_of_an_incident_goes_on_with_it() {
    let (engine, sink) = (Engine::connect(), Sink::start());
    let builder = guarded(&engine, &sink);
    let mut first = builder.clone().start().await;
    // Nobody can be told, so notifications are under way all the time.
    sink.answer(Answer::Status(503));
    let script = "trap 'exit 0' TERM; if test -e /tmp/was; then while :; do sleep 3600 & wait $!; \
                  done; fi; touch /tmp/was; exit 3";
    let sick = engine.run(ContainerSpec::new("sick", script).mode("auto"));
    let before = incident_is(&first, "verifying").await;
    let started_at = sick.started_at();

    let other = tempfile::tempdir().unwrap();
    let url = first.url("");
    let (code, said) = run(other.path(), &["backup", "now", "--node", &url]);
    assert_eq!(code, 1, "without its token: {said}");
    assert_eq!(files(other.path()), Vec::<String>::new());
    let (code, said) = run(other.path(), &["backup", "now", "--node", &url, "--token", TOKEN]);
    assert_eq!(code, 0, "{said}");
    first.kill9();
    let mode = fs::metadata(other.path().join("now")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    for arguments in [&["restore", "now", "--data-dir", "data"][..], &["check-data", "data"]] {
        let (code, said) = run(other.path(), arguments);
        assert_eq!(code, 0, "{said}");
    }

    sink.answer(Answer::Status(200));
    let mut second = builder.start_in(other).await;
    second.wait_until_ready(LONG).await;
    assert!(second.log().contains("the last run did not end in order"), "it is careful");
    let after = incident_is(&second, "resolved").await;
    assert_eq!(after["id"], before["id"]);
    let list = authorized(&second, "/v1/actions").await;
    let intended = items(&list).iter().filter(|action| action["stage"] == "intended").count();
    assert_eq!((intended, sick.started_at()), (1, started_at), "nothing is done twice");
    assert_eq!(list["chain"]["intact"], true);
    eventually("what could not be told to be told", LONG, async || {
        let told = sink.received();
        let resolved = told.iter().any(|told| told.json().to_string().contains("\"resolved\""));
        if resolved { Ok(()) } else { Err(told.len()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_backup_is_refused_with_its_place_and_nothing_is_written() {
    let directory = taken().await;
    let here = directory.path();
    let good = fs::read(here.join("good")).unwrap();
    let (code, said) = run(here, &["backup", "--verify", "good"]);
    assert!(code == 0 && said.contains("is whole"), "{said}");
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    fs::write(here.join("flipped"), flipped).unwrap();
    fs::write(here.join("short"), &good[..good.len() - 40]).unwrap();
    fs::write(here.join("foreign"), "not a backup, a letter").unwrap();
    for (file, place) in [("flipped", "at byte"), ("short", "ends early"), ("foreign", "at byte 0")]
    {
        for arguments in
            [&["restore", file, "--data-dir", "data"][..], &["backup", "--verify", file]]
        {
            let (code, said) = run(here, arguments);
            assert_eq!(code, 65, "{said}");
            assert!(said.contains(file) && said.contains(place), "{said}");
        }
    }
    assert_eq!(files(here), ["flipped", "foreign", "good", "short"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_there_is_overwritten_by_a_backup_or_by_restoring_one() {
    let directory = taken().await;
    let here = directory.path();
    fs::create_dir(here.join("data")).unwrap();
    fs::write(here.join("data/letter"), "dear").unwrap();
    let (code, said) = run(here, &["restore", "good", "--data-dir", "data"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("data is not empty, there is letter"), "{said}");
    assert_eq!(files(&here.join("data")), ["letter"]);
    let before = fs::read(here.join("good")).unwrap();
    let (code, said) = run(here, &["backup", "good", "--node", "http://127.0.0.1:1"]);
    assert_eq!(code, 1, "{said}");
    assert_eq!(fs::read(here.join("good")).unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_directory_is_read_when_no_node_runs_and_the_node_is_asked_when_one_does() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let mut node = alone().start_listening().await;
    let (url, data) = (node.url(""), node.data_dir().display().to_string());
    let take = |file| run(here, &["backup", file, "--data-dir", &data, "--node", &url, "--json"]);
    let (code, said) = take("running");
    assert_eq!(code, 0, "{said}");
    assert!(node.log().contains("a backup was sent"));
    assert!(node.sigterm().0.success());
    let (code, said) = take("stopped");
    assert_eq!(code, 0, "{said}");
    let summary: Value = serde_json::from_str(&said).expect("JSON");
    assert!(summary["rows"].as_u64() > Some(0), "{summary}");
    let (code, said) = run(here, &["backup", "none", "--node", "http://127.0.0.1:1"]);
    assert_eq!(code, 69, "{said}");
    assert!(said.contains("--data-dir"), "{said}");
    assert_eq!(files(here), ["running", "stopped"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_node_than_the_one_that_uses_the_directory_is_backed_up_in_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let (user, other) = (alone().start_listening().await, alone().start_listening().await);
    let data = user.data_dir().display().to_string();
    let user_is = format!("in use by pid {}", user.pid());
    for (reached, why) in [
        (other.url(""), "is not the one that uses that data directory"),
        ("http://127.0.0.1:1".to_owned(), "no node answers"),
    ] {
        let (code, said) = run(here, &["backup", "x", "--data-dir", &data, "--node", &reached]);
        assert_eq!(code, 69, "{said}");
        for part in [user_is.as_str(), why, "--node", "stop it", "without --data-dir"] {
            assert!(said.contains(part), "{part} in {said}");
        }
        assert_eq!(files(here), Vec::<String>::new());
    }
    let right = user.url("");
    let (code, said) = run(here, &["backup", "x", "--data-dir", &data, "--node", &right]);
    assert_eq!(code, 0, "{said}");
}

fn scheduled(directory: &Path, every: &str, keep: &str) -> NodeBuilder {
    let directory = directory.display();
    alone().toml(&format!(
        "[backup]\ndirectory = \"{directory}\"\nevery = \"{every}\"\nkeep = \"{keep}\""
    ))
}

fn newest(directory: &Path) -> Option<PathBuf> {
    files(directory)
        .last()
        .filter(|name| name.ends_with(".backup"))
        .map(|name| directory.join(name))
}

#[tokio::test(flavor = "multi_thread")]
async fn scheduled_backups_are_kept_for_their_time_and_a_new_one_replaces_an_old_one() {
    let temp = tempfile::tempdir().unwrap();
    let directory = temp.path().join("backups");
    let node = scheduled(&directory, "1s", "2s").start_listening().await;
    let first = eventually("a first backup", LONG, async || newest(&directory).ok_or(())).await;
    eventually("the first to be replaced by later ones", LONG, async || {
        let later = newest(&directory).is_some_and(|newest| newest != first);
        if later && !first.exists() { Ok(()) } else { Err(files(&directory)) }
    })
    .await;
    let metrics = node.get("/metrics").await.1;
    assert!(metrics.contains("perennial_backup_failures_total 0"), "{metrics}");
    assert!(!metrics.contains("perennial_backup_bytes 0\n"), "{metrics}");
    drop(node);
    let whole = newest(&directory).expect("a backup is left");
    let (code, said) = run(temp.path(), &["backup", "--verify", whole.to_str().unwrap()]);
    assert_eq!(code, 0, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_does_not_bring_the_next_scheduled_backup_forward() {
    let temp = tempfile::tempdir().unwrap();
    let directory = temp.path().join("backups");
    let mut node = scheduled(&directory, "1h", "1day").start_listening().await;
    let first = eventually("a first backup", LONG, async || newest(&directory).ok_or(())).await;
    assert!(node.sigterm().0.success());
    node.restart_listening().await;
    eventually("the schedule to have looked at what is there", LONG, async || {
        let metrics = node.get("/metrics").await.1;
        let name = "perennial_backup_last_success_timestamp_seconds ";
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.parse::<f64>().ok());
        if line.is_some_and(|at| at > 0.0) { Ok(()) } else { Err(metrics) }
    })
    .await;
    assert!(node.sigterm().0.success());
    assert_eq!(newest(&directory), Some(first));
    assert_eq!(files(&directory).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_scheduled_backup_is_told_and_the_node_stays_ready() {
    let (engine, temp) = (Engine::connect(), tempfile::tempdir().unwrap());
    fs::write(temp.path().join("file"), "").unwrap();
    let directory = temp.path().join("file/backups");
    let node = Node::builder()
        .toml(&format!("[docker]\nhost = \"{}\"", engine.host()))
        .toml(&format!("[monitor]\ninclude = [\"{}\"]", engine.names()))
        .toml(&format!("[backup]\ndirectory = \"{}\"", directory.display()))
        .start()
        .await;
    let failed = "[!]backup: the last one failed: could not create";
    eventually("the failure to be shown", LONG, async || {
        let (status, text) = node.get("/readyz").await;
        if status == 200 && text.contains(failed) { Ok(()) } else { Err(text) }
    })
    .await;
    assert!(node.get("/metrics").await.1.contains("perennial_backup_failures_total 1"));
    let log = node.log();
    let told = |line: &&str| line.contains("the scheduled backup failed") && line.contains("ERROR");
    assert_eq!(log.lines().filter(|line| told(line)).count(), 1, "{log}");
    assert!(log.contains("cannot be written by this user"), "it was warned of: {log}");
}

/// A key that was revoked after the backup was taken is good again, and who restores it is told.
#[tokio::test(flavor = "multi_thread")]
async fn who_restores_a_backup_is_told_from_when_its_keys_are_and_how_to_revoke_them() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let node = alone().start_listening().await;
    let url = node.url("");
    let create = ["keys", "create", "--name", "ann", "--role", "analyst", "--node", &url];
    let (code, said) = run(here, &create);
    assert_eq!(code, 0, "{said}");
    let (code, said) = run(here, &["backup", "good", "--node", &url]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = run(here, &["keys", "revoke", "1", "--node", &url]);
    assert_eq!(code, 0, "{said}");
    let restored = perennial(here, &["restore", "good", "--data-dir", "data", "--json"]);
    let summary: Value = serde_json::from_slice(&restored.stdout).expect("JSON and nothing else");
    let at = summary["finished"].as_str().expect("a time");
    let warned = String::from_utf8_lossy(&restored.stderr).into_owned();
    for told in [at, "those revoked since are good again", "`perennial keys revoke ID`"] {
        assert!(warned.contains(told), "{told}: {warned}");
    }
}
