//! How steps end, and how the query does.

use std::collections::BTreeSet;

use perennial_runtime::{Failure, Turn};
use serde_json::{Map, Value};

use super::conclusion::Conclusion;
use super::{
    DEADLINE_TIMER, End, InstanceState, Orchestrator, OrchestratorMessage, Phase, Query, StepState,
    WATCHERS, release,
};
use crate::expression;
use crate::json::Json;
use crate::metrics;
use crate::plan::{ErrorKind, OnFailure, StepId};
use crate::record::{
    Answer, DEAD_STEPS, DeadStep, EVENTS, Event, Outcome, QUERIES, QueryStatus, STEPS, SUBMISSIONS,
    StepRow, StepStatus, step_number,
};
use crate::tool::{Citation, ToolError};

/// What stands in one row or message, in bytes: the outputs and the answer of a query, the results of a
/// repeated step, the arguments of a call.
pub(super) const MAX_RESULT_BYTES: usize = 1024 * 1024;
/// What composed an answer without a model.
const TEMPLATE: &str = "template";

impl Orchestrator {
    /// Skips a step.
    pub(super) fn skip(
        &mut self,
        at: usize,
        reason: String,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let row = self.step_row(at, None, turn)?;
        self.close(row, StepStatus::Skipped, reason, turn);
        self.steps[at] = StepState::Ended(End::Skipped);
        Ok(())
    }

    /// Goes on at `target`: what stands between is skipped.
    pub(super) fn pass_over(
        &mut self,
        query: &Query,
        at: usize,
        target: &StepId,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let steps = &query.plan().steps;
        let end = steps.iter().position(|step| step.id == *target).unwrap_or(at);
        for between in at + 1..end {
            if self.steps[between] == StepState::Waiting {
                let reason = format!("`{}` went on at `{target}`", query.step(at).id);
                self.skip(between, reason, turn)?;
            }
        }
        Ok(())
    }

    /// A step that is not repeated, and calls nothing, has this result.
    pub(super) fn step_succeeded(
        &mut self,
        query: &Query,
        at: usize,
        value: Value,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let mut row = self.step_row(at, None, turn)?;
        row.result = Some(Json(value));
        self.succeeded(query, row, turn)
    }

    pub(super) fn succeeded(
        &mut self,
        query: &Query,
        row: StepRow,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let at = row.place as usize;
        self.close(row, StepStatus::Succeeded, String::new(), turn);
        self.steps[at] = StepState::Ended(End::Succeeded);
        match query.step(at).on_success.clone() {
            Some(target) => self.pass_over(query, at, &target, turn),
            None => Ok(()),
        }
    }

    /// Ends a repeated step, if all its times have.
    pub(super) fn all_done(
        &mut self,
        query: &Query,
        at: usize,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let (StepState::Active(active) | StepState::Halting(active)) = &self.steps[at] else {
            return Ok(());
        };
        let ended = |state| matches!(state, InstanceState::Succeeded | InstanceState::Failed);
        if !active.instances.iter().all(|instance| ended(instance.state)) {
            return Ok(());
        }
        let count = u32::try_from(active.instances.len()).unwrap_or(u32::MAX);
        let mut row = self.step_row(at, None, turn)?;
        let (mut results, mut citations, mut failed) = (Vec::new(), BTreeSet::new(), 0);
        for instance in 0..count {
            let one = self.step_row(at, Some(instance), turn)?;
            row.attempts += one.attempts;
            row.tool = one.tool;
            failed += u32::from(one.status == StepStatus::Failed);
            results.push(one.result.map_or(Value::Null, |result| result.0));
            citations.extend(one.citations);
        }
        let results = Json(Value::Array(results));
        if let Err(error) = bounded("its results", &results) {
            return self.step_failed(query, at, error, turn);
        }
        row.result = Some(results);
        row.citations = citations.into_iter().collect();
        if failed == 0 {
            return self.succeeded(query, row, turn);
        }
        self.keep(&row, turn);
        let why = format!("{failed} of {count} times failed");
        self.step_failed(query, at, ToolError::failed(why), turn)
    }

