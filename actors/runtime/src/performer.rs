//! The pool of workers that performs the committed effects of one type: lanes keep their order, and
//! what cannot be read ends in the dead letters.

use std::any::Any;
use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};

use futures::FutureExt;
use futures::future::BoxFuture;
use perennial_store::Key;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::JoinSet;

use crate::core::Core;
use crate::draft::Draft;
use crate::driving::Run;
use crate::durable::Failure;
use crate::effect::{Effect, Performer};
use crate::ended::Ended;
use crate::message::DeadContent;
use crate::migration::{self, Stored};
use crate::pool::{Busy, Job, Pool};
use crate::slice::text;

#[derive(Debug)]
pub(crate) enum PoolMessage {
    /// There are fresh effects.
    Wake,
    /// One ended, or the end of one is durable.
    Done(Done),
}

/// What an effect that ended sets free: its worker at once, its lane when the end is durable.
#[derive(Debug)]
pub(crate) struct Done {
    lane: Option<String>,
    worker: bool,
}

/// The ractor actor of a pool.
pub(crate) struct PoolActor {
    pub(crate) core: Weak<Core>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) workers: usize,
    pub(crate) restarted: bool,
}

#[derive(Default)]
pub(crate) struct PoolState {
    /// Workers that are busy.
    running: usize,
    term: u64,
    /// Dropping it ends the workers.
    tasks: JoinSet<()>,
}

impl Actor for PoolActor {
    type Msg = PoolMessage;
    type State = PoolState;
    type Arguments = ();

    async fn pre_start(
        &self,
        myself: ActorRef<PoolMessage>,
        (): (),
    ) -> Result<PoolState, ActorProcessingErr> {
        if !self.pool.dismiss().await {
            let why = "effects that its predecessor started are still under way";
            return Err(Ended::failed(why).into());
        }
        if self.restarted {
            // Its predecessor may have ended between reading effects and seeing them durable.
            let core = self.core()?;
            self.settled(&core).await?;
        }
        let term = self.pool.take_over(myself.clone(), self.restarted);
        myself.cast(PoolMessage::Wake)?;
        Ok(PoolState { term, ..PoolState::default() })
    }

    async fn handle(
        &self,
        myself: ActorRef<PoolMessage>,
        message: PoolMessage,
        state: &mut PoolState,
    ) -> Result<(), ActorProcessingErr> {
        if let PoolMessage::Done(done) = message {
            state.running -= usize::from(done.worker);
            done.lane.iter().for_each(|lane| self.pool.advance(state.term, lane));
        }
        while state.tasks.try_join_next().is_some() {}
        let core = self.core()?;
        self.refill(&core).await?;
        while let Some(job) = self.pool.next(state.term, state.running < self.workers) {
            self.start(&core, &myself, state, job);
        }
        Ok(())
    }
}

impl PoolActor {
    fn core(&self) -> Result<Arc<Core>, Ended> {
        self.core.upgrade().ok_or_else(|| Ended::failed("the runtime is gone"))
    }

    async fn settled(&self, core: &Core) -> Result<(), Ended> {
        let settled = core.committer.barrier().await;
        if settled { Ok(()) } else { Err(Ended::failed("the store failed")) }
    }

    /// Reads effects from the store while there is room for them in memory.
    async fn refill(&self, core: &Arc<Core>) -> Result<(), Ended> {
        let mut read = false;
        loop {
            match self.pool.refill(core) {
                Ok(true) => read = true,
                Ok(false) if read => return self.settled(core).await,
                Ok(false) => return Ok(()),
                Err(error) => {
                    let reason = error.to_string();
                    core.unreadable(error);
                    return Err(Ended::escalated(reason));
                }
            }
            tokio::task::yield_now().await;
        }
    }

