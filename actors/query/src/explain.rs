//! What a plan will do, for whoever is about to let it: in which order, with which tools and permissions, and
//! how long it takes at the longest. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::pipeline::Compiled;
use crate::plan::{OnFailure, Plan, Repeat, Step, StepId, ToolCall, Work};
use crate::tool::{Catalogue, ToolSpec};

mod duration;
mod text;

/// What a plan will do. As text by [`std::fmt::Display`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The plan's name.
    pub name: String,
    /// The plan's description.
    pub description: String,
    /// Steps that could be done at the same time, from first to last. A step begins as soon as what it waits
    /// for has ended, not when its level begins.
    pub levels: Vec<Vec<StepId>>,
    /// In the order of the document.
    pub steps: Vec<StepExplanation>,
    /// What the caller's role must be allowed in all, if every step is done.
    pub permissions: Vec<String>,
    /// The longest that all of it takes, if nothing else takes up the node and no tool is asked by the world to
    /// wait; as seconds.
    #[serde(rename = "longest_seconds", serialize_with = "seconds")]
    pub longest: Duration,
    /// When it is broken off, if the plan says so; as seconds.
    #[serde(rename = "timeout_seconds", serialize_with = "maybe_seconds")]
    pub timeout: Option<Duration>,
    /// Tools at a time, if the plan says so.
    pub max_parallel: Option<u32>,
}

/// What a step will do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepExplanation {
    /// Its name.
    pub id: StepId,
    /// What it does, in words.
    pub does: String,
    /// What must have ended before.
    pub waits_for: Vec<StepId>,
    /// Of those, the ones whose results it cannot do without.
    pub results_of: Vec<StepId>,
    /// When it is done at all.
    pub condition: Option<String>,
    /// The call it makes, and those that are tried if it fails.
    pub calls: Vec<CallExplanation>,
    /// How often it is done at most.
    pub times: u32,
    /// How often at a time at most.
    pub max_parallel: u32,
    /// Attempts at each call.
    pub attempts: u32,
    /// The longest that it takes, all attempts and the waits between them included; as seconds.
    #[serde(rename = "longest_seconds", serialize_with = "seconds")]
    pub longest: Duration,
    /// What is done when no attempt is left, in words.
    pub on_failure: String,
    /// Where to go on after it succeeded.
    pub on_success: Option<StepId>,
    /// Where to go on if the condition is false.
    pub on_false: Option<StepId>,
}

/// What a call of a tool takes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CallExplanation {
    /// Which tool.
    pub tool: String,
    /// The resource that it uses.
    pub group: String,
    /// What the caller's role must be allowed.
    pub permission: Option<String>,
    /// For one attempt; as seconds.
    #[serde(rename = "timeout_seconds", serialize_with = "seconds")]
    pub timeout: Duration,
    /// Whether it changes the world.
    pub changes_world: bool,
}

/// What `compiled` will do with the tools of `catalogue`, against which it was checked.
#[must_use]
pub fn explain(compiled: &Compiled, catalogue: &Catalogue) -> Explanation {
    let Compiled { plan, graph, .. } = compiled;
    let ids = |steps: &mut dyn Iterator<Item = usize>| -> Vec<StepId> {
        steps.filter_map(|at| plan.steps.get(at)).map(|step| step.id.clone()).collect()
    };
    let mut steps: Vec<StepExplanation> =
        plan.steps.iter().map(|step| explain_step(plan, step, catalogue)).collect();
    for (at, step) in steps.iter_mut().enumerate() {
        step.waits_for = ids(&mut graph.needs[at].iter().copied());
        step.results_of = ids(&mut graph.results[at].iter().copied());
    }
    let permissions: BTreeSet<String> = steps
        .iter()
        .flat_map(|step| &step.calls)
        .filter_map(|call| call.permission.clone())
        .collect();
    let longest = duration::of_plan(compiled, &steps);
    Explanation {
        name: plan.name.clone(),
        description: plan.description.clone(),
        levels: graph.levels.iter().map(|level| ids(&mut level.iter().copied())).collect(),
        permissions: permissions.into_iter().collect(),
        longest: plan.timeout.map_or(longest, |timeout| timeout.min(longest)),
        timeout: plan.timeout,
        max_parallel: plan.max_parallel,
        steps,
    }
}

fn explain_step(plan: &Plan, step: &Step, catalogue: &Catalogue) -> StepExplanation {
    let first = match &step.work {
        Work::Call(call) => Some(call),
        Work::Value(_) | Work::Gate { .. } | Work::Approval { .. } => None,
    };
    let others = match &step.on_failure {
        OnFailure::Fallback(calls) => calls.as_slice(),
        OnFailure::Fail | OnFailure::Continue | OnFailure::Skip | OnFailure::Route(_) => &[],
    };
    let calls = first.into_iter().chain(others);
    let calls: Vec<_> = calls.map(|call| explain_call(step, call, catalogue)).collect();
    let (times, max_parallel) = repeats(plan, step);
    StepExplanation {
        id: step.id.clone(),
        does: text::of_work(&step.work),
        waits_for: Vec::new(),
        results_of: Vec::new(),
        condition: step.condition.clone(),
        longest: duration::of_step(step, &calls, times.div_ceil(max_parallel)),
        calls,
        times,
        max_parallel,
        attempts: step.retry.attempts,
        on_failure: text::of_failure(&step.on_failure),
        on_success: step.on_success.clone(),
        on_false: step.on_false.clone(),
    }
}

fn explain_call(step: &Step, call: &ToolCall, catalogue: &Catalogue) -> CallExplanation {
    // Of a tool that went away since, the worst is assumed.
    let gone = || ToolSpec { changes_world: true, ..ToolSpec::new(&call.tool, "") };
    let spec = catalogue.get(&call.tool).cloned().unwrap_or_else(gone);
    CallExplanation {
        tool: spec.name,
        group: spec.group,
        permission: spec.permission,
        timeout: step.timeout.map_or(spec.timeout, |timeout| timeout.min(spec.timeout)),
        changes_world: spec.changes_world,
    }
}

/// How often a step is done, and how often at a time.
fn repeats(plan: &Plan, step: &Step) -> (u32, u32) {
    match &step.repeat {
        Repeat::Once => (1, 1),
        Repeat::Each { items, max_parallel, max_items } => {
            let listed = items.0.as_array().and_then(|items| u32::try_from(items.len()).ok());
            let at_a_time = plan.max_parallel.unwrap_or(u32::MAX).min(*max_parallel);
            (listed.unwrap_or(*max_items), at_a_time.max(1))
        }
        Repeat::While { max_iterations, .. } => (*max_iterations, 1),
    }
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

fn maybe_seconds<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    duration.map(|duration| duration.as_secs_f64()).serialize(serializer)
}

#[cfg(test)]
mod tests;
