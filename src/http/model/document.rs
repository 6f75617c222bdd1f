//! Documents of the library, as the interface shows them.

use std::collections::BTreeMap;
use std::time::Duration;

use perennial_knowledge::{
    DocumentId, Filter, Found, Header, Ingested, Outcome, Progress, Quality, Reading, Stage,
};
use serde::{Deserialize, Serialize};

use super::checked_limit;
use super::query::Wait;
use crate::http::error::ApiError;
use crate::http::extract::once_each;

/// Which documents are listed.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct DocumentFilter {
    /// The id or the name of one.
    document: Option<String>,
    team: Option<String>,
    /// Names and values, as a JSON object.
    metadata: Option<String>,
    status: Option<String>,
    limit: Option<usize>,
    after: Option<String>,
}

impl DocumentFilter {
    pub(in crate::http) fn limit(&self) -> Result<usize, ApiError> {
        checked_limit(self.limit)
    }

    /// Whether those are wanted that were accepted and are not indexed yet.
    pub(in crate::http) fn waiting(&self) -> Result<bool, ApiError> {
        match self.status.as_deref() {
            None | Some("indexed") => Ok(false),
            Some("waiting") => Ok(true),
            Some(other) => {
                let why = format!("status is `{other}`; expected `indexed` or `waiting`");
                Err(ApiError::Malformed(why))
            }
        }
    }

    pub(in crate::http) fn after(&self) -> Result<Option<DocumentId>, ApiError> {
        let Some(after) = &self.after else { return Ok(None) };
        let malformed =
            || ApiError::Malformed(format!("after is `{after}`; expected the id of a document"));
        DocumentId::parse(after).map(Some).ok_or_else(malformed)
    }

    pub(in crate::http) fn wanted(&self) -> Result<Filter, ApiError> {
        let (document, team) = (self.document.clone(), self.team.clone());
        Ok(Filter { document, team, metadata: metadata(self.metadata.as_deref())? })
    }
}

/// Names and values from a parameter that is a JSON object of strings.
pub(in crate::http) fn metadata(text: Option<&str>) -> Result<BTreeMap<String, String>, ApiError> {
    let Some(text) = text else { return Ok(BTreeMap::new()) };
    once_each(text.as_bytes())?;
    serde_json::from_str(text).map_err(|error| {
        let why = format!(
            "metadata must be a JSON object of strings, as in {{\"year\":\"2024\"}}: {error}"
        );
        ApiError::Malformed(why)
    })
}

/// How long the answer is waited for, if that is said.
pub(in crate::http) fn patience(wait: Option<u64>) -> Result<Option<Duration>, ApiError> {
    Wait { wait }.patience()
}

/// A document in a list.
#[derive(Debug, Serialize)]
pub(in crate::http) struct DocumentSummary {
    id: String,
    name: String,
    title: Option<String>,
    format: Option<&'static str>,
    team: Option<String>,
    metadata: BTreeMap<String, String>,
    status: &'static str,
    chunks: Option<usize>,
}

impl From<&Header> for DocumentSummary {
    fn from(header: &Header) -> Self {
        Self {
            id: header.id.to_string(),
            name: header.name.clone(),
            title: Some(header.title.clone()),
            format: Some(header.written_in.as_str()),
            team: header.team.clone(),
            metadata: header.metadata.clone(),
            status: "indexed",
            chunks: usize::try_from(header.chunks).ok(),
        }
    }
}

impl From<&Progress> for DocumentSummary {
    fn from(progress: &Progress) -> Self {
        Self {
            id: progress.document.to_string(),
            name: progress.name.clone(),
            title: None,
            format: None,
            team: progress.team.clone(),
            metadata: BTreeMap::new(),
            status: status_of(&progress.stage),
            chunks: chunks_of(&progress.stage),
        }
    }
}

const fn status_of(stage: &Stage) -> &'static str {
    match stage {
        Stage::Pending => "pending",
        Stage::Chunked(_) => "chunked",
        Stage::Delayed(_) => "delayed",
        Stage::Ended(Ok(ingested)) if ingested.outcome.is_kept() => "indexed",
        Stage::Ended(Ok(Ingested { outcome: Outcome::Duplicate(_), .. })) => "duplicate",
        Stage::Ended(_) => "refused",
    }
}

