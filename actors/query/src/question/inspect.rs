//! Whether a table that could be read can be used.

use std::collections::{BTreeMap, BTreeSet};

use super::compose::draft;
use super::intents::{Intent, Table, union};
use super::{batches, compose};
use crate::check::place::{Findings, Place};
use crate::check::{self, Finding};
use crate::graph::{Graph, GraphError};
use crate::pipeline;
use crate::plan::{Plan, Step, StepId};
use crate::tool::Catalogue;

/// Finds what is wrong or doubtful in `table` beside what was found when it was read.
pub(super) fn inspect(table: &Table, catalogue: &Catalogue, findings: &mut Findings) {
    let told: BTreeSet<(Option<usize>, String)> =
        findings.0.iter().map(|(place, _)| (place.at, place.path.clone())).collect();
    let mut found = Findings::default();
    unknown_tools(table, catalogue, &mut found);
    let (mut first, mut ids) = (0, BTreeSet::new());
    let mut steps: BTreeMap<&StepId, (&Step, &str)> = BTreeMap::new();
    for (at, intent) in table.intents.iter().enumerate() {
        let place = Place::of_plan("intents").item(at);
        if !intent.id.is_empty() && !ids.insert(&intent.id) {
            let message = format!("there are two intents `{}`", intent.id);
            found.error(&place.field("id"), "duplicate_id", message);
        }
        meant(intent, table.default == Some(at), &place, &mut found);
        groups(intent, &place, &mut found);
        plan(intent, (&place, first), catalogue, &mut found);
        for (number, step) in intent.steps.iter().enumerate() {
            let (other, owner) = *steps.entry(&step.id).or_insert((step, &intent.id));
            if other != step && *owner != intent.id {
                let message = format!("intent `{owner}` has another step `{}`", step.id);
                found.error(
                    &Place::of_step(first + number, step).field("id"),
                    "conflicting_step",
                    message,
                );
            }
        }
        first += intent.steps.len();
    }
    if told.is_empty() && !found.0.iter().any(|(_, finding)| finding.is_error()) {
        order(table, &mut found);
    }
    let unread = !told.is_empty();
    let news = found.0.into_iter().filter(|(place, finding)| {
        !(unread && (!finding.is_error() || pipeline::is_told(place, &told)))
    });
    findings.0.extend(news);
}

fn unknown_tools(table: &Table, catalogue: &Catalogue, findings: &mut Findings) {
    for name in table.tags.keys().filter(|name| catalogue.get(name).is_none()) {
        let place = Place::of_plan("tools").field(name);
        findings.error(&place, "unknown_tool", format!("there is no tool `{name}`"));
        findings.suggest_closest(name, catalogue.0.keys().map(String::as_str));
    }
}

/// Whether a question can be about the intent, and its answer have the evidence that it wants.
fn meant(intent: &Intent, is_default: bool, place: &Place, findings: &mut Findings) {
    if intent.keywords.is_empty() && intent.patterns.is_empty() && !is_default {
        let message =
            "has neither keywords nor patterns and is not the default: no question is about it";
        findings.warning(place, "never_meant", message);
    }
    let wants = [
        ("min_evidence", intent.min_evidence.is_some()),
        ("min_confidence", intent.min_confidence.is_some()),
    ];
    for (name, _) in wants.into_iter().filter(|(_, wanted)| *wanted && !intent.calls()) {
        let message = "no step of the intent calls a tool, so that there is never any evidence";
        findings.error(&place.field(name), "no_evidence", message);
    }
}

/// Groups become inputs, so they need names that inputs can have and that mean nothing else.
fn groups(intent: &Intent, place: &Place, findings: &mut Findings) {
    for (at, pattern) in intent.patterns.iter().enumerate() {
        let place = place.field("patterns").item(at);
        for name in pattern.groups() {
            if compose::INPUTS.contains(&name) {
                let message = format!("every question has an input `{name}` already");
                findings.error(&place, "reserved_name", message);
            } else if !StepId::is_valid(name) {
                let message = format!(
                    "`{name}` is no name of an input: a letter, then letters, digits and underscores"
                );
                findings.error(&place, "invalid_value", message);
            }
        }
    }
}

/// Checks what would be done for the intent alone; `first` is the number of its first step.
fn plan(
    intent: &Intent,
    (place, first): (&Place, usize),
    catalogue: &Catalogue,
    findings: &mut Findings,
) {
    let plan =
        Plan { steps: intent.steps.clone(), answer: intent.answer.clone(), ..draft(&[intent]) };
    for (at, finding) in check::examine(&plan, Some(catalogue)).0 {
        let inside = at.step.is_some() || at.at.is_some();
        let path = if inside { at.path } else { format!("{}.{}", place.path, at.path) };
        let place = Place { at: at.at.map(|at| at + first), step: at.step, path: path.clone() };
        // Every question has its words and its time, whether somebody refers to them or not.
        if finding.code != "unused_input" {
            let path = if inside { finding.path } else { path };
            findings.0.push((place, Finding { path, ..finding }));
        }
    }
}

/// A question can be about all intents at once.
fn order(table: &Table, findings: &mut Findings) {
    let mut intents: Vec<&Intent> = table.intents.iter().collect();
    intents.sort_by_key(|intent| intent.priority);
    let mut steps = union(&intents);
    batches::link(&mut steps, &table.tags);
    let plan = Plan { steps, ..Plan::default() };
    for error in Graph::of(&plan).err().unwrap_or_default() {
        let code = match error {
            GraphError::Cycle(_) => "cycle",
            GraphError::Duplicate(_)
            | GraphError::Unknown { .. }
            | GraphError::AllSteps(_)
            | GraphError::Backward { .. }
            | GraphError::Expression { .. } => "no_order",
        };
        let message = format!("a question about several intents could not be answered: {error}");
        findings.error(&Place::of_plan("intents"), code, message);
    }
}
