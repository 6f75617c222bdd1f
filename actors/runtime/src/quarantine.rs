//! Effects that are suspected of having killed the process: one at a time, so that another death is known
//! to be that one's. One that takes long lets the others go on beside it, and then no death is anybody's.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Mutex, MutexGuard};

#[derive(Debug, Default)]
pub(crate) struct Quarantine {
    alone: Mutex<()>,
    /// Changed upwards only by who holds `alone`.
    beside: AtomicUsize,
}

/// How a suspect is under way.
#[derive(Debug)]
pub(crate) enum Place<'a> {
    /// No other suspect is.
    Alone(Alone<'a>),
    /// Others are, and take long.
    Beside(Beside<'a>),
}

/// Until it is dropped or gives way, no other suspect is under way.
#[derive(Debug)]
pub(crate) struct Alone<'a> {
    of: &'a Quarantine,
    _turn: MutexGuard<'a, ()>,
}

/// Until it is dropped, no other suspect is alone.
#[derive(Debug)]
pub(crate) struct Beside<'a>(&'a Quarantine);

impl Quarantine {
    /// Waits for those who are alone.
    pub(crate) async fn enter(&self) -> Place<'_> {
        let alone = Alone { of: self, _turn: self.alone.lock().await };
        match self.beside.load(Ordering::SeqCst) {
            0 => Place::Alone(alone),
            _ => Place::Beside(alone.give_way()),
        }
    }
}

impl<'a> Alone<'a> {
    /// Lets the others go on.
    pub(crate) fn give_way(self) -> Beside<'a> {
        self.of.beside.fetch_add(1, Ordering::SeqCst);
        Beside(self.of)
    }
}

impl Drop for Beside<'_> {
    fn drop(&mut self) {
        self.0.beside.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn nobody_is_alone_while_one_who_gave_way_is_under_way() {
        let quarantine = Quarantine::default();
        let Place::Alone(alone) = quarantine.enter().await else { panic!("it is the first") };
        assert!(quarantine.enter().now_or_never().is_none());
        let first = alone.give_way();
        let Place::Beside(second) = quarantine.enter().await else { panic!("another one is") };
        drop(first);
        assert!(matches!(quarantine.enter().await, Place::Beside(_)));
        drop(second);
        assert!(matches!(quarantine.enter().await, Place::Alone(_)));
    }
}
