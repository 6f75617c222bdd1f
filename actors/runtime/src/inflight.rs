//! What was running when the process died: slices of actors, and performers of effects.
//!
//! Before a slice runs, its actor's address is written to a small file, and before a performer is
//! called, the effect's id. The write is not synced: it survives the death of the process, which is
//! what a message or an effect can cause, and after a loss of power neither is to blame. So it costs a
//! system call and no sync. The mark of a slice that is over stays until the next slice writes its own
//! over it, or nobody is at work any more; in a run that is careful it goes at once.

use std::fmt::Debug;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use perennial_store::{Epoch, MessageId};

use crate::address::Address;

/// What is noted as the error of an attempt that is counted before it is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ahead(&'static str);

impl Ahead {
    pub(crate) const HANDLED: Self = Self("the process ended while it was handled");
    pub(crate) const PERFORMED: Self = Self("the process ended while it was performed");

    /// The note of the process that owns `epoch`.
    pub(crate) fn note(self, epoch: Epoch) -> String {
        format!("{} (run {})", self.0, epoch.as_u64())
    }

    /// Whether an attempt that is found with this error counts. One counted ahead does if the process
    /// died of it: if the one that counted is the one before, and was at it when it died. Else it died
    /// of something else, before the attempt or after it.
    pub(crate) fn counts(self, error: &str, was_running: bool, epoch: Epoch) -> bool {
        let before = Epoch::from_raw(epoch.as_u64().saturating_sub(1));
        !error.starts_with(self.0) || (was_running && error == self.note(before))
    }
}

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

/// Bytes that outlive the process, and not a loss of power.
#[cfg_attr(not(feature = "testing"), expect(unreachable_pub, reason = "a simulated disk is one"))]
pub trait Slate: Debug + Send + Sync {
    /// Reads what is written at `at`.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] where it ends, and what the system says.
    fn look(&self, bytes: &mut [u8], at: u64) -> io::Result<()>;

    /// Writes within its length.
    ///
    /// # Errors
    /// What the system says.
    fn note(&self, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Makes it `length` zeros.
    ///
    /// # Errors
    /// What the system says.
    fn wipe(&self, length: u64) -> io::Result<()>;
}

impl Slate for File {
    fn look(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        self.read_exact_at(bytes, at)
    }

    fn note(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.write_all_at(bytes, at)
    }

    fn wipe(&self, length: u64) -> io::Result<()> {
        self.set_len(0)?;
        self.set_len(length)
    }
}

#[derive(Debug)]
pub(crate) struct Inflight {
    slate: Option<Arc<dyn Slate>>,
    slices: Mutex<Places>,
    effects: Mutex<Places>,
}

/// What an earlier process was doing when it died.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Suspects {
    pub(crate) actors: Vec<Address>,
    pub(crate) effects: Vec<MessageId>,
}

/// Places that nothing runs at.
#[derive(Debug, Default)]
struct Places {
    clear: Vec<u64>,
    /// Those that still hold the mark of what is over.
    stale: Vec<u64>,
}

impl Places {
    fn all(places: impl Iterator<Item = u64>) -> Mutex<Self> {
        Mutex::new(Self { clear: places.collect(), stale: Vec::new() })
    }

    /// One that is stale, or else one that is clear.
    fn take(&mut self) -> (Option<u64>, Option<u64>) {
        let stale = self.stale.pop();
        (stale, if stale.is_none() { self.clear.pop() } else { None })
    }
}

/// A mark of what is under way, until it is dropped.
#[derive(Debug)]
pub(crate) struct Mark<'a> {
    of: &'a Inflight,
    places: &'a Mutex<Places>,
    place: Option<u64>,
    /// Goes as soon as what it marks is over.
    exact: bool,
}

impl Inflight {
    /// Keeps no marks.
    pub(crate) fn none() -> Self {
        Self { slate: None, slices: Mutex::default(), effects: Mutex::default() }
    }

