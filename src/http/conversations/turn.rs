//! Questions of conversations: how each becomes a turn, and what its owner is told of it.

use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use perennial_query::config::AnswerBy;
use perennial_query::conversation::{
    Conversation as Actor, ConversationMessage, Question, Said, TURNS, TurnRow, TurnStatus,
};
use perennial_query::question::QuestionError;
use perennial_query::question::clarify::LONGEST;
use perennial_query::record::QUERIES;
use perennial_runtime::{instant, owner_prefix};

use super::{LONGEST_TITLE, PATIENCE, begin, id_of, new_id, owned, unknown};
use crate::http::App;
use crate::http::access::Caller;
use crate::http::error::ApiError;
use crate::http::model::{Admission as Taken, InConversation, Submitted};
use crate::http::queries::{answer, watch, written};

/// How long the beginning of a turn is waited for if nothing else is asked for.
const SOON: Duration = Duration::from_secs(1);
/// What stands for a conversation that is to be begun.
const NEW: &str = "new";

/// A question that is to be a turn.
#[derive(Debug)]
pub(in crate::http) struct Asked {
    /// The conversation, or [`NEW`].
    pub(in crate::http) conversation: String,
    pub(in crate::http) text: String,
    /// The name under which it is asked once.
    pub(in crate::http) name: Option<String>,
    pub(in crate::http) answer_by: Option<AnswerBy>,
}

/// Has a question be the next turn of its conversation, and waits for what comes of it.
pub(in crate::http) async fn ask(
    app: &App,
    caller: &Caller,
    asked: Asked,
    patience: Option<Duration>,
) -> Result<(StatusCode, Json<Submitted>), ApiError> {
    let since = instant();
    let (id, number) = take(app, caller, asked).await?;
    let tables = app.runtime.tables();
    let begun = watch((app, &id), patience.unwrap_or(SOON), || {
        let row = tables.get(&TURNS, &(id.as_str(), number))?;
        // It was there when it was taken, so it is gone with its conversation, or behind many others.
        let row = row.ok_or_else(|| no_longer_kept(app, caller, (&id, number)))?;
        Ok(Some(row).filter(|row| row.query.is_some() || row.status == TurnStatus::Ended))
    });
    let Some(row) = begun.await? else {
        let ahead = Some(ahead(app, &id, number)?);
        let turn = InConversation { conversation: id, turn: number, queued: true, ahead };
        return Ok((StatusCode::ACCEPTED, Json(Submitted::turn(turn, None))));
    };
    let there = |query: &str| Ok(tables.get(&QUERIES, query)?.is_some());
    let query = query_of((&id, row), there)?;
    written(app, &query).await?;
    let left = patience.map(|patience| patience.saturating_sub(since.elapsed()));
    // How many queries get a place before this one, the conversation was told, and nobody else.
    let (status, Json(answered)) = answer(app, Taken::new(query, None, false), left).await?;
    let turn = InConversation { conversation: id, turn: number, queued: false, ahead: None };
    Ok((status, Json(Submitted::turn(turn, Some(answered)))))
}

/// The query of a turn that has one, or has ended without; `there` tells whether a query is kept.
fn query_of(
    (conversation, row): (&str, TurnRow),
    there: impl FnOnce(&str) -> Result<bool, ApiError>,
) -> Result<String, ApiError> {
    let TurnRow { number, status, query, reason, .. } = row;
    let Some(query) = query else {
        let why = format!("{reason} (turn {number} of conversation {conversation})");
        return Err(ApiError::Refused(why));
    };
    // While a turn is under way its query may not be written yet. One that ended was.
    if status == TurnStatus::Ended && !there(&query)? {
        let why = format!(
            "this was asked before, and its query {query} is forgotten by now; /v1/conversations/{conversation} \
             has the beginning of its answer as turn {number}"
        );
        return Err(ApiError::Gone(why));
    }
    Ok(query)
}

