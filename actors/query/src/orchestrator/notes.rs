//! What an Orchestrator writes down for others to read.

use perennial_runtime::{Failure, Turn};

use super::Orchestrator;
use crate::metrics;
use crate::record::{
    EVENTS, Event, EventRow, QUERIES, QueryRow, STEPS, StepRow, StepStatus, step_number,
};

impl Orchestrator {
    /// Adds to what has happened.
    pub(super) fn tell(&mut self, event: Event, turn: &mut Turn<'_, Self>) {
        self.events += 1;
        let row = EventRow { number: self.events, at: turn.now(), event };
        let id = turn.key().to_owned();
        turn.put(&EVENTS, &(id.as_str(), self.events), &row);
        turn.count(metrics::EVENTS, &[]);
        turn.measure(metrics::RUNG, &[], metrics::bell(&id) as f64);
    }

    /// Changes the query's row.
    pub(super) fn change(
        &self,
        turn: &mut Turn<'_, Self>,
        change: impl FnOnce(&mut QueryRow),
    ) -> Result<(), Failure> {
        let id = turn.key().to_owned();
        let Some(mut row) = turn.get(&QUERIES, &id)? else { return Ok(()) };
        change(&mut row);
        turn.put(&QUERIES, &id, &row);
        Ok(())
    }

    /// The row of a step, or of one of its repetitions.
    pub(super) fn step_row(
        &mut self,
        at: usize,
        instance: Option<u32>,
        turn: &Turn<'_, Self>,
    ) -> Result<StepRow, Failure> {
        let number = step_number(at, instance);
        if let Some(row) = turn.get(&STEPS, &(turn.key(), number))? {
            return Ok(row);
        }
        let id = self.query(turn)?.step(at).id.clone();
        let place = u32::try_from(at).unwrap_or(u32::MAX);
        Ok(StepRow { id, place, instance, ..StepRow::default() })
    }

    /// Writes the row of a step, or of one of its repetitions.
    pub(super) fn keep(&self, row: &StepRow, turn: &mut Turn<'_, Self>) {
        let id = turn.key().to_owned();
        turn.put(&STEPS, &(id.as_str(), step_number(row.place as usize, row.instance)), row);
    }

    /// Writes how a step, or one of its repetitions, ended, and tells it.
    pub(super) fn close(
        &mut self,
        mut row: StepRow,
        status: StepStatus,
        reason: String,
        turn: &mut Turn<'_, Self>,
    ) {
        row.status = status;
        row.ended_at = Some(turn.now());
        row.reason.clone_from(&reason);
        self.keep(&row, turn);
        let StepRow { id: step, instance, .. } = row;
        self.tell(Event::StepEnded { step, instance, status, reason }, turn);
    }
}
