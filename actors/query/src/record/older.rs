//! What older versions stored, and how it is read.

use perennial_runtime::{Failure, decode};
use serde::{Deserialize, Serialize};

use super::{ByModel, EventRow, Origin, Submission};
use crate::json::Json;
use crate::plan::Plan;
use crate::tool::Identity;

/// A [`Submission`] of version 1: without models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Submission1 {
    plan: Plan,
    inputs: Json,
    origin: Origin,
    identity: Identity,
    name: Option<String>,
    cache_key: Option<String>,
    warnings: Vec<String>,
    problems: Vec<String>,
    clarification: Option<String>,
}

impl From<Submission1> for Submission {
    fn from(old: Submission1) -> Self {
        Self {
            plan: old.plan,
            inputs: old.inputs,
            origin: old.origin,
            identity: old.identity,
            name: old.name,
            cache_key: old.cache_key,
            warnings: old.warnings,
            problems: old.problems,
            clarification: old.clarification,
            by_model: ByModel::default(),
        }
    }
}

pub(super) fn submission(version: u16, payload: &[u8]) -> Result<Submission, Failure> {
    known(version)?;
    Ok(decode::<Submission1>(payload)?.into())
}

/// Version 2 has more variants of events behind those of version 1.
pub(super) fn event(version: u16, payload: &[u8]) -> Result<EventRow, Failure> {
    known(version)?;
    Ok(decode(payload)?)
}

/// Refuses what no version has stored.
///
/// # Errors
/// The version, which is not 1.
pub(crate) fn known(version: u16) -> Result<(), Failure> {
    if version == 1 {
        return Ok(());
    }
    Err(unheard_of(version))
}

/// The refusal of a version that was never stored.
pub(crate) fn unheard_of(version: u16) -> Failure {
    Failure::Reject(format!("no version {version} of it was ever stored"))
}
