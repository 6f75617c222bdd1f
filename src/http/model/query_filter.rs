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

    /// Refuses to go on behind what is no id of a query; whether it is kept still does not matter.
    pub(crate) fn check_after(&self) -> Result<(), ApiError> {
        match &self.after {
            Some(after) if !is_query_id(after) => {
                let why = format!("after is `{after}`; expected the `next` of an earlier list");
                Err(ApiError::Malformed(why))
            }
            Some(_) | None => Ok(()),
        }
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

/// Whether `text` is of the form in which the admission names queries: `q-`, digits of a moment, a dash, and a count.
fn is_query_id(text: &str) -> bool {
    let digits = |part: &str, least| part.len() >= least && part.bytes().all(is_digit);
    let parts = text.strip_prefix("q-").and_then(|rest| rest.split_once('-'));
    parts.is_some_and(|(moment, count)| digits(moment, 14) && digits(count, 4))
}

/// Whether it is a hexadecimal digit as ids have them.
const fn is_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_goes_on_behind_an_id_and_nothing_else() {
        let checked = |after: &str| {
            let after = Some(after.to_owned());
            QueryFilter { after, ..QueryFilter::default() }.check_after()
        };
        assert!(checked("q-0660cceaec447d-0006").is_ok());
        for after in
            ["", " ", "q-", "q-1", "nonsense", "q-0660CCEAEC447D-0006", "q-0660cceaec447d-"]
        {
            let why = checked(after).unwrap_err().to_string();
            assert!(why.starts_with("after is `"), "{why}");
        }
        assert!(QueryFilter::default().check_after().is_ok());
    }
}
