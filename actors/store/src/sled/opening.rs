//! Opening the engine's files.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::{EngineFile, Live, SledOptions, engine, parts};
use crate::{StoreError, files};

/// The unit in which the engine writes and frees its log.
///
/// A page over a quarter of it would leave the log. The engine keeps a buffer of this size and reads one
/// per thread while opening, so the largest (16 MiB) costs 8 MB more of resident memory when idle and 30
/// MB more after opening than 4 MiB, measured; 2 MiB is the least whose quarter holds a page of the largest rows.
pub(crate) const SEGMENT_BYTES: usize = 2 * 1024 * 1024;

/// How often the engine flushes by itself, in milliseconds. Every commit is flushed and synced anyway;
/// this is for the pages it moves on its own account. Its own default, twice a second, syncs an idle
/// disk for nothing.
const ENGINE_FLUSH_MS: u64 = 10_000;

/// The most rows a page has: 16, 3 of a neighbour merged into it, and the one that makes it split.
const ROWS_PER_PAGE: usize = 20;

/// The longest keys that are accounted for.
const KEY_BYTES: usize = 4 * 1024;

const _: () = assert!(ROWS_PER_PAGE * (parts::PART_BYTES + KEY_BYTES) < SEGMENT_BYTES / 4);

pub(super) fn open(dir: &Path, options: SledOptions) -> Result<Live, StoreError> {
    let blobs = dir.join("blobs");
    refuse_blobs(&blobs)?;
    files::create_dir(dir)?;
    let db = open_engine(dir, options)?;
    let path = dir.join("db");
    let file = File::open(&path)
        .and_then(|file| file.sync_all().map(|()| file))
        .map_err(StoreError::io(format!("open {}", path.display())))?;
    // The engine creates its files without making their names durable.
    files::sync_dir(&blobs)?;
    files::sync_dir(dir)?;
    let split = parts::find_split(&db)?;
    Ok(Live { db, split, file: EngineFile(file) })
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
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StoreError::io(format!("list {}", blobs.display()))(error)),
    }
}
