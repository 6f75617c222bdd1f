//! Whether somebody asked the engine to stop a container. Such an end is no fault. A restart of our
//! own looks the same, and must not be one either.

use std::time::Duration;

use perennial_runtime::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::{Facts, RestartPolicy, Status};
use crate::monitor::EventKind;

/// How long after a signal an end is still put down to it, beyond the container's own time to stop.
const GRACE: Duration = Duration::from_secs(60);
/// The engine's own time to stop, without another setting.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

const SIGINT: i32 = 2;
const SIGQUIT: i32 = 3;
const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;

/// What is known of somebody's wish that the container be down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// When it was last sent a signal that ends a service.
    asked: Option<Timestamp>,
    /// When it went down, or was found down, by that wish.
    stopped: Option<Timestamp>,
}

impl Intent {
    /// Since when it has been down because somebody asked for it.
    #[must_use]
    pub fn stopped(&self) -> Option<Timestamp> {
        self.stopped
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
                let ends = [SIGINT, SIGQUIT, SIGKILL, SIGTERM].contains(signal);
                if ends || Some(*signal) == stop_signal {
                    self.asked = Some(at);
                }
            }
            EventKind::Die(_) => {
                if self.explains(at, stop_timeout) {
                    self.stopped = Some(at);
                }
                self.asked = None;
            }
            EventKind::Stop => self.stopped = Some(self.stopped.unwrap_or(at)),
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
        self.asked.is_some_and(|asked| at.since(asked) <= patience)
    }

    /// Concludes from what the engine shows, for when events were lost or are still to come: an end
    /// after a signal was wanted; and a container that the engine was told to keep running, that is
    /// down and is left down, was stopped by somebody. `at` is when it ended.
    pub fn infer(&mut self, at: Timestamp, facts: &Facts) {
        let running = matches!(facts.status, Status::Running | Status::Paused);
        if running && self.stopped.is_some() {
            *self = Self::default();
        }
        let kept_up =
            matches!(facts.restart_policy, RestartPolicy::Always | RestartPolicy::UnlessStopped);
        let left_down = facts.status == Status::Exited && kept_up && !facts.oom_killed;
        let ended = matches!(facts.status, Status::Exited | Status::Dead);
        let explained = ended && self.explains(at, facts.stop_timeout);
        if (left_down || explained) && self.stopped.is_none() {
            self.stopped = Some(at);
        }
    }
}

#[cfg(test)]
mod tests;
