//! The node of a drill, in a process of its own: a whole node as it is always run, and a way for the
//! drill to strike parts of it. The drill says on the standard input what to strike.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use perennial_healing::alert::Alert;
use perennial_healing::analyzer::Analyzer;
use perennial_healing::monitor::Monitor;
use perennial_healing::responder::Responder;
use perennial_query::orchestrator::Orchestrator;
use perennial_query::worker::ToolWorker;
use perennial_runtime::Runtime;
use perennial_store::{Backend, Batch, Epoch, Layer, StoreError};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::node::Node;
use crate::signal::Signals;
use crate::telemetry;

/// What the store does instead of what it is asked.
#[derive(Debug, Default)]
enum Trouble {
    #[default]
    None,
    /// It commits nothing before then.
    Stalled(Instant),
    /// Every commit fails.
    Failing,
}

#[derive(Debug, Default)]
struct Switch {
    trouble: Mutex<Trouble>,
    changed: Condvar,
}

impl Switch {
    fn set(&self, trouble: Trouble) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
        self.changed.notify_all();
    }

    /// Returns when a commit may go on; an error if it must fail.
    fn pass(&self) -> Result<(), StoreError> {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match *trouble {
                Trouble::None => return Ok(()),
                Trouble::Failing => {
                    let source = io::Error::other("the drill has it fail");
                    return Err(StoreError::Io { attempted: "commit".to_owned(), source });
                }
                Trouble::Stalled(until) => {
                    let left = until.saturating_duration_since(perennial_runtime::instant());
                    if left.is_zero() {
                        *trouble = Trouble::None;
                        return Ok(());
                    }
                    let waited = self.changed.wait_timeout(trouble, left);
                    trouble = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }
}

/// The node's own store behind the switch.
#[derive(Debug)]
struct Store {
    inner: Arc<dyn Backend>,
    switch: Arc<Switch>,
}

impl Layer for Store {
    fn below(&self) -> &dyn Backend {
        &*self.inner
    }

    fn commit(&self, epoch: Epoch, batch: &Batch) -> Result<(), StoreError> {
        self.switch.pass()?;
        self.inner.commit(epoch, batch)
    }
}

/// Runs the node until it ends, or until the drill has gone away.
///
/// # Errors
/// Why the node could not go on.
pub(crate) fn run(config: Config) -> Result<Exit, Failure> {
    let software = |error: &dyn ToString| Failure::new(Exit::Software, error.to_string());
    telemetry::start(&config.log).map_err(|error| software(&error))?;
    let threads = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let done = threads.map_err(|error| software(&error))?.block_on(live(config));
    if let Err(failure) = &done {
        tracing::error!(exit_code = failure.exit as u8, error = %failure, "the node ended");
    }
    done.map(|()| Exit::Success)
}

async fn live(config: Config) -> Result<(), Failure> {
    let io = |error: io::Error| Failure::new(Exit::Io, error.to_string());
    let mut signals = Signals::catch().map_err(io)?;
    let listener = TcpListener::bind(config.http.listen).await.map_err(io)?;
    let address = listener.local_addr().map_err(io)?;
    let switch = Arc::new(Switch::default());
    let behind = switch.clone();
    let wrap = move |inner| Arc::new(Store { inner, switch: behind }) as Arc<dyn Backend>;
    let node = Node::start_on(config, listener, wrap).await?;
    let runtime = node.runtime().clone();
    say(&address.to_string()).map_err(io)?;
    tokio::select! {
        ended = node.run(&mut signals) => ended,
        read = obey(&runtime, &switch) => read.map_err(io),
    }
}

/// Does what the drill says, until it says nothing any more.
async fn obey(runtime: &Runtime, switch: &Switch) -> io::Result<()> {
    let mut orders = orders();
    while let Some(order) = orders.recv().await {
        let done = match order.split_once(' ').unwrap_or((&order, "")) {
            ("kill", "monitor") => killed(runtime.kill::<Monitor>()),
            ("kill", "analyzer") => killed(runtime.kill::<Analyzer>()),
            ("kill", "responder") => killed(runtime.kill::<Responder>()),
            ("kill", "alert") => killed(runtime.kill::<Alert>()),
            ("kill", "query-orchestrator") => killed(runtime.kill::<Orchestrator>()),
            ("kill", "tool-worker") => killed(runtime.kill::<ToolWorker>()),
            ("stall-orchestrators", millis) => {
                let stalled = runtime.stall::<Orchestrator>(in_millis(millis));
                format!("stalled for {millis} ms, {stalled} alive")
            }
            ("stall-store", millis) => {
                switch.set(Trouble::Stalled(perennial_runtime::instant() + in_millis(millis)));
                format!("stalled for {millis} ms")
            }
            ("fail", _) => {
                switch.set(Trouble::Failing);
                "a commit failed".to_owned()
            }
            _ => format!("not understood: {order}"),
        };
        say(&done)?;
    }
    Ok(())
}

/// The lines of the standard input. The thread that waits for them ends with the process.
fn orders() -> mpsc::UnboundedReceiver<String> {
    let (sender, orders) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let lines = io::stdin().lines().map_while(Result::ok);
        for line in lines {
            // Nobody listens any more when the node has ended.
            drop(sender.send(line));
        }
    });
    orders
}

fn in_millis(text: &str) -> Duration {
    Duration::from_millis(text.parse().unwrap_or(0))
}

fn killed(actors: usize) -> String {
    format!("killed, {actors} alive")
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
