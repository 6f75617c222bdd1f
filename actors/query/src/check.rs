//! What is wrong or doubtful in a plan, all of it at once. Pure.

use std::fmt;

use serde::Serialize;

use crate::graph::{Graph, GraphError};
use crate::plan::{Plan, StepId};
use crate::tool::Catalogue;

pub(crate) mod place;

mod bounds;
pub(crate) mod ids;
pub(crate) mod references;
mod sites;
pub(crate) mod tools;

pub(crate) use bounds::MAX_ATTEMPTS;
use place::{Findings, Place};

/// Steps of one plan.
pub const MAX_STEPS: usize = 500;

/// Something that is wrong or doubtful in a plan or in the document it was read from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Whether the plan is refused for it.
    pub severity: Severity,
    /// What kind of finding, such as `unknown_tool`. Stable.
    pub code: &'static str,
    /// In which step, if it is in one with a name.
    pub step: Option<StepId>,
    /// Where in the step, or else in the document, such as `arguments.path`; empty if it is all of it.
    pub path: String,
    /// In which line of the document, from 1, if it was read from text.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What was probably meant; would stand in place of what is wrong.
    pub suggestion: Option<String>,
}

/// Whether a plan is refused for a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It is.
    Error,
    /// It is not, but may not do what was meant.
    Warning,
}

impl Finding {
    /// Whether the plan is refused for it.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(formatter, "line {line}: ")?;
        }
        if self.severity == Severity::Warning {
            write!(formatter, "warning: ")?;
        }
        if let Some(step) = &self.step {
            write!(formatter, "step `{step}`: ")?;
        }
        if !self.path.is_empty() {
            write!(formatter, "{}: ", self.path)?;
        }
        formatter.write_str(&self.message)?;
        match &self.suggestion {
            Some(suggestion) => write!(formatter, "; did you mean `{suggestion}`?"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong or doubtful in `plan`, which may call the tools in `catalogue`. A plan without an
/// error among the findings has a [`Graph`].
#[must_use]
pub fn check(plan: &Plan, catalogue: &Catalogue) -> Vec<Finding> {
    examine(plan, Some(catalogue)).into_findings()
}

/// The same, with the places that lines are found by. Without a catalogue, tools are not looked at.
pub(crate) fn examine(plan: &Plan, catalogue: Option<&Catalogue>) -> Findings {
    let mut findings = Findings::default();
    if plan.steps.len() > MAX_STEPS {
        let message = format!("a plan has at most {MAX_STEPS} steps, not {}", plan.steps.len());
        findings.error(&Place::of_plan("steps"), "too_many_steps", message);
        return findings;
    }
    ids::check(plan, &mut findings);
    references::check(plan, &mut findings);
    if let Some(catalogue) = catalogue {
        tools::check(plan, catalogue, &mut findings);
    }
    bounds::check(plan, &mut findings);
    if plan.steps.iter().any(|step| !ids::is_name(step.id.as_str())) {
        // Its names are not the names of steps, so neither are its cycles cycles.
        return findings;
    }
    match Graph::of(plan) {
        Ok(graph) => bounds::warn_of_continued(plan, &graph, &mut findings),
        Err(errors) => errors.iter().for_each(|error| no_order(plan, error, &mut findings)),
    }
    findings
}

/// Cycles only the graph finds; everything else it refuses was found above, with its place.
fn no_order(plan: &Plan, error: &GraphError, findings: &mut Findings) {
    match error {
        GraphError::Cycle(steps) => {
            let first = plan.steps.iter().enumerate().find(|(_, step)| steps.contains(&step.id));
            let place = first.map_or_else(Place::default, |(at, step)| Place::of_step(at, step));
            let message = match steps.as_slice() {
                [_] => "the step waits for itself".to_owned(),
                _ => error.to_string(),
            };
            findings.error(&place, "cycle", message);
        }
        GraphError::Duplicate(_)
        | GraphError::Unknown { .. }
        | GraphError::AllSteps(_)
        | GraphError::Backward { .. }
        | GraphError::Expression { .. } => {}
    }
}

#[cfg(test)]
mod tests;
