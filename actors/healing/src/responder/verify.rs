//! Whether an action helped, and what follows: resolved, the next rung, or a person.

use std::time::Duration;

use perennial_runtime::{Finished, Timestamp, Turn};

use crate::alert::Entry;
use crate::analyzer::{Analyzer, AnalyzerMessage};
use crate::metrics;
use crate::model::{Action, ActionOutcome, Conclusion};
use crate::monitor::Standing;
use crate::responder::audit::Stage;
use crate::responder::effect::EngineAction;
use crate::responder::gates::human;
use crate::responder::journal::{Note, record};
use crate::responder::ladder::{self, Look, Step, judge};
use crate::responder::order::ending;
use crate::responder::{Config, Phase, Remediation, Responder, ResponderMessage, timer};

impl Responder {
    /// Keeps which run an action ended. After a crash of the node, a timer that came due meanwhile
    /// can fire before the Monitor has heard of the run that the action began.
    pub(super) fn note_left(&mut self, finished: &Finished<EngineAction>) {
        let effect = &finished.effect;
        let Some(remediation) = self.ongoing.get_mut(&effect.incident) else { return };
        if !matches!(remediation.phase, Phase::Acting(_)) {
            return;
        }
        let done =
            matches!(finished.result, Ok(ActionOutcome::Done(_) | ActionOutcome::Reconciled(_)));
        let begins = matches!(effect.action, Action::Restart | Action::Start);
        remediation.left = (done && begins).then(|| effect.started_at.clone());
    }

    /// Lets the stabilisation window pass, counted from the end of the action.
    pub(super) fn watch(&mut self, mut remediation: Remediation, turn: &mut Turn<'_, Self>) {
        let window = turn.settings().window(&remediation.request.symptoms);
        let left = (remediation.since + window).since(turn.now());
        remediation.undecided = false;
        remediation.awaited = None;
        self.look_after(remediation, left, turn);
    }

    fn look_after(
        &mut self,
        mut remediation: Remediation,
        wait: Duration,
        turn: &mut Turn<'_, Self>,
    ) {
        let incident = remediation.request.incident.clone();
        let until = turn.now() + wait;
        let due = ResponderMessage::VerifyDue(incident.clone());
        turn.send_at(until, &timer(&incident), &due);
        record(&incident, Entry::Verifying { until }, turn);
        remediation.phase = Phase::Watching;
        self.keep(remediation);
    }

    /// The Monitor was asked to verify, and is silent: that is no answer yet. A look that decided nothing
    /// is waited for as long as any other; else the Monitor is asked once more, for after a downtime the
    /// timer can fire before the answer is read that was there all the time.
    pub(super) fn unanswered(&mut self, mut remediation: Remediation, turn: &mut Turn<'_, Self>) {
        let config = turn.settings();
        let waits = remediation.undecided || remediation.awaited.is_some();
        if waits && remediation.is_patient(config, turn.now()) {
            remediation.undecided = true;
            return self.look_after(remediation, config.stabilisation, turn);
        }
        self.ask(remediation, Phase::LookingAgain, turn);
    }

    /// The Monitor was silent twice.
    pub(super) fn unseen(&mut self, remediation: Remediation, turn: &mut Turn<'_, Self>) {
        let why = "the container's state cannot be read: the Monitor gave no answer";
        self.not_resolved(remediation, why, "no answer", turn);
    }

    /// The window is over: judges how the container stands.
    ///
    /// A verification ends: a look that decides nothing is followed by another one for at most
    /// `health_patience`, and by none at all once that has passed since the container was first found well
    /// after such a look, whatever was seen between. What is well then for one more window is resolved.
    pub(super) fn look(
        &mut self,
        mut remediation: Remediation,
        standing: &Standing,
        turn: &mut Turn<'_, Self>,
    ) {
        let (config, now) = (turn.settings(), turn.now());
        let (request, since) = (&remediation.request, remediation.since);
        let stopped = remediation.action == Action::Stop;
        let stale = standing.at + config.standing_timeout < now;
        let behind = stale || ladder::is_behind(remediation.left.as_deref(), standing);
        // The first look may come late, after a downtime longer than the patience, and show what the
        // Monitor knew before it: that alone is no verdict.
        let first = !remediation.undecided && remediation.awaited.is_none();
        if behind {
            remediation.awaited.get_or_insert(now);
        }
        let look = match behind {
            true => Look::Undecided,
            false => judge(&request.symptoms, since, stopped, standing),
        };
        match look {
            Look::Well if remediation.undecided => {
                remediation.undecided = false;
                remediation.awaited.get_or_insert(now);
                self.look_after(remediation, config.stabilisation, turn);
            }
            Look::Well => self.resolved(remediation, turn),
            Look::Undecided if first || remediation.is_patient(config, now) => {
                remediation.undecided = true;
                self.look_after(remediation, config.stabilisation, turn);
            }
            Look::Undecided => {
                let why = remediation.no_verdict(behind, stale, now);
                let looks = format!("{}; no verdict", request.signature);
                self.not_resolved(remediation, &why, &looks, turn);
            }
            Look::Sick(why) => {
                let looks = ladder::looks(&request.signature, &request.symptoms, since, standing);
                self.not_resolved(remediation, &why, &looks, turn);
            }
            Look::Stopped => {
                let why = "operator_intent: an operator stopped it during the verification";
                self.conclude(remediation, Conclusion::Suppressed(why.to_owned()), turn);
            }
            Look::Gone => self.conclude(remediation, Conclusion::Gone, turn),
        }
    }

