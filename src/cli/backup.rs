//! Backups: taken from a node or from a directory, verified, and made into a directory again.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Seek, SeekFrom, Write};
use std::path::Path;

use perennial_store::{
    BackupError, BackupFile, StoreError, Summary, Timestamp, backup_data, restore_backup,
    verify_backup,
};
use serde_json::json;

use super::remote::{client, wait_for};
use super::{NodeArgs, counted, no_data, print};
use crate::backup::about;
use crate::exit::{Exit, Failure};

/// Bytes after which progress is shown anew.
const STEP: u64 = 4 * 1024 * 1024;

/// From the directory if it is named and nobody uses it, else from the node: of a directory that is named, only
/// from the node that uses it.
pub(super) fn backup(file: &Path, data_dir: Option<&Path>, node: &NodeArgs) -> Result<(), Failure> {
    let mut to = Progress::new(BackupFile::create(file)?, "written");
    match data_dir.map(|dir| backup_data(dir, &mut to, about())) {
        None => from_node(&mut to, None, node).map_err(|failure| {
            unavailable(failure, |why| {
                format!("{why}; of a node that does not run, name the --data-dir")
            })
        })?,
        Some(Err(BackupError::Store(StoreError::Locked { path, holder, incarnation }))) => {
            from_owner(&mut to, incarnation, node).map_err(|failure| {
                unavailable(failure, |why| {
                    format!(
                        "{} is in use by {holder}, and {why}; name the node that uses it with --node or \
                         --config, or stop it; without --data-dir the node that answers is backed up",
                        path.display()
                    )
                })
            })?;
        }
        Some(Err(BackupError::Store(error))) => {
            let no_data = data_dir.and_then(|dir| no_data(dir, &error));
            return Err(no_data.unwrap_or_else(|| error.into()));
        }
        Some(taken) => drop(taken?),
    }
    let summary = to.done().finish()?;
    tell(&format!("{} holds the data", file.display()), &summary, node.json)
}

/// Says more if what is needed is not there.
fn unavailable(mut failure: Failure, explain: impl FnOnce(&str) -> String) -> Failure {
    if failure.exit == Exit::Unavailable {
        failure.message = explain(&failure.message);
    }
    failure
}

/// From the node if it can be told that it is the one of this incarnation.
fn from_owner(
    to: &mut dyn Write,
    incarnation: Option<String>,
    node: &NodeArgs,
) -> Result<(), Failure> {
    let unknown = || Failure::new(Exit::Unavailable, "it is not known which one that is");
    from_node(to, Some(&incarnation.ok_or_else(unknown)?), node)
}

fn from_node(to: &mut dyn Write, of: Option<&str>, node: &NodeArgs) -> Result<(), Failure> {
    let client = client(node)?;
    wait_for(async { Ok(client.download("/v1/backup", of, to).await?) })
}

pub(super) fn verify(file: &Path, json: bool) -> Result<(), Failure> {
    let mut from = Progress::new(open(file)?, "verified");
    let summary = verify_backup(&mut from).map_err(|error| about_file(file, error))?;
    drop(from.done());
    tell(&format!("{} is whole and holds the data", file.display()), &summary, json)
}

pub(super) fn restore(file: &Path, data_dir: &Path, json: bool) -> Result<(), Failure> {
    let mut from = Progress::new(open(file)?, "read");
    let restored = restore_backup(&mut from, data_dir).map_err(|error| about_file(file, error))?;
    drop(from.done());
    tell(&format!("{} has the data", data_dir.display()), &restored, json)?;
    // What it is printed beside may be read by a program.
    drop(writeln!(
        io::stderr().lock(),
        "warning: API keys are as they were at {}: those revoked since are good again. Once the node runs, look at \
         `perennial keys list` and revoke them anew by `perennial keys revoke ID`",
        readable(restored.finished)
    ));
    Ok(())
}

fn open(file: &Path) -> Result<File, Failure> {
    File::open(file).map_err(|error| {
        Failure::new(Exit::Io, format!("{} cannot be read: {error}", file.display()))
    })
}

/// Says which file it is whose content does not fit.
fn about_file(file: &Path, error: BackupError) -> Failure {
    let mut failure = Failure::from(error);
    if failure.exit == Exit::Data {
        failure.message = format!("{}: {}", file.display(), failure.message);
    }
    failure
}

fn tell(what: &str, summary: &Summary, json: bool) -> Result<(), Failure> {
    let Summary { product, started, finished, rows, changes, bytes, file_bytes } = summary;
    let (started, finished) = (readable(*started), readable(*finished));
    if json {
        let summary = json!({
            "product": product, "started": started, "finished": finished, "rows": rows,
            "changes": changes, "bytes": bytes, "file_bytes": file_bytes,
        });
        return print(&format!("{summary:#}"));
    }
    let (rows, changes) = (counted(*rows, "row"), counted(*changes, "change"));
    print(&format!(
        "{what} as of {finished}: {rows} and {changes}, {bytes} bytes in a backup of {file_bytes}, \
         taken by version {product}"
    ))
}

fn readable(at: Timestamp) -> String {
    let at = i64::try_from(at.as_micros())
        .ok()
        .and_then(|at| jiff::Timestamp::from_microsecond(at).ok());
    at.map_or_else(|| "an impossible time".to_owned(), |at| at.to_string())
}

/// Shows on a terminal how many bytes have passed.
struct Progress<T> {
    inner: T,
    verb: &'static str,
    passed: u64,
    shown: u64,
    terminal: bool,
}

impl<T> Progress<T> {
    fn new(inner: T, verb: &'static str) -> Self {
        Self { inner, verb, passed: 0, shown: 0, terminal: io::stderr().is_terminal() }
    }

    fn pass(&mut self, bytes: usize) {
        self.passed += bytes as u64;
        if self.terminal && self.passed >= self.shown + STEP {
            self.shown = self.passed;
            // Who cannot be shown progress misses nothing else.
            drop(write!(io::stderr().lock(), "\r{} MB {}", self.passed / 1_000_000, self.verb));
        }
    }

    fn done(self) -> T {
        if self.shown > 0 {
            drop(writeln!(io::stderr().lock()));
        }
        self.inner
    }
}

impl<T: Write> Write for Progress<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.pass(written);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T: Read> Read for Progress<T> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(bytes)?;
        self.pass(read);
        Ok(read)
    }
}

impl<T: Seek> Seek for Progress<T> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}