    /// No attempt is left: what follows, the plan says.
    pub(super) fn step_failed(
        &mut self,
        query: &Query,
        at: usize,
        error: ToolError,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let halting = self.recall(query, at, turn)?;
        let mut row = self.step_row(at, None, turn)?;
        if let StepState::Active(active) | StepState::Halting(active) = &self.steps[at] {
            row.attempts = row.attempts.max(active.attempts);
        }
        row.error = Some(error.clone());
        if halting {
            // It ends with the last of its calls. What they do until then is not lost.
            row.status = StepStatus::Halting;
            self.keep(&row, turn);
            return Ok(());
        }
        if row.attempts > 0 {
            self.bury(&row, &error, turn);
        }
        self.close(row, StepStatus::Failed, error.to_string(), turn);
        let step = query.step(at);
        self.steps[at] = StepState::Ended(match step.on_failure {
            OnFailure::Skip => End::FailedForAll,
            OnFailure::Fail
            | OnFailure::Continue
            | OnFailure::Route(_)
            | OnFailure::Fallback(_) => End::Failed,
        });
        match step.on_failure.clone() {
            OnFailure::Continue | OnFailure::Skip => Ok(()),
            OnFailure::Route(target) => self.pass_over(query, at, &target, turn),
            OnFailure::Fail | OnFailure::Fallback(_) => {
                let reason = format!("step `{}`: {error}", step.id);
                self.finish(query, Outcome::Failed, reason, turn)
            }
        }
    }

    /// Keeps a step whose attempts are used up for somebody to look at.
    pub(super) fn bury(&self, row: &StepRow, error: &ToolError, turn: &mut Turn<'_, Self>) {
        let dead = DeadStep {
            query: turn.key().to_owned(),
            step: row.id.clone(),
            tool: row.tool.clone(),
            attempts: row.attempts,
            error: error.clone(),
            at: turn.now(),
        };
        let id = turn.key().to_owned();
        turn.put(&DEAD_STEPS, &(id.as_str(), step_number(row.place as usize, None)), &dead);
    }

    /// Every step has ended: so has the query.
    pub(super) fn conclude(
        &mut self,
        query: &Query,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let failed =
            |state: &StepState| matches!(state, StepState::Ended(End::Failed | End::FailedForAll));
        let failed: Vec<&str> = (0..self.steps.len())
            .filter(|at| failed(&self.steps[*at]))
            .map(|at| query.step(at).id.as_str())
            .collect();
        let mut reasons = query.submission.problems.clone();
        if !failed.is_empty() {
            reasons.push(format!("failed steps: {}", failed.join(", ")));
        }
        let reason = reasons.join("; ");
        if !reason.is_empty() {
            return self.finish(query, Outcome::Failed, reason, turn);
        }
        if query.submission.by_model.answer {
            return self.want_answer(query, turn);
        }
        let (outcome, reason) = self.at_best();
        self.finish(query, outcome, reason, turn)
    }

    /// Ends the query, now that nothing of it goes on any more. `said` is an answer that was not composed from the
    /// results, and what there is to say of it.
    pub(super) fn end(
        &mut self,
        query: &Query,
        (outcome, reason): (Outcome, String),
        said: Option<(Answer, Vec<String>)>,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        self.calling = 0;
        turn.cancel(DEADLINE_TIMER);
        let result = self.result(query, (outcome, reason), said, turn)?;
        let (now, peak, retries) = (turn.now(), self.peak, self.retries);
        let mut seconds = 0.0;
        self.change(turn, |row| {
            seconds = now.since(row.accepted_at).as_secs_f64();
            row.status = QueryStatus::Finished;
            row.outcome = Some(result.outcome);
            row.reason.clone_from(&result.reason);
            row.ended_at = Some(now);
            row.deadline = None;
            row.outputs = Json(Value::Object(result.outputs));
            row.answer = result.answer;
            for warning in result.warnings {
                // A query that was begun again ends again.
                if !row.warnings.contains(&warning) {
                    row.warnings.push(warning);
                }
            }
            row.parallel_peak = peak;
            row.retries = retries;
        })?;
        let (outcome, reason) = (result.outcome, result.reason);
        let submission = &query.submission;
        let kind = submission.origin.as_str();
        let labels = [
            ("role", submission.identity.role.as_str()),
            ("type", kind),
            ("outcome", outcome.as_str()),
        ];
        turn.count(metrics::QUERIES, &labels);
        turn.measure(metrics::QUERY_SECONDS, &[("type", kind)], seconds);
        self.over(outcome, reason, turn)
    }

    /// The query has ended: tells everybody, gives its place back, and is forgotten after a time.
    pub(super) fn over(
        &mut self,
        outcome: Outcome,
        reason: String,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        self.tell_watchers((outcome, &reason), turn)?;
        self.tell(Event::Finished { outcome, reason }, turn);
        self.phase = Phase::Ended;
        release(turn, Some(outcome));
        turn.send_after(turn.settings().retention, "forget", &OrchestratorMessage::Forget);
        Ok(())
    }

