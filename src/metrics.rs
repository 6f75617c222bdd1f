//! The node's figures, in the OpenMetrics text format.
//!
//! Actors contribute by observations of committed turns; the runtime registers its own; what is a
//! state rather than an event is looked up when somebody asks.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use perennial_healing::metrics::{
    ACTION_DURATION, ACTIONS, ADVICE, DETECTION_DELAY, DIAGNOSES, DOCKER_EVENT_GAPS, DOCKER_EVENTS,
    GATE_REFUSALS, INCIDENTS, NOTIFICATIONS, VERIFICATIONS, known_series,
};
use perennial_query::metrics as query;
use perennial_runtime::Observation;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

/// What is told of scheduled backups.
#[derive(Clone, Debug, Default)]
pub struct BackupFigures {
    /// When the last one that succeeded was begun, in seconds since 1970; 0 if none did.
    pub last_success: Gauge<f64, AtomicU64>,
    /// Seconds from one to the next.
    pub every: Gauge<f64, AtomicU64>,
    /// Seconds the last one took.
    pub duration: Gauge<f64, AtomicU64>,
    /// Bytes of its file.
    pub bytes: Gauge,
    /// Those that failed.
    pub failures: Counter,
}

type Labels = Vec<(&'static str, String)>;
type Counters = Family<Labels, Counter>;
type Histograms = Family<Labels, Histogram, Buckets>;
type Gauges = Family<Labels, Gauge>;

/// Name and help.
const COUNTERS: [(&str, &str); 16] = [
    (DOCKER_EVENTS, "Events received from the engine"),
    (DOCKER_EVENT_GAPS, "Times that events may have been missed and a re-list filled in"),
    (INCIDENTS, "Incidents opened, by severity and first symptom"),
    (DIAGNOSES, "Diagnoses, by the rule that matched"),
    (ADVICE, "Opinions of models on incidents, by what came of asking"),
    (ACTIONS, "Actions on containers, by how they ended"),
    (GATE_REFUSALS, "Actions held back, by the gate that held"),
    (VERIFICATIONS, "Verifications of actions, by result"),
    (NOTIFICATIONS, "Notifications, by channel and result"),
    (query::QUERIES, "Queries that have ended, by role, type and outcome"),
    (query::CACHE, "Queries whose result might be shared, and whether it was"),
    (query::REFUSED, "Queries that were turned away"),
    (query::SCHEDULED, "Times of schedules, by what became of them"),
    (query::TURNS, "Turns of conversations that were begun or refused, and how those begun ended"),
    (query::EVENTS, "What was written to the journals of queries"),
    (
        query::MODEL_CALLS,
        "Times that a language model was asked to plan or to answer, by what came of it",
    ),
];

/// Counters whose lines are known only when something is counted, or from the configuration: name and help.
const COUNTERS_OF_TOOLS: [(&str, &str); 2] = [
    (query::TOOL_CALLS, "Calls of tools, by tool and how they ended"),
    (query::TOKENS, "Tokens that language models have read and written for queries"),
];

/// What is told of the most there was at a time: name and help.
const PEAKS: [(&str, &str); 3] = [
    (query::QUERIES_RUNNING, "The most queries that ran at a time"),
    (query::QUERY_PARALLEL, "The most tools that one query had called at a time"),
    (query::TOOL_CALLS_RUNNING, "The most calls of a group of tools at a time"),
];

/// Name, help, and upper bounds in seconds.
const HISTOGRAMS: [(&str, &str, &[f64]); 3] = [
    (
        DETECTION_DELAY,
        "From the engine's event or the deciding sample to the incident",
        &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0],
    ),
    (
        ACTION_DURATION,
        "From the intent of an action to the engine's answer",
        &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0],
    ),
    (
        query::QUERY_SECONDS,
        "From the acceptance of a query to its end, by type",
        &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0],
    ),
];

/// Makes the histograms of one family.
#[derive(Clone, Copy, Debug)]
struct Buckets(&'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

/// What is counted at the moment somebody asks.
#[derive(Clone, Debug, Default)]
pub struct Levels {
    /// Containers known, by the engine's state.
    pub containers: BTreeMap<String, i64>,
    /// Incidents not closed, by severity.
    pub open_incidents: BTreeMap<String, i64>,
    /// The checks of readiness, and whether each passes.
    pub checks: Vec<(String, bool)>,
}

/// Every figure of the node.
pub struct Metrics {
    registry: Registry,
    counters: BTreeMap<&'static str, Counters>,
    histograms: BTreeMap<&'static str, Histograms>,
    peaks: BTreeMap<&'static str, Gauges>,
    containers: Gauges,
    open_incidents: Gauges,
    ready: Gauges,
    resident: Gauge,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("perennial_build", "The running version", build);
        Self {
            counters: register_counters(&mut registry),
            histograms: register_histograms(&mut registry),
            peaks: register_peaks(&mut registry),
            containers: gauges(&mut registry, "perennial_containers", "Containers, by state"),
            open_incidents: gauges(
                &mut registry,
                "perennial_open_incidents",
                "Incidents not closed, by severity",
            ),
            ready: gauges(&mut registry, "perennial_ready", "1 for a readiness check that passes"),
            resident: resident(&mut registry),
            registry,
        }
    }
}

