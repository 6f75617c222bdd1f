//! Supervision trees: what is supervised by whom, and the ractor actor that does it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures::future::BoxFuture;
use perennial_store::Timestamp;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};

use crate::clock::instant;
use crate::core::Core;
use crate::ended::Ended;
use crate::policy::{Exit, History, Intensity, Restart, Strategy, Verdict, verdict};

/// How long a child may take to stop before it is killed. Everything it did is committed or undone,
/// so being killed loses nothing.
const STOP_TIMEOUT: Duration = Duration::from_millis(300);

/// One place in the tree, as it is now.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    pub(crate) strategy: Option<Strategy>,
    pub(crate) restarts: AtomicU64,
    pub(crate) children: Vec<Arc<Node>>,
    live: Mutex<Live>,
}

#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) state: &'static str,
    pub(crate) last_error: Option<String>,
    pub(crate) since: Option<Timestamp>,
}

impl Node {
    pub(crate) fn new(
        kind: &'static str,
        name: String,
        strategy: Option<Strategy>,
        children: Vec<Arc<Node>>,
    ) -> Arc<Self> {
        let live = Live { state: "stopped", last_error: None, since: None };
        let (restarts, live) = (AtomicU64::new(0), Mutex::new(live));
        Arc::new(Self { kind, name, strategy, restarts, children, live })
    }

    pub(crate) fn live(&self) -> Live {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set(&self, state: &'static str, now: Timestamp, error: Option<String>) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.state = state;
        live.since = Some(now);
        live.last_error = error.or_else(|| live.last_error.take());
    }
}

/// Starts a child, linked to its supervisor.
pub(crate) type Start =
    Box<dyn Fn(ActorCell) -> BoxFuture<'static, Result<ActorCell, SpawnErr>> + Send + Sync>;

/// A child as its supervisor starts it, again and again.
pub(crate) struct Child {
    pub(crate) restart: Restart,
    pub(crate) start: Start,
    pub(crate) node: Arc<Node>,
}

impl fmt::Debug for Child {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Child").field("node", &self.node).finish_non_exhaustive()
    }
}

/// What one supervisor does.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) strategy: Strategy,
    pub(crate) intensity: Intensity,
    pub(crate) children: Vec<Child>,
    pub(crate) node: Arc<Node>,
}

#[derive(Debug)]
pub(crate) enum SupervisorMessage {
    /// Start those of these children that are not running.
    Start(std::ops::Range<usize>),
}

/// The ractor actor.
#[derive(Debug)]
pub(crate) struct SupervisorActor {
    pub(crate) core: Weak<Core>,
    pub(crate) plan: Arc<Plan>,
}

#[derive(Debug)]
pub(crate) struct Running {
    children: Vec<Option<ActorCell>>,
    histories: Vec<History>,
}

impl Actor for SupervisorActor {
    type Msg = SupervisorMessage;
    type State = Running;
    type Arguments = ();

    async fn pre_start(
        &self,
        myself: ActorRef<SupervisorMessage>,
        (): (),
    ) -> Result<Running, ActorProcessingErr> {
        let count = self.plan.children.len();
        let mut running =
            Running { children: vec![None; count], histories: vec![History::default(); count] };
        for index in 0..count {
            if let Err(error) = self.start(&myself, &mut running, index).await {
                self.stop_all(&mut running).await;
                return Err(error.into());
            }
        }
        Ok(running)
    }

