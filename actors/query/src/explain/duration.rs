//! How long steps and plans take at the longest.

use std::time::Duration;

use super::{CallExplanation, StepExplanation};
use crate::check::MAX_ATTEMPTS;
use crate::pipeline::Compiled;
use crate::plan::{Plan, Step, Work};

/// A step of which as many elements as may be are under way at a time: `rounds` of them one after the other.
pub(super) fn of_step(step: &Step, calls: &[CallExplanation], rounds: u32) -> Duration {
    let attempts = step.retry.attempts.min(MAX_ATTEMPTS);
    let waits = (1..attempts).map(|attempt| step.retry.wait(attempt, 1.0, None).as_secs_f64());
    let waits: f64 = waits.sum();
    let calls = calls.iter().map(|call| call.timeout.as_secs_f64() * f64::from(attempts) + waits);
    let asked = match &step.work {
        Work::Approval { wait, .. } => wait.as_secs_f64(),
        Work::Call(_) | Work::Value(_) | Work::Gate { .. } => 0.0,
    };
    whole((calls.sum::<f64>() + asked) * f64::from(rounds))
}

/// The time in which a plan may wait for people, one after the other.
pub(super) fn of_waits(plan: &Plan, steps: &[StepExplanation]) -> Duration {
    let wait = |(step, told): (&Step, &StepExplanation)| match &step.work {
        Work::Approval { .. } => told.longest,
        Work::Call(_) | Work::Value(_) | Work::Gate { .. } => Duration::ZERO,
    };
    plan.steps.iter().zip(steps).map(wait).fold(Duration::ZERO, Duration::saturating_add)
}

/// A plan of which each step takes as long as it may, with at most so many tools at a time.
///
/// With `m` tools at a time a greedy schedule takes, for some chain of steps that wait for each other, no
/// longer than the chain itself and an `m`th of all other work (Graham, Bounds on Multiprocessing Timing
/// Anomalies, 1969). A group of tools that bears fewer is as if there were fewer of all. What waits for a person takes
/// up no tool.
pub(super) fn of_plan(compiled: &Compiled, steps: &[StepExplanation], tools: u32) -> Duration {
    let graph = &compiled.graph;
    let groups = steps.iter().flat_map(|step| &step.calls).map(|call| call.group_concurrency);
    let tools = groups.filter_map(|most| u32::try_from(most).ok()).fold(tools, u32::min);
    let calls = steps.iter().filter(|step| !step.calls.is_empty());
    let at_once: u64 = calls.map(|step| u64::from(step.max_parallel.min(step.times))).sum();
    // Where all that calls could be done at once, nothing waits for a tool.
    let share = if at_once > u64::from(tools) { 1.0 / f64::from(tools.max(1)) } else { 0.0 };
    let mut ends = vec![0.0_f64; steps.len()];
    let mut work = 0.0;
    for at in graph.levels.iter().flatten().copied() {
        let step = &steps[at];
        let longest = step.longest.as_secs_f64();
        let own = if step.calls.is_empty() {
            longest
        } else {
            // Rounds that are not full are counted as full.
            work += longest * f64::from(step.max_parallel.min(step.times));
            longest * (1.0 - share)
        };
        let begins = graph.needs[at].iter().map(|need| ends[*need]).fold(0.0, f64::max);
        ends[at] = begins + own;
    }
    whole(ends.into_iter().fold(0.0, f64::max) + work * share)
}

/// In whole milliseconds, for sums of floating point numbers are off by less.
fn whole(seconds: f64) -> Duration {
    Duration::try_from_secs_f64((seconds * 1000.0).round() / 1000.0).unwrap_or(Duration::MAX)
}
