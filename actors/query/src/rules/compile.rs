//! From the rules that fire to one plan.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value, json};

use super::check::{self, Problem, calls, step_id};
use super::evaluate::{Verdict, evaluate};
use super::rule::{Rule, RuleAction, RuleId, RuleSet};
use super::templates::{self, FACTS};
use crate::expression::{self, References};
use crate::graph::Graph;
use crate::json::Json;
use crate::plan::{Input, OnFailure, Plan, StepId, ToolCall, ValueType};
use crate::tool::{Catalogue, Identity};

/// What comes of a set of rules on some facts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fired {
    /// What is to be done: the actions of all rules that fire, as far as they can be done. `None` if there
    /// are none.
    pub plan: Option<Plan>,
    /// Of every rule whether it fires, and why not, the most important rule first.
    pub verdicts: Vec<(RuleId, Verdict)>,
    /// Actions that are to be done and cannot be, each named. With any, whoever asked is told of failure,
    /// whatever comes of the plan.
    pub problems: Vec<Problem>,
}

impl Fired {
    /// The rules that fire, the most important first.
    pub fn rules(&self) -> impl Iterator<Item = &RuleId> {
        let fires = |verdict: &Verdict| *verdict == Verdict::Fires;
        self.verdicts.iter().filter(move |(_, verdict)| fires(verdict)).map(|(rule, _)| rule)
    }
}

/// For people: which rules fire, or that none does and why, and what cannot be done.
impl fmt::Display for Fired {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let firing: Vec<&str> = self.rules().map(RuleId::as_str).collect();
        match firing.as_slice() {
            [] => formatter.write_str("conditions not met")?,
            rules => write!(formatter, "fired: {}", rules.join(", "))?,
        }
        for (rule, verdict) in &self.verdicts {
            write!(formatter, "\nrule `{rule}` {verdict}")?;
        }
        self.problems.iter().try_for_each(|problem| write!(formatter, "\n{problem}"))
    }
}

/// Tries every rule of `set` on `facts`, an object, and makes one plan of the actions of those that fire.
///
/// The steps stand in the order of the rules' importance, then of their ids; those of one rule in its own
/// order, named `RULE_ACTION`. A step waits only for steps of its own rule. The facts are the plan's input
/// `facts`, given by default.
///
/// An action that cannot be done (its tool is unknown, its arguments are not what the tool takes or refer to
/// facts that are not there) is treated as if it had failed without an attempt: it is named in the problems;
/// actions that need it are left out and named too, unless it is one to continue after; and if it is one that
/// must not fail, there is no plan.
#[must_use]
pub fn fire(set: &RuleSet, facts: &Value, identity: &Identity, catalogue: &Catalogue) -> Fired {
    let mut fired = Fired::default();
    if !facts.is_object() {
        let message = format!("facts are an object of names and values, not {facts}");
        fired.problems.push(Problem { rule: None, action: None, message });
        return fired;
    }
    let mut rules: Vec<&Rule> = set.rules.iter().collect();
    rules.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| a.id.cmp(&b.id)));
    let mut plan = Plan::default();
    let mut halted = false;
    for rule in rules {
        let verdict = permitted(rule, evaluate(rule, facts), identity);
        if verdict == Verdict::Fires {
            let mut problems = check::of_rule(rule);
            if problems.is_empty() {
                halted |= add(&mut plan, rule, &Trial { facts, catalogue }, &mut problems);
            }
            fired.problems.extend(problems);
        }
        fired.verdicts.push((rule.id.clone(), verdict));
    }
    fired.plan = (!halted && !plan.steps.is_empty()).then(|| finish(plan, &fired, facts));
    fired
}

/// Whether whoever gave the facts may have the rule fire.
fn permitted(rule: &Rule, verdict: Verdict, identity: &Identity) -> Verdict {
    let allowed = rule.required_roles.is_empty() || rule.required_roles.contains(&identity.role);
    if allowed || verdict != Verdict::Fires {
        return verdict;
    }
    Verdict::Denied { required: rule.required_roles.clone() }
}

fn finish(plan: Plan, fired: &Fired, facts: &Value) -> Plan {
    let rules: Vec<&str> = fired.rules().map(RuleId::as_str).collect();
    Plan {
        name: format!("rules: {}", rules.join(", ")),
        inputs: vec![Input {
            name: FACTS.to_owned(),
            value_type: ValueType::Object,
            description: "what the rules were tried on".to_owned(),
            default: Some(Json(facts.clone())),
        }],
        ..plan
    }
}

