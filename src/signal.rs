//! The signals that end a process in order.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Waits for SIGTERM and SIGINT.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// One that arrived and was put back.
    before: Option<&'static str>,
}

impl Signals {
    /// Catches both signals from now on.
    ///
    /// # Errors
    /// The operating system does not let them be caught.
    pub fn catch() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self { terminate, interrupt, before: None })
    }

    /// Resolves with the name of the next one that arrives.
    pub async fn next(&mut self) -> &'static str {
        if let Some(signal) = self.before.take() {
            return signal;
        }
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
    /// Has `signal` arrive once more.
    pub fn put_back(&mut self, signal: &'static str) {
        self.before = Some(signal);
    }
}
