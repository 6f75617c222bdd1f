//! The nouns all four agents share. Persisted inside states, rows and messages: fields are only
//! added together with a raised version and a migration.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use perennial_runtime::Timestamp;
use serde::{Deserialize, Serialize};

/// The engine's full identifier of a container. The only thing that identifies it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ContainerId(pub String);

impl ContainerId {
    /// The first twelve digits, as the engine's own tools print it.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.short())
    }
}

/// Names one incident: `inc-` and digits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IncidentId(pub String);

impl fmt::Display for IncidentId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A container as people know it. Everything but the id is for display and for policy by group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// What identifies it.
    pub id: ContainerId,
    /// Without the leading slash.
    pub name: String,
    /// The image reference it was created from.
    pub image: String,
    /// Compose project (label `com.docker.compose.project`).
    pub project: Option<String>,
    /// Compose service (label `com.docker.compose.service`).
    pub service: Option<String>,
    /// Swarm service name (label `com.docker.swarm.service.name`).
    pub swarm_service: Option<String>,
}

/// What may be done to a container without asking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Incidents and notifications only.
    Observe,
    /// Says what it would do, and does not.
    Propose,
    /// Acts within the gates.
    #[default]
    Auto,
}

/// The engine's state of a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Made, never started.
    #[default]
    Created,
    /// Its main process runs.
    Running,
    /// Frozen by an operator.
    Paused,
    /// Between two runs under the engine's restart policy.
    Restarting,
    /// Its main process ended.
    Exited,
    /// The engine could not remove it.
    Dead,
    /// Being removed.
    Removing,
    /// No longer there.
    Gone,
}

/// The engine's health check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// There is no check.
    #[default]
    None,
    /// No verdict yet; not a fault.
    Starting,
    /// The last check passed.
    Healthy,
    /// Enough checks in a row failed.
    Unhealthy,
}

/// The engine's own restart policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// The engine never restarts it.
    #[default]
    No,
    /// After a failure, at most this often; 0 is without limit.
    OnFailure(u32),
    /// Whatever happens, but for a manual stop until the engine restarts.
    Always,
    /// Whatever happens, but for a manual stop.
    UnlessStopped,
}

/// Everything known of a container that a decision may rest on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// The engine's state.
    pub status: Status,
    /// The engine's health check.
    pub health: Health,
    /// Exit code of the last run, if it ended.
    pub exit_code: Option<i64>,
    /// Whether the kernel killed it for memory.
    pub oom_killed: bool,
    /// The engine's counter of its own restarts.
    pub restart_count: u32,
    /// Restarts seen within the restart window, by whoever.
    pub restarts_in_window: u32,
    /// The engine's `State.StartedAt`, verbatim: identifies one run.
    pub started_at: String,
    /// The engine's `State.FinishedAt`, verbatim.
    pub finished_at: String,
    /// The engine's own restart policy.
    pub restart_policy: RestartPolicy,
    /// Share of its quota, or of all cores without one; 1 is all of it.
    pub cpu: Option<f64>,
    /// Share of its limit; none without a limit.
    pub memory: Option<f64>,
    /// Bytes in use, page cache that can be dropped not counted.
    pub memory_bytes: Option<u64>,
    /// Bytes.
    pub memory_limit: Option<u64>,
    /// Cores it may use: its quota, or the host's.
    pub cpus: Option<f64>,
    /// What labels and configuration allow.
    pub mode: Mode,
    /// Restarts per hour its label `perennial.restart.max` allows.
    pub restart_max: Option<u32>,
    /// Seconds its label `autoheal.stop.timeout` or its own setting gives it to stop.
    pub stop_timeout: Option<u32>,
    /// It runs once and ends: its end is not a service's failure.
    pub one_shot: bool,
    /// An operator stopped or killed it, and has not started it since.
    pub stopped_by_operator: bool,
    /// It was created, or its Compose service was replaced, within the settling time.
    pub deploying: bool,
}

/// How bad.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// For the record.
    #[default]
    Info,
    /// Somebody should look.
    Warning,
    /// Somebody should look now.
    Critical,
}

impl Severity {
    /// The name used in documents, labels and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What is wrong, as a detector sees it. At most one of each at a time per container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SymptomKind {
    /// It ended with an exit code other than 0.
    NonZeroExit,
    /// The kernel killed it for memory.
    OomKilled,
    /// Too many restarts within the window.
    CrashLoop,
    /// Its health check fails.
    Unhealthy,
    /// Its health check changes its mind too often within the window.
    FlappingHealth,
    /// Above the CPU threshold for the whole window.
    HighCpu,
    /// Above the memory threshold for the whole window.
    HighMemory,
    /// Memory has risen steadily over the window.
    MemoryLeak,
    /// Its machine is short of memory, and it is the largest container without a limit.
    HostPressure,
}

