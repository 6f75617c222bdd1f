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
