//! What happens in a query, as it happens: server-sent events that can be taken up again anywhere.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Sse;
use axum::response::sse::{Event as SentEvent, KeepAlive};
use futures::Stream;
use futures::stream::unfold;
use perennial_query::record::{EVENTS, Event, EventRow, QUERIES, QueryStatus};

use super::sharing::readable;
use super::watch;
use crate::http::App;
use crate::http::access::Caller;
use crate::http::error::ApiError;
use crate::http::extract::{Params, Path};
use crate::http::model::{After, QueryEvent};

/// Events read at a time.
const PAGE: usize = 100;
/// How often a stream in which nothing happens shows that it is alive.
const ALIVE: Duration = Duration::from_secs(15);
/// The header by which a client says how far it has come.
const LAST_EVENT_ID: &str = "last-event-id";

pub(crate) async fn stream(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Params(after): Params<After>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<SentEvent, Infallible>>>, ApiError> {
    readable(&app, &caller, &id)?;
    let from = match headers.get(LAST_EVENT_ID) {
        Some(value) => value.to_str().ok().and_then(|text| text.parse().ok()).ok_or_else(|| {
            ApiError::Malformed(format!("`{LAST_EVENT_ID}` must be the number of an event"))
        })?,
        None => after.after.unwrap_or_default(),
    };
    let begun =
        Following { app, id, last: from, read: VecDeque::new(), ended: false, _caller: caller };
    let events = unfold(begun, |mut following| async {
        let event = following.next().await?;
        Some((Ok(event), following))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE)))
}

/// How far a client has come.
struct Following {
    app: App,
    id: String,
    last: u64,
    read: VecDeque<EventRow>,
    ended: bool,
    /// Who follows: their place among those who are answered is taken for as long.
    _caller: Caller,
}

impl Following {
    /// The next event; none after the last one.
    async fn next(&mut self) -> Option<SentEvent> {
        if self.read.is_empty() && !self.ended {
            self.read = self.wait().await?.into();
        }
        let row = self.read.pop_front()?;
        self.last = row.number;
        self.ended = self.read.is_empty() && matches!(row.event, Event::Finished { .. });
        let event = QueryEvent::new(&row);
        let sent = SentEvent::default().id(row.number.to_string()).event(row.event.as_str());
        sent.json_data(event).ok()
    }

    /// Waits until something has happened behind the last event.
    async fn wait(&self) -> Option<Vec<EventRow>> {
        let (tables, id, last) = (self.app.runtime.tables(), self.id.clone(), self.last);
        let more = || {
            let found = tables.scan_owned(&EVENTS, &id, last.saturating_add(1), PAGE)?;
            Ok((!found.is_empty()).then_some(found))
        };
        loop {
            // A query that is forgotten has nothing more to tell, nor has one that has ended and told that.
            let query = tables.get(&QUERIES, &id).ok()??;
            if query.status == QueryStatus::Finished {
                return more().ok()?;
            }
            match watch((&self.app, &id), ALIVE, more).await {
                Ok(Some(found)) => return Some(found),
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(%error, query = id, "its events cannot be read");
                    return None;
                }
            }
        }
    }
}
