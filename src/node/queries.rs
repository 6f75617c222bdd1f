//! What answers questions, made of the configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{env, fs};

use perennial_knowledge::Library;
use perennial_query::check::Finding;
use perennial_query::config::Config;
use perennial_query::explain::NodeBounds;
use perennial_query::question::{self, Planner, Read, Table};
use perennial_query::schedule::{AGAIN, Definitions, Problem, begin, define};
use perennial_query::tool::{Catalogue, Toolbox};
use perennial_query::tools::external::Broker;
use perennial_query::tools::shell::{self, GuardProgram};
use perennial_query::tools::{ConfigError, data, external, file, http, llm, sql};
use perennial_query::tree::tree;
use perennial_runtime::{Runtime, Supervisor, SystemClock};

use super::adviser::Models;
use super::knowledge;
use crate::config::{self, variable};
use crate::documents::{self, Kind};
use crate::exit::{Exit, Failure};
use crate::fleet::{Fleet, Running};
use crate::http::{Access, Bells, Conversations, Queries};

/// The hidden command by which the program is the guard of a command that a query runs.
pub(crate) const GUARD: &str = "tool-guard";

/// What tools reach that is not theirs.
struct Reach<'a> {
    running: Running,
    broker: &'a Arc<Broker>,
    /// The variables of the environment.
    variable: fn(&str) -> Option<String>,
}

/// What it takes to answer questions.
pub(super) struct Asking {
    /// What the facade needs to know of queries.
    pub(super) queries: Queries,
    /// What decides on requests.
    pub(super) access: Arc<Access>,
    /// What asks models.
    pub(super) models: Models,
    /// The actors that answer.
    pub(super) actors: Supervisor,
}

pub(super) fn queries(
    config: Config,
    running: Running,
    library: Option<&Library>,
) -> Result<Asking, Failure> {
    let broker = Arc::new(Broker::new(&config.workers.pools, Arc::new(SystemClock)));
    let mut toolbox = toolbox(&config, Reach { running, broker: &broker, variable })?;
    if let Some(library) = library {
        toolbox = knowledge::with_tools(toolbox, library);
    }
    once(&toolbox)?;
    let models = Models(toolbox.get(llm::NAME).cloned());
    let catalogue = Arc::new(toolbox.catalogue());
    let roles = Arc::new(config.roles.clone());
    let access = Arc::new(Access::new(Arc::clone(&roles), config.requests_per_minute));
    let table = table(&config, &catalogue)?;
    let planner = Planner { table, roles: Arc::clone(&roles), catalogue: Arc::clone(&catalogue) };
    let planner = Arc::new(planner);
    let schedules =
        schedules(&config, Arc::clone(&planner)).map_err(|problems| refused(&problems))?;
    let bells = Bells::default();
    let (pipelines, rules) = (config.pipelines.clone(), config.rules.clone());
    let (tools, clock) = (toolbox.clone(), SystemClock);
    let questions = config.questions.clone();
    let bounds = NodeBounds::from(&config);
    let conversations = Conversations::new(config.conversations.per_key);
    let queries = Queries {
        catalogue,
        bounds,
        tools,
        pipelines,
        rules,
        broker,
        planner,
        questions,
        schedules,
        conversations,
        clock,
        bells,
    };
    let actors = tree(config, roles, toolbox, queries.schedules.clone());
    Ok(Asking { queries, access, models, actors })
}

/// What is done when.
fn schedules(config: &Config, planner: Arc<Planner>) -> Result<Definitions, Vec<Problem>> {
    let pipeline = |name: &str| {
        let document = documents::read(Kind::Pipelines, &config.pipelines, name);
        document.map(|document| document.text).map_err(|error| error.to_string())
    };
    define(&config.schedule, planner, pipeline)
}

fn refused(problems: &[Problem]) -> Failure {
    let listed: String = problems.iter().map(|problem| format!("\n{problem}")).collect();
    Failure::new(Exit::Config, format!("query.schedule is refused:{listed}"))
}

