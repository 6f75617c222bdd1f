//! The Admission: one per node. Takes queries in, lets so many run, keeps a bounded queue of the others in which
//! no API key is before all others, and gives those that want the same result one.

#[cfg(test)]
mod frozen;
mod lanes;
mod message;
pub(crate) mod older;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use perennial_runtime::{Durable, Failure, Kind, Table, Timestamp, Turn};
use serde::{Deserialize, Serialize};

use crate::admission::lanes::{Holder, Lanes};
pub use crate::admission::message::*;
use crate::metrics;
use crate::orchestrator::{Orchestrator, OrchestratorMessage};
use crate::record::{Outcome, Submission, Watcher};

/// Queries that run at a time.
pub const MAX_CONCURRENT: usize = 10;
/// Queries that wait for a place, beyond the first one of each API key.
pub const QUEUE: usize = 1_000;
/// The share of those places that one API key may hold.
pub const QUEUE_SHARE: f64 = 0.5;
/// How long a result is given again to who asks the same.
pub const CACHE_TTL: Duration = Duration::from_secs(600);
/// The key of the node's Admission.
pub const ADMISSION: &str = "local";

/// How long the name of a query is known, beside whatever becomes of it.
pub const NAMES_KEPT: Duration = Duration::from_secs(24 * 3600);

/// Ids of queries by the names they were submitted under. Not left to the runtime's tokens, under which being
/// turned away would be the answer for as long as they are kept.
const NAMES: Table<String> = Table::new("query-names", 1);
/// Results that may be given again, by what makes two queries the same.
const CACHE: Table<Cached> = Table::new("query-cache", 1);

/// A result that may be given again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Cached {
    query: String,
    until: Timestamp,
}

/// What the Admission is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Queries that run at a time.
    pub max_concurrent: usize,
    /// Queries that wait for a place, beyond the first one of each API key.
    pub queue: usize,
    /// Those of one API key among them.
    pub queue_per_key: usize,
    /// How long a result is given again to who asks the same.
    pub cache_ttl: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_concurrent: MAX_CONCURRENT,
            queue: QUEUE,
            queue_per_key: share_of(QUEUE, QUEUE_SHARE),
            cache_ttl: CACHE_TTL,
        }
    }
}

/// The places of a queue that one API key may hold: at least one.
#[must_use]
pub fn share_of(queue: usize, share: f64) -> usize {
    ((queue as f64 * share) as usize).clamp(1, queue.max(1))
}

/// The Admission.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admission {
    lanes: Lanes,
    /// Queries under way whose results may be shared: what makes them the same, by id, and the other way.
    shared: BTreeMap<String, String>,
    keys: BTreeMap<String, String>,
    /// Queries accepted so far.
    count: u64,
}

impl Durable for Admission {
    const KIND: Kind = Kind::new("admission");
    /// Submissions tell of models since version 2, and whose queries run and wait is known since version 3. Since
    /// version 4 it is asked before a query is begun again.
    const VERSION: u16 = 4;
    type Message = AdmissionMessage;
    type Settings = Settings;

    fn handle(
        &mut self,
        message: AdmissionMessage,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        match message {
            AdmissionMessage::Submit(submission) => {
                let admitted = self.submit(&submission, turn)?;
                turn.reply(&admitted);
            }
            AdmissionMessage::Return { id, key } => self.enqueue(id, key, turn),
            AdmissionMessage::Release { id, result } => self.release(&id, result, turn),
            AdmissionMessage::Expired(key) => turn.delete(&CACHE, &key),
            AdmissionMessage::Unnamed(name) => turn.delete(&NAMES, &name),
            AdmissionMessage::SubmitFor { submission, watcher } => {
                self.submit_for(&submission, watcher, turn)?;
            }
            AdmissionMessage::Readmit { id, key } => {
                let admitted = self.readmit(id, key, turn);
                turn.reply(&admitted);
            }
        }
        Ok(())
    }

    fn migrate(version: u16, payload: &[u8]) -> Result<Self, Failure> {
        older::state(version, payload)
    }

    fn migrate_message(version: u16, payload: &[u8]) -> Result<AdmissionMessage, Failure> {
        older::message(version, payload)
    }
}

impl Admission {
    fn submit(
        &mut self,
        submission: &Submission,
        turn: &mut Turn<'_, Self>,
    ) -> Result<Admitted, Failure> {
        let Some(name) = &submission.name else { return self.admit(submission, turn) };
        if let Some(id) = turn.get(&NAMES, name)? {
            return Ok(self.accepted(id));
        }
        let admitted = self.admit(submission, turn)?;
        match &admitted {
            Admitted::Accepted { id, .. } | Admitted::Shared { id } => {
                turn.put(&NAMES, name, id);
                let over = AdmissionMessage::Unnamed(name.clone());
                turn.send_after(NAMES_KEPT, &format!("name:{name}"), &over);
            }
            Admitted::Full { .. } | Admitted::KeyFull { .. } => {}
        }
        Ok(admitted)
    }

