//! The ToolWorker: one per group of tools. Lets as many calls run as the resource bears, keeps a bounded
//! queue of the others, and spares the resource while it is out of order.

pub mod breaker;
mod breakers;
#[cfg(test)]
mod frozen;
pub mod hands;
pub mod invoke;
mod message;
mod older;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use perennial_runtime::{Durable, Failure, Finished, Kind, Table, Turn, Undone};
use serde::{Deserialize, Serialize};

use crate::metrics;
use crate::orchestrator::{Orchestrator, OrchestratorMessage};
use crate::plan::ErrorKind;
use crate::roles::Roles;
use crate::tool::{Catalogue, ToolAnswer, ToolError, ToolSpec};
use crate::tools::llm;
use crate::worker::breakers::{Breakers, Rests};
use crate::worker::invoke::{Halt, Invoke};
pub use crate::worker::message::*;

/// Calls that wait for their turn, by the id of the call.
const WAITING: Table<Order> = Table::new("tool-calls", 1);

/// What a group bears, unless the configuration says otherwise: calls at a time.
pub const CONCURRENCY: usize = 8;
/// Calls that may wait for their turn.
pub const QUEUE: usize = 256;

/// What ToolWorkers are told.
#[derive(Debug, Default)]
pub struct Settings {
    /// The tools there are.
    pub catalogue: Arc<Catalogue>,
    /// Who may call what.
    pub roles: Arc<Roles>,
    /// What each group bears; one that is not named bears [`CONCURRENCY`] and [`QUEUE`].
    pub groups: BTreeMap<String, Bounds>,
}

/// What a group of tools bears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bounds {
    /// Calls at a time.
    pub concurrency: usize,
    /// Calls that may wait for their turn.
    pub queue: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { concurrency: CONCURRENCY, queue: QUEUE }
    }
}

/// The ToolWorker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ToolWorker {
    running: BTreeSet<CallId>,
    /// First come, first served; what they order is in [`WAITING`].
    waiting: VecDeque<CallId>,
    breakers: Breakers,
}

impl Durable for ToolWorker {
    const KIND: Kind = Kind::new("tool-worker");
    /// It knows what of its group is out of order since version 2, and by which call that is tried since version 3.
    const VERSION: u16 = 3;
    type Message = WorkerMessage;
    type Settings = Settings;

    fn handle(&mut self, message: WorkerMessage, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        match message {
            WorkerMessage::Call(order) => {
                if let Err(error) = self.take(&order, turn) {
                    answer(&order, Err(error), turn);
                }
                Ok(())
            }
            WorkerMessage::Cancel(id) => self.cancel(&id, turn),
            WorkerMessage::Finished(finished) => self.finished(finished, turn),
            // What was told to end ends by itself; whether it could be told changes nothing.
            WorkerMessage::Halted(_) => Ok(()),
        }
    }

    fn migrate(version: u16, payload: &[u8]) -> Result<Self, Failure> {
        older::state(version, payload)
    }

    fn migrate_message(version: u16, payload: &[u8]) -> Result<WorkerMessage, Failure> {
        older::message(version, payload)
    }
}

impl ToolWorker {
    /// Starts a call or has it wait.
    fn take(&mut self, order: &Order, turn: &mut Turn<'_, Self>) -> Result<(), ToolError> {
        if self.running.contains(&order.id) || self.waiting.contains(&order.id) {
            return Ok(());
        }
        check(order, turn.settings())?;
        let bounds = bounds(turn);
        if self.running.len() < bounds.concurrency {
            return self.start(order, turn);
        }
        if self.waiting.len() >= bounds.queue {
            return Err(overloaded(order, bounds));
        }
        turn.put(&WAITING, &order.id.to_string(), order);
        self.waiting.push_back(order.id.clone());
        Ok(())
    }

    fn start(&mut self, order: &Order, turn: &mut Turn<'_, Self>) -> Result<(), ToolError> {
        let spec = check(order, turn.settings())?;
        let rests = rests(order, turn.settings());
        self.breakers.enter(&rests, &order.id, turn.now()).map_err(|wait| spared(&rests, wait))?;
        let timeout = order.timeout.map_or(spec.timeout, |own| own.min(spec.timeout));
        turn.perform(&Invoke { order: order.clone(), timeout });
        self.running.insert(order.id.clone());
        let group = turn.key().to_owned();
        turn.measure(metrics::TOOL_CALLS_RUNNING, &[("group", &group)], self.running.len() as f64);
        Ok(())
    }

    /// Has a call end. Whoever wants that waits for its answer. One that is not known here has been answered.
    fn cancel(&mut self, id: &CallId, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        if let Some(place) = self.waiting.iter().position(|waiting| waiting == id) {
            self.waiting.remove(place);
            let key = id.to_string();
            if let Some(order) = turn.get(&WAITING, &key)? {
                answer(&order, Err(never_begun()), turn);
            }
            turn.delete(&WAITING, &key);
        } else if self.running.contains(id) {
            // It frees its place when it has ended. Should it be found again after a crash, what stands in the
            // rows of its query keeps it from being begun.
            let until = turn.now() + Duration::from_secs(60);
            turn.perform(&Halt { id: id.clone(), until });
        }
        Ok(())
    }

    fn finished(
        &mut self,
        finished: Finished<Invoke>,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let Invoke { order, timeout } = finished.effect;
        self.running.remove(&order.id);
        let expired = matches!(finished.result, Err(Undone::Expired(_)));
        let result = finished.result.unwrap_or_else(|undone| Err(error_of(undone)));
        let late = matches!(&result, Err(error) if error.kind == ErrorKind::Timeout);
        // One that was never begun, or had less time than the tool takes, tells nothing about what it rests on.
        let says_nothing = expired || late && !had_its_time(&order, timeout, turn);
        if !says_nothing {
            self.judge(&order, &result, turn);
        }
        self.breakers.ended(&order.id);
        answer(&order, result, turn);
        while self.running.len() < bounds(turn).concurrency {
            let Some(id) = self.waiting.pop_front() else { break };
            self.start_waiting(&id, turn)?;
        }
        Ok(())
    }

