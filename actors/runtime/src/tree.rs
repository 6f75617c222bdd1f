//! Describes a supervision tree before it runs, and shows it while it runs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use perennial_store::Timestamp;
use ractor::{Actor, ActorCell, SpawnErr};

use crate::core::Core;
use crate::durable::Durable;
use crate::effect::{Effect, Performer};
use crate::error::RuntimeError;
use crate::kind::{KindEntry, KindSupervisor};
use crate::policy::{Intensity, Restart, Strategy};
use crate::pool::Pool;
use crate::pool_actor::PoolActor;
use crate::sensing::SensorActor;
use crate::sensor::Sensor;
use crate::supervisor::{Child, Node, Plan, Start, SupervisorActor};

/// A supervisor and its children, in order of start.
#[derive(Debug)]
pub struct Supervisor {
    name: String,
    strategy: Strategy,
    intensity: Intensity,
    children: Vec<(Restart, Spec)>,
}

enum Spec {
    Supervisor(Supervisor),
    Kind(Arc<KindEntry>),
    /// A pool, and how many of its effects are performed at a time, if it is not as for all.
    Pool(Arc<Pool>, Option<usize>),
    Sensor(&'static str, SensorStart),
}

type SensorStart = Box<dyn FnOnce(Weak<Core>) -> Start + Send>;

impl std::fmt::Debug for Spec {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Supervisor(supervisor) => supervisor.fmt(formatter),
            Self::Kind(kind) => kind.fmt(formatter),
            Self::Pool(pool, _) => pool.fmt(formatter),
            Self::Sensor(name, _) => formatter.write_str(name),
        }
    }
}

