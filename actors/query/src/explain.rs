//! What a plan will do, for whoever is about to let it: in which order, with which tools and permissions, and
//! how long it takes at the longest. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::config::Config;
use crate::pipeline::Compiled;
use crate::plan::{OnFailure, Repeat, Step, StepId, ToolCall, Work};
use crate::tool::{Catalogue, ToolSpec};
use crate::worker::Bounds;

mod duration;
mod text;

/// What a node bounds every plan by, whatever it asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeBounds {
    /// A query may take so long.
    pub timeout: Duration,
    /// Tools of one query at a time.
    pub max_parallel: u32,
    /// What groups of tools bear, where it is not the default.
    pub groups: BTreeMap<String, Bounds>,
}

impl From<&Config> for NodeBounds {
    fn from(config: &Config) -> Self {
        let (timeout, max_parallel) = (config.timeout, config.max_parallel_tools);
        Self { timeout, max_parallel, groups: config.groups.clone() }
    }
}

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
    /// When it is broken off: the time in which it waits for people not counted; as seconds.
    #[serde(rename = "timeout_seconds", serialize_with = "seconds")]
    pub timeout: Duration,
    /// Whether that is the node's bound, and not the plan's own.
    pub timeout_of_node: bool,
    /// Tools at a time.
    pub max_parallel: u32,
    /// Whether that is the node's bound, and not the plan's own.
    pub max_parallel_of_node: bool,
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
    /// Calls of it at a time, of all queries.
    pub group_concurrency: usize,
    /// What the caller's role must be allowed.
    pub permission: Option<String>,
    /// For one attempt; as seconds.
    #[serde(rename = "timeout_seconds", serialize_with = "seconds")]
    pub timeout: Duration,
    /// What the step asks for, if the tool does not allow it; as seconds.
    #[serde(rename = "shortened_from_seconds", serialize_with = "maybe_seconds")]
    pub shortened_from: Option<Duration>,
    /// Whether it changes the world.
    pub changes_world: bool,
}

/// What `compiled` will do with the tools of `catalogue`, against which it was checked, on a node with these bounds.
#[must_use]
pub fn explain(compiled: &Compiled, catalogue: &Catalogue, bounds: &NodeBounds) -> Explanation {
    let Compiled { plan, graph, .. } = compiled;
    let ids = |steps: &mut dyn Iterator<Item = usize>| -> Vec<StepId> {
        steps.filter_map(|at| plan.steps.get(at)).map(|step| step.id.clone()).collect()
    };
    let max_parallel =
        plan.max_parallel.map_or(bounds.max_parallel, |own| own.min(bounds.max_parallel));
    let around = Around { max_parallel, catalogue, bounds };
    let mut steps: Vec<StepExplanation> =
        plan.steps.iter().map(|step| explain_step(step, &around)).collect();
    for (at, step) in steps.iter_mut().enumerate() {
        step.waits_for = ids(&mut graph.needs[at].iter().copied());
        step.results_of = ids(&mut graph.results[at].iter().copied());
    }
    let permissions: BTreeSet<String> = steps
        .iter()
        .flat_map(|step| &step.calls)
        .filter_map(|call| call.permission.clone())
        .collect();
    let timeout = plan.timeout.map_or(bounds.timeout, |own| own.min(bounds.timeout));
    let longest = duration::of_plan(compiled, &steps, max_parallel);
    let waits = duration::of_waits(plan, &steps);
    Explanation {
        name: plan.name.clone(),
        description: plan.description.clone(),
        levels: graph.levels.iter().map(|level| ids(&mut level.iter().copied())).collect(),
        permissions: permissions.into_iter().collect(),
        longest: longest.min(timeout.saturating_add(waits)),
        timeout,
        timeout_of_node: plan.timeout.is_none_or(|own| own > timeout),
        max_parallel,
        max_parallel_of_node: plan.max_parallel.is_none_or(|own| own > max_parallel),
        steps,
    }
}

/// What decides beside the step itself.
struct Around<'a> {
    /// Tools of the query at a time.
    max_parallel: u32,
    catalogue: &'a Catalogue,
    bounds: &'a NodeBounds,
}

fn explain_step(step: &Step, around: &Around<'_>) -> StepExplanation {
    let first = match &step.work {
        Work::Call(call) => Some(call),
        Work::Value(_) | Work::Gate { .. } | Work::Approval { .. } => None,
    };
    let others = match &step.on_failure {
        OnFailure::Fallback(calls) => calls.as_slice(),
        OnFailure::Fail | OnFailure::Continue | OnFailure::Skip | OnFailure::Route(_) => &[],
    };
    let calls = first.into_iter().chain(others);
    let calls: Vec<_> = calls.map(|call| explain_call(step, call, around)).collect();
    let (times, max_parallel) = repeats(step, around.max_parallel);
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

fn explain_call(step: &Step, call: &ToolCall, around: &Around<'_>) -> CallExplanation {
    // Of a tool that went away since, the worst is assumed.
    let gone = || ToolSpec { changes_world: true, ..ToolSpec::new(&call.tool, "") };
    let spec = around.catalogue.get(&call.tool).cloned().unwrap_or_else(gone);
    let bounds = around.bounds.groups.get(&spec.group).copied().unwrap_or_default();
    CallExplanation {
        group_concurrency: bounds.concurrency,
        shortened_from: step.timeout.filter(|timeout| *timeout > spec.timeout),
        tool: spec.name,
        group: spec.group,
        permission: spec.permission,
        timeout: step.timeout.map_or(spec.timeout, |timeout| timeout.min(spec.timeout)),
        changes_world: spec.changes_world,
    }
}

/// How often a step is done, and how often at a time.
fn repeats(step: &Step, most: u32) -> (u32, u32) {
    match &step.repeat {
        Repeat::Once => (1, 1),
        Repeat::Each { items, max_parallel, max_items } => {
            let listed = items.0.as_array().and_then(|items| u32::try_from(items.len()).ok());
            (listed.unwrap_or(*max_items), most.min(*max_parallel).max(1))
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
