//! Whether somebody asked the engine to stop a container. Such an end is no fault. A restart of our
//! own looks the same, and must not be one either.

use std::time::Duration;

use perennial_runtime::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::{Facts, RestartPolicy, Status};
use crate::monitor::EventKind;
use crate::monitor::fold::engine_time;

/// How long after a signal an end is still put down to it, beyond the container's own time to stop.
const GRACE: Duration = Duration::from_secs(60);
/// The engine may tell of an end before it tells of the signal or stop that caused it, so much at most.
pub(crate) const LATE: Duration = Duration::from_secs(5);
/// The engine's own time to stop, without another setting.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

const SIGINT: i32 = 2;
const SIGQUIT: i32 = 3;
const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;

/// Whether `signal` ends a service by somebody's wish.
fn ends(signal: i32, stop_signal: Option<i32>) -> bool {
    [SIGINT, SIGQUIT, SIGKILL, SIGTERM].contains(&signal) || Some(signal) == stop_signal
}

/// Whether an exit code is that of a signal which ends a service: somebody may have wished for it.
#[must_use]
pub fn may_be_wished(code: i64, stop_signal: Option<i32>) -> bool {
    let signal = i32::try_from(code.saturating_sub(128)).unwrap_or(0);
    signal > 0 && ends(signal, stop_signal)
}

/// What is known of somebody's wish that the container be down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// When it was last sent a signal that ends a service.
    asked: Option<Timestamp>,
    /// When it went down, or was found down, by that wish.
    stopped: Option<Timestamp>,
    /// When it went down without a wish known then.
    unexplained: Option<Timestamp>,
}

impl Intent {
    /// Since when it has been down because somebody asked for it.
    #[must_use]
    pub fn stopped(&self) -> Option<Timestamp> {
        self.stopped
    }

    /// When it went down, if no wish explains that.
    #[must_use]
    pub fn unexplained(&self) -> Option<Timestamp> {
        self.unexplained.filter(|_| self.stopped.is_none())
    }

    /// The wish for it to be down came to light after the end.
    #[must_use]
    pub fn came_late(&self) -> bool {
        self.stopped.is_some() && self.stopped == self.unexplained
    }

    /// For a container that is down: puts its end down to a signal that was told of after it.
    pub fn explain_late(&mut self) {
        let end = self.unexplained.filter(|end| self.asked.is_some_and(|at| is_near(at, *end)));
        self.stopped = self.stopped.or(end);
    }

    /// An end of the run that began at `run` is not put down to what was sent to one before it.
    pub fn forget_before(&mut self, run: Timestamp) {
        self.asked = self.asked.filter(|asked| *asked >= run);
    }

    /// Folds an event. `stop_signal` and `stop_timeout` are the container's own settings.
    pub fn observe(
        &mut self,
        at: Timestamp,
        event: &EventKind,
        stop_signal: Option<i32>,
        stop_timeout: Option<u32>,
    ) {
        match event {
            EventKind::Kill(signal) => {
                if ends(*signal, stop_signal) {
                    self.asked = Some(at);
                }
            }
            EventKind::Die(_) => {
                if self.explains(at, stop_timeout) {
                    (self.stopped, self.unexplained) = (Some(at), None);
                } else {
                    self.unexplained = Some(at);
                }
                self.asked = None;
            }
            EventKind::Stop => {
                let end = self.unexplained.filter(|end| is_near(at, *end));
                self.stopped = self.stopped.or(end).or(Some(at));
            }
            EventKind::Start => *self = Self::default(),
            EventKind::Create
            | EventKind::Oom
            | EventKind::HealthStatus(_)
            | EventKind::Destroy
            | EventKind::Rename(_) => {}
        }
    }

    /// Whether an end at `at` is put down to a signal that was seen.
    fn explains(&self, at: Timestamp, stop_timeout: Option<u32>) -> bool {
        let own = stop_timeout.map(|seconds| Duration::from_secs(seconds.into()));
        let patience = own.unwrap_or(STOP_TIMEOUT) + GRACE;
        self.asked.is_some_and(|asked| at.since(asked) <= patience && asked.since(at) <= LATE)
    }

    /// Concludes from what the engine shows, for when events were lost or are still to come: an end
    /// after a signal was wanted; and a container that the engine was told to keep running, that is
    /// down and is left down, was stopped by somebody. `at` is when it ended.
    ///
    /// A run that is seen does not undo a signal: the event of the end before it, which that signal caused, may
    /// still come.
    pub fn infer(&mut self, at: Timestamp, facts: &Facts) {
        let running = matches!(facts.status, Status::Running | Status::Paused);
        if running && self.stopped.is_some() {
            (self.stopped, self.unexplained) = (None, None);
        }
        let kept_up =
            matches!(facts.restart_policy, RestartPolicy::Always | RestartPolicy::UnlessStopped);
        let left_down = facts.status == Status::Exited && kept_up && !facts.oom_killed;
        let ended = matches!(facts.status, Status::Exited | Status::Dead);
        if let Some(run) = engine_time(&facts.started_at).filter(|_| ended) {
            self.forget_before(run);
        }
        let explained = ended && self.explains(at, facts.stop_timeout);
        if (left_down || explained) && self.stopped.is_none() {
            (self.stopped, self.unexplained) = (Some(at), None);
        }
    }
}

fn is_near(wish: Timestamp, end: Timestamp) -> bool {
    wish.since(end).max(end.since(wish)) <= LATE
}

#[cfg(test)]
mod tests;
