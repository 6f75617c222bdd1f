//! Queries, as documents.

use std::time::Duration;

use axum::Json;
use axum::extract::Query as UrlQuery;
use axum::http::{StatusCode, Uri};
use perennial_query::config::AnswerBy;
use perennial_query::graph::Graph;
use perennial_query::record::{self, ModelCall, QueryRow, Submission};
use perennial_query::tool::ToolSpec;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::query_step::{Step, StepPage, citation, seconds};
use super::time;
use crate::http::error::ApiError;

/// The longest that an answer can be waited for in one request, in seconds.
const LONGEST_WAIT: u64 = 300;

/// The path of queries, and the beginning of that of workers, where waiting is possible.
const QUERIES: &str = "/v1/queries";
const DOCUMENTS: &str = "/v1/documents";
const WORKERS: &str = "/v1/workers/";

/// What is asked: one of `question`, `plan`, `pipeline`, `yaml`, `rules` and `rules_text`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    question: Option<String>,
    plan: Option<Value>,
    pipeline: Option<String>,
    yaml: Option<String>,
    rules: Option<String>,
    rules_text: Option<String>,
    /// What rules are tried on.
    pub(crate) facts: Option<Value>,
    /// Values for the inputs of the plan.
    pub(crate) inputs: Option<Value>,
    /// Whether a result of the same, for the same role and teams, will do if it is fresh. It does for a
    /// question, unless this says otherwise, and does not for anything else.
    pub(crate) cache: Option<bool>,
    /// Who words the answer to a question: `model` or `template`; what the node prefers unless it is said.
    pub(crate) answer_by: Option<AnswerBy>,
    /// The conversation of which the question is to be the next turn, or `new` for one of its own.
    pub(crate) conversation: Option<String>,
}

/// Where the plan comes from.
#[derive(Debug, PartialEq)]
pub(crate) enum Source {
    /// Words.
    Question(String),
    /// The document itself.
    Plan(Value),
    /// The text of a document.
    Text(String),
    /// The name of one of the node's pipelines.
    Pipeline(String),
    /// The name of one of the node's sets of rules.
    Rules(String),
    /// Rules themselves.
    RulesText(String),
}

impl Asked {
    pub(crate) fn source(&self) -> Result<Source, ApiError> {
        let Self { question, plan, pipeline, yaml, rules, rules_text, .. } = self;
        let sources = [
            question.clone().map(Source::Question),
            plan.clone().map(Source::Plan),
            pipeline.clone().map(Source::Pipeline),
            yaml.clone().map(Source::Text),
            rules.clone().map(Source::Rules),
            rules_text.clone().map(Source::RulesText),
        ];
        let mut given = sources.into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(Source::Question(_)), None) if self.inputs.is_some() || self.facts.is_some() => {
                let why =
                    "a question takes neither `inputs` nor `facts`: everything is in its words";
                Err(ApiError::Malformed(why.to_owned()))
            }
            (Some(Source::Question(_)), None)
                if self.conversation.is_some() && self.cache.is_some() =>
            {
                let why = "a question of a conversation is always answered anew: leave `cache` out";
                Err(ApiError::Malformed(why.to_owned()))
            }
            (Some(Source::Question(question)), None) => Ok(Source::Question(question)),
            (Some(_), None) if self.answer_by.is_some() => {
                let why =
                    "`answer_by` is for questions: what else is asked says itself what it answers";
                Err(ApiError::Malformed(why.to_owned()))
            }
            (Some(_), None) if self.conversation.is_some() => {
                let why = "`conversation` goes with `question`, and with nothing else";
                Err(ApiError::Malformed(why.to_owned()))
            }
            (Some(source), None) => Ok(source),
            (_, _) => {
                let why = "say what to do with exactly one of `question`, `plan`, `pipeline`, `yaml`, `rules` \
                           and `rules_text`";
                Err(ApiError::Malformed(why.to_owned()))
            }
        }
    }
}

/// How long the answer is waited for.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wait {
    pub(super) wait: Option<u64>,
}

