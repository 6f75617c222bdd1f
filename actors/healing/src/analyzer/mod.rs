//! The Analyzer: one per container. Joins its symptoms to one incident, takes evidence, diagnoses,
//! asks the Responder where an action is expected to help, and closes the incident.

pub mod config;
pub mod docker;
pub mod evidence;
pub mod exit_codes;
pub mod history;
pub mod incident;
mod message;
mod opinion;
pub mod redact;
pub mod rules;

use std::time::Duration;

use perennial_runtime::{Durable, Failure, Finished, Kind, Timestamp, Turn, decode};
use serde::{Deserialize, Serialize};

use crate::alert::{ALERT, Alert, AlertMessage, Entry};
use crate::analyzer::evidence::{CaptureEvidence, memory_peak};
use crate::analyzer::history::History;
use crate::analyzer::incident::{Incident, Phase, incident_id};
use crate::metrics::{DETECTION_DELAY, DIAGNOSES, INCIDENTS};
use crate::model::{Action, Conclusion, Diagnosis, Evidence, IncidentId, Verdict};
use crate::responder::{RESPONDER, Request, Responder, ResponderMessage};

pub use config::Config;
pub use message::*;

/// Timers, by their stored names.
const SETTLED: &str = "settled";
const EVIDENCE: &str = "evidence";
const AGAIN: &str = "again";
const FORGET: &str = "forget";

/// The Analyzer of one container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Analyzer {
    /// Earlier diagnoses.
    history: History,
    /// The open incident.
    incident: Option<Incident>,
    /// The last incident and when it was closed, for as long as it can be reopened.
    closed: Option<(IncidentId, Timestamp)>,
}

impl Durable for Analyzer {
    const KIND: Kind = Kind::new("analyzer");
    const VERSION: u16 = 2;
    type Message = AnalyzerMessage;
    type Settings = Config;

    fn handle(
        &mut self,
        message: AnalyzerMessage,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        match message {
            AnalyzerMessage::Symptoms(report) => self.report(&report, turn),
            AnalyzerMessage::Withdrawn { at, reason } => self.withdraw(at, reason, turn),
            AnalyzerMessage::Evidence(finished) => self.evidence(finished, turn),
            AnalyzerMessage::Concluded { incident, conclusion, until } => {
                self.conclude(&incident, &conclusion, until, turn);
            }
            AnalyzerMessage::Settled => self.settle(turn),
            AnalyzerMessage::EvidenceLate => self.evidence_late(turn),
            AnalyzerMessage::LookAgain => self.look_again(turn),
            AnalyzerMessage::Forget => self.closed = None,
            AnalyzerMessage::Standing(standing) => {
                turn.send::<Responder>(RESPONDER, &ResponderMessage::Standing(standing));
            }
            AnalyzerMessage::Advised { incident, basis, advice } => {
                self.advised(&incident, &basis, advice, turn);
            }
        }
        if self.incident.is_none() && self.closed.is_none() {
            turn.stop();
        }
        Ok(())
    }

    /// Version 2 added a message; nothing else changed.
    fn migrate(_: u16, payload: &[u8]) -> Result<Self, Failure> {
        Ok(decode(payload)?)
    }

    fn migrate_message(_: u16, payload: &[u8]) -> Result<AnalyzerMessage, Failure> {
        Ok(decode(payload)?)
    }
}

impl Analyzer {
    fn report(&mut self, report: &SymptomReport, turn: &mut Turn<'_, Self>) {
        if self.incident.is_some() {
            self.join(report, turn);
        } else if !report.active.is_empty() {
            self.open(report, turn);
        }
    }

    fn open(&mut self, report: &SymptomReport, turn: &mut Turn<'_, Self>) {
        let window = turn.settings().reopen_window;
        let before = self.closed.take().filter(|(_, at)| turn.now().since(*at) <= window);
        let reopened = before.is_some();
        let id = before.map_or_else(|| incident_id(turn.random()), |(id, _)| id);
        let incident = Incident::new(id, report);
        let symptoms = incident.active.clone();
        let entry = if reopened {
            Entry::Reopened { symptoms }
        } else {
            let severity = incident.severity();
            let first = symptoms.first().map_or("", |symptom| symptom.kind.as_str());
            turn.count(INCIDENTS, &[("severity", severity.as_str()), ("symptom", first)]);
            Entry::Opened {
                subject: incident.subject.clone(),
                symptoms,
                severity,
                event_at: report.event_at,
            }
        };
        let delay = turn.now().since(report.event_at);
        turn.measure(DETECTION_DELAY, &[], delay.as_secs_f64());
        turn.cancel(FORGET);
        record(&incident.id, entry, turn);
        capture(self.incident.insert(incident), turn);
    }

