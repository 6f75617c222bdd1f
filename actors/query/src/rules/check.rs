//! What is wrong or doubtful about rules, whatever the facts are: all of it at once.

use std::collections::{BTreeMap, BTreeSet};

use super::condition::Condition;
use super::rule::{Rule, RuleAction, RuleSet};
use super::steps::{self, step_id};
use super::templates::FACTS;
use super::validate;
use crate::check::place::{Findings, Place};
use crate::check::{self, Finding, Severity, ids};
use crate::json::Json;
use crate::plan::{Input, OnFailure, Plan, StepId, ValueType};
use crate::tool::Catalogue;

/// How deeply groups of conditions may stand in groups: far more than anybody reads, and few enough to walk
/// through recursively.
pub const MAX_DEPTH: usize = 32;

/// Everything that is wrong or doubtful about `set`, which may call the tools in `catalogue`. Without a
/// catalogue, tools are not looked at.
#[must_use]
pub fn check(set: &RuleSet, catalogue: Option<&Catalogue>) -> Vec<Finding> {
    examine_set(set, catalogue).into_findings()
}

/// The same, with the places that lines are found by.
pub(super) fn examine_set(set: &RuleSet, catalogue: Option<&Catalogue>) -> Findings {
    let mut findings = Findings::default();
    for rule in &set.rules {
        findings.0.extend(examine(rule, catalogue).0);
    }
    clashes(set, &mut findings);
    findings
}

/// Everything that is wrong or doubtful about `rule` by itself.
pub(super) fn examine(rule: &Rule, catalogue: Option<&Catalogue>) -> Findings {
    let mut findings = Findings::default();
    let place = of_rule(rule);
    if !ids::is_name(rule.id.as_str()) {
        ids::invalid(&place, "invalid_id", rule.id.as_str(), &mut findings);
    }
    let conditions = place.field("conditions");
    if rule.condition.depth() > MAX_DEPTH {
        let message = format!("groups of conditions are more than {MAX_DEPTH} deep");
        findings.error(&conditions, "too_deep", message);
    } else if has_empty_group(&rule.condition) {
        findings.error(&conditions, "empty_group", "a group of conditions is empty");
    } else {
        validate::warn(rule, &mut findings);
    }
    if rule.actions.is_empty() {
        findings.error(&place.field("actions"), "no_actions", "a rule has at least one action");
    } else {
        actions(rule, catalogue, &mut findings);
    }
    findings
}

/// Where in a document a rule is.
pub(super) fn of_rule(rule: &Rule) -> Place {
    Place::of_plan("rules").field(&rule.id)
}

/// Where in a document an action is.
pub(super) fn of_action(rule: &Rule, action: &StepId) -> Place {
    of_rule(rule).field("actions").field(action)
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

/// The actions are looked at as the plan that they make alone.
fn actions(rule: &Rule, catalogue: Option<&Catalogue>, findings: &mut Findings) {
    let mut malformed = false;
    for action in &rule.actions {
        let place = of_action(rule, &action.id);
        malformed |= !of_one(rule, action, &place, findings);
    }
    if malformed {
        return;
    }
    let Ok(steps) = steps::of(rule, &|id| StepId(id.to_owned())) else { return };
    let plan = Plan { steps, inputs: vec![facts_input(None)], ..Plan::default() };
    for (place, finding) in check::examine(&plan, catalogue).0 {
        let Some(action) = place.at.and_then(|at| rule.actions.get(at)) else { continue };
        let base = of_action(rule, &action.id).path;
        let dot = if place.path.is_empty() { "" } else { "." };
        let path = format!("{base}{dot}{}", place.path);
        let finding =
            in_words_of_rules(rule, Finding { step: None, path: path.clone(), ..finding });
        findings.0.push((Place { path, ..Place::default() }, finding));
    }
}

/// The facts, as the input of a plan.
pub(super) fn facts_input(default: Option<Json>) -> Input {
    Input {
        name: FACTS.to_owned(),
        value_type: ValueType::Object,
        description: "what the rules were tried on".to_owned(),
        default,
    }
}

/// A rule knows `facts`, which a plan has among its inputs.
fn in_words_of_rules(rule: &Rule, mut finding: Finding) -> Finding {
    if finding.code == "unknown_name" {
        let name = finding.message.split('`').nth(1).unwrap_or_default().to_owned();
        let is_action = rule.actions.iter().any(|action| action.id.as_str() == name);
        if !is_action {
            finding.suggestion = Some(format!("{FACTS}.{name}"));
        }
    }
    finding
}

/// What a plan would not show of `action`. Whether it can be made a step.
fn of_one(rule: &Rule, action: &RuleAction, place: &Place, findings: &mut Findings) -> bool {
    if let OnFailure::Route(target) = &action.on_failure {
        let message = format!("an action does not go on at another, such as `{target}`");
        findings.error(&place.field("on_failure.route"), "misplaced_field", message);
    }
    let step = step_id(rule, action.id.as_str());
    if ids::is_name(rule.id.as_str()) && ids::is_name(action.id.as_str()) && !ids::is_name(&step.0)
    {
        let message = format!("its step would be `{step}`, which is too long for a name");
        findings.error(&place.field("id"), "invalid_id", message);
    }
    match steps::step(action, &|id| StepId(id.to_owned())) {
        Ok(_) => true,
        Err(message) => {
            findings.error(&place.field("arguments"), "malformed_reference", message);
            false
        }
    }
}

/// Ids that stand twice, by themselves or as those of steps.
fn clashes(set: &RuleSet, findings: &mut Findings) {
    let mut seen = BTreeSet::new();
    let mut owners = BTreeMap::new();
    for rule in &set.rules {
        if !seen.insert(&rule.id) {
            let message = format!("there are two rules `{}`", rule.id);
            findings.error(&of_rule(rule), "duplicate_id", message);
            continue;
        }
        for action in &rule.actions {
            let step = step_id(rule, action.id.as_str());
            let owner = owners.entry(step.clone()).or_insert(&rule.id);
            if *owner != &rule.id {
                let message = format!("its step would be `{step}`, as of an action of `{owner}`");
                findings.error(&of_action(rule, &action.id), "duplicate_id", message);
            }
        }
    }
}

/// Whether something is wrong among `findings`, not only doubtful.
pub(super) fn refuses(findings: &Findings) -> bool {
    findings.0.iter().any(|(_, finding)| finding.severity == Severity::Error)
}
