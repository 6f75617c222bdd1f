//! Writing zeros over what does not count any more.

use std::os::unix::fs::FileExt;

use super::frame::HEAD;
use super::known::Location;
use super::{Log, path};
use crate::files::FileError;

impl Log {
    /// Writes zeros over all payloads that do not count any more, durably. They are found to be damaged then, and are passed
    /// over. What cannot be erased does not keep the rest from it, and is tried again the next time.
    pub(super) fn erase(&self) -> Result<(), FileError> {
        let stale: Vec<Location> = self.known().stale.keys().copied().collect();
        let mut result = Ok(());
        for of_one_file in stale.chunk_by(|a, b| a.file == b.file) {
            let erased = self.erase_in_one_file(of_one_file);
            result = result.and(erased);
        }
        result
    }

    fn erase_in_one_file(&self, locations: &[Location]) -> Result<(), FileError> {
        let Some(Location { file: number, .. }) = locations.first() else { return Ok(()) };
        let Some(file) = self.handle(*number) else { return Ok(()) };
        let write = || {
            for Location { at, length, .. } in locations {
                let zeros = vec![0; usize::try_from(*length).unwrap_or_default()];
                file.write_all_at(&zeros, u64::from(*at) + HEAD as u64)?;
            }
            file.sync_data()
        };
        let path = path(&self.folder, *number);
        write().map_err(FileError::of(format!("erase what was replaced in {}", path.display())))?;
        let mut known = self.known_mut();
        for location in locations {
            known.stale.remove(location);
        }
        Ok(())
    }
}
