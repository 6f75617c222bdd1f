//! Whether the numbers and durations of a plan are within reason.

use std::time::Duration;

use serde_json::Value;

use super::place::{Findings, Place};
use crate::graph::Graph;
use crate::plan::{OnFailure, Plan, Repeat, Retry, Step, Work};

/// Attempts at one step.
pub(crate) const MAX_ATTEMPTS: u32 = 100;
/// Elements of an `each` and iterations of a `while`.
pub(crate) const MAX_REPEATS: u32 = 10_000;
/// Sums of such durations cannot overflow.
pub(crate) const MAX_DURATION: Duration = Duration::from_secs(365 * 24 * 3600);

/// Refuses numbers and durations that make no sense.
pub(super) fn check(plan: &Plan, findings: &mut Findings) {
    let place = Place::default();
    timeout(&place.field("timeout"), plan.timeout, findings);
    parallel(&place, plan.max_parallel, findings);
    for (at, step) in plan.steps.iter().enumerate() {
        let place = Place::of_step(at, step);
        timeout(&place.field("timeout"), step.timeout, findings);
        if let Work::Approval { wait, .. } = &step.work {
            timeout(&place.field("approval.wait"), Some(*wait), findings);
        }
        retry(&place.field("retry"), &step.retry, findings);
        repeat(&place, &step.repeat, findings);
        repeatable(&place, step, findings);
    }
}

/// A gate ends the query and an approval asks a person; neither is done several times.
fn repeatable(place: &Place, step: &Step, findings: &mut Findings) {
    let field = match &step.repeat {
        Repeat::Once => return,
        Repeat::Each { .. } => "each",
        Repeat::While { .. } => "while",
    };
    match &step.work {
        Work::Call(_) | Work::Value(_) => {}
        Work::Gate { .. } | Work::Approval { .. } => {
            let message = "a gate or an approval cannot be repeated";
            findings.error(&place.field(field), "not_repeatable", message);
        }
    }
}

/// Warns of steps that may go on to be done without a result that they refer to.
pub(super) fn warn_of_continued(plan: &Plan, graph: &Graph, findings: &mut Findings) {
    for (at, step) in plan.steps.iter().enumerate() {
        if step.on_failure != OnFailure::Continue {
            continue;
        }
        let users = (0..plan.steps.len()).filter(|user| graph.results[*user].contains(&at));
        let users: Vec<&str> = users.map(|user| plan.steps[user].id.as_str()).collect();
        if !users.is_empty() {
            let message = format!(
                "if this step fails it has no result, and {} cannot do without",
                users.join(", ")
            );
            let place = Place::of_step(at, step).field("on_failure");
            findings.warning(&place, "result_after_continue", message);
        }
    }
}

fn timeout(place: &Place, timeout: Option<Duration>, findings: &mut Findings) {
    let Some(timeout) = timeout else { return };
    if timeout.is_zero() {
        findings.error(place, "invalid_timeout", "must be longer than nothing");
    } else if timeout > MAX_DURATION {
        findings.error(place, "invalid_timeout", "must be a year at most");
    }
}

fn parallel(place: &Place, max_parallel: Option<u32>, findings: &mut Findings) {
    if max_parallel == Some(0) {
        findings.error(&place.field("max_parallel"), "invalid_bound", "must be at least 1");
    }
}

fn retry(place: &Place, retry: &Retry, findings: &mut Findings) {
    let code = "invalid_retry";
    if !(1..=MAX_ATTEMPTS).contains(&retry.attempts) {
        let message = format!("must be 1 to {MAX_ATTEMPTS}, not {}", retry.attempts);
        findings.error(&place.field("attempts"), code, message);
    }
    if retry.base > retry.cap {
        let message = format!(
            "the first wait, {:?}, is longer than the longest, {:?}",
            retry.base, retry.cap
        );
        findings.error(&place.field("base"), code, message);
    }
    if retry.cap > MAX_DURATION {
        findings.error(&place.field("cap"), code, "must be a year at most");
    }
    if !(0.0..=1.0).contains(&retry.jitter) {
        let message = format!("must be 0 to 1, not {}", retry.jitter);
        findings.error(&place.field("jitter"), code, message);
    }
}

fn repeat(place: &Place, repeat: &Repeat, findings: &mut Findings) {
    match repeat {
        Repeat::Once => {}
        Repeat::Each { items, max_parallel, max_items } => {
            parallel(place, Some(*max_parallel), findings);
            repeats(&place.field("max_items"), *max_items, findings);
            elements(&place.field("each"), &items.0, *max_items, findings);
        }
        Repeat::While { max_iterations, .. } => {
            repeats(&place.field("max_iterations"), *max_iterations, findings);
        }
    }
}

fn elements(place: &Place, items: &Value, max_items: u32, findings: &mut Findings) {
    match items {
        Value::Array(items) if items.len() > max_items as usize => {
            let message = format!("has {} elements, more than max_items, {max_items}", items.len());
            findings.error(place, "too_many_items", message);
        }
        Value::Array(_) => {}
        Value::String(text) if text.contains("{{") => {}
        Value::String(text) => {
            findings.error(place, "invalid_each", "must be a list or a template of one");
            findings.suggest(Some(format!("{{{{ {text} }}}}")));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            findings.error(place, "invalid_each", "must be a list or a template of one");
        }
    }
}

fn repeats(place: &Place, bound: u32, findings: &mut Findings) {
    if !(1..=MAX_REPEATS).contains(&bound) {
        let message = format!("must be 1 to {MAX_REPEATS}, not {bound}");
        findings.error(place, "invalid_bound", message);
    }
}
