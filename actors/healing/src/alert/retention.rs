//! Forgets what has been closed for long enough, a bounded number of rows per turn.

use perennial_runtime::{Failure, Timestamp, Turn, owner_prefix};

use crate::alert::life::{INCIDENTS, JOURNAL, RETIRED, Retired};
use crate::alert::{Alert, AlertMessage};

/// The timer's name.
pub(super) const TIMER: &str = "prune";
/// Incidents looked at in one turn.
const INCIDENTS_PER_TURN: usize = 20;
/// Steps of journals deleted in one turn.
const STEPS_PER_TURN: usize = 400;

impl Alert {
    /// Forgets what is due, and sets the timer for what is next.
    pub(super) fn prune(&mut self, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        let next = forget_due(turn)?;
        self.pruning = next.is_some();
        if let Some(next) = next {
            turn.send_at(next, TIMER, &AlertMessage::Prune);
        }
        Ok(())
    }
}

/// When there is more to forget, if ever.
fn forget_due(turn: &mut Turn<'_, Alert>) -> Result<Option<Timestamp>, Failure> {
    let (now, retention) = (turn.now(), turn.settings().retention);
    let oldest = turn.scan(&RETIRED, &[], INCIDENTS_PER_TURN)?;
    let mut steps = STEPS_PER_TURN;
    for retired in &oldest {
        let due = retired.at + retention;
        if due > now {
            return Ok(Some(due));
        }
        steps = forget(retired, steps, turn)?;
        if steps == 0 {
            return Ok(Some(now));
        }
    }
    Ok((oldest.len() == INCIDENTS_PER_TURN).then_some(now))
}

/// Deletes at most `steps` steps of the incident's journal and, with the last one, the incident.
/// Returns how many steps may still be deleted in this turn.
fn forget(retired: &Retired, steps: usize, turn: &mut Turn<'_, Alert>) -> Result<usize, Failure> {
    let id = &retired.incident.0;
    let journal = turn.scan(&JOURNAL, &owner_prefix(id), steps)?;
    for step in &journal {
        turn.delete(&JOURNAL, &(id.as_str(), step.n));
    }
    if journal.len() < steps {
        turn.delete(&INCIDENTS, id);
        turn.delete(&RETIRED, retired);
    }
    Ok(steps - journal.len())
}
