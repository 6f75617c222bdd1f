//! The one plan type: whatever a query came from, it is run as this.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::json::Json;

/// Attempts at a step unless it says otherwise. One more than once: what fails in passing is common.
pub const ATTEMPTS: u32 = 3;
/// The first wait between two attempts; it doubles.
pub const BACKOFF_BASE: Duration = Duration::from_secs(1);
/// The longest wait between two attempts.
pub const BACKOFF_CAP: Duration = Duration::from_secs(60);
/// The share of a wait by which chance shortens or lengthens it.
pub const JITTER: f64 = 0.25;
/// Elements of an `each` and iterations of a `while`, unless the step says otherwise.
pub const MAX_ITERATIONS: u32 = 10;
/// Elements of an `each` under way at a time, unless the step says otherwise.
pub const MAX_PARALLEL: u32 = 10;
/// How long an approval is waited for, unless the step says otherwise.
pub const APPROVAL_WAIT: Duration = Duration::from_secs(3600);

/// What is to be done for a query: steps that refer to each other without a cycle.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// For people.
    pub name: String,
    /// For people.
    pub description: String,
    /// What the caller may or must give.
    pub inputs: Vec<Input>,
    /// In the order of the document. Routes lead forward in it.
    pub steps: Vec<Step>,
    /// Names and values of what it results in; strings may be templates.
    pub outputs: Vec<(String, Json)>,
    /// A template of the answer in words, if the plan is one of a question.
    pub answer: Option<String>,
    /// For all of it, if it is less than the node allows.
    pub timeout: Option<Duration>,
    /// Tools at a time, if it is less than the node allows.
    pub max_parallel: Option<u32>,
}

impl Plan {
    /// The tools that it may call, fallbacks included, as often as they are named.
    pub fn tools(&self) -> impl Iterator<Item = &str> {
        let calls = self.steps.iter().flat_map(|step| (0..).map_while(|at| step.call(at)));
        calls.map(|call| call.tool.as_str())
    }
}

/// Names a step within its plan: a letter, then letters, digits and underscores.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StepId(pub String);

impl StepId {
    /// Whether `text` can name a step.
    #[must_use]
    pub fn is_valid(text: &str) -> bool {
        let mut characters = text.chars();
        characters.next().is_some_and(|first| first.is_ascii_alphabetic())
            && characters.all(|next| next.is_ascii_alphanumeric() || next == '_')
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl From<&str> for StepId {
    fn from(id: &str) -> Self {
        Self(id.to_owned())
    }
}

/// A type of JSON values, as inputs and parameters of tools declare it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ValueType {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// Any number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A list.
    Array,
    /// Names and values.
    Object,
    /// Any of them.
    Any,
}

/// A value that the caller gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// Its name, as in `{{ inputs.name }}`; of the form of a step's id.
    pub name: String,
    /// Its type.
    pub value_type: ValueType,
    /// For people.
    pub description: String,
    /// What it is if the caller gives none. Without it, it must be given.
    pub default: Option<Json>,
}

/// A part of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its name.
    pub id: StepId,
    /// What it does.
    pub work: Work,
    /// Steps that must have ended before, beside those that it refers to.
    pub needs: Vec<StepId>,
    /// An expression; the step is skipped unless it is true. One that cannot be evaluated is a failure.
    pub condition: Option<String>,
    /// How often it is done.
    pub repeat: Repeat,
    /// What is done about an attempt that fails.
    pub retry: Retry,
    /// For one attempt, if it is less than the tool allows.
    pub timeout: Option<Duration>,
    /// Where to go on after it succeeded; what stands between is skipped.
    pub on_success: Option<StepId>,
    /// Where to go on if the condition is false; what stands between is skipped.
    pub on_false: Option<StepId>,
    /// What is done when no attempt is left.
    pub on_failure: OnFailure,
}

impl Step {
    /// A step with everything else at its default.
    #[must_use]
    pub fn new(id: impl Into<String>, work: Work) -> Self {
        Self {
            id: StepId(id.into()),
            work,
            needs: Vec::new(),
            condition: None,
            repeat: Repeat::Once,
            retry: Retry::default(),
            timeout: None,
            on_success: None,
            on_false: None,
            on_failure: OnFailure::Fail,
        }
    }
}