/// Adds the steps of `rule`, as far as they can be done. Whether nothing may be begun: an action cannot be
/// done that must not fail.
fn add(plan: &mut Plan, rule: &Rule, trial: &Trial<'_>, problems: &mut Vec<Problem>) -> bool {
    let left_out = left_out(rule, trial);
    let report = |(id, why): (&StepId, &String)| Problem::of_action(rule, id, why.clone());
    problems.extend(left_out.iter().map(report));
    let id = |action: &str| step_id(rule, action);
    let steps = match check::steps(rule, &id) {
        Ok(steps) => steps,
        Err(problem) => {
            problems.push(problem);
            return false;
        }
    };
    let clash = steps.iter().find(|step| plan.steps.iter().any(|other| other.id == step.id));
    if let Some(step) = clash {
        let message = format!("another rule has the step `{}` already", step.id);
        problems.push(Problem::of_rule(rule, message));
        return false;
    }
    let gone: Vec<StepId> = left_out.keys().map(|action| id(action.as_str())).collect();
    for (action, mut step) in rule.actions.iter().zip(steps) {
        if left_out.contains_key(&action.id) {
            continue;
        }
        step.needs.retain(|need| !gone.contains(need));
        plan.steps.push(step);
    }
    let must = |action: &&RuleAction| {
        action.on_failure == OnFailure::Fail && left_out.contains_key(&action.id)
    };
    rule.actions.iter().any(|action| must(&action))
}

/// The actions of `rule` that cannot be done, with the reasons.
fn left_out(rule: &Rule, trial: &Trial<'_>) -> BTreeMap<StepId, String> {
    let mut left_out = BTreeMap::new();
    for action in &rule.actions {
        let problems: Vec<String> = calls(action).flat_map(|call| trial.problems(call)).collect();
        if !problems.is_empty() {
            left_out.insert(action.id.clone(), problems.join("; "));
        }
    }
    // Each turn leaves out one more action at least, so there are at most as many as actions.
    loop {
        let open = rule.actions.iter().filter(|action| !left_out.contains_key(&action.id));
        let next = open.map(|action| (action, stuck(rule, action, &left_out)));
        let found = next.filter_map(|(action, on)| Some((action.id.clone(), on?)));
        let more: Vec<(StepId, StepId)> = found.collect();
        if more.is_empty() {
            return left_out;
        }
        for (action, on) in more {
            left_out.insert(action, format!("it needs `{on}`, which cannot be done"));
        }
    }
}

/// The action on which `action` waits in vain, if there is one.
fn stuck(rule: &Rule, action: &RuleAction, left_out: &BTreeMap<StepId, String>) -> Option<StepId> {
    let referred: Vec<StepId> = calls(action)
        .filter_map(|call| templates::modern(&call.arguments.0).ok())
        .filter_map(|arguments| expression::of_templates(&arguments).ok())
        .flat_map(|references| {
            references.steps().map(|(step, _)| StepId::from(step)).collect::<Vec<_>>()
        })
        .collect();
    let goes_on = |need: &&StepId| {
        let needed = rule.actions.iter().find(|other| other.id == **need);
        needed.is_some_and(|needed| needed.on_failure == OnFailure::Continue)
    };
    let waited = action.needs.iter().filter(|need| !goes_on(need));
    referred.iter().chain(waited).find(|id| left_out.contains_key(*id)).cloned()
}

/// What calls are tried against before they are planned.
struct Trial<'a> {
    facts: &'a Value,
    catalogue: &'a Catalogue,
}

impl Trial<'_> {
    /// Why `call` cannot be made.
    fn problems(&self, call: &ToolCall) -> Vec<String> {
        let Some(spec) = self.catalogue.get(&call.tool) else {
            return vec![check::unknown_tool(&call.tool, self.catalogue)];
        };
        let mut problems = Vec::new();
        let arguments = match self.arguments(&call.arguments.0, &mut problems) {
            Ok(arguments) => arguments,
            Err(message) => return vec![message],
        };
        if problems.is_empty() {
            problems.extend(check::argument_problems(spec, &arguments));
        }
        problems
    }

    /// The arguments with everything filled in that facts alone decide.
    fn arguments(&self, given: &Value, problems: &mut Vec<String>) -> Result<Value, String> {
        let modern = templates::modern(given)?;
        let Some(fields) = modern.as_object() else {
            return Err(format!("arguments are an object of names and values, not {given}"));
        };
        let mut filled = Map::new();
        for (name, value) in fields {
            match self.fill(value) {
                Ok(value) => {
                    filled.insert(name.clone(), value);
                }
                Err(error) => problems.push(format!("argument `{name}`: {error}")),
            }
        }
        Ok(Value::Object(filled))
    }

    fn fill(&self, value: &Value) -> Result<Value, expression::ExpressionError> {
        let references: References = expression::of_templates(value)?;
        if references.steps().next().is_some() {
            return Ok(value.clone());
        }
        expression::render(value, &json!({ FACTS: self.facts }))
    }
}

/// The order in which the steps of a plan of rules can be done: ids of steps that can be done at the same
/// time, from first to last. What a dry run shows.
#[must_use]
pub fn stages(plan: &Plan) -> Vec<Vec<StepId>> {
    let levels = Graph::of(plan).map(|graph| graph.levels).unwrap_or_default();
    let name = |at: usize| plan.steps[at].id.clone();
    levels.into_iter().map(|level| level.into_iter().map(name).collect()).collect()
}
