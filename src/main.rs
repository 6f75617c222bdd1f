//! Runs the node: arguments, configuration, address, start, run, exit code.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::thread::available_parallelism;
use std::time::Duration;

use clap::Parser;
use perennial::cli::Cli;
use perennial::config::Config;
use perennial::exit::{Exit, Failure};
use perennial::node::Node;
use perennial::signal::Signals;
use perennial::telemetry;
use tokio::net::TcpListener;

/// What is still under way when the node has ended gets so long.
const LEFTOVERS: Duration = Duration::from_secs(1);
/// Threads that run actors. More would only cost memory: all commits go through one thread.
const MOST_WORKERS: usize = 4;

fn main() -> ExitCode {
    let mut cli = Cli::parse();
    if let Some(argv) = cli.guarded() {
        return perennial_query::tools::shell::guard(argv);
    }
    match cli.execute(run) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            // Nobody may be left to read it, which does not change how the process ends.
            drop(writeln!(io::stderr().lock(), "perennial: {failure}"));
            failure.exit.into()
        }
    }
}

/// Runs a node to its end. Once there is a log, why it ended is said there and nowhere else.
fn run(config: Config) -> Result<Exit, Failure> {
    telemetry::start(&config.log).map_err(software)?;
    let workers = available_parallelism().map_or(1, NonZeroUsize::get).min(MOST_WORKERS);
    let threads = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .map_err(software)?;
    let ended = threads.block_on(run_node(config));
    // What still blocks a thread by now is nothing that an end has to wait for.
    threads.shutdown_timeout(LEFTOVERS);
    match ended {
        Ok(()) => Ok(Exit::Success),
        Err(failure) => {
            tracing::error!(exit_code = failure.exit as u8, error = %failure, "the node ended");
            Ok(failure.exit)
        }
    }
}

async fn run_node(config: Config) -> Result<(), Failure> {
    let mut signals = Signals::catch().map_err(software)?;
    for warning in config.warnings() {
        tracing::warn!(warning, "the configuration is accepted but probably not meant");
    }
    let address = config.http.listen;
    let busy =
        |error| Failure::new(Exit::Unavailable, format!("cannot listen on {address}: {error}"));
    let listener = TcpListener::bind(address).await.map_err(busy)?;
    Node::start_unless_stopped(config, listener, &mut signals).await?.run(&mut signals).await
}

fn software(error: impl ToString) -> Failure {
    Failure::new(Exit::Software, error.to_string())
}