impl SymptomKind {
    /// Each of them.
    pub const ALL: [Self; 9] = [
        Self::NonZeroExit,
        Self::OomKilled,
        Self::CrashLoop,
        Self::Unhealthy,
        Self::FlappingHealth,
        Self::HighCpu,
        Self::HighMemory,
        Self::MemoryLeak,
        Self::HostPressure,
    ];

    /// The name used in documents, labels and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NonZeroExit => "non_zero_exit",
            Self::OomKilled => "oom_killed",
            Self::CrashLoop => "crash_loop",
            Self::Unhealthy => "unhealthy",
            Self::FlappingHealth => "flapping_health",
            Self::HighCpu => "high_cpu",
            Self::HighMemory => "high_memory",
            Self::MemoryLeak => "memory_leak",
            Self::HostPressure => "host_pressure",
        }
    }
}

/// One thing that is wrong, since when and by how much.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Symptom {
    /// What.
    pub kind: SymptomKind,
    /// How bad.
    pub severity: Severity,
    /// When the detector was sure.
    pub since: Timestamp,
    /// What was measured, in the detector's unit (a ratio, a count, an exit code, bytes per second).
    pub actual: f64,
    /// What would have been in order.
    pub threshold: f64,
    /// For people: one sentence with both numbers.
    pub text: String,
}

/// What can be done about a container.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Stop and start it.
    Restart,
    /// Start it.
    Start,
    /// Stop it and leave it stopped.
    Stop,
    /// One more replica of its Swarm service.
    Scale,
    /// Remove exited containers of its Compose project and service.
    Cleanup,
    /// Run exactly this argument vector in it.
    Exec(Vec<String>),
}

impl Action {
    /// One of each name.
    pub const ALL: [Self; 6] = [
        Self::Restart,
        Self::Start,
        Self::Stop,
        Self::Scale,
        Self::Cleanup,
        Self::Exec(Vec::new()),
    ];

    /// The name used in documents, labels and messages.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Scale => "scale",
            Self::Cleanup => "cleanup",
            Self::Exec(_) => "exec",
        }
    }
}

/// What was found out before anything was done. Secrets are redacted before it is made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// When it was taken.
    pub at: Timestamp,
    /// The last lines of both output streams, oldest first, at most 100.
    pub log: Vec<String>,
    /// The facts the engine gave at that moment, name to value.
    pub inspect: BTreeMap<String, String>,
    /// Why a part of it is missing, if one is.
    pub missing: Vec<String>,
}

/// What the Analyzer made of an incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The rule that matched, by its stable name.
    pub rule: String,
    /// Root cause, one sentence.
    pub cause: String,
    /// Why this verdict.
    pub reason: String,
    /// 0 to 1.
    pub confidence: f64,
    /// What follows.
    pub verdict: Verdict,
}

/// Four different answers, and a fifth that the Responder gives when a gate holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// This action is expected to help.
    Remediate(Action),
    /// Nothing is wrong.
    FalseAlarm,
    /// Something may be wrong; what is missing to say.
    InsufficientEvidence(String),
    /// Something is wrong, and no action of ours is safe or would help; what a person can do.
    NoSafeAction(String),
}

/// Why a gate let an action through or held it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateRecord {
    /// The gate's stable name.
    pub gate: String,
    /// Whether the action may go on.
    pub passed: bool,
    /// For people, with numbers and times.
    pub reason: String,
    /// When it would let the action through, if known.
    pub until: Option<Timestamp>,
}

/// How an action ended, as far as the engine says. Whether it helped is the verification's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionOutcome {
    /// The engine did it; what it did.
    Done(String),
    /// A crash came between, and the engine shows that it had been done.
    Reconciled(String),
    /// The engine did not do it.
    Failed(String),
    /// Does not apply to this container.
    NotApplicable(String),
    /// Nothing shows whether it was done.
    Unknown(String),
    /// Every gate passed and nothing was done, because dry run is on.
    Simulated,
}

impl ActionOutcome {
    /// One of each name.
    pub const ALL: [Self; 6] = [
        Self::Done(String::new()),
        Self::Reconciled(String::new()),
        Self::Failed(String::new()),
        Self::NotApplicable(String::new()),
        Self::Unknown(String::new()),
        Self::Simulated,
    ];

    /// The name used in labels.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Done(_) => "done",
            Self::Reconciled(_) => "reconciled",
            Self::Failed(_) => "failed",
            Self::NotApplicable(_) => "not_applicable",
            Self::Unknown(_) => "unknown",
            Self::Simulated => "simulated",
        }
    }
}

/// What the Responder concluded for an incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    /// The symptom has been gone and health has passed for the whole window.
    Resolved,
    /// The ladder ended without that; a person is needed. Why.
    Escalated(String),
    /// A gate held the action; nothing was done. Which and why.
    Suppressed(String),
    /// Mode `propose` or dry run: what would have been done.
    Proposed(String),
    /// The container is gone.
    Gone,
}

/// Seconds as a ratio-safe number.
#[must_use]
pub fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}