impl Supervisor {
    /// A supervisor without children; one for one, five restarts in thirty seconds.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            strategy: Strategy::default(),
            intensity: Intensity::default(),
            children: Vec::new(),
        }
    }

    /// Which children are restarted when one ends.
    #[must_use]
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// How many restarts of a child are tolerated before this supervisor fails itself.
    #[must_use]
    pub fn intensity(mut self, intensity: Intensity) -> Self {
        self.intensity = intensity;
        self
    }

    /// Adds a supervisor below this one.
    #[must_use]
    pub fn child(mut self, child: Self) -> Self {
        self.children.push((Restart::Permanent, Spec::Supervisor(child)));
        self
    }

    /// Adds a kind of durable actors: each is started by its first message.
    #[must_use]
    pub fn actors<A: Durable>(mut self, settings: A::Settings) -> Self {
        let entry = Arc::new(KindEntry::of::<A>(settings));
        self.children.push((Restart::Permanent, Spec::Kind(entry)));
        self
    }

    /// Adds the pool that performs effects of type `E`.
    #[must_use]
    pub fn performer<E: Effect, P: Performer<E>>(mut self, performer: P) -> Self {
        let pool = Arc::new(Pool::of::<E, P>(performer));
        self.children.push((Restart::Permanent, Spec::Pool(pool, None)));
        self
    }

    /// Sets how many effects the pool that was added last performs at a time. The default is the node's
    /// limit for all pools.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        if let Some((_, Spec::Pool(_, own))) = self.children.last_mut() {
            *own = Some(workers.max(1));
        }
        self
    }

    /// Adds a sensor.
    #[must_use]
    pub fn sensor<S: Sensor>(mut self, sensor: S) -> Self {
        let (sensor, latest) = (Arc::new(sensor), Arc::default());
        let start: SensorStart = Box::new(move |core| {
            Box::new(move |supervisor| {
                let (core, sensor, latest) = (core.clone(), sensor.clone(), Arc::clone(&latest));
                let actor = SensorActor { core, sensor, latest };
                Box::pin(start(actor, supervisor))
            })
        });
        self.children.push((Restart::Permanent, Spec::Sensor(S::NAME, start)));
        self
    }

    /// Sets when the child added last is started again. The default is always.
    #[must_use]
    pub fn restart(mut self, restart: Restart) -> Self {
        if let Some(last) = self.children.last_mut() {
            last.0 = restart;
        }
        self
    }

    /// Everything registered below, by stored name.
    ///
    /// # Errors
    /// A name is registered twice.
    pub(crate) fn registry(&self) -> Result<Registry, RuntimeError> {
        let mut registry = Registry::default();
        self.register(&mut registry)?;
        Ok(registry)
    }

    fn register(&self, registry: &mut Registry) -> Result<(), RuntimeError> {
        for (_, spec) in &self.children {
            let (name, before) = match spec {
                Spec::Supervisor(child) => {
                    child.register(registry)?;
                    continue;
                }
                Spec::Kind(entry) => {
                    (entry.kind, registry.kinds.insert(entry.kind, entry.clone()).is_some())
                }
                Spec::Pool(pool, _) => {
                    (pool.name, registry.pools.insert(pool.name, pool.clone()).is_some())
                }
                Spec::Sensor(name, _) => (*name, !registry.sensors.insert(*name)),
            };
            if before {
                return Err(RuntimeError::Duplicate(name.to_owned()));
            }
        }
        Ok(())
    }

    /// Makes the plan by which the supervisor runs.
    pub(crate) fn plan(self, core: &Arc<Core>) -> Plan {
        let mut children = Vec::new();
        let intensity = self.intensity.clone();
        for (restart, spec) in self.children {
            children.push(plan_child(core, &intensity, restart, spec));
        }
        let nodes = children.iter().map(|child| child.node.clone()).collect();
        let node = Node::new("supervisor", self.name, Some(self.strategy), nodes);
        Plan { strategy: self.strategy, intensity: self.intensity, children, node }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Registry {
    pub(crate) kinds: BTreeMap<&'static str, Arc<KindEntry>>,
    pub(crate) pools: BTreeMap<&'static str, Arc<Pool>>,
    sensors: std::collections::HashSet<&'static str>,
}

fn plan_child(core: &Arc<Core>, intensity: &Intensity, restart: Restart, spec: Spec) -> Child {
    let weak = Arc::downgrade(core);
    match spec {
        Spec::Supervisor(supervisor) => {
            let plan = Arc::new(supervisor.plan(core));
            let node = plan.node.clone();
            let start: Start = Box::new(move |cell| {
                let actor = SupervisorActor { core: weak.clone(), plan: plan.clone() };
                Box::pin(start(actor, cell))
            });
            Child { restart, start, node }
        }
        Spec::Kind(entry) => {
            let node = Node::new("actors", entry.kind.to_owned(), None, Vec::new());
            let intensity = intensity.clone();
            let start: Start = Box::new(move |cell| {
                let (core, entry) = (weak.clone(), entry.clone());
                let actor = KindSupervisor { core, entry, intensity: intensity.clone() };
                Box::pin(start(actor, cell))
            });
            Child { restart, start, node }
        }
        Spec::Pool(pool, workers) => {
            let node = Node::new("performer", pool.name.to_owned(), None, Vec::new());
            let workers = workers.unwrap_or(core.limits.effect_workers);
            let started = Arc::new(AtomicBool::new(false));
            let start: Start = Box::new(move |cell| {
                let restarted = started.swap(true, Ordering::SeqCst);
                let (core, pool) = (weak.clone(), pool.clone());
                let actor = PoolActor { core, pool, workers, restarted };
                Box::pin(start(actor, cell))
            });
            Child { restart, start, node }
        }
        Spec::Sensor(name, sensor_start) => {
            let node = Node::new("sensor", name.to_owned(), None, Vec::new());
            Child { restart, start: sensor_start(weak), node }
        }
    }
}

async fn start<T: Actor<Arguments = ()>>(
    actor: T,
    supervisor: ActorCell,
) -> Result<ActorCell, SpawnErr> {
    let (actor, _task) = Actor::spawn_linked(None, actor, (), supervisor).await?;
    Ok(actor.get_cell())
}

/// One place of the running tree.
#[derive(Clone, Debug)]
pub struct TreeNode {
    /// `supervisor`, `actors` (a kind), `actor`, `performer` or `sensor`.
    pub kind: String,
    /// Name, or kind and key of an actor.
    pub key: String,
    /// Name of its supervisor; none at the root.
    pub supervisor: Option<String>,
    /// `one_for_one`, `one_for_all`, `rest_for_one`, or `dynamic` for a kind.
    pub strategy: Option<String>,
    /// `running`, `active`, `passive`, `starting`, `restarting`, `failed`, …
    pub state: String,
    /// Restarts since the node started.
    pub restarts: u64,
    /// The last failure.
    pub last_error: Option<String>,
    /// Messages waiting.
    pub mailbox_depth: usize,
    /// Age of the oldest message waiting.
    pub oldest_message_age: Option<Duration>,
    /// Turns applied since it was last in memory.
    pub turns: u64,
    /// When its last commit became durable.
    pub last_commit: Option<Timestamp>,
    /// What is below.
    pub children: Vec<TreeNode>,
}

/// Draws the tree from `node` down.
pub(crate) fn draw(core: &Core, node: &Node, supervisor: Option<&str>) -> TreeNode {
    let live = node.live();
    let children: Vec<TreeNode> = match node.kind {
        "actors" => draw_actors(core, &node.name),
        _ => node.children.iter().map(|child| draw(core, child, Some(&node.name))).collect(),
    };
    let (depth, oldest) = match core.pools.get(node.name.as_str()) {
        Some(pool) if node.kind == "performer" => pool.depth(),
        Some(_) | None => (children.iter().map(|child| child.mailbox_depth).sum(), None),
    };
    let oldest_below = children.iter().filter_map(|child| child.oldest_message_age).max();
    TreeNode {
        kind: node.kind.to_owned(),
        key: node.name.clone(),
        supervisor: supervisor.map(str::to_owned),
        strategy: match node.kind {
            "actors" => Some("dynamic".to_owned()),
            _ => node.strategy.map(|strategy| strategy.as_str().to_owned()),
        },
        state: live.state.to_owned(),
        restarts: node.restarts.load(Ordering::Relaxed),
        last_error: live.last_error,
        mailbox_depth: depth,
        oldest_message_age: oldest.map(|at| core.now().since(at)).or(oldest_below),
        turns: children.iter().map(|child| child.turns).sum(),
        last_commit: children.iter().filter_map(|child| child.last_commit).max(),
        children,
    }
}

fn draw_actors(core: &Core, kind: &str) -> Vec<TreeNode> {
    let slots = core.slots.of_kind(kind);
    let draw_one = |slot: &Arc<crate::slot::Slot>| {
        let state = slot.lock();
        TreeNode {
            kind: "actor".to_owned(),
            key: slot.address.to_string(),
            supervisor: Some(kind.to_owned()),
            strategy: None,
            state: state.phase.as_str().to_owned(),
            restarts: state.restarts,
            last_error: state.last_error.clone(),
            mailbox_depth: state.inbox.depth(),
            oldest_message_age: state.inbox.oldest().map(|at| core.now().since(at)),
            turns: state.turns,
            last_commit: state.last_commit,
            children: Vec::new(),
        }
    };
    slots.iter().map(draw_one).collect()
}