    /// Takes a query in for `watcher`, which is told whether it was, and how it ends.
    fn submit_for(
        &mut self,
        submission: &Submission,
        watcher: Watcher,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let admitted = self.submit(submission, turn)?;
        watcher.admitted(admitted.clone(), turn);
        match admitted {
            Admitted::Accepted { id, .. } | Admitted::Shared { id } => {
                turn.send::<Orchestrator>(id, &OrchestratorMessage::Watch(watcher));
            }
            Admitted::Full { .. } | Admitted::KeyFull { .. } => {}
        }
        Ok(())
    }

    fn admit(
        &mut self,
        submission: &Submission,
        turn: &mut Turn<'_, Self>,
    ) -> Result<Admitted, Failure> {
        if let Some(key) = &submission.cache_key {
            if let Some(id) = self.keys.get(key) {
                turn.count(metrics::CACHE, &[("result", "joined")]);
                return Ok(Admitted::Shared { id: id.clone() });
            }
            if let Some(cached) = turn.get(&CACHE, key)?.filter(|found| found.until > turn.now()) {
                turn.count(metrics::CACHE, &[("result", "hit")]);
                return Ok(Admitted::Shared { id: cached.query });
            }
            turn.count(metrics::CACHE, &[("result", "miss")]);
        }
        let holder = submission.identity.key;
        if let Some(full) = self.turned_away(holder, turn) {
            return Ok(full);
        }
        let id = self.new_id(turn);
        let accept = OrchestratorMessage::Accept(Box::new(submission.clone()));
        turn.send::<Orchestrator>(id.clone(), &accept);
        if let Some(key) = &submission.cache_key {
            self.shared.insert(id.clone(), key.clone());
            self.keys.insert(key.clone(), id.clone());
        }
        self.enqueue(id.clone(), holder, turn);
        Ok(self.accepted(id))
    }

    /// Takes a query in that has ended and is to be begun again.
    fn readmit(&mut self, id: String, holder: Holder, turn: &mut Turn<'_, Self>) -> Admitted {
        if self.lanes.has(&id) {
            return self.accepted(id);
        }
        if let Some(full) = self.turned_away(holder, turn) {
            return full;
        }
        self.enqueue(id.clone(), holder, turn);
        self.accepted(id)
    }

    /// The bound that leaves no room for one more of this holder's, if there is one.
    fn turned_away(&self, holder: Holder, turn: &mut Turn<'_, Self>) -> Option<Admitted> {
        let full = self.full(holder, turn.settings())?;
        turn.count(metrics::REFUSED, &[]);
        Some(full)
    }

    fn full(&self, holder: Holder, settings: &Settings) -> Option<Admitted> {
        let own = self.lanes.waiting_of(holder);
        // Nobody is kept out by what others have waiting. There are as many keys as the operator gives out.
        if own == 0 {
            return None;
        }
        let waiting = own as u64;
        if holder.is_none() {
            // What has no key is the operator's, and has the whole queue for its own.
            return (own >= settings.queue).then_some(Admitted::Full { waiting });
        }
        if own >= settings.queue_per_key {
            return Some(Admitted::KeyFull { waiting });
        }
        // What the operator has waiting is bounded by itself, and keeps no key out.
        let taken = self.lanes.waiting_of_keys(settings.queue_per_key);
        let waiting = self.lanes.waiting() as u64;
        (taken >= settings.queue).then_some(Admitted::Full { waiting })
    }

    fn accepted(&self, id: String) -> Admitted {
        let ahead = self.lanes.ahead(&id) as u64;
        Admitted::Accepted { id, ahead }
    }

    /// Ids rise with time, and two of the same microsecond differ.
    fn new_id(&mut self, turn: &Turn<'_, Self>) -> String {
        self.count += 1;
        format!("q-{:014x}-{:04x}", turn.now().as_micros(), self.count & 0xffff)
    }

    fn enqueue(&mut self, id: String, holder: Holder, turn: &mut Turn<'_, Self>) {
        self.lanes.wait(id, holder);
        self.fill(turn);
    }

    fn fill(&mut self, turn: &mut Turn<'_, Self>) {
        while self.lanes.running() < turn.settings().max_concurrent {
            let Some(next) = self.lanes.next() else { return };
            turn.send::<Orchestrator>(next, &OrchestratorMessage::Begin);
            turn.measure(metrics::QUERIES_RUNNING, &[], self.lanes.running() as f64);
        }
    }

    /// Takes a place back. A query that has ended, and ended well, may be given again for a while.
    fn release(&mut self, id: &str, result: Option<Outcome>, turn: &mut Turn<'_, Self>) {
        self.lanes.remove(id);
        if result.is_some()
            && let Some(key) = self.shared.remove(id)
        {
            self.keys.remove(&key);
            if result == Some(Outcome::Succeeded) {
                let ttl = turn.settings().cache_ttl;
                let cached = Cached { query: id.to_owned(), until: turn.now() + ttl };
                turn.put(&CACHE, &key, &cached);
                turn.send_after(ttl, &format!("cache:{key}"), &AdmissionMessage::Expired(key));
            }
        }
        self.fill(turn);
    }
}
