//! Reading what a client sends, whatever it sends.

use axum::extract::Query;
use axum::http::Uri;
use serde::de::DeserializeOwned;

use super::model::{Acknowledge, Filter, Wanted};

/// Reads bytes as each body of a request.
pub(crate) fn body(bytes: &[u8]) {
    if let Some(wanted) = json::<Wanted>(bytes) {
        drop((wanted.action(), wanted.container, wanted.reason));
    }
    if let Some(acknowledge) = json::<Acknowledge>(bytes) {
        drop((acknowledge.by, acknowledge.note));
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
}

fn json<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    axum::Json::from_bytes(bytes).ok().map(|axum::Json(value)| value)
}
