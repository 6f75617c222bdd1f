//! One rung: from the Monitor's answer through the gates to the engine's answer.

use std::collections::BTreeSet;
use std::time::Duration;

use perennial_runtime::{Finished, Timestamp, Turn, Undone};

use crate::alert::Entry;
use crate::metrics;
use crate::model::{Action, ActionOutcome, Conclusion, Status, seconds};
use crate::monitor::{Monitor, MonitorMessage, Standing};
use crate::responder::audit::{Stage, outcome_text};
use crate::responder::effect::EngineAction;
use crate::responder::gates::{Case, Decision, Project, Ruling, rule};
use crate::responder::journal::{Note, record};
use crate::responder::ladder::{Look, judge};
use crate::responder::{Phase, Remediation, Responder};

/// How long the engine may be out of reach after a later rung was decided. The first rung has the
/// request's deadline.
const RUNG_DEADLINE: Duration = Duration::from_secs(60);
/// How long after its time to stop a restart's new run may show: until then its end is no operator's.
const RESTART_SHOWS: Duration = Duration::from_secs(60);

impl Responder {
    /// Decides about the rung, given how the container stands; `None` if that cannot be read.
    pub(super) fn begin_rung(
        &mut self,
        remediation: Remediation,
        standing: Option<&Standing>,
        turn: &mut Turn<'_, Self>,
    ) {
        if remediation.rung > 1
            && let Some(standing) = standing
            && looks_well(&remediation, standing)
        {
            self.watch(remediation, turn);
            return;
        }
        let ruling = self.rule(&remediation, standing, turn);
        let gates =
            Entry::Gates { action: remediation.action.clone(), gates: ruling.records.clone() };
        record(&remediation.request.incident, gates, turn);
        match (ruling.decision, standing) {
            (Decision::Act, Some(standing)) => self.act(remediation, &ruling, standing, turn),
            (Decision::Simulate, _) => self.simulate(remediation, &ruling, turn),
            (Decision::Propose, _) => self.propose(remediation, &ruling, turn),
            (Decision::Hold, _) | (Decision::Act, None) => {
                self.hold(remediation, &ruling, standing, turn);
            }
        }
    }

    fn rule(
        &self,
        remediation: &Remediation,
        standing: Option<&Standing>,
        turn: &Turn<'_, Self>,
    ) -> Ruling {
        let (request, now) = (&remediation.request, turn.now());
        let case = Case {
            request,
            action: &remediation.action,
            rung: remediation.rung,
            standing,
            record: self.past.of(remediation.container()),
            node_attempts: &self.past.attempts(now),
            rival: self.rival(remediation),
            project: self.project(remediation, now, turn.settings().blast_recent),
            now,
        };
        rule(&case, turn.settings())
    }

    /// Another incident whose remediation has begun to act on the same container.
    fn rival(&self, remediation: &Remediation) -> Option<&crate::model::IncidentId> {
        let mut others = self.ongoing.iter();
        let acts = others.find(|(_, other)| {
            other.container() == remediation.container() && other.phase.disturbs()
        });
        acts.map(|(incident, _)| incident)
    }

