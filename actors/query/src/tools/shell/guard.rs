//! The guard: a process between the node and a command, which sees to it that nothing of the command
//! outlives the call.
//!
//! ```text
//! node ── control: the guard's standard input, a socket pair ──> guard ── pipe ──> command's input
//!   <── the command's standard output and error, passed through by descriptor ──── command
//! ```
//!
//! The node keeps its end of the control socket for as long as the command may run. When that end is
//! closed, because the call was dropped or because the node died in whatever way, the guard kills
//! everything the command has started. The command never holds the control socket: its input is a pipe.
//! It has a process group of its own, and the guard is the reaper of its descendants, so that those
//! which left the group, by `setsid` or as daemons, are found as well.
//!
//! What it cannot do: kill a process that took another user's rights (`sudo`), or be sure of one that
//! forks faster than it is killed. If the guard itself is killed, the node kills the command's group and
//! everything that carries the call's mark in its environment; what has left both then goes on.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, Command, ExitCode, ExitStatus, Stdio};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, getpid, pidfd_open, set_child_subreaper};

mod descendants;
pub(super) mod report;

use report::Report;

/// The exit code of a guard whose command did not start; what shells use.
const NOT_STARTED: u8 = 127;
/// Added to a signal's number for the exit code of what it killed; what shells use.
const SIGNALLED: i32 = 128;

/// Runs `argv` under guard: the whole of the program's hidden subcommand. Standard input is the control
/// socket; it gives the command's input first. Its exit code is the command's.
pub fn guard(argv: impl IntoIterator<Item = OsString>) -> ExitCode {
    let control = io::stdin();
    let report = match run(argv.into_iter().collect(), control.as_fd()) {
        Ok(report) => report,
        Err(error) => Report::NotStarted(error.to_string()),
    };
    // Whoever would read it may be gone; what matters was done.
    report.send(control.as_fd()).ok();
    match report {
        Report::Exited(code) => ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)),
        Report::Killed(signal) => {
            ExitCode::from(u8::try_from(SIGNALLED + signal).unwrap_or(u8::MAX))
        }
        Report::Started(_) | Report::NotStarted(_) => ExitCode::from(NOT_STARTED),
    }
}

fn run(argv: Vec<OsString>, control: BorrowedFd<'_>) -> io::Result<Report> {
    let Some((program, arguments)) = argv.split_first() else {
        return Err(io::Error::other("no command was given"));
    };
    // From here on, whoever loses its parent among the descendants becomes a child of this process.
    set_child_subreaper(Some(getpid()))?;
    let input = read_input()?;
    let mut command = Command::new(program);
    command.args(arguments).process_group(0);
    command.stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() });
    let mut child = command.spawn()?;
    let watched = watch(&mut child, control, &input);
    // Whatever ended the watch: nothing goes on.
    descendants::kill_all(Pid::from_child(&child));
    let status = child.wait()?;
    descendants::reap();
    watched.map(|()| ended(status))
}

/// The command's input, its length before it as eight bytes, big-endian.
fn read_input() -> io::Result<Vec<u8>> {
    let mut control = io::stdin().lock();
    let mut length = [0; 8];
    control.read_exact(&mut length)?;
    let mut input = Vec::new();
    let length = u64::from_be_bytes(length);
    let read = control.by_ref().take(length).read_to_end(&mut input)?;
    if u64::try_from(read).is_ok_and(|read| read == length) {
        return Ok(input);
    }
    Err(io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the node was gone before the input was there",
    ))
}

/// Feeds the command its input and returns when it has ended or the control socket was closed.
fn watch(child: &mut Child, control: BorrowedFd<'_>, input: &[u8]) -> io::Result<()> {
    let pid = Pid::from_child(child);
    Report::Started(pid.as_raw_nonzero().get()).send(control)?;
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    let mut feed = Feed::new(child.stdin.take(), input)?;
    loop {
        match wait(control, &process, &feed)? {
            Event::Ended | Event::Abandoned => return Ok(()),
            Event::Hungry => feed.write(),
        }
    }
}

enum Event {
    /// The command has ended.
    Ended,
    /// Nobody waits for it any more.
    Abandoned,
    /// It reads its input.
    Hungry,
}

fn wait(control: BorrowedFd<'_>, process: &OwnedFd, feed: &Feed<'_>) -> io::Result<Event> {
    let mut watched = vec![
        PollFd::new(process, PollFlags::IN),
        // The node says nothing more, so there is something to read only when there is its end.
        PollFd::from_borrowed_fd(control, PollFlags::IN),
    ];
    watched.extend(feed.pipe.iter().map(|pipe| PollFd::new(pipe, PollFlags::OUT)));
    loop {
        match poll(&mut watched, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let ready: Vec<bool> = watched.iter().map(|fd| !fd.revents().is_empty()).collect();
        match ready.as_slice() {
            [true, ..] => return Ok(Event::Ended),
            [_, true, ..] => return Ok(Event::Abandoned),
            [_, _, true] => return Ok(Event::Hungry),
            _ => {}
        }
    }
}

/// What of the input the command has not read yet.
struct Feed<'a> {
    pipe: Option<ChildStdin>,
    rest: &'a [u8],
}

impl<'a> Feed<'a> {
    fn new(pipe: Option<ChildStdin>, rest: &'a [u8]) -> io::Result<Self> {
        if let Some(pipe) = &pipe {
            rustix::io::ioctl_fionbio(pipe, true)?;
        }
        Ok(Self { pipe, rest })
    }

    /// Writes as much as fits, and closes the pipe behind the last byte or when nobody reads it.
    fn write(&mut self) {
        let Some(pipe) = &mut self.pipe else { return };
        match pipe.write(self.rest) {
            Ok(written) => self.rest = &self.rest[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.rest = &[],
        }
        if self.rest.is_empty() {
            self.pipe = None;
        }
    }
}

fn ended(status: ExitStatus) -> Report {
    match (status.code(), status.signal()) {
        (Some(code), _) => Report::Exited(code),
        (None, Some(signal)) => Report::Killed(signal),
        (None, None) => Report::NotStarted(format!("it ended in an unknown way: {status}")),
    }
}
