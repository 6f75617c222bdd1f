//! The Monitor: one per container. Folds what the sensors saw into symptoms, and says when the set of
//! them changes.

mod config;
pub mod confirm;
pub mod detect;
pub mod docker;
mod fold;
pub mod intent;
mod judge;
mod message;
mod report;
mod row;
pub mod watch;

pub use config::Config;
pub use message::*;
pub use row::{CONTAINERS, ContainerRow};

use perennial_runtime::{Durable, Failure, Kind, Timestamp, Turn};
use serde::{Deserialize, Serialize};

use crate::model::{Facts, Status, Subject, Symptom, SymptomKind};
use crate::monitor::detect::{Moments, Usage};
use crate::monitor::intent::Intent;

/// The name of the timer that has it look again.
const LOOK_AGAIN: &str = "look";
/// What the names of timers begin with that put an answer off; the incident that asked follows.
const REPORT_LATER: &str = "report:";

/// The Monitor of one container.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Monitor {
    subject: Subject,
    labels: Vec<(String, String)>,
    facts: Facts,
    stop_signal: Option<i32>,
    has_health_check: bool,
    /// When the newest inspection folded was asked for; the epoch before the first.
    inspected_at: Timestamp,
    /// The engine's time of the newest event folded.
    event_at: Timestamp,
    /// The end of the run in `facts` has been seen.
    ended: bool,
    /// Until then the event that tells why it ended may still come.
    end_confirmed_at: Timestamp,
    /// A start was folded; the run it began has not been inspected yet.
    run_expected: bool,
    /// It had ended long before it was first seen: history, not a fault.
    ended_before_us: bool,
    intent: Intent,
    /// Until when the Responder restarts it; the epoch if it does not.
    acting_until: Timestamp,
    /// Runs begun that nobody asked the engine for.
    starts: Moments,
    /// Restarts by the engine's own counter, for when events were lost.
    counted: Moments,
    /// Turns of the health check from healthy to unhealthy.
    flips: Moments,
    /// When the kernel last killed a process of it for memory, in this run or the one before.
    oom_at: Option<Timestamp>,
    usage: Usage,
    symptoms: Vec<Symptom>,
    /// Symptoms that ended, and when; of the last hour.
    ended_symptoms: Vec<(SymptomKind, Timestamp)>,
    /// The Analyzer has been told something.
    reported: bool,
    /// The Analyzer has been told of the stop that lasts.
    withdrawn: bool,
    coverage_told: bool,
    deploying_until: Timestamp,
    /// When the timer is set for.
    wake: Option<Timestamp>,
}

impl Durable for Monitor {
    const KIND: Kind = Kind::new("monitor");
    type Message = MonitorMessage;
    type Settings = Config;

    fn handle(
        &mut self,
        message: MonitorMessage,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        match message {
            MonitorMessage::Event(event, inspection) => self.on_event(&event, inspection, turn),
            MonitorMessage::Listed(inspection) => self.on_listed(inspection, turn),
            MonitorMessage::Gone { at } if at < self.inspected_at => Ok(()),
            MonitorMessage::Gone { at } => self.on_gone(at, turn),
            MonitorMessage::Report { incident } => self.on_report(incident, turn),
            MonitorMessage::Confirm { incident } => self.on_confirm(incident, turn),
            MonitorMessage::Confirmed(finished) => self.on_confirmed(finished, turn),
            MonitorMessage::Sampled(_) | MonitorMessage::Tick | MonitorMessage::Acting { .. }
                if self.is_unknown() =>
            {
                // A late message about a container that was removed must not bring it back.
                turn.stop();
                Ok(())
            }
            MonitorMessage::Sampled(sample) => self.on_sampled(&sample, turn),
            MonitorMessage::Tick => {
                self.wake = None;
                let cause = self.take_awaited_end(turn.now()).unwrap_or(turn.now());
                self.judge(cause, turn)
            }
            MonitorMessage::Acting { until } => {
                self.acting_until = until;
                // An end that was put down to a restart which is not made shows now.
                let shows = self.ended && !self.acts(turn.now());
                if shows { self.judge(turn.now(), turn) } else { Ok(()) }
            }
        }
    }
}

impl Monitor {
    fn is_unknown(&self) -> bool {
        self.subject.id.0.is_empty()
    }

    /// Whether the Responder restarts it: an end is that restart's then.
    fn acts(&self, now: Timestamp) -> bool {
        self.acting_until > now
    }

    fn runs(&self) -> bool {
        matches!(self.facts.status, Status::Running | Status::Paused)
    }

    fn on_event(
        &mut self,
        event: &ContainerEvent,
        inspection: Option<Inspection>,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        if event.kind == EventKind::Destroy {
            return self.on_gone(event.at, turn);
        }
        let run = self.facts.started_at.clone();
        match &inspection {
            Some(inspection) => self.identify(inspection, turn.settings()),
            None if self.is_unknown() => {
                turn.stop();
                return Ok(());
            }
            None => {}
        }
        if event.at >= self.event_at || self.is_late_wish(event) {
            self.event_at = self.event_at.max(event.at);
            self.fold_event(event, inspection.as_ref(), turn)?;
        }
        if let Some(inspection) = &inspection {
            self.decide_end_before(inspection, turn)?;
            self.fold_inspection(inspection, turn.now(), turn.settings());
        }
        self.judge(self.cause(event.at, &run), turn)
    }

    fn on_listed(
        &mut self,
        inspection: Inspection,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let run = self.facts.started_at.clone();
        self.identify(&inspection, turn.settings());
        self.decide_end_before(&inspection, turn)?;
        self.fold_inspection(&inspection, turn.now(), turn.settings());
        self.judge(self.cause(inspection.at, &run), turn)
    }

    fn on_sampled(&mut self, sample: &Sample, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        let of_this_run = sample.started_at == self.facts.started_at && self.runs();
        if !of_this_run || !self.fold_sample(sample, turn.settings()) {
            return Ok(());
        }
        self.judge(sample.at, turn)
    }

    fn on_gone(&mut self, at: Timestamp, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        if self.reported {
            self.withdraw(at, "the container was removed", turn);
        }
        turn.delete(&CONTAINERS, turn.key().to_owned().as_str());
        turn.stop();
        Ok(())
    }

    fn on_report(
        &mut self,
        incident: crate::model::IncidentId,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        if self.is_unknown() {
            self.facts.status = Status::Gone;
            self.subject.id.0 = turn.key().to_owned();
            turn.stop();
        } else if let Some(due) = self.awaits_cause_until(turn.now()) {
            // What to make of this end is not known yet; nobody should act on it before.
            let name = format!("{REPORT_LATER}{}", incident.0);
            turn.send_at(due, &name, &MonitorMessage::Report { incident });
            return Ok(());
        } else {
            self.judge(turn.now(), turn)?;
        }
        let standing = self.standing(incident, turn.now());
        confirm::tell(standing, turn);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
