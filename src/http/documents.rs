//! The library of documents: what is put in, what is there, and what is taken out.

mod upload;

use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use perennial_knowledge::{DocumentId, Library, Outcome, Stage, Ticket};
use perennial_query::audit::{Act, Deed};
use perennial_query::plan::ErrorKind;
use perennial_query::tool::ToolError;

use super::access::Caller;
use super::audit::{keep, keep_refusal};
use super::error::ApiError;
use super::extract::{Params, Path};
use super::model::{Document, DocumentFilter, DocumentSummary, List};
use super::{App, aside};

/// The wait for a document to be indexed, unless another one is asked for.
const PATIENCE: Duration = Duration::from_secs(2);

impl App {
    /// The library, if this node has one.
    fn shelf(&self) -> Result<&Library, ApiError> {
        self.documents.as_ref().ok_or_else(|| {
            let why =
                "this node has no documents: set knowledge.directory to where they are to be kept";
            ApiError::NotFound(why.to_owned())
        })
    }
}

/// Accepts a document, and answers when it is indexed, or where to see how far it is.
pub(super) async fn add(
    State(app): State<App>,
    caller: Caller,
    Params(given): Params<upload::Given>,
    request: Request,
) -> Result<(StatusCode, Json<Document>), ApiError> {
    let library = app.shelf()?;
    let patience = given.wait()?.unwrap_or(PATIENCE);
    let _place = app.uploads.acquire().await;
    let (ticket, id) = match accept(library, &caller, given, request).await {
        Ok(accepted) => accepted,
        Err(Refused { id, name, why }) => {
            keep_refusal((&app, &caller), (Act::DocumentRefused, id, name), &why).await;
            return Err(why);
        }
    };
    match tokio::time::timeout(patience, library.ended(ticket)).await {
        Ok(Ok(ingested)) => {
            let status = match &ingested.outcome {
                Outcome::Added => StatusCode::CREATED,
                Outcome::Replaced | Outcome::Unchanged | Outcome::Duplicate(_) => StatusCode::OK,
                Outcome::Refused(refusal) => return Err(ApiError::Refused(refusal.reason())),
            };
            let shown = match &ingested.outcome {
                Outcome::Duplicate(other) => document(&app, &caller, other)?,
                Outcome::Added | Outcome::Replaced | Outcome::Unchanged | Outcome::Refused(_) => {
                    document(&app, &caller, &ingested.document)?
                }
            };
            Ok((status, Json(shown.with_outcome(&ingested.outcome))))
        }
        Ok(Err(error)) => Err(refused(error, ApiError::Refused)),
        // It is durable, and goes on.
        Err(_) => Ok((StatusCode::ACCEPTED, Json(document(&app, &caller, &id)?))),
    }
}

/// A document that was not accepted.
struct Refused {
    /// Empty where it is not known which document it would have been.
    id: String,
    /// As far as it is known.
    name: String,
    why: ApiError,
}

async fn accept(
    library: &Library,
    caller: &Caller,
    given: upload::Given,
    request: Request,
) -> Result<(Ticket, DocumentId), Refused> {
    let name = given.said(request.headers()).unwrap_or_default();
    let read = upload::read(given, request, library.limits().document_bytes).await;
    let submission = read.map_err(|why| Refused { id: String::new(), name, why })?;
    let (id, name) =
        (DocumentId::new(submission.team.as_deref(), &submission.name), submission.name.clone());
    match library.accept(submission, caller.identity()).await {
        Ok(ticket) => Ok((ticket, id)),
        Err(error) => {
            Err(Refused { id: id.to_string(), name, why: refused(error, ApiError::Malformed) })
        }
    }
}

