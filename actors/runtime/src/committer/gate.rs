//! Where senders wait for a batch: all behind one gate, which is opened once, instead of one channel
//! and one closure for each.

use std::sync::Arc;

use super::Committer;
use crate::signal::Signal;

/// Keeps the gate of one batch. Dropped, it lets everybody look at what became of the batch.
#[derive(Debug, Default)]
pub(crate) struct Gatekeeper(Arc<Signal<bool>>);

impl Gatekeeper {
    /// A place to wait for `position`.
    pub(super) fn ticket(&self, position: u64) -> Ticket {
        Ticket { gate: self.0.clone(), position }
    }
}

impl Drop for Gatekeeper {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

/// A place behind a gate.
#[derive(Debug)]
pub(crate) struct Ticket {
    gate: Arc<Signal<bool>>,
    position: u64,
}

impl Committer {
    /// Resolves when what `ticket` stands for is durable; false if it never will be.
    pub(crate) async fn redeem(&self, ticket: Ticket) -> bool {
        ticket.gate.wait_for(|open| *open).await;
        // A batch that was full left some of them to the next one.
        self.wait_for(ticket.position).await
    }
}