impl Metrics {
    /// Where others register theirs, before the first scrape.
    pub fn registry_mut(&mut self) -> &mut Registry {
        &mut self.registry
    }

    /// Shows the tokens of each of these language models from the start.
    pub fn expect_models<'a>(&self, models: impl Iterator<Item = &'a str>) {
        let Some(family) = self.counters.get(query::TOKENS) else { return };
        for model in models {
            for direction in query::DIRECTIONS {
                let labels = vec![("model", model.to_owned()), ("direction", direction.to_owned())];
                family.get_or_create_owned(&labels);
            }
        }
    }

    /// Registers the figures of scheduled backups, which a node without them does not have.
    pub fn register_backups(&mut self, figures: &BackupFigures) {
        let BackupFigures { last_success, every, duration, bytes, failures } = figures.clone();
        let seconds = [
            (
                "perennial_backup_last_success_timestamp",
                "When the last scheduled backup that succeeded was begun",
                last_success,
            ),
            ("perennial_backup_every", "Time from one scheduled backup to the next", every),
            ("perennial_backup_duration", "Time the last scheduled backup took", duration),
        ];
        for (name, help, gauge) in seconds {
            self.registry.register_with_unit(name, help, Unit::Seconds, gauge);
        }
        let registry = &mut self.registry;
        registry.register("perennial_backup_bytes", "Size of the last scheduled backup", bytes);
        registry.register("perennial_backup_failures", "Scheduled backups that failed", failures);
    }

    /// The part that takes observations in; it stays connected to these metrics.
    #[must_use]
    pub fn intake(&self) -> Intake {
        Intake {
            counters: self.counters.clone(),
            histograms: self.histograms.clone(),
            peaks: self.peaks.clone(),
        }
    }

    /// All figures as text.
    ///
    /// # Errors
    /// The text cannot be written, which is a defect.
    pub fn encode(&self, levels: &Levels) -> Result<String, fmt::Error> {
        set_all(&self.containers, "state", &levels.containers);
        set_all(&self.open_incidents, "severity", &levels.open_incidents);
        for (check, passes) in &levels.checks {
            let gauge = self.ready.get_or_create_owned(&vec![("check", check.clone())]);
            gauge.set(i64::from(*passes));
        }
        if let Some(bytes) = resident_bytes() {
            self.resident.set(bytes);
        }
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(without_empty_labels(&text))
    }
}

/// Samples without labels as `name value`, which every reader understands, not `name{} value`.
fn without_empty_labels(text: &str) -> String {
    let mut lines = String::with_capacity(text.len());
    for line in text.lines() {
        match line.split_once("{} ") {
            Some((name, value)) if !name.contains(['{', ' ']) => {
                lines.extend([name, " ", value]);
            }
            Some(_) | None => lines.push_str(line),
        }
        lines.push('\n');
    }
    lines
}

/// Takes what committed turns contribute.
#[derive(Clone, Debug)]
pub struct Intake {
    counters: BTreeMap<&'static str, Counters>,
    histograms: BTreeMap<&'static str, Histograms>,
    peaks: BTreeMap<&'static str, Gauges>,
}

impl Intake {
    /// Adds one observation to its metric.
    pub fn observe(&self, observation: &Observation) {
        let Observation { metric, labels, value } = observation;
        if let Some(family) = self.counters.get(metric) {
            // Counters grow by whole numbers; a negative or broken value counts nothing.
            family.get_or_create_owned(labels).inc_by(*value as u64);
        } else if let Some(family) = self.histograms.get(metric) {
            family.get_or_create_owned(labels).observe(*value);
        } else if let Some(family) = self.peaks.get(metric) {
            let gauge = family.get_or_create_owned(labels);
            gauge.inner().fetch_max(*value as i64, Ordering::Relaxed);
        } else {
            tracing::warn!(metric, "an actor contributes to a metric that is not exported");
        }
    }
}

fn register_counters(registry: &mut Registry) -> BTreeMap<&'static str, Counters> {
    let mut families = BTreeMap::new();
    for (name, help) in COUNTERS.into_iter().chain(COUNTERS_OF_TOOLS) {
        let family = Counters::default();
        // The text format adds the suffix itself.
        registry.register(name.trim_end_matches("_total"), help, family.clone());
        families.insert(name, family);
    }
    for (name, labels) in known_series().into_iter().chain(query::known_series()) {
        let labels = labels.into_iter().map(|(label, value)| (label, value.to_owned())).collect();
        if let Some(family) = families.get(name) {
            // Made by being asked for.
            family.get_or_create_owned(&labels);
        }
    }
    families
}

