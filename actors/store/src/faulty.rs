//! Failures on demand.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::{Backend, Batch, Epoch, Key, Space, StoreError};

/// A kind of call that can be made to fail. `Scan` is both directions; `claim`, `space` and `close` are
/// never failed by the plan, but fail while crashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// [`Backend::commit`].
    Commit,
    /// [`Backend::get`].
    Get,
    /// [`Backend::scan`] and [`Backend::scan_back`].
    Scan,
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call fails and does nothing; later calls go on.
    Fail,
    /// The process "crashes" before the call did anything: it and all later calls fail.
    CrashBefore,
    /// The process "crashes" after the call was carried out, so a commit is applied although its caller
    /// got an error; all later calls fail.
    CrashAfter,
    /// The call takes this much longer, and succeeds.
    Slow(Duration),
}

/// Which calls fail, and how. Calls are numbered from 1 per kind and never renumbered.
#[derive(Clone, Debug, Default)]
pub struct FaultPlan {
    at: BTreeMap<(Call, u64), Fault>,
    seeded: Option<Seeded>,
}

#[derive(Clone, Copy, Debug)]
struct Seeded {
    seed: u64,
    per_mille: u16,
}

impl FaultPlan {
    /// Makes a plan in which everything works.
    pub fn none() -> FaultPlan {
        FaultPlan::default()
    }

    /// Adds a fault at the `n`-th call of a kind, counted from 1.
    #[must_use]
    pub fn at(mut self, call: Call, n: u64, fault: Fault) -> FaultPlan {
        self.at.insert((call, n), fault);
        self
    }

    /// Crashes commits at random, about `per_mille` in a thousand, half of them before and half after
    /// they were applied. The same seed gives the same crashes.
    #[must_use]
    pub fn seeded(mut self, seed: u64, per_mille: u16) -> FaultPlan {
        self.seeded = Some(Seeded { seed, per_mille });
        self
    }

    fn fault(&self, call: Call, n: u64) -> Option<Fault> {
        self.at.get(&(call, n)).copied().or_else(|| match call {
            Call::Commit => self.seeded.and_then(|seeded| seeded.fault(n)),
            Call::Get | Call::Scan => None,
        })
    }
}

impl Seeded {
    fn fault(self, n: u64) -> Option<Fault> {
        let random = scramble(self.seed ^ scramble(n));
        if random % 1000 >= u64::from(self.per_mille) {
            return None;
        }
        Some(if random >> 63 == 0 { Fault::CrashBefore } else { Fault::CrashAfter })
    }
}

/// Spreads a number over all 64 bits: two multiply-and-shift rounds with odd constants.
fn scramble(number: u64) -> u64 {
    let mixed = (number ^ (number >> 31)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    mixed ^ (mixed >> 32)
}

/// Wraps a backend and makes chosen calls fail, crash or take long.
///
/// After a crash every call answers [`StoreError::Poisoned`] until [`FaultyBackend::revive`], as a
/// poisoned store does until the process is started again.
#[derive(Debug)]
pub struct FaultyBackend<B> {
    inner: B,
    plan: FaultPlan,
    crashed: AtomicBool,
    commits: AtomicU64,
    gets: AtomicU64,
    scans: AtomicU64,
}

impl<B: Backend> FaultyBackend<B> {
    /// Wraps `inner`.
    pub fn new(inner: B, plan: FaultPlan) -> FaultyBackend<B> {
        FaultyBackend {
            inner,
            plan,
            crashed: AtomicBool::new(false),
            commits: AtomicU64::new(0),
            gets: AtomicU64::new(0),
            scans: AtomicU64::new(0),
        }
    }

    /// Returns what is wrapped.
    pub fn inner(&self) -> &B {
        &self.inner
    }

    /// Returns how many calls of a kind were made, those that failed included.
    pub fn calls(&self, call: Call) -> u64 {
        self.counter(call).load(Ordering::Acquire)
    }

    /// Tells whether a crash has happened and was not revived.
    pub fn is_crashed(&self) -> bool {
        self.crashed.load(Ordering::Acquire)
    }

    /// Lets calls through again, as after a restart.
    pub fn revive(&self) {
        self.crashed.store(false, Ordering::Release);
    }

    fn counter(&self, call: Call) -> &AtomicU64 {
        match call {
            Call::Commit => &self.commits,
            Call::Get => &self.gets,
            Call::Scan => &self.scans,
        }
    }

    fn alive(&self) -> Result<(), StoreError> {
        if self.is_crashed() { Err(StoreError::Poisoned) } else { Ok(()) }
    }

    fn inject<T>(
        &self,
        call: Call,
        perform: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let n = self.counter(call).fetch_add(1, Ordering::AcqRel) + 1;
        self.alive()?;
        match self.plan.fault(call, n) {
            None => perform(),
            Some(Fault::Fail) => Err(injected(call, n)),
            Some(Fault::CrashBefore) => {
                self.crashed.store(true, Ordering::Release);
                Err(injected(call, n))
            }
            Some(Fault::CrashAfter) => {
                let result = perform();
                self.crashed.store(true, Ordering::Release);
                result.and(Err(injected(call, n)))
            }
            Some(Fault::Slow(delay)) => {
                wait(delay);
                perform()
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a slow disk blocks the thread that calls it")]
fn wait(delay: Duration) {
    std::thread::sleep(delay);
}

fn injected(call: Call, n: u64) -> StoreError {
    let attempted = format!("make {call:?} call {n}, which was planned to fail");
    StoreError::Io { attempted, source: io::Error::other("injected fault") }
}

impl<B: Backend> Backend for FaultyBackend<B> {
    fn claim(&self) -> Result<Epoch, StoreError> {
        self.alive()?;
        self.inner.claim()
    }

    fn commit(&self, epoch: Epoch, batch: &Batch) -> Result<(), StoreError> {
        self.inject(Call::Commit, || self.inner.commit(epoch, batch))
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inject(Call::Get, || self.inner.get(key))
    }

    fn scan(&self, range: Range<&Key>, limit: usize) -> Result<Vec<(Key, Vec<u8>)>, StoreError> {
        self.inject(Call::Scan, || self.inner.scan(range, limit))
    }

    fn scan_back(
        &self,
        range: Range<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Vec<u8>)>, StoreError> {
        self.inject(Call::Scan, || self.inner.scan_back(range, limit))
    }

    fn settle(&self) -> Result<(), StoreError> {
        self.alive()?;
        self.inner.settle()
    }

    fn space(&self) -> Result<Space, StoreError> {
        self.alive()?;
        self.inner.space()
    }

    fn close(&self) -> Result<(), StoreError> {
        self.alive()?;
        self.inner.close()
    }
}

#[cfg(test)]
mod tests;
