//! Reads and writes the rows of incidents and their journals.

use perennial_runtime::{Failure, Timestamp, Turn};

use crate::alert::life::{INCIDENTS, Incident, JOURNAL, JournalEntry, RETIRED, Retired};
use crate::alert::{Alert, AlertMessage, Entry};
use crate::model::IncidentId;

/// Steps an excerpt shows.
const EXCERPT: usize = 8;
/// Steps that are looked through for them: most others are notifications.
const EXCERPT_SEARCH: u64 = 40;

/// The incident's row.
pub(super) fn load(id: &IncidentId, turn: &Turn<'_, Alert>) -> Result<Option<Incident>, Failure> {
    turn.get(&INCIDENTS, &id.0)
}

/// Writes the incident's row.
pub(super) fn save(incident: &Incident, turn: &mut Turn<'_, Alert>) {
    turn.put(&INCIDENTS, &incident.id.0, incident);
}

/// The last steps that tell people something, oldest first.
pub(super) fn excerpt(
    incident: &Incident,
    turn: &Turn<'_, Alert>,
) -> Result<Vec<JournalEntry>, Failure> {
    let mut steps = Vec::new();
    let from = incident.entries.saturating_sub(EXCERPT_SEARCH);
    for n in (from..incident.entries).rev() {
        let step = turn.get(&JOURNAL, &(incident.id.0.as_str(), n))?;
        steps.extend(step.filter(|step| !matches!(step.entry, Entry::Notification { .. })));
        if steps.len() == EXCERPT {
            break;
        }
    }
    steps.reverse();
    Ok(steps)
}

impl Alert {
    /// Adds a step to the journal of `incident`, applies it and writes the incident's row.
    pub(super) fn append(
        &mut self,
        incident: &mut Incident,
        at: Timestamp,
        entry: Entry,
        turn: &mut Turn<'_, Self>,
    ) -> JournalEntry {
        let n = incident.entries;
        // Nothing of an incident is stored before its first entry.
        let retired = incident.retired().filter(|_| n > 0);
        incident.apply(at, &entry);
        let step = JournalEntry { n, at, entry };
        turn.put(&JOURNAL, &(incident.id.0.as_str(), n), &step);
        save(incident, turn);
        self.index(retired, incident.retired(), turn);
        step
    }

    /// Keeps the order in which incidents are forgotten.
    fn index(&mut self, old: Option<Retired>, new: Option<Retired>, turn: &mut Turn<'_, Self>) {
        if old == new {
            return;
        }
        if let Some(old) = old {
            turn.delete(&RETIRED, &old);
        }
        let Some(new) = new else { return };
        turn.put(&RETIRED, &new, &new);
        if !self.pruning {
            self.pruning = true;
            turn.send_after(
                turn.settings().retention,
                super::retention::TIMER,
                &AlertMessage::Prune,
            );
        }
    }
}
