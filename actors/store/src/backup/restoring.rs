//! From a backup to a data directory.

use std::fs;
use std::io::{self, Read, Seek};
use std::path::Path;

use super::archive::{Entries, Part, Reader};
use super::{BackupError, Summary};
use crate::data_dir::{self, DataDir};
use crate::sled::{commits_key, epoch_key, number};
use crate::{
    Backend, Batch, Epoch, Key, MAX_KEY_BYTES, MAX_VALUE_BYTES, SledBackend, SledOptions, files,
    record,
};

/// Epochs left out by a restored store. Its past went on after the backup, under epochs of its own; what
/// was named by them (messages, keys of effects) must not be named again.
const SKIPPED_EPOCHS: u64 = 1_000;

/// Bytes restored by one commit, about.
const BATCH_BYTES: usize = 1024 * 1024;

/// Where a store is made before its directory is taken for data.
const ASIDE: &str = "restoring";

/// Reads a whole backup and verifies every checksum in it.
///
/// # Errors
///
/// [`BackupError::Invalid`] and [`BackupError::OtherFormat`] say what is wrong, and where.
pub fn verify_backup(from: &mut dyn Read) -> Result<Summary, BackupError> {
    verify(from).map(|(summary, _)| summary)
}

/// Makes a data directory of a backup: in a directory that is empty or absent, and only after the whole
/// backup was verified. A node starts on it as after an unclean end.
///
/// # Errors
///
/// As for [`verify_backup`]; [`BackupError::NotEmpty`]; or the directory cannot be written. In each case
/// it holds no data.
pub fn restore_backup(
    from: &mut (impl Read + Seek),
    data_dir: &Path,
) -> Result<Summary, BackupError> {
    let (summary, epoch) = verify(from)?;
    let not_empty = |found| BackupError::NotEmpty { path: data_dir.to_owned(), found };
    let _lock = DataDir::lock_empty(data_dir, ASIDE)?.map_err(not_empty)?;
    let aside = data_dir.join(ASIDE);
    clear(&aside)?;
    let made = files::create_dir(&aside)
        .map_err(BackupError::from)
        .and_then(|()| fill(from, &data_dir::store_dir(&aside), epoch));
    if let Err(error) = made {
        clear(&aside)?;
        return Err(error);
    }
    move_in(&aside, data_dir)?;
    DataDir::adopt(data_dir)?;
    Ok(summary)
}

/// Verifies a backup, and returns the last epoch it knows of, too.
fn verify(from: &mut dyn Read) -> Result<(Summary, Epoch), BackupError> {
    let mut reader = Reader::begin(from)?;
    let (mut rows, mut changes, mut epoch) = (0, 0, Epoch::default());
    let mut last: Option<Key> = None;
    loop {
        match reader.next()? {
            Part::Rows(entries) => {
                for entry in entries.iter() {
                    let (key, value) = entry.map_err(|why| reader.invalid(why))?;
                    let value = value.ok_or_else(|| reader.invalid("a row has no value"))?;
                    check(&key, Some(value)).map_err(|why| reader.invalid(why))?;
                    if last.as_ref().is_some_and(|last| *last >= key) {
                        return Err(reader.invalid("its rows are not in order"));
                    }
                    if key == epoch_key() {
                        epoch = Epoch::from_raw(number(&key, value)?);
                    }
                    last = Some(key);
                    rows += 1;
                }
            }
            Part::Changes(entries) => {
                for entry in entries.iter() {
                    let (key, value) = entry.map_err(|why| reader.invalid(why))?;
                    check(&key, value).map_err(|why| reader.invalid(why))?;
                    changes += 1;
                }
            }
            Part::End(summary) if (summary.rows, summary.changes) == (rows, changes) => {
                return Ok((summary, epoch));
            }
            Part::End(_) => return Err(reader.invalid("it does not hold what it says it does")),
        }
    }
}

/// Says why an entry cannot be of a store.
fn check(key: &Key, value: Option<&[u8]>) -> Result<(), String> {
    if key.as_ref().len() > MAX_KEY_BYTES || *key >= Key::end() || *key == commits_key() {
        return Err(format!("{key} is the key of no row"));
    }
    let Some(value) = value else { return Ok(()) };
    if value.len() > MAX_VALUE_BYTES {
        return Err(format!("the row {key} is too large"));
    }
    match record::open(key, value) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("a row is damaged: {error}")),
    }
}

/// Makes the store in `dir`: the rows, and over them the changes.
fn fill(from: &mut (impl Read + Seek), dir: &Path, epoch: Epoch) -> Result<(), BackupError> {
    let store = SledBackend::open(dir, SledOptions::default())?;
    let earlier = Epoch::from_raw(epoch.as_u64().saturating_add(SKIPPED_EPOCHS));
    let mut into = Into { epoch: store.claim_after(earlier)?, store, batch: Batch::new() };
    apply(from, &mut into, |part| match part {
        Part::Rows(entries) => Some(entries),
        Part::Changes(_) | Part::End(_) => None,
    })?;
    apply(from, &mut into, |part| match part {
        Part::Changes(entries) => Some(entries),
        Part::Rows(_) | Part::End(_) => None,
    })?;
    into.commit()?;
    Ok(into.store.close()?)
}

/// The store that is being made.
struct Into {
    store: SledBackend,
    epoch: Epoch,
    batch: Batch,
}

impl Into {
    fn add(&mut self, key: Key, value: Option<&[u8]>) -> Result<(), BackupError> {
        if key == epoch_key() {
            // It has one of its own.
            return Ok(());
        }
        match value {
            Some(value) => self.batch.put(key, value.to_vec()),
            None => self.batch.delete(key),
        }
        if self.batch.bytes() < BATCH_BYTES { Ok(()) } else { self.commit() }
    }

    fn commit(&mut self) -> Result<(), BackupError> {
        Ok(self.store.commit(self.epoch, &std::mem::take(&mut self.batch))?)
    }
}

/// Applies those parts of the backup that `select` gives the entries of.
fn apply(
    from: &mut (impl Read + Seek),
    into: &mut Into,
    select: impl Fn(&Part) -> Option<&Entries>,
) -> Result<(), BackupError> {
    from.rewind().map_err(BackupError::io("read the backup again"))?;
    let mut reader = Reader::begin(from)?;
    loop {
        let part = reader.next()?;
        if let Part::End(_) = part {
            return Ok(());
        }
        let Some(entries) = select(&part) else { continue };
        for entry in entries.iter() {
            let (key, value) = entry.map_err(|why| reader.invalid(why))?;
            into.add(key, value)?;
        }
    }
}

/// Puts the finished store into its place.
fn move_in(aside: &Path, data_dir: &Path) -> Result<(), BackupError> {
    let (from, to) = (data_dir::store_dir(aside), data_dir::store_dir(data_dir));
    fs::rename(&from, &to).map_err(BackupError::io(format!("create {}", to.display())))?;
    clear(aside)?;
    Ok(files::sync_dir(data_dir)?)
}

/// Removes what an earlier attempt left.
fn clear(aside: &Path) -> Result<(), BackupError> {
    match fs::remove_dir_all(aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(BackupError::io(format!("remove {}", aside.display()))(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
