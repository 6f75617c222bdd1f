//! A node on virtual time: one thread, one seed, and a process that can be killed between any two steps.
//!
//! Everything that could differ between two runs comes from the [`Simulation`]: time, chance, the order
//! in which tasks run, how long the store takes and where it fails. So a run that finds a defect is
//! played again by its seed.

mod clock;
mod committing;
mod store;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

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
pub struct Simulation {
    random: Random,
    clock: SimulatedClock,
    /// What the latest life has, or will have.
    disk: Option<Arc<dyn Disk>>,
}

impl fmt::Debug for Simulation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Simulation").field("clock", &self.clock).finish_non_exhaustive()
    }
}

/// When simulated time begins: any moment will do that is not the epoch itself.
const BEGIN: Timestamp = Timestamp::from_micros(1_000_000_000_000_000);

impl Simulation {
    /// A simulation in which everything follows from `seed`.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self { random: Random::seeded(seed), clock: SimulatedClock::at(BEGIN), disk: None }
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
        let (slate, looked_at) = (disk.clone(), disk.clone());
        self.disk = Some(disk.clone());
        let mut options = Options::new(disk, Arc::new(self.clock.clone()));
        options.slate = Some(slate);
        options.look = Some(Box::new(move || looked_at.room()));
        options.seed = self.draw();
        options.host = host;
        options
    }

    /// Runs `life` on virtual time until it is over, or until the process is killed: then there is no
    /// answer, and nothing of it is left but what was written by then.
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
        let (clock, disk) = (self.clock.clone(), self.disk.clone());
        let ended = tasks.block_on(async move {
            clock.resume();
            let ended = tokio::select! {
                biased;
                () = dies(death) => {
                    // Before what it was doing is dropped, and tidies up behind it.
                    disk.iter().for_each(|disk| disk.die());
                    None
                }
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