    /// What the query results in, as far as there is something.
    fn result(
        &mut self,
        query: &Query,
        (outcome, reason): (Outcome, String),
        said: Option<(Answer, Vec<String>)>,
        turn: &Turn<'_, Self>,
    ) -> Result<Conclusion, Failure> {
        let scope = self.whole_scope(query, turn)?;
        let mut end =
            Conclusion { outcome, reason, outputs: Map::new(), answer: None, warnings: Vec::new() };
        for (name, template) in &query.plan().outputs {
            match expression::render(&template.0, &scope) {
                Ok(value) => {
                    end.outputs.insert(name.clone(), value);
                }
                Err(error) => end.wanting(&format!("output `{name}`: {error}")),
            }
        }
        // Who has taken a question back is not asked back.
        let asks = matches!(outcome, Outcome::Clarification | Outcome::Failed);
        if let Some(text) = query.submission.clarification.as_ref().filter(|_| asks) {
            end.answer = Some(self.answer(text.clone(), turn)?);
        }
        if let Some((answer, warnings)) = said {
            end.warnings.extend(warnings);
            end.claim(answer);
            end.bound();
            return Ok(end);
        }
        // Its words may tell of steps that were not done, and of evidence that does not carry it.
        let unsaid = matches!(outcome, Outcome::Abstained | Outcome::Cancelled | Outcome::Failed);
        let template = query.plan().answer.as_ref().filter(|_| !unsaid);
        match template.map(|template| expression::render_text(template, &scope)) {
            Some(Ok(text)) => {
                let answer = self.answer(text, turn)?;
                end.claim(answer);
            }
            Some(Err(error)) => end.wanting(&format!("the answer: {error}")),
            None => {}
        }
        end.bound();
        Ok(end)
    }

    fn answer(&mut self, text: String, turn: &Turn<'_, Self>) -> Result<Answer, Failure> {
        let mut citations: BTreeSet<Citation> = BTreeSet::new();
        for at in 0..self.steps.len() {
            citations.extend(self.step_row(at, None, turn)?.citations);
        }
        let citations = citations.into_iter().collect();
        Ok(Answer { text, composed_by: TEMPLATE.to_owned(), citations })
    }

    /// Nobody has approved in time.
    pub(super) fn approval_over(
        &mut self,
        step: u32,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let at = step as usize;
        if self.steps.get(at) != Some(&StepState::Asking) {
            return Ok(());
        }
        let query = self.query(turn)?;
        let late = ToolError::new(ErrorKind::Timeout, "nobody approved it in time");
        self.step_failed(&query, at, late, turn)?;
        self.wake(turn)
    }

    /// Goes on after a person decided, with a place of its own if it had given it back.
    pub(super) fn wake(&mut self, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        match self.phase {
            Phase::Approval => self.queue(turn),
            Phase::Running => self.go_on(turn),
            Phase::Unknown | Phase::Waiting | Phase::Paused | Phase::Ended | Phase::Ending(_) => {
                Ok(())
            }
        }
    }

    /// Deletes everything that is known of the query.
    pub(super) fn forget(&mut self, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        if self.phase != Phase::Ended {
            return Ok(());
        }
        let id = turn.key().to_owned();
        self.forget_steps(|_| true, turn)?;
        self.forget_models(turn);
        for number in 1..=self.events {
            turn.delete(&EVENTS, &(id.as_str(), number));
        }
        turn.delete(&SUBMISSIONS, &id);
        turn.delete(&WATCHERS, &id);
        turn.delete(&QUERIES, &id);
        turn.stop();
        Ok(())
    }

    /// Deletes the rows of steps that are to be deleted.
    pub(super) fn forget_steps(
        &self,
        which: impl Fn(&StepRow) -> bool,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let id = turn.key().to_owned();
        let rows = turn.scan(&STEPS, &perennial_runtime::owner_prefix(&id), usize::MAX)?;
        for row in rows.iter().filter(|row| which(row)) {
            let number = step_number(row.place as usize, row.instance);
            turn.delete(&STEPS, &(id.as_str(), number));
            turn.delete(&DEAD_STEPS, &(id.as_str(), number));
        }
        Ok(())
    }
}

/// Refuses what would not fit a row or a message, which would keep the turn from being applied at all.
pub(super) fn bounded(what: &str, value: &Json) -> Result<(), ToolError> {
    let bytes = value.bytes();
    if bytes <= MAX_RESULT_BYTES {
        return Ok(());
    }
    let why = format!("{what} have {bytes} bytes, over the limit of {MAX_RESULT_BYTES}");
    Err(ToolError::failed(why))
}
