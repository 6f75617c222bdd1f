//! The runtime as its user holds it: started from a store and a tree, asked, and shut down.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use perennial_store::{Backend, Epoch, SpaceGuard, decode, encode};
use prometheus_client::registry::Registry;
use ractor::{Actor, ActorRef};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;
use tokio::time::error::Elapsed;

use crate::address::Address;
use crate::clock::{Clock, instant};
use crate::committer::{Committer, Ending, Host, OwnThread};
use crate::core::{Core, Intake, Observer, Parts};
use crate::dead_letters::DeadLetters;
use crate::durable::Durable;
use crate::error::{AskError, RuntimeError, SendError};
use crate::gate::{Accepted, Receipt, SendOptions};
use crate::housekeeping::Look;
use crate::inflight::{Inflight, Slate};
use crate::limits::Limits;
use crate::reference::Reference;
use crate::signal::Signal;
use crate::stats::Stats;
use crate::supervisor::{Node, SupervisorActor, SupervisorMessage};
use crate::table::TableReader;
use crate::timers::TimerQueue;
use crate::tree::{Supervisor, TreeNode, draw};
use crate::turn::Outgoing;
use crate::{housekeeping, random, recovery};

/// What a runtime stands on.
pub struct Options {
    /// Bounds and retry behaviour.
    pub limits: Limits,
    /// The store; nobody else may write to it.
    pub backend: Arc<dyn Backend>,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// How often in a row the node ended without a shutdown, before this start.
    pub unclean_ends: u32,
    /// Where it is noted what runs; without it a message or an effect that kills the process is not
    /// found out.
    pub inflight: Option<PathBuf>,
    /// Receives what committed turns contribute to the metrics.
    pub observer: Observer,
    /// Watches the room on the store's disk.
    pub space: Option<SpaceGuard>,
    /// Where the waits between attempts and the trace ids begin: two runs that must not agree need
    /// two. By default the system chooses.
    pub seed: u64,
    /// Where commits are made.
    pub(crate) host: Arc<dyn Host>,
    /// Looks at the room on the disk, instead of `space`.
    pub(crate) look: Option<Look>,
    /// Where it is noted what runs, instead of in a file.
    pub(crate) slate: Option<Arc<dyn Slate>>,
}

impl fmt::Debug for Options {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Options").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Options {
    /// Options with default limits, that note nothing and observe nothing.
    pub fn new(backend: Arc<dyn Backend>, clock: Arc<dyn Clock>) -> Self {
        Self {
            limits: Limits::default(),
            backend,
            clock,
            unclean_ends: 0,
            inflight: None,
            observer: Arc::new(|_| {}),
            space: None,
            seed: random::from_system(),
            host: Arc::new(OwnThread::default()),
            look: None,
            slate: None,
        }
    }
}

/// One line of the readiness report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is checked.
    pub name: String,
    /// Whether it is in order.
    pub ok: bool,
    /// For people.
    pub detail: String,
}

/// A running node's actors. Clones are handles to the same.
#[derive(Clone)]
pub struct Runtime {
    core: Arc<Core>,
    root: ActorRef<SupervisorMessage>,
    node: Arc<Node>,
    ends: Arc<Mutex<Option<Ends>>>,
}

/// A tree that has started.
struct Begun {
    root: ActorRef<SupervisorMessage>,
    task: JoinHandle<()>,
    node: Arc<Node>,
    space: Option<Look>,
}

/// What a shutdown waits for.
struct Ends {
    root: JoinHandle<()>,
    tasks: Vec<JoinHandle<()>>,
    committer: Ending,
}

impl fmt::Debug for Runtime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Runtime").field("root", &self.node.name).finish_non_exhaustive()
    }
}

