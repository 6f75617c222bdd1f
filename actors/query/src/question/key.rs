//! What makes two questions the same, so that one answer serves both.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::period::NAMES;
use super::words::normalised;
use crate::json::Json;
use crate::plan::{OnFailure, Plan, Step, ToolCall, Work};
use crate::tool::{Catalogue, Identity};

/// The key under which an answer is given again: the same for the same words, role and teams, as long as the
/// question leads to the same plan and days, and the data have the same `data_version`. A hash, in hexadecimal, then
/// `@` and the version.
///
/// # Errors
/// The plan cannot be written as JSON, which is a defect.
pub fn cache_key(
    question: &str,
    identity: &Identity,
    (plan, inputs): (&Plan, &Json),
    data_version: u64,
) -> Result<String, serde_json::Error> {
    let mut teams = identity.teams.clone();
    teams.sort();
    let days: Vec<&Value> = NAMES.iter().map(|name| &inputs.0[*name]).collect();
    let same = (normalised(question), &identity.role, teams, plan, days);
    let digest = Sha256::digest(serde_json::to_vec(&same)?);
    let hash: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{hash}@{data_version:x}"))
}

/// Whether any call of `plan` may change the world: such a call is made as often as it is asked for.
pub(super) fn changes_world(plan: &Plan, catalogue: &Catalogue) -> bool {
    let changes = |call: &ToolCall| catalogue.get(&call.tool).is_none_or(|tool| tool.changes_world);
    plan.steps.iter().flat_map(calls).any(changes)
}

/// Every call that a step may make: its own, and those it falls back to.
pub(super) fn calls(step: &Step) -> impl Iterator<Item = &ToolCall> {
    let own = match &step.work {
        Work::Call(call) => Some(call),
        Work::Value(_) | Work::Gate { .. } | Work::Approval { .. } => None,
    };
    let fallbacks = match &step.on_failure {
        OnFailure::Fallback(calls) => calls.as_slice(),
        OnFailure::Fail | OnFailure::Continue | OnFailure::Skip | OnFailure::Route(_) => &[],
    };
    own.into_iter().chain(fallbacks)
}
