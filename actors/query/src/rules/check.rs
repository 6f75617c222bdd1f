//! What makes a rule impossible to perform, whatever the facts and tools are.

use std::collections::BTreeMap;
use std::fmt;

use super::condition::Condition;
use super::rule::{Rule, RuleAction, RuleId, RuleSet};
use super::templates::{self, FACTS, STEPS};
use crate::expression::{self, References};
use crate::graph::{Graph, GraphError};
use crate::json::Json;
use crate::plan::{OnFailure, Plan, Step, StepId, ToolCall, Work};
use crate::tool::{Catalogue, ToolSpec};
use serde_json::Value;

/// How deeply groups of conditions may stand in groups: far more than anybody reads, and few enough to walk
/// through recursively.
pub const MAX_DEPTH: usize = 32;

/// Something that is wrong with a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// With which rule, if it is not with the set or the facts.
    pub rule: Option<RuleId>,
    /// With which of its actions, if it is with one.
    pub action: Option<StepId>,
    /// What is wrong, and what to do.
    pub message: String,
}

impl Problem {
    pub(super) fn of_rule(rule: &Rule, message: impl Into<String>) -> Self {
        Self { rule: Some(rule.id.clone()), action: None, message: message.into() }
    }

    pub(super) fn of_action(rule: &Rule, action: &StepId, message: impl Into<String>) -> Self {
        Self { action: Some(action.clone()), ..Self::of_rule(rule, message) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(rule) = &self.rule {
            write!(formatter, "rule `{rule}`")?;
            if let Some(action) = &self.action {
                write!(formatter, ", action `{action}`")?;
            }
            formatter.write_str(": ")?;
        }
        formatter.write_str(&self.message)
    }
}

/// Everything that is wrong with `set`: its rules one by one, and ids that clash.
#[must_use]
pub fn problems(set: &RuleSet) -> Vec<Problem> {
    let mut problems: Vec<Problem> = set.rules.iter().flat_map(of_rule).collect();
    let mut owners: BTreeMap<String, &RuleId> = BTreeMap::new();
    let mut seen: Vec<&RuleId> = Vec::new();
    for rule in &set.rules {
        if seen.contains(&&rule.id) {
            problems.push(Problem::of_rule(rule, "there are two rules of this id"));
            continue;
        }
        seen.push(&rule.id);
        for action in &rule.actions {
            let step = step_id(rule, action.id.as_str());
            match owners.get(&step.0) {
                Some(owner) if **owner != rule.id => problems.push(Problem::of_action(
                    rule,
                    &action.id,
                    format!("its step would be `{step}`, as of an action of rule `{owner}`"),
                )),
                Some(_) => {}
                None => {
                    owners.insert(step.0, &rule.id);
                }
            }
        }
    }
    problems
}

/// Everything that is wrong with `rule` by itself.
#[must_use]
pub fn of_rule(rule: &Rule) -> Vec<Problem> {
    let mut problems = Vec::new();
    if !StepId::is_valid(rule.id.as_str()) {
        let message = "an id is a letter, then letters, digits and underscores";
        problems.push(Problem::of_rule(rule, message));
    }
    if rule.condition.depth() > MAX_DEPTH {
        let message = format!("groups of conditions are more than {MAX_DEPTH} deep");
        problems.push(Problem::of_rule(rule, message));
    } else if has_empty_group(&rule.condition) {
        problems.push(Problem::of_rule(rule, "a group of conditions is empty"));
    }
    if rule.actions.is_empty() {
        problems.push(Problem::of_rule(rule, "it has no actions"));
    }
    for action in &rule.actions {
        let found = of_action(action).into_iter();
        problems.extend(found.map(|message| Problem::of_action(rule, &action.id, message)));
    }
    if problems.is_empty() {
        problems.extend(of_order(rule));
    }
    problems
}

/// Every call of `set` that names a tool that `catalogue` does not have, or gives it what it does not take, as
/// far as templates let see.
#[must_use]
pub fn calls_against(set: &RuleSet, catalogue: &Catalogue) -> Vec<Problem> {
    let mut problems = Vec::new();
    for rule in &set.rules {
        for action in &rule.actions {
            let found = calls(action).flat_map(|call| against(call, catalogue));
            problems.extend(found.map(|message| Problem::of_action(rule, &action.id, message)));
        }
    }
    problems
}

fn against(call: &ToolCall, catalogue: &Catalogue) -> Vec<String> {
    let Some(spec) = catalogue.get(&call.tool) else {
        return vec![unknown_tool(&call.tool, catalogue)];
    };
    match templates::modern(&call.arguments.0) {
        Ok(arguments) => argument_problems(spec, &arguments),
        Err(message) => vec![message],
    }
}

/// What is wrong with arguments; templates in them may stand for anything.
pub(super) fn argument_problems(spec: &ToolSpec, arguments: &Value) -> Vec<String> {
    let say = |(name, why): (String, String)| match name.as_str() {
        "" => why,
        name => format!("argument `{name}`: {why}"),
    };
    spec.problems(arguments, true).into_iter().map(say).collect()
}

pub(super) fn unknown_tool(tool: &str, catalogue: &Catalogue) -> String {
    let known: Vec<&str> = catalogue.0.keys().map(String::as_str).collect();
    format!("there is no tool `{tool}`; there are {}", known.join(", "))
}

fn has_empty_group(condition: &Condition) -> bool {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => {
            parts.is_empty() || parts.iter().any(has_empty_group)
        }
        Condition::Not(part) => has_empty_group(part),
        Condition::Test(_) => false,
    }
}

