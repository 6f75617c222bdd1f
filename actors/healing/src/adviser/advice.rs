//! What comes of asking a model about an incident: kept in its journal, shown, and never obeyed.

use serde::{Deserialize, Serialize};

use crate::model::{Action, Severity};

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Advice {
    /// A model answered in the form it was asked for.
    Given(Opinion),
    /// A model answered, and not so; why that was refused.
    Refused(String),
    /// None answered.
    Unanswered(String),
    /// None was asked.
    NotAsked {
        /// What kept it.
        by: Obstacle,
        /// For people.
        why: String,
    },
}

impl Advice {
    /// The name in documents and labels; of one that was not asked, what kept it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Given(_) => "given",
            Self::Refused(_) => "refused",
            Self::Unanswered(_) => "unanswered",
            Self::NotAsked { by, .. } => by.as_str(),
        }
    }
}

/// What kept a model from being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Obstacle {
    /// The tokens of the hour are spent.
    BudgetSpent,
    /// None has answered for several times in a row.
    BreakerOpen,
    /// Too many questions are under way.
    Busy,
    /// The container's label forbids it.
    Forbidden,
    /// There is no evidence to show.
    NoEvidence,
}

impl Obstacle {
    /// Each of them.
    pub const ALL: [Self; 5] =
        [Self::BudgetSpent, Self::BreakerOpen, Self::Busy, Self::Forbidden, Self::NoEvidence];

    /// The name in documents and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BudgetSpent => "budget_spent",
            Self::BreakerOpen => "breaker_open",
            Self::Busy => "busy",
            Self::Forbidden => "forbidden",
            Self::NoEvidence => "no_evidence",
        }
    }
}

/// What a model thinks. It has passed every check of form, and none of truth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Opinion {
    /// The model's name in the configuration.
    pub model: String,
    /// The kind of cause.
    pub cause: Cause,
    /// The diagnosis, in the model's words.
    pub text: String,
    /// 0 to 1, as the model sees it.
    pub confidence: f64,
    /// How bad, as the model sees it; changes nothing.
    pub severity: Severity,
    /// What it would do, if anything.
    pub action: Option<Action>,
    /// The evidence it names, by the ids under which it was shown.
    pub evidence: Vec<String>,
    /// Read and written.
    pub tokens: u64,
    /// SHA-256 of all that it answered, in hexadecimal.
    pub answer_hash: String,
}

/// A kind of cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A defect of the program.
    ProgramError,
    /// Settings, arguments or files that are wrong or missing.
    Configuration,
    /// Something that it needs is away: a database, a service, a name.
    Dependency,
    /// Not enough memory.
    Memory,
    /// Not enough CPU, or too much of it used.
    Cpu,
    /// A disk that is full or out of order.
    Disk,
    /// The network.
    Network,
    /// A right that it does not have.
    Permission,
    /// Somebody's doing.
    Operator,
    /// The evidence does not tell.
    Unknown,
}

impl Cause {
    /// Each of them.
    pub const ALL: [Self; 10] = [
        Self::ProgramError,
        Self::Configuration,
        Self::Dependency,
        Self::Memory,
        Self::Cpu,
        Self::Disk,
        Self::Network,
        Self::Permission,
        Self::Operator,
        Self::Unknown,
    ];

    /// The name in documents and in the answers of models.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ProgramError => "program_error",
            Self::Configuration => "configuration",
            Self::Dependency => "dependency",
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Disk => "disk",
            Self::Network => "network",
            Self::Permission => "permission",
            Self::Operator => "operator",
            Self::Unknown => "unknown",
        }
    }
}
