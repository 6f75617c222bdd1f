//! Opening the engine's files.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::damage::{caught, engine_error};
use super::engine::{EngineFile, Live};
use super::{SledOptions, parts};
use crate::{MAX_KEY_BYTES, StoreError, data_dir, files};

/// The unit in which the engine writes and frees its log.
///
/// A page over a quarter of it would leave the log. The engine fills two buffers of this size in turn, and
/// reads one per thread while opening, so the largest (16 MiB) costs tens of megabytes of memory in an
/// idle node. A quarter of 1 MiB holds the pages accounted for below. A store keeps the size it was made
/// with.
pub(crate) const SEGMENT_BYTES: usize = 1024 * 1024;

/// How often the engine flushes by itself, in milliseconds. Every checkpoint flushes and syncs it anyway;
/// this is for the pages it moves on its own account. Its own default, twice a second, syncs an idle
/// disk for nothing.
const ENGINE_FLUSH_MS: u64 = 10_000;

/// The most rows a page has: 16, 3 of a neighbour merged into it, and the one that makes it split.
const ROWS_PER_PAGE: usize = 20;

/// The most keys a page of the index has: 256, 63 of a neighbour, and the one that makes it split.
const KEYS_PER_PAGE: usize = 320;

/// Allowed for what the engine writes around each.
const AROUND: usize = 16;

const _: () =
    assert!(ROWS_PER_PAGE * (parts::PART_BYTES + MAX_KEY_BYTES + AROUND) < SEGMENT_BYTES / 4);
const _: () = assert!(KEYS_PER_PAGE * (MAX_KEY_BYTES + AROUND) < SEGMENT_BYTES / 4);

/// Opens the store in `dir`, or makes one.
///
/// A power cut while the engine creates its files leaves some that it does not open any more. So it is noted
/// beside `dir` while they are made, and what was left half made is thrown away: nobody was told of it yet.
pub(super) fn open(dir: &Path, options: SledOptions) -> Result<Live, StoreError> {
    clear_away(dir)?;
    refuse_blobs(&dir.join("blobs"))?;
    let unfinished = data_dir::unfinished(dir);
    if unfinished.exists() {
        remove_all(dir)?;
    }
    let new = is_absent(dir)?;
    if new {
        files::create_dir(dir)?;
        files::mark(&unfinished)?;
    }
    let (db, file, split) = caught("open the store", || {
        let (db, file) = open_durably(dir, options)?;
        let split = parts::find_split(&db)?;
        Ok((db, file, split))
    })?;
    if new {
        files::remove(&unfinished)?;
    }
    Ok(Live { db, split, file })
}

/// Removes what an opening that was cut short left behind: the name that stops the engine, and snapshots
/// whose writing was not finished, which the engine would take for whole ones.
fn clear_away(dir: &Path) -> Result<(), StoreError> {
    remove_stop(dir)?;
    for path in snapshots(dir)? {
        if path.extension().is_some_and(|extension| extension == "generating") {
            files::remove(&path)?;
        }
    }
    Ok(())
}

fn is_absent(dir: &Path) -> Result<bool, StoreError> {
    match fs::read_dir(dir).map(|mut entries| entries.next().is_none()) {
        Ok(empty) => Ok(empty),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(StoreError::io(format!("list {}", dir.display()))(error)),
    }
}

fn remove_all(dir: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(StoreError::io(format!("remove {}", dir.display()))(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Opens the engine, and makes what it creates without syncing durable: its settings and all names.
///
/// What a process that died had written and not synced is made durable before: the engine reads it and
/// may note durably where it ends, and does not open a log any more that ends earlier than noted.
fn open_durably(dir: &Path, options: SledOptions) -> Result<(::sled::Db, EngineFile), StoreError> {
    let config = config(dir, options);
    if dir.join("db").exists() {
        note_end(dir, &config)?;
    }
    let db = config.open().map_err(engine_error("open the store"))?;
    // It makes them readable by everybody.
    let made = ["db", "conf", "blobs"].map(|name| dir.join(name));
    made.into_iter().chain(snapshots(dir)?).try_for_each(|path| files::make_private(&path))?;
    files::sync_dir(dir)?;
    let file = EngineFile(open_synced(dir, "db")?);
    open_synced(dir, "conf")?;
    files::sync_dir(&dir.join("blobs"))?;
    Ok((db, file))
}

pub(super) fn config(dir: &Path, options: SledOptions) -> ::sled::Config {
    ::sled::Config::default()
        .path(dir)
        .segment_size(segment_bytes(dir))
        .flush_every_ms(Some(ENGINE_FLUSH_MS))
        .cache_capacity(options.cache_bytes)
}

/// The segment size a store was made with, for the engine opens it with no other; that of a new one if it
/// has none that is legible.
fn segment_bytes(dir: &Path) -> usize {
    let conf = fs::read(dir.join("conf")).unwrap_or_default();
    let lines = String::from_utf8_lossy(&conf);
    let size = lines.lines().find_map(|line| line.strip_prefix("segment_size: "));
    size.and_then(|size| size.parse().ok()).unwrap_or(SEGMENT_BYTES)
}

/// Has the engine read its log, note in a snapshot where it ends, and go no further.
///
/// When the engine opens, it writes a snapshot and overwrites every segment that nothing in it needs.
/// It syncs neither the snapshot's name nor those segments, in which the snapshot before still begins: with that
/// one back after a power cut, the engine takes the whole log for torn and erases it. So it is first
/// stopped between the two, by a name that it means to remove and cannot, and the snapshot is made durable.
pub(super) fn note_end(dir: &Path, config: &::sled::Config) -> Result<(), StoreError> {
    let released = EngineFile(open_synced(dir, "db")?);
    let stop = stop(dir);
    fs::create_dir_all(&stop).map_err(StoreError::io(format!("create {}", stop.display())))?;
    match config.open() {
        Err(::sled::Error::Io(error)) if error.kind() == ErrorKind::IsADirectory => {}
        // The log is empty: there is no end to note.
        Ok(db) => drop(db),
        Err(error) => return Err(engine_error("read the store's log")(error)),
    }
    drop(released);
    remove_stop(dir)?;
    files::sync_dir(dir)
}

/// A page outside the log, as the engine names them: by where the log refers to it, here beyond any end. The
/// engine removes those from beyond the end it found; this is a directory, which it cannot remove.
pub(super) fn stop(dir: &Path) -> PathBuf {
    dir.join("blobs").join(i64::MAX.to_string())
}

fn remove_stop(dir: &Path) -> Result<(), StoreError> {
    let stop = stop(dir);
    match fs::remove_dir(&stop) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StoreError::io(format!("remove {}", stop.display()))(error)),
    }
}

fn open_synced(dir: &Path, name: &str) -> Result<File, StoreError> {
    let path = dir.join(name);
    File::open(&path)
        .and_then(|file| file.sync_all().map(|()| file))
        .map_err(StoreError::io(format!("open and sync {}", path.display())))
}

pub(super) fn snapshots(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let list = || {
        let mut found = Vec::new();
        let entries = match fs::read_dir(dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(found),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("snap.") {
                found.push(entry.path());
            }
        }
        Ok(found)
    };
    list().map_err(StoreError::io(format!("list {}", dir.display())))
}

pub(super) fn refuse_blobs(blobs: &Path) -> Result<(), StoreError> {
    match fs::read_dir(blobs).map(|mut entries| entries.next().is_some()) {
        Ok(true) => Err(StoreError::BlobFiles { path: blobs.to_owned() }),
        Ok(false) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StoreError::io(format!("list {}", blobs.display()))(error)),
    }
}
