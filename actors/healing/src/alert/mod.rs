//! Alert keeps the incidents and tells people: what happened is a row, and what people are told is
//! an effect, of the same commit. One per node.
//!
//! The rows are the truth; the state holds only what has been collected and not yet told.

mod answer;
mod change;
mod channels;
mod config;
pub mod deliver;
mod email;
mod email_text;
mod grouping;
mod journal;
mod journal_text;
mod life;
mod message;
mod notice;
mod older;
mod retention;
mod slack;
mod telling;
mod text;
mod webhook;

pub use change::{Change, change_of};
pub use channels::{ChannelError, Channels};
pub use config::{Config, EMAIL, Email, Route, SLACK, Slack, Tls, WEBHOOK, Webhook};
pub use grouping::{Collected, Gap, Groups, News, UNGROUPED, group_of};
pub use life::{INCIDENTS, Incident, IncidentStatus, JOURNAL, JournalEntry};
pub use message::*;
pub use notice::{Field, Item, Notice};
pub(crate) use telling::RESULTS;

use perennial_runtime::{Durable, Failure, Kind, Timestamp, Turn, decode};
use serde::{Deserialize, Serialize};

use crate::model::IncidentId;

/// The Alert agent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    groups: Groups,
    /// The timer that forgets old incidents is set. As long as one waits for that, it is.
    pruning: bool,
}

impl Durable for Alert {
    const KIND: Kind = Kind::new("alert");
    const VERSION: u16 = 2;
    type Message = AlertMessage;
    type Settings = Config;

    fn handle(&mut self, message: AlertMessage, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        match message {
            AlertMessage::Record { incident, at, entry } => self.record(incident, at, entry, turn),
            AlertMessage::Coverage { subject, gaps, .. } => {
                self.cover(Gap { subject, gaps }, turn);
                Ok(())
            }
            AlertMessage::Acknowledge { incident, by, note } => {
                let answer = self.acknowledge(&incident, by, note, turn)?;
                turn.reply(&answer);
                Ok(())
            }
            AlertMessage::Delivered(finished) => self.delivered(finished, turn),
            AlertMessage::GroupDue(group) => self.group_due(&group, turn),
            AlertMessage::FallbackDue(notice) => self.fall_back(&notice, turn),
            AlertMessage::RepeatDue(incident) => self.repeat(&incident, turn),
            AlertMessage::Prune => self.prune(turn),
        }
    }

    /// Version 2 added kinds of entries; nothing else changed.
    fn migrate(_: u16, payload: &[u8]) -> Result<Self, Failure> {
        Ok(decode(payload)?)
    }

    fn migrate_message(_: u16, payload: &[u8]) -> Result<AlertMessage, Failure> {
        Ok(decode(payload)?)
    }
}

impl Alert {
    /// Writes one step down, and tells people if they should know. An incident that is not (or no
    /// longer) known gets a row that holds what its entries say.
    fn record(
        &mut self,
        id: IncidentId,
        at: Timestamp,
        entry: Entry,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let before = journal::load(&id, turn)?.unwrap_or_else(|| Incident::begin(id, at));
        let mut after = before.clone();
        let step = self.append(&mut after, at, entry, turn);
        if before.wants_a_person() && !after.wants_a_person() {
            turn.cancel(&telling::repeat_timer(&after.id));
        }
        let Some(change) = change_of(&before, &after, at, &step.entry) else {
            return Ok(());
        };
        let at = if change == Change::Opened { after.event_at } else { at };
        let news = News { incident: after.id.clone(), change, at };
        self.tell(news, &mut after, turn)
    }

    fn acknowledge(
        &mut self,
        id: &IncidentId,
        by: String,
        note: Option<String>,
        turn: &mut Turn<'_, Self>,
    ) -> Result<Acknowledgement, Failure> {
        let Some(mut incident) = journal::load(id, turn)? else {
            return Ok(Acknowledgement::Unknown);
        };
        if incident.status.is_closed() {
            return Ok(Acknowledgement::Closed);
        }
        if incident.acknowledged_by.is_none() {
            let now = turn.now();
            self.append(&mut incident, now, Entry::Acknowledged { by, note }, turn);
            turn.cancel(&telling::repeat_timer(id));
        }
        Ok(Acknowledgement::Acknowledged)
    }
}

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
