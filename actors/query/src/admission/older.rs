//! What older versions of the Admission kept, and were told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use perennial_runtime::{Failure, decode};
use serde::{Deserialize, Serialize};

use super::lanes::Lanes;
use super::{Admission, AdmissionMessage};
use crate::record::older::{Submission1, unheard_of};
use crate::record::{Outcome, Submission, Watcher};

/// What versions 1 and 2 kept: not whose queries they were.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Admission2 {
    pub(super) running: BTreeSet<String>,
    pub(super) waiting: VecDeque<String>,
    pub(super) shared: BTreeMap<String, String>,
    pub(super) keys: BTreeMap<String, String>,
    pub(super) accepted: u64,
}

impl From<Admission2> for Admission {
    fn from(old: Admission2) -> Self {
        let lanes = Lanes::of_nobody(old.running.into_iter().collect(), old.waiting);
        Self { lanes, shared: old.shared, keys: old.keys, count: old.accepted }
    }
}

/// What version 1 was told: submissions without models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum AdmissionMessage1 {
    Submit(Box<Submission1>),
    Return(String),
    Release { id: String, result: Option<Outcome> },
    Expired(String),
    Unnamed(String),
}

/// What version 2 was told: not on whose behalf a query returns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum AdmissionMessage2 {
    Submit(Box<Submission>),
    Return(String),
    Release { id: String, result: Option<Outcome> },
    Expired(String),
    Unnamed(String),
    SubmitFor { submission: Box<Submission>, watcher: Watcher },
}

impl From<AdmissionMessage1> for AdmissionMessage2 {
    fn from(old: AdmissionMessage1) -> Self {
        match old {
            AdmissionMessage1::Submit(old) => Self::Submit(Box::new((*old).into())),
            AdmissionMessage1::Return(id) => Self::Return(id),
            AdmissionMessage1::Release { id, result } => Self::Release { id, result },
            AdmissionMessage1::Expired(key) => Self::Expired(key),
            AdmissionMessage1::Unnamed(name) => Self::Unnamed(name),
        }
    }
}

impl From<AdmissionMessage2> for AdmissionMessage {
    fn from(old: AdmissionMessage2) -> Self {
        match old {
            AdmissionMessage2::Submit(submission) => Self::Submit(submission),
            AdmissionMessage2::Return(id) => Self::Return { id, key: None },
            AdmissionMessage2::Release { id, result } => Self::Release { id, result },
            AdmissionMessage2::Expired(key) => Self::Expired(key),
            AdmissionMessage2::Unnamed(name) => Self::Unnamed(name),
            AdmissionMessage2::SubmitFor { submission, watcher } => {
                Self::SubmitFor { submission, watcher }
            }
        }
    }
}

pub(super) fn state(version: u16, payload: &[u8]) -> Result<Admission, Failure> {
    match version {
        1 | 2 => Ok(decode::<Admission2>(payload)?.into()),
        // Version 4 changed what it is told, not what it keeps.
        3 => Ok(decode(payload)?),
        _ => Err(unheard_of(version)),
    }
}

pub(super) fn message(version: u16, payload: &[u8]) -> Result<AdmissionMessage, Failure> {
    let old = match version {
        1 => decode::<AdmissionMessage1>(payload)?.into(),
        2 => decode::<AdmissionMessage2>(payload)?,
        // Version 4 has one more variant behind those of version 3.
        3 => return Ok(decode(payload)?),
        _ => return Err(unheard_of(version)),
    };
    Ok(old.into())
}