/// The documents that the caller may see, in the order of their ids; those that wait, in that of their arrival.
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(filter): Params<DocumentFilter>,
) -> Result<Json<List<DocumentSummary>>, ApiError> {
    let library = app.shelf()?.clone();
    let (limit, waiting) = (filter.limit()?, filter.waiting()?);
    let (after, wanted) = (filter.after()?, filter.wanted()?);
    if waiting {
        let progress = library.waiting(caller.identity());
        return Ok(Json(progress.iter().take(limit).map(DocumentSummary::from).collect()));
    }
    aside(move || {
        let mut found = library.list(caller.identity(), &wanted, after.as_ref(), limit + 1);
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more).map(|header| header.id.to_string());
        Ok(Json(List { items: found.iter().map(DocumentSummary::from).collect(), next }))
    })
    .await
}

pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Document>, ApiError> {
    let id = DocumentId::parse(&id).ok_or_else(|| unknown(&id))?;
    document(&app, &caller, &id).map(Json)
}

/// Takes a document out, and with it what was accepted of it. One that is not there is gone already.
pub(super) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let id = DocumentId::parse(&id).ok_or_else(|| unknown(&id))?;
    let library = app.shelf()?;
    // One that the caller may not see is not told of, and not touched.
    let known = library.find(&id, caller.identity()).map(|found| found.header.name);
    let there = known.is_some() || waits(library, &caller, &id);
    let deed = |act, result| Deed {
        act,
        object: id.to_string(),
        name: known.clone().unwrap_or_default(),
        by: caller.identity().clone(),
        result,
    };
    keep(&app.runtime, deed(Act::DocumentRemoval, Ok("wanted".to_owned())), there).await?;
    let removed = library.remove(&id, caller.identity()).await;
    let result = match &removed {
        Ok(true) => Ok("removed".to_owned()),
        Ok(false) => Ok("not_there".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    let changes = *removed.as_ref().unwrap_or(&there);
    keep(&app.runtime, deed(Act::DocumentRemoved, result), changes).await?;
    removed.map_err(|error| refused(error, ApiError::Refused))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether a document was accepted and may still get into the library.
fn waits(library: &Library, caller: &Caller, id: &DocumentId) -> bool {
    library.progress(id, caller.identity()).is_some_and(|progress| match progress.stage {
        Stage::Pending | Stage::Chunked(_) | Stage::Delayed(_) => true,
        Stage::Ended(_) => false,
    })
}

/// What is known of a document: as it is found, or how far it is until then.
fn document(app: &App, caller: &Caller, id: &DocumentId) -> Result<Document, ApiError> {
    let (library, identity) = (app.shelf()?, caller.identity());
    let progress = library.progress(id, identity);
    let found = library.find(id, identity);
    match (found, progress) {
        (Some(found), None) => Ok(Document::indexed(&found)),
        (Some(found), Some(progress)) => Ok(Document::indexed(&found).while_it_is(&progress.stage)),
        (None, Some(progress)) => match &progress.stage {
            // It was there, and was removed.
            Stage::Ended(Ok(ingested)) if ingested.outcome.is_kept() => Err(unknown(id.as_str())),
            Stage::Ended(_) | Stage::Pending | Stage::Chunked(_) | Stage::Delayed(_) => {
                Ok(Document::awaited(&progress))
            }
        },
        (None, None) => Err(unknown(id.as_str())),
    }
}

fn unknown(id: &str) -> ApiError {
    ApiError::NotFound(format!("there is no document {id}; /v1/documents lists them"))
}

/// What a client is told; `invalid` is for what they can mend.
fn refused(error: ToolError, invalid: impl FnOnce(String) -> ApiError) -> ApiError {
    match error.kind {
        ErrorKind::Invalid => invalid(error.message),
        ErrorKind::Denied => ApiError::Forbidden(error.message),
        ErrorKind::NotFound => ApiError::NotFound(error.message),
        ErrorKind::Cancelled => ApiError::Conflict(error.message),
        ErrorKind::Overloaded => ApiError::Full(error.message),
        ErrorKind::Unavailable | ErrorKind::Timeout => ApiError::Unavailable(error.message),
        ErrorKind::Failed | ErrorKind::Unknown => ApiError::Internal(error.message),
    }
}
