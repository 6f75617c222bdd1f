//! From the intents of a question to one plan: of each the steps that may be done, once.

use std::collections::BTreeSet;
use std::fmt;

use super::batches;
use super::intents::{Intent, union};
use super::key::calls;
use super::period::NAMES;
use super::{Planner, QuestionError};
use crate::expression;
use crate::graph::{Graph, routes};
use crate::plan::{Input, OnFailure, Plan, Step, StepId, ToolCall, ValueType, Work};
use crate::tool::Identity;

/// The input that holds the question itself.
pub(super) const QUESTION: &str = "question";
/// The inputs that every question has.
pub(super) const INPUTS: [&str; 4] = [QUESTION, NAMES[0], NAMES[1], NAMES[2]];
/// Characters of a result that are shown where no answer in words is written for it.
const SHOWN: usize = 2_000;

/// Something that is not done for a question, though it is about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The role may not call the tool.
    Tool {
        /// Which tool.
        tool: String,
        /// What the role has not.
        permission: String,
    },
    /// The role may not ask it.
    Intent {
        /// Which intent.
        intent: String,
        /// The roles that may.
        roles: Vec<String>,
    },
    /// It rests on something that is not done.
    Step {
        /// Which step.
        step: StepId,
        /// The step that it refers to.
        other: StepId,
    },
}

impl fmt::Display for Denied {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tool { tool, permission } => {
                write!(formatter, "denied: {tool} (needs {permission})")
            }
            Self::Intent { intent, roles } => {
                write!(formatter, "denied: {intent} (only for {})", roles.join(", "))
            }
            Self::Step { step, other } => {
                write!(formatter, "left out: step {step} (refers to {other}, which is left out)")
            }
        }
    }
}

/// What is done for a question.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Composed<'t> {
    pub(super) plan: Plan,
    /// Those of which something is done: the winner first.
    pub(super) intents: Vec<&'t Intent>,
}

/// A plan without steps, with the inputs that a question about `intents` has.
pub(super) fn draft(intents: &[&Intent]) -> Plan {
    let groups: BTreeSet<&str> = intents.iter().flat_map(|intent| intent.groups()).collect();
    let names = INPUTS.into_iter().chain(groups);
    let inputs = names.map(|name| Input {
        name: name.to_owned(),
        value_type: ValueType::Any,
        description: String::new(),
        default: None,
    });
    let first = intents.first();
    Plan {
        name: first.map(|intent| intent.id.clone()).unwrap_or_default(),
        description: first.map(|intent| intent.description.clone()).unwrap_or_default(),
        inputs: inputs.collect(),
        ..Plan::default()
    }
}

impl Planner {
    /// The plan of `intents`, which are in their order, without what `identity` may not have done: that is
    /// added to `denied`. Nothing if nothing is left.
    pub(super) fn compose<'t>(
        &self,
        intents: &[&'t Intent],
        winner: &Intent,
        identity: &Identity,
        denied: &mut Vec<Denied>,
    ) -> Result<Option<Composed<'t>>, QuestionError> {
        let mut steps = union(intents);
        batches::link(&mut steps, &self.table.tags);
        let mut plan = Plan { steps, ..Plan::default() };
        let mut out = self.left_out(&plan, identity, denied)?;
        let left: Vec<&Intent> =
            intents.iter().copied().filter(|intent| is_left(intent, &out)).collect();
        let wanted: BTreeSet<&StepId> =
            left.iter().flat_map(|intent| &intent.steps).map(|step| &step.id).collect();
        out.extend(plan.steps.iter().map(|step| step.id.clone()).filter(|id| !wanted.contains(id)));
        plan.steps.retain(|step| !out.contains(&step.id));
        if plan.steps.is_empty() {
            return Ok(None);
        }
        for step in &mut plan.steps {
            self.strip(step, &out, identity);
        }
        plan.steps.extend(left.iter().flat_map(|intent| gates(intent, &out)));
        let first = |intent: &&&Intent| intent.id == winner.id;
        let others = left.iter().filter(|intent| !first(intent));
        let named: Vec<&Intent> = left.iter().filter(first).chain(others).copied().collect();
        let answers: Vec<String> = named.iter().map(|intent| answer(intent, &out)).collect();
        plan.answer = Some(answers.join("\n\n"));
        Ok(Some(Composed {
            plan: Plan { steps: plan.steps, answer: plan.answer, ..draft(&named) },
            intents: named,
        }))
    }

    /// Steps that call what `identity` may not, and those that refer to them.
    fn left_out(
        &self,
        plan: &Plan,
        identity: &Identity,
        denied: &mut Vec<Denied>,
    ) -> Result<BTreeSet<StepId>, QuestionError> {
        let graph = Graph::of(plan).map_err(|errors| {
            QuestionError::Invalid(errors.iter().map(ToString::to_string).collect())
        })?;
        let mut out = BTreeSet::new();
        for at in graph.levels.iter().flatten() {
            let step = &plan.steps[*at];
            for refused in calls(step).filter_map(|call| self.refused(call, identity)) {
                if !denied.contains(&refused) {
                    denied.push(refused);
                }
            }
            let own = step.call(0).is_some_and(|call| self.refused(call, identity).is_some());
            let refers = graph.refers[*at].iter().map(|other| &plan.steps[*other].id);
            let other = refers.into_iter().find(|other| out.contains(*other)).cloned();
            if own || other.is_some() {
                out.insert(step.id.clone());
            }
            denied.extend(
                other.filter(|_| !own).map(|other| Denied::Step { step: step.id.clone(), other }),
            );
        }
        Ok(out)
    }

    /// Why `identity` may not make this call, if it may not.
    fn refused(&self, call: &ToolCall, identity: &Identity) -> Option<Denied> {
        let spec = self.catalogue.get(&call.tool)?;
        self.roles.check(identity, spec).err()?;
        let permission = spec.permission.clone().unwrap_or_default();
        Some(Denied::Tool { tool: call.tool.clone(), permission })
    }

    /// Takes out of `step` what leads to steps that are left out, and fallbacks that may not be called.
    fn strip(&self, step: &mut Step, out: &BTreeSet<StepId>, identity: &Identity) {
        let gone: BTreeSet<StepId> = routes(step).filter(|to| out.contains(to)).cloned().collect();
        step.needs.retain(|need| !out.contains(need));
        step.on_success.take_if(|to| gone.contains(to));
        step.on_false.take_if(|to| gone.contains(to));
        let given_up = match &mut step.on_failure {
            OnFailure::Route(to) => gone.contains(to),
            OnFailure::Fallback(calls) => {
                calls.retain(|call| self.refused(call, identity).is_none());
                calls.is_empty()
            }
            OnFailure::Fail | OnFailure::Continue | OnFailure::Skip => false,
        };
        if given_up {
            step.on_failure = OnFailure::Fail;
        }
    }
}

