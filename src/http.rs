//! The HTTP interface: a thin facade. Handlers decode, ask and encode.

mod access;
mod actions;
mod audit;
mod backup;
mod browser;
mod containers;
mod conversations;
mod dead_letters;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod decoding;
mod documents;
mod error;
mod extract;
mod figures;
mod guard;
mod health;
mod incidents;
mod keys;
mod model;
mod plans;
mod queries;
mod schedules;
mod serve;
mod tree;
mod workers;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::Uri;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post};
use perennial_healing::docker::Engine;
use perennial_knowledge::Library;
use perennial_query::worker::hands::MAX_ANSWER_BYTES;
use perennial_runtime::{Check, Runtime};
use perennial_store::TappedBackend;

use tokio::sync::Semaphore;

use crate::backup::Trouble;
use crate::config::Http;
use crate::metrics::Metrics;
pub(crate) use access::Access;
pub(crate) use actions::Verified;
pub(crate) use audit::keep;
pub(crate) use conversations::Conversations;
use error::ApiError;
pub(crate) use model::label_of;
pub(crate) use queries::{Bells, Queries};
pub(crate) use serve::serve;

/// Documents that are read from clients at the same time.
pub(crate) const UPLOADS: usize = 8;

/// What handlers have at hand.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) runtime: Runtime,
    pub(crate) store: Arc<TappedBackend>,
    /// Tells whose data that is.
    pub(crate) incarnation: Arc<str>,
    /// With the scheduled backups.
    pub(crate) trouble: Trouble,
    pub(crate) engine: Engine,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) verified: Verified,
    pub(crate) http: Arc<Http>,
    pub(crate) queries: Arc<Queries>,
    pub(crate) access: Arc<Access>,
    /// The documents, if this node has any.
    pub(crate) documents: Option<Library>,
    /// How many documents are read at a time: each is in memory until it is written down.
    pub(crate) uploads: Arc<Semaphore>,
}

impl App {
    /// Every check of readiness, in the order of what rests on what.
    fn checks(&self) -> Vec<Check> {
        let mut checks = self.runtime.readiness();
        let (ok, detail) = match self.engine.ready() {
            Ok(()) => (true, self.engine.blind().unwrap_or_default()),
            Err(why) => (false, why),
        };
        checks.push(Check { name: "docker".to_owned(), ok, detail });
        checks
    }
}

/// Runs `work` that reads many rows off the threads that answer and run actors.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| ApiError::Internal(error.to_string()))?
}

/// Bytes of a worker's answer as it is sent: some clients write each letter that is not of ASCII as an escape,
/// which is three times as long, and the answer does not stand alone.
const SENT_ANSWER: usize = 4 * MAX_ANSWER_BYTES;

/// Lets an answer be as long as that, whatever else is taken.
fn answers(app: &App) -> DefaultBodyLimit {
    DefaultBodyLimit::max(SENT_ANSWER.max(app.http.max_body_bytes))
}

/// Every path there is.
pub(crate) fn router(app: App) -> Router {
    let mut open = Router::new()
        .route("/livez", get(health::live))
        .route("/healthz", get(health::live))
        .route("/health", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/ready", get(health::ready));
    let mut guarded = Router::new()
        .route("/v1/tree", get(tree::show))
        .route("/v1/containers", get(containers::list))
        .route("/v1/incidents", get(incidents::list))
        .route("/v1/incidents/{id}", get(incidents::show))
        .route("/v1/incidents/{id}/acknowledge", post(incidents::acknowledge))
        .route("/v1/actions", get(actions::list).post(actions::order))
        .route("/v1/audit", get(audit::list))
        .route("/v1/backup", get(backup::stream))
        .route("/v1/dead-letters", get(dead_letters::list))
        .route("/v1/dead-letters/{id}", get(dead_letters::show).delete(dead_letters::discard))
        .route("/v1/dead-letters/{id}/redrive", post(dead_letters::redrive))
        .route("/v1/documents", get(documents::list).post(documents::add))
        .route("/v1/documents/{id}", get(documents::show).delete(documents::remove))
        .route("/v1/keys", get(keys::list).post(keys::create))
        .route("/v1/keys/{id}", delete(keys::revoke))
        .route("/v1/tools", get(queries::tools))
        .route("/v1/pipelines", get(plans::list))
        .route("/v1/pipelines/{name}", get(plans::show))
        .route("/v1/rules", get(plans::list_rules))
        .route("/v1/schedules", get(schedules::list))
        .route("/v1/schedules/{name}", get(schedules::show))
        .route("/v1/schedules/{name}/pause", post(schedules::pause))
        .route("/v1/schedules/{name}/resume", post(schedules::resume))
        .route("/v1/schedules/{name}/fire", post(schedules::fire))
        .route("/v1/workers", get(workers::list))
        .route("/v1/workers/{pool}/poll", post(workers::poll))
        .route("/v1/workers/{pool}/jobs/{id}/heartbeat", post(workers::heartbeat))
        .route("/v1/workers/{pool}/jobs/{id}/result", post(workers::result).layer(answers(&app)))
        .merge(of_queries());
    if app.http.open_metrics {
        open = open.route("/metrics", get(figures::show));
    } else {
        guarded = guarded.route("/metrics", get(figures::show));
    }
    // Before anything else about a `/v1` path is told, it is asked who wants to know.
    let guarded = guarded
        .method_not_allowed_fallback(wrong_method)
        .route_layer(from_fn_with_state(app.clone(), guard::access));
    open.merge(guarded)
        .method_not_allowed_fallback(wrong_method)
        .fallback(no_such_path)
        .layer(DefaultBodyLimit::max(app.http.max_body_bytes))
        .layer(from_fn_with_state(app.clone(), guard::time))
        .with_state(app)
}

/// What is asked, and what becomes of it.
fn of_queries() -> Router<App> {
    Router::new()
        .route("/v1/conversations", get(conversations::list).post(conversations::create))
        .route("/v1/conversations/{id}", get(conversations::show).delete(conversations::delete))
        .route("/v1/dead-steps", get(queries::dead_steps))
        .route("/v1/queries", get(queries::list).post(queries::submit))
        .route("/v1/queries/{id}", get(queries::show))
        .route("/v1/queries/{id}/events", get(queries::stream))
        .route("/v1/queries/{id}/cancel", post(queries::cancel))
        .route("/v1/queries/{id}/pause", post(queries::pause))
        .route("/v1/queries/{id}/resume", post(queries::resume))
        .route("/v1/queries/{id}/approve", post(queries::approve))
        .route("/v1/queries/{id}/reject", post(queries::reject))
        .route("/v1/queries/{id}/retry", post(queries::retry))
        .route("/v1/queries/{id}/discard", post(queries::discard))
}

async fn no_such_path(uri: Uri) -> ApiError {
    let why = format!("there is nothing at {}; docs/operations.md lists the paths", uri.path());
    ApiError::NotFound(why)
}

async fn wrong_method(request: Request) -> ApiError {
    ApiError::MethodNotAllowed(request.method().to_string())
}
