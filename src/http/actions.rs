//! Actions: the audit, and what a person asks for. What is shown is verified each time; what came before
//! it, once while the node runs, and again when that is asked for.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use perennial_healing::model::Status;
use perennial_healing::monitor::{CONTAINERS, ContainerRow};
use perennial_healing::responder::audit::{ACTIONS, AuditEntry, Head};
use perennial_healing::responder::{Order, Ordered, RESPONDER, Responder, ResponderMessage};
use perennial_query::tool::Identity;
use perennial_runtime::{RowKey, SendOptions, StoreError, TableReader};

use super::access::Caller;
use super::error::ApiError;
use super::extract::{Body, Params, key};
use super::model::{Actions, Audited, Chain, Taken, Wanted};
use super::{App, aside, containers};

/// The wait for the Responder's commit.
const PATIENCE: Duration = Duration::from_secs(5);

/// How far the audit has been verified since the node started.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verified(Arc<Mutex<Head>>);

pub(super) async fn list(
    State(app): State<App>,
    Params(asked): Params<Audited>,
) -> Result<Json<Actions>, ApiError> {
    let limit = asked.limit()?;
    let tables = app.runtime.tables();
    // Hashing what is new takes longer than other requests should wait.
    aside(move || {
        let Chained { mut broken, entries, last } = app.verified.go_on(&tables, asked)?;
        let end = asked.after.unwrap_or(u64::MAX).min(last.number.saturating_add(1));
        let shown = page(&tables, end, limit)?;
        broken = broken.or_else(|| first_broken(&shown));
        let head = (entries > 0).then_some(last.hash);
        let newest = shown.into_iter().rev().collect();
        Ok(Json(Actions::new(newest, Chain::new(entries, head, broken))))
    })
    .await
}

/// The audit from its first entry to its last.
struct Chained {
    /// The first that is missing, out of place or changed.
    broken: Option<u64>,
    entries: u64,
    last: Head,
}

impl Verified {
    /// Verifies what has come since the last time, or everything if that is asked for.
    fn go_on(&self, tables: &TableReader, asked: Audited) -> Result<Chained, StoreError> {
        // Who comes meanwhile waits, and then has nothing left to do.
        let mut head = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.is_anew() {
            *head = Head::default();
        }
        let (mut broken, mut entries, mut last) = (None, head.number, head.clone());
        tables.visit(&ACTIONS, &(head.number + 1).to_row_key(), |entry| {
            if broken.is_none() && !head.follow(&entry) {
                broken = Some(head.number + 1);
            }
            entries += 1;
            last = Head { number: entry.number, hash: entry.hash };
            ControlFlow::Continue(())
        })?;
        Ok(Chained { broken, entries, last })
    }
}

