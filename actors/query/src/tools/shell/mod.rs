//! Running commands: an exact list of them, without a shell, each under a guard that leaves nothing of it
//! behind.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::{Map, json};
use tokio::time::timeout;

use crate::plan::{ErrorKind, ValueType};
use crate::tool::{Call, Parameter, Target, Tool, ToolAnswer, ToolError, ToolSpec, Toolbox, Trace};
use crate::tools::ConfigError;

mod arguments;
mod config;
mod guard;
mod marked;
mod output;
mod run;

pub use config::{Allowed, Config, Placeholder};
pub use guard::guard;
pub use run::GuardProgram;

use guard::report::Report;
use run::{Ended, Guarded, Order};

/// The tool's name.
pub const NAME: &str = "shell";

/// Where programs are looked for if the node was not told.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Bytes that a command may be given as input.
const INPUT_LIMIT: usize = 1024 * 1024;

/// Adds the tool, if `config` lists a command. `guard` is how a command's guard is started, and
/// `environment` tells the variables of the node.
///
/// # Errors
/// The configuration has problems.
pub fn add(
    toolbox: Toolbox,
    config: &Config,
    guard: GuardProgram,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Toolbox, ConfigError> {
    if config.commands.is_empty() {
        return Ok(toolbox);
    }
    Ok(toolbox.with(Shell::new(config, guard, environment)?))
}

/// The tool `shell`: `command`, its `arguments` and `input`, to `exit_code`, `stdout`, `stderr`.
#[derive(Debug)]
pub struct Shell {
    spec: ToolSpec,
    guard: GuardProgram,
    /// By name, each with the environment that it sees.
    commands: BTreeMap<String, (Allowed, BTreeMap<String, String>)>,
}

impl Shell {
    /// A tool that runs what `config` lists. `environment` tells the variables of the node.
    ///
    /// # Errors
    /// The configuration has problems.
    pub fn new(
        config: &Config,
        guard: GuardProgram,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        ConfigError::unless_none(config.problems())?;
        let commands = config.commands.iter().map(|command| {
            let names = ["PATH", "LANG"].into_iter();
            let names = names.chain(command.environment.iter().map(String::as_str));
            let mut variables: BTreeMap<String, String> = names
                .filter_map(|name| environment(name).map(|value| (name.to_owned(), value)))
                .collect();
            variables.entry("PATH".to_owned()).or_insert_with(|| PATH.to_owned());
            (command.name.clone(), (command.clone(), variables))
        });
        Ok(Self { spec: spec(config), guard, commands: commands.collect() })
    }

    async fn run(&self, call: &Call) -> Result<ToolAnswer, ToolError> {
        let (command, environment) = self.command(call)?;
        let nothing = Map::new();
        let given = call.arguments.0["arguments"].as_object().unwrap_or(&nothing);
        let input = call.arguments.0["input"].as_str().unwrap_or_default();
        if input.len() > INPUT_LIMIT {
            return Err(ToolError::invalid(format!(
                "`input` has {} bytes; a command takes at most {INPUT_LIMIT}",
                input.len()
            )));
        }
        let argv = arguments::fill(command, given).map_err(ToolError::invalid)?;
        let mut environment = environment.clone();
        environment.insert(marked::KEY.to_owned(), call.key.clone());
        // No other node's: it is what is killed by, should the guard die.
        let attempt = format!("{}/{}/{}", std::process::id(), call.key, call.attempt);
        environment.insert(marked::CALL.to_owned(), attempt.clone());
        let order = Order { argv, directory: directory(command)?, environment, attempt };
        let mut guarded = Guarded::start(&self.guard, &order).map_err(|error| {
            let guard = self.guard.program.display();
            let why = format!("`{}` was not run: {guard}, its guard: {error}", command.name);
            ToolError::new(ErrorKind::Unavailable, why)
        })?;
        let limit = command.timeout.min(call.timeout);
        match timeout(limit, guarded.finish(input)).await {
            Ok(ended) => answer(command, ended),
            Err(_) => Err(overdue(command, limit, guarded.stop().await)),
        }
    }

    fn command(&self, call: &Call) -> Result<&(Allowed, BTreeMap<String, String>), ToolError> {
        let name = call.arguments.0["command"].as_str().unwrap_or_default();
        self.commands.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.commands.keys().map(String::as_str).collect();
            let message = format!("no command `{name}` is allowed; known are {}", known.join(", "));
            ToolError::new(ErrorKind::Denied, message)
        })
    }
}

