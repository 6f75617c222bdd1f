//! One actor's waiting messages: a bounded window in memory, the rest in the store.
//!
//! Every message is a row of the store, or will be with the commit that carries it, but for those that
//! are told. The window holds copies of the oldest ones. Once it overflows, everything that arrives is only
//! counted ("spilled") until a scan of the store has caught up, so that the order of each sender is kept.
//! Nothing is told meanwhile: so what was told stands behind all rows that are older.

use std::collections::VecDeque;

use perennial_store::{MessageId, Timestamp};

use crate::message::{Envelope, Origin};
use crate::told::{Batch, Payloads, Told, Waiting};

#[derive(Debug, Default)]
pub(crate) struct Inbox {
    /// Due timers: name and due time; the message is with the actor's timers.
    due: VecDeque<Due>,
    ready: VecDeque<Waiting>,
    payloads: Payloads,
    /// What the next batch is put into.
    spare: Batch,
    bytes: usize,
    /// What was told and not handled when the inbox was rebuilt: it stands among the rows by its number.
    kept: VecDeque<Waiting>,
    /// About since when the first of those that were told waits.
    told_since: Timestamp,
    spill: Option<Spill>,
    /// Rows of an earlier run of the process may be among those that were not read.
    behind: bool,
    /// The latest position at which a row of this inbox commits.
    position: u64,
}

/// Rows that are in the store only.
#[derive(Clone, Copy, Debug)]
struct Spill {
    from: MessageId,
    /// The last commit that must be done before a scan sees all of them.
    position: u64,
    /// How many there are, at least one.
    count: usize,
    /// Those of an earlier run of the process are among them.
    counted: bool,
    oldest: Option<Timestamp>,
}

/// A timer that fell due: its name, and when.
pub(crate) type Due = (String, Timestamp);

/// What was taken out to be handled, timers first.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) due: Vec<Due>,
    pub(crate) batch: Batch,
    /// When it was taken out.
    pub(crate) now: Timestamp,
}

/// What to do next for an inbox.
#[derive(Debug)]
pub(crate) enum Next {
    /// Handle these.
    Run(Taken),
    /// Wait for this commit, then scan from [`Inbox::unread_from`] on.
    Load { position: u64 },
    /// Nothing waits.
    Empty,
}

impl Inbox {
    /// Takes in a message whose row commits at `position`.
    pub(crate) fn offer(
        &mut self,
        envelope: Envelope,
        position: u64,
        (window, bytes): (usize, usize),
    ) {
        self.position = self.position.max(position);
        let full = self.ready.len() >= window || self.bytes + envelope.bytes() > bytes;
        if self.spill.is_some() || (full && !self.ready.is_empty()) {
            self.note_spilled(envelope.origin.id(), position, envelope.message.accepted_at);
        } else {
            self.bytes += envelope.bytes();
            self.ready.push_back(Waiting::Message(envelope));
        }
    }

    /// Whether rows wait that memory does not hold: what is told now would overtake them.
    pub(crate) fn has_spilled(&self) -> bool {
        self.spill.is_some()
    }

    /// Whether there is room to tell another message of so many bytes.
    pub(crate) fn has_room(&self, payload: usize, (window, bytes): (usize, usize)) -> bool {
        self.ready.is_empty() || (self.ready.len() < window && self.bytes + payload <= bytes)
    }

    /// Whether those may go on who waited for room.
    pub(crate) fn has_ample_room(&self, (window, bytes): (usize, usize)) -> bool {
        self.ready.len() <= window / 2 && self.bytes <= bytes / 2
    }

    /// Takes in a message that is in memory only; `now` is asked for when it is the first.
    pub(crate) fn tell(&mut self, told: Told, payload: &[u8], now: impl FnOnce() -> Timestamp) {
        if self.ready.is_empty() {
            self.told_since = now();
        }
        self.payloads.push(payload);
        self.bytes += told.held();
        self.ready.push_back(Waiting::Told(told));
    }

    /// Lets go of those who wait for an answer.
    pub(crate) fn drop_askers(&mut self) {
        self.kept.iter_mut().chain(&mut self.ready).for_each(Waiting::drop_asker);
    }

