//! The Schedule: one per schedule of the configuration. Submits a query whenever it is due, each time once,
//! whatever dies; what becomes of times at which the node did not run, its definition says.

mod definition;
mod message;
mod record;
mod start;
mod times;

use std::collections::BTreeMap;
use std::time::Duration;

use perennial_runtime::{Durable, Failure, Kind, Timestamp, Turn};
use serde::{Deserialize, Serialize};

use crate::admission::{ADMISSION, Admission, AdmissionMessage, Admitted};
use crate::metrics;
use crate::record::{Outcome, Watcher};
pub(crate) use crate::schedule::definition::problems;
pub use crate::schedule::definition::{
    AT_MOST, CatchUp, DUE, Definition, Definitions, Overlap, Problem, Written, define,
};
pub use crate::schedule::message::*;
pub use crate::schedule::record::*;
pub use crate::schedule::start::{StartError, begin};
pub use crate::schedule::times::{COUNTED, Times, shown};

/// Who comes no later than this is on time. What is due while a node starts again is no more than delayed.
pub const ON_TIME: Duration = Duration::from_secs(60);
/// The wait before a query that found no place in the queue is submitted again.
pub const AGAIN: Duration = Duration::from_secs(10);

/// The name of the timer that says that it is due.
const DUE_TIMER: &str = "due";
/// The name of the timer that says that the queue may have room by now.
const AGAIN_TIMER: &str = "again";

/// The Schedule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    row: ScheduleRow,
    /// What the next time was computed from.
    times: String,
    /// Times that something is still to be done for, and who wanted them; nobody if they were due.
    owed: BTreeMap<Timestamp, Option<String>>,
    /// The same of those whose queries were submitted and have not ended.
    under_way: BTreeMap<Timestamp, Option<String>>,
}

impl Durable for Schedule {
    const KIND: Kind = Kind::new("schedule");
    type Message = ScheduleMessage;
    type Settings = Definitions;

    fn handle(
        &mut self,
        message: ScheduleMessage,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let Some(definition) = turn.settings().by_name.get(turn.key()) else {
            gone(&message, turn);
            return Ok(());
        };
        let before = self.row.clone();
        self.align(definition, turn);
        match message {
            ScheduleMessage::Look => {}
            ScheduleMessage::Due(due) => self.due(definition, due, turn),
            ScheduleMessage::Again => self.submit_owed(definition, turn),
            ScheduleMessage::Admitted { due, admitted } => self.admitted(due, admitted, turn),
            ScheduleMessage::Ended { due, query, outcome } => {
                self.ended(due, query, outcome);
                self.submit_owed(definition, turn);
            }
            ScheduleMessage::Order { by, order } => {
                let ordered = self.order(definition, by, order, turn);
                turn.reply(&ordered);
            }
        }
        if self.row != before {
            turn.put(&SCHEDULES, &self.row.name, &self.row);
        }
        Ok(())
    }
}

/// A schedule without a definition is none.
fn gone(message: &ScheduleMessage, turn: &mut Turn<'_, Schedule>) {
    if let ScheduleMessage::Order { .. } = message {
        turn.reply(&ScheduleOrdered::Unknown);
    }
    let name = turn.key().to_owned();
    turn.delete(&SCHEDULES, &name);
    turn.stop();
}

impl Schedule {
    /// Becomes what the definition says, which may be another one than before.
    fn align(&mut self, definition: &Definition, turn: &mut Turn<'_, Self>) {
        turn.key().clone_into(&mut self.row.name);
        let times = definition.times.to_string();
        if self.times != times {
            self.times = times;
            self.unplan(turn);
            // They were times of another schedule.
            self.owed.retain(|_, by| by.is_some());
        }
        if !definition.written.enabled || self.row.paused_by.is_some() {
            self.unplan(turn);
            self.give_up(|_| true, "it was paused", turn);
        } else if self.row.next.is_none() {
            self.plan(definition, turn);
        }
    }

