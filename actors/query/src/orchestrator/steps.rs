//! Which step is done next, and how it is begun.

use perennial_runtime::{Failure, Turn, owner_prefix};
use serde_json::Value;

use super::scope::Around;
use super::{
    Active, End, Instance, InstanceState, Orchestrator, OrchestratorMessage, Phase, Query,
    StepState,
};
use crate::expression::{self, ExpressionError};
use crate::plan::{ErrorKind, Repeat, Work};
use crate::record::{Event, Outcome, STEPS, StepRow, StepStatus};
use crate::tool::ToolError;

/// What somebody who approves is shown, in bytes.
const MAX_PROMPT_BYTES: usize = 16 * 1024;

impl Orchestrator {
    /// Does whatever can be done now.
    pub(super) fn go_on(&mut self, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        if let Err(failure) = self.query(turn) {
            return self.abandon(failure, turn);
        }
        if !self.consult(turn)? {
            return Ok(());
        }
        let query = self.query(turn)?;
        if let Some(why) = query.unsound.clone().filter(|_| self.phase == Phase::Running) {
            return self.finish(&query, Outcome::Failed, why, turn);
        }
        while self.phase == Phase::Running {
            let decided = self.decide_all(&query, turn)?;
            if self.phase != Phase::Running {
                return Ok(());
            }
            let filled = self.fill(&query, turn)?;
            if !decided && !filled {
                return self.rest(&query, turn);
            }
        }
        Ok(())
    }

    /// Nothing more can be begun for now: it has ended, or waits for answers, or for a person.
    fn rest(&mut self, query: &Query, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        if self.steps.iter().all(|step| matches!(step, StepState::Ended(_))) {
            return self.conclude(query, turn);
        }
        let active =
            |step: &StepState| matches!(step, StepState::Active(_) | StepState::Halting(_));
        let active = self.steps.iter().any(active);
        let asking = self.steps.iter().any(|step| matches!(step, StepState::Asking));
        if asking && !active { self.park(Phase::Approval, turn) } else { Ok(()) }
    }

    /// Begins or skips each step whose turn it is. Returns whether there was one.
    fn decide_all(&mut self, query: &Query, turn: &mut Turn<'_, Self>) -> Result<bool, Failure> {
        let mut any = false;
        for at in 0..self.steps.len() {
            let needs = &query.graph.needs[at];
            let due = self.steps[at] == StepState::Waiting
                && needs.iter().all(|need| matches!(self.steps[*need], StepState::Ended(_)));
            if due && self.phase == Phase::Running {
                any = true;
                self.decide(query, at, turn)?;
            }
        }
        Ok(any)
    }

    fn decide(
        &mut self,
        query: &Query,
        at: usize,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        if let Some(reason) = self.unneeded(query, at) {
            return self.skip(at, reason, turn);
        }
        let step = query.step(at);
        if let Some(condition) = &step.condition {
            let scope = self.scope(query, at, &Around::Once, turn)?;
            match expression::holds(condition, &scope) {
                Ok(true) => {}
                Ok(false) => return self.condition_false(query, at, turn),
                Err(error) => return self.step_failed(query, at, condition_error(&error), turn),
            }
        }
        self.begin_step(query, at, turn)
    }

    /// Why a step is not done, if one that it needs leaves nothing to do for it.
    fn unneeded(&self, query: &Query, at: usize) -> Option<String> {
        let name = |need: &usize| query.step(*need).id.to_string();
        let needs = &query.graph.needs[at];
        if let Some(failed) =
            needs.iter().find(|need| self.steps[**need] == StepState::Ended(End::FailedForAll))
        {
            return Some(format!("it needs `{}`, which failed", name(failed)));
        }
        let results = &query.graph.results[at];
        let skipped =
            results.iter().find(|need| self.steps[**need] == StepState::Ended(End::Skipped))?;
        Some(format!("it needs the result of `{}`, which was skipped", name(skipped)))
    }

