//! Conversations: questions that follow each other. Nobody comes across somebody else's.

mod turn;

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use perennial_query::conversation::{
    CONVERSATIONS, Conversation as Actor, ConversationMessage, ConversationRow, Said, TURNS,
    conversation_key, owner_key,
};
use perennial_query::tool::Identity;
use perennial_runtime::{Clock, owner_prefix};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use super::access::Caller;
use super::error::ApiError;
use super::extract::{MaybeBody, Params, Path, key};
use super::model::{Conversation, ConversationPage, List, NewConversation};
use super::{App, aside};

pub(super) use turn::{Asked, ask};

/// The wait for a conversation's commit.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest title, in bytes.
const LONGEST_TITLE: usize = 200;
/// Owners share so many doors: each key has its own until there are as many.
const DOORS: u64 = 64;

/// What handlers need to know of conversations.
#[derive(Debug)]
pub(crate) struct Conversations {
    /// So many may be one's own.
    per_key: usize,
    /// Held while somebody begins one, so that two of theirs at the same time are no more than may be.
    doors: Vec<Mutex<()>>,
}

impl Conversations {
    pub(crate) fn new(per_key: usize) -> Self {
        Self { per_key, doors: (0..DOORS).map(|_| Mutex::default()).collect() }
    }

    /// The same for all that `owner` begins, and hardly ever that of anybody else.
    fn door(&self, owner: &Identity) -> &Mutex<()> {
        // Keys are numbered from 1; without one is who holds the node's token.
        let door = owner.key.unwrap_or_default() % DOORS;
        &self.doors[door as usize]
    }
}

/// Begins one; under one name it is one, however often it is asked for.
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    MaybeBody(NewConversation { title }): MaybeBody<NewConversation>,
) -> Result<(StatusCode, Json<Conversation>), ApiError> {
    if title.len() > LONGEST_TITLE {
        let why = format!("`title` may have {LONGEST_TITLE} bytes, not {}", title.len());
        return Err(ApiError::Malformed(why));
    }
    let id = match key(&headers, &caller.names("conversation"))? {
        Some(name) => id_of(&caller, &name),
        None => new_id(&app)?,
    };
    let message = ConversationMessage::Begin { owner: caller.identity().clone(), title };
    begin(&app, &caller, &id, &message).await?;
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
        Said::Turn(_)
        | Said::Full(_)
        | Said::Conflict(_)
        | Said::Length(_)
        | Said::Unknown
        | Said::Refused(_)
        | Said::Forgotten => Err(unknown(&id)),
    }
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

/// Begins a conversation of the caller's own with `message`; it may be there already.
async fn begin(
    app: &App,
    caller: &Caller,
    id: &str,
    message: &ConversationMessage,
) -> Result<Said, ApiError> {
    let conversations = &app.queries.conversations;
    let _one_at_a_time = conversations.door(caller.identity()).lock().await;
    let all = all(app, caller)?;
    if all.len() >= conversations.per_key && !all.iter().any(|row| row.id == id) {
        let why = format!("you have {} conversations already; delete some", all.len());
        return Err(ApiError::Conflict(why));
    }
    Ok(app.runtime.ask::<Actor, Said>(id, message, PATIENCE).await?)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(key: Option<u64>) -> Identity {
        Identity { key, ..Identity::default() }
    }

    #[test]
    fn who_begins_a_conversation_waits_for_nobody_else_who_does() {
        let conversations = Conversations::new(3);
        let _ann = conversations.door(&owner(Some(1))).try_lock().unwrap();
        assert!(conversations.door(&owner(Some(1))).try_lock().is_err(), "but for themselves");
        let _bob = conversations.door(&owner(Some(2))).try_lock().unwrap();
        let _operator = conversations.door(&owner(None)).try_lock().unwrap();
        assert!(conversations.door(&owner(Some(u64::MAX))).try_lock().is_ok());
    }
}
