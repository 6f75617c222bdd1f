//! Collections beside the state: ordered, typed rows written in the turn's own commit.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use perennial_store::{Backend, CodecError, Key, StoreError, Tag, encode, open, seal};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::durable::Failure;
use crate::migration::{self, Stored};

/// Names a table and the type of its rows. The name and version are stored and never change.
#[derive(Debug)]
pub struct Table<R> {
    name: &'static str,
    version: u16,
    migrate: Option<MigrateRow<R>>,
    row: PhantomData<fn() -> R>,
}

/// Reads a row that an older version stored: given that version, and the row's bytes.
pub type MigrateRow<R> = fn(u16, &[u8]) -> Result<R, Failure>;

impl<R: Serialize + DeserializeOwned> Table<R> {
    /// Names a table whose rows have this schema version.
    #[must_use]
    pub const fn new(name: &'static str, version: u16) -> Self {
        Self { name, version, migrate: None, row: PhantomData }
    }

    /// Has rows of older versions read by `migrate`; without it, reading one is an error. They stay as
    /// they are stored until they are written again.
    #[must_use]
    pub const fn migrated_by(self, migrate: MigrateRow<R>) -> Self {
        Self { name: self.name, version: self.version, migrate: Some(migrate), row: PhantomData }
    }

    /// The stored name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The schema version of its rows.
    #[must_use]
    pub const fn version(&self) -> u16 {
        self.version
    }

    pub(crate) fn key(&self, row: &(impl RowKey + ?Sized)) -> Key {
        Key::row(self.name, &row.to_row_key())
    }

    pub(crate) fn range(&self, prefix: &[u8]) -> Range<Key> {
        let all = Key::rows_all(self.name);
        if prefix.is_empty() {
            return all;
        }
        let end = successor(prefix).map_or(all.end, |next| Key::row(self.name, &next));
        Key::row(self.name, prefix)..end
    }

    pub(crate) fn seal(&self, key: &Key, row: &R) -> Result<Vec<u8>, CodecError> {
        Ok(seal(key, Tag::Row, self.version, &encode(row)?))
    }

    pub(crate) fn open(&self, key: &Key, bytes: &[u8]) -> Result<R, StoreError> {
        let record = open(key, bytes)?;
        let stored = Stored { version: record.version, current: self.version, what: "rows" };
        let older = |version, payload: &[u8]| match self.migrate {
            Some(migrate) => migrate(version, payload),
            None => Err(stored.unknown()),
        };
        migration::read(&stored, record.payload, older)
            .map_err(|failure| migration::unreadable(key, &failure))
    }
}

/// The first byte string after all that start with `prefix`; none when they are the last.
fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut next = prefix.to_vec();
    while let Some(last) = next.pop() {
        if last < u8::MAX {
            next.push(last + 1);
            return Some(next);
        }
    }
    None
}

/// The first key after `key`.
fn after(key: &Key) -> Key {
    let mut bytes = key.as_ref().to_vec();
    bytes.push(0);
    Key::from_bytes(bytes)
}

/// A row's place in its table: bytes whose order is the order of the rows.
pub trait RowKey {
    /// The key as bytes.
    fn to_row_key(&self) -> Vec<u8>;
}

impl RowKey for str {
    fn to_row_key(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }
}

impl RowKey for String {
    fn to_row_key(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }
}

impl RowKey for u64 {
    fn to_row_key(&self) -> Vec<u8> {
        self.to_be_bytes().to_vec()
    }
}

/// Rows of one owner, numbered: all of `owner` in order under the prefix [`owner_prefix`].
impl RowKey for (&str, u64) {
    fn to_row_key(&self) -> Vec<u8> {
        let mut key = owner_prefix(self.0);
        key.extend_from_slice(&self.1.to_be_bytes());
        key
    }
}

/// The prefix shared by the rows of `owner` in a table keyed by `(owner, number)`.
#[must_use]
pub fn owner_prefix(owner: &str) -> Vec<u8> {
    let mut key = owner.as_bytes().to_vec();
    key.push(0);
    key
}

/// Uncommitted rows laid over stored ones: `None` is a deletion.
pub(crate) type Overlay = BTreeMap<Key, Option<Vec<u8>>>;

/// Where a turn reads its rows: what is stored, and what earlier turns have written but not yet
/// committed.
pub(crate) trait RowView {
    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError>;
    fn scan(&self, range: Range<Key>, limit: usize) -> Result<Vec<(Key, Vec<u8>)>, StoreError>;
}

/// Merges `overlay` over the rows `base` returns for ever larger limits, until `limit` remain.
pub(crate) fn scan_merged(
    overlay: &Overlay,
    range: Range<Key>,
    limit: usize,
    base: impl Fn(Range<Key>, usize) -> Result<Vec<(Key, Vec<u8>)>, StoreError>,
) -> Result<Vec<(Key, Vec<u8>)>, StoreError> {
    let changed: Vec<_> = overlay.range(range.clone()).collect();
    let deleted = changed.iter().filter(|(_, value)| value.is_none()).count();
    let mut rows: BTreeMap<Key, Vec<u8>> =
        base(range, limit.saturating_add(deleted))?.into_iter().collect();
    for (key, value) in changed {
        match value {
            Some(value) => rows.insert(key.clone(), value.clone()),
            None => rows.remove(key),
        };
    }
    Ok(rows.into_iter().take(limit).collect())
}

