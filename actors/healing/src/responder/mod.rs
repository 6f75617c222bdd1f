//! The Responder: one per node. Acts within gates, verifies that it helped, and calls a person when
//! it did not.

pub mod audit;
mod config;
pub mod docker;
pub mod effect;
pub mod gates;
mod journal;
pub mod ladder;
pub mod maintenance;
mod message;
mod order;
pub mod past;
mod rung;
#[cfg(test)]
mod tests;
mod verify;

use std::collections::{BTreeMap, VecDeque};

use perennial_runtime::{Durable, Failure, Kind, Timestamp, Turn};
use serde::{Deserialize, Serialize};

use crate::model::{Action, Conclusion, ContainerId, IncidentId};
use crate::monitor::{Monitor, MonitorMessage, Standing};
use crate::responder::audit::{Head, Stage};
pub use crate::responder::config::{Config, Exec, LastRung};
pub use crate::responder::message::*;
pub use crate::responder::order::{Order, Ordered};
use crate::responder::past::Past;

/// Answered requests that are remembered, so that one that comes again does nothing.
const ANSWERED: usize = 256;

/// The Responder.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Responder {
    /// Remediations under way, by incident.
    ongoing: BTreeMap<IncidentId, Remediation>,
    /// What was done lately.
    past: Past,
    /// Requests that were answered, oldest first: incident and time of the request.
    answered: VecDeque<(IncidentId, Timestamp)>,
    /// How many containers each Compose project has.
    projects: BTreeMap<String, u32>,
    /// The end of the audit.
    head: Head,
}

/// One incident's way up the ladder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Remediation {
    request: Request,
    /// From 1.
    rung: u32,
    /// What this rung does.
    action: Action,
    phase: Phase,
    /// When the last action ended, or the last look showed that it had not helped.
    since: Timestamp,
    /// The last look found a health check without a verdict, or a Monitor that is behind or silent.
    undecided: bool,
    /// The run that the last action ended by beginning another, as the engine dates its start.
    left: Option<String>,
    /// From when a verdict is waited for, if not from `since`: when a look first found that the Monitor
    /// was behind, or that the container was well after one that had decided nothing.
    awaited: Option<Timestamp>,
    /// It ends when the action that is under way has ended; why.
    withdrawn: Option<String>,
}

/// What a remediation waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Phase {
    /// The Monitor's answer, before a rung.
    Asking,
    /// The engine; since when.
    Acting(Timestamp),
    /// The end of the stabilisation window.
    Watching,
    /// The Monitor's answer, to verify.
    Looking,
    /// The end of the back-off before its rung.
    Waiting,
    /// The Monitor's answer, before a rung, after one silence.
    AskingAgain,
    /// The Monitor's answer, to verify, after one silence.
    LookingAgain,
}

impl Phase {
    /// Whether the container is disturbed: an action is under way or its effect is being watched.
    const fn disturbs(self) -> bool {
        match self {
            Self::Asking | Self::AskingAgain => false,
            Self::Acting(_)
            | Self::Watching
            | Self::Looking
            | Self::LookingAgain
            | Self::Waiting => true,
        }
    }
}

impl Durable for Responder {
    const KIND: Kind = Kind::new("responder");
    type Message = ResponderMessage;
    type Settings = Config;

    fn handle(
        &mut self,
        message: ResponderMessage,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        match message {
            ResponderMessage::Remediate(request) => self.remediate(request, turn),
            ResponderMessage::Finished(finished) => {
                self.note_left(&finished);
                self.finished(finished, turn);
            }
            ResponderMessage::Standing(standing) => self.standing(&standing, turn),
            ResponderMessage::VerifyDue(incident) => self.verify_due(&incident, turn),
            ResponderMessage::RungDue(incident) => self.rung_due(&incident, turn),
            ResponderMessage::Withdraw { incident, reason } => {
                self.withdraw(&incident, reason, turn);
            }
            ResponderMessage::Census(projects) => self.count_projects(projects),
            ResponderMessage::Order(order) => self.ordered(order, turn),
        }
        Ok(())
    }
}

impl Responder {
    /// Begins a remediation, unless this request was answered or its incident has one under way:
    /// the same request twice, from whomever, is one action.
    fn remediate(&mut self, request: Request, turn: &mut Turn<'_, Self>) {
        let asked = (request.incident.clone(), request.requested_at);
        if self.ongoing.contains_key(&request.incident) || self.answered.contains(&asked) {
            return;
        }
        let config = turn.settings();
        self.past.prune(config, turn.now());
        let first = ladder::action(1, &request.action, config);
        let remediation = Remediation {
            rung: 1,
            action: first.clone().unwrap_or_else(|| request.action.clone()),
            request,
            phase: Phase::Asking,
            since: turn.now(),
            undecided: false,
            left: None,
            awaited: None,
            withdrawn: None,
        };
        match first {
            Some(_) => self.ask(remediation, Phase::Asking, turn),
            None => {
                let why = "restarts are off: see responder.restarts".to_owned();
                self.conclude(remediation, Conclusion::Suppressed(why), turn);
            }
        }
    }