    /// Reads the marks that an earlier process left in the file at `path`, and starts with none.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, Suspects)> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        Self::on(Arc::new(file))
    }

    /// Reads the marks that an earlier process left, and starts with none.
    pub(crate) fn on(slate: Arc<dyn Slate>) -> io::Result<(Self, Suspects)> {
        let suspects = Suspects {
            actors: read::<SLOT, _>(&*slate, slices(), parse)?,
            effects: read::<EFFECT, _>(&*slate, effects(), parse_effect)?,
        };
        slate.wipe(EFFECTS_FROM + EFFECTS * EFFECT as u64)?;
        let (slices, effects) = (Places::all(slices()), Places::all(effects()));
        Ok((Self { slate: Some(slate), slices, effects }, suspects))
    }

    /// Marks that a slice of `address` is about to run. If not `exact`, the mark may outlive it.
    pub(crate) fn mark(&self, address: &Address, exact: bool) -> Mark<'_> {
        self.mark_at((&self.slices, exact), || format(address))
    }

    /// Marks that the performer of the effect `id` is about to be called.
    pub(crate) fn mark_effect(&self, id: MessageId) -> Mark<'_> {
        let bytes = || Some([[1, 0, 0, 0].as_slice(), &id.to_key()].concat());
        self.mark_at((&self.effects, true), bytes)
    }

    /// Clears the marks of slices that are over.
    pub(crate) fn rest(&self) {
        let stale = std::mem::take(&mut lock(&self.slices).stale);
        stale.into_iter().for_each(|place| self.clear(&self.slices, place));
    }

    fn mark_at<'a>(
        &'a self,
        (places, exact): (&'a Mutex<Places>, bool),
        bytes: impl FnOnce() -> Option<Vec<u8>>,
    ) -> Mark<'a> {
        let (stale, clear) = match &self.slate {
            Some(_) => lock(places).take(),
            None => (None, None),
        };
        let place = stale.or(clear);
        if let Some(place) = place {
            match bytes() {
                Some(bytes) => self.write(&bytes, place),
                None if stale.is_some() => self.write(&CLEAR, place),
                None => {}
            }
        }
        Mark { of: self, places, place, exact }
    }

    fn clear(&self, places: &Mutex<Places>, place: u64) {
        self.write(&CLEAR, place);
        lock(places).clear.push(place);
    }

    fn write(&self, bytes: &[u8], at: u64) {
        if let Some(slate) = &self.slate
            && let Err(error) = slate.note(bytes, at)
        {
            tracing::warn!(%error, "could not note what runs; what kills the process may not be found out");
        }
    }
}

/// Lengths of nothing.
const CLEAR: [u8; 4] = [0; 4];

fn lock(places: &Mutex<Places>) -> MutexGuard<'_, Places> {
    places.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Mark<'_> {
    fn drop(&mut self) {
        let Some(place) = self.place else { return };
        if self.exact {
            self.of.clear(self.places, place);
        } else {
            lock(self.places).stale.push(place);
        }
    }
}

fn slices() -> impl Iterator<Item = u64> {
    (0..SLICES).map(|place| place * SLOT as u64)
}

fn effects() -> impl Iterator<Item = u64> {
    (0..EFFECTS).map(|place| EFFECTS_FROM + place * EFFECT as u64)
}

/// The marks at these offsets, as far as there are any.
fn read<const N: usize, T>(
    slate: &dyn Slate,
    offsets: impl Iterator<Item = u64>,
    parse: impl Fn(&[u8; N]) -> Option<T>,
) -> io::Result<Vec<T>> {
    let mut left = Vec::new();
    let mut bytes = [0; N];
    for at in offsets {
        match slate.look(&mut bytes, at) {
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
    fn an_attempt_counted_ahead_counts_only_if_the_process_before_died_at_it() {
        let epoch = Epoch::from_raw;
        let note = Ahead::HANDLED.note(epoch(6));
        assert!(Ahead::HANDLED.counts(&note, true, epoch(7)));
        assert!(!Ahead::HANDLED.counts(&note, false, epoch(7)), "it was not running");
        assert!(!Ahead::HANDLED.counts(&note, true, epoch(8)), "an earlier process counted");
        assert!(!Ahead::HANDLED.counts(&note, true, epoch(6)), "this process counted, and lives");
        assert!(Ahead::HANDLED.counts("no route to host", false, epoch(7)), "it was made");
    }

    #[test]
    fn only_what_did_not_end_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("inflight");
        let (inflight, left) = Inflight::open(&path).unwrap();
        assert_eq!(left, Suspects::default());
        let ended = inflight.mark(&Address::new("counter", "a"), false);
        let running = inflight.mark(&Address::new("counter", "b"), false);
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
        drop(inflight.mark(&Address::new("counter", "before"), false));
        std::mem::forget(inflight.mark(&Address::new("counter", "b"), false));
        let (_, left) = Inflight::open(&path).unwrap();
        assert_eq!(left.actors, [Address::new("counter", "b")]);
    }

    #[test]
    fn an_exact_mark_goes_when_its_slice_is_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("inflight");
        let (inflight, _) = Inflight::open(&path).unwrap();
        drop(inflight.mark(&Address::new("counter", "a"), true));
        let (_, left) = Inflight::open(&path).unwrap();
        assert_eq!(left, Suspects::default());
    }
}
