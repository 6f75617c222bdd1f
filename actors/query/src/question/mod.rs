//! Questions in words: a table of intents says what can be asked and which plan answers it. Pure.
//!
//! A table is a document in YAML:
//!
//! ```yaml
//! default: documents             # the intent of a question that is about none
//! examples: [Who is Suzuki?]     # offered to who has to ask again
//! time:                          # words for a time become `inputs.from`, `inputs.to` and `inputs.period`
//!   zone: America/Montreal       # where it is midnight; UTC unless it is said
//!   default: this season         # what is meant by a question without such a word; nothing unless it is said
//!   words:                       # beside today, yesterday, last night, this and last week, month and year
//!     - {say: [this season], unit: year, begins: 10-01}
//!     - {say: [last season], unit: year, begins: 10-01, back: 1}
//! tools:                         # who consumes something comes after all that produce it
//!   metrics: {consumes: [games], produces: [figures]}
//!   schedule: {produces: [games]}
//! intents:
//!   - id: player
//!     description: How a player does
//!     keywords: [performing, how good]      # words and phrases, each of which counts once
//!     patterns: ['stats for (?P<name>\w+)'] # the same as regular expressions; groups become inputs
//!     priority: 3                           # of several intents the steps of the lowest come first; 100
//!     roles: [coach, analyst]               # who may ask it; everybody unless it is said
//!     steps:                                # as in pipelines; one of two intents is the same in both
//!       - {id: stats, tool: table, arguments: {name: "{{ inputs.name }}", from: "{{ inputs.from }}"}}
//!     cache: false                          # no answer of a while ago is given again; one is unless it is said
//!     min_evidence: 1                       # no answer on fewer citations
//!     min_confidence: 0.7                   # no answer unless a result has a `confidence` as high
//!     answer: "{{ steps.stats.result.text }} [[table]]"
//!   - id: documents
//!     steps: [{id: search, tool: search, arguments: {query: "{{ inputs.question }}"}}]
//! ```
//!
//! A question is about every intent of which it has a keyword or a pattern. The plan is made of the steps of all
//! of them; steps that do not refer to each other are done at the same time. It is named after the intent of
//! which the question has the most, whose answer comes first.
//!
//! An input without a value is `null`.

mod batches;
mod builtin;
mod compose;
mod follow;
mod inspect;
mod intents;
mod key;
mod period;
mod read;
mod words;

pub mod answer;
pub mod clarify;

use std::sync::Arc;

use perennial_runtime::Timestamp;
use serde_json::{Map, Value};

pub use self::builtin::built_in;
pub use self::clarify::Clarification;
pub use self::compose::Denied;
pub(crate) use self::compose::shown;
pub use self::follow::{FollowUp, Reading, follow_up};
pub use self::intents::Table;
pub use self::key::cache_key;
pub use self::read::{Read, read};
pub use self::words::normalised;

use self::clarify::LONGEST;
use self::compose::{Composed, QUESTION};
use self::intents::{Classified, Intent};
use crate::json::Json;
use crate::plan::Plan;
use crate::record::Submission;
use crate::roles::Roles;
use crate::tool::{Catalogue, Identity};

/// What is known of a node whoever asks it.
#[derive(Clone, Debug, Default)]
pub struct Planner {
    /// What can be asked.
    pub table: Table,
    /// Who may call what.
    pub roles: Arc<Roles>,
    /// The tools there are.
    pub catalogue: Arc<Catalogue>,
}

/// What follows from a question.
#[derive(Clone, Debug, PartialEq)]
pub enum Planned {
    /// Nothing is done: it has to be asked again.
    Clarification(Clarification),
    /// This is done.
    Plan(Box<PlannedQuestion>),
}

impl Planned {
    /// What is submitted: on nobody's behalf yet, and shared with nobody.
    #[must_use]
    pub fn submission(self) -> Submission {
        match self {
            Self::Clarification(clarification) => Submission {
                plan: Plan { name: QUESTION.to_owned(), ..Plan::default() },
                inputs: Json(Value::Object(Map::new())),
                clarification: Some(clarification.text),
                ..Submission::default()
            },
            Self::Plan(planned) => Submission {
                warnings: planned.denied.iter().map(ToString::to_string).collect(),
                plan: planned.plan,
                inputs: planned.inputs,
                ..Submission::default()
            },
        }
    }
}

/// What is done for a question.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedQuestion {
    /// A plan that can be done.
    pub plan: Plan,
    /// A value for each of its inputs.
    pub inputs: Json,
    /// What is not done, though the question is about it.
    pub denied: Vec<Denied>,
    /// The intents that something is done for; the one that the question says most of comes first.
    pub intents: Vec<String>,
    /// Whether the answer may be given again to who asks the same: no intent says otherwise, and no tool
    /// changes the world.
    pub shareable: bool,
}

/// Why nothing follows from a question.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {
    /// It is empty or too long; its characters.
    #[error("a question has 1 to {LONGEST} characters, not {0}; ask it in fewer words")]
    Length(usize),
    /// Whoever asks may have nothing of it done.
    #[error("nothing of the question may be done for the role `{role}`: {}", list(.denied))]
    Denied {
        /// The role that asked.
        role: String,
        /// All that is not done.
        denied: Vec<Denied>,
    },
    /// What would be done is no plan: everything that is wrong with it.
    #[error("the plan of the question cannot be done: {}", .0.join("; "))]
    Invalid(Vec<String>),
}

fn list(denied: &[Denied]) -> String {
    denied.iter().map(ToString::to_string).collect::<Vec<String>>().join("; ")
}

/// What follows from `question`, asked by `identity` at `now`.
///
/// # Errors
/// [`QuestionError`].
pub fn plan_question(
    planner: &Planner,
    question: &str,
    identity: &Identity,
    now: Timestamp,
) -> Result<Planned, QuestionError> {
    follow_up(planner, question, None, identity, now).map(|read| read.planned)
}

impl Planner {
    /// What is done for the intents that the question is about, or else for the default one.
    fn chosen<'t>(
        &'t self,
        classified: Classified<'t>,
        identity: &Identity,
        denied: &mut Vec<Denied>,
    ) -> Result<Option<Composed<'t>>, QuestionError> {
        let Classified { mut intents, winner } = classified;
        intents.retain(|intent| self.admits(intent, identity, denied));
        let found = match winner {
            Some(winner) => self.compose(&intents, winner, identity, denied)?,
            None => None,
        };
        match self.table.by_default() {
            Some(default) if found.is_none() && self.admits(default, identity, denied) => {
                self.compose(&[default], default, identity, denied)
            }
            Some(_) | None => Ok(found),
        }
    }

    fn admits(&self, intent: &Intent, identity: &Identity, denied: &mut Vec<Denied>) -> bool {
        let admits = intent.admits(identity, &self.roles);
        let (id, roles) = (intent.id.clone(), intent.roles.clone());
        let refused = Denied::Intent { intent: id, roles };
        if !admits && !denied.contains(&refused) {
            denied.push(refused);
        }
        admits
    }
}

#[cfg(test)]
mod tests;
