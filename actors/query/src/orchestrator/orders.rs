//! What somebody wants of a query.

use std::collections::BTreeSet;

use perennial_runtime::{Failure, Turn, owner_prefix};
use serde_json::json;

use super::halting::changes_world;
use super::message::{Ordered, QueryOrder};
use super::steps::approval_timer;
use super::{End, Orchestrator, Phase, Query, StepState, release};
use crate::plan::{ErrorKind, StepId};
use crate::record::{
    DEAD_STEPS, Event, Outcome, QUERIES, QueryStatus, STEPS, StepRow, StepStatus, step_number,
};
use crate::tool::ToolError;

impl Orchestrator {
    pub(super) fn order(
        &mut self,
        by: &str,
        order: QueryOrder,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let ordered = if self.phase == Phase::Unknown {
            Ordered::Unknown
        } else {
            match order {
                QueryOrder::Cancel { reason } => self.cancel(by, &reason, turn)?,
                QueryOrder::Pause => self.pause(by, turn)?,
                QueryOrder::Resume => self.resume(by, turn)?,
                QueryOrder::Decide { step, approved, note } => {
                    self.decide_step(by, &step, (approved, note), turn)?
                }
                QueryOrder::Retry => self.retry(by, false, turn)?,
                QueryOrder::RetryAll => self.retry(by, true, turn)?,
                QueryOrder::Discard => {
                    self.discard(turn)?;
                    Ordered::Done
                }
            }
        };
        turn.reply(&ordered);
        Ok(())
    }

    fn cancel(
        &mut self,
        by: &str,
        reason: &str,
        turn: &mut Turn<'_, Self>,
    ) -> Result<Ordered, Failure> {
        let over = match self.phase {
            Phase::Ended => Some(turn.get(&QUERIES, turn.key())?.and_then(|row| row.outcome)),
            Phase::Ending(outcome) => Some(Some(outcome)),
            Phase::Unknown | Phase::Waiting | Phase::Running | Phase::Paused | Phase::Approval => {
                None
            }
        };
        match over {
            Some(Some(Outcome::Cancelled)) => return Ok(Ordered::Done),
            Some(_) => return Ok(Ordered::Conflict("it has ended already".to_owned())),
            None => {}
        }
        let query = self.query(turn)?;
        let reason = if reason.is_empty() {
            format!("cancelled by {by}")
        } else {
            format!("cancelled by {by}: {reason}")
        };
        self.finish(&query, Outcome::Cancelled, reason, turn)?;
        Ok(Ordered::Done)
    }

    fn pause(&mut self, by: &str, turn: &mut Turn<'_, Self>) -> Result<Ordered, Failure> {
        match self.phase {
            Phase::Paused => Ok(Ordered::Done),
            Phase::Ended | Phase::Ending(_) | Phase::Unknown => {
                Ok(Ordered::Conflict("it has ended already".to_owned()))
            }
            Phase::Waiting | Phase::Running | Phase::Approval => {
                self.park(Phase::Paused, turn)?;
                self.tell(Event::Paused { by: by.to_owned() }, turn);
                Ok(Ordered::Done)
            }
        }
    }

    fn resume(&mut self, by: &str, turn: &mut Turn<'_, Self>) -> Result<Ordered, Failure> {
        match self.phase {
            Phase::Paused => {
                self.tell(Event::Resumed { by: by.to_owned() }, turn);
                self.queue(turn)?;
                Ok(Ordered::Done)
            }
            Phase::Waiting | Phase::Running | Phase::Approval => Ok(Ordered::Done),
            Phase::Ended | Phase::Ending(_) | Phase::Unknown => {
                Ok(Ordered::Conflict("it has ended already".to_owned()))
            }
        }
    }

    fn decide_step(
        &mut self,
        by: &str,
        step: &StepId,
        (approved, note): (bool, String),
        turn: &mut Turn<'_, Self>,
    ) -> Result<Ordered, Failure> {
        let query = self.query(turn)?;
        let Some(at) = query.plan().steps.iter().position(|known| known.id == *step) else {
            return Ok(Ordered::Unknown);
        };
        if self.steps[at] != StepState::Asking {
            return Ok(Ordered::Conflict(format!("step `{step}` does not wait for anybody")));
        }
        turn.cancel(&approval_timer(at));
        let decided =
            Event::Decided { step: step.clone(), by: by.to_owned(), approved, note: note.clone() };
        self.tell(decided, turn);
        if approved {
            self.step_succeeded(&query, at, json!({"by": by, "note": note}), turn)?;
        } else {
            let why = format!("{by} refused: {note}");
            self.step_failed(&query, at, ToolError::new(ErrorKind::Denied, why), turn)?;
        }
        self.wake(turn)?;
        Ok(Ordered::Done)
    }