    fn join(&mut self, report: &SymptomReport, turn: &mut Turn<'_, Self>) {
        let Some(incident) = &mut self.incident else {
            return;
        };
        let was_quiet = incident.active.is_empty();
        let change = incident.take(report);
        if incident.active.is_empty() && !was_quiet {
            turn.send_after(turn.settings().stabilisation, SETTLED, &AnalyzerMessage::Settled);
        } else if !incident.active.is_empty() && was_quiet {
            turn.cancel(SETTLED);
        }
        let hopeless =
            incident.phase == Phase::Remediating && incident.is_hopeless(&change, &self.history);
        if change.is_worth_recording() {
            let entry = Entry::SymptomsChanged { raised: change.raised, cleared: change.cleared };
            record(&incident.id, entry, turn);
        }
        if hopeless {
            let reason = "it failed again in a way that a restart does not mend".to_owned();
            let withdraw = ResponderMessage::Withdraw { incident: incident.id.clone(), reason };
            turn.send::<Responder>(RESPONDER, &withdraw);
            capture(incident, turn);
        } else {
            self.judge_news(turn);
        }
    }

    /// Diagnoses again, at a bounded rate, if what is wrong has not been diagnosed like this before.
    fn judge_news(&mut self, turn: &mut Turn<'_, Self>) {
        let Some(incident) = &mut self.incident else {
            return;
        };
        let idle = matches!(incident.phase, Phase::Waiting | Phase::Held);
        if !idle || !incident.is_news(&self.history) {
            return;
        }
        let due = incident.captured_at + turn.settings().rediagnose_after;
        if turn.now() >= due {
            capture(incident, turn);
        } else {
            turn.send_at(due, AGAIN, &AnalyzerMessage::LookAgain);
        }
    }

    fn look_again(&mut self, turn: &mut Turn<'_, Self>) {
        match &mut self.incident {
            Some(incident) if incident.phase == Phase::Held && !incident.active.is_empty() => {
                capture(incident, turn);
            }
            Some(_) => self.judge_news(turn),
            None => {}
        }
    }

    fn evidence(&mut self, finished: Finished<CaptureEvidence>, turn: &mut Turn<'_, Self>) {
        let Some(incident) = &self.incident else {
            return;
        };
        if incident.id != finished.effect.incident {
            return;
        }
        let awaited = incident.phase == Phase::Capturing(finished.key);
        let evidence = finished.result.unwrap_or_else(|undone| Evidence {
            at: turn.now(),
            missing: vec![format!("everything: {undone}")],
            ..Evidence::default()
        });
        record(&incident.id, Entry::Evidence(evidence.clone()), turn);
        if awaited {
            turn.cancel(EVIDENCE);
            self.diagnose(Some(&evidence), turn);
        }
    }

    /// Evidence that comes later is still recorded.
    fn evidence_late(&mut self, turn: &mut Turn<'_, Self>) {
        let waits = |incident: &Incident| matches!(incident.phase, Phase::Capturing(_));
        if self.incident.as_ref().is_some_and(waits) {
            self.diagnose(None, turn);
        }
    }

    fn diagnose(&mut self, evidence: Option<&Evidence>, turn: &mut Turn<'_, Self>) {
        let Some(incident) = &mut self.incident else {
            return;
        };
        let settings = turn.settings();
        self.history.prune(turn.now(), settings.history_ttl, settings.history_size);
        let gone = incident.gone();
        let case = incident.case(&gone, &self.history, evidence.and_then(memory_peak));
        let diagnosis = rules::diagnose(&case, settings.confidence_threshold);
        let basis = case.basis();
        self.history.push(incident.episode(turn.now()));
        let is_new = !incident.was_judged(&basis);
        incident.judge(basis.clone());
        turn.count(DIAGNOSES, &[("rule", &diagnosis.rule)]);
        record(&incident.id, Entry::Diagnosed(diagnosis.clone()), turn);
        match &diagnosis.verdict {
            Verdict::Remediate(action) => ask(incident, action, &diagnosis, turn),
            Verdict::FalseAlarm | Verdict::InsufficientEvidence(_) | Verdict::NoSafeAction(_) => {
                incident.phase = Phase::Waiting
            }
        }
        if is_new {
            opinion::consult(incident, &diagnosis, evidence, basis, turn);
        }
        self.judge_news(turn);
    }

    fn conclude(
        &mut self,
        id: &IncidentId,
        conclusion: &Conclusion,
        until: Option<Timestamp>,
        turn: &mut Turn<'_, Self>,
    ) {
        let Some(incident) = &mut self.incident else {
            return;
        };
        // A ladder that was withdrawn may still report.
        if incident.id != *id || incident.phase != Phase::Remediating {
            return;
        }
        match conclusion {
            Conclusion::Resolved => return self.resolved(turn),
            Conclusion::Gone => return self.forget(),
            Conclusion::Suppressed(_) => hold(incident, until, turn),
            Conclusion::Escalated(_) | Conclusion::Proposed(_) => incident.phase = Phase::Waiting,
        }
        if incident.active.is_empty() {
            turn.send_after(turn.settings().stabilisation, SETTLED, &AnalyzerMessage::Settled);
        }
        self.judge_news(turn);
    }