    fn start(
        &self,
        core: &Arc<Core>,
        myself: &ActorRef<PoolMessage>,
        state: &mut PoolState,
        job: Job,
    ) {
        let worker = !job.suspect;
        state.running += usize::from(worker);
        let (core, pool, term) = (core.clone(), self.pool.clone(), state.term);
        let (myself, task) = (myself.clone(), Task { core, pool, term, job });
        state.tasks.spawn(async move {
            let Some(busy) = Busy::of(&task.pool, task.term) else { return };
            let drive = task.pool.driver.drive(task.clone());
            let driven = AssertUnwindSafe(drive).catch_unwind().await;
            let end = driven.unwrap_or_else(|panic| {
                let why = format!("panicked: {}", text(&*panic));
                task.bury(("its outcome cannot be told", &why))
            });
            drop(busy);
            // A cast fails only when the pool is ending.
            let _ending = myself.cast(PoolMessage::Done(Done { lane: None, worker }));
            let Some(lane) = task.job.effect.lane else { return };
            // Were its end not durable, it might be performed again after a crash, and then behind the
            // one that comes next.
            if let Some(end) = end
                && task.core.committer.wait_for(end).await
            {
                let _ending =
                    myself.cast(PoolMessage::Done(Done { lane: Some(lane), worker: false }));
            }
        });
    }
}

/// One effect that is brought to its end.
#[derive(Clone)]
pub(crate) struct Task {
    pub(crate) core: Arc<Core>,
    pub(crate) pool: Arc<Pool>,
    /// The pool's actor it runs for.
    pub(crate) term: u64,
    pub(crate) job: Job,
}

/// Brings one effect to its end, whatever its type. Resolves to the position of the commit of that
/// end; none when it is not for this pool to end any more.
pub(crate) trait Driver: Send + Sync {
    fn drive(&self, task: Task) -> BoxFuture<'static, Option<u64>>;
}

/// Drives effects of type `E` by `performer`.
pub(crate) fn driver<E: Effect, P: Performer<E>>(performer: P) -> Box<dyn Driver> {
    Box::new(DriverOf { performer: Arc::new(performer), effect: PhantomData::<fn() -> E> })
}

struct DriverOf<E, P> {
    performer: Arc<P>,
    effect: PhantomData<fn() -> E>,
}

impl<E: Effect, P: Performer<E>> Driver for DriverOf<E, P> {
    fn drive(&self, task: Task) -> BoxFuture<'static, Option<u64>> {
        let performer = self.performer.clone();
        Box::pin(async move {
            match read::<E>(&task.job) {
                Ok(effect) => Run::new(task, performer, effect).drive().await,
                Err(failure) => task.bury(("undecodable", failure.reason())),
            }
        })
    }
}

fn read<E: Effect>(job: &Job) -> Result<E, Failure> {
    let stored = Stored { version: job.effect.version, current: E::VERSION, what: E::NAME };
    let read = || migration::read(&stored, &job.effect.payload, E::migrate);
    let read = std::panic::catch_unwind(AssertUnwindSafe(read));
    let panicked =
        |panic: Box<dyn Any + Send>| Err(Failure::Reject(format!("panicked: {}", text(&*panic))));
    read.unwrap_or_else(panicked)
        .map_err(|failure| Failure::Reject(format!("{}: {failure}", Key::effect(job.id))))
}

/// A position that is always durable: the rest of a lane does not wait for what cannot be written.
pub(crate) const NOTHING_WRITTEN: u64 = 0;

impl Task {
    /// An effect nobody can read or tell of goes to the dead letters; its owner cannot be told.
    fn bury(&self, (reason, why): (&str, &str)) -> Option<u64> {
        let Self { core, pool, term, job } = self;
        let mut draft = Draft::new(core);
        draft.batch.delete(Key::effect(job.id));
        let content = DeadContent::Effect(job.effect.clone());
        let buried = draft.bury(&job.effect.owner, content, (reason, job.effect.attempts, why));
        if let Err(error) = buried {
            tracing::error!(%error, effect = %job.effect.name, "an effect can be neither read nor buried");
            return Some(NOTHING_WRITTEN);
        }
        pool.write((*term, job.id), true, core, draft)
    }
}
