//! The supervisor of all live actors of one kind: started by their first message, restarted after a
//! failure, let go when idle.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures::future::BoxFuture;
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};

use crate::activation::{Activation, Wake};
use crate::clock::instant;
use crate::core::Core;
use crate::durable::Durable;
use crate::ended::Ended;
use crate::policy::{Exit, Intensity, Restart, Verdict, verdict};
use crate::slot::{Phase, Slot};

/// What a kind's supervisor is told.
#[derive(Debug)]
pub(crate) enum KindMessage {
    /// Start the actor of this slot.
    Activate(Arc<Slot>),
    /// Let actors go that have been idle this long.
    Sweep(Duration),
}

/// A registered kind: how to start its actors, and who supervises them.
pub(crate) struct KindEntry {
    pub(crate) kind: &'static str,
    spawner: Box<dyn Spawner>,
    supervisor: Mutex<Option<ActorRef<KindMessage>>>,
}

impl std::fmt::Debug for KindEntry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("KindEntry").field("kind", &self.kind).finish_non_exhaustive()
    }
}

trait Spawner: Send + Sync {
    fn spawn(
        &self,
        core: Arc<Core>,
        slot: Arc<Slot>,
        supervisor: ActorCell,
    ) -> BoxFuture<'static, Result<ActorCell, SpawnErr>>;
}

struct SpawnerOf<A: Durable>(Arc<A::Settings>);

impl<A: Durable> Spawner for SpawnerOf<A> {
    fn spawn(
        &self,
        core: Arc<Core>,
        slot: Arc<Slot>,
        supervisor: ActorCell,
    ) -> BoxFuture<'static, Result<ActorCell, SpawnErr>> {
        let activation = Activation::<A> { core, slot, settings: self.0.clone() };
        Box::pin(async move {
            let (actor, _task) = Actor::spawn_linked(None, activation, (), supervisor).await?;
            Ok(actor.get_cell())
        })
    }
}

impl KindEntry {
    pub(crate) fn of<A: Durable>(settings: A::Settings) -> Self {
        Self {
            kind: A::KIND.as_str(),
            spawner: Box::new(SpawnerOf::<A>(Arc::new(settings))),
            supervisor: Mutex::new(None),
        }
    }

    /// Asks the kind's supervisor to start the slot's actor; false when there is none at the moment,
    /// and then it asks for all that is waiting once it is there.
    pub(crate) fn activate(&self, slot: &Arc<Slot>) -> bool {
        self.tell(KindMessage::Activate(slot.clone()))
    }

    pub(crate) fn tell(&self, message: KindMessage) -> bool {
        let supervisor = self.supervisor.lock().unwrap_or_else(PoisonError::into_inner);
        supervisor.as_ref().is_some_and(|supervisor| supervisor.cast(message).is_ok())
    }

    /// Kills the kind's supervisor, if there is one at the moment.
    pub(crate) fn kill(&self) {
        let supervisor = self.supervisor.lock().unwrap_or_else(PoisonError::into_inner);
        supervisor.iter().for_each(|supervisor| supervisor.kill());
    }

    fn set(&self, supervisor: ActorRef<KindMessage>) {
        *self.supervisor.lock().unwrap_or_else(PoisonError::into_inner) = Some(supervisor);
    }

    /// Its successor may be there already.
    fn unset(&self, ended: &ActorRef<KindMessage>) {
        let mut supervisor = self.supervisor.lock().unwrap_or_else(PoisonError::into_inner);
        supervisor.take_if(|supervisor| supervisor.get_id() == ended.get_id());
    }
}

/// The ractor actor.
pub(crate) struct KindSupervisor {
    pub(crate) core: Weak<Core>,
    pub(crate) entry: Arc<KindEntry>,
    pub(crate) intensity: Intensity,
}

pub(crate) type Children = BTreeMap<ActorId, Arc<Slot>>;

impl Actor for KindSupervisor {
    type Msg = KindMessage;
    type State = Children;
    type Arguments = ();

    async fn pre_start(
        &self,
        myself: ActorRef<KindMessage>,
        (): (),
    ) -> Result<Children, ActorProcessingErr> {
        self.entry.set(myself.clone());
        let core = self.core()?;
        for slot in core.slots.of_kind(self.entry.kind) {
            let mut state = slot.lock();
            // Actors of an earlier supervisor ended with it; what they held is in the store.
            if !matches!(state.phase, Phase::Passive) || !state.inbox.is_empty() {
                state.phase = Phase::Starting;
                state.awake = false;
                myself.cast(KindMessage::Activate(slot.clone()))?;
            }
        }
        Ok(Children::new())
    }

