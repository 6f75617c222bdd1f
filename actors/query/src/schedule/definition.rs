//! What is to be done when: as it is written in the configuration, and as it was checked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use perennial_runtime::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::times::{COUNTED, Times};
use crate::check::Finding;
use crate::inputs;
use crate::json::Json;
use crate::names::closest;
use crate::pipeline::{self, Compiled};
use crate::plan::Plan;
use crate::question::{Planned, Planner, QuestionError, plan_question};
use crate::record::{Origin, Submission};
use crate::roles::Roles;
use crate::tool::Identity;

/// Times that are made up for under `catch_up = "all"`, unless it is said.
pub const AT_MOST: usize = 10;
/// The input by which a plan learns which time of its schedule it is done for.
pub const DUE: &str = "due";

/// `[[query.schedule]]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Written {
    /// Its name: letters, digits, `_` and `-`.
    pub name: String,
    /// When: an expression of five fields, or of six with seconds before them.
    pub cron: String,
    /// Where the expression holds: a time zone of the IANA database.
    pub zone: String,
    /// A pipeline of the node's that is done then.
    pub pipeline: String,
    /// Values for its inputs.
    pub inputs: BTreeMap<String, Value>,
    /// Instead of a pipeline: a question in words.
    pub question: String,
    /// In which role.
    pub role: String,
    /// Whose rows may be seen.
    pub teams: Vec<String>,
    /// What becomes of times at which the node did not run. Must be said.
    pub catch_up: Option<CatchUp>,
    /// As many of them are made up for under `all`: the latest.
    pub at_most: usize,
    /// What becomes of a time at which the query of an earlier one has not ended.
    pub overlap: Overlap,
    /// Whether it is done at all.
    pub enabled: bool,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            name: String::new(),
            cron: String::new(),
            zone: "UTC".to_owned(),
            pipeline: String::new(),
            inputs: BTreeMap::new(),
            question: String::new(),
            role: String::new(),
            teams: Vec::new(),
            catch_up: None,
            at_most: AT_MOST,
            overlap: Overlap::default(),
            enabled: true,
        }
    }
}

/// What becomes of times at which the node did not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CatchUp {
    /// Nothing.
    Skip,
    /// The latest is made up for.
    Once,
    /// Each is made up for, up to a bound.
    All,
}

impl CatchUp {
    /// The name in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Once => "once",
            Self::All => "all",
        }
    }
}

/// What becomes of a time at which the query of an earlier one has not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overlap {
    /// Nothing is done.
    #[default]
    Skip,
    /// There are two queries then.
    Allow,
}

impl Overlap {
    /// The name in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Allow => "allow",
        }
    }
}

/// What is wrong with schedules by themselves: which one, and why.
pub(crate) fn problems(written: &[Written], roles: &Roles) -> Vec<String> {
    let mut problems = Vec::new();
    let mut names = BTreeSet::new();
    for (at, one) in written.iter().enumerate() {
        let place = if one.name.is_empty() { format!("[{at}]") } else { format!("`{}`", one.name) };
        let mut own = Vec::new();
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if one.name.is_empty() || one.name.len() > 64 || !one.name.chars().all(plain) {
            own.push("name: must be 1 to 64 letters, digits, `_` and `-`".to_owned());
        } else if !names.insert(&one.name) {
            own.push("name: there is another schedule of this name".to_owned());
        }
        own.extend(Times::read(&one.cron, &one.zone).err().into_iter().flatten());
        own.extend(one.own_problems(roles));
        problems.extend(own.into_iter().map(|why| format!("{place}: {why}")));
    }
    problems
}

impl Written {
    fn own_problems(&self, roles: &Roles) -> Vec<String> {
        let mut problems = Vec::new();
        if self.pipeline.is_empty() == self.question.is_empty() {
            problems
                .push("say what to do with exactly one of `pipeline` and `question`".to_owned());
        }
        if !self.question.is_empty() && !self.inputs.is_empty() {
            problems.push("inputs: a question takes none: everything is in its words".to_owned());
        }
        if !roles.0.contains_key(&self.role) {
            let known = || roles.0.keys().map(String::as_str);
            let meant = closest(&self.role, known()).map_or_else(
                || format!("there are {}", known().collect::<Vec<&str>>().join(", ")),
                |name| format!("did you mean `{name}`?"),
            );
            problems.push(format!("role: there is no role `{}`; {meant}", self.role));
        }
        if self.catch_up.is_none() {
            let why = "catch_up: say what becomes of times at which the node did not run: `skip`, `once` or `all`";
            problems.push(why.to_owned());
        }
        if self.at_most == 0 || self.at_most as u64 > COUNTED {
            problems.push(format!("at_most: must be from 1 to {COUNTED}, not {}", self.at_most));
        }
        problems
    }
}

/// A schedule that can be kept.
#[derive(Clone, Debug)]
pub struct Definition {
    /// As it was written.
    pub written: Written,
    /// When it is due.
    pub times: Times,
    /// What is done.
    work: Work,
}

/// What is done when a schedule is due.
#[derive(Clone, Debug)]
enum Work {
    /// This, but for the time.
    Plan(Box<Submission>),
    /// What follows from the question by then.
    Question(String),
}

