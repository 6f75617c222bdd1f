//! What answers questions, made of the configuration.

use std::sync::Arc;

use perennial_query::config::Config;
use perennial_query::tool::{Catalogue, Toolbox};
use perennial_query::tools::shell::{self, GuardProgram};
use perennial_query::tools::{ConfigError, data, file, http};
use perennial_query::tree::tree;
use perennial_runtime::{Supervisor, SystemClock};
use tokio::sync::watch;

use crate::config::variable;
use crate::exit::{Exit, Failure};
use crate::fleet::{Fleet, Running};
use crate::http::{Access, Queries};

/// The hidden command by which the program is the guard of a command that a query runs.
pub(crate) const GUARD: &str = "tool-guard";

/// What it takes to answer questions.
pub(super) struct Asking {
    /// What the facade needs to know of queries.
    pub(super) queries: Queries,
    /// What decides on requests.
    pub(super) access: Arc<Access>,
    /// The actors that answer.
    pub(super) actors: Supervisor,
}

pub(super) fn queries(config: Config, running: Running) -> Result<Asking, Failure> {
    let toolbox = toolbox(&config, running)?;
    let catalogue = Arc::new(toolbox.catalogue());
    let roles = Arc::new(config.roles.clone());
    let access = Arc::new(Access::new(Arc::clone(&roles), config.requests_per_minute));
    // The bell is hung when there is something to ring it.
    let (_, bell) = watch::channel(0);
    let (pipelines, rules) = (config.pipelines.clone(), config.rules.clone());
    let queries = Queries { catalogue, pipelines, rules, bell };
    Ok(Asking { queries, access, actors: tree(config, roles, toolbox) })
}

/// The tools that a node of this configuration has.
///
/// # Errors
/// A tool cannot be made as it is configured.
pub(crate) fn catalogue(config: &Config) -> Result<Catalogue, Failure> {
    Ok(toolbox(config, Running::default())?.catalogue())
}

fn toolbox(config: &Config, running: Running) -> Result<Toolbox, Failure> {
    let refused = |error: ConfigError| Failure::new(Exit::Config, error.to_string());
    let guard = GuardProgram::this(GUARD);
    let toolbox = data::add(Toolbox::default()).with(Fleet::new(running));
    let toolbox = file::add(toolbox, &config.file).map_err(refused)?;
    let toolbox = http::add(toolbox, &config.http, Arc::new(SystemClock)).map_err(refused)?;
    shell::add(toolbox, &config.shell, guard, variable).map_err(refused)
}
