//! What of a plan waits for what, and in which order it can be done. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::expression::{self, ExpressionError, References};
use crate::plan::{OnFailure, Plan, Repeat, Step, StepId, ToolCall, Work};

/// The dependencies of the steps of a plan; steps are given by their place in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    /// What each step waits for.
    pub needs: Vec<BTreeSet<usize>>,
    /// Of those, the ones that it refers to in any way.
    pub refers: Vec<BTreeSet<usize>>,
    /// Of those, the ones whose results it refers to: without a result it cannot be done.
    pub results: Vec<BTreeSet<usize>>,
    /// Those that need it, directly.
    pub dependants: Vec<BTreeSet<usize>>,
    /// Steps that could be done at the same time, from first to last.
    pub levels: Vec<Vec<usize>>,
}

/// Why the steps of a plan have no order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// Two steps have one name.
    #[error("there are two steps `{0}`")]
    Duplicate(StepId),
    /// A step refers to one that is not there.
    #[error("step `{step}` refers to step `{unknown}`, which is not there")]
    Unknown {
        /// Which step.
        step: StepId,
        /// What it refers to.
        unknown: String,
    },
    /// A step refers to `steps` without naming one.
    #[error("step `{0}` refers to `steps` without the name of one, as in `steps.name.result`")]
    AllSteps(StepId),
    /// A step goes on at one that stands before it.
    #[error("step `{step}` goes on at `{target}`, which does not stand behind it")]
    Backward {
        /// Which step.
        step: StepId,
        /// Where it goes on.
        target: StepId,
    },
    /// Steps wait for each other.
    #[error("steps wait for each other: {}", .0.iter().map(StepId::as_str).collect::<Vec<_>>().join(", "))]
    Cycle(Vec<StepId>),
    /// A template or expression cannot be read.
    #[error("step `{step}`: {error}")]
    Expression {
        /// Of which step.
        step: StepId,
        /// What is wrong.
        error: ExpressionError,
    },
}

impl GraphError {
    fn unknown(step: &Step, name: &str) -> Self {
        Self::Unknown { step: step.id.clone(), unknown: name.to_owned() }
    }

    /// The step that it is about; the first of those in a cycle.
    #[must_use]
    pub fn step(&self) -> Option<&StepId> {
        match self {
            Self::Duplicate(step)
            | Self::AllSteps(step)
            | Self::Unknown { step, .. }
            | Self::Backward { step, .. }
            | Self::Expression { step, .. } => Some(step),
            Self::Cycle(steps) => steps.first(),
        }
    }
}

