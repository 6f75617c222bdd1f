//! The pool of workers that performs the committed effects of one type: lanes keep their order, and
//! what cannot be read ends in the dead letters.

use std::any::Any;
use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use perennial_store::{Key, MessageId};
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
use crate::pool::{Job, Pool, UnderWay};
use crate::slice::text;
use crate::table::TableReader;

#[derive(Debug)]
pub(crate) enum PoolMessage {
    /// There are fresh effects.
    Wake,
    /// A worker is free.
    Free,
    /// The end of one is durable: the next of its lane may start.
    Ended { lane: String },
    /// This one has waited for another try.
    Resume(MessageId),
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
        self.pool.driver.attach(TableReader::new(self.core()?.backend.clone()));
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
        match message {
            PoolMessage::Wake => {}
            PoolMessage::Free => state.running -= 1,
            PoolMessage::Ended { lane } => self.pool.advance(state.term, &lane),
            PoolMessage::Resume(id) => self.pool.resume(state.term, id),
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
            let Some(under_way) = UnderWay::of(&task.pool, task.term) else { return };
            let drive = task.pool.driver.drive(task.clone());
            let driven = AssertUnwindSafe(drive).catch_unwind().await;
            let driven = driven.unwrap_or_else(|panic| {
                let why = format!("panicked: {}", text(&*panic));
                task.bury(("its outcome cannot be told", &why))
            });
            drop(under_way);
            if worker {
                tell(&myself, PoolMessage::Free);
            }
            if let Some(next) = task.follow(driven).await {
                tell(&myself, next);
            }
        });
    }
}

fn tell(pool: &ActorRef<PoolMessage>, message: PoolMessage) {
    // A cast fails only when the pool is ending.
    let _ending = pool.cast(message);
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

/// How far an effect was brought.
pub(crate) enum Driven {
    /// To its end, which commits at this position.
    Ended(u64),
    /// Not to its end: it is tried again after a wait, as it stands now.
    Waits(Box<Job>, Duration),
    /// It is not for this pool to end any more.
    Over,
}

/// Brings one effect to its end or to its next wait, whatever its type.
pub(crate) trait Driver: Send + Sync {
    fn drive(&self, task: Task) -> BoxFuture<'static, Driven>;

    /// Gives the rows of its node to whoever performs.
    fn attach(&self, rows: TableReader);
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
    fn drive(&self, task: Task) -> BoxFuture<'static, Driven> {
        let performer = self.performer.clone();
        Box::pin(async move {
            match read::<E>(&task.job) {
                Ok(effect) => Run::new(task, performer, effect).drive().await,
                Err(failure) => task.bury(("undecodable", failure.reason())),
            }
        })
    }

    fn attach(&self, rows: TableReader) {
        self.performer.attach(rows);
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
    /// Waits until the effect may be tried again, or the next of its lane may start. Resolves to what its
    /// pool is told then, if anything.
    async fn follow(self, driven: Driven) -> Option<PoolMessage> {
        match driven {
            Driven::Over => None,
            Driven::Waits(job, wait) => {
                self.pool.put_off(self.term, *job);
                tokio::time::sleep(wait).await;
                Some(PoolMessage::Resume(self.job.id))
            }
            Driven::Ended(end) => {
                // Were its end not durable, it might be performed again after a crash, and then behind the
                // one that comes next.
                let lane = self.job.effect.lane?;
                self.core.committer.wait_for(end).await.then_some(PoolMessage::Ended { lane })
            }
        }
    }

    /// An effect nobody can read or tell of goes to the dead letters; its owner cannot be told.
    fn bury(&self, (reason, why): (&str, &str)) -> Driven {
        let Self { core, pool, term, job } = self;
        let mut draft = Draft::new(core);
        draft.batch.delete(Key::effect(job.id));
        let content = DeadContent::Effect(job.effect.clone());
        let buried = draft.bury(&job.effect.owner, content, (reason, job.effect.attempts, why));
        if let Err(error) = buried {
            tracing::error!(%error, effect = %job.effect.name, "an effect can be neither read nor buried");
            return Driven::Ended(NOTHING_WRITTEN);
        }
        pool.write((*term, job.id), true, core, draft).map_or(Driven::Over, Driven::Ended)
    }
}
