//! Medians, spreads and the tables that are printed.

use std::time::Duration;

/// A setting of the benchmark from the environment.
pub fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Values of the rounds.
#[derive(Clone, Debug, Default)]
pub struct Rounds(Vec<f64>);

impl Rounds {
    /// Adds the value of a round.
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
        self.0.sort_by(f64::total_cmp);
    }

    /// The middle value; not a number when there was no round.
    pub fn median(&self) -> f64 {
        self.0.get(self.0.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// The smallest and the largest.
    pub fn spread(&self) -> (f64, f64) {
        let end = |value: Option<&f64>| value.copied().unwrap_or(f64::NAN);
        (end(self.0.first()), end(self.0.last()))
    }

    /// Median and spread, as a cell of a table.
    pub fn cell(&self) -> String {
        if self.0.is_empty() {
            return "-".to_owned();
        }
        let (low, high) = self.spread();
        format!("{} ({}..{})", short(self.median()), short(low), short(high))
    }
}

/// A number in three digits or so.
pub fn short(value: f64) -> String {
    match value.abs() {
        large if large >= 1e6 => format!("{:.2}M", value / 1e6),
        large if large >= 1e4 => format!("{:.0}k", value / 1e3),
        large if large >= 1e3 => format!("{:.1}k", value / 1e3),
        large if large >= 100.0 => format!("{value:.0}"),
        large if large >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Milliseconds of a duration.
pub fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// The value below which `percent` of the sorted values lie.
pub fn percentile(sorted: &[f64], percent: f64) -> f64 {
    let at = (sorted.len() as f64 * percent / 100.0) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

/// Prints a heading and its rows in aligned columns.
pub fn print(head: &[&str], rows: &[Vec<String>]) {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
    for row in std::iter::once(&head).chain(rows) {
        let cells = widths.iter().zip(row).map(|(&width, cell)| format!("{cell:<width$}"));
        println!("{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

/// Prints what was expected of a ratio and whether it is so, and tells it.
pub fn expect(what: &str, measured: f64, least: f64) -> bool {
    let met = measured >= least;
    println!("{}: {what}: {measured:.2}, expected at least {least:.2}", verdict(met));
    met
}

/// Prints what was expected of a figure that is to stay small, and whether it is so, and
/// tells it.
pub fn expect_most(what: &str, measured: f64, most: f64) -> bool {
    let met = measured <= most;
    println!("{}: {what}: {measured:.2}, expected at most {most:.2}", verdict(met));
    met
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

/// Kilobytes of this process that are in memory and its own.
pub fn own_kilobytes() -> f64 {
    kilobytes("RssAnon")
}

/// What the kernel tells of the memory of this process under `key` of `/proc/self/status`, in kilobytes.
pub fn kilobytes(key: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let value = |line: &str| line.strip_prefix(key)?.strip_prefix(':').map(str::to_owned);
    let value = status.lines().find_map(value).unwrap();
    value.split_whitespace().next().unwrap().parse().unwrap()
}

/// Processor time of this process so far, in user and system mode. The kernel counts in hundredths of a
/// second.
pub fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    let ticks = |at: usize| after_name.split_whitespace().nth(at).unwrap().parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}
