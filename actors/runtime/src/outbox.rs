//! The pending effects of one type: a bounded window of them in memory, the rest in the store.
//!
//! Every pending effect is a row of the store. The window holds copies of the ones that are performed
//! or come next. What does not fit is only remembered as a place from which the store has to be read:
//! one place for each lane that holds more than its share, so that a lane that is stuck does not keep
//! the others out, and one for all that did not find room at all.
//!
//! Those that an earlier run left are found while the node runs, in their order. Until all are, nothing
//! else is read from the store, and what arrives with a lane stands behind them there.
//!
//! An effect that was read ahead of its own announcement, and one whose end is not durable yet, are in
//! the store as well: both are recognised and not taken in twice.

use std::collections::{BTreeMap, HashSet, VecDeque};

use perennial_store::{MessageId, Timestamp};

use crate::pool::Job;

/// Effects of one type in memory before the rest is left to the store. A lane that has run dry is given
/// one more whatever the others hold, so that it does not starve.
pub(crate) const WINDOW: usize = 1_000;
/// Bytes of effects of one type in memory; the same holds.
const WINDOW_BYTES: usize = 16 * 1024 * 1024;
/// Rows of effects, and their bytes, read from the store before other work of the same thread gets its turn.
pub(crate) const PAGE: (usize, usize) = (256, 4 * 1024 * 1024);
/// Effects of one lane in memory, of which one is performed.
const LANE: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// Intended and not known to be done.
    known: BTreeMap<MessageId, Job>,
    bytes: usize,
    lanes: BTreeMap<String, Lane>,
    /// To be started, in this order.
    ready: VecDeque<MessageId>,
    /// To be started one at a time, beside the others.
    suspects: VecDeque<MessageId>,
    /// From here on the store holds effects that found no room.
    rest: Option<MessageId>,
    /// What an earlier run left is still being found.
    finding: bool,
    /// The first that arrived meanwhile and must stand behind what is found.
    behind: Option<MessageId>,
    /// Lanes that ran low and have more in the store.
    hungry: VecDeque<String>,
    /// Ended, and still in the store until that is durable.
    ending: HashSet<MessageId>,
    /// Those of the store included. For a moment less than none: when one that was read from the store
    /// ends before it is announced.
    pending: i64,
}

#[derive(Debug, Default)]
struct Lane {
    /// The first is being performed, or ready to be.
    queue: VecDeque<MessageId>,
    /// From here on the store holds more of this lane.
    rest: Option<MessageId>,
    hungry: bool,
}

/// What to read from the store next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Effects of this lane only.
    pub(crate) lane: Option<String>,
    pub(crate) from: MessageId,
}

impl Outbox {
    /// Takes in an effect whose intent is durable.
    pub(crate) fn arrive(&mut self, job: Job) {
        self.pending += 1;
        if self.has_seen(job.id) {
            return;
        }
        let id = job.id;
        let may_stand_behind = self.finding && job.effect.lane.is_some();
        if may_stand_behind || self.rest.is_some() || !self.place(job) {
            let rest = if self.finding { &mut self.behind } else { &mut self.rest };
            note(rest, id);
        }
    }

    /// An earlier run left something in the store, which is found from now on.
    pub(crate) fn expect(&mut self) {
        self.finding = true;
    }

    /// Takes in an effect of an earlier run. They are found in their order, and each once.
    pub(crate) fn find(&mut self, job: Job) {
        self.pending += 1;
        let id = job.id;
        if self.rest.is_some() || !self.place(job) {
            note(&mut self.rest, id);
        }
    }

    /// All that an earlier run left was found.
    pub(crate) fn note_found(&mut self) {
        self.finding = false;
        self.behind.take().into_iter().for_each(|id| note(&mut self.rest, id));
    }

    pub(crate) fn is_finding(&self) -> bool {
        self.finding
    }

    pub(crate) fn has_seen(&self, id: MessageId) -> bool {
        self.known.contains_key(&id) || self.ending.contains(&id)
    }

    /// Finds room for an effect, or leaves it to its lane; false when there is neither.
    fn place(&mut self, job: Job) -> bool {
        let lane = job.effect.lane.as_ref().and_then(|lane| self.lanes.get_mut(lane));
        if let Some(lane) = lane.filter(|lane| lane.rest.is_some() || lane.queue.len() >= LANE) {
            note(&mut lane.rest, job.id);
            return true;
        }
        if self.is_full() {
            return false;
        }
        self.take_in(job);
        true
    }

    fn is_full(&self) -> bool {
        self.known.len() >= WINDOW || self.bytes >= WINDOW_BYTES
    }

    fn take_in(&mut self, job: Job) {
        self.bytes += job.bytes();
        let id = job.id;
        let lane = job.effect.lane.clone();
        self.known.insert(id, job);
        self.enqueue(id, lane);
    }

    fn enqueue(&mut self, id: MessageId, lane: Option<String>) {
        if let Some(lane) = lane {
            let lane = self.lanes.entry(lane).or_default();
            lane.queue.push_back(id);
            if lane.queue.len() > 1 {
                return;
            }
        }
        self.make_ready(id);
    }

    fn make_ready(&mut self, id: MessageId) {
        match self.known.get(&id) {
            Some(job) if job.suspect => self.suspects.push_back(id),
            Some(_) | None => self.ready.push_back(id),
        }
    }

    /// Takes in how a known effect stands, which waits for another try.
    pub(crate) fn put_off(&mut self, job: Job) {
        if let Some(known) = self.known.get_mut(&job.id) {
            self.bytes = self.bytes - known.bytes() + job.bytes();
            *known = job;
        }
    }

