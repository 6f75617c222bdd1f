//! What a runtime counts of itself.

use std::time::Duration;

use perennial_runtime::Runtime;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

/// The runtime's own metrics.
#[derive(Debug)]
pub struct Figures(Registry);

impl Figures {
    /// Those of `runtime`.
    pub fn of(runtime: &Runtime) -> Self {
        let mut registry = Registry::default();
        runtime.register_metrics(&mut registry);
        Self(registry)
    }

    /// Turns whose effects are durable.
    pub fn turns(&self) -> u64 {
        self.counter("perennial_turns_total ")
    }

    /// Batches made durable, each by one sync.
    pub fn commits(&self) -> u64 {
        self.counter("perennial_commits_total ")
    }

    /// Resolves when so many turns are durable.
    pub async fn until_turns(&self, turns: u64) {
        while self.turns() < turns {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn counter(&self, name: &str) -> u64 {
        let mut text = String::new();
        encode(&mut text, &self.0).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().parse().unwrap()
    }
}
