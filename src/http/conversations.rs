//! Conversations: questions that follow each other. Nobody comes across somebody else's.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use perennial_query::config::AnswerBy;
use perennial_query::conversation::{
    CONVERSATIONS, Conversation as Actor, ConversationMessage, ConversationRow, Question, Said,
    TURNS, TurnRow, TurnStatus, conversation_key, owner_key,
};
use perennial_query::question::QuestionError;
use perennial_query::question::clarify::LONGEST;
use perennial_runtime::{Clock, instant, owner_prefix};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use super::access::Caller;
use super::error::ApiError;
use super::extract::{MaybeBody, Params};
use super::model::{
    Admission as Taken, Conversation, ConversationPage, InConversation, List, NewConversation,
    Submitted,
};
use super::queries::{answer, watch, written};
use super::{App, aside};

/// The wait for a conversation's commit.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the beginning of a turn is waited for if nothing else is asked for.
const SOON: Duration = Duration::from_secs(1);
/// The longest title, in bytes.
const LONGEST_TITLE: usize = 200;
/// What stands for a conversation that is to be begun.
const NEW: &str = "new";

/// What handlers need to know of conversations.
#[derive(Debug)]
pub(crate) struct Conversations {
    /// So many may be one's own.
    per_key: usize,
    /// Held while one is begun, so that two at the same time are no more than may be.
    beginning: Mutex<()>,
}

impl Conversations {
    pub(crate) fn new(per_key: usize) -> Self {
        Self { per_key, beginning: Mutex::default() }
    }
}

/// A question that is to be a turn.
#[derive(Debug)]
pub(super) struct Asked {
    /// The conversation, or [`NEW`].
    pub(super) conversation: String,
    pub(super) text: String,
    /// The name under which it is asked once.
    pub(super) name: Option<String>,
    pub(super) answer_by: Option<AnswerBy>,
}

pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    MaybeBody(NewConversation { title }): MaybeBody<NewConversation>,
) -> Result<(StatusCode, Json<Conversation>), ApiError> {
    if title.len() > LONGEST_TITLE {
        let why = format!("`title` may have {LONGEST_TITLE} bytes, not {}", title.len());
        return Err(ApiError::Malformed(why));
    }
    let id = begin(&app, &caller, new_id(&app)?, title).await?;
    let row = owned(&app, &caller, &id)?;
    Ok((StatusCode::CREATED, Json(Conversation::new(row, &[]))))
}

/// One's own, the newest first.
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(page): Params<ConversationPage>,
) -> Result<Json<List<Conversation>>, ApiError> {
    let limit = page.limit()?;
    aside(move || {
        let mut rows = all(&app, &caller)?;
        rows.sort_by(|one, other| (other.created_at, &other.id).cmp(&(one.created_at, &one.id)));
        let from = match page.after {
            Some(after) => {
                let at = rows.iter().position(|row| row.id == after);
                at.ok_or_else(|| unknown(&after))? + 1
            }
            None => 0,
        };
        let mut rest = rows.into_iter().skip(from);
        let items: Vec<ConversationRow> = rest.by_ref().take(limit).collect();
        let next = rest.next().and(items.last()).map(|row| row.id.clone());
        let items = items.into_iter().map(|row| Conversation::new(row, &[])).collect();
        Ok(Json(List { items, next }))
    })
    .await
}

pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Conversation>, ApiError> {
    aside(move || {
        let row = owned(&app, &caller, &id)?;
        let turns = app.runtime.tables().scan(&TURNS, &owner_prefix(&id), usize::MAX)?;
        Ok(Json(Conversation::new(row, &turns)))
    })
    .await
}

pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    owned(&app, &caller, &id)?;
    let message = ConversationMessage::Delete(caller.identity().clone());
    match app.runtime.ask::<Actor, Said>(&id, &message, PATIENCE).await? {
        Said::Deleted => Ok(StatusCode::NO_CONTENT),
        Said::Turn(_) | Said::Full(_) | Said::Conflict(_) | Said::Length(_) | Said::Unknown => {
            Err(unknown(&id))
        }
    }
}

