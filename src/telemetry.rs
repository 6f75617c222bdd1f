//! The log: for people on a terminal, JSON otherwise.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::config::{Log, LogFormat};

/// The store warns at each start that it removes a blob of its engine: its own mark, by which it stops the engine
/// half-way (`note_end` in the store). What else this part of the engine warns of is about files that no
/// store is opened with. The full-text index warns when parts that it joins behind the commits are gone before it has joined
/// them, as all that was in them was removed: it goes on with what is there.
const EXPECTED: [&str; 3] = [
    "sled::pagecache::blob_io=error",
    "tantivy::indexer::segment_manager=error",
    "tantivy::indexer::segment_updater=error",
];

/// Starts the log on the standard error. Call it once.
///
/// # Errors
/// The filter does not parse, or a log was started before.
pub fn start(log: &Log) -> anyhow::Result<()> {
    let filter = filter(&log.level)?;
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

fn filter(level: &str) -> anyhow::Result<EnvFilter> {
    // Behind it, so that whoever names one of these has the say.
    Ok(EnvFilter::try_new(format!("{},{level}", EXPECTED.join(",")))?)
}

/// A panic is caught and dealt with where it happens; here it only becomes a line of the log, like
/// everything else. Its text is not logged twice, but this line has the place.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let text = panic.payload_as_str().unwrap_or("no message");
    tracing::error!(place, text, "a panic");
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn of_the_warnings_of_what_it_stands_on_only_the_expected_ones_are_left_out() {
        let temp = tempfile::tempdir().unwrap();
        let log = temp.path().join("log");
        let lines = fmt().with_env_filter(filter("info").unwrap());
        let lines = lines.with_writer(File::create(&log).unwrap()).finish();
        tracing::subscriber::with_default(lines, || {
            tracing::warn!(target: "sled::pagecache::blob_io", "removing 1 blobs");
            tracing::warn!(target: "tantivy::indexer::segment_manager", "removing a segment");
            tracing::warn!(target: "sled::pagecache::snapshot", "corrupt snapshot file found");
            tracing::warn!(target: "sled::config", "crc for settings file failed");
        });
        let log = std::fs::read_to_string(log).unwrap();
        assert!(!log.contains("removing"), "{log}");
        assert_eq!(log.lines().count(), 2, "{log}");
    }
}
