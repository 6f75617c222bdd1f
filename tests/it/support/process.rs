//! Child processes that are ended by their id, and never outlive the test.

use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Runs `command` to its end and returns its standard output; panics when it fails.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} ended with {}: {errors}{text}", output.status);
    text
}

/// Runs `command` and returns what it wrote; panics, with that, when it has not ended after `limit`.
pub(crate) fn output(command: &mut Command, limit: Duration) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let pid = child.id();
    let (ended, end) = mpsc::channel();
    let waiter = thread::spawn(move || {
        let output = child.wait_with_output().expect("a child can be waited for");
        ended.send(()).ok();
        output
    });
    let hangs = end.recv_timeout(limit).is_err();
    if hangs {
        signal(pid, "KILL");
    }
    let output = waiter.join().expect("the waiting thread does not panic");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!hangs, "{command:?} did not end within {limit:?}; it wrote: {errors}");
    output
}

/// Sends the signal `name` ("TERM", "KILL", "STOP") to one process, which may be gone already.
pub(crate) fn signal(pid: u32, name: &str) {
    let status =
        Command::new("/bin/sh").args(["-c", &format!("kill -s {name} {pid} 2>/dev/null")]).status();
    status.expect("/bin/sh runs");
}

/// Asks `child` to end, kills it when it has not after `grace`, and returns how it ended.
pub(crate) fn end(mut child: Child, grace: Duration) -> ExitStatus {
    let pid = child.id();
    signal(pid, "TERM");
    let (ended, end) = mpsc::channel();
    let waiter = thread::spawn(move || {
        let status = child.wait().expect("a child can be waited for");
        ended.send(()).ok();
        status
    });
    if end.recv_timeout(grace).is_err() {
        signal(pid, "KILL");
    }
    waiter.join().expect("the waiting thread does not panic")
}
