//! A store in memory whose commits take time, and which crashes where it is told to.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use perennial_store::{Backend, Batch, Epoch, Key, MemoryBackend, Room, Space, StoreError};

use crate::inflight::Slate;
use crate::random::{Random, stable_hash};
use crate::signal::Signal;

/// A store whose commits have two steps, so that something can happen in between, and the notes beside
/// it of what runs.
pub trait Disk: Backend + Slate {
    /// Applies all of `batch` or none of it; readers see it, and a loss of power may undo it. Tells how
    /// long its sync takes.
    ///
    /// # Errors
    /// As for [`Backend::commit`].
    fn write(&self, epoch: Epoch, batch: &Batch) -> Result<Duration, StoreError>;

    /// The sync is over.
    ///
    /// # Errors
    /// What was written since the last sync may be durable or not.
    fn sync(&self) -> Result<(), StoreError>;

    /// Looks at the room that is left.
    ///
    /// # Errors
    /// It cannot be told.
    fn room(&self) -> Result<Room, StoreError>;

    /// The process ends here, whatever it is doing: it writes nothing any more.
    fn die(&self);
}

/// The call at which a store crashes, counted from 1 in each life: it and all later calls fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// At a get.
    Get(u64),
    /// At a scan.
    Scan(u64),
    /// Before a batch is written.
    Before(u64),
    /// After a batch is written, and before it is synced.
    After(u64),
    /// At the sync of a batch, which may be durable or not.
    Sync(u64),
}

/// What goes wrong with a store in one life.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Where it crashes.
    pub crash: Option<Crash>,
    /// The longest sync; each takes a random time up to this, and every tenth some twenty times it.
    pub longest_sync: Duration,
    /// Writes, from the first on, that find no room when their number is in here.
    pub full: Range<u64>,
    /// Looks at the room that is left, one a second and from the first on, that find little or none when
    /// their number is in here. What is written then finds room all the same: that of the reserve.
    pub scarce: Range<u64>,
}

/// A store in memory that outlives the process that uses it. Clones are handles to the same.
#[derive(Clone, Debug)]
pub struct SimulatedStore {
    held: Arc<Mutex<Held>>,
    died: Arc<Signal<bool>>,
}

#[derive(Debug)]
struct Held {
    rows: MemoryBackend,
    /// What the keys held that were written since the last sync.
    before: BTreeMap<Key, Option<Vec<u8>>>,
    faults: Faults,
    crashed: bool,
    /// What was noted of what runs. Not traced: it is written at every turn.
    slate: Vec<u8>,
    calls: Calls,
    random: Random,
    trace: Vec<Seen>,
}

#[derive(Debug, Default)]
struct Calls {
    gets: u64,
    scans: u64,
    writes: u64,
    syncs: u64,
    looks: u64,
}

/// One call of a store, for comparing runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What was called.
    pub call: &'static str,
    /// The key, or where the range begins.
    pub key: Key,
    /// A hash of the value written, or of where the range ends.
    pub rest: u64,
}

type Rows = Vec<(Key, Vec<u8>)>;

impl SimulatedStore {
    /// An empty store without faults; `seed` decides how long its syncs take.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        let held = Held {
            rows: MemoryBackend::new(),
            before: BTreeMap::new(),
            faults: Faults::default(),
            crashed: false,
            slate: Vec::new(),
            calls: Calls::default(),
            random: Random::seeded(seed),
            trace: Vec::new(),
        };
        Self { held: Arc::new(Mutex::new(held)), died: Arc::new(Signal::new(false)) }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins another life. What was written and not synced is kept, as when only the process died, or
    /// undone, as when the power failed.
    ///
    /// # Errors
    /// The image cannot be changed.
    pub fn begin(&self, faults: Faults, keeps_unsynced: bool) -> Result<(), StoreError> {
        let mut held = self.lock();
        let before = std::mem::take(&mut held.before);
        if !keeps_unsynced {
            let mut undo = Batch::new();
            for (key, value) in before {
                match value {
                    Some(value) => undo.put(key, value),
                    None => undo.delete(key),
                }
            }
            let rows = held.rows.clone();
            rows.commit(rows.claim()?, &undo)?;
        }
        if !keeps_unsynced && held.random.next().is_multiple_of(2) {
            held.slate.clear();
        }
        // What was closed is open again.
        held.rows = held.rows.clone();
        held.faults = faults;
        held.crashed = false;
        held.calls = Calls::default();
        self.died.set(false);
        Ok(())
    }

    /// Whether the process has died in this life.
    #[must_use]
    pub fn has_died(&self) -> bool {
        self.died.get()
    }

    /// What the last look in this life found, and its number.
    #[must_use]
    pub fn last_look(&self) -> (Room, u64) {
        let held = self.lock();
        (held.room(), held.calls.looks)
    }

    /// Resolves when the process dies.
    pub async fn until_it_dies(&self) {
        self.died.wait_for(|died| *died).await;
    }

    /// What a loss of power would leave at `key`.
    ///
    /// # Errors
    /// The image cannot be read.
    pub fn durable(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        let held = self.lock();
        match held.before.get(key) {
            Some(before) => Ok(before.clone()),
            None => held.rows.clone().get(key.as_ref()),
        }
    }

    /// Every row that readers see, ascending.
    ///
    /// # Errors
    /// The image cannot be read.
    pub fn rows(&self) -> Result<Rows, StoreError> {
        let rows = self.lock().rows.clone();
        rows.scan(&Key::from_bytes([0])..&Key::from_bytes([u8::MAX]), usize::MAX)
    }

    /// Whether it has crashed in this life.
    #[must_use]
    pub fn has_crashed(&self) -> bool {
        self.lock().crashed
    }

    /// Every call so far, over all lives.
    #[must_use]
    pub fn trace(&self) -> Vec<Seen> {
        self.lock().trace.clone()
    }
}

