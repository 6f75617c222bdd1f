//! The node's side of a guarded command.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{ReadHalf, WriteHalf};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::timeout;

use super::guard::report::Report;
use super::marked;
use super::output::Output;

/// A guard that was told to end everything has done so after this long; it takes milliseconds.
const GUARD_PATIENCE: Duration = Duration::from_secs(3);

/// How the guard is started: a program that calls [`super::guard::guard`] with what follows `--`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardProgram {
    /// The program.
    pub program: PathBuf,
    /// What makes it the guard.
    pub arguments: Vec<String>,
}

impl GuardProgram {
    /// The running program itself under its hidden subcommand. It is found even after its file was
    /// replaced by another version.
    #[must_use]
    pub fn this(subcommand: &str) -> Self {
        Self { program: "/proc/self/exe".into(), arguments: vec![subcommand.to_owned()] }
    }
}

/// What is to be run.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) argv: Vec<String>,
    pub(super) directory: PathBuf,
    pub(super) environment: BTreeMap<String, String>,
    /// Names the attempt, as the environment does.
    pub(super) attempt: String,
}

/// How a command ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) report: Report,
    pub(super) stdout: Output,
    pub(super) stderr: Output,
}

/// A command under guard. When it is dropped, the guard kills everything of it.
#[derive(Debug)]
pub(super) struct Guarded {
    /// Names what it guards.
    attempt: String,
    guard: Child,
    control: UnixStream,
    pipes: Option<(ChildStdout, ChildStderr)>,
}

impl Guarded {
    /// Starts the guard, which waits for the input before it starts the command.
    pub(super) fn start(program: &GuardProgram, order: &Order) -> io::Result<Self> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let control = UnixStream::from_std(ours)?;
        let mut command = Command::new(&program.program);
        command.args(&program.arguments).arg("--").args(&order.argv);
        command.env_clear().envs(&order.environment).current_dir(&order.directory);
        // A terminal's interrupt is for the node, which decides what becomes of its commands.
        command.process_group(0);
        command.stdin(Stdio::from(OwnedFd::from(theirs)));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut guard = command.spawn()?;
        let pipes = guard.stdout.take().zip(guard.stderr.take());
        Ok(Self { attempt: order.attempt.clone(), guard, control, pipes })
    }

    /// Gives the command its input and waits for its end.
    pub(super) async fn finish(&mut self, input: &str) -> io::Result<Ended> {
        let pipes = self.pipes.take();
        let (stdout, stderr) = pipes.ok_or_else(|| io::Error::other("it has no output"))?;
        let (reports, orders) = self.control.split();
        // Together, for a command waits for its output to be read.
        let (fed, report, stdout, stderr) = tokio::join!(
            feed(orders, input),
            last_report(reports, &self.attempt),
            Output::read(stdout),
            Output::read(stderr)
        );
        self.guard.wait().await?;
        match report? {
            Some(report) => Ok(Ended { report, stdout: stdout?, stderr: stderr? }),
            None => {
                let why = "its guard was killed, and it with it: the machine may be out of memory";
                Err(fed.err().unwrap_or_else(|| io::Error::other(why)))
            }
        }
    }

    /// Ends everything of the command, and returns whether that is certain.
    pub(super) async fn stop(self) -> bool {
        let Self { mut guard, control, attempt: _, pipes: _ } = self;
        drop(control);
        matches!(timeout(GUARD_PATIENCE, guard.wait()).await, Ok(Ok(_)))
    }
}

async fn feed(mut to: WriteHalf<'_>, input: &str) -> io::Result<()> {
    let length = u64::try_from(input.len()).unwrap_or(u64::MAX);
    to.write_all(&length.to_be_bytes()).await?;
    to.write_all(input.as_bytes()).await
}

/// What the guard says of the command's end; nothing if the guard was killed, and then the command is
/// killed as well, which is what the guard would have done.
async fn last_report(from: ReadHalf<'_>, attempt: &str) -> io::Result<Option<Report>> {
    let mut group = None;
    let mut lines = BufReader::new(from).lines();
    while let Some(line) = lines.next_line().await? {
        match Report::read(&line) {
            Some(Report::Started(pid)) => group = Pid::from_raw(pid),
            Some(report) => return Ok(Some(report)),
            None => return Err(io::Error::other(format!("its guard said `{line}`"))),
        }
    }
    if let Some(group) = group {
        // Fails where nothing of it is left.
        kill_process_group(group, Signal::KILL).ok();
    }
    // The guard may have been killed before it could say which group it is.
    marked::kill_all(attempt);
    Ok(None)
}