    /// Takes out all that is in memory only.
    pub(crate) fn take_told(&mut self) -> Batch {
        // In this order, as their payloads stand.
        let all = self.ready.drain(..).chain(self.kept.drain(..));
        let (told, stored): (VecDeque<_>, VecDeque<_>) = all.partition(Waiting::is_told);
        self.ready = stored;
        self.bytes -= told.iter().map(Waiting::held).sum::<usize>();
        let mut payloads = Vec::new();
        self.payloads.take(told.iter().map(Waiting::payload_bytes).sum(), &mut payloads);
        Batch { messages: told.into(), payloads }
    }

    /// Takes in a message that must not be handled before its row is durable.
    pub(crate) fn offer_durable(&mut self, envelope: &Envelope, position: u64) {
        self.position = self.position.max(position);
        self.note_spilled(envelope.origin.id(), position, envelope.message.accepted_at);
    }

    /// Notes a message that is to be read from the store.
    fn note_spilled(&mut self, id: MessageId, position: u64, accepted_at: Timestamp) {
        let spill = self.spill.get_or_insert(Spill {
            from: id,
            position,
            count: 0,
            counted: true,
            oldest: Some(accepted_at),
        });
        spill.from = spill.from.min(id);
        spill.position = spill.position.max(position);
        spill.count += 1;
    }

    /// An inbox that nobody has looked at since the process began: whatever an earlier run left in the
    /// store comes before all that arrives.
    pub(crate) fn unseen() -> Self {
        let (from, position) = (MessageId { unit: 0, index: 0 }, 0);
        let spill = Spill { from, position, count: 1, counted: false, oldest: None };
        Self { spill: Some(spill), behind: true, ..Self::default() }
    }

    /// All that an earlier run left was read.
    pub(crate) fn note_caught_up(&mut self) {
        self.behind = false;
    }

    /// Whether what is handled next was sent in this run of the process, whose messages `is_own` knows.
    pub(crate) fn is_past_backlog(&self, is_own: impl Fn(MessageId) -> bool) -> bool {
        let next = self.ready.front().map(|waiting| is_own(waiting.id()));
        !self.behind && next.unwrap_or(self.spill.is_some())
    }

    /// Where to begin counting what an earlier run left, if that was not done yet.
    pub(crate) fn uncounted_from(&self) -> Option<MessageId> {
        self.spill.filter(|spill| !spill.counted).map(|spill| spill.from)
    }

    /// Takes in how many rows there are from `from` on, unless some of them were read meanwhile.
    pub(crate) fn note_counted(&mut self, from: MessageId, rows: usize) {
        if let Some(spill) = self.spill.as_mut().filter(|spill| spill.from == from) {
            spill.count = spill.count.max(rows);
            spill.counted = true;
        }
    }

    /// Forgets what memory holds of the store, which is scanned from its first row on.
    pub(crate) fn rebuild(&mut self) {
        let (oldest, depth) = (self.oldest(), self.depth());
        let counted = self.uncounted_from().is_none();
        self.due.clear();
        let mut told: VecDeque<Waiting> = self.ready.drain(..).filter(Waiting::is_told).collect();
        told.append(&mut self.kept);
        let count = depth.saturating_sub(told.len());
        self.bytes = told.iter().map(Waiting::held).sum();
        self.kept = told;
        let from = MessageId { unit: 0, index: 0 };
        self.spill = Some(Spill { from, position: self.position, count, counted, oldest });
    }

    /// Takes in a timer that fell due; the same one a second time changes nothing.
    pub(crate) fn offer_timer(&mut self, name: String, due: Timestamp) {
        let timer = (name, due);
        if !self.due.contains(&timer) {
            self.due.push_back(timer);
        }
    }

    /// Puts back what a slice took and did not handle, in order.
    pub(crate) fn put_back(&mut self, envelopes: Vec<Envelope>) {
        for envelope in envelopes.into_iter().rev() {
            match envelope.origin {
                Origin::Timer { name, due, .. } => self.put_timer_back(name, due),
                Origin::Inbox(_) | Origin::Told(_) => {
                    self.bytes += envelope.bytes();
                    self.ready.push_front(Waiting::Message(envelope));
                }
            }
        }
    }