    /// Asks the Monitor how the container stands. Its silence is an answer too, after a while.
    fn ask(&mut self, mut remediation: Remediation, phase: Phase, turn: &mut Turn<'_, Self>) {
        let incident = remediation.request.incident.clone();
        let of_it = || incident.clone();
        let (question, silence) = match phase {
            // Nothing is called well because of what was true before.
            Phase::Looking | Phase::LookingAgain => (
                MonitorMessage::Confirm { incident: of_it() },
                ResponderMessage::VerifyDue(of_it()),
            ),
            Phase::Asking
            | Phase::AskingAgain
            | Phase::Acting(_)
            | Phase::Watching
            | Phase::Waiting => {
                (MonitorMessage::Report { incident: of_it() }, ResponderMessage::RungDue(of_it()))
            }
        };
        turn.send::<Monitor>(remediation.container().0.clone(), &question);
        turn.send_after(turn.settings().standing_timeout, &timer(&incident), &silence);
        remediation.phase = phase;
        self.ongoing.insert(incident, remediation);
    }

    /// An answer that nobody waits for any more, or that is not about the container, says nothing.
    fn standing(&mut self, standing: &Standing, turn: &mut Turn<'_, Self>) {
        let Some(remediation) = self.ongoing.remove(&standing.incident) else { return };
        match remediation.phase {
            Phase::Asking | Phase::AskingAgain => {
                turn.cancel(&timer(&standing.incident));
                self.begin_rung(remediation, Some(standing), turn);
            }
            Phase::Looking | Phase::LookingAgain => {
                turn.cancel(&timer(&standing.incident));
                self.look(remediation, standing, turn);
            }
            Phase::Acting(_) | Phase::Watching | Phase::Waiting => self.keep(remediation),
        }
    }

    fn rung_due(&mut self, incident: &IncidentId, turn: &mut Turn<'_, Self>) {
        let Some(remediation) = self.ongoing.remove(incident) else { return };
        match remediation.phase {
            Phase::Waiting => self.ask(remediation, Phase::Asking, turn),
            // One silence is no answer yet: after a downtime the timer can fire before the answer is
            // read that was there all the time.
            Phase::Asking => self.ask(remediation, Phase::AskingAgain, turn),
            Phase::AskingAgain => self.begin_rung(remediation, None, turn),
            Phase::Acting(_) | Phase::Watching | Phase::Looking | Phase::LookingAgain => {
                self.keep(remediation);
            }
        }
    }

    fn verify_due(&mut self, incident: &IncidentId, turn: &mut Turn<'_, Self>) {
        let Some(remediation) = self.ongoing.remove(incident) else { return };
        match remediation.phase {
            Phase::Watching => self.ask(remediation, Phase::Looking, turn),
            Phase::Looking => self.unanswered(remediation, turn),
            Phase::LookingAgain => self.unseen(remediation, turn),
            Phase::Acting(_) | Phase::Asking | Phase::AskingAgain | Phase::Waiting => {
                self.keep(remediation);
            }
        }
    }

    /// Ends the ladder. An action that is under way cannot be taken back: its end is waited for, so
    /// that the audit and the cooldown know of it. Who withdraws needs no conclusion.
    fn withdraw(&mut self, incident: &IncidentId, reason: String, turn: &mut Turn<'_, Self>) {
        let Some(mut remediation) = self.ongoing.remove(incident) else { return };
        if matches!(remediation.phase, Phase::Acting(_)) {
            remediation.withdrawn = Some(reason);
            self.keep(remediation);
        } else {
            self.end_withdrawn(&remediation, &reason, turn);
        }
    }

    fn end_withdrawn(
        &mut self,
        remediation: &Remediation,
        reason: &str,
        turn: &mut Turn<'_, Self>,
    ) {
        self.audit(remediation, journal::Note::of(Stage::Withdrawn, reason), turn);
        self.forget(remediation, turn);
    }

    /// Only the numbers are kept: the gate needs no more, and the state stays small.
    fn count_projects(&mut self, projects: Vec<(String, Vec<ContainerId>)>) {
        let size = |ids: Vec<ContainerId>| u32::try_from(ids.len()).unwrap_or(u32::MAX);
        self.projects = projects.into_iter().map(|(name, ids)| (name, size(ids))).collect();
    }

    fn keep(&mut self, remediation: Remediation) {
        self.ongoing.insert(remediation.request.incident.clone(), remediation);
    }

    /// Leaves nothing of a remediation but its past.
    fn forget(&mut self, remediation: &Remediation, turn: &mut Turn<'_, Self>) {
        let request = &remediation.request;
        turn.cancel(&timer(&request.incident));
        self.past.released(remediation.container(), &request.incident);
        if self.answered.len() >= ANSWERED {
            self.answered.pop_front();
        }
        self.answered.push_back((request.incident.clone(), request.requested_at));
    }
}

impl Remediation {
    const fn container(&self) -> &ContainerId {
        &self.request.subject.id
    }
}

/// A remediation waits for one thing at a time, so one timer is enough.
fn timer(incident: &IncidentId) -> String {
    format!("step:{}", incident.0)
}
