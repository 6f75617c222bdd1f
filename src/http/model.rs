//! What the interface says, as JSON types: documents of their own, never persisted. Times are
//! RFC 3339 in UTC, durations are seconds.

mod action;
mod actor;
mod advice;
mod container;
mod conversation;
mod deed;
mod document;
mod incident;
mod journal;
mod key;
mod order;
mod query;
mod query_event;
mod query_filter;
mod query_step;
mod schedule;
mod worker;

use perennial_runtime::Timestamp;
use serde::{Deserialize, Serialize};

pub(super) use action::{Actions, Audited, Chain};
pub(super) use actor::{DeadLetter, TreeNode};
pub(super) use container::Container;
pub(super) use conversation::{
    Conversation, ConversationPage, InConversation, NewConversation, Submitted,
};
pub(super) use deed::{Deed, DeedFilter};
pub(super) use document::{Document, DocumentFilter, DocumentSummary, metadata, patience};
pub(super) use incident::{Filter, Incident, IncidentWithJournal, Place};
pub(super) use key::{ApiKey, KeyPage, NewApiKey, WantedKey};
pub(super) use order::{Taken, Wanted};
pub(super) use query::{
    Admission, After, Again, Answered, Approval, Asked, DeadStep, Query, QuerySummary, Reason,
    Source, Tool, Wait,
};
pub(super) use query_event::QueryEvent;
pub(super) use query_filter::QueryFilter;
pub(super) use query_step::{StepPage, StepsWanted};
pub(super) use schedule::{Fired, Schedule};
pub(super) use worker::{Job, JobDone, JobHeld, PoolStanding, Renewed, Worker};

use super::error::ApiError;

/// Rows of a list when nothing else is asked for.
const USUAL_LIMIT: usize = 100;

/// The most rows a list may be asked for.
const LARGEST_LIMIT: usize = 1000;

/// A list; an object, so that it can grow.
#[derive(Debug, Serialize)]
pub(super) struct List<T> {
    pub(super) items: Vec<T>,
    /// What to ask for with `after` to see what follows; missing where nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
}

impl<T> FromIterator<T> for List<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self { items: items.into_iter().collect(), next: None }
    }
}

/// How many rows are asked for.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    limit: Option<usize>,
}

impl Page {
    pub(super) fn limit(self) -> Result<usize, ApiError> {
        checked_limit(self.limit)
    }
}

fn checked_limit(limit: Option<usize>) -> Result<usize, ApiError> {
    match limit.unwrap_or(USUAL_LIMIT) {
        limit @ 1..=LARGEST_LIMIT => Ok(limit),
        limit => {
            let why = format!("limit is {limit}; expected 1 to {LARGEST_LIMIT}");
            Err(ApiError::Malformed(why))
        }
    }
}

/// The body of an acknowledgement.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Acknowledge {
    /// Who takes the incident on.
    pub(super) by: String,
    /// What they have to say.
    pub(super) note: Option<String>,
}

/// A moment as a document shows it.
fn time(at: Timestamp) -> String {
    let micros = i64::try_from(at.as_micros()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::MAX).to_string()
}

/// The name under which an enum appears in documents, for use as a label.
pub(crate) fn label_of(value: &impl Serialize) -> String {
    let text = serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned));
    text.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_in_utc() {
        assert_eq!(time(Timestamp::from_micros(1_700_000_000_250_000)), "2023-11-14T22:13:20.25Z");
        assert!(time(Timestamp::MAX).starts_with("9999-"));
    }

    #[test]
    fn a_list_is_of_at_least_one_and_at_most_a_thousand_rows() {
        assert_eq!(checked_limit(None).unwrap(), 100);
        assert_eq!(checked_limit(Some(1000)).unwrap(), 1000);
        assert!(checked_limit(Some(0)).is_err());
        assert!(checked_limit(Some(1001)).is_err());
    }
}