/// Refuses schedules that a node of this configuration could not keep. What is wrong with their pipelines is for who
/// looks at all pipelines.
///
/// # Errors
/// Everything else that is wrong with them.
pub(crate) fn check_schedules(config: &Config, catalogue: Arc<Catalogue>) -> Result<(), Failure> {
    if config.schedule.is_empty() {
        return Ok(());
    }
    let table = table(config, &catalogue)?;
    let roles = Arc::new(config.roles.clone());
    let checked = schedules(config, Arc::new(Planner { table, roles, catalogue }));
    let mut problems = checked.err().unwrap_or_default();
    problems.retain(|problem| !problem.of_pipeline);
    if problems.is_empty() { Ok(()) } else { Err(refused(&problems)) }
}

/// Has schedules look at what they are now, until they have.
pub(super) async fn begin_schedules(runtime: Runtime, schedules: Definitions) {
    while let Err(error) = begin(&runtime, &schedules).await {
        tracing::warn!(%error, "not all schedules could be begun; trying again");
        tokio::time::sleep(AGAIN).await;
    }
}

/// What can be asked in words: by the file of the configuration, or else about the tools that there are.
fn table(config: &Config, catalogue: &Catalogue) -> Result<Table, Failure> {
    let path = &config.intents;
    if path.as_os_str().is_empty() {
        return Ok(question::built_in(catalogue));
    }
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|error| {
        let why = format!("query.intents: {shown} cannot be read: {error}");
        Failure::new(Exit::Config, why)
    })?;
    let listed = |findings: &[Finding]| -> String {
        findings.iter().map(|finding| format!("\n{shown}: {finding}")).collect()
    };
    match question::read(&text, catalogue) {
        Ok(Read { table, warnings }) => {
            for warning in &warnings {
                tracing::warn!("{shown}: {warning}");
            }
            Ok(table)
        }
        Err(findings) => {
            let why = format!("query.intents is refused:{}", listed(&findings));
            Err(Failure::new(Exit::Config, why))
        }
    }
}

/// The tools that a node of this configuration has.
///
/// # Errors
/// A tool cannot be made as it is configured.
pub(crate) fn catalogue(config: &config::Config) -> Result<Catalogue, Failure> {
    // Keys are for calls: a pipeline can be checked where they are not known.
    let variable = |name: &str| variable(name).or_else(|| Some("unset".to_owned()));
    let broker = Arc::new(Broker::new(&[], Arc::new(SystemClock)));
    let reach = Reach { running: Running::default(), broker: &broker, variable };
    let toolbox = toolbox(&config.query, reach)?;
    let toolbox = knowledge::with_described(toolbox, &config.knowledge)?;
    once(&toolbox)?;
    Ok(toolbox.catalogue())
}

/// Refuses names that two tools have: one of them would be gone without a word.
fn once(toolbox: &Toolbox) -> Result<(), Failure> {
    let names: Vec<&str> = toolbox.twice().collect();
    if names.is_empty() {
        return Ok(());
    }
    let why = format!(
        "query.workers: there are tools of these names already: {}; call those of the pools otherwise",
        names.join(", ")
    );
    Err(Failure::new(Exit::Config, why))
}

fn toolbox(config: &Config, reach: Reach<'_>) -> Result<Toolbox, Failure> {
    let Reach { running, broker, variable } = reach;
    let refused = |error: ConfigError| Failure::new(Exit::Config, error.to_string());
    let (guard, clock) = (GuardProgram::this(GUARD), Arc::new(SystemClock));
    let toolbox = data::add(Toolbox::default()).with(Fleet::new(running));
    let toolbox = file::add(toolbox, &config.file).map_err(refused)?;
    let toolbox = http::add(toolbox, &config.http, clock.clone()).map_err(refused)?;
    let toolbox = external::add(toolbox, &config.workers, broker).map_err(refused)?;
    let toolbox = shell::add(toolbox, &config.shell, guard, variable).map_err(refused)?;
    let toolbox = sql::add(toolbox, &config.sql, &config.roles, &beside()).map_err(refused)?;
    llm::add(toolbox, &config.llm, clock, variable).map_err(refused)
}

/// Where the node's own program is, and those that come with it.
fn beside() -> PathBuf {
    // Where that cannot be told, the configuration can.
    let own = env::current_exe().unwrap_or_default();
    own.parent().map(Path::to_owned).unwrap_or_default()
}
