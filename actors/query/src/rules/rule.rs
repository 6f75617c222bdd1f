//! What a rule is.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::condition::Condition;
use crate::plan::{OnFailure, Retry, StepId, ToolCall};

/// Rules that are tried on the same facts, in the order of their documents.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RuleSet {
    /// The rules.
    pub rules: Vec<Rule>,
}

/// Names a rule within its set; of the form of a step's id, for it begins the ids of its steps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RuleId(pub String);

impl RuleId {
    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl From<&str> for RuleId {
    fn from(id: &str) -> Self {
        Self(id.to_owned())
    }
}

/// If the condition is true, the actions are to be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Its name in plans and reports.
    pub id: RuleId,
    /// For people.
    pub name: String,
    /// For people.
    pub description: String,
    /// Which rule's actions come first.
    pub priority: Priority,
    /// A rule that is not enabled never fires.
    pub enabled: bool,
    /// What must be true.
    pub condition: Condition,
    /// What is to be done then, in the order of the document.
    pub actions: Vec<RuleAction>,
    /// Whoever gives the facts must have one of these roles. Without any, everybody may.
    pub required_roles: Vec<String>,
}

/// How important a rule is: the higher the number, the sooner its actions start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Priority(pub i32);

impl Priority {
    /// What can wait.
    pub const LOW: Self = Self(1);
    /// What a rule has unless it says otherwise.
    pub const MEDIUM: Self = Self(5);
    /// What should not wait.
    pub const HIGH: Self = Self(10);
    /// What must not wait.
    pub const CRITICAL: Self = Self(15);

    /// The priorities that have names.
    pub const NAMED: [(&str, Self); 4] = [
        ("low", Self::LOW),
        ("medium", Self::MEDIUM),
        ("high", Self::HIGH),
        ("critical", Self::CRITICAL),
    ];

    /// The priority of this name, or of this number.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let named = Self::NAMED.into_iter().find(|(name, _)| *name == text);
        named.map(|(_, priority)| priority).or_else(|| text.parse().ok().map(Self))
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self::MEDIUM
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMED.iter().find(|(_, priority)| priority == self) {
            Some((name, _)) => formatter.write_str(name),
            None => write!(formatter, "{}", self.0),
        }
    }
}

/// A call that a rule has made when it fires.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleAction {
    /// Its name within the rule.
    pub id: StepId,
    /// What is called, and with what: templates see `facts.name` and `steps.id.result` of the rule's own
    /// actions. `${name}` is `{{ facts.name }}`; `$${` stands for the characters `${`.
    pub call: ToolCall,
    /// Actions of the rule that must have ended before, beside those that it refers to.
    pub needs: Vec<StepId>,
    /// For one attempt, if it is less than the tool allows.
    pub timeout: Option<Duration>,
    /// What is done about an attempt that fails.
    pub retry: Retry,
    /// What is done when no attempt is left. Unlike a step, an action is [`OnFailure::Skip`] unless it says
    /// otherwise: rules do not know of each other, so that one's failure does not stop another's actions.
    pub on_failure: OnFailure,
}

impl RuleAction {
    /// An action with everything else at its default.
    #[must_use]
    pub fn new(id: impl Into<String>, call: ToolCall) -> Self {
        Self {
            id: StepId(id.into()),
            call,
            needs: Vec::new(),
            timeout: None,
            retry: Retry::default(),
            on_failure: OnFailure::Skip,
        }
    }
}
