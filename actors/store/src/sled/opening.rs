//! Opening the engine's files.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{EngineFile, Live, SledOptions, engine, parts};
use crate::{MAX_KEY_BYTES, StoreError, files};

/// The unit in which the engine writes and frees its log.
///
/// A page over a quarter of it would leave the log. The engine fills two buffers of this size in turn, and
/// reads one per thread while opening, so the largest (16 MiB) costs tens of megabytes of memory in an
/// idle node. A quarter of 1 MiB would hold the pages accounted for below, and save two megabytes. But with so
/// small a segment a power cut while the store is opened was seen to leave one that does not open again: the
/// first segment is used again early, while a snapshot that needs it may still come back.
pub(crate) const SEGMENT_BYTES: usize = 2 * 1024 * 1024;

/// How often the engine flushes by itself, in milliseconds. Every commit is flushed and synced anyway;
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
    refuse_blobs(&dir.join("blobs"))?;
    let unfinished = dir.with_extension("unfinished");
    if unfinished.exists() {
        remove_all(dir)?;
    }
    let new = is_absent(dir)?;
    if new {
        files::create_dir(dir)?;
        files::replace(&unfinished, b"")?;
    }
    let (db, file) = open_durably(dir, options)?;
    if new {
        files::remove(&unfinished)?;
    }
    let split = parts::find_split(&db)?;
    Ok(Live { db, split, file })
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
    if dir.join("db").exists() {
        open_synced(dir, "db")?;
    }
    let db = open_engine(dir, options)?;
    // Names first: what the engine does next may no longer fit its snapshot of before.
    files::sync_dir(dir)?;
    let file = EngineFile(open_synced(dir, "db")?);
    open_synced(dir, "conf")?;
    files::sync_dir(&dir.join("blobs"))?;
    Ok((db, file))
}

fn open_synced(dir: &Path, name: &str) -> Result<File, StoreError> {
    let path = dir.join(name);
    File::open(&path)
        .and_then(|file| file.sync_all().map(|()| file))
        .map_err(StoreError::io(format!("open and sync {}", path.display())))
}

/// Opens the engine; if it fails, removes its snapshots and tries once more.
///
/// A snapshot only speeds up opening, and holds nothing that the log does not. After a power cut it may be
/// half written, or an older one may be back while the log has gone on and used its space again.
fn open_engine(dir: &Path, options: SledOptions) -> Result<::sled::Db, StoreError> {
    let config = ::sled::Config::default()
        .path(dir)
        .segment_size(SEGMENT_BYTES)
        .flush_every_ms(Some(ENGINE_FLUSH_MS))
        .cache_capacity(options.cache_bytes);
    let error = match config.open() {
        Ok(db) => return Ok(db),
        Err(error) => error,
    };
    let snapshots = snapshots(dir)?;
    if snapshots.is_empty() {
        return Err(engine("open the store")(error));
    }
    for path in &snapshots {
        tracing::warn!(path = %path.display(), %error, "opening the store without this snapshot");
        files::remove(path)?;
    }
    config.open().map_err(engine("open the store without its snapshots"))
}

fn snapshots(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let list = || {
        let mut found = Vec::new();
        for entry in fs::read_dir(dir)? {
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
