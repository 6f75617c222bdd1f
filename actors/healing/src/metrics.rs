//! Names of the figures this crate contributes, and the values their labels can have; the node exports
//! them.

use crate::adviser::advice::Obstacle;
use crate::alert;
use crate::analyzer::rules::RULES;
use crate::model::{Action, ActionOutcome, Severity, SymptomKind};
use crate::monitor::docker::EVENTS;
use crate::responder::{audit::Stage, gates};

/// Counter, label `event`.
pub const DOCKER_EVENTS: &str = "perennial_docker_events_total";
/// Counter: times the event stream may have skipped events, so that a re-list had to fill in.
pub const DOCKER_EVENT_GAPS: &str = "perennial_docker_event_gaps_total";
/// Histogram, seconds from the engine's event (or the deciding sample) to the incident's turn.
pub const DETECTION_DELAY: &str = "perennial_detection_delay_seconds";
/// Counter, labels `severity`, `symptom` (the first one).
pub const INCIDENTS: &str = "perennial_incidents_total";
/// Counter, label `rule`.
pub const DIAGNOSES: &str = "perennial_diagnoses_total";
/// Counter, label `result`: what came of asking a model about an incident, or what kept it from being asked.
pub const ADVICE: &str = "perennial_model_advice_total";
/// Counter, labels `action`, `outcome`.
pub const ACTIONS: &str = "perennial_actions_total";
/// Histogram, label `action`: seconds from intent to the engine's answer.
pub const ACTION_DURATION: &str = "perennial_action_duration_seconds";
/// Counter, label `gate`.
pub const GATE_REFUSALS: &str = "perennial_gate_refusals_total";
/// Counter, label `result`: `resolved`, `not_resolved`, `escalated`.
pub const VERIFICATIONS: &str = "perennial_verifications_total";
/// Counter, labels `channel`, `result`.
pub const NOTIFICATIONS: &str = "perennial_notifications_total";

/// One line of a counter: its name, and each label with its value.
pub type Series = (&'static str, Vec<(&'static str, &'static str)>);

/// Every line that a counter of this crate can have. Exported as 0 before anything was counted, the
/// first event of a kind is seen as an increase.
#[must_use]
pub fn known_series() -> Vec<Series> {
    let results = [Stage::Resolved, Stage::NotResolved, Stage::Escalated].map(Stage::as_str);
    let actions = Action::ALL.each_ref().map(Action::as_str);
    let outcomes = ActionOutcome::ALL.each_ref().map(ActionOutcome::as_str);
    // No detector calls anything less than a warning.
    let severities = [Severity::Warning, Severity::Critical].map(Severity::as_str);
    let symptoms = SymptomKind::ALL.map(SymptomKind::as_str);
    let channels = [alert::SLACK, alert::EMAIL, alert::WEBHOOK];
    let mut all = vec![(DOCKER_EVENT_GAPS, Vec::new())];
    all.extend(each(DOCKER_EVENTS, "event", EVENTS));
    all.extend(each(DIAGNOSES, "rule", RULES.iter().map(|rule| rule.name)));
    let advice = ["given", "refused", "unanswered"].into_iter();
    all.extend(each(ADVICE, "result", advice.chain(Obstacle::ALL.map(Obstacle::as_str))));
    all.extend(each(GATE_REFUSALS, "gate", gates::names()));
    all.extend(each(VERIFICATIONS, "result", results));
    all.extend(pairs(INCIDENTS, ("severity", &severities), ("symptom", &symptoms)));
    all.extend(pairs(ACTIONS, ("action", &actions), ("outcome", &outcomes)));
    all.extend(pairs(NOTIFICATIONS, ("channel", &channels), ("result", &alert::RESULTS)));
    all
}

fn each(
    counter: &'static str,
    label: &'static str,
    values: impl IntoIterator<Item = &'static str>,
) -> impl Iterator<Item = Series> {
    values.into_iter().map(move |value| (counter, vec![(label, value)]))
}

/// A label and the values it can have.
type Values<'a> = (&'static str, &'a [&'static str]);

fn pairs(
    counter: &'static str,
    (first, firsts): Values<'_>,
    (second, seconds): Values<'_>,
) -> impl Iterator<Item = Series> {
    let pair = move |a: &'static str| {
        seconds.iter().map(move |b| (counter, vec![(first, a), (second, *b)]))
    };
    firsts.iter().flat_map(move |a| pair(a))
}
