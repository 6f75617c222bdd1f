//! Backups on a schedule, kept for a while.
//!
//! The files are all the schedule knows: when the newest was taken says when the next is due, also after
//! a restart.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use perennial_runtime::{Clock, SystemClock};
use perennial_store::{About, BackupError, BackupFile, Summary, TappedBackend, Timestamp};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::config;
use crate::metrics::BackupFigures;

/// The name of a backup, by the second it was begun, in UTC.
const NAME: &str = "perennial-%Y%m%dT%H%M%SZ.backup";

/// What stands behind the name of one that is being written.
const PART: &str = ".part";

/// The longest time without a look at the clock, which may be set meanwhile.
const LOOK: Duration = Duration::from_secs(60);

/// From a failure to the next attempt.
const RETRY: Duration = Duration::from_secs(5 * 60);

/// What stands in the way of the last backup, if something does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trouble(Arc<Mutex<Option<String>>>);

impl Trouble {
    pub(crate) fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, trouble: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

/// What every backup of this node says of itself.
pub(crate) fn about() -> About<'static> {
    About { product: env!("CARGO_PKG_VERSION"), now: &|| SystemClock.now() }
}

/// Takes backups when they are due.
#[derive(Debug)]
pub(crate) struct Schedule {
    pub(crate) store: Arc<TappedBackend>,
    pub(crate) config: config::Backup,
    pub(crate) figures: BackupFigures,
    pub(crate) trouble: Trouble,
}

impl Schedule {
    /// Runs until `stop` is true. A backup under way is cut short by the closing of the store.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => {}
            () = self.work() => {}
        }
    }

    async fn work(&self) {
        self.figures.every.set(self.config.every.as_secs_f64());
        loop {
            let now = SystemClock.now();
            let newest = listed(&self.config.directory).into_iter().map(|(at, _)| at);
            let newest = newest.filter(|at| *at <= now).max();
            if let Some(newest) = newest {
                self.figures.last_success.set(newest.as_micros() as f64 / 1e6);
            }
            let wait = due_in(newest, now, self.config.every);
            if !wait.is_zero() {
                sleep(wait.min(LOOK)).await;
            } else if !self.take().await {
                sleep(RETRY.min(self.config.every)).await;
            }
        }
    }

    /// Takes a backup, and tells whether that succeeded.
    async fn take(&self) -> bool {
        let (store, config) = (Arc::clone(&self.store), self.config.clone());
        let begin = perennial_runtime::instant();
        let taken = spawn_blocking(move || take(&store, &config)).await;
        let taken = taken
            .map_err(|error| error.to_string())
            .and_then(|taken| taken.map_err(|error| crate::exit::with_sources(&error)));
        match taken {
            Ok((path, summary)) => {
                let Summary { rows, changes, file_bytes: bytes, .. } = summary;
                let path = path.display();
                tracing::info!(%path, rows, changes, bytes, "a backup was taken");
                self.figures.duration.set(begin.elapsed().as_secs_f64());
                self.figures.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
                self.trouble.set(None);
                true
            }
            Err(error) => {
                let directory = self.config.directory.display();
                tracing::error!(%directory, error, "the scheduled backup failed; it is tried again");
                self.figures.failures.inc();
                self.trouble.set(Some(format!("the last one failed: {error}")));
                false
            }
        }
    }
}

/// How long to wait for the next backup. A clock that was set back does not delay it beyond `every`.
fn due_in(newest: Option<Timestamp>, now: Timestamp, every: Duration) -> Duration {
    newest.map_or(Duration::ZERO, |newest| (newest + every).since(now).min(every))
}

/// Takes a backup into the directory, and removes those that are too old then.
fn take(
    store: &Arc<TappedBackend>,
    config: &config::Backup,
) -> Result<(PathBuf, Summary), BackupError> {
    let directory = &config.directory;
    let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(|source| failed(format!("create {}", directory.display()), source))?;
    remove_unfinished(directory);
    let now = SystemClock.now();
    let path = directory.join(name(now));
    let mut file = BackupFile::create(&path)?;
    store.begin_backup()?.write(&mut file, about())?;
    let summary = file.finish()?;
    for (at, old) in listed(directory) {
        if at + config.keep < now && old != path {
            remove(&old);
        }
    }
    Ok((path, summary))
}

