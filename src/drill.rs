//! The disaster drill: each agent, what does queries, the store and the whole process are struck in turn,
//! under load, and what that costs is measured.
//!
//! A node runs in a process of its own, on a directory that is thrown away, against a container engine,
//! a webhook and a service for queries to call that exist only here. What it accepted and did is counted on
//! the outside.

mod asked;
mod engine;
mod ledger;
mod load;
pub(crate) mod patient;
mod process;
mod report;
mod scenario;
mod sink;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use self::engine::Engine;
use self::ledger::Ledger;
use self::load::Load;
use self::process::Process;
pub use self::report::Goals;
use self::scenario::{Outcome, SCENARIOS, Scenario};
use self::sink::Sink;
use crate::exit::{Exit, Failure};
use crate::signal::Signals;

/// What a drill is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Names of the disasters that strike; none is all of them.
    pub only: Vec<String>,
    /// What is to be met, beside the stated goals.
    pub goals: Goals,
    /// Where the directory that is thrown away is made; none is where temporary files are.
    pub inside: Option<PathBuf>,
    /// Where the report goes.
    pub report: Option<PathBuf>,
}

/// The names of the disasters, in order.
pub fn names() -> impl Iterator<Item = &'static str> {
    SCENARIOS.iter().map(|scenario| scenario.name)
}

/// Runs the drill, shows its progress, and returns the table and whether all goals were met.
///
/// # Errors
/// The drill could not be held.
pub fn run(options: &Options) -> Result<(String, bool), Failure> {
    let threads = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let threads = threads.map_err(|error| Failure::new(Exit::Software, error.to_string()))?;
    let outcomes = threads.block_on(async {
        let mut signals = Signals::catch().map_err(|error| cannot("catch signals", &error))?;
        tokio::select! {
            outcomes = hold(options) => outcomes,
            signal = signals.next() => {
                Err(Failure::new(Exit::Failed, format!("the drill was stopped by {signal}")))
            }
        }
    })?;
    let goals = &options.goals;
    if let Some(file) = &options.report {
        let text = format!("{:#}\n", report::json(&outcomes, goals));
        let failed = |error| cannot(&format!("write the report to {}", file.display()), &error);
        fs::write(file, text).map_err(failed)?;
    }
    Ok((report::table(&outcomes, goals), report::all_met(&outcomes, goals)))
}

async fn hold(options: &Options) -> Result<Vec<Outcome>, Failure> {
    let directory = directory(options.inside.as_deref())?;
    let ledger = Arc::new(Ledger::default());
    let engine = Arc::new(Engine::start(&directory.path().join("engine.sock"), ledger.clone())?);
    let sink = Sink::start(ledger.clone()).await?;
    let file = directory.path().join("perennial.toml");
    fs::write(&file, configuration(directory.path(), &sink))
        .map_err(|error| cannot(&format!("write {}", file.display()), &error))?;
    let mut process = Process::start(directory.path()).await?;
    let load = Load::new(engine, &ledger, &process.client(), &sink.url());
    let mut outcomes = Vec::new();
    for scenario in chosen(&options.only) {
        tell(&format!("{}: bringing up load ...", scenario.name));
        let outcome = scenario::run(scenario, &mut process, &load, &ledger).await?;
        let rto = outcome.rto.map_or("did not recover".to_owned(), |rto| {
            format!("recovered in {}", report::time(rto))
        });
        let lost = outcome.balance.lost;
        tell(&format!("{}: {}, {rto}, {lost} lost", scenario.name, outcome.struck));
        outcome.flaws.iter().for_each(|flaw| tell(&format!("  {flaw}")));
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

fn chosen(only: &[String]) -> impl Iterator<Item = Scenario> + '_ {
    let wanted =
        |scenario: &Scenario| only.is_empty() || only.iter().any(|one| one == scenario.name);
    SCENARIOS.into_iter().filter(wanted)
}

fn directory(inside: Option<&Path>) -> Result<TempDir, Failure> {
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix("perennial-drill-");
    let made = inside.map_or_else(|| builder.tempdir(), |inside| builder.tempdir_in(inside));
    made.map_err(|error| cannot("make a directory for the drill", &error))
}

/// A node like any other, but for waits and budgets that would make a drill last for hours.
fn configuration(directory: &Path, sink: &Sink) -> String {
    format!(
        r#"
[docker]
host = "unix://{}/engine.sock"
[monitor]
proc = ""
relist_every = "5s"
[analyzer]
stabilisation = "500ms"
[responder]
stabilisation = "500ms"
budget_per_node = 1000000
[alert]
repeat_interval = "0s"
[alert.webhook]
url = "{}"
[query]
timeout = "5m"
[query.http]
hosts = [{{ name = "127.0.0.1", schemes = ["http"], ports = [{}], methods = ["POST"] }}]
allow_private = ["127.0.0.0/8"]
"#,
        directory.display(),
        sink.url(),
        sink.port()
    )
}

/// Progress, for whoever waits.
fn tell(line: &str) {
    // Nobody may be left to read it, which does not change the drill.
    drop(writeln!(io::stderr().lock(), "{line}"));
}

fn cannot(what: &str, error: &io::Error) -> Failure {
    Failure::new(Exit::Io, format!("cannot {what}: {error}"))
}
