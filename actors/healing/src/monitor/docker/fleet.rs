//! What the sensors know together: which containers there are, which of them to sample, and which
//! services changed lately. In memory only; the first list fills it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use perennial_runtime::Timestamp;
use tokio::sync::Notify;

use crate::model::{Status, Subject};
use crate::monitor::{Config, Inspection, watch};

/// Services whose last change is remembered; the oldest goes first.
const SERVICES: usize = 256;

/// The engine's machine.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Host {
    pub(super) cpus: u32,
    /// Bytes; 0 if the engine did not say.
    pub(super) memory: u64,
}

/// A container as the sensors need it.
#[derive(Clone, Debug, Default)]
struct Member {
    /// What the list said when it was last inspected; empty if it was not since an event.
    summary: String,
    started_at: String,
    sampled: bool,
    /// Bytes in use at the last sample, if it has no limit.
    unlimited: Option<u64>,
}

/// A run to sample.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) id: String,
    pub(super) started_at: String,
}

#[derive(Debug, Default)]
struct Known {
    members: BTreeMap<String, Member>,
    host: Host,
    /// Compose or Swarm service, and when a container of it was made or removed.
    services: Vec<(String, Timestamp)>,
    /// The next list inspects everything.
    thorough: bool,
    /// The container last called the largest without a limit.
    largest: Option<String>,
}

impl Known {
    /// Bytes in use, of a container that is sampled and has no limit.
    fn weight(&self, id: &str) -> Option<u64> {
        self.members.get(id).filter(|member| member.sampled)?.unlimited
    }
}

#[derive(Debug, Default)]
pub(super) struct Fleet {
    known: Mutex<Known>,
    list_now: Notify,
    lost: Notify,
}

impl Fleet {
    fn known(&self) -> MutexGuard<'_, Known> {
        // Every change below is complete by itself, so that a panic elsewhere leaves it usable.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn host(&self) -> Host {
        self.known().host
    }

    pub(super) fn set_host(&self, host: Host) {
        self.known().host = host;
    }

    pub(super) fn learn(&self, seen: &Inspection, config: &Config) {
        let watched = watch::policy(config, &seen.subject.name, &seen.labels).watched;
        let mut known = self.known();
        let member = known.members.entry(seen.subject.id.0.clone()).or_default();
        member.summary.clear();
        if member.started_at != seen.facts.started_at {
            member.unlimited = None;
        }
        member.started_at.clone_from(&seen.facts.started_at);
        member.sampled = watched && seen.facts.status == Status::Running;
    }

    /// Notes that an inspection followed this line of a list.
    pub(super) fn listed(&self, id: &str, summary: &str) {
        if let Some(member) = self.known().members.get_mut(id) {
            summary.clone_into(&mut member.summary);
        }
    }

    pub(super) fn is_as_listed(&self, id: &str, summary: &str) -> bool {
        self.known().members.get(id).is_some_and(|member| member.summary == summary)
    }

    pub(super) fn forget(&self, id: &str) {
        self.known().members.remove(id);
    }

    pub(super) fn ids(&self) -> Vec<String> {
        self.known().members.keys().cloned().collect()
    }

    pub(super) fn targets(&self) -> Vec<Target> {
        let known = self.known();
        let sampled = known.members.iter().filter(|(_, member)| member.sampled);
        sampled
            .map(|(id, member)| Target { id: id.clone(), started_at: member.started_at.clone() })
            .collect()
    }

    /// Notes how much a container without a limit uses.
    pub(super) fn weigh(&self, id: &str, unlimited: Option<u64>) {
        if let Some(member) = self.known().members.get_mut(id) {
            member.unlimited = unlimited;
        }
    }

    /// The container that uses the most of those without a limit, as of their last samples. It stays
    /// the same one until another uses a tenth more, so that two of a size do not take turns.
    pub(super) fn largest(&self) -> Option<String> {
        let mut known = self.known();
        let weights = known.members.keys().filter_map(|id| Some((known.weight(id)?, id)));
        let top = weights.max().map(|(bytes, id)| (bytes, id.clone()));
        let old = known.largest.as_deref().and_then(|id| known.weight(id));
        let keeps = |old: u64| top.as_ref().is_none_or(|(bytes, _)| *bytes <= old + old / 10);
        if !old.is_some_and(keeps) {
            known.largest = top.map(|(_, id)| id);
        }
        known.largest.clone()
    }

    pub(super) fn service_changed(&self, service: String, at: Timestamp) {
        let mut known = self.known();
        known.services.retain(|(other, _)| *other != service);
        known.services.push((service, at));
        let surplus = known.services.len().saturating_sub(SERVICES);
        known.services.drain(..surplus);
    }

    pub(super) fn is_deploying(&self, subject: &Subject, at: Timestamp, settle: Duration) -> bool {
        let Some(service) = service_of(subject) else { return false };
        let known = self.known();
        known.services.iter().any(|(other, changed)| *other == service && *changed + settle > at)
    }

    /// Has the next list come now, and inspect everything if `thorough`.
    pub(super) fn list_now(&self, thorough: bool) {
        self.known().thorough |= thorough;
        self.list_now.notify_one();
    }

    pub(super) async fn list_wanted(&self) {
        self.list_now.notified().await;
    }

    pub(super) fn take_thorough(&self) -> bool {
        std::mem::take(&mut self.known().thorough)
    }

    /// Tells the event stream that the engine does not answer, which it may not notice itself.
    pub(super) fn report_lost(&self) {
        self.lost.notify_one();
    }

    pub(super) async fn reported_lost(&self) {
        self.lost.notified().await;
    }
}

/// One name for the service that a container belongs to.
pub(super) fn service_of(subject: &Subject) -> Option<String> {
    let compose = subject.service.as_ref().map(|service| {
        format!("compose/{}/{service}", subject.project.as_deref().unwrap_or_default())
    });
    compose.or_else(|| subject.swarm_service.as_ref().map(|service| format!("swarm/{service}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ContainerId, Facts};

    fn learn(fleet: &Fleet, id: &str, status: Status, run: &str) {
        let facts = Facts { status, started_at: run.to_owned(), ..Facts::default() };
        let subject = Subject { id: ContainerId(id.to_owned()), ..Subject::default() };
        fleet.learn(&Inspection { subject, facts, ..Inspection::default() }, &Config::default());
    }

    #[test]
    fn the_largest_without_a_limit_is_one_that_runs_and_changes_only_for_a_clearly_larger_one() {
        let fleet = Fleet::default();
        for id in ["a", "b", "limited"] {
            learn(&fleet, id, Status::Running, "first");
        }
        assert_eq!(fleet.largest(), None);
        fleet.weigh("limited", None);
        fleet.weigh("a", Some(1000));
        fleet.weigh("gone", Some(9000));
        for (bytes, largest) in [(0, "a"), (1099, "a"), (1100, "a"), (1101, "b"), (1000, "b")] {
            fleet.weigh("b", Some(bytes));
            assert_eq!(fleet.largest().as_deref(), Some(largest), "{bytes}");
        }
        learn(&fleet, "b", Status::Exited, "first");
        assert_eq!(fleet.largest().as_deref(), Some("a"));
        learn(&fleet, "a", Status::Running, "second");
        assert_eq!(fleet.largest(), None, "of a new run nothing is known yet");
    }
}