/// The schedules of a node, by name.
#[derive(Clone, Debug, Default)]
pub struct Definitions {
    /// By name.
    pub by_name: BTreeMap<String, Definition>,
    /// What makes plans of questions.
    pub planner: Arc<Planner>,
}

/// Something that is wrong with a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which schedule, and what.
    pub text: String,
    /// Whether its pipeline cannot be done by anybody, which whoever looks at pipelines finds too.
    pub of_pipeline: bool,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl From<String> for Problem {
    fn from(text: String) -> Self {
        Self { text, of_pipeline: false }
    }
}

/// Checks `written` against what the node is: its roles, its tools, its intents, and its pipelines, of which
/// `pipeline` gives the text.
///
/// # Errors
/// Everything that is wrong: which schedule, and why.
pub fn define(
    written: &[Written],
    planner: Arc<Planner>,
    pipeline: impl Fn(&str) -> Result<String, String>,
) -> Result<Definitions, Vec<Problem>> {
    let mut problems: Vec<Problem> =
        problems(written, &planner.roles).into_iter().map(Problem::from).collect();
    let mut by_name = BTreeMap::new();
    for one in written {
        let Ok(times) = Times::read(&one.cron, &one.zone) else { continue };
        match work(one, &planner, &pipeline) {
            Ok(work) => {
                let definition = Definition { written: one.clone(), times, work };
                by_name.insert(one.name.clone(), definition);
            }
            Err(own) => {
                let named = |Problem { text, of_pipeline }| Problem {
                    text: format!("`{}`: {text}", one.name),
                    of_pipeline,
                };
                problems.extend(own.into_iter().map(named));
            }
        }
    }
    if problems.is_empty() { Ok(Definitions { by_name, planner }) } else { Err(problems) }
}

fn work(
    one: &Written,
    planner: &Planner,
    pipeline: impl Fn(&str) -> Result<String, String>,
) -> Result<Work, Vec<Problem>> {
    let (name, one_problem) = (&one.pipeline, |text: String| vec![Problem::from(text)]);
    if name.is_empty() {
        // Questions that nobody understands are refused before they are due.
        let planned = plan_question(planner, &one.question, &one.identity(), Timestamp::EPOCH);
        return match planned.map_err(|error| one_problem(format!("question: {error}")))? {
            Planned::Plan(_) => Ok(Work::Question(one.question.clone())),
            Planned::Clarification(asked) => Err(one_problem(format!("question: {}", asked.text))),
        };
    }
    let text = pipeline(name).map_err(|why| one_problem(format!("pipeline: {why}")))?;
    let listed = |findings: Vec<Finding>, of_pipeline: bool| -> Vec<Problem> {
        let text = |finding| format!("pipeline `{name}`: {finding}");
        findings.iter().map(|finding| Problem { text: text(finding), of_pipeline }).collect()
    };
    let Compiled { plan, warnings, .. } =
        pipeline::read(&text, &planner.catalogue).map_err(|findings| listed(findings, true))?;
    let denied = planner.roles.denied(&one.identity(), &plan, &planner.catalogue);
    if !denied.is_empty() {
        let told = denied.into_iter().map(|why| format!("pipeline `{name}`: {why}"));
        return Err(told.map(Problem::from).collect());
    }
    let inputs =
        inputs::bind(&plan, &one.given(&plan)).map_err(|findings| listed(findings, false))?;
    Ok(Work::Plan(Box::new(Submission {
        plan,
        inputs: Json(inputs),
        warnings: warnings.iter().map(ToString::to_string).collect(),
        ..Submission::default()
    })))
}

impl Written {
    /// On whose behalf it is done.
    #[must_use]
    pub fn identity(&self) -> Identity {
        let mut teams = self.teams.clone();
        teams.sort();
        teams.dedup();
        Identity {
            name: format!("schedule:{}", self.name),
            role: self.role.clone(),
            teams,
            key: None,
        }
    }

    /// The inputs, with a place for the time if the plan wants to know it.
    fn given(&self, plan: &Plan) -> Value {
        let mut given = json!(self.inputs);
        if self.tells_time(plan) {
            given[DUE] = Value::from("1970-01-01T00:00:00Z");
        }
        given
    }

    fn tells_time(&self, plan: &Plan) -> bool {
        !self.inputs.contains_key(DUE) && plan.inputs.iter().any(|input| input.name == DUE)
    }
}

impl Definitions {
    /// What is submitted for `due`, a time of the schedule `definition`.
    ///
    /// # Errors
    /// As for [`plan_question`].
    pub(super) fn submission(
        &self,
        definition: &Definition,
        due: Timestamp,
    ) -> Result<Submission, QuestionError> {
        let written = &definition.written;
        let identity = written.identity();
        let mut submission = match &definition.work {
            Work::Plan(plan) => {
                let mut submission = plan.as_ref().clone();
                if written.tells_time(&submission.plan) {
                    submission.inputs.0[DUE] = Value::from(super::times::shown(due));
                }
                submission
            }
            Work::Question(question) => {
                plan_question(&self.planner, question, &identity, due)?.submission()
            }
        };
        submission.identity = identity;
        submission.origin = Origin::Schedule(written.name.clone());
        // Two times of a schedule differ, and so do their names.
        submission.name = Some(format!("schedule/{}/{}", written.name, due.as_micros()));
        Ok(submission)
    }
}

#[cfg(test)]
mod tests;