    async fn handle(
        &self,
        myself: ActorRef<KindMessage>,
        message: KindMessage,
        children: &mut Children,
    ) -> Result<(), ActorProcessingErr> {
        let core = self.core()?;
        match message {
            KindMessage::Activate(slot) => {
                if !core.is_stopping() && matches!(slot.lock().phase, Phase::Starting) {
                    self.start(&core, &myself, slot, children).await?;
                }
            }
            KindMessage::Sweep(idle) => sweep(children, idle),
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<KindMessage>,
        event: SupervisionEvent,
        children: &mut Children,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorTerminated(cell, _, _) => {
                if let Some(slot) = children.remove(&cell.get_id()) {
                    self.ended(&slot, &cell)?;
                }
            }
            SupervisionEvent::ActorFailed(cell, error) => {
                if let Some(slot) = children.remove(&cell.get_id()) {
                    self.failed(&myself, &slot, error.as_ref())?;
                }
            }
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        myself: ActorRef<KindMessage>,
        _children: &mut Children,
    ) -> Result<(), ActorProcessingErr> {
        self.entry.unset(&myself);
        Ok(())
    }
}

impl KindSupervisor {
    fn core(&self) -> Result<Arc<Core>, Ended> {
        self.core.upgrade().ok_or_else(|| Ended::failed("the runtime is gone"))
    }

    async fn start(
        &self,
        core: &Arc<Core>,
        myself: &ActorRef<KindMessage>,
        slot: Arc<Slot>,
        children: &mut Children,
    ) -> Result<(), Ended> {
        let cell = myself.get_cell();
        match self.entry.spawner.spawn(core.clone(), slot.clone(), cell).await {
            Ok(actor) => {
                children.insert(actor.get_id(), slot);
                Ok(())
            }
            Err(error) => self.failed(myself, &slot, &error),
        }
    }

    /// It left memory, or was stopped by somebody else: messages that came meanwhile start it again.
    fn ended(&self, slot: &Arc<Slot>, cell: &ActorCell) -> Result<(), Ended> {
        let mut state = slot.lock();
        if matches!(&state.phase, Phase::Active(bell) if bell.actor_id() == cell.get_id()) {
            // It was not let go in order, so what it had taken out of the inbox is in the store only.
            state.inbox.rebuild();
            state.phase = Phase::Passive;
            state.awake = false;
        }
        drop(state);
        self.core()?.wake(slot);
        Ok(())
    }

    fn failed(
        &self,
        myself: &ActorRef<KindMessage>,
        slot: &Arc<Slot>,
        error: &(dyn std::error::Error + Send + Sync + 'static),
    ) -> Result<(), Ended> {
        let core = self.core()?;
        let escalate = error.downcast_ref::<Ended>().is_some_and(|ended| ended.escalate);
        let illegible = error.downcast_ref::<Ended>().is_some_and(|ended| ended.illegible);
        let exit = if escalate { Exit::Escalated } else { Exit::Failed };
        let now = instant();
        let mut state = slot.lock();
        state.awake = false;
        state.last_error = Some(error.to_string());
        if illegible {
            state.phase = Phase::GivenUp;
            slot.room.notify_waiters();
            tracing::error!(actor = %slot.address, %error, "the state is not readable; its messages wait for a version that reads it");
            return Ok(());
        }
        let case = (Restart::Permanent, exit);
        match verdict(case, &self.intensity, &mut state.history, now, core.jitter()) {
            Verdict::Restart(after) => {
                state.phase = Phase::Starting;
                state.restarts += 1;
                drop(state);
                core.stats.count_restart(self.entry.kind);
                tracing::warn!(actor = %slot.address, %error, ?after, "an actor failed and is started again");
                let again = slot.clone();
                let after = after + core.restarts.wait(now);
                drop(myself.send_after(after, move || KindMessage::Activate(again)));
                Ok(())
            }
            Verdict::Leave | Verdict::Escalate => {
                state.phase = Phase::GivenUp;
                slot.room.notify_waiters();
                drop(state);
                let reason = format!("{} failed: {error}", slot.address);
                Err(Ended::failed(reason))
            }
        }
    }
}

fn sweep(children: &Children, idle: Duration) {
    let now = instant();
    for slot in children.values() {
        let mut state = slot.lock();
        let rests = state.rests_for(now) >= idle && !state.awake;
        if rests && let Phase::Active(bell) = &state.phase {
            // A cast fails only when the actor is ending anyway.
            let _ending = bell.cast(Wake::Passivate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
    struct Nobody;

    impl Durable for Nobody {
        const KIND: crate::Kind = crate::Kind::new("nobody");
        type Message = ();
        type Settings = ();
        fn handle(&mut self, (): (), _: &mut crate::Turn<'_, Self>) -> Result<(), crate::Failure> {
            Ok(())
        }
    }

    struct Idle;

    impl Actor for Idle {
        type Msg = KindMessage;
        type State = ();
        type Arguments = ();
        async fn pre_start(
            &self,
            _: ActorRef<KindMessage>,
            (): (),
        ) -> Result<(), ActorProcessingErr> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_supervisor_that_ends_late_does_not_sign_off_its_successor() {
        let entry = KindEntry::of::<Nobody>(());
        let told = || entry.tell(KindMessage::Sweep(Duration::ZERO));
        let (old, _) = Actor::spawn(None, Idle, ()).await.unwrap();
        let (new, _) = Actor::spawn(None, Idle, ()).await.unwrap();
        entry.set(old.clone());
        entry.set(new.clone());
        entry.unset(&old);
        assert!(told(), "the successor is there");
        entry.unset(&new);
        assert!(!told());
    }
}