/// At most `limit` entries whose numbers are below `end`, oldest first.
fn page(tables: &TableReader, end: u64, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
    let first = end.saturating_sub(limit as u64);
    let mut found = Vec::new();
    tables.visit(&ACTIONS, &first.to_row_key(), |entry| {
        if entry.number >= end {
            return ControlFlow::Break(());
        }
        found.push(entry);
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// The first of these entries that does not follow from the one before it.
fn first_broken(entries: &[AuditEntry]) -> Option<u64> {
    let mut head = Head::before(entries.first()?);
    let sound = entries.iter().all(|entry| head.follow(entry));
    (!sound).then(|| head.number + 1)
}

/// Takes an order. Whether the gates let it through is in the audit, soon after.
pub(super) async fn order(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    Body(wanted): Body<Wanted>,
) -> Result<(StatusCode, Json<Taken>), ApiError> {
    let action = wanted.action()?;
    let token = key(&headers, &caller.names("order"))?;
    let ContainerRow { subject, facts, .. } = find(&app, &wanted.container)?;
    let reason = match caller.identity() {
        Identity { name, key: Some(_), .. } => format!("{name}: {}", wanted.reason),
        Identity { key: None, .. } => wanted.reason,
    };
    let order = Order { subject, facts, action, reason };
    let (message, options) =
        (ResponderMessage::Order(order), SendOptions { token, ..SendOptions::default() });
    let answer = app.runtime.ask_with::<Responder, Ordered>(RESPONDER, &message, PATIENCE, options);
    let Ordered { incident } = answer.await?;
    Ok((StatusCode::ACCEPTED, Json(Taken { incident: incident.0 })))
}

/// The container of this name, id or short id.
fn find(app: &App, container: &str) -> Result<ContainerRow, ApiError> {
    let rows = app.runtime.tables().scan(&CONTAINERS, b"", containers::MOST)?;
    let named = |row: &ContainerRow| {
        let subject = &row.subject;
        [subject.id.0.as_str(), subject.id.short(), subject.name.as_str()].contains(&container)
    };
    let found = rows.into_iter().find(|row| row.facts.status != Status::Gone && named(row));
    found.ok_or_else(|| {
        let why = format!("there is no container {container}; /v1/containers lists them");
        ApiError::NotFound(why)
    })
}

#[cfg(test)]
mod tests {
    use perennial_healing::model::{Action, IncidentId, Subject};
    use perennial_healing::responder::audit::Stage;
    use perennial_runtime::{Options, Runtime, Supervisor, SystemClock, Timestamp};
    use perennial_store::{Backend, Batch, Key, MemoryBackend, Tag, encode, seal};

    use super::*;

    fn entry(head: &mut Head) -> AuditEntry {
        let mut entry = AuditEntry {
            number: 0,
            at: Timestamp::EPOCH,
            incident: IncidentId::default(),
            subject: Subject::default(),
            action: Action::Restart,
            stage: Stage::Intended,
            gates: Vec::new(),
            outcome: None,
            reason: "why".to_owned(),
            confidence: 1.0,
            previous: String::new(),
            hash: String::new(),
        };
        head.append(&mut entry);
        entry
    }

    fn write(backend: &MemoryBackend, entries: &[AuditEntry]) {
        let mut batch = Batch::new();
        for entry in entries {
            let key = Key::row(ACTIONS.name(), &entry.number.to_row_key());
            let row = seal(&key, Tag::Row, ACTIONS.version(), &encode(entry).unwrap());
            batch.put(key, row);
        }
        backend.commit(backend.claim().unwrap(), &batch).unwrap();
    }

    /// A record of so many entries, and what reads it.
    async fn record(count: usize) -> (Arc<MemoryBackend>, Vec<AuditEntry>, TableReader) {
        let backend = Arc::new(MemoryBackend::new());
        let options = Options::new(backend.clone(), Arc::new(SystemClock));
        let runtime = Runtime::start(options, Supervisor::new("none")).await.unwrap();
        let tables = runtime.tables();
        let mut head = Head::default();
        let entries: Vec<_> = (0..count).map(|_| entry(&mut head)).collect();
        write(&backend, &entries);
        (backend, entries, tables)
    }

    fn asked(query: &str) -> Audited {
        let uri = format!("/v1/actions?{query}").parse().unwrap();
        axum::extract::Query::try_from_uri(&uri).unwrap().0
    }

    #[tokio::test]
    async fn what_came_since_the_last_time_is_verified_and_everything_when_that_is_asked_for() {
        let (backend, mut entries, tables) = record(5).await;
        let verified = Verified::default();
        let whole = |chained: Chained| (chained.broken, chained.entries, chained.last.hash);
        let go_on = |query: &str| whole(verified.go_on(&tables, asked(query)).unwrap());
        assert_eq!(go_on(""), (None, 5, entries[4].hash.clone()));

        let mut head = Head { number: 5, hash: entries[4].hash.clone() };
        let next = entry(&mut head);
        write(&backend, std::slice::from_ref(&next));
        assert_eq!(go_on(""), (None, 6, next.hash.clone()));

        "changed".clone_into(&mut entries[1].reason);
        write(&backend, &entries[1..2]);
        assert_eq!(go_on(""), (None, 6, next.hash.clone()), "verified before");
        assert_eq!(go_on("verify=all"), (Some(2), 6, next.hash.clone()));
        assert_eq!(go_on(""), (Some(2), 6, next.hash), "broken from then on");
    }

    #[tokio::test]
    async fn a_page_ends_before_the_entry_it_is_asked_for_after_and_is_verified_by_itself() {
        let (backend, mut entries, tables) = record(5).await;
        let numbers = |end, limit| -> Vec<u64> {
            page(&tables, end, limit).unwrap().iter().map(|entry| entry.number).collect()
        };
        assert_eq!(numbers(6, 2), [4, 5]);
        assert_eq!(numbers(4, 2), [2, 3]);
        assert_eq!(numbers(2, 2), [1]);
        assert_eq!(numbers(1, 2), [0_u64; 0]);
        assert_eq!(first_broken(&page(&tables, 5, 3).unwrap()), None);
        "changed".clone_into(&mut entries[2].reason);
        write(&backend, &entries[2..3]);
        assert_eq!(first_broken(&page(&tables, 5, 3).unwrap()), Some(3));
        assert_eq!(first_broken(&page(&tables, 6, 2).unwrap()), None);
    }
}
