//! The actor of the benchmarks: it counts messages in a state of 128 bytes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use perennial_runtime::{
    Durable, Failure, Kind, Limits, Options, Runtime, Supervisor, SystemClock, Turn,
};
use perennial_store::{Backend, MemoryBackend, SledBackend, SledOptions};
use serde::{Deserialize, Serialize};

use crate::table::setting;

/// Counts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Counter {
    count: u64,
    rest: String,
}

impl Default for Counter {
    fn default() -> Self {
        Self { count: 0, rest: "s".repeat(122) }
    }
}

/// What it can be told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Told {
    /// Counts one more; 256 bytes with a body of 253.
    Add(String),
    /// Replies with the count and changes nothing.
    Ask,
    /// Changes nothing and says nothing.
    Look,
}

impl Durable for Counter {
    const KIND: Kind = Kind::new("counter");
    type Message = Told;
    type Settings = ();

    fn handle(&mut self, message: Told, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        match message {
            Told::Add(_) => self.count += 1,
            Told::Ask => turn.reply(&self.count),
            Told::Look => {}
        }
        Ok(())
    }
}

/// Opens the embedded store in `dir`, as the node does. With `MEMORY=1` it is in memory and nothing is
/// synced: what is left then is what the runtime takes.
pub fn open(dir: &Path) -> Arc<dyn Backend> {
    if setting("MEMORY", 0) != 0 {
        return Arc::new(MemoryBackend::new());
    }
    Arc::new(SledBackend::open(&dir.join("db"), SledOptions::default()).unwrap())
}

/// Starts counters on the embedded store in `dir`, with notes of what runs as the node keeps them.
pub async fn start(dir: &Path, limits: Limits) -> Runtime {
    let tree = Supervisor::new("bench").actors::<Counter>(());
    let inflight = Some(dir.join("inflight"));
    let mut options = Options::new(open(dir), Arc::new(SystemClock));
    (options.limits, options.inflight) = (limits, inflight);
    Runtime::start(options, tree).await.unwrap()
}

/// What all of the first `actors` have counted, once they have handled what they were sent.
pub async fn counted(runtime: &Runtime, actors: usize) -> u64 {
    let mut asks = tokio::task::JoinSet::new();
    for actor in 0..actors {
        let runtime = runtime.clone();
        asks.spawn(async move {
            let patience = Duration::from_secs(600);
            let asked = runtime.ask::<Counter, u64>(actor.to_string(), &Told::Ask, patience);
            asked.await.unwrap()
        });
    }
    asks.join_all().await.into_iter().sum()
}