impl Runtime {
    /// Takes the store over, recovers what was pending and starts the tree.
    ///
    /// # Errors
    /// The store cannot be owned or read, a name is registered twice, or the tree does not start.
    pub async fn start(options: Options, tree: Supervisor) -> Result<Self, RuntimeError> {
        let registry = tree.registry()?;
        let epoch = options.backend.claim()?;
        let unclean = options.unclean_ends > 0;
        let inflight = open_inflight(options.slate, options.inflight.as_deref(), (epoch, unclean));
        let stats = Arc::new(Stats::default());
        let failure = Arc::new(Signal::new(None));
        let failed = failure.clone();
        let (committer, ending) = Committer::start(
            options.host,
            (options.backend.clone(), epoch),
            options.limits.commit_backlog_bytes,
            stats.commits.clone(),
            Box::new(move |error| {
                tracing::error!(%error, "a commit failed; the node stops");
                failed.set(Some(Arc::new(RuntimeError::Store(error))));
            }),
        )
        .map_err(|error| not_started("the committer", &error))?;
        let watch = |guard: SpaceGuard| -> Look { Box::new(move || guard.check()) };
        let space = options.look.or_else(|| options.space.map(watch));
        let core = Core::new(Parts {
            backend: options.backend,
            epoch,
            clock: options.clock,
            limits: options.limits,
            committer,
            kinds: registry.kinds,
            pools: registry.pools,
            inflight,
            unclean_ends: options.unclean_ends,
            observer: options.observer,
            stats,
            failure,
            seed: options.seed,
        });
        match Self::begin(&core, tree, space).await {
            Ok(begun) => Ok(Self::of(core, begun, ending)),
            Err(error) => {
                // What had started ends, and nothing is left that writes.
                core.stop();
                dismiss_pools(&core).await;
                core.committer.close();
                // A panic of it was reported as a failed commit.
                let _ended = ending.await;
                Err(error)
            }
        }
    }

    async fn begin(
        core: &Arc<Core>,
        tree: Supervisor,
        space: Option<Look>,
    ) -> Result<Begun, RuntimeError> {
        recovery::recover(core)?;
        recovery::be_careful(core, core.unclean_ends);
        if let Some(space) = &space {
            // Before anything is taken in.
            housekeeping::watch_space(core, space);
        }
        let plan = Arc::new(tree.plan(core));
        let node = plan.node.clone();
        let actor = SupervisorActor { core: Arc::downgrade(core), plan };
        let (root, task) =
            Actor::spawn(None, actor, ()).await.map_err(|error| not_started("the tree", &error))?;
        node.set("running", core.now(), None);
        Ok(Begun { root, task, node, space })
    }

    fn of(core: Arc<Core>, begun: Begun, committer: Ending) -> Self {
        let Begun { root, task, node, space } = begun;
        let watched = tokio::spawn(watch_root(core.clone(), task));
        let tasks = vec![
            tokio::spawn(recovery::run(core.clone())),
            tokio::spawn(TimerQueue::run(core.clone())),
            tokio::spawn(housekeeping::run(core.clone(), space)),
        ];
        let ends = Arc::new(Mutex::new(Some(Ends { root: watched, tasks, committer })));
        Self { core, root, node, ends }
    }

    #[cfg(test)]
    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Sends a message; resolves when it would survive power loss.
    ///
    /// # Errors
    /// [`SendError`] says whether it may be stored, and what to do.
    pub async fn send<A: Durable>(
        &self,
        key: impl Into<String>,
        message: &A::Message,
    ) -> Result<Receipt, SendError> {
        self.send_with::<A>(key, message, SendOptions::default()).await
    }

    /// The same, with options.
    ///
    /// # Errors
    /// As for [`Runtime::send`].
    pub async fn send_with<A: Durable>(
        &self,
        key: impl Into<String>,
        message: &A::Message,
        options: SendOptions,
    ) -> Result<Receipt, SendError> {
        let outgoing = outgoing::<A>(key, message, &options)?;
        match self.core.accept_message(outgoing, options.token).await? {
            Accepted::New(id) => Ok(Receipt { id, repeated: false }),
            Accepted::Before(receipt) => Ok(Receipt { id: receipt.id, repeated: true }),
        }
    }