    fn plan(&mut self, definition: &Definition, turn: &mut Turn<'_, Self>) {
        self.row.next = definition.times.after(turn.now());
        if let Some(next) = self.row.next {
            turn.send_at(next, DUE_TIMER, &ScheduleMessage::Due(next));
        }
    }

    fn unplan(&mut self, turn: &mut Turn<'_, Self>) {
        if self.row.next.take().is_some() {
            turn.cancel(DUE_TIMER);
        }
    }

    /// It is due, or was while the node did not run, maybe several times.
    fn due(&mut self, definition: &Definition, due: Timestamp, turn: &mut Turn<'_, Self>) {
        if self.row.next != Some(due) {
            return;
        }
        let (written, now) = (&definition.written, turn.now());
        let policy = written.catch_up.unwrap_or(CatchUp::Skip);
        let keep = match policy {
            CatchUp::Skip | CatchUp::Once => 1,
            CatchUp::All => written.at_most,
        };
        let mut found = definition.times.between(due, now, keep);
        self.plan(definition, turn);
        let on_time = found.latest.back().is_some_and(|last| now.since(*last) < ON_TIME);
        if policy == CatchUp::Skip && !on_time {
            found.latest.clear();
        }
        let missed = found.count.saturating_sub(found.latest.len() as u64);
        if missed > 0 {
            self.row.missed += missed;
            turn.measure(metrics::SCHEDULED, &[("result", "missed")], missed as f64);
            let (more, from) =
                (if found.more { "more than " } else { "" }, found.first.unwrap_or(due));
            let policy = policy.as_str();
            let note = format!(
                "{more}{missed} of the times from {} on were missed and are not made up for (catch_up = \"{policy}\")",
                times::shown(from)
            );
            self.note(note, turn);
        }
        let busy = !self.under_way.is_empty() || !self.owed.is_empty();
        if on_time && busy && found.latest.len() == 1 && written.overlap == Overlap::Skip {
            return self.overlapped(&found.latest.iter().copied().collect::<Vec<_>>(), turn);
        }
        self.owed.extend(found.latest.into_iter().map(|due| (due, None)));
        let over = self.owed.len().saturating_sub(keep);
        let last_over = over.checked_sub(1).and_then(|at| self.owed.keys().nth(at)).copied();
        if let Some(last) = last_over {
            self.give_up(|due| due <= last, "later ones are to be made up for", turn);
        }
        self.submit_owed(definition, turn);
    }

    fn overlapped(&mut self, due: &[Timestamp], turn: &mut Turn<'_, Self>) {
        self.row.overlapped += due.len() as u64;
        turn.count(metrics::SCHEDULED, &[("result", "overlapped")]);
        for due in due {
            let due = times::shown(*due);
            let note = format!(
                "nothing was done for {due}: an earlier query had not ended (overlap = \"skip\")"
            );
            self.note(note, turn);
        }
    }

    /// Does nothing for the times of `which` that were to be made up for, but nobody wanted.
    fn give_up(&mut self, which: impl Fn(Timestamp) -> bool, why: &str, turn: &mut Turn<'_, Self>) {
        let before = self.owed.len();
        self.owed.retain(|due, by| by.is_some() || !which(*due));
        let missed = before.saturating_sub(self.owed.len());
        if missed > 0 {
            self.row.missed += missed as u64;
            turn.measure(metrics::SCHEDULED, &[("result", "missed")], missed as f64);
            self.note(format!("{missed} times are not made up for: {why}"), turn);
        }
    }

    fn note(&mut self, note: String, turn: &Turn<'_, Self>) {
        self.row.note = note;
        self.row.noted_at = Some(turn.now());
    }

    /// Submits what is owed, as much of it as may be under way.
    fn submit_owed(&mut self, definition: &Definition, turn: &mut Turn<'_, Self>) {
        while definition.written.overlap == Overlap::Allow || self.under_way.is_empty() {
            let Some((due, by)) = self.owed.pop_first() else { return };
            self.submit(definition, due, by, turn);
        }
    }

