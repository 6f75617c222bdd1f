//! The log: for people on a terminal, JSON otherwise.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::config::{Log, LogFormat};

/// Starts the log on the standard error. Call it once.
///
/// # Errors
/// The filter does not parse, or a log was started before.
pub fn start(log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.level)?;
    let terminal = io::stderr().is_terminal();
    let lines = fmt().with_env_filter(filter).with_writer(io::stderr);
    let started = match log.format {
        LogFormat::Json => lines.json().try_init(),
        LogFormat::Auto if !terminal => lines.json().try_init(),
        LogFormat::Auto | LogFormat::Text => lines.with_ansi(terminal).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("the log could not be started: {error}"))?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// A panic is caught and dealt with where it happens; here it only becomes a line of the log, like
/// everything else. Its text is not logged twice, but this line has the place.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let text = panic.payload_as_str().unwrap_or("no message");
    tracing::error!(place, text, "a panic");
}
