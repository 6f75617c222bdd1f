//! Whether steps, inputs and outputs have names that can be referred to, and steps name steps that are there.

use std::collections::{BTreeMap, BTreeSet};

use super::place::{Findings, MAX_NAME, Place};
use crate::plan::{OnFailure, Plan, Step, StepId};

/// What can be done about a failure; as the name of a step it would be taken for that.
pub(crate) const POLICIES: [&str; 5] = ["fail", "continue", "skip", "retry", "fallback"];

/// Refuses names that cannot be used, are used twice, or of steps that are not there.
pub(super) fn check(plan: &Plan, findings: &mut Findings) {
    if plan.steps.is_empty() {
        findings.error(&Place::of_plan("steps"), "no_steps", "a plan has at least one step");
    }
    let mut places = BTreeMap::new();
    for (at, step) in plan.steps.iter().enumerate() {
        let place = Place::of_step(at, step).field("id");
        id(&place, step, findings);
        if places.insert(step.id.as_str(), at).is_some() {
            let message = format!("there are two steps `{}`", step.id);
            findings.error(&place, "duplicate_id", message);
        }
    }
    for (at, step) in plan.steps.iter().enumerate() {
        links(at, step, &places, findings);
    }
    inputs(plan, findings);
    let mut outputs = BTreeSet::new();
    for (name, _) in plan.outputs.iter().filter(|(name, _)| !outputs.insert(name)) {
        let message = format!("there are two outputs `{name}`");
        findings.error(&Place::of_plan("outputs").field(name), "duplicate_output", message);
    }
}

/// Refuses the name of a step that is not there.
pub(super) fn unknown_step<'n>(
    place: &Place,
    name: &str,
    known: impl IntoIterator<Item = &'n str>,
    findings: &mut Findings,
) {
    findings.error(place, "unknown_step", format!("there is no step `{name}`"));
    findings.suggest_closest(name, known);
}

fn id(place: &Place, step: &Step, findings: &mut Findings) {
    let id = step.id.as_str();
    if !is_name(id) {
        invalid(place, "invalid_id", id, findings);
    } else if POLICIES.contains(&id) {
        let message =
            format!("`{id}` says what is done about a failure, so no step can be named so");
        findings.error(place, "reserved_id", message);
        findings.suggest(Some(format!("{id}_step")));
    }
}

fn inputs(plan: &Plan, findings: &mut Findings) {
    let mut names = BTreeSet::new();
    for input in &plan.inputs {
        let place = Place::of_plan("inputs").field(&input.name);
        if !is_name(&input.name) {
            invalid(&place, "invalid_input", &input.name, findings);
        }
        if !names.insert(&input.name) {
            let message = format!("there are two inputs `{}`", input.name);
            findings.error(&place, "duplicate_input", message);
        }
        for default in input.default.iter().filter(|value| !input.value_type.admits(&value.0)) {
            let wanted = input.value_type.as_str();
            let message = format!("must be of type {wanted}, not {default:?}");
            findings.error(&place.field("default"), "invalid_default", message);
        }
    }
}

fn links(at: usize, step: &Step, places: &BTreeMap<&str, usize>, findings: &mut Findings) {
    let place = Place::of_step(at, step);
    for (number, need) in step.needs.iter().enumerate() {
        if !places.contains_key(need.as_str()) {
            let place = place.field("needs").item(number);
            unknown_step(&place, need.as_str(), places.keys().copied(), findings);
        }
    }
    for (field, target) in routes(step) {
        let place = place.field(field);
        match places.get(target.as_str()) {
            Some(found) if *found > at => {}
            Some(_) => {
                let message = format!("step `{target}` does not stand behind this one");
                findings.error(&place, "backward_route", message);
            }
            None => unknown_step(&place, target.as_str(), places.keys().copied(), findings),
        }
    }
}

/// Where a step may go on, and the fields that say so.
fn routes(step: &Step) -> impl Iterator<Item = (&'static str, &StepId)> {
    let failed = match &step.on_failure {
        OnFailure::Route(target) => Some(target),
        OnFailure::Fail | OnFailure::Continue | OnFailure::Skip | OnFailure::Fallback(_) => None,
    };
    let routes = [
        ("on_success", step.on_success.as_ref()),
        ("on_false", step.on_false.as_ref()),
        ("on_failure.route", failed),
    ];
    routes.into_iter().filter_map(|(field, target)| Some((field, target?)))
}

/// Whether `name` can name a step or an input.
pub(crate) fn is_name(name: &str) -> bool {
    StepId::is_valid(name) && name.len() <= MAX_NAME
}

/// Refuses what cannot be a name.
pub(crate) fn invalid(place: &Place, code: &'static str, name: &str, findings: &mut Findings) {
    findings.error(place, code, name_rule(name));
    findings.suggest(valid_name(name));
}

fn name_rule(name: &str) -> String {
    let shown: String = name.chars().take(MAX_NAME).collect();
    format!(
        "`{shown}` is no name: it must be a letter, then letters, digits and underscores, {MAX_NAME} at most"
    )
}

/// `name` with an underscore for everything that is not allowed, if that makes it a name.
fn valid_name(name: &str) -> Option<String> {
    let allowed = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '_' };
    let valid: String = name.trim().chars().map(allowed).collect();
    is_name(&valid).then_some(valid)
}