/// Rows read at a time by [`TableReader::visit`].
const PAGE: usize = 256;

/// Reads committed rows from outside the actors: the facade's door to the tables. Blocks for a sync
/// when what it read is not durable yet, because nothing leaves the node before that.
#[derive(Clone, Debug)]
pub struct TableReader {
    backend: Arc<dyn Backend>,
}

impl TableReader {
    pub(crate) fn new(backend: Arc<dyn Backend>) -> Self {
        Self { backend }
    }

    /// One committed row.
    ///
    /// # Errors
    /// The store cannot be read, or the row is corrupt or of another version.
    pub fn get<R>(
        &self,
        table: &Table<R>,
        key: &(impl RowKey + ?Sized),
    ) -> Result<Option<R>, StoreError>
    where
        R: Serialize + DeserializeOwned,
    {
        let row = self.glance(table, key)?;
        self.backend.settle()?;
        Ok(row)
    }

    /// One row as it was written last, which may not be durable yet. For a performer that decides by it
    /// whether to begin: it waits for no sync, and what follows from the row can only become durable after it.
    ///
    /// # Errors
    /// As for [`TableReader::get`].
    pub fn glance<R>(
        &self,
        table: &Table<R>,
        key: &(impl RowKey + ?Sized),
    ) -> Result<Option<R>, StoreError>
    where
        R: Serialize + DeserializeOwned,
    {
        let key = table.key(key);
        let row = self.backend.get(key.as_ref())?;
        row.map(|bytes| table.open(&key, &bytes)).transpose()
    }

    /// At most `limit` committed rows whose key starts with `prefix`, ascending.
    ///
    /// # Errors
    /// As for [`TableReader::get`].
    pub fn scan<R>(
        &self,
        table: &Table<R>,
        prefix: &[u8],
        limit: usize,
    ) -> Result<Vec<R>, StoreError>
    where
        R: Serialize + DeserializeOwned,
    {
        let range = table.range(prefix);
        let rows = self.backend.scan(&range.start..&range.end, limit)?;
        self.backend.settle()?;
        rows.iter().map(|(key, bytes)| table.open(key, bytes)).collect()
    }

    /// The same, from the last row down.
    ///
    /// # Errors
    /// As for [`TableReader::get`].
    pub fn scan_back<R>(
        &self,
        table: &Table<R>,
        prefix: &[u8],
        limit: usize,
    ) -> Result<Vec<R>, StoreError>
    where
        R: Serialize + DeserializeOwned,
    {
        let range = table.range(prefix);
        let rows = self.backend.scan_back(&range.start..&range.end, limit)?;
        self.backend.settle()?;
        rows.iter().map(|(key, bytes)| table.open(key, bytes)).collect()
    }

    /// At most `limit` committed rows of `owner` that are numbered `first` or more, ascending, of a table
    /// keyed by `(owner, number)`.
    ///
    /// # Errors
    /// As for [`TableReader::get`].
    pub fn scan_owned<R>(
        &self,
        table: &Table<R>,
        owner: &str,
        first: u64,
        limit: usize,
    ) -> Result<Vec<R>, StoreError>
    where
        R: Serialize + DeserializeOwned,
    {
        let (start, end) = (table.key(&(owner, first)), table.range(&owner_prefix(owner)).end);
        let rows = self.backend.scan(&start..&end, limit)?;
        self.backend.settle()?;
        rows.iter().map(|(key, bytes)| table.open(key, bytes)).collect()
    }

    /// Shows `visitor` the committed rows from the key `from` on, ascending, until it breaks. However many
    /// there are, a bounded number is in memory. Rows that are written meanwhile are shown or not.
    ///
    /// # Errors
    /// As for [`TableReader::get`].
    pub fn visit<R>(
        &self,
        table: &Table<R>,
        from: &[u8],
        mut visitor: impl FnMut(R) -> ControlFlow<()>,
    ) -> Result<(), StoreError>
    where
        R: Serialize + DeserializeOwned,
    {
        let Range { start, end } = table.range(&[]);
        let mut start = if from.is_empty() { start } else { Key::row(table.name, from) };
        loop {
            let rows = self.backend.scan(&start..&end, PAGE)?;
            self.backend.settle()?;
            for (key, bytes) in &rows {
                if visitor(table.open(key, bytes)?).is_break() {
                    return Ok(());
                }
            }
            match rows.last() {
                Some((last, _)) if rows.len() == PAGE => start = after(last),
                Some(_) | None => return Ok(()),
            }
        }
    }

    /// The same from the last row down, of those before the key `before` if there is one.
    ///
    /// # Errors
    /// As for [`TableReader::get`].
    pub fn visit_back<R>(
        &self,
        table: &Table<R>,
        before: Option<&[u8]>,
        mut visitor: impl FnMut(R) -> ControlFlow<()>,
    ) -> Result<(), StoreError>
    where
        R: Serialize + DeserializeOwned,
    {
        let Range { start, end } = table.range(&[]);
        let mut end = before.map_or(end, |before| Key::row(table.name, before));
        loop {
            let mut rows = self.backend.scan_back(&start..&end, PAGE)?;
            self.backend.settle()?;
            for (key, bytes) in &rows {
                if visitor(table.open(key, bytes)?).is_break() {
                    return Ok(());
                }
            }
            let ended = rows.len() < PAGE;
            match rows.pop() {
                Some((last, _)) if !ended => end = last,
                Some(_) | None => return Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests;
