//! The runtime's own figures, as metrics.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use perennial_store::Key;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::core::Core;
use crate::supervisor::Node;

type Labels = Vec<(String, String)>;

/// Figures of the committer.
#[derive(Debug)]
pub(crate) struct CommitStats {
    commits: Counter,
    units: Counter,
    bytes: Histogram,
    seconds: Histogram,
}

impl Default for CommitStats {
    fn default() -> Self {
        let bytes = [256.0, 1e3, 4e3, 16e3, 64e3, 256e3, 1e6, 4e6];
        let seconds = [1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.1, 0.5, 2.5];
        Self {
            commits: Counter::default(),
            units: Counter::default(),
            bytes: Histogram::new(bytes),
            seconds: Histogram::new(seconds),
        }
    }
}

impl CommitStats {
    pub(crate) fn committed(&self, units: u64, bytes: usize, took: Duration) {
        self.commits.inc();
        self.units.inc_by(units);
        self.bytes.observe(bytes as f64);
        self.seconds.observe(took.as_secs_f64());
    }
}

/// Figures of the actors.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) commits: Arc<CommitStats>,
    turns: Counter,
    restarts: Family<Labels, Counter>,
}

impl Stats {
    pub(crate) fn count_turns(&self, turns: usize) {
        self.turns.inc_by(turns as u64);
    }

    pub(crate) fn count_restart(&self, kind: &str) {
        self.restarts.get_or_create(&label("kind", kind)).inc();
    }

    /// Has restarts of what is below `node` shown as 0 before the first.
    fn expect_restarts(&self, node: &Node) {
        for child in &node.children {
            // Made by being asked for.
            drop(self.restarts.get_or_create(&label("kind", child.kind)));
            self.expect_restarts(child);
        }
    }

    /// Registers everything under `perennial_`; `root` is the tree.
    pub(crate) fn register(&self, core: &Arc<Core>, root: &Node, registry: &mut Registry) {
        self.expect_restarts(root);
        for kind in core.kinds.keys() {
            drop(self.restarts.get_or_create(&label("kind", kind)));
        }
        let commits = &self.commits;
        registry.register("perennial_turns", "Turns committed", self.turns.clone());
        registry.register(
            "perennial_actor_restarts",
            "Restarts by supervisors, by kind of child",
            self.restarts.clone(),
        );
        registry.register("perennial_commits", "Batches made durable", commits.commits.clone());
        registry.register(
            "perennial_commit_units",
            "Slices, acceptances and outcomes merged into those batches",
            commits.units.clone(),
        );
        registry.register("perennial_commit_bytes", "Bytes per batch", commits.bytes.clone());
        registry.register(
            "perennial_commit_duration_seconds",
            "Time to make a batch durable",
            commits.seconds.clone(),
        );
        registry.register_collector(Box::new(Gauges { core: Arc::downgrade(core) }));
    }
}

/// What is computed when it is asked for.
#[derive(Debug)]
struct Gauges {
    core: Weak<Core>,
}

/// Dead letters are counted up to here at each scrape.
const COUNTED: usize = 10_000;

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(core) = self.core.upgrade() else { return Ok(()) };
        let (mut actors, mut depth, mut age) = (Vec::new(), Vec::new(), Vec::new());
        for kind in core.kinds.keys() {
            let slots = core.slots.of_kind(kind);
            let (mut active, mut waiting, mut oldest) = (0usize, 0usize, None);
            // One lock at a time: two scrapes that held many could lock each other up.
            for slot in &slots {
                let state = slot.lock();
                active += usize::from(state.phase.as_str() == "active");
                waiting += state.inbox.depth();
                oldest = [oldest, state.inbox.oldest()].into_iter().flatten().min();
            }
            actors.push((label("kind", kind), active as f64));
            depth.push((label("kind", kind), waiting as f64));
            age.push((label("kind", kind), oldest.map_or(0.0, |at| seconds_since(&core, at))));
        }
        gauge(&mut encoder, "perennial_actors", "Actors in memory", &actors)?;
        gauge(&mut encoder, "perennial_mailbox_depth", "Messages waiting", &depth)?;
        let help = "Age of the oldest message waiting";
        gauge(&mut encoder, "perennial_mailbox_oldest_age_seconds", help, &age)?;
        let finding = core.slots.has_unseen() || core.pools.values().any(|pool| pool.is_finding());
        let recovering = [(Labels::new(), f64::from(u8::from(finding)))];
        let help = "1 while not all that waited at the start is known";
        gauge(&mut encoder, "perennial_recovering", help, &recovering)?;
        encode_outbox(&core, &mut encoder)?;
        encode_store(&core, &mut encoder)
    }
}

fn encode_outbox(core: &Core, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
    let (mut depth, mut held, mut age) = (Vec::new(), Vec::new(), Vec::new());
    for (name, pool) in &core.pools {
        let (pending, oldest) = pool.depth();
        depth.push((label("effect", name), pending as f64));
        held.push((label("effect", name), pool.in_memory() as f64));
        age.push((label("effect", name), oldest.map_or(0.0, |at| seconds_since(core, at))));
    }
    gauge(encoder, "perennial_outbox_depth", "Effects intended and not known to be done", &depth)?;
    gauge(encoder, "perennial_outbox_in_memory", "Those of them in memory", &held)?;
    gauge(encoder, "perennial_outbox_oldest_age_seconds", "Age of the oldest of them", &age)
}

fn encode_store(core: &Core, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
    let range = Key::dead_letters();
    // A store that cannot be read ends the node elsewhere; here its figures are left out.
    if let Ok(letters) = core.backend.scan(&range.start..&range.end, COUNTED) {
        let count = [(Labels::new(), letters.len() as f64)];
        gauge(encoder, "perennial_dead_letters", "Dead letters kept, at most 10000", &count)?;
    }
    if let Ok(space) = core.backend.space() {
        let used = [(Labels::new(), space.used as f64)];
        gauge(encoder, "perennial_store_used_bytes", "Bytes the store occupies", &used)?;
        let free = [(Labels::new(), space.free as f64)];
        gauge(encoder, "perennial_store_free_bytes", "Bytes free on its file system", &free)?;
    }
    Ok(())
}

fn seconds_since(core: &Core, at: perennial_store::Timestamp) -> f64 {
    core.now().since(at).as_secs_f64()
}

fn label(name: &str, value: &str) -> Labels {
    vec![(name.to_owned(), value.to_owned())]
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: &[(Labels, f64)],
) -> Result<(), fmt::Error> {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in values {
        let gauge = ConstGauge::new(*value);
        if labels.is_empty() {
            gauge.encode(metric.encode_family(&Vec::<(String, String)>::new())?)?;
        } else {
            gauge.encode(metric.encode_family(labels)?)?;
        }
    }
    Ok(())
}
