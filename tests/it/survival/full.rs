//! A disk that is full.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::killed::known;
use super::{LONG, audit, count, curable, incident_is, incidents, node, told_of};
use crate::support::answers::restart_once;
use crate::support::engine::{ContainerSpec, Engine};
use crate::support::process;
use crate::support::sink::Sink;
use crate::support::wait::eventually;

/// Room for the store at its smallest, its reserve, and what a test writes.
const DISK: &str = "size=160m";

/// A small file system over a directory; unmounted on drop, even while it is used.
struct Disk(PathBuf);

impl Disk {
    fn mount(over: &Path) -> Disk {
        let mut mount = Command::new("mount");
        process::run(mount.args(["-t", "tmpfs", "-o", DISK, "tmpfs"]).arg(over));
        Disk(over.to_owned())
    }

    fn free(&self) -> u64 {
        let mut df = Command::new("df");
        let text = process::run(df.args(["-B1", "--output=avail"]).arg(&self.0));
        let bytes = text.lines().last().and_then(|line| line.trim().parse().ok());
        bytes.unwrap_or_else(|| panic!("df said {text}"))
    }

    /// Writes a file that leaves this many bytes free.
    fn fill(&self, leave: u64) {
        let bytes = self.free().saturating_sub(leave).to_string();
        let mut allocate = Command::new("fallocate");
        process::run(allocate.args(["--length", &bytes]).arg(self.filler()));
    }

    fn make_room(&self) {
        fs::remove_file(self.filler()).expect("the file can be removed");
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        process::run(Command::new("umount").arg("--lazy").arg(&self.0));
    }
}

/// Needs root, as the engine does.
#[tokio::test]
async fn a_full_disk_refuses_new_work_and_the_node_recovers_when_there_is_room() {
    let (engine, sink) = (Engine::connect(), Sink::start());
    let mut node = node(&engine, &sink).start().await;
    assert!(node.sigterm().0.success());
    let disk = Disk::mount(&node.data_dir());
    node.restart().await;
    let container = engine.run(ContainerSpec::idle("web").mode("observe"));
    known(&node, &container).await;
    let answer = restart_once(&node, &container, 0).send().await.expect("an answer");
    assert_eq!(answer.status(), 202);

    disk.fill(1024 * 1024);
    // The disk is looked at every second; what is accepted until then counts.
    let mut orders = 1;
    let refusal = eventually("new work to be refused", LONG, async || {
        let answer = restart_once(&node, &container, orders).send().await.expect("an answer");
        if answer.status() == 507 {
            return Ok(answer);
        }
        orders += 1;
        Err(answer.status())
    })
    .await;
    assert!(refusal.headers().contains_key("retry-after"));
    let body = refusal.text().await.expect("text");
    assert!(body.contains("urn:perennial:problem:no-space"), "{body}");
    assert_eq!(node.get("/readyz").await.0, 503);
    assert_eq!(node.get("/livez").await.0, 200);
    eventually("what was accepted to be carried out", LONG, async || {
        let seen = audit(&node, &container).await.len();
        if seen == orders { Ok(()) } else { Err((seen, orders)) }
    })
    .await;
    let sick = engine.run(curable("sick"));
    sick.wait_for("exited", LONG, |state| state["Status"] == "exited").await;

    // It survives a restart on the full disk too.
    assert!(node.sigterm().0.success());
    node.restart_listening().await;
    eventually("new work to be refused again", LONG, async || {
        let status =
            restart_once(&node, &container, orders).send().await.expect("an answer").status();
        if status == 507 { Ok(()) } else { Err(status) }
    })
    .await;
    assert!(incidents(&node, &sick).await.is_empty(), "events wait too");

    disk.make_room();
    node.wait_until_ready(LONG).await;
    let answer = restart_once(&node, &container, orders).send().await.expect("an answer");
    assert_eq!(answer.status(), 202);
    incident_is(&node, &sick, "resolved").await;
    told_of(&sink, &sick, "resolved").await;
    let entries = eventually("the last order to be carried out", LONG, async || {
        let entries = audit(&node, &container).await;
        if count(&entries, "refused") > orders { Ok(entries) } else { Err(entries) }
    })
    .await;
    assert_eq!(entries.len(), orders + 1, "what was refused was not stored: {entries:?}");
    assert!(File::open(node.data_dir().join("ballast")).is_ok(), "the reserve is set aside again");
}