    fn start_waiting(&mut self, id: &CallId, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        let key = id.to_string();
        let Some(order) = turn.get(&WAITING, &key)? else { return Ok(()) };
        turn.delete(&WAITING, &key);
        if let Err(error) = self.start(&order, turn) {
            answer(&order, Err(error), turn);
        }
        Ok(())
    }

    /// What an answer tells about what the call rests on.
    fn judge(
        &mut self,
        order: &Order,
        result: &Result<ToolAnswer, ToolError>,
        turn: &Turn<'_, Self>,
    ) {
        let rests = rests(order, turn.settings());
        let spec = turn.settings().catalogue.get(&order.tool);
        // What is made anew for each call fails by its own work, and what it rests on outlives that.
        let isolated = spec.is_some_and(|spec| spec.isolated);
        match result.as_ref().map_err(|error| error.kind) {
            Err(ErrorKind::Timeout | ErrorKind::Unavailable) if !isolated => {
                self.breakers.failed(rests, &order.id, turn.now());
            }
            Err(
                ErrorKind::Timeout
                | ErrorKind::Unavailable
                | ErrorKind::Cancelled
                | ErrorKind::Unknown
                | ErrorKind::Overloaded,
            ) => {}
            Ok(_)
            | Err(
                ErrorKind::Failed | ErrorKind::Invalid | ErrorKind::Denied | ErrorKind::NotFound,
            ) => self.breakers.succeeded(&rests, &order.id),
        }
    }
}

/// Whether the tool is there, may be called so and by whom: looked at again here, for what orders a call
/// may have been decided long ago.
fn check<'a>(order: &Order, settings: &'a Settings) -> Result<&'a ToolSpec, ToolError> {
    let unknown = || ToolError::invalid(format!("there is no tool `{}`", order.tool));
    let spec = settings.catalogue.get(&order.tool).ok_or_else(unknown)?;
    settings.roles.check(&order.identity, spec)?;
    let problems = spec.problems(&order.arguments.0, false);
    if problems.is_empty() {
        return Ok(spec);
    }
    let problems: Vec<String> =
        problems.into_iter().map(|(name, why)| format!("`{name}` {why}")).collect();
    Err(ToolError::invalid(format!("`{}`: {}", order.tool, problems.join("; "))))
}

/// What a call rests on. Of a tool that went away it is the tool.
fn rests(order: &Order, settings: &Settings) -> Rests {
    let target = settings.catalogue.get(&order.tool).map(|spec| spec.target.of(&order.arguments.0));
    Rests { tool: order.tool.clone(), target: target.unwrap_or_default() }
}

/// What a call is answered while what it rests on is spared.
fn spared(Rests { tool, target }: &Rests, wait: Duration) -> ToolError {
    let of = if target.is_empty() { String::new() } else { format!(" at `{target}`") };
    let why = format!("`{tool}`{of} failed too often and is given {wait:?} to recover");
    ToolError { retry_after: Some(wait), ..ToolError::new(ErrorKind::Unavailable, why) }
}

/// What a call is answered that was taken back in time.
fn never_begun() -> ToolError {
    ToolError::new(ErrorKind::Cancelled, "it was taken back before it was begun")
}

/// Whether a call was given all the time that its tool may take.
fn had_its_time(order: &Order, timeout: Duration, turn: &Turn<'_, ToolWorker>) -> bool {
    let spec = turn.settings().catalogue.get(&order.tool);
    spec.is_some_and(|spec| timeout >= spec.timeout) && turn.now() < order.deadline
}

fn bounds(turn: &Turn<'_, ToolWorker>) -> Bounds {
    turn.settings().groups.get(turn.key()).copied().unwrap_or_default()
}

fn overloaded(order: &Order, bounds: Bounds) -> ToolError {
    let why = format!(
        "`{}` has {} calls under way and {} waiting; come again later",
        order.tool, bounds.concurrency, bounds.queue
    );
    ToolError {
        retry_after: Some(Duration::from_secs(1)),
        ..ToolError::new(ErrorKind::Overloaded, why)
    }
}

fn error_of(undone: Undone) -> ToolError {
    match undone {
        Undone::Failed(why) => ToolError::new(ErrorKind::Failed, why),
        Undone::Expired(why) => {
            ToolError::new(ErrorKind::Timeout, format!("its time was over before it began; {why}"))
        }
        Undone::Unknown(why) => ToolError::new(ErrorKind::Unknown, why),
    }
}

fn answer(order: &Order, result: Result<ToolAnswer, ToolError>, turn: &mut Turn<'_, ToolWorker>) {
    let outcome = result.as_ref().map_or_else(|error| error.kind.as_str(), |_| "succeeded");
    turn.count(metrics::TOOL_CALLS, &[("tool", &order.tool), ("outcome", outcome)]);
    if let (Ok(answer), llm::NAME) = (&result, order.tool.as_str()) {
        let model = answer.value.0["model"].as_str().unwrap_or_default();
        for (name, direction) in ["input", "output"].into_iter().zip(metrics::DIRECTIONS) {
            let tokens = answer.value.0["tokens"][name].as_f64().unwrap_or_default();
            turn.measure(metrics::TOKENS, &[("model", model), ("direction", direction)], tokens);
        }
    }
    let answered = OrchestratorMessage::Answered { call: order.id.clone(), result };
    turn.send::<Orchestrator>(order.id.query.clone(), &answered);
}
