//! A wall clock that follows virtual time, and can be set wrong.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use perennial_store::Timestamp;
use tokio::time::Instant;

use crate::clock::{Clock, instant};

/// A wall clock that moves with virtual time and stands still between lives. Clones tell the same time.
#[derive(Clone, Debug)]
pub struct SimulatedClock(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// The wall time at `since`, or now while the clock stands still.
    wall: Timestamp,
    since: Option<Instant>,
    latest: Timestamp,
}

impl SimulatedClock {
    pub(super) fn at(wall: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(State { wall, since: None, latest: wall })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn resume(&self) {
        self.lock().since = Some(instant());
    }

    pub(super) fn pause(&self) {
        let mut state = self.lock();
        state.read();
        state.since = None;
    }

    /// Sets the clock forward.
    pub fn forward(&self, by: Duration) {
        let mut state = self.lock();
        state.wall = state.read() + by;
    }

    /// Sets the clock back.
    pub fn back(&self, by: Duration) {
        let mut state = self.lock();
        let micros = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        state.wall = Timestamp::from_micros(state.read().as_micros().saturating_sub(micros));
    }

    /// The latest time that the clock has shown so far.
    #[must_use]
    pub fn latest(&self) -> Timestamp {
        let mut state = self.lock();
        state.read();
        state.latest
    }
}

impl State {
    /// Takes in the time that has passed.
    fn read(&mut self) -> Timestamp {
        if let Some(since) = &mut self.since {
            let now = instant();
            self.wall = self.wall + now.duration_since(*since);
            *since = now;
        }
        self.latest = self.latest.max(self.wall);
        self.wall
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        self.lock().read()
    }
}
