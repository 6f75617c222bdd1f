//! The Orchestrator: one per query. Does the steps of its plan in their order, remembers what came of each,
//! and after any crash goes on where it was: what has ended is never done again.

mod conclusion;
mod ending;
#[cfg(test)]
mod frozen;
mod halting;
mod instance;
mod message;
mod models;
mod notes;
pub(crate) mod older;
mod orders;
mod scope;
mod steps;
mod watching;

use std::sync::Arc;
use std::time::Duration;

use perennial_runtime::{Durable, Failure, Kind, Timestamp, Turn};
use serde::{Deserialize, Serialize};

use crate::admission::{ADMISSION, Admission, AdmissionMessage};
use crate::config::Questions;
use crate::graph::Graph;
pub use crate::orchestrator::message::*;
use crate::orchestrator::models::Consulting;
pub(crate) use crate::orchestrator::watching::WATCHERS;
use crate::plan::{Plan, Step};
use crate::record::{Event, Outcome, QueryRow, QueryStatus, SUBMISSIONS, Submission};
use crate::roles::Roles;
use crate::tool::Catalogue;

/// A query may take so long, unless its plan or the configuration says less.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// Tools of one query at a time.
pub const MAX_PARALLEL_TOOLS: u32 = 5;
/// How long what is known of a query is kept after its end.
pub const RETENTION: Duration = Duration::from_secs(7 * 24 * 3600);

/// The name of the timer that ends a query.
const DEADLINE_TIMER: &str = "deadline";

/// What Orchestrators are told.
#[derive(Debug)]
pub struct Settings {
    /// A query may take so long.
    pub deadline: Duration,
    /// Tools of one query at a time.
    pub max_parallel_tools: u32,
    /// How long what is known of a query is kept after its end.
    pub retention: Duration,
    /// The tools there are.
    pub catalogue: Arc<Catalogue>,
    /// Who may call what.
    pub roles: Arc<Roles>,
    /// What models do for questions.
    pub questions: Questions,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            deadline: DEADLINE,
            max_parallel_tools: MAX_PARALLEL_TOOLS,
            retention: RETENTION,
            catalogue: Arc::default(),
            roles: Arc::default(),
            questions: Questions::default(),
        }
    }
}

/// The Orchestrator.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Orchestrator {
    phase: Phase,
    /// What it was accepted as: read when it is first needed, for it never changes.
    #[serde(skip)]
    query: Option<Arc<Query>>,
    /// By the places of the plan's steps.
    steps: Vec<StepState>,
    /// Calls under way.
    calling: u32,
    /// When it must have ended, while it runs.
    deadline: Timestamp,
    /// How much of its time is left, while it does not run.
    left: Duration,
    /// The number of the last event.
    events: u64,
    /// The most calls that were under way at a time.
    peak: u32,
    /// How often it was begun again after it had failed.
    retries: u32,
    /// What models are asked.
    consulting: Consulting,
}

/// What a query waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Phase {
    /// To be accepted.
    #[default]
    Unknown,
    /// A place among those that run.
    Waiting,
    /// Its steps.
    Running,
    /// Somebody who resumes it.
    Paused,
    /// Somebody who approves.
    Approval,
    /// Nothing.
    Ended,
    /// Calls that were told to end. How the query ends then is decided.
    Ending(Outcome),
}

/// How far a step is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum StepState {
    /// Others must end before.
    #[default]
    Waiting,
    /// It is being done.
    Active(Active),
    /// Somebody is asked to approve.
    Asking,
    /// It has ended.
    Ended(End),
    /// Nothing of it is begun any more, and calls of it that are under way were told to end.
    Halting(Active),
}

/// A step that is being done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Active {
    /// One for each repetition that is known of.
    instances: Vec<Instance>,
    /// Attempts that were begun, over all of them.
    attempts: u32,
}

/// One repetition of a step; the only one, if it is not repeated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Instance {
    state: InstanceState,
    /// From 1, once it was begun.
    attempt: u32,
    /// 0 for the step's own call, then its fallbacks.
    alternative: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum InstanceState {
    /// It can be begun.
    #[default]
    Ready,
    /// A call is under way.
    Calling,
    /// It waits for another attempt.
    Backoff,
    Succeeded,
    Failed,
}

/// How a step ended, as far as others need to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum End {
    Succeeded,
    /// Steps that need it go on without it.
    Failed,
    /// Steps that need it are not done.
    FailedForAll,
    Skipped,
    /// It was not done, or not to its end, because the query ended.
    Cut,
}

/// What a query was accepted as, and what follows from it.
#[derive(Debug)]
struct Query {
    submission: Submission,
    graph: Graph,
    /// Why its plan cannot be done at all: what was accepted by another version may be so.
    unsound: Option<String>,
}

impl Query {
    fn plan(&self) -> &Plan {
        &self.submission.plan
    }

    fn step(&self, at: usize) -> &Step {
        &self.submission.plan.steps[at]
    }
}

impl Durable for Orchestrator {
    const KIND: Kind = Kind::new("orchestrator");
    /// Models plan and answer since version 2.
    const VERSION: u16 = 2;
    type Message = OrchestratorMessage;
    type Settings = Settings;

    fn handle(
        &mut self,
        message: OrchestratorMessage,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        match message {
            OrchestratorMessage::Accept(submission) => self.accept(*submission, turn),
            OrchestratorMessage::Begin => self.begin(turn),
            OrchestratorMessage::Answered { call, result } => self.answered(&call, result, turn),
            OrchestratorMessage::AttemptDue(call) => self.attempt_due(&call, turn),
            OrchestratorMessage::ApprovalOver(step) => self.approval_over(step, turn),
            OrchestratorMessage::DeadlineOver => self.deadline_over(turn),
            OrchestratorMessage::Forget => self.forget(turn),
            OrchestratorMessage::Order { by, order } => self.order(&by, order, turn),
            OrchestratorMessage::GoOn => self.go_on(turn),
            OrchestratorMessage::Watch(watcher) => self.watch(watcher, turn),
        }
    }