    fn condition_false(
        &mut self,
        query: &Query,
        at: usize,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        self.skip(at, "its condition is false".to_owned(), turn)?;
        match query.step(at).on_false.clone() {
            Some(target) => self.pass_over(query, at, &target, turn),
            None => Ok(()),
        }
    }

    fn begin_step(
        &mut self,
        query: &Query,
        at: usize,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let mut row = self.step_row(at, None, turn)?;
        row.status = StepStatus::Running;
        row.started_at = Some(turn.now());
        self.keep(&row, turn);
        let step = query.step(at);
        match (&step.repeat, &step.work) {
            (Repeat::Once, Work::Approval { prompt, wait }) => {
                self.ask(query, at, (prompt, *wait), turn)
            }
            (Repeat::Once, Work::Gate { that, reason }) => {
                self.gate(query, at, (that, reason), turn)
            }
            (Repeat::Once, _) => {
                self.steps[at] = StepState::Active(Active::of(1));
                Ok(())
            }
            (Repeat::Each { items, max_items, .. }, _) => {
                match self.elements(query, at, (&items.0, *max_items), turn)? {
                    Ok(elements) => {
                        let active = self.active(at, Some(elements.len()), turn)?;
                        self.steps[at] = StepState::Active(active);
                        self.all_done(query, at, turn)
                    }
                    Err(error) => self.step_failed(query, at, error, turn),
                }
            }
            (Repeat::While { .. }, _) => {
                self.steps[at] = StepState::Active(self.active(at, None, turn)?);
                self.iterate(query, at, turn)
            }
        }
    }

    /// The times of a repeated step, so many or as many as there are of. Those that had succeeded before the
    /// query was begun again are not done once more.
    fn active(
        &self,
        at: usize,
        times: Option<usize>,
        turn: &Turn<'_, Self>,
    ) -> Result<Active, Failure> {
        let kept = if self.retries == 0 { Vec::new() } else { kept(at, turn)? };
        let mut active = Active::of(times.unwrap_or(kept.len()));
        for row in kept {
            let instance = row.instance.unwrap_or_default() as usize;
            if let Some(one) = active.instances.get_mut(instance) {
                one.state = InstanceState::Succeeded;
                active.attempts += row.attempts;
            }
        }
        Ok(active)
    }

    /// Asks a person.
    fn ask(
        &mut self,
        query: &Query,
        at: usize,
        (prompt, wait): (&str, std::time::Duration),
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let scope = self.scope(query, at, &Around::Once, turn)?;
        match expression::render_text(prompt, &scope) {
            Ok(prompt) => {
                let prompt = shortened(prompt);
                self.steps[at] = StepState::Asking;
                let step = query.step(at).id.clone();
                let place = u32::try_from(at).unwrap_or(u32::MAX);
                turn.send_after(
                    wait,
                    &approval_timer(at),
                    &OrchestratorMessage::ApprovalOver(place),
                );
                self.tell(Event::ApprovalWanted { step, prompt, until: turn.now() + wait }, turn);
                Ok(())
            }
            Err(error) => self.step_failed(query, at, unfilled(&error), turn),
        }
    }

    /// Lets the query pass, or ends it as one whose evidence does not carry an answer.
    fn gate(
        &mut self,
        query: &Query,
        at: usize,
        (that, reason): (&str, &str),
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let scope = self.scope(query, at, &Around::Once, turn)?;
        match expression::holds(that, &scope) {
            Ok(true) => self.step_succeeded(query, at, Value::Bool(true), turn),
            Ok(false) => {
                let reason = expression::render_text(reason, &scope)
                    .unwrap_or_else(|_| format!("`{that}` does not hold"));
                let row = self.step_row(at, None, turn)?;
                self.close(row, StepStatus::Failed, reason.clone(), turn);
                self.steps[at] = StepState::Ended(End::Failed);
                self.finish(query, Outcome::Abstained, reason, turn)
            }
            Err(error) => self.step_failed(query, at, condition_error(&error), turn),
        }
    }

