//! Which queries are listed.

use perennial_query::record::{Outcome, QueryRow, QueryStatus};
use serde::Deserialize;

use super::checked_limit;
use crate::http::error::ApiError;

/// Which queries are listed, the newest first.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct QueryFilter {
    status: Option<String>,
    outcome: Option<String>,
    by: Option<String>,
    limit: Option<usize>,
    /// The `next` of the list before.
    pub(crate) after: Option<String>,
}

impl QueryFilter {
    pub(crate) fn limit(&self) -> Result<usize, ApiError> {
        let statuses = QueryStatus::ALL.map(QueryStatus::as_str);
        let outcomes = Outcome::ALL.map(Outcome::as_str);
        known("status", self.status.as_deref(), &statuses)?;
        known("outcome", self.outcome.as_deref(), &outcomes)?;
        checked_limit(self.limit)
    }

    pub(crate) fn matches(&self, row: &QueryRow) -> bool {
        let fits = |wanted: &Option<String>, is: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| is == Some(wanted))
        };
        fits(&self.status, Some(row.status.as_str()))
            && fits(&self.outcome, row.outcome.map(Outcome::as_str))
            && fits(&self.by, Some(&row.identity.name))
    }
}

fn known(name: &str, given: Option<&str>, all: &[&str]) -> Result<(), ApiError> {
    match given {
        Some(given) if !all.contains(&given) => {
            let why = format!("{name} is {given}; expected one of {}", all.join(", "));
            Err(ApiError::Malformed(why))
        }
        Some(_) | None => Ok(()),
    }
}
