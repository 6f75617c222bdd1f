//! One repetition of a step: its call, its attempts, what stands in for it, and how it ends.

use perennial_runtime::{Failure, Turn};
use serde_json::Value;

use super::ending::bounded;
use super::models::purpose;
use super::scope::Around;
use super::steps::unfilled;
use super::{InstanceState, Orchestrator, OrchestratorMessage, Phase, Query, StepState};
use crate::expression;
use crate::json::Json;
use crate::metrics;
use crate::plan::{ErrorKind, OnFailure, Repeat, Step, ToolCall, ValueType, Work};
use crate::record::{Event, STEPS, StepRow, StepStatus, step_number};
use crate::tool::{ToolAnswer, ToolError, ToolSpec};
use crate::worker::{CallId, Order, ToolWorker, WorkerMessage};

impl Orchestrator {
    /// Begins what is ready, as far as the bounds allow. Returns whether a step has ended by that.
    pub(super) fn fill(
        &mut self,
        query: &Query,
        turn: &mut Turn<'_, Self>,
    ) -> Result<bool, Failure> {
        for at in 0..self.steps.len() {
            while let Some(instance) = self.ready(query, at, turn) {
                self.begin_instance(query, at, instance, turn)?;
                if self.phase != Phase::Running || matches!(self.steps[at], StepState::Ended(_)) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// The next repetition of a step that may be begun.
    fn ready(&self, query: &Query, at: usize, turn: &Turn<'_, Self>) -> Option<usize> {
        let StepState::Active(active) = &self.steps[at] else { return None };
        let most = turn.settings().max_parallel_tools;
        let most = query.plan().max_parallel.map_or(most, |own| own.min(most)).max(1);
        if self.calling >= most {
            return None;
        }
        let under_way = |state| matches!(state, InstanceState::Calling | InstanceState::Backoff);
        let busy = active.instances.iter().filter(|instance| under_way(instance.state)).count();
        let own = match query.step(at).repeat {
            Repeat::Each { max_parallel, .. } => max_parallel.max(1) as usize,
            Repeat::Once | Repeat::While { .. } => 1,
        };
        // One that waits for another attempt keeps its place: it comes back to it.
        let free = busy < own;
        active.instances.iter().position(|instance| instance.state == InstanceState::Ready && free)
    }

    fn begin_instance(
        &mut self,
        query: &Query,
        at: usize,
        instance: usize,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let step = query.step(at);
        let around = match self.around(query, at, instance, turn)? {
            Ok(around) => around,
            Err(error) => return self.instance_failed(query, (at, instance), error, turn),
        };
        let scope = self.scope(query, at, &around, turn)?;
        match &step.work {
            Work::Value(value) => match given(&value.0, &scope) {
                Ok(value) => self.instance_succeeded(query, (at, instance), value.0.into(), turn),
                Err(error) => self.instance_failed(query, (at, instance), error, turn),
            },
            Work::Call(own) => {
                let call = step.call(self.alternative(at, instance)).unwrap_or(own);
                match prepare(call, &scope, turn) {
                    Ok((arguments, group)) => {
                        let order = Order {
                            id: self.next_attempt((at, instance), turn),
                            step: step.id.clone(),
                            tool: call.tool.clone(),
                            arguments,
                            identity: query.submission.identity.clone(),
                            deadline: self.deadline,
                            timeout: step.timeout,
                        };
                        self.send_call(query, order, group, turn)
                    }
                    Err(error) => self.other_way(query, (at, instance), error, turn),
                }
            }
            Work::Gate { .. } | Work::Approval { .. } => {
                let why = ToolError::invalid("a gate or an approval cannot be repeated");
                self.instance_failed(query, (at, instance), why, turn)
            }
        }
    }

    /// Where a repetition stands among the others.
    fn around(
        &mut self,
        query: &Query,
        at: usize,
        instance: usize,
        turn: &Turn<'_, Self>,
    ) -> Result<Result<Around, ToolError>, Failure> {
        Ok(match &query.step(at).repeat {
            Repeat::Once => Ok(Around::Once),
            // The results that the list is made of do not change, so neither does the list.
            Repeat::Each { items, max_items, .. } => {
                let elements = self.elements(query, at, (&items.0, *max_items), turn)?;
                elements.and_then(|mut elements| {
                    let length = elements.len();
                    if instance >= length {
                        return Err(ToolError::failed("its list has become shorter"));
                    }
                    let item = elements.swap_remove(instance);
                    Ok(Around::Element { item, index: instance, length })
                })
            }
            Repeat::While { .. } => {
                let last = self.last_result(at, instance, turn)?;
                Ok(Around::Iteration { index: instance, last })
            }
        })
    }

    /// What the time before this one resulted in.
    pub(super) fn last_result(
        &self,
        at: usize,
        instance: usize,
        turn: &Turn<'_, Self>,
    ) -> Result<Value, Failure> {
        let Some(before) = instance.checked_sub(1).and_then(|one| u32::try_from(one).ok()) else {
            return Ok(Value::Null);
        };
        let row = turn.get(&STEPS, &(turn.key(), step_number(at, Some(before))))?;
        Ok(row.and_then(|row| row.result).map_or(Value::Null, |result| result.0))
    }

    /// Counts another attempt as begun.
    fn next_attempt(&mut self, place: (usize, usize), turn: &Turn<'_, Self>) -> CallId {
        if let StepState::Active(active) = &mut self.steps[place.0] {
            active.attempts += 1;
            let instance = &mut active.instances[place.1];
            instance.attempt += 1;
            instance.state = InstanceState::Calling;
        }
        self.call_id(place, turn)
    }

    /// Names the latest attempt.
    pub(super) fn call_id(&self, (at, instance): (usize, usize), turn: &Turn<'_, Self>) -> CallId {
        let (attempt, alternative) = match &self.steps[at] {
            StepState::Active(active) | StepState::Halting(active) => {
                (active.instances[instance].attempt, active.instances[instance].alternative)
            }
            StepState::Waiting | StepState::Asking | StepState::Ended(_) => (0, 0),
        };
        CallId {
            query: turn.key().to_owned(),
            step: u32::try_from(at).unwrap_or(u32::MAX),
            instance: u32::try_from(instance).unwrap_or(u32::MAX),
            alternative,
            attempt,
            run: self.retries,
        }
    }

    fn send_call(
        &mut self,
        query: &Query,
        order: Order,
        group: String,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let at = order.id.step as usize;
        self.calling += 1;
        if self.calling > self.peak {
            self.peak = self.calling;
            turn.measure(metrics::QUERY_PARALLEL, &[], f64::from(self.peak));
        }
        let repeated = query.step(at).repeat != Repeat::Once;
        let instance = repeated.then_some(order.id.instance);
        let mut row = self.step_row(at, instance, turn)?;
        row.started_at.get_or_insert(turn.now());
        row.status = StepStatus::Running;
        row.attempts += 1;
        row.tool.clone_from(&order.tool);
        self.keep(&row, turn);
        let started = Event::StepStarted {
            step: order.step.clone(),
            instance,
            attempt: order.id.attempt,
            tool: order.tool.clone(),
        };
        self.tell(started, turn);
        turn.send::<ToolWorker>(group, &WorkerMessage::Call(order));
        Ok(())
    }

    /// Takes what came of a call, if it is still waited for.
    pub(super) fn answered(
        &mut self,
        call: &CallId,
        result: Result<ToolAnswer, ToolError>,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        if let Some(purpose) = purpose(call.step) {
            return self.consulted(call, purpose, result, turn);
        }
        if !self.awaits(call, InstanceState::Calling) {
            return Ok(());
        }
        let query = self.query(turn)?;
        self.calling = self.calling.saturating_sub(1);
        let place = (call.step as usize, call.instance as usize);
        if matches!(self.steps[place.0], StepState::Halting(_)) {
            self.halted(&query, place, result, turn)?;
        } else {
            match result {
                Ok(answer) => self.instance_succeeded(&query, place, answer, turn)?,
                Err(error) => self.again(&query, place, error, turn)?,
            }
        }
        self.settle(&query, turn)?;
        self.go_on(turn)
    }

    pub(super) fn attempt_due(
        &mut self,
        call: &CallId,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        if !self.awaits(call, InstanceState::Backoff) {
            return Ok(());
        }
        if let StepState::Active(active) = &mut self.steps[call.step as usize] {
            active.instances[call.instance as usize].state = InstanceState::Ready;
        }
        self.go_on(turn)
    }

    /// Whether this very attempt stands in `state`.
    fn awaits(&self, call: &CallId, state: InstanceState) -> bool {
        let Some(StepState::Active(active) | StepState::Halting(active)) =
            self.steps.get(call.step as usize)
        else {
            return false;
        };
        let instance = active.instances.get(call.instance as usize);
        self.retries == call.run
            && instance.is_some_and(|instance| {
                instance.state == state
                    && instance.attempt == call.attempt
                    && instance.alternative == call.alternative
            })
    }

    /// Has a failed attempt made again after a wait, if that makes sense and there is time.
    fn again(
        &mut self,
        query: &Query,
        place: (usize, usize),
        error: ToolError,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let (at, instance) = place;
        let call = self.call_id(place, turn);
        let attempt = call.attempt;
        let retry = &query.step(at).retry;
        let passes = match retry.kinds.as_slice() {
            [] => error.kind.passes(),
            kinds => kinds.contains(&error.kind),
        };
        let chance = turn.random() as f64 / u64::MAX as f64;
        let wait = retry.wait(attempt, chance, error.retry_after);
        let in_time = self.phase != Phase::Running || turn.now() + wait < self.deadline;
        if !passes || attempt >= retry.attempts || !in_time {
            return self.other_way(query, place, error, turn);
        }
        if error.kind == ErrorKind::Unknown {
            let mut row = self.step_row(at, instance_of(query.step(at), instance), turn)?;
            row.error = Some(error.clone());
            self.keep(&row, turn);
        }
        self.set(place, InstanceState::Backoff);
        turn.send_after(wait, &attempt_timer(place), &OrchestratorMessage::AttemptDue(call));
        let step = query.step(at);
        let failed = Event::AttemptFailed {
            step: step.id.clone(),
            instance: instance_of(step, instance),
            attempt,
            error,
            again_at: turn.now() + wait,
        };
        self.tell(failed, turn);
        Ok(())
    }

    /// No attempt is left: something else stands in for the call, or it has failed.
    fn other_way(
        &mut self,
        query: &Query,
        place: (usize, usize),
        error: ToolError,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let (at, instance) = place;
        let step = query.step(at);
        let attempt = self.call_id(place, turn).attempt;
        let mut row = self.step_row(at, instance_of(step, instance), turn)?;
        let error = still_in_doubt(&row, error);
        let (OnFailure::Fallback(others), StepState::Active(active), Work::Call(own)) =
            (&step.on_failure, &mut self.steps[at], &step.work)
        else {
            return self.instance_failed(query, place, error, turn);
        };
        let state = &mut active.instances[instance];
        let Some(other) = others.get(state.alternative as usize) else {
            return self.instance_failed(query, place, error, turn);
        };
        state.alternative += 1;
        state.attempt = 0;
        state.state = InstanceState::Ready;
        row.fallback_from.get_or_insert_with(|| own.tool.clone());
        row.warnings.push(format!("another tool stood in, because of {error}"));
        row.error = Some(error.clone());
        self.keep(&row, turn);
        let (step, instance) = (step.id.clone(), instance_of(step, instance));
        let tool = other.tool.clone();
        self.tell(Event::StoodIn { step, instance, attempt, error, tool }, turn);
        Ok(())
    }

    fn instance_succeeded(
        &mut self,
        query: &Query,
        place: (usize, usize),
        answer: ToolAnswer,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let (at, instance) = place;
        self.set(place, InstanceState::Succeeded);
        let step = query.step(at);
        let repetition = instance_of(step, instance);
        let row = answered(self.step_row(at, repetition, turn)?, answer);
        if repetition.is_none() {
            return self.succeeded(query, row, turn);
        }
        self.close(row, StepStatus::Succeeded, String::new(), turn);
        match step.repeat {
            Repeat::While { .. } => self.iterate(query, at, turn),
            Repeat::Each { .. } | Repeat::Once => self.all_done(query, at, turn),
        }
    }

    fn instance_failed(
        &mut self,
        query: &Query,
        place: (usize, usize),
        error: ToolError,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let (at, instance) = place;
        self.set(place, InstanceState::Failed);
        let step = query.step(at);
        let Some(repetition) = instance_of(step, instance) else {
            return self.step_failed(query, at, error, turn);
        };
        let mut row = self.step_row(at, Some(repetition), turn)?;
        row.error = Some(error.clone());
        self.close(row, StepStatus::Failed, error.to_string(), turn);
        let each = matches!(step.repeat, Repeat::Each { .. });
        if each && step.on_failure == OnFailure::Continue {
            return self.all_done(query, at, turn);
        }
        let error = ToolError { message: format!("time {repetition}: {}", error.message), ..error };
        self.step_failed(query, at, error, turn)
    }

    fn alternative(&self, at: usize, instance: usize) -> u32 {
        match &self.steps[at] {
            StepState::Active(active) | StepState::Halting(active) => {
                active.instances[instance].alternative
            }
            StepState::Waiting | StepState::Asking | StepState::Ended(_) => 0,
        }
    }

    pub(super) fn set(&mut self, (at, instance): (usize, usize), state: InstanceState) {
        if let StepState::Active(active) | StepState::Halting(active) = &mut self.steps[at] {
            active.instances[instance].state = state;
        }
    }
}

/// The row of a call with what it answered.
pub(super) fn answered(mut row: StepRow, answer: ToolAnswer) -> StepRow {
    row.result = Some(answer.value);
    row.error = None;
    row.citations = answer.citations;
    row.warnings.extend(answer.warnings);
    row
}

/// An attempt that may have been made stays in doubt, whatever became of the next one.
pub(super) fn still_in_doubt(row: &StepRow, error: ToolError) -> ToolError {
    match &row.error {
        Some(doubt) if doubt.kind == ErrorKind::Unknown && error.kind != ErrorKind::Unknown => {
            let message = format!("{}; then {error}", doubt.message);
            ToolError { message, ..doubt.clone() }
        }
        Some(_) | None => error,
    }
}

/// Which repetition it is, if the step is repeated.
pub(super) fn instance_of(step: &Step, instance: usize) -> Option<u32> {
    (step.repeat != Repeat::Once).then(|| u32::try_from(instance).unwrap_or(u32::MAX))
}

/// The name of the timer of another attempt.
pub(super) fn attempt_timer((at, instance): (usize, usize)) -> String {
    format!("attempt:{at}:{instance}")
}

/// The arguments filled in and checked, and the group of the tool: before anything has happened.
fn prepare(
    call: &ToolCall,
    scope: &Value,
    turn: &Turn<'_, Orchestrator>,
) -> Result<(Json, String), ToolError> {
    let unknown = || ToolError::invalid(format!("there is no tool `{}`", call.tool));
    let spec = turn.settings().catalogue.get(&call.tool).ok_or_else(unknown)?;
    let mut arguments =
        expression::render(&call.arguments.0, scope).map_err(|error| unfilled(&error))?;
    as_text(spec, call, &mut arguments, scope)?;
    let arguments = Json(arguments);
    bounded("its arguments", &arguments)?;
    match spec.problems(&arguments.0, false).first() {
        Some((name, why)) => {
            Err(ToolError::invalid(format!("argument `{name}` of `{}` {why}", call.tool)))
        }
        None => Ok((arguments, spec.group.clone())),
    }
}

/// Where a tool takes text, a number or truth value that a template gave is written out.
fn as_text(
    spec: &ToolSpec,
    call: &ToolCall,
    arguments: &mut Value,
    scope: &Value,
) -> Result<(), ToolError> {
    let texts = spec.parameters.iter().filter(|known| known.value_type == ValueType::String);
    for parameter in texts {
        let template = call.arguments.0.get(&parameter.name).and_then(Value::as_str);
        let (Some(template), Some(value)) = (template, arguments.get_mut(&parameter.name)) else {
            continue;
        };
        if value.is_number() || value.is_boolean() {
            let text =
                expression::render_text(template, scope).map_err(|error| unfilled(&error))?;
            *value = Value::String(text);
        }
    }
    Ok(())
}

/// The value that a step gives.
fn given(value: &Value, scope: &Value) -> Result<Json, ToolError> {
    let value = Json(expression::render(value, scope).map_err(|error| unfilled(&error))?);
    bounded("its values", &value)?;
    Ok(value)
}
