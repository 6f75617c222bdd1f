//! What the Responder remembers of the actions it has taken, as far as gates need it. Pure, bounded
//! by the node's budget times the retention.

use std::collections::BTreeMap;
use std::time::Duration;

use perennial_runtime::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::{ContainerId, IncidentId};
use crate::responder::Config;

/// The period of the budgets.
pub const HOUR: Duration = Duration::from_secs(3600);

/// How long failures in a row are remembered without a new one.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// How long a container is remembered after the last action: at least as long as any gate looks back.
#[must_use]
pub fn retention(config: &Config) -> Duration {
    DAY.max(config.cooldown).max(config.breaker_open).max(config.blast_recent)
}

/// All containers acted on within the retention, and the node's own attempts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Past {
    containers: BTreeMap<ContainerId, Record>,
    /// Attempts on any container within the hour, oldest first.
    attempts: Vec<Timestamp>,
}

/// One container's past.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Its Compose project.
    pub project: Option<String>,
    /// Attempts within the hour, oldest first.
    pub attempts: Vec<Timestamp>,
    /// When the last attempt began, whether it ran or not.
    pub touched: Timestamp,
    /// When the last action that ran ended.
    pub ran: Option<Timestamp>,
    /// Its breaker.
    pub breaker: Breaker,
    /// What the last failure looked like, and how many in a row looked like that.
    pub identical: (String, u32),
}

/// Opens after failures in a row; lets one probe through when its time is over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Breaker {
    /// Failures in a row.
    pub failures: u32,
    /// When it turns half-open; none while closed.
    pub open_until: Option<Timestamp>,
    /// The incident whose action is the probe.
    pub probe: Option<IncidentId>,
}

impl Past {
    /// What is known of a container; nothing for one that was never acted on.
    #[must_use]
    pub fn of(&self, container: &ContainerId) -> Option<&Record> {
        self.containers.get(container)
    }

    /// Attempts on any container within the hour before `now`, oldest first.
    #[must_use]
    pub fn attempts(&self, now: Timestamp) -> Vec<Timestamp> {
        within_the_hour(&self.attempts, now)
    }

    /// Containers of `project` that were acted on within the `last` before `now`.
    pub fn recent<'a>(
        &'a self,
        project: &'a str,
        now: Timestamp,
        last: Duration,
    ) -> impl Iterator<Item = &'a ContainerId> {
        self.containers.iter().filter_map(move |(id, record)| {
            let counts = record.project.as_deref() == Some(project)
                && record.ran.is_some_and(|ran| now.since(ran) < last);
            counts.then_some(id)
        })
    }

    /// An attempt begins: it counts whatever comes of it. A half-open breaker lets it through as its
    /// probe.
    pub fn attempted(
        &mut self,
        container: &ContainerId,
        project: Option<&str>,
        incident: &IncidentId,
        now: Timestamp,
    ) {
        self.attempts = within_the_hour(&self.attempts, now);
        self.attempts.push(now);
        let record = self.containers.entry(container.clone()).or_default();
        record.project = project.map(ToOwned::to_owned);
        record.attempts = within_the_hour(&record.attempts, now);
        record.attempts.push(now);
        record.touched = now;
        if record.breaker.open_until.is_some() {
            record.breaker.probe = Some(incident.clone());
        }
    }

    /// The last action ran, or may have run.
    pub fn ran(&mut self, container: &ContainerId, now: Timestamp) {
        self.containers.entry(container.clone()).or_default().ran = Some(now);
    }

    /// An action failed, or did not help. Returns how many failures in a row looked like this one.
    pub fn failed(
        &mut self,
        container: &ContainerId,
        looks: &str,
        config: &Config,
        now: Timestamp,
    ) -> u32 {
        let record = self.containers.entry(container.clone()).or_default();
        if record.identical.0 == looks {
            record.identical.1 += 1;
        } else {
            record.identical = (looks.to_owned(), 1);
        }
        let breaker = &mut record.breaker;
        breaker.failures += 1;
        let trips = config.breaker_failures > 0 && breaker.failures >= config.breaker_failures;
        if trips || breaker.probe.take().is_some() {
            *breaker = Breaker {
                failures: breaker.failures,
                open_until: Some(now + config.breaker_open),
                probe: None,
            };
        }
        record.identical.1
    }

    /// The container is well again: its failures are no longer in a row.
    pub fn recovered(&mut self, container: &ContainerId) {
        if let Some(record) = self.containers.get_mut(container) {
            record.breaker = Breaker::default();
            record.identical = (String::new(), 0);
        }
    }

    /// The incident ended without telling whether its action helped: another may be the probe.
    pub fn released(&mut self, container: &ContainerId, incident: &IncidentId) {
        let record = self.containers.get_mut(container);
        if let Some(record) = record
            && record.breaker.probe.as_ref() == Some(incident)
        {
            record.breaker.probe = None;
        }
    }

    /// Forgets what no gate can ask about any more.
    pub fn prune(&mut self, config: &Config, now: Timestamp) {
        let kept = retention(config);
        self.containers.retain(|_, record| {
            let last = record.ran.map_or(record.touched, |ran| ran.max(record.touched));
            now.since(last) < kept
        });
        self.attempts = within_the_hour(&self.attempts, now);
    }
}

/// Those of `attempts` that count against a budget at `now`.
#[must_use]
pub fn within_the_hour(attempts: &[Timestamp], now: Timestamp) -> Vec<Timestamp> {
    attempts.iter().copied().filter(|at| now.since(*at) < HOUR).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_counts_for_an_hour_and_not_longer() {
        let (mut past, config) = (Past::default(), Config::default());
        let (id, start) = (ContainerId("c".to_owned()), Timestamp::from_micros(1_000_000));
        past.attempted(&id, None, &IncidentId::default(), start);
        assert_eq!(past.attempts(start + Duration::from_secs(3599)).len(), 1);
        assert_eq!(past.attempts(start + HOUR).len(), 0);
        past.prune(&config, start + Duration::from_secs(23 * 3600));
        assert!(past.of(&id).is_some());
        past.prune(&config, start + DAY);
        assert!(past.of(&id).is_none());
    }

    #[test]
    fn only_failures_that_look_the_same_are_counted_together() {
        let (mut past, config) = (Past::default(), Config::default());
        let (id, now) = (ContainerId("c".to_owned()), Timestamp::from_micros(1));
        let looks = ["exit 1", "exit 1", "exit 2", "exit 1"];
        let counted = looks.map(|looks| past.failed(&id, looks, &config, now));
        assert_eq!(counted, [1, 2, 1, 1]);
        past.recovered(&id);
        assert_eq!(past.failed(&id, "exit 1", &config, now), 1);
    }
}
