//! Taking a query in.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use perennial_query::admission::{ADMISSION, Admission, AdmissionMessage, Admitted};
use perennial_query::check::Finding;
use perennial_query::inputs;
use perennial_query::json::Json as StoredJson;
use perennial_query::pipeline::{self, Compiled};
use perennial_query::plan::Plan;
use perennial_query::record::{Origin, QUERIES, QueryStatus, SUBMISSIONS, Submission};
use perennial_query::rules;
use perennial_query::tool::Catalogue;
use serde_json::Value;

use super::question::Wanted;
use super::sharing::{cache_key, readable, same_apart_from_data};
use super::{document, question, unknown, watch};
use crate::documents::{self, Document, DocumentError, Kind, Language, read_rules};
use crate::http::App;
use crate::http::access::Caller;
use crate::http::conversations;
use crate::http::error::ApiError;
use crate::http::extract::{Body, Params, key};
use crate::http::model::{
    Admission as Taken, Answered, Asked, Source, StepsWanted, Submitted, Wait,
};

/// The wait for the Admission's commit, and for the query's own.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) async fn submit(
    State(app): State<App>,
    caller: Caller,
    Params(wait): Params<Wait>,
    headers: HeaderMap,
    Body(asked): Body<Asked>,
) -> Result<(StatusCode, Json<Submitted>), ApiError> {
    let patience = wait.patience()?;
    let name = key(&headers, &caller.names("query"))?;
    if let Some(conversation) = &asked.conversation
        && let Source::Question(text) = asked.source()?
    {
        let (conversation, answer_by) = (conversation.clone(), asked.answer_by);
        let turn = conversations::Asked { conversation, text, name, answer_by };
        return conversations::ask(&app, &caller, turn, patience).await;
    }
    let submission = Submission { name, ..prepare(&app, &caller, asked)? };
    let message = AdmissionMessage::Submit(Box::new(submission.clone()));
    let taken = admitted(&app, &message).await?;
    written(&app, taken.id()).await?;
    if submission.name.is_some() {
        same(&app, taken.id(), &submission)?;
        // What was shared then may be of what is not shown to them any more.
        readable(&app, &caller, taken.id())?;
    }
    let (status, Json(answered)) = answer(&app, taken, patience).await?;
    Ok((status, Json(Submitted::query(answered))))
}

/// What the Admission takes in, if there is room for it.
pub(super) async fn admitted(app: &App, message: &AdmissionMessage) -> Result<Taken, ApiError> {
    match app.runtime.ask::<Admission, Admitted>(ADMISSION, message, PATIENCE).await? {
        Admitted::Accepted { id, ahead } => Ok(Taken::new(id, Some(ahead), false)),
        Admitted::Shared { id } => Ok(Taken::new(id, None, true)),
        Admitted::Full { waiting } => Err(ApiError::Busy(waiting)),
        Admitted::KeyFull { waiting } => Err(ApiError::KeyBusy(waiting)),
    }
}

/// The whole document if the query ends in time, and otherwise where to look for it.
pub(crate) async fn answer(
    app: &App,
    taken: Taken,
    patience: Option<Duration>,
) -> Result<(StatusCode, Json<Answered>), ApiError> {
    let Some(patience) = patience else { return Ok(taken.accepted()) };
    let tables = app.runtime.tables();
    let ended = watch((app, taken.id()), patience, || {
        let row = tables.get(&QUERIES, taken.id())?.ok_or_else(|| unknown(taken.id()))?;
        Ok((row.status == QueryStatus::Finished).then_some(()))
    });
    match ended.await? {
        Some(()) => {
            let query = document(&tables, taken.id(), None, StepsWanted::default().limit()?)?;
            Ok((StatusCode::OK, Json(Answered::Document(Box::new(query)))))
        }
        None => Ok(taken.accepted()),
    }
}

/// The query is accepted; its own row is written in the same commit or the next one.
pub(crate) async fn written(app: &App, id: &str) -> Result<(), ApiError> {
    let tables = app.runtime.tables();
    let there = watch((app, id), PATIENCE, || Ok(tables.get(&QUERIES, id)?.map(drop)));
    there.await?.ok_or(ApiError::TimedOut)
}

/// A name that was given to another query before.
fn same(app: &App, id: &str, submission: &Submission) -> Result<(), ApiError> {
    let before = app.runtime.tables().get(&SUBMISSIONS, id)?;
    let is_same = |before: &Submission| {
        // One whose result is shared was submitted under a name of its own, and maybe by somebody else.
        let named = Submission { name: submission.name.clone(), ..before.clone() };
        named == *submission
            || same_apart_from_data(before, submission)
            || question::same(before, submission)
    };
    if before.as_ref().is_none_or(is_same) {
        return Ok(());
    }
    let why = format!("this idempotency-key was given to another query before: {id}");
    Err(ApiError::Conflict(why))
}

