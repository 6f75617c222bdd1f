//! What answers questions, made of the configuration.

use std::sync::Arc;

use perennial_query::config::Config;
use perennial_query::roles::{EVERYTHING, Roles};
use perennial_query::tool::{Catalogue, Toolbox};
use perennial_query::tools::shell::{self, GuardProgram};
use perennial_query::tools::{ConfigError, data, file, http, llm};
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
    let toolbox = toolbox(&config, running, variable)?;
    let catalogue = Arc::new(toolbox.catalogue());
    let mut roles = Roles::default();
    roles.0.insert(ADMIN.to_owned(), [EVERYTHING.to_owned()].into());
    // The bell is hung when there is something to ring it.
    let (_, bell) = watch::channel(0);
    let (pipelines, rules) = (config.pipelines.clone(), config.rules.clone());
    let queries = Queries { catalogue, pipelines, rules, bell };
    Ok((queries, tree(config, Arc::new(roles), toolbox)))
}

/// The tools that a node of this configuration has.
///
/// # Errors
/// A tool cannot be made as it is configured.
pub(crate) fn catalogue(config: &Config) -> Result<Catalogue, Failure> {
    // Keys are for calls: a pipeline can be checked where they are not known.
    let environment = |name: &str| variable(name).or_else(|| Some("unset".to_owned()));
    Ok(toolbox(config, Running::default(), environment)?.catalogue())
}

fn toolbox(
    config: &Config,
    running: Running,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Toolbox, Failure> {
    let refused = |error: ConfigError| Failure::new(Exit::Config, error.to_string());
    let guard = GuardProgram::this(GUARD);
    let toolbox = data::add(Toolbox::default()).with(Fleet::new(running));
    let toolbox = file::add(toolbox, &config.file).map_err(refused)?;
    let toolbox = http::add(toolbox, &config.http, Arc::new(SystemClock)).map_err(refused)?;
    let toolbox = shell::add(toolbox, &config.shell, guard, &environment).map_err(refused)?;
    llm::add(toolbox, &config.llm, Arc::new(SystemClock), environment).map_err(refused)
}
