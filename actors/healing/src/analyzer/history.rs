//! What a container went through before: bounded by number and age.

use std::time::Duration;

use perennial_runtime::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::SymptomKind;

/// Values a trend looks at, at most.
const TREND_VALUES: usize = 5;
/// Values a trend needs.
const TREND_NEEDS: usize = 2;
/// A mean step beyond this is a change: five points of a hundred.
const TREND_STEP: f64 = 0.05;

/// One earlier diagnosis of the container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Episode {
    /// When.
    pub at: Timestamp,
    /// The run it was about (`State.StartedAt`, verbatim).
    pub run: String,
    /// What was wrong.
    pub kinds: Vec<SymptomKind>,
    /// Share of its CPUs at that time.
    pub cpu: Option<f64>,
    /// Share of its memory limit at that time.
    pub memory: Option<f64>,
}

/// Earlier diagnoses, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    episodes: Vec<Episode>,
}

impl History {
    /// Forgets what is older than `age` or beyond the newest `size`.
    pub fn prune(&mut self, now: Timestamp, age: Duration, size: usize) {
        self.episodes.retain(|episode| now.since(episode.at) <= age);
        let surplus = self.episodes.len().saturating_sub(size);
        self.episodes.drain(..surplus);
    }

    /// Adds the newest.
    pub fn push(&mut self, episode: Episode) {
        self.episodes.push(episode);
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.episodes.is_empty()
    }

    /// How many are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.episodes.len()
    }

    /// Whether the container had `kind` in a run other than `run`.
    #[must_use]
    pub fn had_in_another_run(&self, kind: SymptomKind, run: &str) -> bool {
        self.episodes.iter().any(|episode| episode.run != run && episode.kinds.contains(&kind))
    }

    /// The trends of CPU and memory over the remembered diagnoses.
    #[must_use]
    pub fn trends(&self) -> (Trend, Trend) {
        let cpu: Vec<f64> = self.episodes.iter().filter_map(|episode| episode.cpu).collect();
        let memory: Vec<f64> = self.episodes.iter().filter_map(|episode| episode.memory).collect();
        (trend(&cpu), trend(&memory))
    }
}

/// Where a ratio is going.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trend {
    /// Too few values to say.
    #[default]
    Unknown,
    /// Up by more than five points a step.
    Increasing,
    /// Within five points a step.
    Stable,
    /// Down by more than five points a step.
    Decreasing,
}

/// The mean step of the last five of `values` (ratios, oldest first); at least two are needed.
#[must_use]
pub fn trend(values: &[f64]) -> Trend {
    let values: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    let last = values.get(values.len().saturating_sub(TREND_VALUES)..).unwrap_or(&values);
    let steps = u32::try_from(last.len().saturating_sub(1)).unwrap_or(u32::MAX);
    let (Some(first), Some(end)) = (last.first(), last.last()) else {
        return Trend::Unknown;
    };
    if last.len() < TREND_NEEDS {
        return Trend::Unknown;
    }
    let step = (end - first) / f64::from(steps);
    if step > TREND_STEP {
        Trend::Increasing
    } else if step < -TREND_STEP {
        Trend::Decreasing
    } else {
        Trend::Stable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trend_is_the_mean_step_of_the_last_five_values() {
        let table: [(&[f64], Trend); 9] = [
            (&[], Trend::Unknown),
            (&[0.9], Trend::Unknown),
            (&[0.5, f64::NAN], Trend::Unknown),
            (&[0.5, 0.6], Trend::Increasing),
            (&[0.6, 0.5], Trend::Decreasing),
            (&[0.50, 0.53], Trend::Stable),
            (&[0.5, 0.9, 0.6], Trend::Stable),
            (&[0.1, 0.2, 0.4, 0.6, 0.8], Trend::Increasing),
            // The rise was before the last five.
            (&[0.1, 0.9, 0.9, 0.9, 0.9, 0.9], Trend::Stable),
        ];
        for (values, want) in table {
            assert_eq!(trend(values), want, "{values:?}");
        }
    }

    #[test]
    fn history_keeps_ten_of_the_last_hour() {
        let hour = Duration::from_secs(3600);
        let mut history = History::default();
        for minute in 0..75 {
            let at = Timestamp::from_micros(minute * 60_000_000);
            history.prune(at, hour, 10);
            history.push(Episode { at, ..Episode::default() });
        }
        let late = Timestamp::from_micros(75 * 60_000_000);
        history.prune(late, hour, 10);
        assert_eq!(history.len(), 10);
        history.prune(late + Duration::from_secs(55 * 60), hour, 10);
        assert_eq!(history.len(), 5);
        history.prune(late + hour * 2, hour, 10);
        assert!(history.is_empty());
    }

    #[test]
    fn the_same_run_is_not_a_recurrence() {
        let mut history = History::default();
        history.push(Episode {
            run: "one".to_owned(),
            kinds: vec![SymptomKind::OomKilled],
            ..Episode::default()
        });
        assert!(!history.had_in_another_run(SymptomKind::OomKilled, "one"));
        assert!(history.had_in_another_run(SymptomKind::OomKilled, "two"));
        assert!(!history.had_in_another_run(SymptomKind::Unhealthy, "two"));
    }
}
