//! What is tried after what: pure.

use std::time::Duration;

use perennial_runtime::Timestamp;

use crate::model::{Action, Facts, Health, Status, SymptomKind};
use crate::monitor::Standing;
use crate::responder::Config;
use crate::responder::config::LastRung;

/// The engine's whole second of rounding between the end of a restart and the start it reports.
const START_SLACK: Duration = Duration::from_secs(1);

/// What the Monitor may take to hear that a run ended. It dates a symptom's end by that, so a symptom
/// that the action itself ended can seem to have lasted this much longer. One that is true at the
/// time of the look counts in any case.
const HEARSAY: Duration = Duration::from_secs(5);

/// What follows a rung that did not help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The next rung, after this wait.
    Again {
        /// Which, from 1.
        rung: u32,
        /// How long the container is left alone before.
        wait: Duration,
    },
    /// A person. Why.
    Person(String),
}

/// The action of rung `rung`, counted from 1, when `asked` was asked for. Only restarts are tried
/// again: the others change something that one attempt has changed or cannot change.
#[must_use]
pub fn action(rung: u32, asked: &Action, config: &Config) -> Option<Action> {
    let restarts = match asked {
        Action::Restart => config.restarts,
        Action::Start | Action::Stop | Action::Scale | Action::Cleanup | Action::Exec(_) => {
            return (rung == 1).then(|| asked.clone());
        }
    };
    match config.last_rung {
        _ if rung <= restarts => Some(Action::Restart),
        LastRung::Stop if rung == restarts + 1 => Some(Action::Stop),
        LastRung::Stop | LastRung::Leave => None,
    }
}

/// The wait before rung `rung`: none before the first, then the back-off, doubling up to its cap.
#[must_use]
pub fn wait(rung: u32, config: &Config) -> Duration {
    match rung {
        0 | 1 => Duration::ZERO,
        _ => {
            let factor = 1u32.checked_shl(rung - 2).unwrap_or(u32::MAX);
            config.backoff.saturating_mul(factor).min(config.backoff_cap)
        }
    }
}

/// What follows rung `rung`, after the `identical`-th failure in a row that looked the same.
#[must_use]
pub fn after_failure(rung: u32, asked: &Action, identical: u32, config: &Config) -> Step {
    if config.identical_failures > 0 && identical >= config.identical_failures {
        return Step::Person(format!(
            "it failed {identical} times in a row in exactly the same way"
        ));
    }
    match action(rung + 1, asked, config) {
        Some(_) => Step::Again { rung: rung + 1, wait: wait(rung + 1, config) },
        None => {
            Step::Person(format!("{rung} action{} did not help", if rung == 1 { "" } else { "s" }))
        }
    }
}

/// Whether a symptom needs a whole window of samples to show again.
#[must_use]
pub const fn is_sustained(kind: SymptomKind) -> bool {
    match kind {
        SymptomKind::HighCpu
        | SymptomKind::HighMemory
        | SymptomKind::MemoryLeak
        | SymptomKind::HostPressure => true,
        SymptomKind::NonZeroExit
        | SymptomKind::OomKilled
        | SymptomKind::CrashLoop
        | SymptomKind::Unhealthy
        | SymptomKind::FlappingHealth => false,
    }
}

/// Equal for failures that look the same: what the Analyzer made of it, how the run ended and which
/// of the symptoms show.
#[must_use]
pub fn looks(
    signature: &str,
    symptoms: &[SymptomKind],
    since: Timestamp,
    now: &Standing,
) -> String {
    let mut seen = showing(symptoms, since, now);
    seen.sort_unstable();
    let names: Vec<_> = seen.into_iter().map(SymptomKind::as_str).collect();
    let Facts { exit_code, oom_killed, .. } = now.facts;
    format!("{signature}; exit {exit_code:?}, oom {oom_killed}, {}", names.join(" "))
}

/// What a look at the container says of an action that ended a while ago.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// Nothing wrong has shown since, it runs, and its health check passes.
    Well,
    /// Nothing wrong has shown since, and the health check has no verdict yet.
    Undecided,
    /// It did not help; what shows.
    Sick(String),
    /// An operator stopped it since.
    Stopped,
    /// It is no longer there.
    Gone,
}

/// Judges how the container stands, given the symptoms that must be gone since `since`. After a stop,
/// `stopped` is what is wanted.
#[must_use]
pub fn judge(symptoms: &[SymptomKind], since: Timestamp, stopped: bool, now: &Standing) -> Look {
    match now.facts.status {
        Status::Gone | Status::Removing => return Look::Gone,
        Status::Exited | Status::Created if stopped => return Look::Well,
        _ if stopped => return Look::Sick("it still runs".to_owned()),
        _ if now.facts.stopped_by_operator => return Look::Stopped,
        Status::Running => {}
        Status::Created | Status::Paused | Status::Restarting | Status::Exited | Status::Dead => {
            return Look::Sick(not_running(&now.facts));
        }
    }
    let seen = showing(symptoms, since, now);
    if !seen.is_empty() {
        let names: Vec<_> = seen.into_iter().map(SymptomKind::as_str).collect();
        return Look::Sick(format!("still seen since the action: {}", names.join(", ")));
    }
    if started(&now.facts).is_some_and(|started| started > since + START_SLACK) {
        return Look::Sick("it ended and was started again since the action".to_owned());
    }
    match now.facts.health {
        Health::None | Health::Healthy => Look::Well,
        Health::Starting => Look::Undecided,
        Health::Unhealthy => Look::Sick("its health check fails".to_owned()),
    }
}

/// Whether the Monitor has not heard yet of the run that an action began: it still shows `left`, the
/// run that the action ended. What it says then is no verdict on the action.
#[must_use]
pub fn is_behind(left: Option<&str>, now: &Standing) -> bool {
    match now.facts.status {
        Status::Gone | Status::Removing => false,
        Status::Created
        | Status::Running
        | Status::Paused
        | Status::Restarting
        | Status::Exited
        | Status::Dead => left == Some(now.facts.started_at.as_str()),
    }
}

fn not_running(facts: &Facts) -> String {
    match facts.exit_code {
        Some(code) => format!("it does not run: {:?}, exit code {code}", facts.status),
        None => format!("it does not run: {:?}", facts.status),
    }
}

/// Those of `symptoms` that have been true since `since`. A crash loop stays true by its own window
/// long after the last crash, so only a crash since counts: [`judge`] sees that by the run.
fn showing(symptoms: &[SymptomKind], since: Timestamp, now: &Standing) -> Vec<SymptomKind> {
    let seen = now.last_seen.iter().filter(|(_, at)| *at > since + HEARSAY).map(|(kind, _)| *kind);
    let mut all: Vec<_> = seen.chain(now.active.iter().copied()).collect();
    all.sort_unstable();
    all.dedup();
    all.retain(|kind| symptoms.contains(kind) && *kind != SymptomKind::CrashLoop);
    all
}

/// When the engine says the run began.
#[must_use]
pub fn started(facts: &Facts) -> Option<Timestamp> {
    moment(&facts.started_at)
}

/// Reads the engine's RFC 3339 time; none for its zero time and for anything else.
#[must_use]
pub fn moment(text: &str) -> Option<Timestamp> {
    let at: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(at.as_microsecond()).ok().map(Timestamp::from_micros)
}

#[cfg(test)]
mod tests;
