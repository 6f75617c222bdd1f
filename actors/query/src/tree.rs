//! Who is supervised by whom, of queries.

use std::collections::BTreeSet;
use std::sync::Arc;

use perennial_runtime::{Strategy, Supervisor};

use crate::admission::{self, Admission};
use crate::audit::Audit;
use crate::config::Config;
use crate::conversation::{self, Conversation};
use crate::keys::{self, Keys};
use crate::orchestrator::{self, Orchestrator};
use crate::roles::Roles;
use crate::schedule::{Definitions, Schedule};
use crate::tool::Toolbox;
use crate::worker::hands::Hands;
use crate::worker::invoke::{Halt, Invoke};
use crate::worker::{self, ToolWorker};

/// Calls that are told to end at a time: telling takes no time.
const HALTS: usize = 4;

/// The actors of queries, and the pools that make calls for them.
#[must_use]
pub fn tree(
    config: Config,
    roles: Arc<Roles>,
    toolbox: Toolbox,
    schedules: Definitions,
) -> Supervisor {
    let catalogue = Arc::new(toolbox.catalogue());
    let calls = calls_at_a_time(&config, catalogue.0.values().map(|tool| tool.group.as_str()));
    let hands = Hands::new(Arc::new(toolbox));
    let orchestrators = orchestrator::Settings {
        deadline: config.timeout,
        max_parallel_tools: config.max_parallel_tools,
        retention: config.retention,
        catalogue: Arc::clone(&catalogue),
        roles: Arc::clone(&roles),
        questions: config.questions.clone(),
    };
    let admission = admission::Settings {
        max_concurrent: config.max_concurrent,
        queue: config.queue,
        queue_per_key: admission::share_of(config.queue, config.queue_share),
        cache_ttl: config.cache_ttl,
    };
    let keys = keys::Settings { roles: Arc::clone(&roles) };
    let workers = worker::Settings { catalogue, roles, groups: config.groups };
    let conversations = conversation::Settings {
        planner: Arc::clone(&schedules.planner),
        questions: config.questions.clone(),
        bounds: config.conversations,
    };
    let agents = Supervisor::new("queries")
        .actors::<Admission>(admission)
        .actors::<Orchestrator>(orchestrators)
        .actors::<ToolWorker>(workers)
        .actors::<Keys>(keys)
        .actors::<Audit>(())
        .actors::<Schedule>(schedules)
        .actors::<Conversation>(conversations);
    let performers = Supervisor::new("tools")
        .performer::<Invoke, _>(hands.clone())
        .workers(calls)
        .performer::<Halt, _>(hands)
        .workers(HALTS);
    Supervisor::new("query").strategy(Strategy::RestForOne).child(agents).child(performers)
}

/// So many that no group of tools can take the places of another.
fn calls_at_a_time<'a>(config: &Config, groups: impl Iterator<Item = &'a str>) -> usize {
    let groups: BTreeSet<&str> = groups.collect();
    let bears = |group: &&str| config.groups.get(*group).copied().unwrap_or_default().concurrency;
    groups.iter().map(bears).sum::<usize>().max(1)
}
