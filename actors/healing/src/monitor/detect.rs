//! Windows over what was seen: sustained use, slow leaks, and events that come too often. Bounded,
//! because they are part of a state that is stored with every sample.

use std::time::Duration;

use perennial_runtime::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::{Facts, seconds};
use crate::monitor::{Config, HostMemory, Sample};

/// Points kept for a leak's trend, spread over its window.
pub const LEAK_POINTS: usize = 30;
/// Moments kept of an event that may come too often.
pub const MOMENTS: usize = 32;
/// Values kept for people to see a trend.
const TREND: usize = 5;
/// Share of the variation in memory that a straight line has to explain to be called a leak: noise
/// and steps do not reach it.
const LEAK_FIT: f64 = 0.8;
/// Samples further apart than so many periods say nothing about the time between them.
const PERIODS_APART: u32 = 4;

/// When something happened that is counted within a window; the newest [`MOMENTS`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moments(Vec<Timestamp>);

impl Moments {
    /// Adds `at`, `times` times.
    pub fn add(&mut self, at: Timestamp, times: usize) {
        self.0.extend(std::iter::repeat_n(at, times.min(MOMENTS)));
        let surplus = self.0.len().saturating_sub(MOMENTS);
        self.0.drain(..surplus);
    }

    /// Forgets what is older than `window`.
    pub fn expire(&mut self, now: Timestamp, window: Duration) {
        self.0.retain(|at| *at + window > now);
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// When no more than `limit` will be left within `window`, if there are more now.
    #[must_use]
    pub fn falls_to(&self, limit: usize, window: Duration) -> Option<Timestamp> {
        let surplus = self.0.len().checked_sub(limit + 1)?;
        self.0.get(surplus).map(|at| *at + window)
    }
}

/// A share that is above its threshold without a break.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Streak {
    since: Option<Timestamp>,
    sum: f64,
    samples: u32,
    /// It has lasted for the window, and has not fallen below threshold and margin since.
    sure: bool,
}

/// What a sustained share is held against.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// The share that is too much.
    pub threshold: f64,
    /// How far it has to fall below before that is over.
    pub margin: f64,
    /// How long it has to last.
    pub window: Duration,
}

impl Streak {
    /// Folds the share between `from` and `to`, which for a gauge is one moment.
    pub fn observe(&mut self, from: Timestamp, to: Timestamp, share: f64, limit: Limit) {
        let keeps = if self.sure { limit.threshold - limit.margin } else { limit.threshold };
        if share <= keeps {
            *self = Self::default();
            return;
        }
        let since = *self.since.get_or_insert(from);
        self.sum += share;
        self.samples += 1;
        self.sure = self.sure || to.since(since) >= limit.window;
    }

    /// The mean share, if it has lasted for the window.
    #[must_use]
    pub fn verdict(&self) -> Option<f64> {
        self.sure.then(|| self.sum / f64::from(self.samples.max(1)))
    }

    /// Forgets an unfinished streak: what happened in between is not known.
    pub fn interrupt(&mut self) {
        if !self.sure {
            *self = Self::default();
        }
    }
}

/// Memory over time, thinned out to [`LEAK_POINTS`] within the window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trend(Vec<(Timestamp, u64)>);

/// A straight line through memory over time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// Bytes per second.
    pub slope: f64,
    /// Share of the variation that it explains, 0 to 1.
    pub fit: f64,
}

impl Trend {
    /// Folds a sample; it is left out if the last kept one is too near.
    pub fn observe(&mut self, at: Timestamp, bytes: u64, window: Duration) {
        let apart = window / LEAK_POINTS as u32;
        // A little less than the distance, so that samples that come a moment early are kept.
        let apart = apart.mul_f64(0.95);
        if self.0.last().is_some_and(|(last, _)| at.since(*last) < apart) {
            return;
        }
        self.0.push((at, bytes));
        self.0.retain(|(then, _)| *then + window >= at);
        let surplus = self.0.len().saturating_sub(LEAK_POINTS);
        self.0.drain(..surplus);
    }

    /// The line of least squares, if there are enough points and they span half the window.
    #[must_use]
    pub fn line(&self, points: usize, window: Duration) -> Option<Line> {
        let (first, last) = (self.0.first()?, self.0.last()?);
        if self.0.len() < points.max(2) || last.0.since(first.0) < window / 2 {
            return None;
        }
        let n = self.0.len() as f64;
        let at = |t: &Timestamp| seconds(t.since(first.0));
        let mean_t = self.0.iter().map(|(t, _)| at(t)).sum::<f64>() / n;
        let mean_b = self.0.iter().map(|(_, b)| *b as f64).sum::<f64>() / n;
        let (mut tt, mut tb, mut bb) = (0.0, 0.0, 0.0);
        for (t, b) in &self.0 {
            let (dt, db) = (at(t) - mean_t, *b as f64 - mean_b);
            tt += dt * dt;
            tb += dt * db;
            bb += db * db;
        }
        let fit = if tt * bb > 0.0 { tb * tb / (tt * bb) } else { 0.0 };
        (tt > 0.0).then(|| Line { slope: tb / tt, fit })
    }
}

