//! What was running when the process died: slices of actors, and performers of effects.
//!
//! Before a slice runs, its actor's address is written to a small file, and before a performer is
//! called, the effect's id. The write is not synced: it survives the death of the process, which is
//! what a message or an effect can cause, and after a loss of power neither is to blame. So it costs a
//! system call and no sync. The mark of a slice that is over stays until the next slice writes its own
//! over it, or nobody is at work any more.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use perennial_store::MessageId;

use crate::address::Address;

/// Bytes for one running slice: two lengths and the address.
const SLOT: usize = 512;
/// Slices that can run at a time; tokio has a thread per core, so this is far above need. A slice that
/// finds no place runs unmarked.
const SLICES: u64 = 64;
/// Bytes for one effect: a mark and its id.
const EFFECT: usize = 16;
/// Effects that can be performed at a time, over all pools; one that finds no place runs unmarked.
const EFFECTS: u64 = 256;
/// The marks of effects stand behind those of slices.
const EFFECTS_FROM: u64 = SLICES * SLOT as u64;

#[derive(Debug)]
pub(crate) struct Inflight {
    file: Option<File>,
    slices: Places,
    effects: Places,
}

/// What an earlier process was doing when it died.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Suspects {
    pub(crate) actors: Vec<Address>,
    pub(crate) effects: Vec<MessageId>,
}

/// Places in the file that are free.
type Places = Mutex<Vec<Place>>;

#[derive(Clone, Copy, Debug)]
struct Place {
    at: u64,
    /// It still holds the mark of what is over.
    stale: bool,
}

/// A mark of what is under way, until it is dropped.
#[derive(Debug)]
pub(crate) struct Mark<'a> {
    of: &'a Inflight,
    places: &'a Places,
    place: Option<Place>,
}

impl Inflight {
    /// Keeps no marks.
    pub(crate) fn none() -> Self {
        Self { file: None, slices: Mutex::default(), effects: Mutex::default() }
    }

    /// Reads the marks that an earlier process left, and starts with none.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, Suspects)> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let suspects = Suspects {
            actors: read::<SLOT, _>(&file, slices(), parse)?,
            effects: read::<EFFECT, _>(&file, effects(), parse_effect)?,
        };
        file.set_len(0)?;
        file.set_len(EFFECTS_FROM + EFFECTS * EFFECT as u64)?;
        let free = |at| Place { at, stale: false };
        let slices = Mutex::new(slices().map(free).collect());
        let effects = Mutex::new(effects().map(free).collect());
        Ok((Self { file: Some(file), slices, effects }, suspects))
    }

    /// Marks that a slice of `address` is about to run.
    pub(crate) fn mark(&self, address: &Address) -> Mark<'_> {
        self.mark_at(&self.slices, || format(address))
    }

    /// Marks that the performer of the effect `id` is about to be called.
    pub(crate) fn mark_effect(&self, id: MessageId) -> Mark<'_> {
        self.mark_at(&self.effects, || Some([[1, 0, 0, 0].as_slice(), &id.to_key()].concat()))
    }

    /// Clears the marks of slices that are over.
    pub(crate) fn rest(&self) {
        let stale: Vec<Place> = lock(&self.slices).extract_if(.., |place| place.stale).collect();
        stale.into_iter().for_each(|place| self.free(&self.slices, place));
    }

    fn mark_at<'a>(
        &'a self,
        places: &'a Places,
        bytes: impl FnOnce() -> Option<Vec<u8>>,
    ) -> Mark<'a> {
        let place = self.file.as_ref().and_then(|_| lock(places).pop());
        if let Some(place) = place {
            match bytes() {
                Some(bytes) => self.write(&bytes, place.at),
                None if place.stale => self.write(&CLEAR, place.at),
                None => {}
            }
        }
        Mark { of: self, places, place }
    }

    fn free(&self, places: &Places, place: Place) {
        self.write(&CLEAR, place.at);
        lock(places).push(Place { stale: false, ..place });
    }

    fn write(&self, bytes: &[u8], at: u64) {
        if let Some(file) = &self.file
            && let Err(error) = file.write_all_at(bytes, at)
        {
            tracing::warn!(%error, "could not note what runs; what kills the process may not be found out");
        }
    }
}

/// Lengths of nothing.
const CLEAR: [u8; 4] = [0; 4];

fn lock(places: &Places) -> MutexGuard<'_, Vec<Place>> {
    places.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Mark<'_> {
    fn drop(&mut self) {
        let Some(place) = self.place else { return };
        if std::ptr::eq(self.places, &self.of.slices) {
            lock(self.places).push(Place { stale: true, ..place });
        } else {
            self.of.free(self.places, place);
        }
    }
}

fn slices() -> impl Iterator<Item = u64> {
    (0..SLICES).map(|place| place * SLOT as u64)
}

fn effects() -> impl Iterator<Item = u64> {
    (0..EFFECTS).map(|place| EFFECTS_FROM + place * EFFECT as u64)
}

/// The marks at these offsets, as far as the file goes.
fn read<const N: usize, T>(
    file: &File,
    offsets: impl Iterator<Item = u64>,
    parse: impl Fn(&[u8; N]) -> Option<T>,
) -> io::Result<Vec<T>> {
    let mut left = Vec::new();
    let mut bytes = [0; N];
    for at in offsets {
        match file.read_exact_at(&mut bytes, at) {
            Ok(()) => left.extend(parse(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error),
        }
    }
    Ok(left)
}

fn parse_effect(bytes: &[u8; EFFECT]) -> Option<MessageId> {
    let (mark, id) = bytes.split_first_chunk::<4>()?;
    (mark[0] == 1).then(|| id.try_into().ok().map(MessageId::from_key))?
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
    fn only_what_did_not_end_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("inflight");
        let (inflight, left) = Inflight::open(&path).unwrap();
        assert_eq!(left, Suspects::default());
        let ended = inflight.mark(&Address::new("counter", "a"));
        let running = inflight.mark(&Address::new("counter", "b"));
        let done = inflight.mark_effect(MessageId { unit: 7, index: 0 });
        let performed = inflight.mark_effect(MessageId { unit: 7, index: 1 });
        drop(ended);
        drop(done);
        inflight.rest();
        std::mem::forget((running, performed));
        let (_, left) = Inflight::open(&path).unwrap();
        assert_eq!(left.actors, [Address::new("counter", "b")]);
        assert_eq!(left.effects, [MessageId { unit: 7, index: 1 }]);
        let (_, left) = Inflight::open(&path).unwrap();
        assert_eq!(left, Suspects::default(), "marks are read once");
    }

    #[test]
    fn a_slice_writes_its_mark_over_that_of_the_one_before() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("inflight");
        let (inflight, _) = Inflight::open(&path).unwrap();
        drop(inflight.mark(&Address::new("counter", "before")));
        std::mem::forget(inflight.mark(&Address::new("counter", "b")));
        let (_, left) = Inflight::open(&path).unwrap();
        assert_eq!(left.actors, [Address::new("counter", "b")]);
    }
}
