//! What is kept of a query: rows that the facade reads, written by its orchestrator alone.

use perennial_runtime::{Table, Timestamp};
use serde::{Deserialize, Serialize};

use crate::conversation::TurnId;
use crate::json::Json;
use crate::plan::{Plan, StepId};
use crate::tool::{Citation, Identity, ToolError};

mod models;
pub(crate) mod older;

pub use models::{ByModel, Exchange, MODEL_CALLS, ModelCall, Purpose};

/// Queries by id; ids rise with the time of acceptance.
pub const QUERIES: Table<QueryRow> = Table::new("queries", 1);
/// What each query was accepted as, by its id; the plan that a model made takes the place of the one that it
/// was accepted with.
pub const SUBMISSIONS: Table<Submission> =
    Table::new("query-submissions", 2).migrated_by(older::submission);
/// What became of steps, by query and [`step_number`].
pub const STEPS: Table<StepRow> = Table::new("query-steps", 1);
/// What happened, by query and number.
pub const EVENTS: Table<EventRow> = Table::new("query-events", 2).migrated_by(older::event);

/// Steps whose attempts were used up, by query and [`step_number`], until somebody retries the query or
/// discards them.
pub const DEAD_STEPS: Table<DeadStep> = Table::new("query-dead-steps", 1);

/// The number of a step's row: itself, or one of its repetitions behind it.
#[must_use]
pub const fn step_number(step: usize, instance: Option<u32>) -> u64 {
    let behind = match instance {
        Some(instance) => instance as u64 + 1,
        None => 0,
    };
    ((step as u64) << 32) | behind
}

/// What is asked for: complete, checked, and independent of whatever it came from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Submission {
    /// What is to be done.
    pub plan: Plan,
    /// An object with a value for every input of the plan.
    pub inputs: Json,
    /// What it came from.
    pub origin: Origin,
    /// On whose behalf.
    pub identity: Identity,
    /// What whoever submits it calls it. Submitted again under the same name, it is the same query.
    pub name: Option<String>,
    /// What makes two queries the same, if their results may be shared: a hash.
    pub cache_key: Option<String>,
    /// What is not wrong but should be known, such as tools that the role may not use.
    pub warnings: Vec<String>,
    /// What was to be done and cannot be. With any, the query has failed, whatever comes of the rest.
    pub problems: Vec<String>,
    /// What is answered to a question that is not clear enough to begin: then nothing is done, unless a model
    /// makes a plan of it.
    pub clarification: Option<String>,
    /// What language models do for it.
    pub by_model: ByModel,
}

/// What a query came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// A plan that the client wrote.
    #[default]
    Plan,
    /// A pipeline of the node's, by name.
    Pipeline(String),
    /// Rules, by the name of their set.
    Rules(String),
    /// A question in words.
    Question(String),
    /// A schedule, by name.
    Schedule(String),
}

impl Origin {
    /// The name of the kind in documents.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Pipeline(_) => "pipeline",
            Self::Rules(_) => "rules",
            Self::Question(_) => "question",
            Self::Schedule(_) => "schedule",
        }
    }
}

/// Who is told what becomes of a query, beside whoever reads its rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Watcher {
    /// A schedule.
    Schedule {
        /// Its name.
        name: String,
        /// The time that the query is done for.
        due: Timestamp,
    },
    /// A conversation.
    Conversation {
        /// Its id.
        id: String,
        /// The turn that the query is.
        turn: TurnId,
    },
}

/// A query, as it is listed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QueryRow {
    /// Its id.
    pub id: String,
    /// The name of its plan.
    pub name: String,
    /// What it came from.
    pub origin: Origin,
    /// On whose behalf.
    pub identity: Identity,
    /// How far it is.
    pub status: QueryStatus,
    /// How it ended, once it has.
    pub outcome: Option<Outcome>,
    /// Why it ended so, if that needs a reason.
    pub reason: String,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// When it was begun.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// When it must have ended; moves on while it is paused or waits for a person.
    pub deadline: Option<Timestamp>,
    /// What it resulted in, by name.
    pub outputs: Json,
    /// The answer in words.
    pub answer: Option<Answer>,
    /// What is not wrong but should be known.
    pub warnings: Vec<String>,
    /// The most tools that it had called at a time.
    pub parallel_peak: u32,
    /// How often it was begun again after it had failed.
    pub retries: u32,
}

