//! The Admission: one per node. Takes queries in, lets so many run, keeps a bounded queue of the others,
//! and gives those that want the same result one.

mod message;
pub(crate) mod older;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use perennial_runtime::{Durable, Failure, Kind, Table, Timestamp, Turn, decode};
use serde::{Deserialize, Serialize};

pub use crate::admission::message::*;
use crate::metrics;
use crate::orchestrator::{Orchestrator, OrchestratorMessage};
use crate::record::older::known;
use crate::record::{Outcome, Submission, Watcher};

/// Queries that run at a time.
pub const MAX_CONCURRENT: usize = 10;
/// Queries that wait for a place.
pub const QUEUE: usize = 1_000;
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
    /// Queries that wait for a place.
    pub queue: usize,
    /// How long a result is given again to who asks the same.
    pub cache_ttl: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { max_concurrent: MAX_CONCURRENT, queue: QUEUE, cache_ttl: CACHE_TTL }
    }
}

/// The Admission.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admission {
    running: BTreeSet<String>,
    /// First come, first served.
    waiting: VecDeque<String>,
    /// Queries under way whose results may be shared: what makes them the same, by id, and the other way.
    shared: BTreeMap<String, String>,
    keys: BTreeMap<String, String>,
    /// Queries accepted so far.
    accepted: u64,
}

impl Durable for Admission {
    const KIND: Kind = Kind::new("admission");
    /// Submissions tell of models since version 2.
    const VERSION: u16 = 2;
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
            AdmissionMessage::Return(id) => self.enqueue(id, turn),
            AdmissionMessage::Release { id, result } => self.release(&id, result, turn),
            AdmissionMessage::Expired(key) => turn.delete(&CACHE, &key),
            AdmissionMessage::Unnamed(name) => turn.delete(&NAMES, &name),
            AdmissionMessage::SubmitFor { submission, watcher } => {
                self.submit_for(&submission, watcher, turn)?;
            }
        }
        Ok(())
    }

    fn migrate(version: u16, payload: &[u8]) -> Result<Self, Failure> {
        known(version)?;
        Ok(decode(payload)?)
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
            let ahead = self.waiting.iter().position(|waiting| *waiting == id);
            return Ok(Admitted::Accepted { id, ahead: ahead.unwrap_or_default() as u64 });
        }
        let admitted = self.admit(submission, turn)?;
        match &admitted {
            Admitted::Accepted { id, .. } | Admitted::Shared { id } => {
                turn.put(&NAMES, name, id);
                let over = AdmissionMessage::Unnamed(name.clone());
                turn.send_after(NAMES_KEPT, &format!("name:{name}"), &over);
            }
            Admitted::Full { .. } => {}
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
            Admitted::Full { .. } => {}
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
        let settings = turn.settings();
        if self.waiting.len() >= settings.queue {
            turn.count(metrics::REFUSED, &[]);
            return Ok(Admitted::Full { waiting: self.waiting.len() as u64 });
        }
        let id = self.new_id(turn);
        let accept = OrchestratorMessage::Accept(Box::new(submission.clone()));
        turn.send::<Orchestrator>(id.clone(), &accept);
        if let Some(key) = &submission.cache_key {
            self.shared.insert(id.clone(), key.clone());
            self.keys.insert(key.clone(), id.clone());
        }
        self.enqueue(id.clone(), turn);
        let ahead = self.waiting.len() as u64;
        Ok(Admitted::Accepted { id, ahead })
    }

    /// Ids rise with time, and two of the same microsecond differ.
    fn new_id(&mut self, turn: &Turn<'_, Self>) -> String {
        self.accepted += 1;
        format!("q-{:014x}-{:04x}", turn.now().as_micros(), self.accepted & 0xffff)
    }

    fn enqueue(&mut self, id: String, turn: &mut Turn<'_, Self>) {
        if !self.running.contains(&id) && !self.waiting.contains(&id) {
            self.waiting.push_back(id);
        }
        self.fill(turn);
    }

    fn fill(&mut self, turn: &mut Turn<'_, Self>) {
        while self.running.len() < turn.settings().max_concurrent {
            let Some(next) = self.waiting.pop_front() else { return };
            turn.send::<Orchestrator>(next.clone(), &OrchestratorMessage::Begin);
            self.running.insert(next);
            turn.measure(metrics::QUERIES_RUNNING, &[], self.running.len() as f64);
        }
    }

    /// Takes a place back. A query that has ended, and ended well, may be given again for a while.
    fn release(&mut self, id: &str, result: Option<Outcome>, turn: &mut Turn<'_, Self>) {
        self.running.remove(id);
        self.waiting.retain(|waiting| waiting != id);
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
