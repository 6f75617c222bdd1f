//! Who is told how the query ends.

use perennial_runtime::{Durable, Failure, Table, Turn};

use super::{Orchestrator, Phase};
use crate::admission::Admitted;
use crate::record::{Outcome, QUERIES, Watcher};
use crate::schedule::{Schedule, ScheduleMessage};

/// Who is told, by query.
pub(crate) const WATCHERS: Table<Vec<Watcher>> = Table::new("query-watchers", 1);

impl Orchestrator {
    /// Has `watcher` told of every end of the query, also if it has ended already.
    pub(super) fn watch(
        &mut self,
        watcher: Watcher,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let id = turn.key().to_owned();
        match self.phase {
            Phase::Unknown => {
                // It is forgotten, and whoever waits for it would wait for ever.
                watcher.ended(&id, Outcome::Failed, turn);
                turn.stop();
                return Ok(());
            }
            Phase::Ended => {
                let row = turn.get(&QUERIES, &id)?;
                if let Some(outcome) = row.and_then(|row| row.outcome) {
                    watcher.ended(&id, outcome, turn);
                }
            }
            Phase::Waiting | Phase::Running | Phase::Paused | Phase::Approval => {}
        }
        let mut watchers = turn.get(&WATCHERS, &id)?.unwrap_or_default();
        if !watchers.contains(&watcher) {
            watchers.push(watcher);
            turn.put(&WATCHERS, &id, &watchers);
        }
        Ok(())
    }

    /// Tells all that the query has ended. They are kept: it may be begun again.
    pub(super) fn tell_watchers(
        &self,
        outcome: Outcome,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let id = turn.key().to_owned();
        for watcher in turn.get(&WATCHERS, &id)?.unwrap_or_default() {
            watcher.ended(&id, outcome, turn);
        }
        Ok(())
    }
}

impl Watcher {
    /// Tells it whether the query was taken in.
    pub(crate) fn admitted<A: Durable>(&self, admitted: Admitted, turn: &mut Turn<'_, A>) {
        match self {
            Self::Schedule { name, due } => {
                let message = ScheduleMessage::Admitted { due: *due, admitted };
                turn.send::<Schedule>(name.clone(), &message);
            }
        }
    }

    /// Tells it how the query ended.
    fn ended<A: Durable>(&self, query: &str, outcome: Outcome, turn: &mut Turn<'_, A>) {
        match self {
            Self::Schedule { name, due } => {
                let query = query.to_owned();
                let message = ScheduleMessage::Ended { due: *due, query, outcome };
                turn.send::<Schedule>(name.clone(), &message);
            }
        }
    }
}