    /// An actor, to tell it much or ask it often.
    #[must_use]
    pub fn actor<A: Durable>(&self, key: impl Into<String>) -> Reference<A> {
        Reference::to(&self.core, key)
    }

    /// Tells an actor something that may be lost, as [`Reference::tell`].
    ///
    /// # Errors
    /// As for [`Reference::tell`].
    pub async fn tell<A: Durable>(
        &self,
        key: impl Into<String>,
        message: &A::Message,
    ) -> Result<(), SendError> {
        self.actor::<A>(key).tell(message).await
    }

    /// Sends a message and waits for its turn's reply, which is given once all that it shows is durable.
    /// The question itself is lost if the process ends before its turn is committed; asked under a token
    /// it is not.
    ///
    /// # Errors
    /// [`AskError`] says whether the message was accepted, and what to do.
    pub async fn ask<A: Durable, T: DeserializeOwned>(
        &self,
        key: impl Into<String>,
        message: &A::Message,
        timeout: Duration,
    ) -> Result<T, AskError> {
        self.ask_with::<A, T>(key, message, timeout, SendOptions::default()).await
    }

    /// The same, with options. Asked again under the same token, it gives the same reply.
    ///
    /// # Errors
    /// As for [`Runtime::ask`].
    pub async fn ask_with<A: Durable, T: DeserializeOwned>(
        &self,
        key: impl Into<String>,
        message: &A::Message,
        timeout: Duration,
        options: SendOptions,
    ) -> Result<T, AskError> {
        let outgoing = outgoing::<A>(key, message, &options)?;
        let asked = self.core.clone().ask_message(outgoing, options.token);
        decoded(tokio::time::timeout(timeout, asked).await)
    }

    /// Kills the live actors of this kind, and what supervises them, as a defect in them would: at once,
    /// in the middle of whatever they do. What they had accepted is theirs again when they have been
    /// started again. For drills; returns how many actors were live.
    pub fn kill<A: Durable>(&self) -> usize {
        let kind = A::KIND.as_str();
        self.core.kinds.get(kind).inspect(|entry| entry.kill());
        let slots = self.core.slots.of_kind(kind);
        slots.iter().filter(|slot| slot.kill()).count()
    }

    /// Has the live actors of this kind stand still for `pause`, as a defect in them could: messages are
    /// taken in, and nothing is made of them. For drills; returns how many actors were live.
    pub fn stall<A: Durable>(&self, pause: Duration) -> usize {
        let slots = self.core.slots.of_kind(A::KIND.as_str());
        slots.iter().filter(|slot| slot.stall(pause)).count()
    }

    /// Committed rows.
    #[must_use]
    pub fn tables(&self) -> TableReader {
        TableReader::new(self.core.backend.clone())
    }

    /// The dead letters.
    #[must_use]
    pub fn dead_letters(&self) -> DeadLetters {
        DeadLetters::new(self.core.clone())
    }

    /// The tree as it is now.
    #[must_use]
    pub fn tree(&self) -> TreeNode {
        draw(&self.core, &self.node, None)
    }

