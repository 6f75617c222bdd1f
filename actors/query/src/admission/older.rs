//! What version 1 of the Admission was told.

use perennial_runtime::{Failure, decode};
use serde::{Deserialize, Serialize};

use super::AdmissionMessage;
use crate::record::Outcome;
use crate::record::older::{Submission1, known};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum AdmissionMessage1 {
    Submit(Box<Submission1>),
    Return(String),
    Release { id: String, result: Option<Outcome> },
    Expired(String),
    Unnamed(String),
}

impl From<AdmissionMessage1> for AdmissionMessage {
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

pub(super) fn message(version: u16, payload: &[u8]) -> Result<AdmissionMessage, Failure> {
    known(version)?;
    Ok(decode::<AdmissionMessage1>(payload)?.into())
}