/// The same in a query that says more.
#[derive(Deserialize)]
struct AmongOthers {
    wait: Option<u64>,
}

impl Wait {
    pub(crate) fn patience(self) -> Result<Option<Duration>, ApiError> {
        match self.wait {
            Some(seconds) if seconds > LONGEST_WAIT => {
                let why = format!("wait is {seconds}; expected at most {LONGEST_WAIT} seconds");
                Err(ApiError::Malformed(why))
            }
            Some(seconds) => Ok(Some(Duration::from_secs(seconds))),
            None => Ok(None),
        }
    }

    /// What a request may take on top of what every request may.
    pub(crate) fn of_uri(uri: &Uri) -> Duration {
        let path = uri.path();
        if path != QUERIES
            && path != DOCUMENTS
            && !(path.starts_with(WORKERS) && path.ends_with("/poll"))
        {
            return Duration::ZERO;
        }
        let wait = UrlQuery::<AmongOthers>::try_from_uri(uri);
        let wait = wait.map(|UrlQuery(AmongOthers { wait })| Self { wait }.patience());
        wait.ok().and_then(Result::ok).flatten().unwrap_or_default()
    }
}

/// From which event on.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct After {
    pub(crate) after: Option<u64>,
}

/// Why somebody wants something of a query.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Reason {
    pub(crate) reason: String,
    pub(crate) by: String,
}

/// Who wants a query done again, and how much of it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Again {
    pub(crate) reason: String,
    pub(crate) by: String,
    /// Also what may have been done.
    pub(crate) unknown: bool,
}

/// Somebody's decision on a step.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Approval {
    pub(crate) step: String,
    pub(crate) by: String,
    pub(crate) note: String,
}

/// A query that was taken in.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Admission {
    id: String,
    /// Queries that get a place before it, as things stand, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    ahead: Option<u64>,
    /// It was asked before: this is that query.
    shared: bool,
    /// Where what becomes of it can be read.
    url: String,
}

impl Admission {
    pub(crate) fn new(id: String, ahead: Option<u64>, shared: bool) -> Self {
        let url = format!("{QUERIES}/{id}");
        Self { id, ahead, shared, url }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn accepted(self) -> (StatusCode, Json<Answered>) {
        (StatusCode::ACCEPTED, Json(Answered::Taken(self)))
    }
}

/// The answer to a query that is submitted.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Answered {
    /// It will be done.
    Taken(Admission),
    /// It is done.
    Document(Box<Query>),
}

/// A query in a list.
#[derive(Debug, Serialize)]
pub(crate) struct QuerySummary {
    id: String,
    name: String,
    r#type: &'static str,
    status: &'static str,
    outcome: Option<&'static str>,
    reason: String,
    by: String,
    role: String,
    /// The number of the API key it was asked with; null for the node's own token.
    key: Option<u64>,
    accepted_at: String,
    started_at: Option<String>,
    ended_at: Option<String>,
    duration_seconds: Option<f64>,
}

impl From<&QueryRow> for QuerySummary {
    fn from(row: &QueryRow) -> Self {
        Self {
            id: row.id.clone(),
            name: row.name.clone(),
            r#type: row.origin.as_str(),
            status: row.status.as_str(),
            outcome: row.outcome.map(record::Outcome::as_str),
            reason: row.reason.clone(),
            by: row.identity.name.clone(),
            role: row.identity.role.clone(),
            key: row.identity.key,
            accepted_at: time(row.accepted_at),
            started_at: row.started_at.map(time),
            ended_at: row.ended_at.map(time),
            duration_seconds: seconds(Some(row.accepted_at), row.ended_at),
        }
    }
}

/// Everything that is known of a query.
#[derive(Debug, Serialize)]
pub(crate) struct Query {
    #[serde(flatten)]
    summary: QuerySummary,
    /// Whether it has ended, and ended well.
    success: bool,
    /// What was asked in words, if it was.
    question: Option<String>,
    inputs: Value,
    outputs: Value,
    answer: Option<Value>,
    warnings: Vec<String>,
    deadline: Option<String>,
    parallel_peak: u32,
    retries: u32,
    /// Ids of steps that could be done at the same time, from first to last.
    levels: Vec<Vec<String>>,
    steps: Vec<Step>,
    /// Steps and repetitions of steps in all, on this page or not.
    steps_total: u64,
    /// What `?after=` gives the next page of them; null on the last one.
    steps_next: Option<String>,
    /// What language models were asked to plan or to answer.
    model_calls: Vec<Value>,
}