    fn project<'a>(
        &self,
        remediation: &'a Remediation,
        now: Timestamp,
        recent: Duration,
    ) -> Option<Project<'a>> {
        let name = remediation.request.subject.project.as_deref()?;
        let under_way = self.ongoing.values().filter(|other| {
            other.phase.disturbs() && other.request.subject.project.as_deref() == Some(name)
        });
        let mut busy: BTreeSet<_> = under_way.map(Remediation::container).collect();
        busy.extend(self.past.recent(name, now, recent));
        busy.remove(remediation.container());
        let busy = u32::try_from(busy.len()).unwrap_or(u32::MAX);
        Some(Project { name, size: self.projects.get(name).copied(), busy })
    }

    /// Commits to the action. The engine is asked after this turn's commit, never before.
    fn act(
        &mut self,
        mut remediation: Remediation,
        ruling: &Ruling,
        standing: &Standing,
        turn: &mut Turn<'_, Self>,
    ) {
        let (request, now) = (&remediation.request, turn.now());
        let note = Note::of(Stage::Intended, &request.reason).gates(&ruling.records);
        let audit = self.audit(&remediation, note, turn);
        let (action, rung) = (remediation.action.clone(), remediation.rung);
        record(&request.incident, Entry::ActionIntended { action, rung, audit }, turn);
        let project = request.subject.project.as_deref();
        self.past.attempted(&request.subject.id, project, &request.incident, now);
        let effect = self.effect(&remediation, standing, turn);
        if matches!(effect.action, Action::Restart) {
            let patience = Duration::from_secs(effect.stop_timeout.into()) + RESTART_SHOWS;
            tell_acting(&remediation, now + patience, turn);
        }
        turn.perform(&effect);
        remediation.phase = Phase::Acting(now);
        self.keep(remediation);
    }

    fn effect(
        &self,
        remediation: &Remediation,
        standing: &Standing,
        turn: &Turn<'_, Self>,
    ) -> EngineAction {
        let request = &remediation.request;
        let cleanup = remediation.action == Action::Cleanup;
        let others = self.ongoing.values().map(|other| other.container().clone());
        EngineAction {
            incident: request.incident.clone(),
            subject: request.subject.clone(),
            started_at: standing.facts.started_at.clone(),
            action: remediation.action.clone(),
            stop_timeout: standing.facts.stop_timeout.unwrap_or(turn.settings().stop_timeout),
            deadline: match remediation.rung {
                1 => request.deadline,
                _ => turn.now() + RUNG_DEADLINE,
            },
            keep: if cleanup { others.collect() } else { Vec::new() },
        }
    }

    /// A dry run costs neither cooldown nor budget, and is not a success.
    fn simulate(&mut self, remediation: Remediation, ruling: &Ruling, turn: &mut Turn<'_, Self>) {
        let (action, outcome) = (remediation.action.clone(), ActionOutcome::Simulated);
        let why = format!("dry run: every gate passed, would {}", action.as_str());
        let note = Note::of(Stage::Simulated, &why).gates(&ruling.records).outcome(&outcome);
        self.audit(&remediation, note, turn);
        count_action(&action, &outcome, turn);
        let finished = Entry::ActionFinished { action, outcome };
        record(&remediation.request.incident, finished, turn);
        self.conclude(remediation, Conclusion::Proposed(why), turn);
    }

    fn propose(&mut self, remediation: Remediation, ruling: &Ruling, turn: &mut Turn<'_, Self>) {
        let what = remediation.action.as_str();
        let why = format!("would {what}: {}", remediation.request.reason);
        self.audit(&remediation, Note::of(Stage::Proposed, &why).gates(&ruling.records), turn);
        self.conclude(remediation, Conclusion::Proposed(why), turn);
    }

    /// A gate that holds the first action leaves things as they are. After an action that did not
    /// help, a person is needed.
    fn hold(
        &mut self,
        remediation: Remediation,
        ruling: &Ruling,
        standing: Option<&Standing>,
        turn: &mut Turn<'_, Self>,
    ) {
        let Some(held) = ruling.records.last() else { return };
        let why = format!("{}: {}", held.gate, held.reason);
        self.audit(&remediation, Note::of(Stage::Refused, &why).gates(&ruling.records), turn);
        turn.count(metrics::GATE_REFUSALS, &[("gate", &held.gate)]);
        let facts = standing.map(|standing| &standing.facts);
        let gone =
            facts.is_some_and(|facts| matches!(facts.status, Status::Gone | Status::Removing));
        let stopped = facts.is_some_and(|facts| facts.stopped_by_operator);
        let conclusion = match remediation.rung {
            _ if gone => Conclusion::Gone,
            1 => Conclusion::Suppressed(why),
            _ if stopped => Conclusion::Suppressed(why),
            _ => Conclusion::Escalated(format!("no further action is allowed: {why}")),
        };
        self.conclude_until(remediation, conclusion, held.until, turn);
    }

    /// The engine answered, or the effect ended without an answer.
    pub(super) fn finished(&mut self, finished: Finished<EngineAction>, turn: &mut Turn<'_, Self>) {
        let Some(remediation) = self.ongoing.remove(&finished.effect.incident) else { return };
        let Phase::Acting(began) = remediation.phase else { return self.keep(remediation) };
        let expired = matches!(finished.result, Err(Undone::Expired(_)));
        let (ran, outcome) = outcome_of(finished.result);
        self.count_repeats(&remediation, finished.attempts, turn);
        if ran {
            self.past.ran(remediation.container(), turn.now());
        } else {
            tell_acting(&remediation, turn.now(), turn);
        }
        let note = Note::of(Stage::Finished, outcome_text(&outcome)).outcome(&outcome);
        self.audit(&remediation, note, turn);
        let action = remediation.action.clone();
        count_action(&action, &outcome, turn);
        let took = seconds(turn.now().since(began));
        turn.measure(metrics::ACTION_DURATION, &[("action", action.as_str())], took);
        let entry = Entry::ActionFinished { action, outcome: outcome.clone() };
        record(&remediation.request.incident, entry, turn);
        match &remediation.withdrawn {
            Some(why) => self.end_withdrawn(&remediation, &why.clone(), turn),
            None => self.after(remediation, outcome, expired, turn),
        }
    }

    /// Attempts that the runtime made beyond the first count against the budgets like any other.
    fn count_repeats(&mut self, remediation: &Remediation, attempts: u32, turn: &Turn<'_, Self>) {
        let subject = &remediation.request.subject;
        for _ in 1..attempts {
            let incident = &remediation.request.incident;
            self.past.attempted(&subject.id, subject.project.as_deref(), incident, turn.now());
        }
    }

    fn after(
        &mut self,
        mut remediation: Remediation,
        outcome: ActionOutcome,
        expired: bool,
        turn: &mut Turn<'_, Self>,
    ) {
        let name = remediation.action.as_str();
        match outcome {
            ActionOutcome::Failed(why) if expired => {
                let why = format!("the {name} was not done before its deadline: {why}");
                self.conclude(remediation, Conclusion::Escalated(why), turn);
            }
            ActionOutcome::Failed(why) => {
                let looks = format!("{}; {name} failed", remediation.request.signature);
                self.failed(remediation, &format!("the {name} failed: {why}"), &looks, turn);
            }
            ActionOutcome::NotApplicable(why) => {
                let why = format!("{name} does not apply: {why}");
                self.conclude(remediation, Conclusion::Escalated(why), turn);
            }
            ActionOutcome::Done(_) | ActionOutcome::Reconciled(_)
                if remediation.is_last_resort() =>
            {
                let why = format!("stopped: {} restarts did not help", remediation.rung - 1);
                self.conclude(remediation, Conclusion::Escalated(why), turn);
            }
            ActionOutcome::Done(_) | ActionOutcome::Reconciled(_) if remediation.is_errand() => {
                self.conclude(remediation, Conclusion::Resolved, turn);
            }
            ActionOutcome::Done(_)
            | ActionOutcome::Reconciled(_)
            | ActionOutcome::Unknown(_)
            | ActionOutcome::Simulated => {
                remediation.since = turn.now();
                self.watch(remediation, turn);
            }
        }
    }
}

