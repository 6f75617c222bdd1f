//! Which actors were running turns when the process died.
//!
//! Before a slice runs, its actor's address is written to a small file. The write is not synced: it
//! survives the death of the process, which is what a message can cause, and after a loss of power no
//! message is to blame. So it costs a system call a slice and no sync.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::address::Address;

/// Bytes for one running slice: two lengths and the address.
const SLOT: usize = 512;

#[derive(Debug)]
pub(crate) struct Inflight {
    file: Option<File>,
    free: Mutex<Vec<u64>>,
}

/// Clears its mark when the slice is over.
#[derive(Debug)]
pub(crate) struct Mark<'a> {
    inflight: &'a Inflight,
    slot: Option<u64>,
}

/// Slices that can run at a time; tokio has a thread per core, so this is far above need. A slice that
/// finds no place runs unmarked.
const PLACES: u64 = 64;

impl Inflight {
    /// Keeps no marks.
    pub(crate) fn none() -> Self {
        Self { file: None, free: Mutex::default() }
    }

    /// Reads the marks that an earlier process left, and starts with none.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, Vec<Address>)> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut left = Vec::new();
        let mut bytes = [0; SLOT];
        for place in 0..PLACES {
            match file.read_exact_at(&mut bytes, place * SLOT as u64) {
                Ok(()) => left.extend(parse(&bytes)),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                Err(error) => return Err(error),
            }
        }
        file.set_len(0)?;
        file.set_len(PLACES * SLOT as u64)?;
        let free = Mutex::new((0..PLACES).collect());
        Ok((Self { file: Some(file), free }, left))
    }

    /// Marks that a slice of `address` is about to run.
    pub(crate) fn mark(&self, address: &Address) -> Mark<'_> {
        let Some(file) = &self.file else { return Mark { inflight: self, slot: None } };
        let slot = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let (Some(slot), Some(bytes)) = (slot, format(address))
            && let Err(error) = file.write_all_at(&bytes, slot * SLOT as u64)
        {
            tracing::warn!(%error, "could not note which actor runs; a message that kills the process may not be found out");
        }
        Mark { inflight: self, slot }
    }
}

impl Drop for Mark<'_> {
    fn drop(&mut self) {
        let (Some(file), Some(slot)) = (&self.inflight.file, self.slot) else { return };
        if let Err(error) = file.write_all_at(&[0; 4], slot * SLOT as u64) {
            tracing::warn!(%error, "could not clear the note of which actor runs");
        }
        self.inflight.free.lock().unwrap_or_else(PoisonError::into_inner).push(slot);
    }
}

/// Lengths of kind and key, then both. None when it does not fit: such an actor is never suspected.
fn format(address: &Address) -> Option<Vec<u8>> {
    let (kind, key) = (address.kind().as_bytes(), address.key().as_bytes());
    let mut bytes = Vec::with_capacity(4 + kind.len() + key.len());
    bytes.extend(u16::try_from(kind.len()).ok()?.to_be_bytes());
    bytes.extend(u16::try_from(key.len()).ok()?.to_be_bytes());
    bytes.extend(kind);
    bytes.extend(key);
    (bytes.len() <= SLOT).then_some(bytes)
}

fn parse(bytes: &[u8; SLOT]) -> Option<Address> {
    let kind = usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
    let key = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
    if kind == 0 {
        return None;
    }
    let kind_text = std::str::from_utf8(bytes.get(4..4 + kind)?).ok()?;
    let key_text = std::str::from_utf8(bytes.get(4 + kind..4 + kind + key)?).ok()?;
    Some(Address::new(kind_text, key_text))
}

/// Reads the bytes of a file of marks, place by place.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn decode(bytes: &[u8]) {
    let (places, _) = bytes.as_chunks::<SLOT>();
    places.iter().for_each(|place| drop(parse(place)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_slices_that_did_not_end_are_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("inflight");
        let (inflight, left) = Inflight::open(&path).unwrap();
        assert!(left.is_empty());
        let ended = inflight.mark(&Address::new("counter", "a"));
        let running = inflight.mark(&Address::new("counter", "b"));
        drop(ended);
        std::mem::forget(running);
        let (_, left) = Inflight::open(&path).unwrap();
        assert_eq!(left, [Address::new("counter", "b")]);
        let (_, left) = Inflight::open(&path).unwrap();
        assert!(left.is_empty(), "marks are read once");
    }
}
