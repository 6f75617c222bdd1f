//! One actor's waiting messages: a bounded window in memory, the rest in the store.
//!
//! Every message is a row of the store, or will be with the commit that carries it. The window holds
//! copies of the oldest ones. Once it overflows, everything that arrives is only counted ("spilled")
//! until a scan of the store has caught up, so that the order of each sender is kept.

use std::collections::VecDeque;

use perennial_store::{MessageId, Timestamp};

use crate::message::{Envelope, Origin};

#[derive(Debug, Default)]
pub(crate) struct Inbox {
    /// Due timers: name and due time; the message is with the actor's timers.
    due: VecDeque<(String, Timestamp)>,
    ready: VecDeque<Envelope>,
    bytes: usize,
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

/// What to do next for an inbox.
#[derive(Debug)]
pub(crate) enum Next {
    /// Handle these.
    Run(Vec<Work>),
    /// Wait for this commit, then scan from [`Inbox::unread_from`] on.
    Load { position: u64 },
    /// Nothing waits.
    Empty,
}

/// One thing to handle.
#[derive(Debug)]
pub(crate) enum Work {
    Message(Envelope),
    Timer { name: String, due: Timestamp },
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
            self.ready.push_back(envelope);
        }
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
        let next = self.ready.front().map(|envelope| is_own(envelope.origin.id()));
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

    /// Forgets what memory holds; the store is scanned from its first row on.
    pub(crate) fn rebuild(&mut self) {
        let oldest = self.oldest();
        let count = self.depth();
        let counted = self.uncounted_from().is_none();
        self.due.clear();
        self.ready.clear();
        self.bytes = 0;
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
    pub(crate) fn put_back(&mut self, works: Vec<Work>) {
        for work in works.into_iter().rev() {
            match work {
                Work::Timer { name, due } => self.put_timer_back(name, due),
                Work::Message(envelope) => match envelope.origin {
                    Origin::Timer { name, due, .. } => self.put_timer_back(name, due),
                    Origin::Inbox(_) => {
                        self.bytes += envelope.bytes();
                        self.ready.push_front(envelope);
                    }
                },
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
    pub(crate) fn next(&mut self, limit: usize) -> Next {
        let mut works = Vec::new();
        while works.len() < limit
            && let Some((name, due)) = self.due.pop_front()
        {
            works.push(Work::Timer { name, due });
        }
        while works.len() < limit
            && let Some(envelope) = self.ready.pop_front()
        {
            self.bytes -= envelope.bytes();
            works.push(Work::Message(envelope));
        }
        match (works.is_empty(), &self.spill) {
            (false, _) => Next::Run(works),
            (true, Some(spill)) => Next::Load { position: spill.position },
            (true, None) => Next::Empty,
        }
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
        self.bytes += found.iter().map(Envelope::bytes).sum::<usize>();
        self.ready.extend(found);
    }

    /// Messages and due timers that wait.
    pub(crate) fn depth(&self) -> usize {
        self.due.len() + self.ready.len() + self.spill.map_or(0, |spill| spill.count)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.due.is_empty() && self.ready.is_empty() && self.spill.is_none()
    }

    /// When the oldest waiting message was accepted or fell due, as far as memory knows.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        let due = self.due.front().map(|(_, due)| *due);
        let ready = self.ready.front().map(|envelope| envelope.message.accepted_at);
        let spilled = self.spill.and_then(|spill| spill.oldest);
        [due, ready, spilled].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests;