impl Remediation {
    /// A stop that nobody asked for but the ladder's end.
    fn is_last_resort(&self) -> bool {
        self.action == Action::Stop && self.request.action != Action::Stop
    }
}

/// Before a further rung: a container that got well during the back-off is watched, not restarted.
fn looks_well(remediation: &Remediation, standing: &Standing) -> bool {
    let symptoms = &remediation.request.symptoms;
    match judge(symptoms, remediation.since, false, standing) {
        Look::Well | Look::Undecided => true,
        Look::Sick(_) | Look::Stopped | Look::Gone => false,
    }
}

/// Whether the action ran, or may have, and how it ended. A performer says that nothing was done by
/// an error; an outcome that says failed is a command that ran and returned an exit code.
fn outcome_of(result: Result<ActionOutcome, Undone>) -> (bool, ActionOutcome) {
    match result {
        Ok(outcome) => {
            let ran = match outcome {
                ActionOutcome::Done(_)
                | ActionOutcome::Reconciled(_)
                | ActionOutcome::Failed(_)
                | ActionOutcome::Unknown(_) => true,
                ActionOutcome::NotApplicable(_) | ActionOutcome::Simulated => false,
            };
            (ran, outcome)
        }
        Err(Undone::Failed(why) | Undone::Expired(why)) => (false, ActionOutcome::Failed(why)),
        Err(Undone::Unknown(why)) => (true, ActionOutcome::Unknown(why)),
    }
}

/// Tells the Monitor until when an end of the container is this restart's.
fn tell_acting(remediation: &Remediation, until: Timestamp, turn: &mut Turn<'_, Responder>) {
    let id = remediation.container().0.clone();
    turn.send::<Monitor>(id, &MonitorMessage::Acting { until });
}

fn count_action(action: &Action, outcome: &ActionOutcome, turn: &mut Turn<'_, Responder>) {
    let labels = [("action", action.as_str()), ("outcome", outcome.as_str())];
    turn.count(metrics::ACTIONS, &labels);
}