    /// It may have been offered again while the slice ran.
    fn put_timer_back(&mut self, name: String, due: Timestamp) {
        let timer = (name, due);
        self.due.retain(|other| *other != timer);
        self.due.push_front(timer);
    }

    /// Takes at most `limit` things to handle. Timers first: they are late already.
    pub(crate) fn next(&mut self, limit: usize, now: impl FnOnce() -> Timestamp) -> Next {
        match (self.due.is_empty() && self.ready.is_empty(), &self.spill) {
            (false, _) => Next::Run(self.taken(limit, now())),
            (true, Some(spill)) => Next::Load { position: spill.position },
            (true, None) => Next::Empty,
        }
    }

    fn taken(&mut self, limit: usize, now: Timestamp) -> Taken {
        self.told_since = now;
        let due: Vec<_> = self.due.drain(..limit.min(self.due.len())).collect();
        let count = self.ready.len().min(limit - due.len());
        let mut batch = std::mem::take(&mut self.spare);
        batch.messages.extend(self.ready.drain(..count));
        self.bytes -= batch.messages.iter().map(Waiting::held).sum::<usize>();
        let bytes = batch.messages.iter().map(Waiting::payload_bytes).sum();
        self.payloads.take(bytes, &mut batch.payloads);
        Taken { due, batch, now }
    }

    /// Keeps the room of a batch of which nothing is needed any more.
    pub(crate) fn reuse(&mut self, spent: Batch) {
        self.spare = spent.emptied();
    }

    /// Where the rows begin that are in the store only. Asked for at the scan and not before it is waited
    /// for: numbers are given when a unit is begun, so one that came meanwhile may have a lower one.
    pub(crate) fn unread_from(&self) -> Option<MessageId> {
        self.spill.map(|spill| spill.from)
    }

    /// Takes in what a scan found, up to the end of the inbox if it `ended` there, when everything up
    /// to `committed` was in the store. When more has spilled since, the scan may have missed it, also in between: the next
    /// one begins at the same place, and finds only what was not consumed.
    pub(crate) fn load(&mut self, found: Vec<Envelope>, ended: bool, committed: u64) {
        let Some(spill) = &mut self.spill else { return };
        if spill.position > committed {
            spill.count = spill.count.saturating_sub(found.len()).max(1);
        } else if ended {
            self.spill = None;
        } else if let Some(last) = found.last() {
            let id = last.origin.id();
            spill.from = MessageId { unit: id.unit, index: id.index.saturating_add(1) };
            spill.count = spill.count.saturating_sub(found.len()).max(1);
            spill.oldest = None;
        }
        for envelope in found {
            self.bytes += envelope.bytes();
            let found = Waiting::Message(envelope);
            // All rows that are older than one of them were committed before the scan, and so found.
            while let Some(told) = self.kept.pop_front_if(|told| told.id() < found.id()) {
                self.ready.push_back(told);
            }
            self.ready.push_back(found);
        }
        if self.spill.is_none() {
            self.ready.append(&mut self.kept);
        }
    }

    /// Messages and due timers that wait.
    pub(crate) fn depth(&self) -> usize {
        self.due.len()
            + self.ready.len()
            + self.kept.len()
            + self.spill.map_or(0, |spill| spill.count)
    }

    pub(crate) fn is_empty(&self) -> bool {
        let in_memory = self.due.len() + self.ready.len() + self.kept.len();
        in_memory == 0 && self.spill.is_none()
    }

    /// When the oldest waiting message was accepted or fell due, as far as memory knows.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        let due = self.due.front().map(|(_, due)| *due);
        let ready = self.ready.front().or(self.kept.front()).map(|waiting| match waiting {
            Waiting::Message(envelope) => envelope.message.accepted_at,
            Waiting::Told(_) => self.told_since,
        });
        let spilled = self.spill.and_then(|spill| spill.oldest);
        [due, ready, spilled].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests;
