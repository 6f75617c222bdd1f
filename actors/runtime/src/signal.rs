//! A value that is waited for. Those who wait are woken in the order in which they began to: tokio's
//! watch channel wakes them in a random one, and no run could be played again.

use std::pin::pin;
use std::sync::{PoisonError, RwLock};

use tokio::sync::Notify;

/// A value and those who wait for it to become another one.
#[derive(Debug, Default)]
pub(crate) struct Signal<T> {
    value: RwLock<T>,
    changed: Notify,
}

impl<T: Clone> Signal<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value: RwLock::new(value), changed: Notify::new() }
    }

    pub(crate) fn get(&self) -> T {
        self.value.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set(&self, value: T) {
        self.update(|held| *held = value);
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut T)) {
        change(&mut self.value.write().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_waiters();
    }

    /// Resolves with the first value seen that is as `wished`.
    pub(crate) async fn wait_for(&self, wished: impl Fn(&T) -> bool) -> T {
        let value = self.get();
        if wished(&value) {
            return value;
        }
        let mut changed = pin!(self.changed.notified());
        loop {
            // Listens before it looks, so that no change is missed in between.
            changed.as_mut().enable();
            let value = self.get();
            if wished(&value) {
                return value;
            }
            changed.as_mut().await;
            changed.set(self.changed.notified());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[tokio::test]
    async fn those_who_wait_go_on_in_the_order_in_which_they_began_to() {
        let (signal, order) = (Arc::new(Signal::new(0)), Arc::new(Mutex::new(Vec::new())));
        let mut waiting = Vec::new();
        for number in 0..20 {
            let (signal, order) = (signal.clone(), order.clone());
            waiting.push(tokio::spawn(async move {
                signal.wait_for(|value| *value >= 2).await;
                order.lock().unwrap().push(number);
            }));
        }
        tokio::task::yield_now().await;
        signal.set(1);
        tokio::task::yield_now().await;
        assert!(order.lock().unwrap().is_empty());
        signal.set(2);
        for task in waiting {
            task.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<_>>());
        assert_eq!(
            signal.wait_for(|value| *value == 2).await,
            2,
            "what is there is not waited for"
        );
    }
}
