//! Looking at a store that may be damaged.

use std::path::Path;

use super::{Live, SledOptions, engine, opening, witness};
use crate::{Key, StoreError};

/// Shows every row of the layers above to `visit`, in order of keys, those that cannot be read too, and
/// returns the damage that concerns no such row.
pub(crate) fn inspect(
    dir: &Path,
    visit: impl FnMut(Key, Result<Vec<u8>, StoreError>),
) -> Result<Vec<StoreError>, StoreError> {
    let live = opening::open(dir, SledOptions::default())?;
    let mut damage = Vec::new();
    // A damaged number is reported as a row; nothing follows from it.
    if let Ok(commits) = live.number(&witness::key()) {
        damage.extend(witness::find_loss(dir, commits).err());
    }
    live.visit(visit)?;
    damage.extend(live.stray_parts());
    Ok(damage)
}

impl Live {
    fn visit(
        &self,
        mut visit: impl FnMut(Key, Result<Vec<u8>, StoreError>),
    ) -> Result<(), StoreError> {
        for row in self.db.range(..Key::end()) {
            let (key, first) = row.map_err(engine("read the rows"))?;
            let key = Key::from_bytes(&*key);
            let value = self.join(&key, first.to_vec());
            visit(key, value);
        }
        Ok(())
    }

    /// Lists parts whose value is gone.
    fn stray_parts(&self) -> impl Iterator<Item = StoreError> {
        let stray = self.split.keys().filter(|key| !matches!(self.db.contains_key(key), Ok(true)));
        stray.map(|key| StoreError::Corrupted {
            key: key.to_string(),
            reason: "it has parts but no beginning".to_owned(),
        })
    }
}
