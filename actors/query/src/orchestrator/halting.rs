//! Ending what is under way. A call that was told to end may be made all the same: until it is known what
//! became of each, the step, and the query, has not ended. So nothing that was done is lost or done twice.

use std::time::Duration;

use perennial_runtime::{Failure, Turn};

use super::instance::{answered, attempt_timer, instance_of, still_in_doubt};
use super::steps::approval_timer;
use super::{
    DEADLINE_TIMER, End, Instance, InstanceState, Orchestrator, OrchestratorMessage, Phase, Query,
    StepState,
};
use crate::plan::{ErrorKind, Repeat};
use crate::record::{Answer, Event, Outcome, QUERIES, QueryStatus, StepRow, StepStatus};
use crate::tool::{ToolAnswer, ToolError};
use crate::worker::{CallId, ToolWorker, WorkerMessage};

/// A call that was told to end has this long. A tool is dropped at once and asked what it did for 3 seconds;
/// the rest is for a machine that is busy.
const HALT: Duration = Duration::from_secs(30);
/// Times that it is tried to read what a query is.
const READS: u32 = 3;
/// A timer that fires so much too late fell due while the node was down.
const LATE: Duration = Duration::from_secs(5);

impl Orchestrator {
    /// Ends the query. What was not begun never is, and what is under way is told to end: the query has ended
    /// when that has.
    pub(super) fn finish(
        &mut self,
        query: &Query,
        outcome: Outcome,
        reason: String,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        self.finish_with(query, (outcome, reason), None, turn)
    }

    /// The same, with an answer that was not composed from the results, and what there is to say of it. There is
    /// none while a call is under way.
    pub(super) fn finish_with(
        &mut self,
        query: &Query,
        (outcome, reason): (Outcome, String),
        said: Option<(Answer, Vec<String>)>,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        if matches!(self.phase, Phase::Ending(_) | Phase::Ended) {
            return Ok(());
        }
        self.cut(query, turn)?;
        if !self.is_halting() {
            return self.end(query, (outcome, reason), said, turn);
        }
        self.phase = Phase::Ending(outcome);
        self.await_halts(turn);
        self.change(turn, |row| {
            row.status = QueryStatus::Running;
            row.reason.clone_from(&reason);
            row.deadline = None;
        })?;
        self.tell(Event::Ending { outcome, reason }, turn);
        Ok(())
    }

