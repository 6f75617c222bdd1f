//! Read-only SQL over files, by a process of its own: a query that needs all memory or never ends costs that
//! process, and not the node.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use futures::future::BoxFuture;
use perennial_sql_protocol::{Answer, Ask, Cut, Setup, Table, Who, list};
use serde_json::json;

use crate::plan::ValueType;
use crate::roles::Roles;
use crate::tool::{Call, Citation, Parameter, Tool, ToolAnswer, ToolError, ToolSpec, Toolbox};
use crate::tools::ConfigError;
use crate::worker::hands::MAX_ANSWER_BYTES;

mod config;
mod driver;
mod process;

pub use config::Config;

use process::Process;

/// The tool's name.
pub const NAME: &str = "sql";
/// The program's.
pub const PROGRAM: &str = "perennial-sql";

/// Rows that are answered if a call does not say how many.
const ROWS: usize = 1_000;
/// Rows that a call may ask for.
const MOST_ROWS: usize = 10_000;
/// Bytes of an answer that are not its rows.
const FRAME: usize = 32 * 1024;
/// Bytes that a query may have.
const QUERY_BYTES: usize = 64 * 1024;

/// Adds the tool, if `config` has a table. `beside` is the directory of the node's own program.
///
/// # Errors
/// The configuration has problems.
pub fn add(
    toolbox: Toolbox,
    config: &Config,
    roles: &Roles,
    beside: &Path,
) -> Result<Toolbox, ConfigError> {
    if config.tables.is_empty() {
        return Ok(toolbox);
    }
    ConfigError::unless_none(config.problems(roles))?;
    Ok(toolbox.with(Sql::new(config, beside)))
}

/// The tool `sql`: `query`, its `parameters` and `limit`, to `columns`, `rows`, `row_count` and `truncated`.
#[derive(Debug)]
pub struct Sql {
    spec: ToolSpec,
    directory: PathBuf,
    tables: Vec<Table>,
    process: Process,
}

impl Sql {
    fn new(config: &Config, beside: &Path) -> Self {
        let Config { directory, tables, program, memory_bytes, timeout: _ } = config.clone();
        let given = !program.as_os_str().is_empty();
        let program = if given { program } else { beside.join(PROGRAM) };
        let setup = Setup { directory: directory.clone(), tables: tables.clone(), memory_bytes };
        Self {
            spec: spec(config, &program),
            directory,
            tables,
            process: Process::new(program, setup),
        }
    }

    async fn run(&self, call: &Call) -> Result<ToolAnswer, ToolError> {
        let arguments = &call.arguments.0;
        let sql = arguments["query"].as_str().unwrap_or_default().to_owned();
        if sql.len() > QUERY_BYTES {
            let why = format!("query has {} bytes, over the limit of {QUERY_BYTES}", sql.len());
            return Err(ToolError::invalid(why));
        }
        let rows = arguments["limit"].as_u64().map_or(ROWS, |rows| rows as usize);
        let parameters = arguments["parameters"].as_array().cloned().unwrap_or_default();
        let identity = &call.identity;
        let who = Who {
            name: identity.name.clone(),
            role: identity.role.clone(),
            teams: identity.teams.clone(),
        };
        let (rows, bytes) = (rows.min(MOST_ROWS), MAX_ANSWER_BYTES - FRAME);
        // The process numbers it.
        let ask = Ask { id: 0, sql, parameters, rows, bytes, who };
        let answer = self.process.answer(ask).await?;
        Ok(self.told(answer, rows))
    }

    fn told(&self, answer: Answer, limit: usize) -> ToolAnswer {
        let Answer { columns, rows, cut, tables } = answer;
        let warning = cut.map(|cut| match cut {
            Cut::Rows => format!("there are more than {limit} rows; these are the first ones"),
            Cut::Bytes => format!(
                "the rows are longer than an answer may be; these are the first {}",
                rows.len()
            ),
        });
        let read = self.tables.iter().filter(|table| tables.contains(&table.name));
        let citation = |table: &Table| Citation {
            id: format!("table:{}", table.name),
            source: table.name.clone(),
            place: table.path.clone(),
        };
        let value = json!({
            "columns": columns,
            "row_count": rows.len(),
            "rows": rows,
            "truncated": cut.is_some(),
        });
        let citations = read.map(citation).collect();
        ToolAnswer { citations, warnings: warning.into_iter().collect(), ..value.into() }
    }
}

impl Tool for Sql {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn call<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<ToolAnswer, ToolError>> {
        Box::pin(self.run(call))
    }

    fn data_version(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for table in &self.tables {
            match list(&self.directory, table) {
                Ok(listed) => listed.hash(&mut hasher),
                Err(error) => error.to_string().hash(&mut hasher),
            }
        }
        hasher.finish()
    }
}

fn spec(config: &Config, program: &Path) -> ToolSpec {
    let mut description =
        "Answers a query in SQL that only reads, such as SELECT, over these tables; DESCRIBE \
        tells the columns of one. Names are in small letters unless in double quotes."
            .to_owned();
    for Table { name, description: what, .. } in &config.tables {
        description.push_str(&format!("\n{name}: {what}"));
    }
    if !program.is_file() {
        description.push_str(&format!("\nIt cannot be called yet: {}", process::absent(program)));
    }
    let limit = format!("Rows that are answered at most; {ROWS} if it is not given.");
    let mut spec = ToolSpec::new(NAME, &description)
        .parameter(Parameter::required("query", ValueType::String, "One statement."))
        .parameter(Parameter::optional(
            "parameters",
            ValueType::Array,
            "What stands for $1, $2 and so on in it: texts, numbers or booleans.",
        ))
        .parameter(
            Parameter::optional("limit", ValueType::Integer, &limit).between(1.0, MOST_ROWS as f64),
        );
    spec.timeout = config.timeout;
    // A process that a query ended is replaced, and one that takes long is taken back.
    spec.isolated = true;
    // Where rows depend on who asks, nobody is given what another was answered.
    spec.access = access(&config.tables);
    spec.personal =
        config.tables.iter().flat_map(|table| &table.access).any(|grant| !grant.rows.is_empty());
    spec
}

/// Another number whenever somebody may read something else, the same after a restart.
fn access(tables: &[Table]) -> u64 {
    let granted: Vec<_> = tables.iter().map(|table| (&table.name, &table.access)).collect();
    let mut hasher = DefaultHasher::new();
    granted.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