/// Everything is checked before anything is stored.
fn prepare(app: &App, caller: &Caller, asked: Asked) -> Result<Submission, ApiError> {
    let (queries, source) = (&app.queries, asked.source()?);
    let not_found = |error: DocumentError| ApiError::NotFound(error.to_string());
    let catalogue = &queries.catalogue;
    let compiled = match source {
        Source::Question(question) => {
            let wanted = Wanted { cache: asked.cache.unwrap_or(true), answer_by: asked.answer_by };
            return question::prepare(queries, question, caller, wanted);
        }
        Source::Plan(plan) => (Origin::Plan, pipeline::read_json(&plan, catalogue)),
        Source::Text(text) => (Origin::Plan, pipeline::read(&text, catalogue)),
        Source::Pipeline(name) => {
            let document = documents::read(Kind::Pipelines, &queries.pipelines, &name);
            let compiled = pipeline::read(&document.map_err(not_found)?.text, catalogue);
            (Origin::Pipeline(name), compiled)
        }
        Source::Rules(name) => {
            let document = documents::read(Kind::Rules, &queries.rules, &name);
            let document = document.map_err(not_found)?;
            return fire(app, caller, (Origin::Rules(name), &document), asked);
        }
        Source::RulesText(text) => {
            let sentences = text.lines().any(|line| line.trim_start().starts_with("Feature:"));
            let language = if sentences { Language::Gherkin } else { Language::Yaml };
            let document = Document { language, text };
            return fire(app, caller, (Origin::Rules(String::new()), &document), asked);
        }
    };
    let (origin, compiled) = compiled;
    let Compiled { plan, warnings, .. } = compiled.map_err(|findings| invalid(&findings))?;
    let warnings = warnings.iter().map(ToString::to_string).collect();
    submission(app, caller, Submission { plan, origin, warnings, ..Submission::default() }, asked)
}

/// Tries rules on facts. Where none fires there is nothing to do, which is no failure.
fn fire(
    app: &App,
    caller: &Caller,
    (origin, document): (Origin, &Document),
    asked: Asked,
) -> Result<Submission, ApiError> {
    let catalogue = &app.queries.catalogue;
    let read = read_rules(document, catalogue).map_err(|findings| invalid(&findings))?;
    let facts = asked.facts.clone().unwrap_or(Value::Null);
    let fired = rules::compile::fire(&read.set, &facts, caller.identity(), catalogue);
    let told = |finding: &Finding| finding.to_string();
    if fired.plan.is_none() && !fired.problems.is_empty() {
        return Err(ApiError::Invalid(fired.problems.iter().map(told).collect()));
    }
    let verdicts = fired.verdicts.iter().map(|(rule, verdict)| format!("rule `{rule}` {verdict}"));
    let warnings = read.warnings.iter().map(told).chain(verdicts).collect();
    let problems = fired.problems.iter().map(told).collect();
    let nothing = || Plan {
        name: "rules".to_owned(),
        answer: Some("conditions not met".to_owned()),
        ..Plan::default()
    };
    let plan = fired.plan.unwrap_or_else(nothing);
    let draft = Submission { plan, origin, warnings, problems, ..Submission::default() };
    submission(app, caller, draft, asked)
}

/// What a plan needs to be taken in: that it may be done, inputs, on whose behalf, and what it may share its
/// result with.
fn submission(
    app: &App,
    caller: &Caller,
    draft: Submission,
    asked: Asked,
) -> Result<Submission, ApiError> {
    let (identity, catalogue) = (caller.identity(), &app.queries.catalogue);
    let denied = caller.roles().denied(identity, &draft.plan, catalogue);
    if !denied.is_empty() {
        return Err(ApiError::Forbidden(denied.join("\n")));
    }
    let given = asked.inputs.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    let inputs = inputs::bind(&draft.plan, &given).map_err(|findings| invalid(&findings))?;
    let (inputs, identity) = (StoredJson(inputs), identity.clone());
    let mut submission = Submission { inputs, identity, ..draft };
    if asked.cache.unwrap_or_default() {
        shareable(&submission.plan, catalogue)?;
        let version = app.queries.tools.data_version(&submission.plan);
        let key = cache_key(&submission, &submission.identity, catalogue, version)?;
        submission.cache_key = Some(key);
    }
    Ok(submission)
}

/// Refuses to share what comes of a plan that changes the world: who asks again wants it changed again.
fn shareable(plan: &Plan, catalogue: &Catalogue) -> Result<(), ApiError> {
    let changes = |tool: &&str| catalogue.get(tool).is_none_or(|spec| spec.changes_world);
    plan.tools().find(changes).map_or(Ok(()), |tool| {
        let why = format!(
            "`cache` is only for plans that change nothing, and `{tool}` changes the world"
        );
        Err(ApiError::Invalid(vec![why]))
    })
}

fn invalid(findings: &[Finding]) -> ApiError {
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    ApiError::Invalid(lines)
}
