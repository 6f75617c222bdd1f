//! API keys, as documents.

use std::collections::BTreeSet;

use perennial_query::keys::KeyRow;
use serde::{Deserialize, Serialize};

use super::time;
use crate::http::access::OPERATOR;
use crate::http::error::ApiError;

/// What the names begin with in which schedules ask.
const SCHEDULE: &str = "schedule:";
/// The longest name of a person, a team or a worker, in bytes.
pub(super) const LONGEST_NAME: usize = 100;
/// The most teams: they go with every query and call.
const MOST_TEAMS: usize = 100;

/// A key that is wanted for somebody.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct WantedKey {
    pub(in crate::http) name: String,
    pub(in crate::http) role: String,
    #[serde(default)]
    pub(in crate::http) teams: BTreeSet<String>,
}

impl WantedKey {
    pub(in crate::http) fn check(&self) -> Result<(), ApiError> {
        let wrong = if !is_plain(&self.name) {
            format!(
                "`name` must say who holds the key, in at most {LONGEST_NAME} bytes, without blanks around it"
            )
        } else if self.name == OPERATOR {
            format!("`name` is `{OPERATOR}`, which is whoever holds the node's token")
        } else if self.name.starts_with(SCHEDULE) {
            format!("`name` begins with `{SCHEDULE}`, which is how schedules sign")
        } else if !self.teams.iter().all(|team| is_plain(team)) || self.teams.len() > MOST_TEAMS {
            format!(
                "`teams` may be {MOST_TEAMS} names of at most {LONGEST_NAME} bytes each, without blanks around them"
            )
        } else {
            return Ok(());
        };
        Err(ApiError::Malformed(wrong))
    }
}

/// Whether people can read `text` as a name.
pub(super) fn is_plain(text: &str) -> bool {
    let blank = text.is_empty() || text.trim() != text;
    !blank && text.len() <= LONGEST_NAME && !text.chars().any(char::is_control)
}

/// An API key, without what opens anything.
#[derive(Debug, Serialize)]
pub(in crate::http) struct ApiKey {
    id: u64,
    name: String,
    role: String,
    teams: Vec<String>,
    created_at: String,
    revoked_at: Option<String>,
}

impl From<KeyRow> for ApiKey {
    fn from(row: KeyRow) -> Self {
        let KeyRow { number, name, role, teams, hash: _, created_at, revoked_at } = row;
        let (created_at, revoked_at) = (time(created_at), revoked_at.map(time));
        Self { id: number, name, role, teams, created_at, revoked_at }
    }
}

/// The only document that ever holds a key itself.
#[derive(Serialize)]
pub(in crate::http) struct NewApiKey {
    #[serde(flatten)]
    pub(in crate::http) about: ApiKey,
    /// What its holder sends with each request.
    pub(in crate::http) key: String,
}

/// Which keys are listed, the newest first.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct KeyPage {
    limit: Option<usize>,
    /// The key before the first one that is listed.
    pub(in crate::http) after: Option<u64>,
}

impl KeyPage {
    pub(in crate::http) fn limit(self) -> Result<usize, ApiError> {
        super::checked_limit(self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &str, teams: &[&str]) -> bool {
        let teams = teams.iter().map(|team| (*team).to_owned()).collect();
        WantedKey { name: name.to_owned(), role: "coach".to_owned(), teams }.check().is_err()
    }

    #[test]
    fn a_key_is_for_somebody_who_is_not_the_operator() {
        assert!(!refused("Ann Lee", &["reds", "blues"]));
        for name in ["", " ", "operator", "schedule:tick", "a\nb", " ann", "ann ", &"x".repeat(101)]
        {
            assert!(refused(name, &[]), "{name:?}");
        }
        assert!(refused("ann", &[""]) && refused("ann", &["a\tb"]));
        assert!(refused("ann", &["reds", " blues"]) && refused("ann", &["reds "]));
        assert!(!refused("schedules", &[]), "only what schedules sign with is theirs");
    }
}