impl Held {
    fn note(&mut self, call: &'static str, key: &[u8], rest: &[u8]) {
        let rest = stable_hash(&[rest]) as u64;
        self.trace.push(Seen { call, key: Key::from_bytes(key), rest });
    }

    fn alive(&self) -> Result<(), StoreError> {
        if self.crashed { Err(StoreError::Poisoned) } else { Ok(()) }
    }

    /// Fails the call if it is the one.
    fn crash_at(&mut self, call: Crash) -> Result<(), StoreError> {
        if self.faults.crash != Some(call) {
            return Ok(());
        }
        self.crashed = true;
        let attempted = format!("get past {call:?}, where it was to crash");
        Err(StoreError::Backend { attempted, message: "a planned crash".to_owned() })
    }

    /// What the last look found.
    fn room(&self) -> Room {
        let number = self.calls.looks;
        match (self.faults.scarce.contains(&number), number.is_multiple_of(2)) {
            (false, _) => Room::Ample,
            (true, false) => Room::Low,
            (true, true) => Room::Full,
        }
    }

    fn write(&mut self, epoch: Epoch, batch: &Batch) -> Result<Duration, StoreError> {
        self.alive()?;
        self.calls.writes += 1;
        let number = self.calls.writes;
        for (key, value) in batch.iter() {
            self.note("write", key.as_ref(), value.unwrap_or_default());
        }
        self.crash_at(Crash::Before(number))?;
        if self.faults.full.contains(&number) {
            return Err(StoreError::NoSpace { attempted: "write a batch".to_owned(), free: 0 });
        }
        let mut before = Vec::new();
        for (key, _) in batch.iter() {
            before.push((key.clone(), self.rows.get(key.as_ref())?));
        }
        self.rows.commit(epoch, batch)?;
        for (key, value) in before {
            self.before.entry(key).or_insert(value);
        }
        self.crash_at(Crash::After(number))?;
        let longest = u64::try_from(self.faults.longest_sync.as_micros()).unwrap_or(u64::MAX);
        let takes = self.random.next() % longest.saturating_add(1);
        let slow = if self.random.next().is_multiple_of(10) { 20 } else { 1 };
        Ok(Duration::from_micros(takes.saturating_mul(slow)))
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.alive()?;
        self.calls.syncs += 1;
        self.note("sync", &[], &[]);
        self.crash_at(Crash::Sync(self.calls.syncs))?;
        self.before.clear();
        Ok(())
    }
}

impl Disk for SimulatedStore {
    fn write(&self, epoch: Epoch, batch: &Batch) -> Result<Duration, StoreError> {
        self.lock().write(epoch, batch)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.lock().sync()
    }

    fn room(&self) -> Result<Room, StoreError> {
        let mut held = self.lock();
        held.calls.looks += 1;
        Ok(held.room())
    }

    fn die(&self) {
        self.lock().crashed = true;
        self.died.set(true);
    }
}

impl Slate for SimulatedStore {
    fn look(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        let held = self.lock();
        let end: io::Error = io::ErrorKind::UnexpectedEof.into();
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let written = held.slate.get(at..at.saturating_add(bytes.len())).ok_or(end)?;
        bytes.copy_from_slice(written);
        Ok(())
    }

    fn note(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        if self.has_died() {
            return Ok(());
        }
        let mut held = self.lock();
        let end: io::Error = io::ErrorKind::UnexpectedEof.into();
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let place = held.slate.get_mut(at..at.saturating_add(bytes.len())).ok_or(end)?;
        place.copy_from_slice(bytes);
        Ok(())
    }

    fn wipe(&self, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        self.lock().slate = vec![0; length];
        Ok(())
    }
}

impl Backend for SimulatedStore {
    fn claim(&self) -> Result<Epoch, StoreError> {
        let held = self.lock();
        held.alive()?;
        held.rows.claim()
    }

    fn commit(&self, epoch: Epoch, batch: &Batch) -> Result<(), StoreError> {
        let mut held = self.lock();
        held.write(epoch, batch)?;
        held.sync()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let mut held = self.lock();
        held.alive()?;
        held.calls.gets += 1;
        held.note("get", key, &[]);
        let number = held.calls.gets;
        held.crash_at(Crash::Get(number))?;
        held.rows.get(key)
    }

    fn scan(&self, range: Range<&Key>, limit: usize) -> Result<Rows, StoreError> {
        self.lock().scan(&range)?.scan(range, limit)
    }

    fn scan_back(&self, range: Range<&Key>, limit: usize) -> Result<Rows, StoreError> {
        self.lock().scan(&range)?.scan_back(range, limit)
    }

    fn settle(&self) -> Result<(), StoreError> {
        // A sync of its own, at once: the reader's thread is the only one.
        self.lock().sync()
    }

    fn space(&self) -> Result<Space, StoreError> {
        self.lock().rows.space()
    }

    fn close(&self) -> Result<(), StoreError> {
        let mut held = self.lock();
        held.alive()?;
        held.before.clear();
        held.rows.close()
    }
}

impl Held {
    fn scan(&mut self, range: &Range<&Key>) -> Result<&MemoryBackend, StoreError> {
        self.alive()?;
        self.calls.scans += 1;
        self.note("scan", range.start.as_ref(), range.end.as_ref());
        self.crash_at(Crash::Scan(self.calls.scans))?;
        Ok(&self.rows)
    }
}