impl Graph {
    /// The graph of `plan`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn of(plan: &Plan) -> Result<Self, Vec<GraphError>> {
        let mut errors = Vec::new();
        let places = places(plan, &mut errors);
        let mut graph = Self {
            needs: vec![BTreeSet::new(); plan.steps.len()],
            refers: vec![BTreeSet::new(); plan.steps.len()],
            results: vec![BTreeSet::new(); plan.steps.len()],
            dependants: vec![BTreeSet::new(); plan.steps.len()],
            levels: Vec::new(),
        };
        for (at, step) in plan.steps.iter().enumerate() {
            graph.link(at, step, &places, &mut errors);
            graph.route(at, step, &places, &mut errors);
        }
        for (at, needs) in graph.needs.iter().enumerate() {
            for need in needs {
                graph.dependants[*need].insert(at);
            }
        }
        errors.extend(graph.order(plan).err());
        if errors.is_empty() { Ok(graph) } else { Err(errors) }
    }

    /// All steps that wait for `step`, directly or not.
    #[must_use]
    pub fn downstream(&self, step: usize) -> BTreeSet<usize> {
        let (mut seen, mut open) = (vec![false; self.needs.len()], vec![step]);
        while let Some(at) = open.pop() {
            for next in &self.dependants[at] {
                if !std::mem::replace(&mut seen[*next], true) {
                    open.push(*next);
                }
            }
        }
        (0..seen.len()).filter(|at| seen[*at]).collect()
    }

    fn link(&mut self, at: usize, step: &Step, places: &Places, errors: &mut Vec<GraphError>) {
        for need in &step.needs {
            if self.need(at, need.as_str(), places).is_none() {
                errors.push(GraphError::unknown(step, need.as_str()));
            }
        }
        let references = references(step, errors);
        if references.to_all_steps() {
            errors.push(GraphError::AllSteps(step.id.clone()));
        }
        for (name, result) in references.steps() {
            // A fallback may look at the error of the step that it stands in for.
            if name == step.id.as_str() && !result {
                continue;
            }
            match self.need(at, name, places) {
                Some(found) => {
                    self.refers[at].insert(found);
                    if result {
                        self.results[at].insert(found);
                    }
                }
                None => errors.push(GraphError::unknown(step, name)),
            }
        }
    }

    fn need(&mut self, at: usize, name: &str, places: &Places) -> Option<usize> {
        let found = places.get(name).copied()?;
        self.needs[at].insert(found);
        Some(found)
    }

    /// What stands between a step and where it may go on waits for it: only then it is known whether it is
    /// to be done.
    fn route(&mut self, at: usize, step: &Step, places: &Places, errors: &mut Vec<GraphError>) {
        for target in routes(step) {
            match places.get(target.as_str()) {
                Some(found) if *found > at => {
                    for between in at + 1..=*found {
                        self.needs[between].insert(at);
                    }
                }
                Some(_) => errors
                    .push(GraphError::Backward { step: step.id.clone(), target: target.clone() }),
                None => errors
                    .push(GraphError::Unknown { step: step.id.clone(), unknown: target.0.clone() }),
            }
        }
    }

    /// Kahn's algorithm, a level at a time.
    fn order(&mut self, plan: &Plan) -> Result<(), GraphError> {
        let mut waits: Vec<usize> = self.needs.iter().map(BTreeSet::len).collect();
        let mut level: Vec<usize> = (0..waits.len()).filter(|at| waits[*at] == 0).collect();
        let mut done = 0;
        while !level.is_empty() {
            done += level.len();
            let mut next = BTreeSet::new();
            for at in &level {
                for dependant in &self.dependants[*at] {
                    waits[*dependant] -= 1;
                    if waits[*dependant] == 0 {
                        next.insert(*dependant);
                    }
                }
            }
            self.levels.push(std::mem::replace(&mut level, next.into_iter().collect()));
        }
        if done == waits.len() {
            return Ok(());
        }
        let stuck: BTreeSet<usize> = (0..waits.len()).filter(|at| waits[*at] > 0).collect();
        let cycle = stuck.iter().filter(|at| self.downstream(**at).contains(at));
        Err(GraphError::Cycle(cycle.map(|at| plan.steps[*at].id.clone()).collect()))
    }
}

type Places = BTreeMap<String, usize>;

fn places(plan: &Plan, errors: &mut Vec<GraphError>) -> Places {
    let mut places = Places::new();
    for (at, step) in plan.steps.iter().enumerate() {
        if places.insert(step.id.0.clone(), at).is_some() {
            errors.push(GraphError::Duplicate(step.id.clone()));
        }
    }
    places
}

/// Where a step may go on.
pub fn routes(step: &Step) -> impl Iterator<Item = &StepId> {
    let failed = match &step.on_failure {
        OnFailure::Route(target) => Some(target),
        OnFailure::Fail | OnFailure::Continue | OnFailure::Skip | OnFailure::Fallback(_) => None,
    };
    step.on_success.iter().chain(&step.on_false).chain(failed)
}

/// Everything a step refers to.
fn references(step: &Step, errors: &mut Vec<GraphError>) -> References {
    let mut all = References::default();
    let mut add = |found: Result<References, ExpressionError>| match found {
        Ok(found) => all.0.extend(found.0),
        Err(error) => errors.push(GraphError::Expression { step: step.id.clone(), error }),
    };
    step.condition.iter().for_each(|text| add(expression::of_expression(text)));
    match &step.work {
        Work::Call(call) => add(expression::of_templates(&call.arguments.0)),
        Work::Value(value) => add(expression::of_templates(&value.0)),
        Work::Gate { that, reason } => {
            add(expression::of_expression(that));
            add(expression::of_template(reason));
        }
        Work::Approval { prompt, .. } => add(expression::of_template(prompt)),
    }
    match &step.repeat {
        Repeat::Once => {}
        Repeat::Each { items, .. } => add(expression::of_templates(&items.0)),
        Repeat::While { condition, .. } => add(expression::of_expression(condition)),
    }
    if let OnFailure::Fallback(calls) = &step.on_failure {
        for ToolCall { arguments, .. } in calls {
            add(expression::of_templates(&arguments.0));
        }
    }
    all
}

#[cfg(test)]
mod tests;
