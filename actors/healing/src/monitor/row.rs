//! What people see of a container: one row per container, written when something visible changed.

use perennial_runtime::{Table, Timestamp};
use serde::{Deserialize, Serialize};

use crate::model::{Facts, Subject, Symptom};

/// Every container the engine has, by its full id.
pub const CONTAINERS: Table<ContainerRow> = Table::new("containers", 1);

/// Change of a share below which a row is not written again.
const VISIBLE: f64 = 0.01;

/// One container as it was last seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ContainerRow {
    /// Who.
    pub subject: Subject,
    /// What is known; `health` and `status` among it.
    pub facts: Facts,
    /// In what respect it cannot be judged: `no_memory_limit`, `no_health_check`.
    pub coverage: Vec<String>,
    /// What is wrong now.
    pub symptoms: Vec<Symptom>,
    /// Whether symptoms are looked for.
    pub watched: bool,
    /// Why, or why not.
    pub reason: String,
    /// Labels that were not understood.
    pub ignored_labels: Vec<String>,
    /// When its use was last sampled, as of the last write of this row.
    pub sampled_at: Option<Timestamp>,
    /// When this row was written.
    pub updated_at: Timestamp,
}

impl ContainerRow {
    /// Whether a person would see a difference to `old`. Times of samples and of the row do not
    /// count, shares count from one percent on.
    #[must_use]
    pub fn differs(&self, old: &Self) -> bool {
        let shares = |facts: &Facts| [facts.cpu, facts.memory];
        let moved =
            std::iter::zip(shares(&self.facts), shares(&old.facts)).any(|pair| match pair {
                (Some(new), Some(old)) => (new - old).abs() >= VISIBLE,
                (new, old) => new.is_some() != old.is_some(),
            });
        moved || bytes_moved(&self.facts, &old.facts) || self.calm() != old.calm()
    }

    /// The row without what moves all the time.
    fn calm(&self) -> Self {
        let mut calm = self.clone();
        (calm.facts.cpu, calm.facts.memory, calm.facts.memory_bytes) = (None, None, None);
        (calm.sampled_at, calm.updated_at) = (None, Timestamp::EPOCH);
        for symptom in &mut calm.symptoms {
            symptom.actual = 0.0;
            symptom.text.clear();
        }
        calm
    }
}

/// Bytes count by themselves where there is no share of a limit: from ten percent on.
fn bytes_moved(new: &Facts, old: &Facts) -> bool {
    match (new.memory_bytes, old.memory_bytes) {
        (Some(_), Some(_)) if new.memory.is_some() => false,
        (Some(new), Some(old)) => new.abs_diff(old) > old / 10,
        (new, old) => new.is_some() != old.is_some(),
    }
}
