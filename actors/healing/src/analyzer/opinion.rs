//! Where a model's opinion is asked for, and what may follow from it.

use perennial_runtime::Turn;

use super::{Analyzer, ask, record};
use crate::adviser::advice::{Advice, Obstacle, Opinion};
use crate::adviser::config::{Permitted, When};
use crate::adviser::{ADVISER, Adviser, AdviserMessage, Question};
use crate::alert::Entry;
use crate::analyzer::docker::MODEL_LABEL;
use crate::analyzer::incident::{Incident, Phase};
use crate::analyzer::rules;
use crate::metrics::ADVICE;
use crate::model::{Action, Diagnosis, Evidence, IncidentId, Verdict};

/// The one value of the label with which a container may be shown: what was mistyped is kept from models.
const ALLOWED: &str = "true";

/// Has a model asked about what the rules have just diagnosed, if that is wanted. Nothing waits for it.
pub(super) fn consult(
    incident: &Incident,
    diagnosis: &Diagnosis,
    evidence: Option<&Evidence>,
    basis: String,
    turn: &mut Turn<'_, Analyzer>,
) {
    let wanted = match turn.settings().model.when {
        When::Never => false,
        When::Unknown => is_open(&diagnosis.verdict),
        When::Always => true,
    };
    if !wanted {
        return;
    }
    let Some(evidence) = evidence.filter(|evidence| !evidence.inspect.is_empty()) else {
        let why = "no evidence came in time".to_owned();
        let advice = Advice::NotAsked { by: Obstacle::NoEvidence, why };
        return note(&incident.id, advice, None, String::new(), turn);
    };
    if let Some(label) = evidence.inspect.get(MODEL_LABEL).filter(|label| *label != ALLOWED) {
        let why = format!("its label {MODEL_LABEL} says {label}");
        let advice = Advice::NotAsked { by: Obstacle::Forbidden, why };
        return note(&incident.id, advice, None, String::new(), turn);
    }
    let question = Question::new(incident, diagnosis, evidence, basis);
    turn.send::<Adviser>(ADVISER, &AdviserMessage::Consult(question));
}

/// Whether no rule was sure.
fn is_open(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::InsufficientEvidence(_) => true,
        Verdict::Remediate(_) | Verdict::FalseAlarm | Verdict::NoSafeAction(_) => false,
    }
}

/// Writes down what came of it.
fn note(
    incident: &IncidentId,
    advice: Advice,
    requested: Option<Action>,
    note: String,
    turn: &mut Turn<'_, Analyzer>,
) {
    turn.count(ADVICE, &[("result", advice.as_str())]);
    record(incident, Entry::Advised { advice, requested, note }, turn);
}

impl Analyzer {
    /// A model has answered, or has not. It changes nothing but where the configuration lets it pick an action, no
    /// rule is sure, and what is wrong is still what it was asked about.
    pub(super) fn advised(
        &mut self,
        id: &IncidentId,
        basis: &str,
        advice: Advice,
        turn: &mut Turn<'_, Self>,
    ) {
        let picked = match &advice {
            Advice::Given(opinion) => self.pick(id, basis, opinion, turn),
            Advice::Refused(_) | Advice::Unanswered(_) | Advice::NotAsked { .. } => {
                Err(String::new())
            }
        };
        let (diagnosis, why) = match picked {
            Ok(diagnosis) => (Some(diagnosis), "no rule is sure, and it is permitted".to_owned()),
            Err(why) => (None, why),
        };
        let requested = diagnosis.as_ref().map(|_| Action::Restart);
        note(id, advice, requested.clone(), why, turn);
        if let (Some(incident), Some(diagnosis), Some(action)) =
            (&mut self.incident, diagnosis, requested)
        {
            ask(incident, &action, &diagnosis, turn);
        }
    }

    /// What to ask the Responder for, as a diagnosis by the model.
    ///
    /// # Errors
    /// Why nothing is asked for.
    fn pick(
        &self,
        id: &IncidentId,
        basis: &str,
        opinion: &Opinion,
        turn: &Turn<'_, Self>,
    ) -> Result<Diagnosis, String> {
        let settings = turn.settings();
        let Some(action) = &opinion.action else { return Err("it proposes nothing".to_owned()) };
        let permitted = |permitted: &Permitted| match permitted {
            Permitted::Restart => *action == Action::Restart,
        };
        if !settings.model.actions.iter().any(permitted) {
            return Err(format!("{} is not in analyzer.model.actions", action.as_str()));
        }
        let incident = self.incident.as_ref().filter(|incident| incident.id == *id);
        let Some(incident) = incident.filter(|incident| !incident.active.is_empty()) else {
            return Err("what it is about was over by then".to_owned());
        };
        let case = incident.case(&[], &self.history, None);
        if incident.phase != Phase::Waiting || case.basis() != basis {
            return Err("what it is about had changed by then".to_owned());
        }
        let own = rules::diagnose(&case, settings.confidence_threshold);
        if !is_open(&own.verdict) {
            return Err(format!("the rule {} decides", own.rule));
        }
        let (sure, least) = (opinion.confidence, settings.confidence_threshold);
        if sure < least {
            return Err(format!("it is sure to {sure:.2} where {least:.2} is asked for"));
        }
        Ok(Diagnosis {
            rule: format!("model:{}", opinion.model),
            cause: opinion.text.clone(),
            reason: format!("no rule is sure, and the model `{}` proposes it", opinion.model),
            confidence: opinion.confidence,
            verdict: Verdict::Remediate(action.clone()),
        })
    }
}
