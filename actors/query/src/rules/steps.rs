//! The steps that actions become.

use super::rule::{Rule, RuleAction};
use super::templates;
use crate::json::Json;
use crate::plan::{OnFailure, Step, StepId, ToolCall, Work};

/// The id of the step that an action becomes.
pub(super) fn step_id(rule: &Rule, action: &str) -> StepId {
    StepId(format!("{}_{action}", rule.id))
}

/// Every call that an action may make: its own and those it falls back to.
pub(super) fn calls(action: &RuleAction) -> impl Iterator<Item = &ToolCall> {
    let fallbacks = match &action.on_failure {
        OnFailure::Fallback(calls) => calls.as_slice(),
        OnFailure::Fail | OnFailure::Continue | OnFailure::Skip | OnFailure::Route(_) => &[],
    };
    std::iter::once(&action.call).chain(fallbacks)
}

/// The steps that the actions of `rule` become; `id` gives the id of a step for that of an action.
///
/// # Errors
/// What cannot be read in the arguments of one.
pub(super) fn of(rule: &Rule, id: &dyn Fn(&str) -> StepId) -> Result<Vec<Step>, String> {
    rule.actions.iter().map(|action| step(action, id)).collect()
}

/// The step that `action` becomes.
///
/// # Errors
/// What cannot be read in its arguments.
pub(super) fn step(action: &RuleAction, id: &dyn Fn(&str) -> StepId) -> Result<Step, String> {
    let call = |call: &ToolCall| -> Result<ToolCall, String> {
        let arguments = templates::modern(&call.arguments.0)?;
        let arguments = templates::for_plan(&arguments, &|name| id(name).0);
        Ok(ToolCall { tool: call.tool.clone(), arguments: Json(arguments) })
    };
    let on_failure = match &action.on_failure {
        OnFailure::Fallback(calls) => {
            OnFailure::Fallback(calls.iter().map(call).collect::<Result<_, _>>()?)
        }
        OnFailure::Route(target) => OnFailure::Route(id(target.as_str())),
        OnFailure::Fail | OnFailure::Continue | OnFailure::Skip => action.on_failure.clone(),
    };
    Ok(Step {
        needs: action.needs.iter().map(|need| id(need.as_str())).collect(),
        retry: action.retry.clone(),
        timeout: action.timeout,
        on_failure,
        ..Step::new(id(action.id.as_str()).0, Work::Call(call(&action.call)?))
    })
}