/// Has a question be the next turn of its conversation, and waits for what comes of it.
pub(super) async fn ask(
    app: &App,
    caller: &Caller,
    asked: Asked,
    patience: Option<Duration>,
) -> Result<(StatusCode, Json<Submitted>), ApiError> {
    let since = instant();
    let (id, number) = take(app, caller, asked).await?;
    let tables = app.runtime.tables();
    let begun = watch((app, &id), patience.unwrap_or(SOON), || {
        let row: Option<TurnRow> = tables.get(&TURNS, &(id.as_str(), number))?;
        Ok(row.filter(|row| row.query.is_some() || row.status == TurnStatus::Ended))
    });
    let Some(row) = begun.await? else {
        let turn = InConversation { conversation: id, turn: number, queued: true };
        return Ok((StatusCode::ACCEPTED, Json(Submitted::turn(turn, None))));
    };
    let Some(query) = row.query else {
        let why = format!("{} (turn {number} of conversation {id})", row.reason);
        return Err(ApiError::Refused(why));
    };
    written(app, &query).await?;
    let left = patience.map(|patience| patience.saturating_sub(since.elapsed()));
    let (status, Json(answered)) = answer(app, Taken::new(query, 0, false), left).await?;
    let turn = InConversation { conversation: id, turn: number, queued: false };
    Ok((status, Json(Submitted::turn(turn, Some(answered)))))
}

/// Has a question be the next turn of its conversation, which is begun if it is new; the turn.
async fn take(app: &App, caller: &Caller, asked: Asked) -> Result<(String, u64), ApiError> {
    let Asked { conversation, text, name, answer_by } = asked;
    app.queries.questions.words(answer_by).map_err(|why| ApiError::Invalid(vec![why]))?;
    let length = text.chars().count();
    if !(1..=LONGEST).contains(&length) {
        return Err(too_long(length));
    }
    let id = match &name {
        _ if conversation != NEW => conversation,
        Some(name) => begin(app, caller, id_of(caller, name), title_of(&text)).await?,
        None => begin(app, caller, new_id(app)?, title_of(&text)).await?,
    };
    owned(app, caller, &id)?;
    let identity = caller.identity().clone();
    let message = ConversationMessage::Ask(Question { text, identity, name, answer_by });
    match app.runtime.ask::<Actor, Said>(&id, &message, PATIENCE).await? {
        Said::Turn(number) => Ok((id, number)),
        Said::Full(waiting) => {
            let why = format!(
                "{waiting} questions of this conversation wait already, and no more are taken in; come again later"
            );
            Err(ApiError::Full(why))
        }
        Said::Conflict(number) => {
            let why =
                format!("this idempotency-key was given to another question before: turn {number}");
            Err(ApiError::Conflict(why))
        }
        Said::Length(length) => Err(too_long(length as usize)),
        Said::Deleted | Said::Unknown => Err(unknown(&id)),
    }
}

fn too_long(length: usize) -> ApiError {
    ApiError::Malformed(QuestionError::Length(length).to_string())
}

/// Ids rise with time, and nobody guesses one.
fn new_id(app: &App) -> Result<String, ApiError> {
    let mut chance = [0; 4];
    getrandom::fill(&mut chance).map_err(|error| ApiError::Internal(error.to_string()))?;
    let (now, chance) = (app.queries.clock.now(), u32::from_be_bytes(chance));
    Ok(format!("c-{:014x}-{chance:08x}", now.as_micros()))
}

/// The conversation that is begun with the question of this name, however often it is asked.
fn id_of(caller: &Caller, name: &str) -> String {
    let digest = Sha256::digest(format!("{}{name}", owner_key(caller.identity())));
    let hash: String = digest.iter().take(11).map(|byte| format!("{byte:02x}")).collect();
    format!("c-{hash}")
}

/// Begins a conversation of the caller's own, if it is not there.
async fn begin(app: &App, caller: &Caller, id: String, title: String) -> Result<String, ApiError> {
    let Conversations { per_key, beginning } = &app.queries.conversations;
    let _one_at_a_time = beginning.lock().await;
    let all = all(app, caller)?;
    if all.iter().any(|row| row.id == id) {
        return Ok(id);
    }
    if all.len() >= *per_key {
        let why = format!("you have {} conversations already; delete some", all.len());
        return Err(ApiError::Conflict(why));
    }
    let message = ConversationMessage::Begin { owner: caller.identity().clone(), title };
    app.runtime.ask::<Actor, Said>(&id, &message, PATIENCE).await?;
    Ok(id)
}

/// The beginning of the first question, where no title was given.
fn title_of(question: &str) -> String {
    let end = question.floor_char_boundary(LONGEST_TITLE);
    question[..end].trim().to_owned()
}

fn all(app: &App, caller: &Caller) -> Result<Vec<ConversationRow>, ApiError> {
    let prefix = owner_key(caller.identity());
    Ok(app.runtime.tables().scan(&CONVERSATIONS, prefix.as_bytes(), usize::MAX)?)
}

fn owned(app: &App, caller: &Caller, id: &str) -> Result<ConversationRow, ApiError> {
    let key = conversation_key(caller.identity(), id);
    app.runtime.tables().get(&CONVERSATIONS, &key)?.ok_or_else(|| unknown(id))
}

fn unknown(id: &str) -> ApiError {
    ApiError::NotFound(format!("there is no conversation {id}; /v1/conversations lists yours"))
}
