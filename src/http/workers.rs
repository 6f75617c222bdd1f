//! Workers outside the node: they come for jobs, say that they are alive, and give back what came of them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use perennial_query::tools::external::{Gone, answer_of};

use super::App;
use super::error::ApiError;
use super::extract::{Body, Params, Path};
use super::model::{Job, JobDone, JobHeld, List, PoolStanding, Renewed, Wait, Worker};

pub(super) async fn list(State(app): State<App>) -> Json<List<PoolStanding>> {
    Json(app.queries.broker.standing().into_iter().map(PoolStanding::from).collect())
}

/// A job for a worker, as soon as there is one; 204 if there is none in the time that it waits.
pub(super) async fn poll(
    State(app): State<App>,
    Path(pool): Path<String>,
    Params(wait): Params<Wait>,
    Body(worker): Body<Worker>,
) -> Result<Response, ApiError> {
    let worker = worker.name()?;
    let patience = wait.patience()?.unwrap_or_default();
    let lent = app.queries.broker.lend(&pool, &worker, patience).await;
    let unknown = |Gone| {
        let why = format!("there is no pool {pool}; /v1/workers lists those of the configuration");
        ApiError::NotFound(why)
    };
    Ok(match lent.map_err(unknown)? {
        Some(lending) => Json(Job::from(lending)).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

pub(super) async fn heartbeat(
    State(app): State<App>,
    Path((pool, id)): Path<(String, u64)>,
    Body(JobHeld { lease }): Body<JobHeld>,
) -> Result<Json<Renewed>, ApiError> {
    let until = app.queries.broker.renew(&pool, id, lease).map_err(lost)?;
    Ok(Json(Renewed::new(until)))
}

pub(super) async fn result(
    State(app): State<App>,
    Path((pool, id)): Path<(String, u64)>,
    Body(done): Body<JobDone>,
) -> Result<StatusCode, ApiError> {
    let lease = done.lease;
    let (value, error) = done.outcome();
    let answer = answer_of(value, error).map_err(ApiError::Malformed)?;
    app.queries.broker.give_back(&pool, id, lease, answer).map_err(lost)?;
    Ok(StatusCode::NO_CONTENT)
}

fn lost(Gone: Gone) -> ApiError {
    let why = "the job is not this worker's any more: it was silent for too long, or nobody wants it \
               done; come for another one";
    ApiError::Conflict(why.to_owned())
}
