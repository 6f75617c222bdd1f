//! How a live actor is woken: by a bell that its address holds, without ractor's mailbox.
//!
//! A wake-up through a mailbox is a box, a queue and four ports that are looked at; here it is a flag
//! and the waker of the task. Several in a row are one, as each means no more than to look.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use ractor::{ActorCell, ActorId};

use crate::activation::Wake;

/// The bell of one live actor.
#[derive(Debug)]
pub(crate) struct Bell {
    actor: ActorCell,
    rope: Mutex<Rope>,
}

#[derive(Debug, Default)]
struct Rope {
    rung: Option<Wake>,
    /// The actor's task, while it listens.
    listener: Option<Waker>,
    /// The actor has ended, and nobody listens any more.
    cut: bool,
}

impl Bell {
    pub(crate) fn of(actor: ActorCell) -> Self {
        Self { actor, rope: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Rope> {
        self.rope.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn actor_id(&self) -> ActorId {
        self.actor.get_id()
    }

    pub(crate) fn kill_actor(&self) {
        self.actor.kill();
    }

    /// Wakes the actor; false when it has ended.
    pub(crate) fn cast(&self, wake: Wake) -> bool {
        let mut rope = self.lock();
        if rope.cut {
            return false;
        }
        // An actor that has something to do does not leave memory.
        if matches!(rope.rung, None | Some(Wake::Passivate)) {
            rope.rung = Some(wake);
        }
        rope.listener.iter().for_each(Waker::wake_by_ref);
        true
    }

    /// Resolves when the actor is woken, or was since it was last asked. For its own task only.
    pub(crate) async fn heard(&self) -> Wake {
        std::future::poll_fn(|context| self.poll_heard(context)).await
    }

    fn poll_heard(&self, context: &mut Context<'_>) -> Poll<Wake> {
        let mut rope = self.lock();
        if let Some(wake) = rope.rung.take() {
            return Poll::Ready(wake);
        }
        let listens = rope.listener.as_ref().is_some_and(|task| task.will_wake(context.waker()));
        if !listens {
            rope.listener = Some(context.waker().clone());
        }
        Poll::Pending
    }

    /// Nobody listens any more: the commit does not wait for what was rung for.
    pub(crate) fn cut(&self) {
        *self.lock() = Rope { cut: true, ..Rope::default() };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ractor::{Actor, ActorProcessingErr, ActorRef};

    use super::*;

    struct Nobody;

    impl Actor for Nobody {
        type Msg = ();
        type State = ();
        type Arguments = ();
        async fn pre_start(&self, _: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
            Ok(())
        }
    }

    async fn bell() -> Arc<Bell> {
        let (actor, _) = Actor::spawn(None, Nobody, ()).await.unwrap();
        Arc::new(Bell::of(actor.get_cell()))
    }

    #[tokio::test]
    async fn a_wake_up_is_heard_whether_it_came_before_or_after_somebody_listened() {
        let bell = bell().await;
        assert!(bell.cast(Wake::Run(None)));
        assert!(matches!(bell.heard().await, Wake::Run(None)));
        let listens = bell.clone();
        let heard = tokio::spawn(async move { listens.heard().await });
        tokio::task::yield_now().await;
        assert!(bell.cast(Wake::Passivate));
        assert!(matches!(heard.await.unwrap(), Wake::Passivate));
    }

    #[tokio::test]
    async fn an_actor_that_is_to_work_and_to_leave_memory_works() {
        let bell = bell().await;
        for wakes in [[Wake::Run(None), Wake::Passivate], [Wake::Passivate, Wake::Run(None)]] {
            wakes.into_iter().for_each(|wake| assert!(bell.cast(wake)));
            assert!(matches!(bell.heard().await, Wake::Run(None)));
        }
    }

    #[tokio::test]
    async fn nobody_is_woken_who_has_ended_and_nobody_waits_for_him() {
        let (bell, settling) = (bell().await, Arc::<crate::settling::Settling>::default());
        assert!(bell.cast(Wake::Run(Some(settling.busy()))));
        bell.cut();
        assert!(settling.is_quiet());
        assert!(!bell.cast(Wake::Run(Some(settling.busy()))));
        assert!(settling.is_quiet());
    }
}