impl Step {
    /// What it calls: its own call for 0, then its fallbacks.
    #[must_use]
    pub fn call(&self, alternative: u32) -> Option<&ToolCall> {
        let Work::Call(own) = &self.work else { return None };
        let Some(fallback) = alternative.checked_sub(1) else { return Some(own) };
        match &self.on_failure {
            OnFailure::Fallback(calls) => calls.get(fallback as usize),
            OnFailure::Fail | OnFailure::Continue | OnFailure::Skip | OnFailure::Route(_) => None,
        }
    }
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Work {
    /// Has a tool called.
    Call(ToolCall),
    /// Gives a value; strings in it may be templates.
    Value(Json),
    /// Ends the query as abstained, unless the expression `that` is true.
    Gate {
        /// What must hold.
        that: String,
        /// Why the query is given up otherwise, for people; a template.
        reason: String,
    },
    /// Waits for a person.
    Approval {
        /// What is asked of them; a template.
        prompt: String,
        /// How long.
        wait: Duration,
    },
}

/// A call of a tool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The tool's name.
    pub tool: String,
    /// Its arguments by name: an object. A string that is one `{{ expression }}` has the type of its value.
    pub arguments: Json,
}

/// How often a step is done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Repeat {
    /// Once.
    #[default]
    Once,
    /// For each element of a list, of which the step sees `item` and `loop`.
    Each {
        /// A list, or a string that is one `{{ expression }}` of which the value is one.
        items: Json,
        /// Under way at a time.
        max_parallel: u32,
        /// A longer list is refused.
        max_items: u32,
    },
    /// One after the other while the expression is true, which sees `loop` and `last`.
    While {
        /// The expression.
        condition: String,
        /// The step fails if the expression is still true after as many.
        max_iterations: u32,
    },
}

/// What is done about an attempt that fails.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// Attempts in all, at least 1.
    pub attempts: u32,
    /// The first wait; it doubles.
    pub base: Duration,
    /// The longest wait, unless the world asks for a longer one.
    pub cap: Duration,
    /// The share of a wait by which chance shortens or lengthens it, 0 to 1.
    pub jitter: f64,
    /// The kinds of errors that are tried again; without any, those that a tool holds to pass.
    pub kinds: Vec<ErrorKind>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: ATTEMPTS,
            base: BACKOFF_BASE,
            cap: BACKOFF_CAP,
            jitter: JITTER,
            kinds: Vec::new(),
        }
    }
}

impl Retry {
    /// The wait after attempt number `attempt`, from 1; `chance` is 0 to 1. The world's own wish is the least.
    #[must_use]
    pub fn wait(&self, attempt: u32, chance: f64, asked: Option<Duration>) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        let wait = self.base.saturating_mul(1_u32 << doublings).min(self.cap);
        let factor = 1.0 + self.jitter.clamp(0.0, 1.0) * (2.0 * chance - 1.0);
        wait.mul_f64(factor).max(asked.unwrap_or_default())
    }
}

/// What is done when no attempt of a step is left.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum OnFailure {
    /// Nothing more is started, and the query has failed.
    #[default]
    Fail,
    /// The other steps go on; the query has failed all the same.
    Continue,
    /// The steps that need this one are skipped, the others go on; the query has failed all the same.
    Skip,
    /// Goes on at another step; what stands between is skipped, and the query has failed all the same.
    Route(StepId),
    /// Other calls are tried, one after the other, each with the step's attempts.
    Fallback(Vec<ToolCall>),
}

/// Kinds of errors of tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// It took longer than it may.
    Timeout,
    /// What the tool rests on could not be reached, or is out of order.
    Unavailable,
    /// The tool or the world asked to come again later.
    Overloaded,
    /// The tool did what it was asked to, and that failed.
    Failed,
    /// The arguments are not what the tool takes.
    Invalid,
    /// It may not be called so.
    Denied,
    /// What was asked for is not there.
    NotFound,
    /// It was taken back.
    Cancelled,
    /// It may have happened, and nothing shows whether it did.
    Unknown,
}

impl ErrorKind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Timeout,
        Self::Unavailable,
        Self::Overloaded,
        Self::Failed,
        Self::Invalid,
        Self::Denied,
        Self::NotFound,
        Self::Cancelled,
        Self::Unknown,
    ];

    /// The name in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::Overloaded => "overloaded",
            Self::Failed => "failed",
            Self::Invalid => "invalid",
            Self::Denied => "denied",
            Self::NotFound => "not_found",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
        }
    }

    /// Whether it may pass by itself, so that another attempt makes sense.
    #[must_use]
    pub const fn passes(self) -> bool {
        match self {
            Self::Timeout | Self::Unavailable | Self::Overloaded => true,
            Self::Failed
            | Self::Invalid
            | Self::Denied
            | Self::NotFound
            | Self::Cancelled
            | Self::Unknown => false,
        }
    }
}
