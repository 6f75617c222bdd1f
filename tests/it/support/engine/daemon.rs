//! An engine of the test's own: a dockerd in a temporary directory, on its own socket.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::super::process;
use super::super::wait::eventually;
use super::Docker;

/// Starting takes well under a second on an idle machine.
const START: Duration = Duration::from_secs(60);
/// More than the grace the engine gives its containers.
const STOP: Duration = Duration::from_secs(20);

/// A dockerd in `directory`; running while `child` is there.
#[derive(Debug)]
pub(super) struct Daemon {
    directory: PathBuf,
    child: Option<Child>,
}

impl Daemon {
    /// The address of an engine in `directory`.
    pub(super) fn host(directory: &Path) -> String {
        format!("unix://{}/docker.sock", directory.display())
    }

    pub(super) async fn start(directory: &Path, docker: &Docker) -> Daemon {
        let mut daemon = Daemon { directory: directory.to_owned(), child: None };
        daemon.resume(docker).await;
        daemon
    }

    pub(super) async fn resume(&mut self, docker: &Docker) {
        assert!(self.child.is_none(), "the engine is running already");
        let child = self.command().spawn().expect("dockerd is installed by tests/run");
        let child = self.child.insert(child);
        let log = self.directory.join("log");
        eventually("an engine of the test's own to answer", START, async || {
            if docker.try_call(&["version"]).is_some() {
                return Ok(());
            }
            let text = fs::read_to_string(&log).unwrap_or_default();
            let ended = child.try_wait().expect("a child can be asked for its state");
            assert!(ended.is_none(), "dockerd ended at once; is this root? Its log: {text}");
            Err(text)
        })
        .await;
    }

    pub(super) fn stop(&mut self) {
        process::end(self.running(), STOP);
    }

    /// Kills dockerd, and with it its containerd, which the kernel ends together with its parent.
    pub(super) async fn kill9(&mut self) {
        let mut child = self.running();
        child.kill().expect("a running child can be killed");
        child.wait().expect("a killed child can be waited for");
        let file = self.directory.join("exec/containerd/containerd.pid");
        let pid = fs::read_to_string(&file).expect("containerd has a pid file");
        // The command line of a process is empty once it is dead, even if nobody reaps it.
        let command_line = format!("/proc/{}/cmdline", pid.trim());
        eventually("containerd to end with its dockerd", STOP, async || {
            let text = fs::read_to_string(&command_line).unwrap_or_default();
            if text.is_empty() { Ok(()) } else { Err(text) }
        })
        .await;
        // The next dockerd would take a process nobody reaped for a running containerd.
        fs::remove_file(file).expect("a pid file can be removed");
    }

    fn running(&mut self) -> Child {
        self.child.take().expect("the engine is running")
    }

    fn command(&self) -> Command {
        let directory = &self.directory;
        let log = File::options().append(true).create(true).open(directory.join("log"));
        let log = log.expect("the engine's log can be opened");
        let mut command = Command::new("dockerd");
        command
            .arg("--data-root")
            .arg(directory.join("data"))
            .arg("--exec-root")
            .arg(directory.join("exec"))
            .arg("--pidfile")
            .arg(directory.join("docker.pid"))
            .args(["--host", &Daemon::host(directory)])
            .args(["--iptables=false", "--bridge=none", "--storage-driver=vfs"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file handle can be cloned"))
            .stderr(log);
        command
    }

    /// Ends what a killed dockerd left: the shims first, then the containers they kept.
    fn sweep(&self) {
        let below = format!("{}/", self.directory.display());
        for process in fs::read_dir("/proc").expect("/proc is mounted").flatten() {
            let arguments = fs::read(process.path().join("cmdline")).unwrap_or_default();
            let pid = process.file_name().to_string_lossy().parse();
            if String::from_utf8_lossy(&arguments).contains(&below)
                && let Ok(pid) = pid
            {
                process::signal(pid, "KILL");
            }
        }
        let tasks = "exec/containerd/daemon/io.containerd.runtime.v2.task/moby";
        for task in fs::read_dir(self.directory.join(tasks)).into_iter().flatten().flatten() {
            let pid = fs::read_to_string(task.path().join("init.pid")).unwrap_or_default();
            if let Ok(pid) = pid.trim().parse() {
                process::signal(pid, "KILL");
            }
        }
        unmount(&below);
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            process::end(child, STOP);
        }
        self.sweep();
    }
}

/// Unmounts everything below the path prefix `below`, innermost first.
fn unmount(below: &str) {
    let mounts = fs::read_to_string("/proc/mounts").expect("/proc is mounted");
    let mut points: Vec<&str> = mounts.lines().filter_map(|line| line.split(' ').nth(1)).collect();
    points.retain(|point| point.starts_with(below));
    points.sort_unstable();
    for point in points.into_iter().rev() {
        process::run(Command::new("umount").args(["--lazy", point]));
    }
}