    /// The elements that a step is done for.
    pub(super) fn elements(
        &mut self,
        query: &Query,
        at: usize,
        (items, max): (&Value, u32),
        turn: &Turn<'_, Self>,
    ) -> Result<Result<Vec<Value>, ToolError>, Failure> {
        let scope = self.scope(query, at, &Around::Once, turn)?;
        let rendered = match items {
            Value::String(text) if !text.contains("{{") => expression::evaluate(text, &scope),
            Value::String(_)
            | Value::Array(_)
            | Value::Object(_)
            | Value::Null
            | Value::Bool(_)
            | Value::Number(_) => expression::render(items, &scope),
        };
        Ok(match rendered {
            Ok(Value::Array(items)) if items.len() <= max as usize => Ok(items),
            Ok(Value::Array(items)) => Err(ToolError::invalid(format!(
                "there are {} elements, over its bound of {max}",
                items.len()
            ))),
            Ok(other) => Err(ToolError::invalid(format!("`each` needs a list, not {other}"))),
            Err(error) => Err(unfilled(&error)),
        })
    }

    /// Begins another time of a `while`, unless its condition is false or its bound reached.
    pub(super) fn iterate(
        &mut self,
        query: &Query,
        at: usize,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let Repeat::While { condition, max_iterations } = &query.step(at).repeat else {
            return Ok(());
        };
        let StepState::Active(active) = &self.steps[at] else { return Ok(()) };
        let index = active.instances.len();
        let last = self.last_result(at, index, turn)?;
        let scope = self.scope(query, at, &Around::Iteration { index, last }, turn)?;
        match expression::holds(condition, &scope) {
            Ok(false) => self.all_done(query, at, turn),
            Ok(true) if index >= *max_iterations as usize => {
                let why = format!("`{condition}` still holds after {max_iterations} iterations");
                self.step_failed(query, at, ToolError::failed(why), turn)
            }
            Ok(true) => {
                if let StepState::Active(active) = &mut self.steps[at] {
                    active.instances.push(Instance::default());
                }
                Ok(())
            }
            Err(error) => self.step_failed(query, at, condition_error(&error), turn),
        }
    }
}

impl Active {
    fn of(instances: usize) -> Self {
        Self { instances: vec![Instance::default(); instances], attempts: 0 }
    }
}

/// What stands in an event: what is left out of it is told.
fn shortened(mut prompt: String) -> String {
    if prompt.len() > MAX_PROMPT_BYTES {
        let left_out = prompt.len() - MAX_PROMPT_BYTES;
        prompt.truncate(prompt.floor_char_boundary(MAX_PROMPT_BYTES));
        prompt.push_str(&format!("… (about {left_out} bytes more)"));
    }
    prompt
}

/// The times of a step of which there is a result, in order.
fn kept(at: usize, turn: &Turn<'_, Orchestrator>) -> Result<Vec<StepRow>, Failure> {
    let mut rows = turn.scan(&STEPS, &owner_prefix(turn.key()), usize::MAX)?;
    rows.retain(|row| {
        let of_step = row.place as usize == at && row.instance.is_some();
        of_step && row.status == StepStatus::Succeeded
    });
    Ok(rows)
}

/// The name of the timer of an approval.
pub(super) fn approval_timer(at: usize) -> String {
    format!("approval:{at}")
}

/// A condition without a value is told as what it is, not as a condition that is false.
fn condition_error(error: &ExpressionError) -> ToolError {
    ToolError::new(ErrorKind::Invalid, format!("its condition cannot be decided: {error}"))
}

/// Nothing was done yet: what the step needs is not there.
pub(super) fn unfilled(error: &ExpressionError) -> ToolError {
    ToolError::new(ErrorKind::Invalid, error)
}