/// Why a turn is there no more.
fn no_longer_kept(app: &App, caller: &Caller, (id, number): (&str, u64)) -> ApiError {
    match owned(app, caller, id) {
        Ok(_) => ApiError::Gone(format!("turn {number} of conversation {id} is not kept any more")),
        Err(ApiError::NotFound(_)) => ApiError::Gone(format!(
            "conversation {id} was deleted, and turn {number} with it; a query of it that is under way goes on"
        )),
        Err(other) => other,
    }
}

/// Turns before this one that have not ended.
fn ahead(app: &App, id: &str, number: u64) -> Result<u64, ApiError> {
    let turns = app.runtime.tables().scan(&TURNS, &owner_prefix(id), usize::MAX)?;
    let before = turns.iter().filter(|turn| turn.number < number);
    Ok(before.filter(|turn| turn.status != TurnStatus::Ended).count() as u64)
}

/// Has a question be the next turn of its conversation, which is begun if it is new; the turn.
async fn take(app: &App, caller: &Caller, asked: Asked) -> Result<(String, u64), ApiError> {
    let Asked { conversation, text, name, answer_by } = asked;
    app.queries.questions.words(answer_by).map_err(|why| ApiError::Invalid(vec![why]))?;
    let length = text.chars().count();
    if !(1..=LONGEST).contains(&length) {
        return Err(too_long(length));
    }
    let identity = caller.identity().clone();
    let title = title_of(&text);
    let question = Question { text, identity, name, answer_by };
    if conversation != NEW {
        owned(app, caller, &conversation)?;
        let message = ConversationMessage::Ask(question);
        let said = app.runtime.ask::<Actor, Said>(&conversation, &message, PATIENCE).await?;
        let number = turn(said, &conversation)?;
        return Ok((conversation, number));
    }
    let id = match &question.name {
        Some(name) => id_of(caller, name),
        None => new_id(app)?,
    };
    let message = ConversationMessage::BeginWith { title, question };
    let said = begin(app, caller, &id, &message).await?;
    let number = turn(said, &id)?;
    Ok((id, number))
}

/// The number of the turn that a question became.
fn turn(said: Said, id: &str) -> Result<u64, ApiError> {
    match said {
        Said::Turn(number) => Ok(number),
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
        Said::Refused(why) => Err(ApiError::Refused(why)),
        Said::Forgotten => Err(ApiError::Gone(format!(
            "conversation {id} was begun with this question before, and its turn is not kept any more"
        ))),
        Said::Deleted | Said::Unknown => Err(unknown(id)),
    }
}

fn too_long(length: usize) -> ApiError {
    ApiError::Malformed(QuestionError::Length(length).to_string())
}

/// The beginning of the first question, where no title was given.
fn title_of(question: &str) -> String {
    let end = question.floor_char_boundary(LONGEST_TITLE);
    question[..end].trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(status: TurnStatus, query: Option<&str>) -> TurnRow {
        let (query, reason) = (query.map(str::to_owned), "because".to_owned());
        TurnRow { number: 2, status, query, reason, ..TurnRow::default() }
    }

    #[test]
    fn a_turn_whose_query_is_forgotten_says_so_and_is_not_waited_for() {
        let of = |status, there| query_of(("c-1", row(status, Some("q-1"))), |_| Ok(there));
        assert_eq!(of(TurnStatus::Ended, true).unwrap(), "q-1");
        assert_eq!(of(TurnStatus::Running, false).unwrap(), "q-1", "it is not written yet");
        let gone = of(TurnStatus::Ended, false).unwrap_err();
        assert!(matches!(gone, ApiError::Gone(_)), "{gone}");
        let told = gone.to_string();
        assert!(told.contains("q-1") && told.contains("/v1/conversations/c-1"), "{told}");
    }

    #[test]
    fn a_turn_of_which_no_query_was_made_says_why() {
        let refused = query_of(("c-1", row(TurnStatus::Ended, None)), |_| Ok(true)).unwrap_err();
        assert_eq!(refused.to_string(), "because (turn 2 of conversation c-1)");
    }
}