    /// What was reported while the Responder concluded makes the incident open again at once.
    fn resolved(&mut self, turn: &mut Turn<'_, Self>) {
        match &mut self.incident {
            Some(incident) if !incident.active.is_empty() => {
                incident.renew();
                let symptoms = incident.active.clone();
                record(&incident.id, Entry::Reopened { symptoms }, turn);
                capture(incident, turn);
            }
            Some(_) | None => self.close(turn),
        }
    }

    fn settle(&mut self, turn: &mut Turn<'_, Self>) {
        let Some(incident) = &self.incident else {
            return;
        };
        if !incident.active.is_empty() || incident.phase == Phase::Remediating {
            return;
        }
        let quiet = turn.settings().stabilisation.as_secs();
        let reason = format!("no symptom for {quiet} s, without an action");
        record(&incident.id, Entry::Recovered { reason }, turn);
        self.close(turn);
    }

    fn withdraw(&mut self, at: Timestamp, reason: String, turn: &mut Turn<'_, Self>) {
        if let Some(incident) = &self.incident {
            if incident.phase == Phase::Remediating {
                let (incident, reason) = (incident.id.clone(), reason.clone());
                let withdraw = ResponderMessage::Withdraw { incident, reason };
                turn.send::<Responder>(RESPONDER, &withdraw);
            }
            let entry = Entry::Withdrawn { reason };
            let message = AlertMessage::Record { incident: incident.id.clone(), at, entry };
            turn.send::<Alert>(ALERT, &message);
        }
        self.forget();
    }

    fn close(&mut self, turn: &mut Turn<'_, Self>) {
        for timer in [SETTLED, EVIDENCE, AGAIN] {
            turn.cancel(timer);
        }
        self.closed = self.incident.take().map(|incident| (incident.id, turn.now()));
        let memory = turn.settings().reopen_window.max(turn.settings().history_ttl);
        turn.send_after(memory, FORGET, &AnalyzerMessage::Forget);
    }

    fn forget(&mut self) {
        *self = Self::default();
    }
}

fn record(incident: &IncidentId, entry: Entry, turn: &mut Turn<'_, Analyzer>) {
    let message = AlertMessage::Record { incident: incident.clone(), at: turn.now(), entry };
    turn.send::<Alert>(ALERT, &message);
}

fn capture(incident: &mut Incident, turn: &mut Turn<'_, Analyzer>) {
    let effect =
        CaptureEvidence { incident: incident.id.clone(), subject: incident.subject.clone() };
    incident.phase = Phase::Capturing(turn.perform(&effect));
    incident.captured_at = turn.now();
    turn.cancel(AGAIN);
    turn.send_after(turn.settings().evidence_wait, EVIDENCE, &AnalyzerMessage::EvidenceLate);
}

fn ask(
    incident: &mut Incident,
    action: &Action,
    diagnosis: &Diagnosis,
    turn: &mut Turn<'_, Analyzer>,
) {
    let request = Request {
        incident: incident.id.clone(),
        subject: incident.subject.clone(),
        facts: incident.facts.clone(),
        action: action.clone(),
        confidence: diagnosis.confidence,
        rule: diagnosis.rule.clone(),
        reason: diagnosis.reason.clone(),
        symptoms: incident.active.iter().map(|symptom| symptom.kind).collect(),
        signature: incident.signature(),
        requested_at: turn.now(),
        deadline: turn.now() + turn.settings().request_deadline,
    };
    incident.phase = Phase::Remediating;
    turn.send::<Responder>(RESPONDER, &ResponderMessage::Remediate(request));
}

/// A gate held the action: asks again when it opens, or after a doubling wait, a bounded number of
/// times.
fn hold(incident: &mut Incident, until: Option<Timestamp>, turn: &mut Turn<'_, Analyzer>) {
    let settings = turn.settings();
    incident.held = incident.held.saturating_add(1);
    if incident.held > settings.ask_again_limit {
        incident.phase = Phase::Waiting;
        return;
    }
    incident.phase = Phase::Held;
    let doubled = 1_u32.checked_shl(incident.held - 1).unwrap_or(u32::MAX);
    let wait: Duration = settings.ask_again_after.saturating_mul(doubled);
    let due = until.unwrap_or(turn.now() + wait).max(turn.now() + settings.rediagnose_after);
    turn.send_at(due, AGAIN, &AnalyzerMessage::LookAgain);
}

#[cfg(test)]
mod tests;
