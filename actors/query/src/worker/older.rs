//! What older versions of a ToolWorker kept.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use perennial_runtime::{Failure, Timestamp, decode};
use serde::{Deserialize, Serialize};

use super::breaker::{Breaker, State};
use super::breakers::{Breakers, Rests};
use super::{CallId, ToolWorker, WorkerMessage};
use crate::record::older::unheard_of;

/// Version 1: with one breaker for all that calls of the group rest on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct ToolWorker1 {
    pub(super) running: BTreeSet<CallId>,
    pub(super) waiting: VecDeque<CallId>,
    pub(super) breaker: Breaker2,
}

/// Version 2: not by which call it is tried what is out of order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct ToolWorker2 {
    pub(super) running: BTreeSet<CallId>,
    pub(super) waiting: VecDeque<CallId>,
    pub(super) breakers: BTreeMap<Rests, Breaker2>,
}

/// The breaker of both.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Breaker2 {
    pub(super) state: State2,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum State2 {
    Closed(u32),
    Open(Timestamp),
    HalfOpen { succeeded: u32, probing: bool },
}

impl Default for State2 {
    fn default() -> Self {
        Self::Closed(0)
    }
}

impl From<ToolWorker1> for ToolWorker {
    fn from(old: ToolWorker1) -> Self {
        // What failed of the group is not known: whatever is out of order still is found out anew.
        Self { running: old.running, waiting: old.waiting, breakers: Breakers::default() }
    }
}

impl From<ToolWorker2> for ToolWorker {
    fn from(old: ToolWorker2) -> Self {
        let breakers = old.breakers.into_iter().map(|(rests, breaker)| (rests, breaker.into()));
        let breakers = Breakers(breakers.collect());
        Self { running: old.running, waiting: old.waiting, breakers }
    }
}

impl From<Breaker2> for Breaker {
    fn from(old: Breaker2) -> Self {
        let state = match old.state {
            State2::Closed(failures) => State::Closed(failures),
            State2::Open(until) => State::Open(until),
            // Which call the probe is is not known: another one is let through.
            State2::HalfOpen { succeeded, probing: _ } => {
                State::HalfOpen { succeeded, probe: None }
            }
        };
        Self { state }
    }
}

pub(super) fn state(version: u16, payload: &[u8]) -> Result<ToolWorker, Failure> {
    match version {
        1 => Ok(decode::<ToolWorker1>(payload)?.into()),
        2 => Ok(decode::<ToolWorker2>(payload)?.into()),
        _ => Err(unheard_of(version)),
    }
}

/// What it is told has not changed.
pub(super) fn message(version: u16, payload: &[u8]) -> Result<WorkerMessage, Failure> {
    match version {
        1 | 2 => Ok(decode(payload)?),
        _ => Err(unheard_of(version)),
    }
}
