//! Waking who waits for a query, when something has happened in it.

use std::sync::Arc;

use perennial_query::metrics::{BELLS, bell};
use perennial_runtime::Observation;
use tokio::sync::watch;

/// A bell for each of so many groups of queries, however many queries there are.
#[derive(Clone, Debug)]
pub(crate) struct Bells(Arc<[watch::Sender<()>]>);

impl Default for Bells {
    fn default() -> Self {
        Self((0..BELLS).map(|_| watch::Sender::new(())).collect())
    }
}

impl Bells {
    /// Wakes who waits for the queries with this bell.
    pub(crate) fn ring(&self, observation: &Observation) {
        // It is a place in the list.
        if let Some(bell) = self.0.get(observation.value as usize) {
            bell.send_replace(());
        }
    }

    /// Hears when something has happened in this query, and now and then when it has in another one.
    pub(super) fn of(&self, id: &str) -> watch::Receiver<()> {
        self.0[bell(id)].subscribe()
    }
}

#[cfg(test)]
mod tests {
    use perennial_query::metrics::RUNG;

    use super::*;

    #[test]
    fn a_bell_is_heard_by_who_waits_for_its_query_and_by_nobody_else() {
        let bells = Bells::default();
        let (one, other) = (bells.of("q-1"), bells.of("q-2"));
        let value = bell("q-1") as f64;
        bells.ring(&Observation { metric: RUNG, labels: Vec::new(), value });
        assert!(one.has_changed().unwrap());
        assert!(!other.has_changed().unwrap());
    }

    #[test]
    fn bells_are_shared_by_few_queries() {
        let mut rung = vec![0; BELLS];
        for number in 0..10 * BELLS {
            rung[bell(&format!("q-0660cceaec447d-{number:04x}"))] += 1;
        }
        let most = rung.iter().max().unwrap();
        assert!(*most < 40, "{most} of {} queries have one bell", 10 * BELLS);
    }
}
