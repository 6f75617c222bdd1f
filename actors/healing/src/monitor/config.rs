//! What the Monitor and its sensors can be told.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::Mode;

/// Configuration of the Monitor and its sensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Names of containers to watch; * and ? stand for any text and any character.
    pub include: Vec<String>,
    /// Names of containers to leave alone, even if included. The label perennial.enable decides before both.
    pub exclude: Vec<String>,
    /// What may be done without asking: observe, propose or auto. The label perennial.mode decides for its container.
    pub mode: Mode,
    /// Time between two samples of a running container's resource use.
    #[serde(with = "humantime_serde")]
    pub sample_every: Duration,
    /// Longest wait for one container's sample.
    #[serde(with = "humantime_serde")]
    pub sample_deadline: Duration,
    /// Most samples asked for at the same time; while the engine answers quickly, it is one.
    pub samples_in_flight: usize,
    /// Time between two full lists of containers, which find what the event stream lost.
    #[serde(with = "humantime_serde")]
    pub relist_every: Duration,
    /// CPU use, in percent of the container's quota or of all cores, that is too high. Label perennial.cpu.
    pub cpu_percent: f64,
    /// How long CPU use has to stay above it.
    #[serde(with = "humantime_serde")]
    pub cpu_window: Duration,
    /// Memory use, in percent of the container's limit, that is too high. Label perennial.memory.
    pub memory_percent: f64,
    /// How long memory use has to stay above it.
    #[serde(with = "humantime_serde")]
    pub memory_window: Duration,
    /// Sustained use, in percent, above which CPU and memory symptoms are critical.
    pub critical_percent: f64,
    /// Memory use of the engine's machine, in percent, that is too high when it lasts for the memory window. The largest container without a limit is told of then.
    pub host_memory_percent: f64,
    /// Percent of the last minute in which tasks waited for memory, from which that is critical.
    pub host_stall_percent: f64,
    /// Where the machine's memory is read, as meminfo and pressure/memory; empty reads none. Used only for an engine on a unix socket: another machine's memory is not judged.
    pub proc: PathBuf,
    /// Points of percent by which use has to fall below its threshold before the symptom ends.
    pub clear_margin: f64,
    /// How far back memory is looked at for a leak.
    #[serde(with = "humantime_serde")]
    pub leak_window: Duration,
    /// Fewest points, spread over the leak window, that a trend is drawn through; at most 30.
    pub leak_points: usize,
    /// A trend that reaches the memory limit, or without one uses up what the machine has left, within this time is a leak.
    #[serde(with = "humantime_serde")]
    pub leak_horizon: Duration,
    /// A trend of more percent of the limit, or without one of the machine's memory, per hour than this is a leak.
    pub leak_percent_per_hour: f64,
    /// More restarts than this within the restart window are a crash loop. Restarts that somebody asked the engine for do not count.
    pub restart_limit: u32,
    /// The restart window.
    #[serde(with = "humantime_serde")]
    pub restart_window: Duration,
    /// So many turns to unhealthy within the flapping window are a flapping health check.
    pub flapping_limit: u32,
    /// The flapping window.
    #[serde(with = "humantime_serde")]
    pub flapping_window: Duration,
    /// How long after a container of a Compose or Swarm service was created or removed crashes of that service are held back as a deploy in progress.
    #[serde(with = "humantime_serde")]
    pub settle_time: Duration,
    /// How long a container stopped through the engine has to stay down before its symptoms are withdrawn; a restart takes less.
    #[serde(with = "humantime_serde")]
    pub stop_settles: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            include: vec!["*".to_owned()],
            exclude: vec!["perennial-*".to_owned()],
            mode: Mode::Auto,
            sample_every: Duration::from_secs(15),
            sample_deadline: Duration::from_secs(2),
            samples_in_flight: 8,
            relist_every: Duration::from_secs(30),
            cpu_percent: 85.0,
            cpu_window: Duration::from_secs(60),
            memory_percent: 80.0,
            memory_window: Duration::from_secs(60),
            critical_percent: 95.0,
            host_memory_percent: 90.0,
            host_stall_percent: 10.0,
            proc: PathBuf::from("/proc"),
            clear_margin: 5.0,
            leak_window: Duration::from_secs(30 * 60),
            leak_points: 10,
            leak_horizon: Duration::from_secs(3600),
            leak_percent_per_hour: 30.0,
            restart_limit: 5,
            restart_window: Duration::from_secs(600),
            flapping_limit: 3,
            flapping_window: Duration::from_secs(900),
            settle_time: Duration::from_secs(30),
            stop_settles: Duration::from_secs(15),
        }
    }
}

/// The smallest period the sensors keep; shorter ones would be a busy loop.
const SHORTEST_PERIOD: Duration = Duration::from_millis(100);

impl Config {
    /// The period of samples, kept sane.
    #[must_use]
    pub(crate) fn sample_period(&self) -> Duration {
        self.sample_every.max(SHORTEST_PERIOD)
    }

    /// The period of lists, kept sane.
    #[must_use]
    pub(crate) fn relist_period(&self) -> Duration {
        self.relist_every.max(SHORTEST_PERIOD)
    }

    /// Says in sentences which limits can never trip and which values contradict each other.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut when = |wrong: bool, text: &str| {
            if wrong {
                problems.push(text.to_owned());
            }
        };
        when(
            self.include.is_empty(),
            "monitor.include is empty: only labelled containers are watched",
        );
        when(
            self.cpu_percent >= 100.0,
            "monitor.cpu_percent is 100 or more: high CPU can never be seen",
        );
        when(
            self.memory_percent >= 100.0,
            "monitor.memory_percent is 100 or more: high memory can never be seen",
        );
        when(
            self.host_memory_percent >= 100.0,
            "monitor.host_memory_percent is 100 or more: a host short of memory can never be seen",
        );
        when(
            self.critical_percent < self.cpu_percent.min(self.memory_percent),
            "monitor.critical_percent is below both thresholds: every such symptom is critical",
        );
        when(
            self.clear_margin < 0.0,
            "monitor.clear_margin is negative: symptoms would end above their threshold",
        );
        when(
            self.sample_every < SHORTEST_PERIOD || self.relist_every < SHORTEST_PERIOD,
            "monitor.sample_every or relist_every is under 100 ms: 100 ms is used",
        );
        when(self.samples_in_flight == 0, "monitor.samples_in_flight is 0: 1 is used");
        when(
            self.leak_points > super::detect::LEAK_POINTS,
            "monitor.leak_points is over 30: no more points are kept, a leak can never be seen",
        );
        when(
            self.restart_limit as usize >= super::detect::MOMENTS,
            "monitor.restart_limit is over 31: no more restarts are kept, a crash loop can never be seen",
        );
        when(
            self.flapping_limit as usize > super::detect::MOMENTS || self.flapping_limit == 0,
            "monitor.flapping_limit is 0 or over 32: flapping can never be seen",
        );
        problems
    }
}
