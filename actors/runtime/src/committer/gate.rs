//! Where senders wait for a batch: all behind one gate, which is opened once, instead of one channel
//! and one closure for each.

use std::sync::Arc;

use super::Committer;
use crate::signal::Signal;

/// Shut while it holds nothing; then the position up to which everything is durable.
type Gate = Signal<Option<u64>>;

/// Keeps the gate of one batch. Dropped, it lets everybody look at what became of the batch.
#[derive(Debug, Default)]
pub(crate) struct Gatekeeper {
    gate: Arc<Gate>,
    /// What those who wait are told: a later commit may fail before they are.
    durable: u64,
}

impl Gatekeeper {
    /// A place to wait for `position`.
    pub(super) fn ticket(&self, position: u64) -> Ticket {
        Ticket { gate: self.gate.clone(), position }
    }

    /// Its batch is durable, and all before it: everything up to `position`.
    pub(super) fn tell(&mut self, position: u64) {
        self.durable = position;
    }
}

impl Drop for Gatekeeper {
    fn drop(&mut self) {
        self.gate.set(Some(self.durable));
    }
}

/// A place behind a gate.
#[derive(Debug)]
pub(crate) struct Ticket {
    gate: Arc<Gate>,
    position: u64,
}

impl Committer {
    /// Resolves when what `ticket` stands for is durable; false if it never will be.
    pub(crate) async fn redeem(&self, ticket: Ticket) -> bool {
        let told = ticket.gate.wait_for(Option::is_some).await;
        // A batch that was full left some of them to the next one.
        told >= Some(ticket.position) || self.wait_for(ticket.position).await
    }
}