/// A memory leak as far as a trend can tell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Leak {
    /// Bytes per second.
    pub slope: f64,
    /// The least slope that would have been called one.
    pub threshold: f64,
    /// Bytes that are left until it is full: of its limit, or of its machine's memory without one.
    pub left: u64,
    /// Time until that is used up.
    pub full_in: Duration,
}

/// Resource use of one run of a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// When the last sample was taken; the epoch if there is none.
    pub at: Timestamp,
    /// CPU time at the last sample.
    cpu_total_ns: u64,
    /// CPU above its threshold.
    pub cpu: Streak,
    /// Memory above its threshold.
    pub memory: Streak,
    /// Its machine's memory above its threshold while it is the largest container without a limit.
    pub pressure: Streak,
    /// Its machine's memory at the last sample, if it has no limit.
    pub host: Option<HostMemory>,
    /// Memory over the leak window.
    trend: Trend,
    /// The last values, oldest first: (cpu, memory).
    recent: Vec<(f64, f64)>,
}

impl Usage {
    /// Folds a sample into the windows, and its ratios into `facts`. `limits` are shares of CPU and
    /// memory. A sample that is not newer than the last changes nothing; says whether it was.
    pub fn observe(
        &mut self,
        sample: &Sample,
        facts: &mut Facts,
        limits: (f64, f64),
        config: &Config,
    ) -> bool {
        if sample.at <= self.at {
            return false;
        }
        let known = self.at > Timestamp::EPOCH && sample.cpu_total_ns >= self.cpu_total_ns;
        let passed = sample.at.since(self.at);
        if !known || passed > config.sample_period() * PERIODS_APART {
            self.cpu.interrupt();
            self.memory.interrupt();
            self.pressure.interrupt();
        }
        let margin = config.clear_margin / 100.0;
        let cores = facts.cpus.unwrap_or_else(|| f64::from(sample.host_cpus)).max(0.001);
        let used = Duration::from_nanos(sample.cpu_total_ns.saturating_sub(self.cpu_total_ns));
        facts.cpu = known.then(|| seconds(used) / (seconds(passed) * cores));
        if let Some(share) = facts.cpu {
            let limit = Limit { threshold: limits.0, margin, window: config.cpu_window };
            self.cpu.observe(self.at, sample.at, share, limit);
        }
        facts.memory_bytes = Some(sample.memory_bytes);
        facts.memory_limit = sample.memory_limit.filter(|limit| *limit > 0);
        facts.memory = facts.memory_limit.map(|limit| sample.memory_bytes as f64 / limit as f64);
        let limit = Limit { threshold: limits.1, margin, window: config.memory_window };
        match facts.memory {
            Some(share) => self.memory.observe(sample.at, sample.at, share, limit),
            None => self.memory = Streak::default(),
        }
        let limit = Limit { threshold: config.host_memory_percent / 100.0, ..limit };
        self.host = sample.host;
        match self.host.filter(|host| host.largest) {
            Some(host) => self.pressure.observe(sample.at, sample.at, host.used(), limit),
            None => self.pressure = Streak::default(),
        }
        self.trend.observe(sample.at, sample.memory_bytes, config.leak_window);
        self.remember(facts);
        self.at = sample.at;
        self.cpu_total_ns = sample.cpu_total_ns;
        true
    }

    fn remember(&mut self, facts: &Facts) {
        if facts.cpu.is_some() || facts.memory.is_some() {
            self.recent.push((facts.cpu.unwrap_or(0.0), facts.memory.unwrap_or(0.0)));
        }
        let surplus = self.recent.len().saturating_sub(TREND);
        self.recent.drain(..surplus);
    }

    /// The last values, oldest first: (cpu, memory).
    #[must_use]
    pub fn recent(&self) -> &[(f64, f64)] {
        &self.recent
    }

    /// Whether memory rises steadily towards its limit, or without one towards all that its machine
    /// has left. Never without a limit where the machine's memory is not known.
    #[must_use]
    pub fn leak(&self, facts: &Facts, config: &Config) -> Option<Leak> {
        let used = facts.memory_bytes?;
        let (limit, left) = match facts.memory_limit {
            Some(limit) => (limit, limit.saturating_sub(used)),
            None => self.host.map(|host| (host.total, host.available))?,
        };
        let line = self.trend.line(config.leak_points, config.leak_window)?;
        if line.slope <= 0.0 || line.fit < LEAK_FIT {
            return None;
        }
        let by_horizon = left as f64 / seconds(config.leak_horizon).max(1.0);
        let by_rate = limit as f64 * config.leak_percent_per_hour / 100.0 / 3600.0;
        let threshold = by_horizon.min(by_rate).max(0.0);
        let full_in = Duration::try_from_secs_f64(left as f64 / line.slope).ok()?;
        (line.slope > threshold).then_some(Leak { slope: line.slope, threshold, left, full_in })
    }
}

#[cfg(test)]
mod tests;