fn register_histograms(registry: &mut Registry) -> BTreeMap<&'static str, Histograms> {
    let mut families = BTreeMap::new();
    for (name, help, bounds) in HISTOGRAMS {
        let family = Histograms::new_with_constructor(Buckets(bounds));
        let stem = name.trim_end_matches("_seconds");
        registry.register_with_unit(stem, help, Unit::Seconds, family.clone());
        families.insert(name, family);
    }
    families
}

fn register_peaks(registry: &mut Registry) -> BTreeMap<&'static str, Gauges> {
    PEAKS.into_iter().map(|(name, help)| (name, gauges(registry, name, help))).collect()
}

fn gauges(registry: &mut Registry, name: &str, help: &str) -> Gauges {
    let family = Gauges::default();
    registry.register(name, help, family.clone());
    family
}

fn resident(registry: &mut Registry) -> Gauge {
    let gauge = Gauge::default();
    let help = "Memory of the process that is in use";
    registry.register_with_unit("process_resident_memory", help, Unit::Bytes, gauge.clone());
    gauge
}

/// Sets a whole family, so that a value which is no longer there is not exported for ever.
fn set_all(family: &Gauges, label: &'static str, values: &BTreeMap<String, i64>) {
    family.clear();
    for (name, value) in values {
        family.get_or_create_owned(&vec![(label, name.clone())]).set(*value);
    }
}

/// Resident bytes of this process, from `/proc/self/status`.
fn resident_bytes() -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: i64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(metric: &'static str, labels: Labels, value: f64) -> String {
        let metrics = Metrics::default();
        metrics.intake().observe(&Observation { metric, labels, value });
        metrics.encode(&Levels::default()).unwrap()
    }

    #[test]
    fn every_name_the_agents_use_is_exported() {
        let names = concat!(
            include_str!("../actors/healing/src/metrics.rs"),
            include_str!("../actors/query/src/metrics.rs")
        );
        let names: Vec<_> =
            names.split('"').filter(|text| text.starts_with("perennial_")).collect();
        assert!(!names.is_empty());
        for name in names {
            let counters = COUNTERS.iter().chain(&COUNTERS_OF_TOOLS).chain(&PEAKS);
            let known = counters.into_iter().any(|counter| counter.0 == name)
                || HISTOGRAMS.iter().any(|histogram| histogram.0 == name);
            assert!(known, "{name} is not exported");
        }
    }

    #[test]
    fn every_counter_is_there_as_0_before_anything_is_counted() {
        let text = Metrics::default().encode(&Levels::default()).unwrap();
        for (name, _) in COUNTERS {
            let mut lines = text.lines().filter(|line| line.starts_with(name)).peekable();
            assert!(lines.peek().is_some(), "{name} is missing in {text}");
            assert!(lines.all(|line| line.ends_with(" 0")), "{name} in {text}");
        }
        for line in [
            "perennial_docker_events_total{event=\"die\"} 0",
            "perennial_gate_refusals_total{gate=\"dry_run\"} 0",
            "perennial_incidents_total{severity=\"critical\",symptom=\"oom_killed\"} 0",
            "perennial_notifications_total{channel=\"webhook\",result=\"failed\"} 0",
        ] {
            assert!(text.contains(line), "{line} is missing in {text}");
        }
    }

    #[test]
    fn a_first_event_counts_on_the_line_that_was_there() {
        let before = Metrics::default().encode(&Levels::default()).unwrap();
        let labels = vec![("action", "restart".to_owned()), ("outcome", "done".to_owned())];
        let after = observed(ACTIONS, labels, 1.0);
        assert!(after.contains("{action=\"restart\",outcome=\"done\"} 1"), "{after}");
        assert_eq!(before.lines().count(), after.lines().count());
    }

    #[test]
    fn a_counter_is_exported_under_its_own_name_and_labels() {
        let text = observed(GATE_REFUSALS, vec![("gate", "cooldown".into())], 1.0);
        let line = "perennial_gate_refusals_total{gate=\"cooldown\"} 1";
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn a_histogram_is_exported_under_its_own_name() {
        let text = observed(DETECTION_DELAY, Labels::new(), 0.02);
        assert!(text.contains("perennial_detection_delay_seconds_count 1"), "{text}");
        assert!(
            text.contains("perennial_detection_delay_seconds_bucket{le=\"0.025\"} 1"),
            "{text}"
        );
    }

    #[test]
    fn the_version_and_the_memory_are_exported() {
        let text = Metrics::default().encode(&Levels::default()).unwrap();
        assert!(text.contains("perennial_build_info{version="), "{text}");
        assert!(text.contains("process_resident_memory_bytes"), "{text}");
        assert!(text.contains("perennial_docker_event_gaps_total 0"), "{text}");
    }

    #[test]
    fn a_level_that_is_gone_is_no_longer_exported() {
        let metrics = Metrics::default();
        let running = Levels { containers: [("running".into(), 2)].into(), ..Levels::default() };
        let text = metrics.encode(&running).unwrap();
        assert!(text.contains("perennial_containers{state=\"running\"} 2"), "{text}");
        let text = metrics.encode(&Levels::default()).unwrap();
        assert!(!text.contains("state=\"running\""), "{text}");
    }
}
