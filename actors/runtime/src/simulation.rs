//! A node on virtual time: one thread, one seed, and a process that can be killed between any two steps.
//!
//! Everything that could differ between two runs comes from the [`Simulation`]: time, chance, the order
//! in which tasks run, how long the store takes and where it fails. So a run that finds a defect is
//! played again by its seed.

mod clock;
mod committing;
mod store;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use perennial_store::Timestamp;

pub use self::clock::SimulatedClock;
pub use self::store::{Crash, Disk, Faults, Seen, SimulatedStore};
use crate::random::Random;
use crate::runtime::Options;

/// When a process is killed: after so much virtual time, and so many turns of the scheduler more.
#[derive(Clone, Copy, Debug)]
pub struct Death {
    /// Virtual time from the start of its life.
    pub after: Duration,
    /// Tasks that are run at that moment before it dies.
    pub steps: u32,
}

/// Lives of one node, one after the other, all that happens in them decided by a seed.
#[derive(Debug)]
pub struct Simulation {
    random: Random,
    clock: SimulatedClock,
}

/// When simulated time begins: any moment will do that is not the epoch itself.
const BEGIN: Timestamp = Timestamp::from_micros(1_000_000_000_000_000);

impl Simulation {
    /// A simulation in which everything follows from `seed`.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self { random: Random::seeded(seed), clock: SimulatedClock::at(BEGIN) }
    }

    /// The wall clock of all lives.
    #[must_use]
    pub fn clock(&self) -> &SimulatedClock {
        &self.clock
    }

    /// The next number of the seed's sequence.
    pub fn draw(&mut self) -> u64 {
        self.random.next()
    }

    /// A number below `bound`, or 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound.max(1)
    }

    /// Options of a node that lives in [`Simulation::live`], on `disk`.
    pub fn options<D: Disk>(&mut self, disk: Arc<D>) -> Options {
        let host = Arc::new(committing::OnTask::new(disk.clone()));
        let mut options = Options::new(disk, Arc::new(self.clock.clone()));
        options.seed = self.draw();
        options.host = host;
        options
    }

    /// Runs `life` on virtual time until it is over, or until the process is killed: then there is no
    /// answer, and nothing of it is left but what its store kept.
    ///
    /// # Errors
    /// The system gives no room for a runtime of tasks.
    pub fn live<T>(
        &mut self,
        death: Option<Death>,
        life: impl Future<Output = T>,
    ) -> io::Result<Option<T>> {
        // One: whoever is to be killed is looked at between any two tasks.
        let interval = [1, 1, 5, 61][self.below(4) as usize];
        let tasks = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .event_interval(interval)
            .build()?;
        let clock = self.clock.clone();
        let ended = tasks.block_on(async move {
            clock.resume();
            let ended = tokio::select! {
                biased;
                () = dies(death) => None,
                ended = life => Some(ended),
            };
            clock.pause();
            ended
        });
        Ok(ended)
    }
}

async fn dies(death: Option<Death>) {
    let Some(death) = death else { return std::future::pending().await };
    tokio::time::sleep(death.after).await;
    for _ in 0..death.steps {
        tokio::task::yield_now().await;
    }
}