impl Tool for Shell {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn call<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<ToolAnswer, ToolError>> {
        Box::pin(self.run(call))
    }

    fn reconcile<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Trace> {
        let trace = match self.command(call) {
            Ok((command, _)) if command.changes_world => Trace::Unknown(format!(
                "`{}` may have run, wholly or in part, and nothing shows whether it did",
                command.name
            )),
            // What is not allowed was not run.
            Ok(_) | Err(_) => Trace::NotDone,
        };
        Box::pin(async { trace })
    }
}

fn spec(config: &Config) -> ToolSpec {
    let commands = &config.commands;
    let names: Vec<&str> = commands.iter().map(|command| command.name.as_str()).collect();
    let mut description = "Runs one of the commands that the operator allows.".to_owned();
    for Allowed { name, description: what, parameters, .. } in commands {
        let parameters: Vec<&str> = parameters.keys().map(String::as_str).collect();
        description.push_str(&format!("\n{name}({}): {what}", parameters.join(", ")));
    }
    let arguments = "The arguments of the command, by name: text or numbers.";
    let mut spec = ToolSpec::new(NAME, &description)
        .parameter(Parameter::required("command", ValueType::String, "Which command.").of(&names))
        .parameter(Parameter::optional("arguments", ValueType::Object, arguments))
        .parameter(Parameter::optional("input", ValueType::String, "Its standard input."));
    spec.target = Target::Named(&["command"]);
    spec.permission = Some(NAME.to_owned());
    spec.timeout = commands.iter().map(|command| command.timeout).max().unwrap_or(spec.timeout);
    spec.changes_world = commands.iter().any(|command| command.changes_world);
    spec
}

/// Where a command runs. Looked at before, because a start that fails for this would blame the program.
fn directory(command: &Allowed) -> Result<PathBuf, ToolError> {
    let set = &command.directory;
    let directory = if set.as_os_str().is_empty() { PathBuf::from("/") } else { set.clone() };
    if directory.is_dir() {
        return Ok(directory);
    }
    let (name, shown) = (&command.name, directory.display());
    Err(ToolError::failed(format!(
        "`{name}` was not run: its directory {shown} is not there; create it or change the configuration"
    )))
}

fn answer(command: &Allowed, ended: io::Result<Ended>) -> Result<ToolAnswer, ToolError> {
    let name = &command.name;
    let Ended { report, stdout, stderr } = ended.map_err(|error| {
        uncertain(command, ErrorKind::Failed, format!("`{name}` was given up: {error}"))
    })?;
    let failed = |why: String| {
        let said = if stderr.total > 0 { stderr.end() } else { stdout.end() };
        let colon = if said.is_empty() { "" } else { ": " };
        Err(ToolError::failed(format!("`{name}` {why}{colon}{said}")))
    };
    let code = match report {
        Report::Exited(code) if command.accepts(code) => code,
        Report::Exited(code) => return failed(format!("ended with exit code {code}")),
        Report::Killed(signal) => return failed(format!("was killed by signal {signal}")),
        Report::NotStarted(why) => return failed(format!("could not be started: {why}")),
        Report::Started(_) => return failed("ended without an exit code".to_owned()),
    };
    let (out, exact_out) = stdout.text();
    let (err, exact_err) = stderr.text();
    let truncated = stdout.is_truncated() || stderr.is_truncated();
    let mut answer = ToolAnswer::from(json!({
        "exit_code": code,
        "stdout": out,
        "stderr": err,
        "truncated": truncated,
        "stdout_bytes": stdout.total,
        "stderr_bytes": stderr.total,
    }));
    if truncated {
        answer.warnings.push(format!("`{name}` wrote more than the {} bytes kept", output::KEPT));
    }
    if !exact_out || !exact_err {
        answer.warnings.push(format!("`{name}` wrote what is not UTF-8; it was replaced"));
    }
    Ok(answer)
}

fn overdue(command: &Allowed, limit: Duration, certain: bool) -> ToolError {
    let name = &command.name;
    let after = format!("`{name}` was killed, as it took longer than {limit:?}");
    let doubt = if certain { "" } else { "; something of it may still be running" };
    uncertain(command, ErrorKind::Timeout, format!("{after}{doubt}"))
}

/// A command that changes the world and did not come to its end is not one to repeat blindly.
fn uncertain(command: &Allowed, otherwise: ErrorKind, message: String) -> ToolError {
    if command.changes_world {
        let message = format!("{message}; what it has changed until then is not known");
        return ToolError::new(ErrorKind::Unknown, message);
    }
    ToolError::new(otherwise, message)
}