    /// Begins again with what had not succeeded. What had keeps its result. Whoever orders it asks the
    /// [Admission](crate::admission) first whether there is room.
    fn retry(
        &mut self,
        by: &str,
        anyway: bool,
        turn: &mut Turn<'_, Self>,
    ) -> Result<Ordered, Failure> {
        if self.phase != Phase::Ended {
            return Ok(Ordered::Conflict("it has not ended yet".to_owned()));
        }
        let query = self.query(turn)?;
        if let Some(why) = self.stays_as_it_is(&query, anyway, turn)? {
            // It may have been given a place for this.
            release(turn, None);
            return Ok(Ordered::Conflict(why));
        }
        self.reset(&query, turn)?;
        let most = turn.settings().deadline;
        self.left = query.plan().timeout.unwrap_or(most).min(most);
        self.retries += 1;
        self.consult_again();
        turn.cancel("forget");
        self.tell(Event::Retried { by: by.to_owned() }, turn);
        self.queue(turn)?;
        let retries = self.retries;
        self.change(turn, |row| {
            row.status = QueryStatus::Waiting;
            row.outcome = None;
            row.reason.clear();
            row.ended_at = None;
            row.retries = retries;
        })?;
        Ok(Ordered::Done)
    }

    /// Why it is not begun again.
    fn stays_as_it_is(
        &self,
        query: &Query,
        anyway: bool,
        turn: &Turn<'_, Self>,
    ) -> Result<Option<String>, Failure> {
        let undone = |state: &StepState| {
            matches!(state, StepState::Ended(End::Failed | End::FailedForAll | End::Cut))
        };
        if !self.steps.iter().any(undone) && !self.consulting.is_open() {
            return Ok(Some("every step of it that was to be done has succeeded".to_owned()));
        }
        let doubtful = if anyway { Vec::new() } else { self.doubtful(query, turn)? };
        let why = format!(
            "what may have been done would be done again: {}; look, and say that it is to be",
            doubtful.join(", ")
        );
        Ok((!doubtful.is_empty()).then_some(why))
    }

    fn is_done(&self, at: usize) -> bool {
        self.steps.get(at) == Some(&StepState::Ended(End::Succeeded))
    }

    /// Steps that would be done again, and may have changed the world. Not those of which the plan itself says
    /// that they are tried again then.
    fn doubtful(&self, query: &Query, turn: &Turn<'_, Self>) -> Result<Vec<String>, Failure> {
        let rows = turn.scan(&STEPS, &owner_prefix(turn.key()), usize::MAX)?;
        let doubtful = rows.iter().filter(|row| {
            let at = row.place as usize;
            let unknown = |error: &ToolError| error.kind == ErrorKind::Unknown;
            !self.is_done(at)
                && row.error.as_ref().is_some_and(unknown)
                // Of a call that another tool stood in for, too.
                && (0..).map_while(|other| query.step(at).call(other)).any(|call| changes_world(&call.tool, turn))
                && !query.step(at).retry.kinds.contains(&ErrorKind::Unknown)
        });
        let names: BTreeSet<String> = doubtful.map(|row| format!("step `{}`", row.id)).collect();
        Ok(names.into_iter().collect())
    }

    /// Has every step that has not succeeded wait for its turn, and forgets what became of it. The times that
    /// succeeded of a step that is repeated are kept, if the list that they are of cannot be another one.
    fn reset(&mut self, query: &Query, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        let again: Vec<bool> = (0..self.steps.len()).map(|at| !self.is_done(at)).collect();
        let is_again = |at: usize| again.get(at).copied().unwrap_or_default();
        let keeps = |row: &StepRow| {
            let mut refers = query.graph.refers.get(row.place as usize).into_iter().flatten();
            let same_list = !refers.any(|at| is_again(*at));
            same_list && row.instance.is_some() && row.status == StepStatus::Succeeded
        };
        self.forget_steps(|row| is_again(row.place as usize) && !keeps(row), turn)?;
        for (state, again) in self.steps.iter_mut().zip(&again) {
            if *again {
                *state = StepState::Waiting;
            }
        }
        for at in 0..self.steps.len() {
            // What a step that stays done went past is not done this time either.
            let target = query.step(at).on_success.as_ref().filter(|_| self.is_done(at));
            if let Some(target) = target {
                self.pass_over(query, at, target, turn)?;
            }
        }
        Ok(())
    }

    /// Nobody needs to look at the failed steps any more.
    fn discard(&mut self, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        let id = turn.key().to_owned();
        for at in 0..self.steps.len() {
            turn.delete(&DEAD_STEPS, &(id.as_str(), step_number(at, None)));
        }
        Ok(())
    }
}