/// How far a query is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum QueryStatus {
    /// It waits for a place among those that run.
    #[default]
    Waiting,
    /// Steps are done.
    Running,
    /// Nothing is started until somebody resumes it.
    Paused,
    /// Nothing can be done before a person has approved.
    Approval,
    /// It has ended. How is another question.
    Finished,
}

impl QueryStatus {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Waiting, Self::Running, Self::Paused, Self::Approval, Self::Finished];

    /// The name in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Approval => "approval",
            Self::Finished => "finished",
        }
    }
}

/// How a query ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Every step that was to be done succeeded.
    Succeeded,
    /// A step failed, or its time was over.
    Failed,
    /// It was taken back.
    Cancelled,
    /// A gate was not passed: the evidence does not carry an answer.
    Abstained,
    /// There is an answer, but not of the quality that was asked for.
    Degraded,
    /// The question is not clear enough to begin.
    Clarification,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::Abstained,
        Self::Degraded,
        Self::Clarification,
    ];

    /// The name in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Abstained => "abstained",
            Self::Degraded => "degraded",
            Self::Clarification => "clarification",
        }
    }
}

/// An answer in words, and what it rests on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The words.
    pub text: String,
    /// What wrote it: `template`, or the name of a model.
    pub composed_by: String,
    /// What its steps have found, each once.
    pub citations: Vec<Citation>,
}

/// What became of a step, or of one of its repetitions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepRow {
    /// Its name.
    pub id: StepId,
    /// Its place in the plan.
    pub place: u32,
    /// Of a step that is repeated: which time, from 0. None for the step as a whole.
    pub instance: Option<u32>,
    /// The tool that was called last; empty if none.
    pub tool: String,
    /// How far it is.
    pub status: StepStatus,
    /// Attempts that were begun.
    pub attempts: u32,
    /// When it was begun.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// What it resulted in, once it has succeeded.
    pub result: Option<Json>,
    /// Why it failed.
    pub error: Option<ToolError>,
    /// Why it was skipped, or what else there is to say.
    pub reason: String,
    /// What the result rests on.
    pub citations: Vec<Citation>,
    /// What is not wrong but should be known.
    pub warnings: Vec<String>,
    /// The tool that it was to call, if another one stood in for it.
    pub fallback_from: Option<String>,
}

/// How far a step is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum StepStatus {
    /// Others must end before.
    #[default]
    Waiting,
    /// It is being done.
    Running,
    /// It was done, and there is a result.
    Succeeded,
    /// It was done, and there is none.
    Failed,
    /// It was not to be done.
    Skipped,
    /// It was taken back while it was being done.
    Cancelled,
    /// The query ended before it was its turn.
    NotRun,
    /// It was told to end, and calls of it are under way still.
    Halting,
}

impl StepStatus {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Waiting,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Skipped,
        Self::Cancelled,
        Self::NotRun,
        Self::Halting,
    ];

    /// The name in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
            Self::NotRun => "not_run",
            Self::Halting => "halting",
        }
    }
}

/// A step whose attempts were used up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadStep {
    /// Of which query.
    pub query: String,
    /// Which step.
    pub step: StepId,
    /// What was called last.
    pub tool: String,
    /// Attempts that were begun.
    pub attempts: u32,
    /// What the last one ended with.
    pub error: ToolError,
    /// When.
    pub at: Timestamp,
}

/// Something that happened in a query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventRow {
    /// Its number within the query, from 1, without gaps.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// What.
    pub event: Event,
}