    /// Registers the runtime's metrics; gauges are computed when they are read.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.core.stats.register(&self.core, &self.node, registry);
    }

    /// Whether the store, the tree and the disk are in order.
    #[must_use]
    pub fn readiness(&self) -> Vec<Check> {
        let failed = self.core.failure.get().as_ref().map(ToString::to_string);
        let room = self.core.intake.load(Ordering::Relaxed) == Intake::Open as u8;
        let stopping = self.core.is_stopping();
        vec![
            check("store", failed.is_none(), failed.as_deref().unwrap_or("commits")),
            check(
                "disk",
                room,
                if room { "has room" } else { "nearly full: new messages are refused" },
            ),
            check("node", !stopping, if stopping { "is shutting down" } else { "runs" }),
        ]
    }

    /// Resolves when the store has failed or supervision has given up: the process must end.
    pub async fn failed(&self) -> Arc<RuntimeError> {
        loop {
            if let Some(error) = self.core.failure.wait_for(Option::is_some).await {
                return error;
            }
        }
    }

    /// Stops in order: no new messages, sensors and actors down, what was done made durable, the
    /// store closed. Effects under way get a moment to end; what does not is reconciled next time.
    ///
    /// # Errors
    /// What was done and never acknowledged could not be made durable.
    pub async fn shutdown(&self) -> Result<(), RuntimeError> {
        let Some(ends) = self.ends.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return Ok(());
        };
        self.core.stop();
        self.let_effects_end().await;
        self.root.stop(Some("shutdown".to_owned()));
        // Both end by themselves; a panic of theirs was reported when it happened.
        let _ended = ends.root.await;
        dismiss_pools(&self.core).await;
        for task in ends.tasks {
            // It may wait for a commit that a full disk holds up.
            task.abort();
            let _ended = task.await;
        }
        self.core.keep_told();
        self.core.committer.close();
        if !ends.committer.await {
            return Err(not_started("the orderly end of the committer", &"it panicked"));
        }
        self.core.end_asks();
        self.core.backend.close()?;
        match self.core.failure.get().as_deref() {
            Some(RuntimeError::Store(error)) => {
                Err(not_started("an orderly end: the store had failed before it", error))
            }
            Some(_) | None => Ok(()),
        }
    }

    async fn let_effects_end(&self) {
        let until = instant() + self.core.limits.effect_grace;
        while self.core.pools.values().any(|pool| pool.busy()) && instant() < until {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Waits until no effect is under way any more: whoever takes the store over next may perform it again.
async fn dismiss_pools(core: &Core) {
    for pool in core.pools.values() {
        if !pool.dismiss().await {
            tracing::error!(pool = pool.name, "the node ends while an effect is under way");
        }
    }
}

/// The answer of an actor, as the type that was asked for.
pub(crate) fn decoded<T: DeserializeOwned>(
    answer: Result<Result<Vec<u8>, AskError>, Elapsed>,
) -> Result<T, AskError> {
    let answer = answer.map_err(|_| AskError::TimedOut)?;
    decode(&answer?).map_err(|error| AskError::NoAnswer(error.to_string()))
}

fn check(name: &str, ok: bool, detail: &str) -> Check {
    Check { name: name.to_owned(), ok, detail: detail.to_owned() }
}

fn not_started(what: &str, why: &impl ToString) -> RuntimeError {
    RuntimeError::Start { what: what.to_owned(), reason: why.to_string() }
}

/// The tree ends by itself only when its root has given up.
async fn watch_root(core: Arc<Core>, task: JoinHandle<()>) {
    let ended = task.await;
    if !core.is_stopping() {
        let reason = ended.err().map_or("the root supervisor ended".to_owned(), |e| e.to_string());
        core.fail(RuntimeError::Escalated(reason));
    }
}

fn open_inflight(
    slate: Option<Arc<dyn Slate>>,
    path: Option<&Path>,
    (run, unclean): (Epoch, bool),
) -> Inflight {
    let opened = match (slate, path) {
        (Some(slate), _) => Inflight::on(slate, run, unclean),
        (None, Some(path)) => Inflight::open(path, run, unclean),
        (None, None) => return Inflight::none(),
    };
    opened.unwrap_or_else(|error| {
        tracing::warn!(%error, ?path, "what runs cannot be noted");
        Inflight::none()
    })
}

fn outgoing<A: Durable>(
    key: impl Into<String>,
    message: &impl Serialize,
    options: &SendOptions,
) -> Result<Outgoing, SendError> {
    let payload = encode(message).map_err(|error| SendError::Refused(error.to_string()))?;
    let to = Address::of(A::KIND, key);
    Ok(Outgoing { to, version: A::VERSION, payload, expires: options.expires })
}
