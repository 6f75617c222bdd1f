//! What somebody did, as documents.

use perennial_query::audit::{self, DeedRow, Part};
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

/// What can be asked for by itself.
const PARTS: [Part; 3] = [Part::Documents, Part::Keys, Part::Conversations];

/// Which are listed, the latest first.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct DeedFilter {
    by: Option<String>,
    /// What was done to these.
    of: Option<String>,
    limit: Option<usize>,
    /// The `next` of the list before.
    pub(in crate::http) after: Option<u64>,
}

impl DeedFilter {
    pub(in crate::http) fn limit(&self) -> Result<usize, ApiError> {
        checked_limit(self.limit)
    }

    /// To what it was done that is asked for.
    pub(in crate::http) fn part(&self) -> Result<Option<Part>, ApiError> {
        let Some(of) = &self.of else { return Ok(None) };
        let found = PARTS.into_iter().find(|part| part.as_str() == of);
        found.map(Some).ok_or_else(|| {
            let names = PARTS.map(Part::as_str).join(", ");
            ApiError::Malformed(format!("of is `{of}`; expected one of {names}"))
        })
    }

    pub(in crate::http) fn matches(&self, part: Option<Part>, row: &DeedRow) -> bool {
        self.by.as_ref().is_none_or(|by| row.deed.by.name == *by)
            && part.is_none_or(|part| row.deed.act.part() == part)
    }
}
