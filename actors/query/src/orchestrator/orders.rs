//! What somebody wants of a query.

use perennial_runtime::{Failure, Turn};
use serde_json::json;

use super::message::{Ordered, QueryOrder};
use super::steps::approval_timer;
use super::{End, Orchestrator, Phase, StepState};
use crate::plan::{ErrorKind, StepId};
use crate::record::{DEAD_STEPS, Event, Outcome, QUERIES, QueryStatus, step_number};
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
                QueryOrder::Retry => self.retry(by, turn)?,
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
        if self.phase == Phase::Ended {
            let outcome = turn.get(&QUERIES, turn.key())?.and_then(|row| row.outcome);
            return Ok(match outcome {
                Some(Outcome::Cancelled) => Ordered::Done,
                Some(_) | None => Ordered::Conflict("it has ended already".to_owned()),
            });
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
            Phase::Ended | Phase::Unknown => {
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
            Phase::Ended | Phase::Unknown => {
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

    /// Begins again with what had not succeeded. What had keeps its result.
    fn retry(&mut self, by: &str, turn: &mut Turn<'_, Self>) -> Result<Ordered, Failure> {
        if self.phase != Phase::Ended {
            return Ok(Ordered::Conflict("it has not ended yet".to_owned()));
        }
        let done = |state: &StepState| *state == StepState::Ended(End::Succeeded);
        let undone = |state: &StepState| {
            matches!(state, StepState::Ended(End::Failed | End::FailedForAll | End::Cut))
        };
        if !self.steps.iter().any(undone) && !self.consulting.is_open() {
            return Ok(Ordered::Conflict(
                "every step of it that was to be done has succeeded".to_owned(),
            ));
        }
        let again: Vec<bool> = self.steps.iter().map(|state| !done(state)).collect();
        self.forget_steps(|at| again.get(at).copied().unwrap_or_default(), turn)?;
        for (state, again) in self.steps.iter_mut().zip(again) {
            if again {
                *state = StepState::Waiting;
            }
        }
        let query = self.query(turn)?;
        for at in 0..self.steps.len() {
            // What a step that stays done went past is not done this time either.
            let target = query.step(at).on_success.as_ref().filter(|_| done(&self.steps[at]));
            if let Some(target) = target {
                self.pass_over(&query, at, target, turn)?;
            }
        }
        let most = turn.settings().deadline;
        self.left = query.plan().timeout.unwrap_or(most).min(most);
        self.retries += 1;
        self.consult_again();
        turn.cancel("forget");
        self.tell(Event::Retried { by: by.to_owned() }, turn);
        self.queue(turn)?;
        self.change(turn, |row| {
            row.status = QueryStatus::Waiting;
            row.outcome = None;
            row.reason.clear();
            row.ended_at = None;
        })?;
        Ok(Ordered::Done)
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