    async fn handle(
        &self,
        myself: ActorRef<SupervisorMessage>,
        message: SupervisorMessage,
        running: &mut Running,
    ) -> Result<(), ActorProcessingErr> {
        let SupervisorMessage::Start(range) = message;
        for index in range {
            if running.children[index].is_none()
                && let Err(error) = self.start(&myself, running, index).await
            {
                self.child_ended(&myself, running, index, (Exit::Failed, error.reason)).await?;
                break;
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<SupervisorMessage>,
        event: SupervisionEvent,
        running: &mut Running,
    ) -> Result<(), ActorProcessingErr> {
        let (cell, exit, reason) = match event {
            SupervisionEvent::ActorTerminated(cell, _, reason) => {
                (cell, Exit::Finished, reason.unwrap_or_default())
            }
            SupervisionEvent::ActorFailed(cell, error) => {
                let escalates = error.downcast_ref::<Ended>().is_some_and(|ended| ended.escalate);
                let exit = if escalates { Exit::Escalated } else { Exit::Failed };
                (cell, exit, error.to_string())
            }
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {
                return Ok(());
            }
        };
        // An event of a child that was replaced meanwhile says nothing about the one that runs now.
        let current = |child: &Option<ActorCell>| {
            child.as_ref().is_some_and(|child| child.get_id() == cell.get_id())
        };
        match running.children.iter().position(current) {
            Some(index) => Ok(self.child_ended(&myself, running, index, (exit, reason)).await?),
            None => Ok(()),
        }
    }

    async fn post_stop(
        &self,
        _myself: ActorRef<SupervisorMessage>,
        running: &mut Running,
    ) -> Result<(), ActorProcessingErr> {
        self.stop_all(running).await;
        Ok(())
    }
}

impl SupervisorActor {
    async fn start(
        &self,
        myself: &ActorRef<SupervisorMessage>,
        running: &mut Running,
        index: usize,
    ) -> Result<(), Ended> {
        let child = &self.plan.children[index];
        match (child.start)(myself.get_cell()).await {
            Ok(cell) => {
                running.children[index] = Some(cell);
                child.node.set("running", self.now(), None);
                Ok(())
            }
            Err(error) => {
                let reason = format!("{} could not be started: {error}", child.node.name);
                child.node.set("failed", self.now(), Some(reason.clone()));
                Err(Ended::failed(reason))
            }
        }
    }

    fn now(&self) -> Timestamp {
        self.core.upgrade().map(|core| core.now()).unwrap_or_default()
    }

    async fn child_ended(
        &self,
        myself: &ActorRef<SupervisorMessage>,
        running: &mut Running,
        index: usize,
        (exit, reason): (Exit, String),
    ) -> Result<(), Ended> {
        running.children[index] = None;
        let Some(core) = self.core.upgrade().filter(|core| !core.is_stopping()) else {
            return Ok(());
        };
        let child = &self.plan.children[index];
        let state = if exit == Exit::Finished { "finished" } else { "failed" };
        child.node.set(state, core.now(), (exit != Exit::Finished).then(|| reason.clone()));
        let (now, jitter) = (instant(), core.jitter());
        let case = (child.restart, exit);
        match verdict(case, &self.plan.intensity, &mut running.histories[index], now, jitter) {
            Verdict::Leave => Ok(()),
            Verdict::Escalate => {
                let reason = format!("{}: {reason}", child.node.name);
                tracing::error!(supervisor = %self.plan.node.name, reason, "supervision escalates");
                Err(Ended::failed(reason))
            }
            Verdict::Restart(after) => {
                let after = after + core.restarts.wait(now);
                tracing::warn!(child = %child.node.name, reason, ?after, "a child ended and is started again");
                core.stats.count_restart(child.node.kind);
                child.node.restarts.fetch_add(1, Ordering::Relaxed);
                child.node.set("restarting", core.now(), None);
                let affected = self.plan.strategy.affected(index, self.plan.children.len());
                self.stop_range(running, affected.clone()).await;
                drop(myself.send_after(after, move || SupervisorMessage::Start(affected)));
                Ok(())
            }
        }
    }

    /// Stops in the reverse order of starting.
    async fn stop_range(&self, running: &mut Running, range: std::ops::Range<usize>) {
        for index in range.rev() {
            let Some(cell) = running.children[index].take() else { continue };
            let ordered = Some("stopped by its supervisor".to_owned());
            if cell.stop_and_wait(ordered, Some(STOP_TIMEOUT)).await.is_err() {
                cell.kill();
            }
            self.plan.children[index].node.set("stopped", self.now(), None);
        }
    }

    async fn stop_all(&self, running: &mut Running) {
        self.stop_range(running, 0..running.children.len()).await;
    }
}