impl Query {
    pub(crate) fn new(row: &QueryRow, submission: &Submission, steps: &StepPage) -> Self {
        let plan = &submission.plan;
        let graph = Graph::of(plan).unwrap_or_default();
        let name = |at: &usize| plan.steps[*at].id.0.clone();
        Self {
            steps: steps.documents(),
            steps_total: steps.total,
            steps_next: steps.next.map(|number| number.to_string()),
            summary: QuerySummary::from(row),
            success: row.outcome == Some(record::Outcome::Succeeded),
            question: question(&row.origin),
            inputs: submission.inputs.0.clone(),
            outputs: row.outputs.0.clone(),
            answer: row.answer.as_ref().map(answer),
            warnings: row.warnings.clone(),
            deadline: row.deadline.map(time),
            parallel_peak: row.parallel_peak,
            retries: row.retries,
            levels: graph.levels.iter().map(|level| level.iter().map(name).collect()).collect(),
            model_calls: Vec::new(),
        }
    }

    /// The same, with what language models were asked.
    pub(crate) fn with_models(self, calls: &[ModelCall]) -> Self {
        Self { model_calls: calls.iter().map(model_call).collect(), ..self }
    }
}

fn model_call(call: &ModelCall) -> Value {
    let error = call
        .error
        .as_ref()
        .map(|error| json!({"kind": error.kind.as_str(), "message": error.message}));
    json!({
        "purpose": call.purpose.as_str(),
        "attempt": call.attempt,
        "asked_at": time(call.asked_at),
        "ended_at": call.ended_at.map(time),
        "model": Some(&call.model).filter(|model| !model.is_empty()),
        "reply": call.reply,
        "error": error,
        "problems": call.problems,
        "tokens": {"read": call.tokens_read, "written": call.tokens_written},
        "cost": call.cost,
    })
}

fn question(origin: &record::Origin) -> Option<String> {
    match origin {
        record::Origin::Question(question) => Some(question.clone()),
        record::Origin::Plan
        | record::Origin::Pipeline(_)
        | record::Origin::Rules(_)
        | record::Origin::Schedule(_) => None,
    }
}

pub(super) fn answer(answer: &record::Answer) -> Value {
    let citations: Vec<Value> = answer.citations.iter().map(citation).collect();
    json!({"text": answer.text, "composed_by": answer.composed_by, "citations": citations})
}

/// A tool, as it is offered.
#[derive(Debug, Serialize)]
pub(crate) struct Tool {
    name: String,
    description: String,
    group: String,
    permission: Option<String>,
    timeout_seconds: f64,
    changes_world: bool,
    parameters: Value,
}

impl From<&ToolSpec> for Tool {
    fn from(spec: &ToolSpec) -> Self {
        Self {
            name: spec.name.clone(),
            description: spec.description.clone(),
            group: spec.group.clone(),
            permission: spec.permission.clone(),
            timeout_seconds: spec.timeout.as_secs_f64(),
            changes_world: spec.changes_world,
            parameters: spec.schema(),
        }
    }
}

/// A step whose attempts were used up.
#[derive(Debug, Serialize)]
pub(crate) struct DeadStep {
    query: String,
    step: String,
    tool: String,
    attempts: u32,
    error: Value,
    at: String,
}

impl From<&record::DeadStep> for DeadStep {
    fn from(dead: &record::DeadStep) -> Self {
        Self {
            query: dead.query.clone(),
            step: dead.step.0.clone(),
            tool: dead.tool.clone(),
            attempts: dead.attempts,
            error: json!({"kind": dead.error.kind.as_str(), "message": dead.error.message}),
            at: time(dead.at),
        }
    }
}
