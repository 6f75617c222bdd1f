//! From the rules that fire to one plan.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value, json};

use super::check;
use super::evaluate::{Verdict, evaluate};
use super::rule::{Rule, RuleAction, RuleId, RuleSet};
use super::steps::{self, calls, step_id};
use super::templates::{self, FACTS};
use crate::check::place::{Findings, Place};
use crate::check::tools;
use crate::check::{Finding, MAX_STEPS};
use crate::expression::{self, ExpressionError};
use crate::graph::Graph;
use crate::json::Json;
use crate::plan::{OnFailure, Plan, StepId, ToolCall};
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
    pub problems: Vec<Finding>,
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
    let mut problems = Findings::default();
    if !facts.is_object() {
        let message = format!("facts are an object of names and values, not {facts}");
        problems.error(&Place::of_plan(FACTS), "wrong_type", message);
        return Fired { problems: problems.into_findings(), ..Fired::default() };
    }
    let mut rules: Vec<&Rule> = set.rules.iter().collect();
    rules.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| a.id.cmp(&b.id)));
    let mut fired = Fired::default();
    let mut draft = Draft { trial: Trial { facts, catalogue }, plan: Plan::default(), problems };
    let mut halted = false;
    for rule in rules {
        let verdict = permitted(rule, evaluate(rule, facts), identity);
        if verdict == Verdict::Fires {
            halted |= draft.add(rule);
        }
        fired.verdicts.push((rule.id.clone(), verdict));
    }
    let Draft { plan, mut problems, .. } = draft;
    if plan.steps.len() > MAX_STEPS {
        let message =
            format!("{} actions are too many for one plan of {MAX_STEPS}", plan.steps.len());
        problems.error(&Place::of_plan("rules"), "too_many_steps", message);
        halted = true;
    }
    fired.plan = (!halted && !plan.steps.is_empty()).then(|| finish(plan, &fired, facts));
    fired.problems = problems.into_findings();
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
    let facts = check::facts_input(Some(Json(facts.clone())));
    Plan { name: format!("rules: {}", rules.join(", ")), inputs: vec![facts], ..plan }
}

/// The plan so far.
struct Draft<'a> {
    trial: Trial<'a>,
    plan: Plan,
    problems: Findings,
}

impl Draft<'_> {
    /// Adds the steps of `rule`, as far as they can be done. Whether nothing may be begun: an action cannot be
    /// done that must not fail.
    fn add(&mut self, rule: &Rule) -> bool {
        let found = check::examine(rule, None);
        if check::refuses(&found) {
            self.problems.0.extend(found.0.into_iter().filter(|(_, finding)| finding.is_error()));
            return false;
        }
        let id = |action: &str| step_id(rule, action);
        let steps = match steps::of(rule, &id) {
            Ok(steps) => steps,
            Err(message) => {
                self.problems.error(&check::of_rule(rule), "malformed_reference", message);
                return false;
            }
        };
        let taken = |step: &StepId| self.plan.steps.iter().any(|other| other.id == *step);
        if let Some(step) = steps.iter().find(|step| taken(&step.id)) {
            let message = format!("another rule has the step `{}` already", step.id);
            self.problems.error(&check::of_rule(rule), "duplicate_id", message);
            return false;
        }
        let left_out = left_out(rule, &self.trial);
        let gone: Vec<StepId> = left_out.keys().map(|action| id(action.as_str())).collect();
        let mut must = false;
        for (action, mut step) in rule.actions.iter().zip(steps) {
            if left_out.contains_key(&action.id) {
                must |= action.on_failure == OnFailure::Fail;
                continue;
            }
            step.needs.retain(|need| !gone.contains(need));
            self.plan.steps.push(step);
        }
        self.problems.0.extend(left_out.into_values().flat_map(|found| found.0));
        must
    }
}

