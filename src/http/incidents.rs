//! Incidents: what was wrong, what was done, and whether it helped.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use perennial_healing::alert::{
    self, ALERT, Acknowledgement, Alert, AlertMessage, INCIDENTS, JOURNAL,
};
use perennial_healing::model::IncidentId;
use perennial_runtime::owner_prefix;

use super::access::Caller;
use super::error::ApiError;
use super::extract::{Body, Params, Path};
use super::model::{Acknowledge, Filter, Incident, IncidentWithJournal, List, Place};
use super::{App, aside};

/// Journal entries shown of one incident.
const JOURNAL_ENTRIES: usize = 10_000;

/// The wait for the Alert agent's commit.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest `by` and `note`, in bytes: they are stored and sent on.
const LONGEST_BY: usize = 200;
const LONGEST_NOTE: usize = 2_000;

pub(super) async fn list(
    State(app): State<App>,
    Params(filter): Params<Filter>,
) -> Result<Json<List<Incident>>, ApiError> {
    filter.check()?;
    let (mut first, after) = (First::new(filter.limit()?), filter.after()?);
    let tables = app.runtime.tables();
    aside(move || {
        tables.visit(&INCIDENTS, b"", |row| {
            let place = Place::of(&row);
            if row.known && filter.matches(&row) && after.as_ref().is_none_or(|at| place > *at) {
                first.add(place, row);
            }
            ControlFlow::Continue(())
        })?;
        Ok(Json(first.into()))
    })
    .await
}

/// The first incidents of the list, of those that were added. It holds no more than that: all that are
/// kept are looked at, as their keys tell nothing about when they changed.
struct First {
    limit: usize,
    rows: BTreeMap<Place, alert::Incident>,
    /// There were others behind them.
    more: bool,
}

impl First {
    fn new(limit: usize) -> Self {
        Self { limit, rows: BTreeMap::new(), more: false }
    }

    fn add(&mut self, place: Place, incident: alert::Incident) {
        self.rows.insert(place, incident);
        if self.rows.len() > self.limit {
            self.rows.pop_last();
            self.more = true;
        }
    }
}

impl From<First> for List<Incident> {
    fn from(first: First) -> Self {
        let last = first.rows.last_key_value().filter(|_| first.more);
        let next = last.map(|(place, _)| place.to_string());
        Self { items: first.rows.into_values().map(Incident::from).collect(), next }
    }
}

pub(super) async fn show(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<IncidentWithJournal>, ApiError> {
    let tables = app.runtime.tables();
    let incident = tables.get(&INCIDENTS, id.as_str())?.ok_or_else(|| unknown(&id))?;
    let journal = tables.scan(&JOURNAL, &owner_prefix(&id), JOURNAL_ENTRIES)?;
    Ok(Json(IncidentWithJournal::new(incident, journal)))
}

pub(super) async fn acknowledge(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Body(Acknowledge { by, note }): Body<Acknowledge>,
) -> Result<StatusCode, ApiError> {
    check(&by, note.as_deref())?;
    let by = caller.signs(by)?;
    let message = AlertMessage::Acknowledge { incident: IncidentId(id.clone()), by, note };
    match app.runtime.ask::<Alert, Acknowledgement>(ALERT, &message, PATIENCE).await? {
        Acknowledgement::Acknowledged => Ok(StatusCode::NO_CONTENT),
        Acknowledgement::Unknown => Err(unknown(&id)),
        Acknowledgement::Closed => Err(ApiError::Conflict(format!("{id} is closed already"))),
    }
}

fn check(by: &str, note: Option<&str>) -> Result<(), ApiError> {
    let wrong = if by.trim().is_empty() || by.len() > LONGEST_BY {
        Some(format!("`by` must name a person, in at most {LONGEST_BY} bytes"))
    } else if note.is_some_and(|note| note.len() > LONGEST_NOTE) {
        Some(format!("`note` must be at most {LONGEST_NOTE} bytes"))
    } else {
        None
    };
    wrong.map_or(Ok(()), |why| Err(ApiError::Malformed(why)))
}

fn unknown(id: &str) -> ApiError {
    ApiError::NotFound(format!("there is no incident {id}; /v1/incidents lists them"))
}

#[cfg(test)]
mod tests {
    use perennial_runtime::Timestamp;

    use super::*;

    fn incident(n: u64) -> alert::Incident {
        let id = IncidentId(format!("inc-{n}"));
        // Two of a time each.
        let updated_at = Timestamp::from_micros(n / 2);
        alert::Incident { id, updated_at, known: true, ..Default::default() }
    }

    fn first(limit: usize, after: Option<&str>) -> List<Incident> {
        let after = after.map(|text| Place::parse(text).unwrap());
        let mut first = First::new(limit);
        for n in [3, 0, 5, 1, 4, 2] {
            let place = Place::of(&incident(n));
            if after.as_ref().is_none_or(|at| place > *at) {
                first.add(place, incident(n));
            }
        }
        first.into()
    }

    fn ids(list: &List<Incident>) -> Vec<String> {
        let ids = serde_json::to_value(list).unwrap();
        let items = ids["items"].as_array().unwrap().iter();
        items.map(|item| item["id"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn asked_for_what_follows_until_nothing_does_every_incident_is_listed_once() {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let list = first(4, after.as_deref());
            all.extend(ids(&list));
            after = list.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(all, ["inc-4", "inc-5", "inc-2", "inc-3", "inc-0", "inc-1"]);
    }

    #[test]
    fn a_list_of_all_there_are_has_nothing_that_follows() {
        let list = first(6, None);
        assert_eq!((ids(&list).len(), list.next), (6, None));
    }
}
