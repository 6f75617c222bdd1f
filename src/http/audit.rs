//! The audit of what is no query: who changed documents, API keys and conversations, when, and what came of it.

use std::ops::ControlFlow;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use perennial_query::audit::{AUDIT, Act, Audit, AuditMessage, DEEDS, Deed as Done, DeedRow};
use perennial_runtime::{AskError, RowKey, Runtime};

use super::access::Caller;
use super::error::ApiError;
use super::extract::Params;
use super::model::{Deed, DeedFilter, List};
use super::{App, aside};

/// The wait for the Audit's commit.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes that are kept of a name, and of a reason: clients write both.
const LONGEST: usize = 1_000;

/// Keeps what somebody did, durably; in its own part if it changed something, and else among what did not.
pub(crate) async fn keep(runtime: &Runtime, deed: Done, changes: bool) -> Result<(), AskError> {
    let deed = Done { name: cut(deed.name), result: deed.result.map(cut).map_err(cut), ..deed };
    let message = if changes { AuditMessage::Keep(deed) } else { AuditMessage::Tried(deed) };
    runtime.ask::<Audit, u64>(AUDIT, &message, PATIENCE).await.map(drop)
}

/// Keeps that the caller was refused something: to do it to what has this id and name. They are told the same if that
/// cannot be kept.
pub(super) async fn keep_refusal(
    (app, caller): (&App, &Caller),
    (act, object, name): (Act, String, String),
    why: &ApiError,
) {
    let (by, result) = (caller.identity().clone(), Err(why.to_string()));
    let deed = Done { act, object, name, by, result };
    if let Err(error) = keep(&app.runtime, deed, false).await {
        let (what, by) = (act.as_str(), &caller.identity().name);
        tracing::warn!(what, by, %why, %error, "what was refused could not be kept in the audit");
    }
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(LONGEST));
    text
}

/// What was done, the latest first. As many are looked at as there are: they are bounded.
pub(super) async fn list(
    State(app): State<App>,
    Params(filter): Params<DeedFilter>,
) -> Result<Json<List<Deed>>, ApiError> {
    let (limit, part) = (filter.limit()?, filter.part()?);
    let tables = app.runtime.tables();
    aside(move || {
        let mut found: Vec<DeedRow> = Vec::new();
        let before = filter.after.map(|number| number.to_row_key());
        tables.visit_back(&DEEDS, before.as_deref(), |row| {
            if filter.matches(part, &row) {
                found.push(row);
            }
            if found.len() > limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more).map(|row| row.number.to_string());
        Ok(Json(List { items: found.iter().map(Deed::from).collect(), next }))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_write_is_kept_in_part_where_it_is_long() {
        assert_eq!(cut("ü".repeat(700)).len(), LONGEST);
        assert_eq!(cut("日".repeat(400)).len(), 999);
        assert_eq!(cut("a.md".to_owned()), "a.md");
    }
}
