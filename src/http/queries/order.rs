//! What somebody wants of a query under way.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use perennial_query::admission::AdmissionMessage;
use perennial_query::orchestrator::{Orchestrator, OrchestratorMessage, Ordered, QueryOrder};
use perennial_query::plan::StepId;
use perennial_query::record::{QUERIES, QueryStatus};

use super::submit::admitted;
use super::unknown;
use crate::http::App;
use crate::http::access::Caller;
use crate::http::error::ApiError;
use crate::http::extract::{MaybeBody, Path};
use crate::http::model::{Again, Approval, Reason};

/// The wait for the query's commit.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) async fn cancel(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    MaybeBody(Reason { reason, by }): MaybeBody<Reason>,
) -> Result<StatusCode, ApiError> {
    order(&app, &caller, &id, by, QueryOrder::Cancel { reason }).await
}

pub(crate) async fn pause(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    MaybeBody(Reason { by, .. }): MaybeBody<Reason>,
) -> Result<StatusCode, ApiError> {
    order(&app, &caller, &id, by, QueryOrder::Pause).await
}

pub(crate) async fn resume(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    MaybeBody(Reason { by, .. }): MaybeBody<Reason>,
) -> Result<StatusCode, ApiError> {
    order(&app, &caller, &id, by, QueryOrder::Resume).await
}

pub(crate) async fn retry(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    MaybeBody(Again { by, unknown, reason: _ }): MaybeBody<Again>,
) -> Result<StatusCode, ApiError> {
    let again = if unknown { QueryOrder::RetryAll } else { QueryOrder::Retry };
    order(&app, &caller, &id, by, again).await
}

pub(crate) async fn discard(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    order(&app, &caller, &id, String::new(), QueryOrder::Discard).await
}

pub(crate) async fn approve(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    MaybeBody(approval): MaybeBody<Approval>,
) -> Result<StatusCode, ApiError> {
    decide(&app, &caller, &id, approval, true).await
}

pub(crate) async fn reject(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    MaybeBody(approval): MaybeBody<Approval>,
) -> Result<StatusCode, ApiError> {
    decide(&app, &caller, &id, approval, false).await
}

async fn decide(
    app: &App,
    caller: &Caller,
    id: &str,
    Approval { step, by, note }: Approval,
    approved: bool,
) -> Result<StatusCode, ApiError> {
    // Of who holds an API key it is known who they are.
    if step.is_empty() || by.is_empty() && caller.identity().key.is_none() {
        let why = "`step` must name a step that waits for approval, and `by` who decides";
        return Err(ApiError::Malformed(why.to_owned()));
    }
    let decision = QueryOrder::Decide { step: StepId(step), approved, note };
    order(app, caller, id, by, decision).await
}

async fn order(
    app: &App,
    caller: &Caller,
    id: &str,
    by: String,
    order: QueryOrder,
) -> Result<StatusCode, ApiError> {
    // An address that nobody uses would come to be by being asked.
    let row = app.runtime.tables().get(&QUERIES, id)?;
    let row = row.filter(|row| caller.sees(row)).ok_or_else(|| unknown(id))?;
    let by = caller.signs(by)?;
    let again = matches!(order, QueryOrder::Retry | QueryOrder::RetryAll);
    if again && row.status == QueryStatus::Finished {
        // What is begun again is a query like any other, and bounded like those of whoever it is of.
        let (id, key) = (row.id, row.identity.key);
        admitted(app, &AdmissionMessage::Readmit { id, key }).await?;
    }
    let message = OrchestratorMessage::Order { by, order };
    match app.runtime.ask::<Orchestrator, Ordered>(id, &message, PATIENCE).await? {
        Ordered::Done => Ok(StatusCode::NO_CONTENT),
        Ordered::Unknown => Err(ApiError::NotFound(format!("query {id} has no such step"))),
        Ordered::Conflict(why) => Err(ApiError::Conflict(format!("query {id}: {why}"))),
    }
}