    fn migrate(version: u16, payload: &[u8]) -> Result<Self, Failure> {
        older::state(version, payload)
    }

    fn migrate_message(version: u16, payload: &[u8]) -> Result<OrchestratorMessage, Failure> {
        older::message(version, payload)
    }
}

impl Orchestrator {
    /// Writes the query down. It is begun when there is a place for it, unless it is only to be asked again.
    fn accept(&mut self, submission: Submission, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        if self.phase != Phase::Unknown {
            return Ok(());
        }
        let settings = turn.settings();
        self.phase = Phase::Waiting;
        self.left = submission.plan.timeout.unwrap_or(settings.deadline).min(settings.deadline);
        self.steps = vec![StepState::Waiting; submission.plan.steps.len()];
        let row = QueryRow {
            id: turn.key().to_owned(),
            name: submission.plan.name.clone(),
            origin: submission.origin.clone(),
            identity: submission.identity.clone(),
            accepted_at: turn.now(),
            warnings: submission.warnings.clone(),
            ..QueryRow::default()
        };
        let id = turn.key().to_owned();
        turn.put(&SUBMISSIONS, &id, &submission);
        turn.put(&crate::record::QUERIES, &id, &row);
        self.tell(Event::Accepted, turn);
        if submission.by_model.plan {
            self.want_plan();
            return Ok(());
        }
        if submission.clarification.is_none() {
            return Ok(());
        }
        let query = self.query(turn)?;
        let reason = "the question is not clear enough to begin".to_owned();
        self.finish(&query, Outcome::Clarification, reason, turn)
    }

    /// Goes on, now that there is a place.
    fn begin(&mut self, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        match self.phase {
            Phase::Waiting => {}
            // It was told before, and keeps the place that it has.
            Phase::Running => return Ok(()),
            // It was taken back, or paused, while it waited, or was not begun again after all: the place is free.
            Phase::Paused | Phase::Approval | Phase::Ended | Phase::Ending(_) => {
                release(turn, None);
                return Ok(());
            }
            // It was forgotten meanwhile: nothing of it is to come back.
            Phase::Unknown => {
                release(turn, None);
                turn.stop();
                return Ok(());
            }
        }
        self.phase = Phase::Running;
        self.deadline = turn.now() + self.left;
        turn.send_at(self.deadline, DEADLINE_TIMER, &OrchestratorMessage::DeadlineOver);
        let (now, deadline) = (turn.now(), self.deadline);
        self.change(turn, |row| {
            row.status = QueryStatus::Running;
            row.started_at.get_or_insert(now);
            row.deadline = Some(deadline);
        })?;
        self.tell(Event::Started, turn);
        // In a turn of its own. Should that be refused, the deadline ends the query, and its place is free.
        let id = turn.key().to_owned();
        turn.send::<Self>(id, &OrchestratorMessage::GoOn);
        Ok(())
    }

    /// Stops the clock and gives the place back.
    fn park(&mut self, phase: Phase, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        if self.phase == Phase::Running {
            self.left = self.deadline.since(turn.now());
            turn.cancel(DEADLINE_TIMER);
            release(turn, None);
        }
        self.phase = phase;
        let status = match phase {
            Phase::Approval => QueryStatus::Approval,
            Phase::Paused => QueryStatus::Paused,
            Phase::Running | Phase::Ending(_) => QueryStatus::Running,
            Phase::Unknown | Phase::Waiting => QueryStatus::Waiting,
            Phase::Ended => QueryStatus::Finished,
        };
        self.change(turn, |row| {
            row.status = status;
            row.deadline = None;
        })
    }

    /// Asks for a place again.
    fn queue(&mut self, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        self.phase = Phase::Waiting;
        let key = self.query(turn)?.submission.identity.key;
        let id = turn.key().to_owned();
        turn.send::<Admission>(ADMISSION, &AdmissionMessage::Return { id, key });
        self.change(turn, |row| row.status = QueryStatus::Waiting)
    }

    /// What it was accepted as.
    fn query(&mut self, turn: &Turn<'_, Self>) -> Result<Arc<Query>, Failure> {
        if let Some(query) = &self.query {
            return Ok(Arc::clone(query));
        }
        let missing = || Failure::Reject(format!("what query {} is was not kept", turn.key()));
        let submission = turn.get(&SUBMISSIONS, turn.key())?.ok_or_else(missing)?;
        let (graph, unsound) = match Graph::of(&submission.plan) {
            Ok(graph) => (graph, None),
            Err(errors) => {
                let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
                let why = format!("its plan has no order: {}", errors.join("; "));
                (Graph::default(), Some(why))
            }
        };
        let query = Arc::new(Query { submission, graph, unsound });
        self.query = Some(Arc::clone(&query));
        Ok(query)
    }
}

/// Whether calls of this step ask a model: it is none of the plan.
pub(crate) const fn asks_model(step: u32) -> bool {
    models::purpose(step).is_some()
}

/// Gives its place among those that run back, and says how it ended, if it has.
fn release(turn: &mut Turn<'_, Orchestrator>, result: Option<Outcome>) {
    let id = turn.key().to_owned();
    turn.send::<Admission>(ADMISSION, &AdmissionMessage::Release { id, result });
}
