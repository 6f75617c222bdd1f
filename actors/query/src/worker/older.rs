//! What version 1 of a ToolWorker kept.

use std::collections::{BTreeSet, VecDeque};

use perennial_runtime::{Failure, decode};
use serde::{Deserialize, Serialize};

use super::breaker::Breaker;
use super::breakers::Breakers;
use super::{CallId, ToolWorker, WorkerMessage};
use crate::record::older::known;

/// With one breaker for all that calls of the group rest on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct ToolWorker1 {
    pub(super) running: BTreeSet<CallId>,
    pub(super) waiting: VecDeque<CallId>,
    pub(super) breaker: Breaker,
}

impl From<ToolWorker1> for ToolWorker {
    fn from(old: ToolWorker1) -> Self {
        // What failed of the group is not known: whatever is out of order still is found out anew.
        Self { running: old.running, waiting: old.waiting, breakers: Breakers::default() }
    }
}

pub(super) fn state(version: u16, payload: &[u8]) -> Result<ToolWorker, Failure> {
    known(version)?;
    Ok(decode::<ToolWorker1>(payload)?.into())
}

/// What it is told has not changed.
pub(super) fn message(version: u16, payload: &[u8]) -> Result<WorkerMessage, Failure> {
    known(version)?;
    Ok(decode(payload)?)
}
