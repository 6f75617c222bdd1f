//! Reading what a client sends, whatever it sends.

use std::time::Duration;

use axum::extract::Query;
use axum::http::Uri;
use perennial_query::tools::external::answer_of;
use serde::de::DeserializeOwned;

use super::model::{
    Acknowledge, Approval, Asked, Filter, JobDone, JobHeld, QueryFilter, Reason, Source, Wait,
    Wanted, WantedKey, Worker,
};

/// No request may be waited for longer, whatever it says.
const LONGEST_REQUEST: Duration = Duration::from_secs(300);

/// Reads bytes as each body of a request.
pub(crate) fn body(bytes: &[u8]) {
    if let Some(wanted) = json::<Wanted>(bytes) {
        drop((wanted.action(), wanted.container, wanted.reason));
    }
    if let Some(acknowledge) = json::<Acknowledge>(bytes) {
        drop((acknowledge.by, acknowledge.note));
    }
}

/// Reads bytes as each body that is sent of queries; gives back the text that a query was asked with.
pub(crate) fn query(bytes: &[u8]) -> Option<String> {
    if let Some(approval) = json::<Approval>(bytes) {
        drop((approval.step, approval.by, approval.note));
    }
    if let Some(reason) = json::<Reason>(bytes) {
        drop((reason.reason, reason.by));
    }
    if let Some(wanted) = json::<WantedKey>(bytes) {
        drop(wanted.check());
    }
    match json::<Asked>(bytes)?.source().ok()? {
        Source::Plan(document) => Some(document.to_string()),
        Source::Text(text) | Source::RulesText(text) => Some(text),
        Source::Question(_) | Source::Pipeline(_) | Source::Rules(_) => None,
    }
}

/// Reads bytes as each message of a worker outside the node.
pub(crate) fn worker(bytes: &[u8]) {
    if let Some(worker) = json::<Worker>(bytes) {
        drop(worker.name());
    }
    let held = json::<JobHeld>(bytes).map(|held| held.lease);
    if let Some(done) = json::<JobDone>(bytes) {
        assert!(held.is_none_or(|held| held == done.lease), "one lease is read as another");
        let (value, error) = done.outcome();
        drop(answer_of(value, error));
    }
}

/// Reads bytes as the path and parameters of a request.
pub(crate) fn parameters(bytes: &[u8]) {
    let uri = Uri::try_from(bytes);
    if let Ok(Query(filter)) =
        uri.as_ref().map_or_else(|_| Ok(Query(Filter::default())), Query::try_from_uri)
    {
        drop((filter.check(), filter.limit(), filter.after()));
    }
    if let Ok(uri) = uri {
        let wait = Wait::of_uri(&uri);
        assert!(wait <= LONGEST_REQUEST, "{uri} may take {wait:?}");
        drop(
            Query::<QueryFilter>::try_from_uri(&uri)
                .map(|Query(filter)| filter.check_after().and_then(|()| filter.limit())),
        );
    }
}

fn json<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    axum::Json::from_bytes(bytes).ok().map(|axum::Json(value)| value)
}