const fn chunks_of(stage: &Stage) -> Option<usize> {
    match stage {
        Stage::Chunked(chunks) => Some(*chunks),
        Stage::Pending | Stage::Delayed(_) | Stage::Ended(_) => None,
    }
}

/// The document with the same text, because of which it is not kept.
fn duplicate_of(stage: &Stage) -> Option<String> {
    match stage {
        Stage::Ended(Ok(Ingested { outcome: Outcome::Duplicate(other), .. })) => {
            Some(other.to_string())
        }
        Stage::Pending | Stage::Chunked(_) | Stage::Delayed(_) | Stage::Ended(_) => None,
    }
}

/// Why it is not in the library, if there is a reason.
fn reason_of(stage: &Stage) -> Option<String> {
    match stage {
        Stage::Pending | Stage::Chunked(_) => None,
        Stage::Delayed(why) => Some(why.clone()),
        Stage::Ended(Err(error)) => Some(error.message.clone()),
        Stage::Ended(Ok(ingested)) => ingested.outcome.reason(),
    }
}

/// A document, and how far it is.
#[derive(Debug, Serialize)]
pub(in crate::http) struct Document {
    #[serde(flatten)]
    summary: DocumentSummary,
    /// What came of sending it, in the answer to that.
    outcome: Option<&'static str>,
    /// Whether it is in the library under its own name.
    kept: Option<bool>,
    /// The document with the same text, because of which this one is not kept.
    duplicate_of: Option<String>,
    /// Why it is delayed or refused, or a later version of it is.
    reason: Option<String>,
    /// How far a later version of it is that was accepted.
    next_version: Option<&'static str>,
    characters: Option<u64>,
    quality: Option<Shares>,
    repeated_chunks: Option<u64>,
    /// What was taken out of its text, and how often.
    sanitized: BTreeMap<String, u64>,
    links: Option<usize>,
    /// Whether it can be found by likeness.
    vectors: Option<bool>,
    /// Changes with it.
    version: Option<String>,
    warnings: Vec<String>,
}

/// What the text was made of before anything was taken out, without whitespace.
#[derive(Debug, Serialize)]
struct Shares {
    characters: u64,
    letters_and_digits: u64,
    unreadable: u64,
}

impl From<Quality> for Shares {
    fn from(quality: Quality) -> Self {
        let Quality { characters, meaningful, strange } = quality;
        Self { characters, letters_and_digits: meaningful, unreadable: strange }
    }
}

impl Document {
    /// One that is in the library.
    pub(in crate::http) fn indexed(found: &Found) -> Self {
        let Found { header, version, vectors } = found;
        let Reading { characters, quality, repeated_chunks, sanitized, warnings } = &header.reading;
        Self {
            summary: header.into(),
            outcome: None,
            kept: None,
            duplicate_of: None,
            reason: None,
            next_version: None,
            characters: Some(*characters),
            quality: Some((*quality).into()),
            repeated_chunks: Some(*repeated_chunks),
            sanitized: sanitized.clone(),
            links: Some(header.links.len()),
            vectors: Some(*vectors),
            version: Some(version.clone()),
            warnings: warnings.clone(),
        }
    }

    /// One that is not in the library, or not yet.
    pub(in crate::http) fn awaited(progress: &Progress) -> Self {
        Self {
            summary: progress.into(),
            outcome: None,
            kept: None,
            duplicate_of: duplicate_of(&progress.stage),
            reason: reason_of(&progress.stage),
            next_version: None,
            characters: None,
            quality: None,
            repeated_chunks: None,
            sanitized: BTreeMap::new(),
            links: None,
            vectors: None,
            version: None,
            warnings: Vec::new(),
        }
    }

    /// The same, of which a later version was accepted.
    pub(in crate::http) fn while_it_is(self, stage: &Stage) -> Self {
        let status = status_of(stage);
        let next_version = (status != "indexed").then_some(status);
        Self { next_version, reason: reason_of(stage), ..self }
    }

    /// The same, as the answer to who sent it.
    pub(in crate::http) fn with_outcome(self, outcome: &Outcome) -> Self {
        let (kept, reason) = (Some(outcome.is_kept()), outcome.reason());
        Self { outcome: Some(outcome.as_str()), kept, reason, next_version: None, ..self }
    }
}
