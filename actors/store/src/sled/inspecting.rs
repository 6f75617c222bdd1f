//! Looking at a store that may be damaged.

use std::path::Path;

use super::damage::caught;
use super::engine::Live;
use super::journal::{self, Journal};
use super::recent::{Order, Recent};
use super::{SledOptions, commits_key, opening, witness};
use crate::{Key, StoreError};

/// Shows every row of the layers above to `visit`, in order of keys, those that cannot be read too, and
/// returns the damage that concerns no such row.
pub(crate) fn inspect(
    dir: &Path,
    visit: impl FnMut(Key, Result<Vec<u8>, StoreError>),
) -> Result<Vec<StoreError>, StoreError> {
    let live = opening::open(dir, SledOptions::default())?;
    let mut damage = Vec::new();
    let mut recent = Recent::default();
    // A damaged number is reported as a row; nothing follows from it.
    if let Ok(commits) = live.number(&commits_key()) {
        let witnessed = witness::refuse_loss(dir, commits);
        match Journal::open(dir) {
            Ok(Some(journal)) => {
                let found = journal.read(commits)?;
                recent.active = found.table;
                damage.extend(found.damage);
            }
            Ok(None) if commits > 0 && matches!(witnessed, Ok(false)) => {
                damage.push(journal::absent(commits));
            }
            Ok(None) => {}
            Err(error) => damage.push(error),
        }
        damage.extend(witnessed.err());
    }
    caught("read all rows", || live.visit(&recent, visit))?;
    damage.extend(live.stray_parts());
    Ok(damage)
}

impl Live {
    fn visit(
        &self,
        recent: &Recent,
        mut visit: impl FnMut(Key, Result<Vec<u8>, StoreError>),
    ) -> Result<(), StoreError> {
        let (start, end) = (Key::default(), Key::end());
        let range = start.as_ref()..end.as_ref();
        for found in recent.over(self.range(&range, Order::Ascending), &range, Order::Ascending) {
            if let Some((key, value)) = self.row(found)? {
                visit(key, value);
            }
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