/// What can happen in a query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// It was accepted, and is stored.
    Accepted,
    /// It was begun, or begun again.
    Started,
    /// An attempt at a step was begun.
    StepStarted {
        /// Which step.
        step: StepId,
        /// Which of its repetitions, if it is repeated.
        instance: Option<u32>,
        /// From 1.
        attempt: u32,
        /// What is called; empty if nothing is.
        tool: String,
    },
    /// An attempt at a step failed, and there will be another one.
    AttemptFailed {
        /// Which step.
        step: StepId,
        /// Which of its repetitions, if it is repeated.
        instance: Option<u32>,
        /// From 1.
        attempt: u32,
        /// What went wrong.
        error: ToolError,
        /// When it is tried again.
        again_at: Timestamp,
    },
    /// A step, or one of its repetitions, has ended.
    StepEnded {
        /// Which step.
        step: StepId,
        /// Which of its repetitions; none for the step as a whole.
        instance: Option<u32>,
        /// How.
        status: StepStatus,
        /// Why, if that needs a reason.
        reason: String,
    },
    /// Somebody is asked to approve.
    ApprovalWanted {
        /// Which step.
        step: StepId,
        /// What is asked of them.
        prompt: String,
        /// It has failed after this.
        until: Timestamp,
    },
    /// Somebody approved, or refused to.
    Decided {
        /// Which step.
        step: StepId,
        /// Who.
        by: String,
        /// Which way.
        approved: bool,
        /// What they had to say.
        note: String,
    },
    /// Somebody paused it.
    Paused {
        /// Who.
        by: String,
    },
    /// Somebody resumed it.
    Resumed {
        /// Who.
        by: String,
    },
    /// Somebody had it tried again.
    Retried {
        /// Who.
        by: String,
    },
    /// It has ended.
    Finished {
        /// How.
        outcome: Outcome,
        /// Why, if that needs a reason.
        reason: String,
    },
    /// A model is asked.
    ModelAsked {
        /// What for.
        purpose: Purpose,
        /// From 1.
        attempt: u32,
    },
    /// A model was asked, and it is known what came of it.
    ModelAnswered {
        /// What for.
        purpose: Purpose,
        /// From 1.
        attempt: u32,
        /// The one that answered, by its name in the configuration; empty if none did.
        model: String,
        /// Why nothing is made of it; empty if something is.
        reason: String,
    },
    /// No attempt at a call is left, and another tool stands in for it.
    StoodIn {
        /// Which step.
        step: StepId,
        /// Which of its repetitions, if it is repeated.
        instance: Option<u32>,
        /// Attempts at the call that failed.
        attempt: u32,
        /// What went wrong with the last one.
        error: ToolError,
        /// What is called instead.
        tool: String,
    },
    /// Its end is decided. It comes when the calls under way, which are told to end, have.
    Ending {
        /// How.
        outcome: Outcome,
        /// Why.
        reason: String,
    },
}

impl Event {
    /// The name in documents and streams.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Started => "started",
            Self::StepStarted { .. } => "step_started",
            Self::AttemptFailed { .. } => "attempt_failed",
            Self::StepEnded { .. } => "step_ended",
            Self::ApprovalWanted { .. } => "approval_wanted",
            Self::Decided { .. } => "decided",
            Self::Paused { .. } => "paused",
            Self::Resumed { .. } => "resumed",
            Self::Retried { .. } => "retried",
            Self::Finished { .. } => "finished",
            Self::ModelAsked { purpose: Purpose::Plan, .. } => "planning_started",
            Self::ModelAsked { purpose: Purpose::Answer, .. } => "answering_started",
            Self::ModelAnswered { purpose: Purpose::Plan, .. } => "planning_ended",
            Self::ModelAnswered { purpose: Purpose::Answer, .. } => "answering_ended",
            Self::StoodIn { .. } => "stood_in",
            Self::Ending { .. } => "ending",
        }
    }
}