fn of_action(action: &RuleAction) -> Vec<String> {
    let mut problems = Vec::new();
    if !StepId::is_valid(action.id.as_str()) {
        problems.push("an id is a letter, then letters, digits and underscores".to_owned());
    }
    if action.retry.attempts == 0 {
        problems.push("an action without attempts is never done".to_owned());
    }
    if let OnFailure::Route(target) = &action.on_failure {
        problems.push(format!(
            "an action cannot go on at `{target}`; on failure it can fail, continue, skip or fall back"
        ));
    }
    for call in calls(action) {
        let arguments = templates::modern(&call.arguments.0);
        let references = arguments
            .and_then(|value| expression::of_templates(&value).map_err(|error| error.to_string()));
        match references {
            Ok(references) => problems.extend(strangers(&references)),
            Err(message) => problems.push(message),
        }
    }
    problems
}

/// What the arguments refer to beside facts, steps and functions.
fn strangers(references: &References) -> impl Iterator<Item = String> {
    let known = |name: &str| {
        let function = format!("{name} is defined");
        let nothing = serde_json::Value::Object(serde_json::Map::new());
        name == FACTS || name == STEPS || expression::holds(&function, &nothing).unwrap_or(false)
    };
    references.names().filter(move |name| !known(name)).map(|name| {
        format!("`{name}` is unknown here; write `facts.{name}`, or `steps.ID.result` of an action")
    })
}

/// What is wrong with the order of the actions.
fn of_order(rule: &Rule) -> Vec<Problem> {
    let itself = |id: &str| StepId(id.to_owned());
    let steps = match steps(rule, &itself) {
        Ok(steps) => steps,
        Err(problem) => return vec![problem],
    };
    let errors = match Graph::of(&Plan { steps, ..Plan::default() }) {
        Ok(_) => Vec::new(),
        Err(errors) => errors,
    };
    let place = |error: &GraphError| error.step().cloned();
    let problem = |error: GraphError| Problem {
        action: place(&error),
        ..Problem::of_rule(rule, error.to_string())
    };
    errors.into_iter().map(problem).collect()
}

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
pub(super) fn steps(rule: &Rule, id: &dyn Fn(&str) -> StepId) -> Result<Vec<Step>, Problem> {
    let step = |action: &RuleAction| {
        step(action, id).map_err(|message| Problem::of_action(rule, &action.id, message))
    };
    rule.actions.iter().map(step).collect()
}

fn step(action: &RuleAction, id: &dyn Fn(&str) -> StepId) -> Result<Step, String> {
    let call = |call: &ToolCall| -> Result<ToolCall, String> {
        let arguments = templates::modern(&call.arguments.0)?;
        let arguments = templates::for_plan(&arguments, &|name| id(name).0)?;
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
