//! What somebody did, as documents.

use perennial_query::audit::{self, DeedRow};
use serde::{Deserialize, Serialize};

use super::{checked_limit, time};
use crate::http::error::ApiError;

/// Something that somebody did.
#[derive(Debug, Serialize)]
pub(in crate::http) struct Deed {
    number: u64,
    at: String,
    what: &'static str,
    id: String,
    name: String,
    by: String,
    role: String,
    /// The number of the API key; null for the node's own token.
    key: Option<u64>,
    success: bool,
    result: String,
}

impl From<&DeedRow> for Deed {
    fn from(row: &DeedRow) -> Self {
        let audit::Deed { act, object, name, by, result } = &row.deed;
        let (Ok(told) | Err(told)) = result;
        Self {
            number: row.number,
            at: time(row.at),
            what: act.as_str(),
            id: object.clone(),
            name: name.clone(),
            by: by.name.clone(),
            role: by.role.clone(),
            key: by.key,
            success: result.is_ok(),
            result: told.clone(),
        }
    }
}

/// Which are listed, the latest first.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct DeedFilter {
    by: Option<String>,
    limit: Option<usize>,
    /// The `next` of the list before.
    pub(in crate::http) after: Option<u64>,
}

impl DeedFilter {
    pub(in crate::http) fn limit(&self) -> Result<usize, ApiError> {
        checked_limit(self.limit)
    }

    pub(in crate::http) fn matches(&self, row: &DeedRow) -> bool {
        self.by.as_ref().is_none_or(|by| row.deed.by.name == *by)
    }
}