    fn resolved(&mut self, remediation: Remediation, turn: &mut Turn<'_, Self>) {
        self.past.recovered(remediation.container());
        turn.count(metrics::VERIFICATIONS, &[("result", Stage::Resolved.as_str())]);
        self.conclude(remediation, Conclusion::Resolved, turn);
    }

    fn not_resolved(
        &mut self,
        remediation: Remediation,
        why: &str,
        looks: &str,
        turn: &mut Turn<'_, Self>,
    ) {
        turn.count(metrics::VERIFICATIONS, &[("result", Stage::NotResolved.as_str())]);
        self.failed(remediation, why, looks, turn);
    }

    /// The rung failed or did not help: the next one after its back-off, or a person.
    pub(super) fn failed(
        &mut self,
        mut remediation: Remediation,
        why: &str,
        looks: &str,
        turn: &mut Turn<'_, Self>,
    ) {
        let (config, now) = (turn.settings(), turn.now());
        self.audit(&remediation, Note::of(Stage::NotResolved, why), turn);
        let identical = self.past.failed(remediation.container(), looks, config, now);
        let asked = &remediation.request.action;
        let incident = remediation.request.incident.clone();
        let not_resolved = |next| Entry::NotResolved { reason: why.to_owned(), next };
        match ladder::after_failure(remediation.rung, asked, identical, config) {
            Step::Again { rung, wait } => {
                record(&incident, not_resolved(Some(now + wait)), turn);
                if let Some(action) = ladder::action(rung, asked, config) {
                    remediation.action = action;
                }
                remediation.rung = rung;
                remediation.since = now;
                remediation.undecided = false;
                remediation.phase = Phase::Waiting;
                let due = ResponderMessage::RungDue(incident.clone());
                turn.send_after(wait, &timer(&incident), &due);
                self.keep(remediation);
            }
            Step::Person(ended) => {
                record(&incident, not_resolved(None), turn);
                let why = format!("{ended}; last: {why}");
                self.conclude(remediation, Conclusion::Escalated(why), turn);
            }
        }
    }

    /// Ends the remediation and tells the Analyzer and the journal how.
    pub(super) fn conclude(
        &mut self,
        remediation: Remediation,
        conclusion: Conclusion,
        turn: &mut Turn<'_, Self>,
    ) {
        self.conclude_until(remediation, conclusion, None, turn);
    }

    /// The same, when the gate that held the action knows when it would let it through.
    pub(super) fn conclude_until(
        &mut self,
        remediation: Remediation,
        conclusion: Conclusion,
        until: Option<Timestamp>,
        turn: &mut Turn<'_, Self>,
    ) {
        match &conclusion {
            Conclusion::Resolved => {
                let why = match remediation.is_errand() {
                    true => "carried out as asked",
                    false => "nothing has shown since, and health passes",
                };
                self.audit(&remediation, Note::of(Stage::Resolved, why), turn);
            }
            Conclusion::Escalated(why) => {
                turn.count(metrics::VERIFICATIONS, &[("result", Stage::Escalated.as_str())]);
                self.audit(&remediation, Note::of(Stage::Escalated, why), turn);
            }
            Conclusion::Gone => {
                let why = "the container is gone";
                self.audit(&remediation, Note::of(Stage::Withdrawn, why), turn);
            }
            // Audited with the gates that held them.
            Conclusion::Suppressed(_) | Conclusion::Proposed(_) => {}
        }
        let incident = remediation.request.incident.clone();
        if remediation.is_order() {
            record(&incident, ending(conclusion), turn);
        } else {
            record(&incident, Entry::Concluded(conclusion.clone()), turn);
            let concluded = AnalyzerMessage::Concluded { incident, conclusion, until };
            turn.send::<Analyzer>(remediation.container().0.clone(), &concluded);
        }
        self.forget(&remediation, turn);
    }
}

impl Remediation {
    /// Whether a look that decides nothing is followed by another one.
    fn is_patient(&self, config: &Config, now: Timestamp) -> bool {
        now < self.awaited_from() + config.health_patience
    }

    /// The node may have been down for longer than the patience, so it may count from a look.
    fn awaited_from(&self) -> Timestamp {
        self.awaited.map_or(self.since, |from| from.max(self.since))
    }

    /// Why a verification ends without a verdict on the action.
    fn no_verdict(&self, behind: bool, stale: bool, now: Timestamp) -> String {
        let waited = human(now.since(self.awaited_from()));
        match (behind, self.awaited) {
            (true, _) if stale => {
                format!("it could not be decided for {waited}: the engine cannot be asked")
            }
            (true, _) => format!("the Monitor showed the run before the action for {waited}"),
            (false, None) => format!("its health check gave no verdict for {waited}"),
            (false, Some(_)) => format!(
                "it could not be decided for {waited}: its health check gives no verdict, or none that lasts"
            ),
        }
    }
}