/// The actions of `rule` that cannot be done, with the reasons.
fn left_out(rule: &Rule, trial: &Trial<'_>) -> BTreeMap<StepId, Findings> {
    let mut left_out = BTreeMap::new();
    for action in &rule.actions {
        let mut found = Findings::default();
        let place = check::of_action(rule, &action.id);
        calls(action).for_each(|call| trial.call(&place, call, &mut found));
        if check::refuses(&found) {
            left_out.insert(action.id.clone(), found);
        }
    }
    if left_out.is_empty() {
        return left_out;
    }
    let waits: Vec<Vec<StepId>> = rule.actions.iter().map(|action| waits(rule, action)).collect();
    // Each turn leaves out one more action at least, so there are at most as many as actions.
    loop {
        let open = rule.actions.iter().zip(&waits).filter_map(|(action, waits)| {
            let stuck = waits.iter().find(|on| left_out.contains_key(*on))?;
            (!left_out.contains_key(&action.id)).then_some((&action.id, stuck))
        });
        let more: Vec<(&StepId, &StepId)> = open.collect();
        if more.is_empty() {
            return left_out;
        }
        for (action, on) in more {
            let mut found = Findings::default();
            let message = format!("needs `{on}`, which cannot be done");
            found.error(&check::of_action(rule, action), "left_out", message);
            left_out.insert(action.clone(), found);
        }
    }
}

/// The actions without which `action` cannot be done: those that it refers to, and those that it needs unless
/// one goes on after them when they fail.
fn waits(rule: &Rule, action: &RuleAction) -> Vec<StepId> {
    let mut waits = Vec::new();
    for call in calls(action) {
        let arguments = templates::modern(&call.arguments.0).ok();
        let references = arguments.and_then(|found| expression::of_templates(&found).ok());
        if let Some(references) = references {
            waits.extend(references.steps().map(|(step, _)| StepId::from(step)));
        }
    }
    let goes_on = |need: &&StepId| {
        let needed = rule.actions.iter().find(|other| other.id == **need);
        needed.is_some_and(|needed| needed.on_failure == OnFailure::Continue)
    };
    waits.extend(action.needs.iter().filter(|need| !goes_on(need)).cloned());
    waits
}

/// What calls are tried against before they are planned.
struct Trial<'a> {
    facts: &'a Value,
    catalogue: &'a Catalogue,
}

impl Trial<'_> {
    /// Finds out why `call` cannot be made, if it cannot.
    fn call(&self, place: &Place, call: &ToolCall, findings: &mut Findings) {
        let before = findings.0.len();
        let Some(arguments) = self.arguments(place, &call.arguments.0, findings) else { return };
        let known = self.catalogue.get(&call.tool).is_some();
        // An argument that could not be filled in is not missing as well.
        if !known || findings.0.len() == before {
            let filled = ToolCall { tool: call.tool.clone(), arguments: Json(arguments) };
            tools::call(place, &filled, self.catalogue, findings);
        }
    }

    /// The arguments with everything filled in that facts alone decide; nothing if they are no arguments.
    fn arguments(&self, place: &Place, given: &Value, findings: &mut Findings) -> Option<Value> {
        let place = place.field("arguments");
        let modern = match templates::modern(given) {
            Ok(modern) => modern,
            Err(message) => {
                findings.error(&place, "malformed_reference", message);
                return None;
            }
        };
        let Some(fields) = modern.as_object() else { return Some(modern) };
        let mut filled = Map::new();
        for (name, value) in fields {
            match self.fill(value) {
                Ok(value) => {
                    filled.insert(name.clone(), value);
                }
                Err(error) => findings.error(&place.field(name), "missing_fact", error),
            }
        }
        Some(Value::Object(filled))
    }

    fn fill(&self, value: &Value) -> Result<Value, ExpressionError> {
        let references = expression::of_templates(value)?;
        let of_facts = |name: &str| name == FACTS || expression::is_built_in(name);
        if references.names().all(of_facts) {
            return expression::render(value, &json!({ FACTS: self.facts }));
        }
        Ok(value.clone())
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