    fn is_halting(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, StepState::Halting(_)))
    }

    fn await_halts(&mut self, turn: &mut Turn<'_, Self>) {
        self.deadline = turn.now() + HALT;
        turn.send_at(self.deadline, DEADLINE_TIMER, &OrchestratorMessage::DeadlineOver);
    }

    /// Ends every step that has not, or has it end with its calls.
    fn cut(&mut self, query: &Query, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        for at in 0..self.steps.len() {
            match &self.steps[at] {
                StepState::Ended(_) | StepState::Halting(_) => {}
                StepState::Waiting => self.leave(at, StepStatus::NotRun, turn)?,
                StepState::Asking => {
                    turn.cancel(&approval_timer(at));
                    self.leave(at, StepStatus::Cancelled, turn)?;
                }
                StepState::Active(_) => {
                    if self.recall(query, at, turn)? {
                        let mut row = self.step_row(at, None, turn)?;
                        row.status = StepStatus::Halting;
                        self.keep(&row, turn);
                    } else {
                        self.cut_short(query, at, turn)?;
                    }
                }
            }
        }
        self.recall_model(turn)
    }

    /// Ends a step as one that the end of the query kept from being done.
    fn leave(
        &mut self,
        at: usize,
        status: StepStatus,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let row = self.step_row(at, None, turn)?;
        self.close(row, status, "the query ended".to_owned(), turn);
        self.steps[at] = StepState::Ended(End::Cut);
        Ok(())
    }

    /// Tells the calls of a step that are under way to end, and has no other begin. Returns whether there are
    /// such calls.
    pub(super) fn recall(
        &mut self,
        query: &Query,
        at: usize,
        turn: &mut Turn<'_, Self>,
    ) -> Result<bool, Failure> {
        let StepState::Active(active) = &self.steps[at] else { return Ok(false) };
        let mut halting = false;
        for (number, instance) in active.instances.clone().into_iter().enumerate() {
            let begun = instance.attempt > 0 || instance.alternative > 0;
            match instance.state {
                InstanceState::Calling => {
                    halting = true;
                    let call = self.call_id((at, number), turn);
                    if let Some(group) = group(query, &call, turn) {
                        turn.send::<ToolWorker>(group, &WorkerMessage::Cancel(call));
                    }
                }
                InstanceState::Ready if !begun => {}
                InstanceState::Ready | InstanceState::Backoff => {
                    turn.cancel(&attempt_timer((at, number)));
                    let why = ToolError::new(ErrorKind::Cancelled, "its step has ended");
                    self.call_halted(query, (at, number), Err(why), turn)?;
                }
                InstanceState::Succeeded | InstanceState::Failed => {}
            }
        }
        if halting && let StepState::Active(active) = &mut self.steps[at] {
            self.steps[at] = StepState::Halting(std::mem::take(active));
        }
        Ok(halting)
    }

    /// Takes what came of a call that was told to end.
    pub(super) fn halted(
        &mut self,
        query: &Query,
        place: (usize, usize),
        result: Result<ToolAnswer, ToolError>,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        self.call_halted(query, place, result, turn)?;
        let at = place.0;
        let StepState::Halting(active) = &self.steps[at] else { return Ok(()) };
        if active.instances.iter().any(|one| one.state == InstanceState::Calling) {
            return Ok(());
        }
        let failed = self.step_row(at, None, turn)?.error;
        match failed.filter(|_| query.step(at).repeat != Repeat::Once) {
            // One of its times had failed; the others were waited for.
            Some(error) => self.step_failed(query, at, error, turn),
            None => self.cut_short(query, at, turn),
        }
    }

    /// Writes down what came of a call of a step that ends.
    fn call_halted(
        &mut self,
        query: &Query,
        place: (usize, usize),
        result: Result<ToolAnswer, ToolError>,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let repetition = instance_of(query.step(place.0), place.1);
        let row = self.step_row(place.0, repetition, turn)?;
        let (row, state, status) = match result {
            Ok(answer) => (answered(row, answer), InstanceState::Succeeded, StepStatus::Succeeded),
            Err(error) => {
                let error = still_in_doubt(&row, error);
                let status = match error.kind {
                    ErrorKind::Cancelled => StepStatus::Cancelled,
                    ErrorKind::Timeout
                    | ErrorKind::Unavailable
                    | ErrorKind::Overloaded
                    | ErrorKind::Failed
                    | ErrorKind::Invalid
                    | ErrorKind::Denied
                    | ErrorKind::NotFound
                    | ErrorKind::Unknown => StepStatus::Failed,
                };
                (StepRow { error: Some(error), ..row }, InstanceState::Failed, status)
            }
        };
        self.set(place, state);
        if repetition.is_none() {
            self.keep(&row, turn);
            return Ok(());
        }
        let reason = row.error.as_ref().map(ToString::to_string).unwrap_or_default();
        self.close(row, status, reason, turn);
        Ok(())
    }

    /// Ends a step that the end of the query cut short, now that no call of it is under way.
    fn cut_short(
        &mut self,
        query: &Query,
        at: usize,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let (StepState::Active(active) | StepState::Halting(active)) = &self.steps[at] else {
            return Ok(());
        };
        let (attempts, times) = (active.attempts, active.instances.len());
        let succeeded = |one: &Instance| one.state == InstanceState::Succeeded;
        let whole = times > 0 && active.instances.iter().all(succeeded);
        let mut row = self.step_row(at, None, turn)?;
        match query.step(at).repeat {
            Repeat::Once if whole => return self.succeeded(query, row, turn),
            Repeat::Each { .. } if whole => return self.all_done(query, at, turn),
            Repeat::Once => {}
            Repeat::Each { .. } | Repeat::While { .. } => {
                row.attempts = attempts;
                row.error = self.doubt(at, times, turn)?;
            }
        }
        if let Some(error) = row.error.clone().filter(|error| error.kind == ErrorKind::Unknown) {
            self.bury(&row, &error, turn);
            self.close(row, StepStatus::Failed, error.to_string(), turn);
            self.steps[at] = StepState::Ended(End::Failed);
            return Ok(());
        }
        self.keep(&row, turn);
        self.leave(at, StepStatus::Cancelled, turn)
    }

    /// The first of the times of a step of which it is not known whether it was done.
    fn doubt(
        &mut self,
        at: usize,
        times: usize,
        turn: &Turn<'_, Self>,
    ) -> Result<Option<ToolError>, Failure> {
        for number in 0..u32::try_from(times).unwrap_or(u32::MAX) {
            let error = self.step_row(at, Some(number), turn)?.error;
            if let Some(error) = error.filter(|error| error.kind == ErrorKind::Unknown) {
                let message = format!("time {number}: {}", error.message);
                return Ok(Some(ToolError { message, ..error }));
            }
        }
        Ok(None)
    }

    /// Ends a query whose end was decided, once nothing of it is under way.
    pub(super) fn settle(
        &mut self,
        query: &Query,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        match self.phase {
            Phase::Ending(outcome) if !self.is_halting() => {
                let reason = turn.get(&QUERIES, turn.key())?.map(|row| row.reason);
                self.end(query, (outcome, reason.unwrap_or_default()), None, turn)
            }
            Phase::Ending(_)
            | Phase::Unknown
            | Phase::Waiting
            | Phase::Running
            | Phase::Paused
            | Phase::Approval
            | Phase::Ended => Ok(()),
        }
    }

    pub(super) fn deadline_over(&mut self, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        match self.phase {
            Phase::Running if self.is_answering() => self.answer_late(turn),
            Phase::Running => match self.query(turn) {
                Ok(query) => {
                    let why = "it took longer than it may".to_owned();
                    self.finish(&query, Outcome::Failed, why, turn)
                }
                Err(failure) => self.abandon(failure, turn),
            },
            // What became of the calls is being looked up just now.
            Phase::Ending(_) if turn.now() > self.deadline + LATE => {
                self.await_halts(turn);
                Ok(())
            }
            Phase::Ending(_) => self.give_up(turn),
            Phase::Unknown | Phase::Waiting | Phase::Paused | Phase::Approval | Phase::Ended => {
                Ok(())
            }
        }
    }

    /// Ends a query though calls that were told to end have not: what became of them is not known.
    fn give_up(&mut self, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        let query = self.query(turn)?;
        for at in 0..self.steps.len() {
            let StepState::Halting(active) = &self.steps[at] else { continue };
            let calling = active.instances.clone().into_iter().enumerate();
            let calling = calling.filter(|(_, one)| one.state == InstanceState::Calling);
            for (number, _) in calling {
                let row = self.step_row(at, instance_of(query.step(at), number), turn)?;
                let kind = if changes_world(&row.tool, turn) {
                    ErrorKind::Unknown
                } else {
                    ErrorKind::Cancelled
                };
                let why = format!("it was told to end, and has not within {HALT:?}");
                self.halted(&query, (at, number), Err(ToolError::new(kind, why)), turn)?;
            }
        }
        self.settle(&query, turn)
    }

    /// Ends a query of which it cannot be read what it is, once that was tried often enough.
    pub(super) fn abandon(
        &mut self,
        failure: Failure,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        if matches!(self.phase, Phase::Ended | Phase::Unknown) {
            return Ok(());
        }
        if matches!(failure, Failure::Retry(_)) && turn.attempt() < READS {
            return Err(failure);
        }
        turn.cancel(DEADLINE_TIMER);
        let (now, reason) = (turn.now(), failure.to_string());
        let outcome = Outcome::Failed;
        self.change(turn, |row| {
            row.status = QueryStatus::Finished;
            row.outcome = Some(outcome);
            row.reason.clone_from(&reason);
            row.ended_at = Some(now);
            row.deadline = None;
        })?;
        self.steps.fill(StepState::Ended(End::Cut));
        self.calling = 0;
        self.over(outcome, reason, turn)
    }
}

/// Whether a call of this tool may change the world. One that is not there any more may have.
pub(super) fn changes_world(tool: &str, turn: &Turn<'_, Orchestrator>) -> bool {
    turn.settings().catalogue.get(tool).is_none_or(|spec| spec.changes_world)
}

/// The group of the tool that a call went to.
fn group(query: &Query, call: &CallId, turn: &Turn<'_, Orchestrator>) -> Option<String> {
    let call = query.step(call.step as usize).call(call.alternative)?;
    Some(turn.settings().catalogue.get(&call.tool)?.group.clone())
}
