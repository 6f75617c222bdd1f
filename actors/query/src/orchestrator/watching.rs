//! Who is told how the query ends.

use std::collections::BTreeSet;

use perennial_runtime::{Durable, Failure, Table, Turn};

use super::{Orchestrator, Phase};
use crate::admission::Admitted;
use crate::conversation::{Conversation, ConversationMessage, QueryEnd, UNKNOWN_TOOL, kept};
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
                let reason = "the query is not known any more".to_owned();
                let (query, outcome) = (id, Outcome::Failed);
                let (answer, tools) = (None, Vec::new());
                watcher.ended(&QueryEnd { query, outcome, reason, answer, tools }, turn);
                turn.stop();
                return Ok(());
            }
            Phase::Ended => {
                let row = turn.get(&QUERIES, &id)?;
                if let Some((outcome, reason)) =
                    row.and_then(|row| Some((row.outcome?, row.reason)))
                {
                    let end = self.as_told((outcome, reason), turn);
                    watcher.ended(&end, turn);
                }
            }
            Phase::Waiting
            | Phase::Running
            | Phase::Paused
            | Phase::Approval
            | Phase::Ending(_) => {}
        }
        let mut watchers = turn.get(&WATCHERS, &id)?.unwrap_or_default();
        if !watchers.contains(&watcher) {
            watchers.push(watcher);
            turn.put(&WATCHERS, &id, &watchers);
        }
        Ok(())
    }

    /// Tells all that the query has ended so. They are kept: it may be begun again.
    pub(super) fn tell_watchers(
        &mut self,
        (outcome, reason): (Outcome, &str),
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let watchers = turn.get(&WATCHERS, turn.key())?.unwrap_or_default();
        if watchers.is_empty() {
            return Ok(());
        }
        let end = self.as_told((outcome, reason.to_owned()), turn);
        for watcher in &watchers {
            watcher.ended(&end, turn);
        }
        Ok(())
    }

    /// The end of the query, as those are told who watch it: also where nobody can read what it was, or what came of
    /// it, for they would wait for ever.
    fn as_told(&mut self, (outcome, reason): (Outcome, String), turn: &Turn<'_, Self>) -> QueryEnd {
        let query = turn.key().to_owned();
        let row = turn.get(&QUERIES, &query).ok().flatten();
        let known = self.query(turn).ok();
        let tools = match &known {
            Some(known) => known.plan().tools().collect(),
            None => BTreeSet::from([UNKNOWN_TOOL]),
        };
        let tools = tools.into_iter().map(str::to_owned).collect();
        let answer = row.and_then(|row| row.answer);
        kept(QueryEnd { query, outcome, reason, answer, tools })
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
            Self::Conversation { id, turn: number } => {
                let message = ConversationMessage::Admitted { turn: *number, admitted };
                turn.send::<Conversation>(id.clone(), &message);
            }
        }
    }

    /// Tells it how the query ended.
    fn ended<A: Durable>(&self, end: &QueryEnd, turn: &mut Turn<'_, A>) {
        match self {
            Self::Schedule { name, due } => {
                let (query, outcome) = (end.query.clone(), end.outcome);
                let message = ScheduleMessage::Ended { due: *due, query, outcome };
                turn.send::<Schedule>(name.clone(), &message);
            }
            Self::Conversation { id, turn: number } => {
                let end = Box::new(end.clone());
                let message = ConversationMessage::Ended { turn: *number, end };
                turn.send::<Conversation>(id.clone(), &message);
            }
        }
    }
}
