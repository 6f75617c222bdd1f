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
use perennial_query::record::{Origin, QUERIES, QueryStatus, SUBMISSIONS, Submission};
use perennial_query::tool::Identity;
use perennial_runtime::SendOptions;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{document, unknown, watch};
use crate::http::App;
use crate::http::error::ApiError;
use crate::http::extract::{Body, Params, key};
use crate::http::model::{Admission as Taken, Answered, Asked, Source, Wait};
use crate::pipelines;

/// The wait for the Admission's commit, and for the query's own.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) async fn submit(
    State(app): State<App>,
    Params(wait): Params<Wait>,
    headers: HeaderMap,
    Body(asked): Body<Asked>,
) -> Result<(StatusCode, Json<Answered>), ApiError> {
    let patience = wait.patience()?;
    let token = key(&headers, "query")?;
    let submission = prepare(&app, asked)?;
    let message = AdmissionMessage::Submit(Box::new(submission.clone()));
    let options = SendOptions { token: token.clone(), ..SendOptions::default() };
    let asked = app.runtime.ask_with::<Admission, Admitted>(ADMISSION, &message, PATIENCE, options);
    let (id, ahead, shared) = match asked.await? {
        Admitted::Accepted { id, ahead } => (id, ahead, false),
        Admitted::Shared { id } => (id, 0, true),
        Admitted::Full { waiting } => return Err(ApiError::Busy(waiting)),
    };
    written(&app, &id).await?;
    if token.is_some() {
        same(&app, &id, &submission)?;
    }
    answer(&app, Taken::new(id, ahead, shared), patience).await
}

/// The whole document if the query ends in time, and otherwise where to look for it.
async fn answer(
    app: &App,
    taken: Taken,
    patience: Option<Duration>,
) -> Result<(StatusCode, Json<Answered>), ApiError> {
    let Some(patience) = patience else { return Ok(taken.accepted()) };
    let tables = app.runtime.tables();
    let ended = watch(app, patience, || {
        let row = tables.get(&QUERIES, taken.id())?.ok_or_else(|| unknown(taken.id()))?;
        Ok((row.status == QueryStatus::Finished).then_some(()))
    });
    match ended.await? {
        Some(()) => {
            let query = document(&tables, taken.id())?;
            Ok((StatusCode::OK, Json(Answered::Document(Box::new(query)))))
        }
        None => Ok(taken.accepted()),
    }
}

/// The query is accepted; its own row is written in the same commit or the next one.
async fn written(app: &App, id: &str) -> Result<(), ApiError> {
    let tables = app.runtime.tables();
    let there = watch(app, PATIENCE, || Ok(tables.get(&QUERIES, id)?.map(drop)));
    there.await?.ok_or(ApiError::TimedOut)
}

/// A name that was given to another query before.
fn same(app: &App, id: &str, submission: &Submission) -> Result<(), ApiError> {
    let before = app.runtime.tables().get(&SUBMISSIONS, id)?;
    if before.is_none_or(|before| before == *submission) {
        return Ok(());
    }
    let why = format!("this idempotency-key was given to another query before: {id}");
    Err(ApiError::Conflict(why))
}

/// Everything is checked before anything is stored.
fn prepare(app: &App, asked: Asked) -> Result<Submission, ApiError> {
    let catalogue = &app.queries.catalogue;
    let (origin, compiled) = match asked.source()? {
        Source::Plan(plan) => (Origin::Plan, pipeline::read_json(&plan, catalogue)),
        Source::Text(text) => (Origin::Plan, pipeline::read(&text, catalogue)),
        Source::Pipeline(name) => {
            let text = pipelines::text(&app.queries.pipelines, &name)
                .map_err(|error| ApiError::NotFound(error.to_string()))?;
            (Origin::Pipeline(name), pipeline::read(&text, catalogue))
        }
    };
    let Compiled { plan, warnings, .. } = compiled.map_err(|findings| invalid(&findings))?;
    let given = asked.inputs.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    let inputs = inputs::bind(&plan, &given).map_err(|findings| invalid(&findings))?;
    let identity = Identity { name: "operator".into(), role: "admin".into(), teams: Vec::new() };
    let mut submission = Submission {
        plan,
        inputs: StoredJson(inputs),
        origin,
        identity,
        cache_key: None,
        warnings: warnings.iter().map(ToString::to_string).collect(),
    };
    if asked.cache {
        submission.cache_key = Some(cache_key(&submission)?);
    }
    Ok(submission)
}

/// What makes two queries the same: what is done, for which role and teams.
fn cache_key(submission: &Submission) -> Result<String, ApiError> {
    let Submission { plan, inputs, identity, .. } = submission;
    let same = (plan, inputs, &identity.role, &identity.teams);
    let text = serde_json::to_vec(&same).map_err(|e| ApiError::Internal(e.to_string()))?;
    let digest = Sha256::digest(text);
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn invalid(findings: &[Finding]) -> ApiError {
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    ApiError::Invalid(lines)
}