fn failed(attempted: String, source: io::Error) -> BackupError {
    BackupError::Io { attempted, source }
}

fn remove(path: &Path) {
    match fs::remove_file(path) {
        Ok(()) => tracing::info!(path = %path.display(), "an old backup was removed"),
        Err(error) => tracing::warn!(%error, path = %path.display(), "an old backup stays"),
    }
}

/// Removes what a process that died had begun.
fn remove_unfinished(directory: &Path) {
    let unfinished = |name: &str| name.strip_suffix(PART).and_then(time_of).is_some();
    entries(directory)
        .into_iter()
        .filter(|(name, _)| unfinished(name))
        .for_each(|(_, path)| remove(&path));
}

/// The backups in a directory, and when they were begun.
fn listed(directory: &Path) -> Vec<(Timestamp, PathBuf)> {
    entries(directory)
        .into_iter()
        .filter_map(|(name, path)| Some((time_of(&name)?, path)))
        .collect()
}

/// Names and paths; none of a directory that cannot be listed, which shows when one is written.
fn entries(directory: &Path) -> Vec<(String, PathBuf)> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let named = |entry: fs::DirEntry| Some((entry.file_name().into_string().ok()?, entry.path()));
    entries.filter_map(|entry| named(entry.ok()?)).collect()
}

fn name(at: Timestamp) -> String {
    let micros = i64::try_from(at.as_micros()).unwrap_or(i64::MAX);
    let at = jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::MAX);
    at.to_zoned(TimeZone::UTC).strftime(NAME).to_string()
}

fn time_of(name: &str) -> Option<Timestamp> {
    let at = strtime::parse(NAME, name).ok()?.to_datetime().ok()?;
    let at = at.to_zoned(TimeZone::UTC).ok()?.timestamp().as_microsecond();
    Some(Timestamp::from_micros(u64::try_from(at).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(hours: u64) -> Timestamp {
        Timestamp::EPOCH + HOUR * 500_000 + HOUR * u32::try_from(hours).unwrap()
    }

    fn store() -> Arc<TappedBackend> {
        Arc::new(TappedBackend::new(Arc::new(perennial_store::MemoryBackend::new())))
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> = entries(directory).into_iter().map(|(name, _)| name).collect();
        names.sort();
        names
    }

    #[test]
    fn a_backup_is_due_when_the_newest_is_old_enough_or_there_is_none() {
        assert_eq!(due_in(None, at(5), HOUR), Duration::ZERO);
        assert_eq!(due_in(Some(at(5)), at(5), HOUR), HOUR);
        assert_eq!(due_in(Some(at(5)), at(6), HOUR), Duration::ZERO);
        assert_eq!(due_in(Some(at(5)), at(9), HOUR), Duration::ZERO);
        assert_eq!(due_in(Some(at(9)), at(5), HOUR), HOUR);
    }

    #[test]
    fn the_name_of_a_backup_tells_its_second_and_nothing_else_is_taken_for_one() {
        let time = Timestamp::from_micros(1_795_216_480_000_000);
        assert_eq!(name(time), "perennial-20261120T231440Z.backup");
        assert_eq!(time_of(&name(time)), Some(time));
        for other in ["perennial.backup", "perennial-20261120T231440Z.backup.part", "x"] {
            assert_eq!(time_of(other), None, "{other}");
        }
    }

    #[test]
    fn old_backups_are_removed_after_a_new_one_succeeded_and_other_files_never() {
        let temp = tempfile::tempdir().unwrap();
        let directory = temp.path().to_owned();
        let now = SystemClock.now();
        let ago = |hours: u64| Timestamp::from_micros(now.as_micros() - hours * 3_600_000_000);
        let (old, recent) = (name(ago(30)), name(ago(20)));
        for name in [old.as_str(), &recent, "letter", &format!("{old}{PART}")] {
            fs::write(directory.join(name), "").unwrap();
        }
        let config = config::Backup { directory: directory.clone(), every: HOUR, keep: 24 * HOUR };
        let store = store();
        let busy = store.begin_backup().unwrap();
        assert!(take(&store, &config).is_err());
        assert_eq!(names(&directory), ["letter", &old, &recent]);
        drop(busy);
        let (new, _) = take(&store, &config).unwrap();
        let new = new.file_name().unwrap().to_str().unwrap();
        assert_eq!(names(&directory), ["letter", &recent, new]);
    }
}
