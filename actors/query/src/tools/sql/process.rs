//! The process that answers, as calls see it: started when the first one comes, and again after it has ended.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use perennial_runtime::instant;
use perennial_sql_protocol::{Answer, Ask, FromWorker, Setup, ToWorker, receive, send};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::sync::mpsc::{Receiver, Sender, UnboundedSender, channel, unbounded_channel};
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::driver::{Driver, Order, lost};
use crate::tool::ToolError;

/// A process takes queries so soon; it takes milliseconds.
const START: Duration = Duration::from_secs(30);
/// The first wait before a process that ended is replaced; it doubles with each that ends soon.
const BACKOFF: Duration = Duration::from_millis(100);
/// The longest wait.
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);
/// A process that ended after so long is no sign that the next one will.
const STABLE: Duration = Duration::from_secs(30);
/// What a process said is there so soon after its end.
const WORDS: Duration = Duration::from_secs(1);
/// How a line begins that comes behind what happened, and tells how to learn more of it.
const HINT: &str = "note: ";
/// Frames that may wait for the driver.
const FRAMES: usize = 64;

/// The process, whether it is there or not.
#[derive(Debug)]
pub(super) struct Process {
    program: PathBuf,
    setup: Setup,
    last: AtomicU64,
    state: Mutex<State>,
}

/// How it stands.
#[derive(Debug, Default)]
struct State {
    link: Option<Link>,
    /// Processes that ended soon, one after the other.
    ended: u32,
}

/// The way to a process.
#[derive(Clone, Debug)]
struct Link {
    orders: UnboundedSender<Order>,
    since: Instant,
}

/// What a process says last on its standard error, once it has ended.
pub(super) type LastWords = JoinHandle<String>;

/// Takes a question back unless it was answered.
struct Asked {
    orders: UnboundedSender<Order>,
    id: u64,
    answered: bool,
}

impl Drop for Asked {
    fn drop(&mut self) {
        if !self.answered {
            // A process that has ended answers nothing any more.
            self.orders.send(Order::Abandon(self.id)).unwrap_or_default();
        }
    }
}

impl Process {
    pub(super) fn new(program: PathBuf, setup: Setup) -> Self {
        Self { program, setup, last: AtomicU64::new(0), state: Mutex::default() }
    }

    /// Has a question answered, under a number that it gives it. When this is dropped, the process lets go of it or
    /// is ended.
    pub(super) async fn answer(&self, mut ask: Ask) -> Result<Answer, ToolError> {
        let orders = self.link().await?.orders;
        ask.id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let (answer, answered) = oneshot::channel();
        let mut asked = Asked { orders, id: ask.id, answered: false };
        if asked.orders.send(Order::Ask(ask, answer)).is_err() {
            return Err(lost("it ended before it was asked"));
        }
        let answer = answered.await;
        asked.answered = true;
        answer.unwrap_or_else(|_| Err(lost("it ended")))
    }

    /// The way to a process that takes queries.
    async fn link(&self) -> Result<Link, ToolError> {
        // Held until it is there: whoever comes meanwhile waits for the same one.
        let mut state = self.state.lock().await;
        if let Some(link) = &state.link {
            if !link.orders.is_closed() {
                return Ok(link.clone());
            }
            let was_stable = instant().saturating_duration_since(link.since) > STABLE;
            state.ended = if was_stable { 1 } else { state.ended.saturating_add(1) };
            state.link = None;
        }
        if state.ended > 0 {
            let doubled = BACKOFF * 2_u32.saturating_pow(state.ended.min(16) - 1);
            sleep_until(instant() + doubled.min(LONGEST_BACKOFF)).await;
        }
        let started = self.start().await;
        match &started {
            Ok(link) => state.link = Some(link.clone()),
            Err(_) => state.ended = state.ended.saturating_add(1),
        }
        started
    }

    async fn start(&self) -> Result<Link, ToolError> {
        let mut child = self.spawn().map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                return ToolError::failed(absent(&self.program));
            }
            let shown = self.program.display();
            ToolError::failed(format!("{shown} cannot be started: {error}"))
        })?;
        let pipes = child.stdin.take().zip(child.stdout.take()).zip(child.stderr.take());
        let ((mut input, output), errors) = pipes.ok_or_else(|| lost("it has no pipes"))?;
        let words = tokio::spawn(overhear(errors));
        let (said, mut frames) = channel(FRAMES);
        tokio::spawn(listen(output, said));
        let ready = async {
            send(&mut input, &ToWorker::Setup(self.setup.clone())).await?;
            Ok::<_, io::Error>(frames.recv().await)
        };
        match timeout(START, ready).await {
            Ok(Ok(Some(FromWorker::Ready))) => {}
            Ok(Ok(_)) | Ok(Err(_)) => return Err(ended(child, words).await),
            Err(_) => return Err(lost(&format!("it was not ready after {START:?}"))),
        }
        let (orders, taken) = unbounded_channel();
        tokio::spawn(Driver::new(child, input, frames, words).run(taken));
        tracing::info!(program = %self.program.display(), "the process for SQL was started");
        Ok(Link { orders, since: instant() })
    }

    fn spawn(&self) -> io::Result<Child> {
        let mut command = Command::new(&self.program);
        // It needs nothing of what the node knows, and is ended by the node, not by a terminal.
        command.env_clear().current_dir("/").process_group(0).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn()
    }
}

/// What is said where the program is not there.
pub(super) fn absent(program: &Path) -> String {
    format!(
        "{} is not there; build it with `cargo build --release -p perennial-sql` and put it there, or say in \
         query.sql.program where it is",
        program.display()
    )
}

async fn ended(mut child: Child, mut words: LastWords) -> ToolError {
    let status = timeout(START, child.wait()).await;
    let status = status.map_or("it was not ready".to_owned(), |status| {
        status.map_or_else(|error| error.to_string(), |status| status.to_string())
    });
    let words = last_words(&mut words).await;
    lost(&format!("it ended at its start: {status}{words}"))
}

/// What it said last, if anything.
pub(super) async fn last_words(words: &mut LastWords) -> String {
    match timeout(WORDS, words).await {
        Ok(Ok(words)) if !words.is_empty() => format!("; it said: {words}"),
        Ok(Ok(_) | Err(_)) | Err(_) => String::new(),
    }
}

/// Hands on what the process says until it ends.
async fn listen(mut output: ChildStdout, said: Sender<FromWorker>) {
    loop {
        let frame = match receive(&mut output).await {
            Ok(Some(frame)) => frame,
            Ok(None) => return,
            Err(error) => {
                tracing::error!(%error, "the process for SQL is not understood");
                return;
            }
        };
        if said.send(frame).await.is_err() {
            return;
        }
    }
}

/// Writes what it complains of to the log, and returns the last of it that says what happened.
async fn overhear(errors: ChildStderr) -> String {
    let mut lines = BufReader::new(errors).lines();
    let mut last = String::new();
    while let Ok(Some(line)) = lines.next_line().await {
        tracing::warn!("perennial-sql: {line}");
        if !line.starts_with(HINT) {
            last = line;
        }
    }
    last
}

/// Frames of a process.
pub(super) type Frames = Receiver<FromWorker>;
