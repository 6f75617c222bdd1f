//! Stores around stores.

use std::fmt;
use std::ops::Range;

use crate::{Backend, Batch, Epoch, Key, Space, StoreError};

/// A store that hands everything to the one below it, but for what it overrides.
///
/// Every layer is a [`Backend`].
pub trait Layer: Send + Sync + fmt::Debug + 'static {
    /// Returns the store below.
    fn below(&self) -> &dyn Backend;

    /// Does for [`Backend::commit`].
    ///
    /// # Errors
    ///
    /// As for [`Backend::commit`].
    fn commit(&self, epoch: Epoch, batch: &Batch) -> Result<(), StoreError> {
        self.below().commit(epoch, batch)
    }

    /// Does for [`Backend::settle`].
    ///
    /// # Errors
    ///
    /// As for [`Backend::settle`].
    fn settle(&self) -> Result<(), StoreError> {
        self.below().settle()
    }
}

impl<L: Layer> Backend for L {
    fn claim(&self) -> Result<Epoch, StoreError> {
        self.below().claim()
    }

    fn commit(&self, epoch: Epoch, batch: &Batch) -> Result<(), StoreError> {
        Layer::commit(self, epoch, batch)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.below().get(key)
    }

    fn scan(&self, range: Range<&Key>, limit: usize) -> Result<Vec<(Key, Vec<u8>)>, StoreError> {
        self.below().scan(range, limit)
    }

    fn scan_back(
        &self,
        range: Range<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Vec<u8>)>, StoreError> {
        self.below().scan_back(range, limit)
    }

    fn settle(&self) -> Result<(), StoreError> {
        Layer::settle(self)
    }

    fn space(&self) -> Result<Space, StoreError> {
        self.below().space()
    }

    fn close(&self) -> Result<(), StoreError> {
        self.below().close()
    }
}
