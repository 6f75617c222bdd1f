//! What is committed and not in the engine yet, and reading it over what is.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::iter::Peekable;
use std::ops::{Bound, Range};
use std::sync::Arc;

use super::engine::EngineRow;
use crate::{Batch, Key, StoreError};

/// The last write to each of some rows.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: BTreeMap<Key, Row>,
    /// Sum of the sizes of all keys and values.
    bytes: usize,
    /// The number of the last commit in it; 0 if there is none.
    last: u64,
}

#[derive(Debug)]
struct Row {
    /// `None` if it was deleted.
    value: Option<Vec<u8>>,
    /// Neither the engine nor an older table has ever had the key: once deleted, nothing is left to remember.
    fresh: bool,
}

impl Table {
    /// Takes in a commit.
    pub(super) fn apply(&mut self, number: u64, batch: &Batch) {
        for (key, value, fresh) in batch.writes() {
            match (self.rows.get_mut(key), value) {
                (Some(row), None) if row.fresh => {
                    self.bytes -= key.as_ref().len() + size(row.value.as_deref());
                    self.rows.remove(key);
                }
                (Some(row), value) => {
                    self.bytes = self.bytes - size(row.value.as_deref()) + size(value);
                    row.value = value.map(<[u8]>::to_vec);
                }
                (None, value) => self.insert(key.clone(), value.map(<[u8]>::to_vec), fresh),
            }
        }
        self.last = number;
    }

    /// Takes in a write that was read from the journal. The engine may hold any part of what came before.
    pub(super) fn replay(&mut self, key: Key, value: Option<Vec<u8>>) {
        if let Some(row) = self.rows.get_mut(&key) {
            self.bytes = self.bytes - size(row.value.as_deref()) + size(value.as_deref());
            row.value = value;
        } else {
            self.insert(key, value, false);
        }
    }

    /// Says that everything up to this commit was replayed.
    pub(super) fn end_commit(&mut self, number: u64) {
        self.last = number;
    }

    fn insert(&mut self, key: Key, value: Option<Vec<u8>>, fresh: bool) {
        self.bytes += key.as_ref().len() + size(value.as_deref());
        self.rows.insert(key, Row { value, fresh });
    }

    /// Tells whether no commit is in it. One that undid another leaves no row and counts all the same.
    pub(super) fn is_empty(&self) -> bool {
        self.last == 0
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Lists the writes in the order of their keys; `None` deletes.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Key, Option<&[u8]>)> {
        self.rows.iter().map(|(key, row)| (key, row.value.as_deref()))
    }

    /// The value at `key`, if the table knows it: `Some(None)` if it was deleted.
    fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        self.rows.get(key).map(|row| row.value.as_deref())
    }

    fn range<'a>(
        &'a self,
        range: &Range<&[u8]>,
    ) -> impl DoubleEndedIterator<Item = Found<'a>> + use<'a> {
        let bounds = (Bound::Included(range.start), Bound::Excluded(range.end));
        let rows = self.rows.range::<[u8], _>(bounds);
        rows.map(|(key, row)| Found::Recent(key.as_ref(), row.value.as_deref()))
    }
}

fn size(value: Option<&[u8]>) -> usize {
    value.map_or(0, <[u8]>::len)
}

/// What is committed and not known to be in the engine, in two tables.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// Takes in commits.
    pub(super) active: Table,
    /// Older, and on its way into the engine.
    pub(super) frozen: Option<Arc<Table>>,
}

impl Recent {
    /// Bytes of keys and values that the engine has still to take.
    pub(super) fn bytes(&self) -> usize {
        self.active.bytes() + self.frozen.as_ref().map_or(0, |table| table.bytes())
    }

    /// The value at `key`, if it is known here: `Some(None)` if it was deleted.
    pub(super) fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        let older = || self.frozen.as_ref().and_then(|table| table.get(key));
        self.active.get(key).or_else(older)
    }

    /// Lays the rows of `range` over those of the engine, in the order of keys, or against it.
    pub(super) fn over<'a>(
        &'a self,
        engine: impl Iterator<Item = Result<EngineRow, StoreError>> + 'a,
        range: &Range<&'a [u8]>,
        order: Order,
    ) -> Merged<'a> {
        let mut layers: Vec<Layer<'a>> = Vec::with_capacity(3);
        for table in std::iter::once(&self.active).chain(self.frozen.as_deref()) {
            let rows = table.range(range);
            layers.push(match order {
                Order::Ascending => boxed(rows),
                Order::Descending => boxed(rows.rev()),
            });
        }
        layers.push(boxed(engine.map(Found::Engine)));
        Merged { layers, order }
    }
}

/// In which order rows are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Ascending,
    Descending,
}

/// A row as one of the layers has it.
pub(super) enum Found<'a> {
    Recent(&'a [u8], Option<&'a [u8]>),
    Engine(Result<EngineRow, StoreError>),
}

impl Found<'_> {
    /// `None` if the engine failed.
    fn key(&self) -> Option<&[u8]> {
        match self {
            Found::Recent(key, _) => Some(key),
            Found::Engine(Ok((key, _))) => Some(key),
            Found::Engine(Err(_)) => None,
        }
    }
}

type Layer<'a> = Peekable<Box<dyn Iterator<Item = Found<'a>> + 'a>>;

fn boxed<'a>(rows: impl Iterator<Item = Found<'a>> + 'a) -> Layer<'a> {
    let rows: Box<dyn Iterator<Item = Found<'a>> + 'a> = Box::new(rows);
    rows.peekable()
}

/// The rows of several layers as one: of each key what the newest layer has.
pub(super) struct Merged<'a> {
    /// The newest first.
    layers: Vec<Layer<'a>>,
    order: Order,
}

impl<'a> Merged<'a> {
    /// Tells which layer has the next row; the newest of those that have it.
    fn next_layer(&mut self) -> Option<usize> {
        let order = self.order;
        let mut next: Option<(usize, &[u8])> = None;
        for (index, layer) in self.layers.iter_mut().enumerate() {
            let Some(found) = layer.peek() else { continue };
            // A failure is told before anything else.
            let Some(key) = found.key() else { return Some(index) };
            let earlier = next.as_ref().is_none_or(|(_, first)| match order {
                Order::Ascending => key.cmp(first) == Ordering::Less,
                Order::Descending => key.cmp(first) == Ordering::Greater,
            });
            if earlier {
                next = Some((index, key));
            }
        }
        next.map(|(index, _)| index)
    }
}

impl<'a> Iterator for Merged<'a> {
    type Item = Found<'a>;

    /// Returns the next row, also one that was deleted.
    fn next(&mut self) -> Option<Found<'a>> {
        let index = self.next_layer()?;
        let found = self.layers.get_mut(index)?.next()?;
        if let Some(key) = found.key() {
            for older in self.layers.iter_mut().skip(index + 1) {
                older.next_if(|hidden| hidden.key() == Some(key));
            }
        }
        Some(found)
    }
}