    fn submit(
        &mut self,
        definition: &Definition,
        due: Timestamp,
        by: Option<String>,
        turn: &mut Turn<'_, Self>,
    ) {
        let now = turn.now();
        match turn.settings().submission(definition, due) {
            Ok(mut submission) => {
                if now.since(due) >= ON_TIME {
                    submission.warnings.push(format!("it was due at {}", times::shown(due)));
                }
                let watcher = Watcher::Schedule { name: turn.key().to_owned(), due };
                let message =
                    AdmissionMessage::SubmitFor { submission: Box::new(submission), watcher };
                turn.send::<Admission>(ADMISSION, &message);
                self.row.last =
                    Some(Firing { due, at: now, by: by.clone(), query: None, outcome: None });
                self.under_way.insert(due, by);
            }
            Err(error) => {
                self.row.refused += 1;
                turn.count(metrics::SCHEDULED, &[("result", "refused")]);
                self.note(format!("nothing was done for {}: {error}", times::shown(due)), turn);
            }
        }
    }

    fn admitted(&mut self, due: Timestamp, admitted: Admitted, turn: &mut Turn<'_, Self>) {
        match admitted {
            Admitted::Accepted { id, .. } | Admitted::Shared { id } => {
                self.row.fired += 1;
                turn.count(metrics::SCHEDULED, &[("result", "fired")]);
                turn.measure(metrics::RUNG, &[], metrics::bell(turn.key()) as f64);
                if let Some(last) = self.row.last.as_mut().filter(|last| last.due == due) {
                    last.query = Some(id);
                }
            }
            // Of a key, which no schedule has; should it be told so, it comes again all the same.
            Admitted::Full { waiting } | Admitted::KeyFull { waiting } => {
                let Some(by) = self.under_way.remove(&due) else { return };
                self.owed.insert(due, by);
                turn.send_after(AGAIN, AGAIN_TIMER, &ScheduleMessage::Again);
                let due = times::shown(due);
                self.note(format!("{waiting} queries wait already: {due} is tried again"), turn);
            }
        }
    }

    fn ended(&mut self, due: Timestamp, query: String, outcome: Outcome) {
        self.under_way.remove(&due);
        if let Some(last) = self.row.last.as_mut().filter(|last| last.due == due) {
            (last.query, last.outcome) = (Some(query), Some(outcome));
        }
    }

    fn order(
        &mut self,
        definition: &Definition,
        by: String,
        order: ScheduleOrder,
        turn: &mut Turn<'_, Self>,
    ) -> ScheduleOrdered {
        match order {
            ScheduleOrder::Pause => {
                self.row.paused_by.get_or_insert(by);
            }
            ScheduleOrder::Resume => {
                self.row.paused_by = None;
                // What nobody heard of again holds it up no longer.
                self.under_way.clear();
            }
            ScheduleOrder::Fire => return self.fire(definition, by, turn),
        }
        self.align(definition, turn);
        self.submit_owed(definition, turn);
        ScheduleOrdered::Done
    }

    fn fire(
        &mut self,
        definition: &Definition,
        by: String,
        turn: &mut Turn<'_, Self>,
    ) -> ScheduleOrdered {
        if definition.written.overlap == Overlap::Skip
            && let Some(due) = self.under_way.keys().chain(self.owed.keys()).next()
        {
            let why = format!("the query of {} has not ended", times::shown(*due));
            return ScheduleOrdered::Conflict(why);
        }
        let mut due = turn.now();
        while self.under_way.contains_key(&due) || self.owed.contains_key(&due) {
            due = due + Duration::from_micros(1);
        }
        self.owed.insert(due, Some(by));
        self.submit_owed(definition, turn);
        ScheduleOrdered::Fires(due)
    }
}

#[cfg(test)]
impl Schedule {
    /// One that has everything that one can have.
    pub(crate) fn sample(row: ScheduleRow) -> Self {
        let times = "0 2 * * * UTC".to_owned();
        let owed = [(Timestamp::from_micros(1), None)].into();
        let under_way = [(Timestamp::from_micros(2), Some("ann".to_owned()))].into();
        Self { row, times, owed, under_way }
    }
}
