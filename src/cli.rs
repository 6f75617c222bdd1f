//! The command line.

mod audit;
mod backup;
mod conversations;
mod documents;
mod keys;
mod local;
mod query;
mod remote;
mod schedules;
mod show;

use std::ffi::OsString;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand};
use humantime_serde::re::humantime::parse_duration;
use perennial_store::StoreError;

use crate::config::{Config, ConfigError, Sources};
use crate::drill::{self, Goals};
use crate::exit::{Exit, Failure};
use crate::node::GUARD;

/// A supervised, durable node that watches the local Docker engine and heals what breaks in it.
#[derive(Debug, Parser)]
#[command(name = "perennial", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

/// What to run the node with; options win over the environment, and that over the file.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// A configuration file [default: none, every option at its default]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The directory that holds everything the node must not forget
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Address and port to listen on
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the node (also without any command)
    Run(RunArgs),
    /// Check a configuration file, together with the environment, and exit; 78 if it is refused
    CheckConfig {
        /// The file
        file: PathBuf,
    },
    /// Print the configuration in force, secrets left out
    DumpConfig {
        /// A configuration file
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Verify every record of a data directory that no node uses
    CheckData {
        /// The data directory
        dir: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Write a backup of a node's data to a file; the node goes on meanwhile
    Backup {
        /// The file, which must not be there yet
        file: PathBuf,
        /// Read the file instead, and say whether it is a whole, undamaged backup
        #[arg(long, conflicts_with = "data_dir")]
        verify: bool,
        /// The data directory, read directly, or through the node that uses it
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Make a data directory of a backup, which is verified before
    Restore {
        /// The backup
        file: PathBuf,
        /// The data directory; it must be empty or absent
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Strike each agent, the store and the process of a node made for it, and measure what that costs
    Drill(DrillArgs),
    /// What guards a command that a query runs
    #[command(hide = true, name = GUARD)]
    ToolGuard {
        /// The command
        #[arg(last = true)]
        argv: Vec<OsString>,
    },
    /// The node of a drill
    #[command(hide = true)]
    DrillNode(RunArgs),
    /// Ask a node whether it is ready; exit code 1 if it is not
    Health {
        /// Ask only whether it answers
        #[arg(long)]
        live: bool,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Show the actors of a node
    Tree(NodeArgs),
    /// Show the containers a node watches
    Containers(NodeArgs),
    /// Show incidents, or one of them with its journal
    Incidents {
        /// Only this one, with everything that happened in it
        id: Option<String>,
        /// Only those in this status
        #[arg(long)]
        status: Option<String>,
        /// Only those this bad
        #[arg(long)]
        severity: Option<String>,
        /// At most so many, the newest [default: 100]
        #[arg(long)]
        limit: Option<u32>,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Take an incident on: people are no longer reminded of it
    Acknowledge {
        /// Its id, such as inc-12
        id: String,
        /// Who takes it on
        #[arg(long, value_name = "NAME")]
        by: String,
        /// What they have to say
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Show what was done to containers, and whether the record of it is intact
    Actions {
        /// At most so many, the newest [default: 100]
        #[arg(long)]
        limit: Option<u32>,
        /// Verify the whole record again, not only what is new and what is shown
        #[arg(long)]
        verify: bool,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Ask for an action on a container; every gate applies as to the node's own
    Act {
        /// What to do
        #[arg(value_parser = ["restart", "start", "stop", "scale", "cleanup", "exec"])]
        action: String,
        /// The container's name or id
        container: String,
        /// Why, for the record
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// A name of this order; given again under the same name, it is carried out once
        #[arg(long, value_name = "NAME", value_parser = header_text)]
        once: Option<String>,
        #[command(flatten)]
        node: NodeArgs,
        /// With exec: the whole command, after --
        #[arg(last = true, value_name = "ARGUMENT")]
        argv: Vec<String>,
    },
    /// Ask a node in words; exit code 1 if there is no answer, or the question is asked back
    Ask(query::AskArgs),
    /// Check plans, have them done, and see what comes of them
    Query {
        #[command(subcommand)]
        command: query::QueryCommand,
    },
    /// Put documents into the library of a node, list, show, remove and search them
    Documents {
        #[command(subcommand)]
        command: documents::DocumentsCommand,
    },
    /// Conversations with a node, which are one's own: list, show or delete
    Conversations {
        #[command(subcommand)]
        command: conversations::ConversationsCommand,
    },
    /// List who changed documents, API keys and conversations, when, and what came of it
    Audit(audit::AuditArgs),
    /// What a node does at which times: list, show, pause, resume or fire
    Schedules {
        #[command(subcommand)]
        command: schedules::SchedulesCommand,
    },
    /// Give out, list or revoke API keys: who may ask a node, and what
    Keys {
        #[command(subcommand)]
        command: keys::KeysCommand,
    },
    /// Show, redrive or discard messages that were given up
    DeadLetters {
        #[command(subcommand)]
        action: DeadLetters,
    },
}

/// No container and no data of this machine is touched.
#[derive(Clone, Debug, Args)]
struct DrillArgs {
    /// Only this disaster; may be given more than once
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(drill::names()))]
    only: Vec<String>,
    /// Recovery has to take less than this
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = parse_duration)]
    rto: Duration,
    /// The accepted work of no longer than this may be lost
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = parse_duration)]
    rpo: Duration,
    /// Write a report in JSON to this file
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Make the directory that is thrown away in here, to measure the disk it is on
    #[arg(long, value_name = "DIR")]
    r#in: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum DeadLetters {
    /// List them
    List {
        /// At most so many, the newest [default: 100]
        #[arg(long)]
        limit: Option<u32>,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Show one
    Show {
        /// Its id, such as 12-3
        id: String,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Send one again
    Redrive {
        /// Its id, such as 12-3
        id: String,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Delete one
    Discard {
        /// Its id, such as 12-3
        id: String,
        #[command(flatten)]
        node: NodeArgs,
    },
}

/// Which part of a list is wanted.
#[derive(Clone, Debug, Args)]
struct PageArgs {
    /// Only those behind the one of this id
    #[arg(long, value_name = "ID")]
    after: Option<String>,
    /// At most so many [default: 100]
    #[arg(long)]
    limit: Option<u32>,
}

impl PageArgs {
    /// The parameters that say so.
    fn parameters(self) -> [(&'static str, Option<String>); 2] {
        [("after", self.after), ("limit", self.limit.map(|limit| limit.to_string()))]
    }
}

/// Which node to speak to, and how to show its answer.
#[derive(Clone, Debug, Args)]
struct NodeArgs {
    /// The node's address [default: where the configuration says that it listens]
    #[arg(long, value_name = "URL")]
    node: Option<String>,
    /// The node's token or an API key; other users can see it in the list of processes
    #[arg(long, value_name = "TOKEN", conflicts_with = "token_file")]
    token: Option<String>,
    /// A file with the node's token or an API key
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The node's configuration file, for its address and token
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the node's answer as JSON
    #[arg(long)]
    json: bool,
}

impl Cli {
    /// The command that this process is to guard, if that is all it is for.
    #[must_use]
    pub fn guarded(&mut self) -> Option<Vec<OsString>> {
        match &mut self.command {
            Some(Command::ToolGuard { argv }) => Some(std::mem::take(argv)),
            Some(_) | None => None,
        }
    }

    /// Executes the command line, with `run` for running a node, and returns how to exit.
    ///
    /// # Errors
    /// What went wrong and has not been told yet, with the exit code for it.
    pub fn execute(
        self,
        run: impl FnOnce(Config) -> Result<Exit, Failure>,
    ) -> Result<Exit, Failure> {
        let done = match self.command {
            None => return run(self.run.config()?),
            Some(Command::Run(args)) => return run(args.config()?),
            Some(Command::Drill(args)) => return args.hold(),
            Some(Command::ToolGuard { .. }) => return Ok(Exit::Usage),
            Some(Command::DrillNode(args)) => return drill::patient::run(args.config()?),
            Some(Command::Query { command }) => return query::execute(command),
            Some(Command::Ask(args)) => return query::ask(args),
            Some(Command::Documents { command }) => return documents::execute(command),
            Some(Command::Conversations { command }) => conversations::execute(command),
            Some(Command::Audit(args)) => audit::execute(args),
            Some(Command::Schedules { command }) => schedules::execute(command),
            Some(Command::Keys { command }) => keys::execute(command),
            Some(Command::CheckConfig { file }) => local::check_config(file),
            Some(Command::DumpConfig { config }) => local::dump_config(config),
            Some(Command::CheckData { dir, json }) => local::check_data(&dir, json),
            Some(Command::Backup { file, verify: true, node, .. }) => {
                backup::verify(&file, node.json)
            }
            Some(Command::Backup { file, verify: false, data_dir, node }) => {
                backup::backup(&file, data_dir.as_deref(), &node)
            }
            Some(Command::Restore { file, data_dir, json }) => {
                backup::restore(&file, &data_dir, json)
            }
            Some(remote) => remote::execute(remote),
        };
        done.map(|()| Exit::Success)
    }
}

impl DrillArgs {
    fn hold(self) -> Result<Exit, Failure> {
        let Self { only, rto, rpo, report, r#in: inside } = self;
        let goals = Goals { rto, rpo };
        let (table, met) = drill::run(&drill::Options { only, goals, inside, report })?;
        print(&table)?;
        Ok(if met { Exit::Success } else { Exit::Failed })
    }
}

impl RunArgs {
    fn config(self) -> Result<Config, ConfigError> {
        let mut sources = Sources::of_process(self.config);
        let data_dir = self.data_dir.map(|dir| dir.display().to_string());
        sources.options.extend(data_dir.map(|dir| ("store.data_dir", dir)));
        sources.options.extend(self.listen.map(|listen| ("http.listen", listen.to_string())));
        Config::load(&sources)
    }
}

/// Text that may stand in a header.
fn header_text(text: &str) -> Result<String, String> {
    let visible = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if visible { Ok(text.to_owned()) } else { Err("expected visible ASCII characters".to_owned()) }
}

/// So many of what `noun` names, which gets an `s` if there is not exactly one.
fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// Says what `dir` is instead, if an error comes of its not being a data directory.
fn no_data(dir: &Path, error: &StoreError) -> Option<Failure> {
    let StoreError::Io { source, .. } = error else { return None };
    let why =
        format!("{} holds no data of a node: {source}; name its store.data_dir", dir.display());
    (source.kind() == io::ErrorKind::NotFound).then(|| Failure::new(Exit::Io, why))
}

/// Writes to the standard output. A reader that has gone away wants no more, which is no failure.
fn print(text: &str) -> Result<(), Failure> {
    match writeln!(io::stdout().lock(), "{}", text.trim_end_matches('\n')) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Io, format!("the answer could not be printed: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn one_of_a_kind_is_not_counted_as_many() {
        assert_eq!([0, 1, 2].map(|n| counted(n, "record")), ["0 records", "1 record", "2 records"]);
    }

    #[test]
    fn running_is_the_default() {
        let cli = Cli::try_parse_from(["perennial", "--listen", "127.0.0.1:0"]).unwrap();
        assert!(cli.command.is_none());
        assert_eq!(cli.run.listen, Some(([127, 0, 0, 1], 0).into()));
    }
}
