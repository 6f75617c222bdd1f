//! Everything the Monitor can be told. One Monitor per container; its key is the container's id.

use perennial_runtime::{Finished, Timestamp};
use serde::{Deserialize, Serialize};

use crate::model::{Facts, IncidentId, Subject, SymptomKind};
use crate::monitor::confirm::Confirm;

/// A message to the Monitor of one container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum MonitorMessage {
    /// The engine reported an event; what inspecting the container right after it showed.
    Event(ContainerEvent, Option<Inspection>),
    /// A re-list showed it.
    Listed(Inspection),
    /// A re-list no longer showed it.
    Gone {
        /// When.
        at: Timestamp,
    },
    /// Its resource use.
    Sampled(Sample),
    /// The Responder asks how it stands; answered by way of the Analyzer with
    /// [`crate::responder::ResponderMessage::Standing`].
    Report {
        /// The incident on whose behalf.
        incident: IncidentId,
    },
    /// A timer of its own: look again.
    Tick,
    /// The Responder is about to restart it: an end meanwhile is nobody's wish that it be down.
    Acting {
        /// When that is over, unless a new run begins before.
        until: Timestamp,
    },
    /// The Responder asks how it stands, and the engine is to be asked first.
    Confirm {
        /// The incident on whose behalf.
        incident: IncidentId,
    },
    /// What the engine said then.
    Confirmed(Finished<Confirm>),
}

/// An event of the engine's stream, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerEvent {
    /// The engine's time of it.
    pub at: Timestamp,
    /// What happened.
    pub kind: EventKind,
}

/// The events that are watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventKind {
    /// Made.
    Create,
    /// Started, by whoever.
    Start,
    /// Its main process ended with this code.
    Die(i64),
    /// The kernel killed a process of it for memory.
    Oom,
    /// Its health check changed: `healthy`, `unhealthy`.
    HealthStatus(String),
    /// Somebody sent it this signal through the engine.
    Kill(i32),
    /// Somebody stopped it through the engine.
    Stop,
    /// Removed.
    Destroy,
    /// Has another name now.
    Rename(String),
}

/// What the engine said of a container at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Inspection {
    /// When it was asked.
    pub at: Timestamp,
    /// Who it is.
    pub subject: Subject,
    /// The facts that an inspection alone gives; windows and ratios are the Monitor's.
    pub facts: Facts,
    /// Labels under `perennial.`, `autoheal` and `autoheal.`, verbatim.
    pub labels: Vec<(String, String)>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Signal that its stop sends, if it set one.
    pub stop_signal: Option<i32>,
    /// Whether it has a health check.
    pub has_health_check: bool,
}

/// Resource use at one moment, from the engine's counters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// When.
    pub at: Timestamp,
    /// The run it belongs to (`State.StartedAt`, verbatim).
    pub started_at: String,
    /// CPU time used since the container started, in nanoseconds.
    pub cpu_total_ns: u64,
    /// Bytes in use without page cache that can be dropped.
    pub memory_bytes: u64,
    /// Bytes; none when the limit is the host's memory.
    pub memory_limit: Option<u64>,
    /// Cores of the host.
    pub host_cpus: u32,
    /// Bytes received and sent.
    pub network_bytes: (u64, u64),
    /// Bytes read and written.
    pub block_bytes: (u64, u64),
    /// Its machine's memory; only of a container without a limit, and where it can be read.
    pub host: Option<HostMemory>,
}

/// Memory of the engine's machine at one moment, and what a container without a limit has to do with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HostMemory {
    /// Bytes in all.
    pub total: u64,
    /// Bytes that can be given out without swapping.
    pub available: u64,
    /// Share of the last minute in which some task waited for memory; none if the kernel does not tell.
    pub stalled: Option<f64>,
    /// Whether the container uses the most memory of those that are watched and have no limit.
    pub largest: bool,
}

impl HostMemory {
    /// Share that is in use for good.
    #[must_use]
    pub fn used(&self) -> f64 {
        self.total.saturating_sub(self.available) as f64 / self.total.max(1) as f64
    }
}

/// How a container stands, for the Responder's verification.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// The incident that asked.
    pub incident: IncidentId,
    /// When this was true, as far as is known.
    pub at: Timestamp,
    /// Who.
    pub subject: Subject,
    /// What is known.
    pub facts: Facts,
    /// For every symptom ever seen in the last hour: when it was last true.
    pub last_seen: Vec<(SymptomKind, Timestamp)>,
    /// The symptoms that are true now.
    pub active: Vec<SymptomKind>,
}
