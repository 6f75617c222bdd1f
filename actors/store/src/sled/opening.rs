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
/// idle node; 1 MiB is the least whose quarter holds the pages accounted for below.
pub(crate) const SEGMENT_BYTES: usize = 1024 * 1024;

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

pub(super) fn open(dir: &Path, options: SledOptions) -> Result<Live, StoreError> {
    refuse_blobs(&dir.join("blobs"))?;
    if is_absent(dir)? {
        create(dir, options)?;
    }
    let (db, file) = open_durably(dir, options)?;
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

/// Makes an empty store, which appears in its place whole or not at all.
///
/// A power cut while the engine creates its files leaves some that it does not open any more.
fn create(dir: &Path, options: SledOptions) -> Result<(), StoreError> {
    let aside = dir.with_extension("new");
    match fs::remove_dir_all(&aside) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(StoreError::io(format!("remove {}", aside.display()))(error));
        }
        Ok(()) | Err(_) => {}
    }
    files::create_dir(&aside)?;
    let (db, file) = open_durably(&aside, options)?;
    drop(db);
    drop(file);
    // Closing the engine may have changed names.
    files::sync_dir(&aside)?;
    fs::rename(&aside, dir).map_err(StoreError::io(format!("create {}", dir.display())))?;
    files::sync_parent(dir)
}

/// Opens the engine, and makes what it creates without syncing durable: its settings and all names.
fn open_durably(dir: &Path, options: SledOptions) -> Result<(::sled::Db, EngineFile), StoreError> {
    let db = open_engine(dir, options)?;
    let open_synced = |name: &str| {
        let path = dir.join(name);
        File::open(&path)
            .and_then(|file| file.sync_all().map(|()| file))
            .map_err(StoreError::io(format!("open {}", path.display())))
    };
    let file = EngineFile(open_synced("db")?);
    open_synced("conf")?;
    files::sync_dir(&dir.join("blobs"))?;
    files::sync_dir(dir)?;
    Ok((db, file))
}

/// Opens the engine; if it fails, removes half-written snapshots and tries once more.
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
    let leftovers = unfinished_snapshots(dir)?;
    if leftovers.is_empty() {
        return Err(engine("open the store")(error));
    }
    // A snapshot only speeds up opening, and an unfinished one holds nothing that the log does not.
    for path in &leftovers {
        tracing::warn!(path = %path.display(), "removing an unfinished snapshot of the store");
        files::remove(path)?;
    }
    config.open().map_err(engine("open the store without its unfinished snapshots"))
}

fn unfinished_snapshots(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let list = || {
        let mut found = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with("snap.") && name.ends_with(".generating") {
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