/// Whether something of `intent` is done without the steps in `out`: a call, unless it never makes one.
fn is_left(intent: &Intent, out: &BTreeSet<StepId>) -> bool {
    let mut left = intent.steps.iter().filter(|step| !out.contains(&step.id));
    left.any(|step| !intent.calls() || matches!(step.work, Work::Call(_)))
}

/// The names of the steps that see to the least evidence and the least confidence of an intent.
pub(super) fn gate_ids(intent: &str) -> [StepId; 2] {
    [StepId(format!("{intent}_evidence")), StepId(format!("{intent}_confidence"))]
}

/// The steps that give the query up where the evidence of `intent` does not carry an answer.
fn gates(intent: &Intent, out: &BTreeSet<StepId>) -> Vec<Step> {
    let called: Vec<&StepId> = called(intent, out).collect();
    let each = |form: &dyn Fn(&StepId) -> String| {
        called.iter().map(|id| form(id)).collect::<Vec<_>>().join(", ")
    };
    let [evidence, confidence] = gate_ids(&intent.id);
    let mut gates = Vec::new();
    if let Some(least) = intent.min_evidence {
        let all = each(&|id| format!("steps.{id}.citations"));
        let count = format!("[] | chain({all}) | unique(attribute=\"id\") | length");
        let reason = format!(
            "the evidence does not carry an answer: found {{{{ {count} }}}}, needed {least}"
        );
        gates.push(gate(evidence, format!("({count}) >= {least}"), reason));
    }
    if let Some(least) = intent.min_confidence {
        let all = each(&|id| {
            format!("(steps.{id}.result | default({{}})).confidence | default(0) | float")
        });
        let most = format!("[{all}] | max");
        let reason = format!("not sure enough of an answer: {{{{ {most} }}}}, needed {least}");
        gates.push(gate(confidence, format!("({most}) >= {least}"), reason));
    }
    gates
}

fn gate(id: StepId, that: String, reason: String) -> Step {
    Step::new(id.0, Work::Gate { that, reason })
}

/// The steps of `intent` that call something and are not in `out`.
fn called<'s>(intent: &'s Intent, out: &BTreeSet<StepId>) -> impl Iterator<Item = &'s StepId> {
    let calls = intent.steps.iter().filter(|step| matches!(step.work, Work::Call(_)));
    calls.map(|step| &step.id).filter(|id| !out.contains(id))
}

/// The template of the answer to `intent`: its own, if everything that it refers to is done, and otherwise
/// what came of its steps.
fn answer(intent: &Intent, out: &BTreeSet<StepId>) -> String {
    let whole = |template: &&String| {
        let references = expression::of_template(template).unwrap_or_default();
        references.steps().all(|(step, _)| !out.contains(&StepId::from(step)))
    };
    match intent.answer.as_ref().filter(whole) {
        Some(template) => template.clone(),
        None => {
            let steps = intent.steps.iter().filter(|step| !out.contains(&step.id));
            let shown = steps.map(|step| shown(&step.id));
            shown.collect::<Vec<String>>().join("")
        }
    }
}

/// A template of what came of a step, if something did. Double brackets in it are no marks of evidence.
pub(crate) fn shown(id: &StepId) -> String {
    format!(
        "{{% if steps.{id}.result is defined %}}{id}: \
         {{{{ (steps.{id}.result | string)[:{SHOWN}] | replace(\"[[\", \"[ [\") }}}}\n{{% endif %}}"
    )
}
