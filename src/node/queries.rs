//! What answers questions, made of the configuration.

use std::sync::Arc;

use perennial_query::config::Config;
use perennial_query::roles::{EVERYTHING, Roles};
use perennial_query::tool::{Catalogue, Toolbox};
use perennial_query::tools::external::Broker;
use perennial_query::tools::shell::{self, GuardProgram};
use perennial_query::tools::{ConfigError, data, external, file, http};
use perennial_query::tree::tree;
use perennial_runtime::{Supervisor, SystemClock};
use tokio::sync::watch;

use crate::config::variable;
use crate::exit::{Exit, Failure};
use crate::fleet::{Fleet, Running};
use crate::http::Queries;

/// The role of who holds the node's token.
const ADMIN: &str = "admin";

/// The hidden command by which the program is the guard of a command that a query runs.
pub(crate) const GUARD: &str = "tool-guard";

/// What the facade needs to know of queries, and the actors that answer them.
pub(super) fn queries(config: Config, running: Running) -> Result<(Queries, Supervisor), Failure> {
    let broker = Arc::new(Broker::new(&config.workers.pools, Arc::new(SystemClock)));
    let toolbox = toolbox(&config, running, &broker)?;
    let catalogue = Arc::new(toolbox.catalogue());
    let mut roles = Roles::default();
    roles.0.insert(ADMIN.to_owned(), [EVERYTHING.to_owned()].into());
    // The bell is hung when there is something to ring it.
    let (_, bell) = watch::channel(0);
    let (pipelines, rules) = (config.pipelines.clone(), config.rules.clone());
    let queries = Queries { catalogue, pipelines, rules, broker, bell };
    Ok((queries, tree(config, Arc::new(roles), toolbox)))
}

/// The tools that a node of this configuration has.
///
/// # Errors
/// A tool cannot be made as it is configured.
pub(crate) fn catalogue(config: &Config) -> Result<Catalogue, Failure> {
    let broker = Arc::new(Broker::new(&[], Arc::new(SystemClock)));
    Ok(toolbox(config, Running::default(), &broker)?.catalogue())
}

fn toolbox(config: &Config, running: Running, broker: &Arc<Broker>) -> Result<Toolbox, Failure> {
    let refused = |error: ConfigError| Failure::new(Exit::Config, error.to_string());
    let guard = GuardProgram::this(GUARD);
    let toolbox = data::add(Toolbox::default()).with(Fleet::new(running));
    let toolbox = file::add(toolbox, &config.file).map_err(refused)?;
    let toolbox = http::add(toolbox, &config.http, Arc::new(SystemClock)).map_err(refused)?;
    let toolbox = external::add(toolbox, &config.workers, broker).map_err(refused)?;
    shell::add(toolbox, &config.shell, guard, variable).map_err(refused)
}