    /// To be started again, if it has not ended.
    pub(crate) fn resume(&mut self, id: MessageId) {
        if self.is_known(id) {
            self.make_ready(id);
        }
    }

    /// What to start next. Suspects do not take a worker's place.
    pub(crate) fn next(&mut self, worker_free: bool) -> Option<Job> {
        while let Some(id) = self.suspects.pop_front() {
            if let Some(job) = self.known.get(&id) {
                return Some(job.clone());
            }
        }
        while worker_free && let Some(id) = self.ready.pop_front() {
            if let Some(job) = self.known.get(&id) {
                return Some(job.clone());
            }
        }
        None
    }

    /// Forgets an effect whose end is about to be committed; false when it is not pending.
    pub(crate) fn end(&mut self, id: MessageId) -> bool {
        let Some(job) = self.known.remove(&id) else { return false };
        self.bytes -= job.bytes();
        self.ending.insert(id);
        self.pending -= 1;
        true
    }

    /// The end of this effect is durable: the store does not show it any more.
    pub(crate) fn ended(&mut self, id: MessageId) {
        self.ending.remove(&id);
    }

    pub(crate) fn is_known(&self, id: MessageId) -> bool {
        self.known.contains_key(&id)
    }

    /// The first of the lane is over: the next one may start.
    pub(crate) fn advance(&mut self, name: &str) {
        let Some(lane) = self.lanes.get_mut(name) else { return };
        lane.queue.pop_front();
        let next = lane.queue.front().copied();
        if next.is_none() && lane.rest.is_none() {
            self.lanes.remove(name);
        } else {
            self.note_hunger(name);
        }
        next.into_iter().for_each(|id| self.make_ready(id));
    }

    fn note_hunger(&mut self, name: &str) {
        let Some(lane) = self.lanes.get_mut(name) else { return };
        if lane.rest.is_some() && lane.queue.len() <= LANE / 2 && !lane.hungry {
            lane.hungry = true;
            self.hungry.push_back(name.to_owned());
        }
    }

    /// What has to be read from the store, if anything.
    pub(crate) fn wanted(&mut self) -> Option<Wanted> {
        if self.finding {
            return None;
        }
        while let Some(name) = self.hungry.front() {
            if let Some(from) = self.lanes.get(name).and_then(|lane| lane.rest) {
                return Some(Wanted { lane: Some(name.clone()), from });
            }
            self.hungry.pop_front();
        }
        let from = self.rest?;
        let low = self.known.len() <= WINDOW / 2 && self.bytes <= WINDOW_BYTES / 2;
        low.then_some(Wanted { lane: None, from })
    }

    /// Takes in what was read as `wanted`; `next` is where the store goes on, if it does.
    pub(crate) fn load(&mut self, wanted: &Wanted, found: Vec<Job>, next: Option<MessageId>) {
        match &wanted.lane {
            Some(lane) => self.load_lane(lane, found, next),
            None => self.load_rest(found, next),
        }
    }

    fn load_rest(&mut self, found: Vec<Job>, next: Option<MessageId>) {
        self.rest = next;
        for job in found {
            let id = job.id;
            if !self.has_seen(id) && !self.place(job) {
                self.rest = Some(id);
                return;
            }
        }
    }

    fn load_lane(&mut self, name: &str, found: Vec<Job>, next: Option<MessageId>) {
        self.hungry.pop_front();
        let mut rest = next;
        for job in found {
            let (id, held) = (job.id, self.lanes.get(name).map_or(0, |lane| lane.queue.len()));
            if job.effect.lane.as_deref() != Some(name) || self.has_seen(id) {
                continue;
            }
            if held >= LANE || (held > 0 && self.is_full()) {
                rest = Some(id);
                break;
            }
            self.take_in(job);
        }
        let full = self.is_full();
        let lane = self.lanes.entry(name.to_owned()).or_default();
        (lane.rest, lane.hungry) = (rest, false);
        match (lane.rest, lane.queue.len()) {
            (None, 0) => drop(self.lanes.remove(name)),
            // It is given more when it has run dry, or there is room again: both end an effect.
            (Some(_), held) if held == 0 || !full => self.note_hunger(name),
            (Some(_) | None, _) => {}
        }
    }

    /// Starts all over with what is known; `doubtful` when some of it may have been started.
    pub(crate) fn begin_again(&mut self, doubtful: bool) {
        self.ready.clear();
        self.suspects.clear();
        self.lanes.values_mut().for_each(|lane| lane.queue.clear());
        let mut all = Vec::with_capacity(self.known.len());
        for (id, job) in &mut self.known {
            job.reconcile |= doubtful;
            all.push((*id, job.effect.lane.clone()));
        }
        all.into_iter().for_each(|(id, lane)| self.enqueue(id, lane));
        self.lanes.retain(|_, lane| lane.rest.is_some() || !lane.queue.is_empty());
        let names: Vec<String> = self.lanes.keys().cloned().collect();
        names.iter().for_each(|name| self.note_hunger(name));
    }

    /// Pending effects, as far as they were found and at least one until all are, and when the oldest of
    /// those in memory was intended.
    pub(crate) fn depth(&self) -> (usize, Option<Timestamp>) {
        let oldest = self.known.values().map(|job| job.effect.intended_at).min();
        let pending = usize::try_from(self.pending).unwrap_or_default();
        (pending.max(usize::from(self.finding)), oldest)
    }

    /// Effects in memory.
    pub(crate) fn held(&self) -> usize {
        self.known.len()
    }
}

/// Moves a place to the earlier of itself and `id`.
fn note(place: &mut Option<MessageId>, id: MessageId) {
    *place = Some(place.map_or(id, |place| place.min(id)));
}

#[cfg(test)]
mod tests;
