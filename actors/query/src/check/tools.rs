//! Whether the tools that are called are there and take what they are given.

use super::place::{Findings, Place};
use crate::plan::{OnFailure, Plan, Step, ToolCall, Work};
use crate::tool::{Catalogue, ToolSpec};

/// Refuses calls that no tool takes, and warns of timeouts that have no effect.
pub(super) fn check(plan: &Plan, catalogue: &Catalogue, findings: &mut Findings) {
    for (at, step) in plan.steps.iter().enumerate() {
        let place = Place::of_step(at, step);
        if let Work::Call(made) = &step.work
            && let Some(spec) = call(&place, made, catalogue, findings)
        {
            timeout(&place, step, spec, findings);
        }
        if let OnFailure::Fallback(calls) = &step.on_failure {
            let place = place.field("on_failure.fallback");
            fallback(&place, step, calls, findings);
            for (number, made) in calls.iter().enumerate() {
                call(&place.item(number), made, catalogue, findings);
            }
        }
    }
}

fn fallback(place: &Place, step: &Step, calls: &[ToolCall], findings: &mut Findings) {
    if calls.is_empty() {
        findings.error(place, "empty_fallback", "names no call to try instead");
    }
    match &step.work {
        Work::Call(_) => {}
        Work::Value(_) | Work::Gate { .. } | Work::Approval { .. } => {
            let message = "a call can only stand in for another, and this step makes none";
            findings.error(place, "fallback_without_call", message);
        }
    }
}

/// Refuses a call that its tool does not take. The tool, if it is there.
pub(crate) fn call<'c>(
    place: &Place,
    call: &ToolCall,
    catalogue: &'c Catalogue,
    findings: &mut Findings,
) -> Option<&'c ToolSpec> {
    let Some(spec) = catalogue.get(&call.tool) else {
        let message = format!("there is no tool `{}`", call.tool);
        findings.error(&place.field("tool"), "unknown_tool", message);
        findings.suggest_closest(&call.tool, catalogue.0.keys().map(String::as_str));
        return None;
    };
    for (name, why) in spec.problems(&call.arguments.0, true) {
        problem(&place.field("arguments"), spec, call, (&name, why), findings);
    }
    Some(spec)
}

fn problem(
    place: &Place,
    spec: &ToolSpec,
    call: &ToolCall,
    (name, why): (&str, String),
    findings: &mut Findings,
) {
    let Some(given) = call.arguments.0.as_object() else {
        return findings.error(place, "invalid_parameter", why);
    };
    let place = place.field(name);
    let known = spec.parameters.iter().map(|parameter| parameter.name.as_str());
    if known.clone().all(|known| known != name) {
        findings.error(&place, "unknown_parameter", why);
        findings.suggest_closest(name, known);
    } else if given.contains_key(name) {
        findings.error(&place, "invalid_parameter", why);
    } else {
        let message = format!("`{}` needs `{name}`", spec.name);
        findings.error(&place, "missing_parameter", message);
    }
}

fn timeout(place: &Place, step: &Step, spec: &ToolSpec, findings: &mut Findings) {
    if let Some(timeout) = step.timeout.filter(|timeout| *timeout > spec.timeout) {
        let message = format!(
            "{timeout:?} has no effect, for `{}` is given {:?} at most",
            spec.name, spec.timeout
        );
        findings.warning(&place.field("timeout"), "timeout_without_effect", message);
    }
}
