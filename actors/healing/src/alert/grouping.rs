//! What is collected before it is told: warnings and coverage reports, by Compose project. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use perennial_runtime::Timestamp;
use serde::{Deserialize, Serialize};

use crate::alert::Change;
use crate::model::{IncidentId, Subject};

/// The group of containers that belong to no Compose project.
pub const UNGROUPED: &str = "ungrouped";

/// Containers that one digest of coverage reports names; the others are counted.
pub(super) const COVERAGE_LIMIT: usize = 50;

/// The group `subject` belongs to.
#[must_use]
pub fn group_of(subject: &Subject) -> &str {
    subject.project.as_deref().filter(|project| !project.is_empty()).unwrap_or(UNGROUPED)
}

/// One change of one incident that people should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct News {
    /// Which.
    pub incident: IncidentId,
    /// What changed.
    pub change: Change,
    /// When.
    pub at: Timestamp,
}

/// A container that cannot be judged in some respect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Who.
    pub subject: Subject,
    /// What is missing: `no_memory_limit`, `no_health_check`.
    pub gaps: Vec<String>,
}

/// What has been collected for one group since it was last told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collected {
    /// At most one change of each incident: the latest.
    pub news: Vec<News>,
    /// A bounded number of them.
    pub coverage: Vec<Gap>,
    /// How many more there were.
    pub more_coverage: u64,
}

impl Collected {
    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.news.is_empty() && self.coverage.is_empty()
    }
}

/// The groups that have something to tell, or told something within the last interval. As long as
/// a group is here, its timer is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Groups(BTreeMap<String, Collected>);

impl Groups {
    /// Adds news to `group`. Says how long to wait before it is due, unless its timer is set.
    pub fn collect(&mut self, group: &str, news: News, wait: Duration) -> Option<Duration> {
        let timer = self.timer(group, wait);
        let collected = &mut self.group(group).news;
        match collected.iter_mut().find(|old| old.incident == news.incident) {
            Some(_) if news.change == Change::Reminder => {}
            Some(old) => *old = news,
            None => collected.push(news),
        }
        timer
    }

    /// Adds a coverage report to the group of its container; otherwise as [`Groups::collect`].
    pub fn cover(&mut self, gap: Gap, wait: Duration) -> Option<Duration> {
        let name = group_of(&gap.subject).to_owned();
        let timer = self.timer(&name, wait);
        let collected = self.group(&name);
        let coverage = &mut collected.coverage;
        match coverage.iter().position(|old| old.subject.id == gap.subject.id) {
            Some(place) => coverage[place] = gap,
            None if coverage.len() < COVERAGE_LIMIT => coverage.push(gap),
            None => collected.more_coverage += 1,
        }
        timer
    }

    /// Drops what was collected of `incident`: it is told at once, or need not be told.
    pub fn drop_news(&mut self, group: &str, incident: &IncidentId) {
        if let Some(collected) = self.0.get_mut(group) {
            collected.news.retain(|news| news.incident != *incident);
        }
    }

    /// Takes what is due for `group`. If that is something, the group's timer must be set again, to
    /// the group interval; if it is nothing, the group is forgotten.
    pub fn take(&mut self, group: &str) -> Collected {
        let taken = self.0.remove(group).unwrap_or_default();
        if !taken.is_empty() {
            self.0.insert(group.to_owned(), Collected::default());
        }
        taken
    }

    fn timer(&self, group: &str, wait: Duration) -> Option<Duration> {
        (!self.0.contains_key(group)).then_some(wait)
    }

    fn group(&mut self, group: &str) -> &mut Collected {
        self.0.entry(group.to_owned()).or_default()
    }
}

#[cfg(test)]
mod tests;
