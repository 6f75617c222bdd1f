//! Who runs and who waits: a lane for each API key, so that none of them can take what is there for all. Pure.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

/// On whose behalf a query is: the number of an API key, or none for the node's token and for schedules, which have
/// one lane together.
pub(super) type Holder = Option<u64>;

/// Queries that run and those that wait, by whose they are.
///
/// A place goes to whoever waits and has the fewest of them, which is max-min fairness of places; among equals
/// it is round robin, and within a lane first come, first served.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lanes {
    /// Queries that run, and whose they are.
    running: BTreeMap<String, Holder>,
    /// Those that wait. No lane is empty.
    waiting: BTreeMap<Holder, VecDeque<String>>,
    /// Each lane once; whoever got a place last comes last.
    turns: VecDeque<Holder>,
}

impl Lanes {
    /// What ran and what waited before it was known whose they are.
    pub(super) fn of_nobody(running: Vec<String>, waiting: VecDeque<String>) -> Self {
        let running = running.into_iter().map(|id| (id, None)).collect();
        let mut lanes = Self { running, ..Self::default() };
        waiting.into_iter().for_each(|id| lanes.wait(id, None));
        lanes
    }

    /// How many run.
    pub(super) fn running(&self) -> usize {
        self.running.len()
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.values().map(VecDeque::len).sum()
    }

    /// How many of API keys wait, of each no more than `per_key`: those that came back beyond it take nobody's place.
    pub(super) fn waiting_of_keys(&self, per_key: usize) -> usize {
        let counted = |(holder, lane): (&Holder, &VecDeque<String>)| match holder {
            Some(_) => lane.len().min(per_key),
            None => 0,
        };
        self.waiting.iter().map(counted).sum()
    }

    /// How many of one holder's wait.
    pub(super) fn waiting_of(&self, holder: Holder) -> usize {
        self.waiting.get(&holder).map_or(0, VecDeque::len)
    }

    /// Whether a query runs or waits.
    pub(super) fn has(&self, id: &str) -> bool {
        self.running.contains_key(id) || self.lane_of(id).is_some()
    }

    /// Has a query wait, unless it does or runs.
    pub(super) fn wait(&mut self, id: String, holder: Holder) {
        if self.has(&id) {
            return;
        }
        if !self.waiting.contains_key(&holder) {
            self.turns.push_back(holder);
        }
        self.waiting.entry(holder).or_default().push_back(id);
    }

    /// Gives a place to the one whose turn it is.
    pub(super) fn next(&mut self) -> Option<String> {
        let held = |holder: &Holder| self.running.values().filter(|one| *one == holder).count();
        // The first of several with the fewest.
        let (turn, holder) =
            self.turns.iter().copied().enumerate().min_by_key(|(_, holder)| held(holder))?;
        let id = self.waiting.get_mut(&holder)?.pop_front()?;
        self.turns.remove(turn);
        self.turns.push_back(holder);
        self.tidy(holder);
        self.running.insert(id.clone(), holder);
        Some(id)
    }

    /// Takes a query out, whether it runs or waits.
    pub(super) fn remove(&mut self, id: &str) {
        self.running.remove(id);
        let Some(holder) = self.lane_of(id) else { return };
        if let Some(lane) = self.waiting.get_mut(&holder) {
            lane.retain(|waiting| waiting != id);
        }
        self.tidy(holder);
    }

    /// How many get a place before a query that waits, if each of their holders has as many as its own; none before
    /// one that does not wait.
    pub(super) fn ahead(&self, id: &str) -> usize {
        let Some(own) = self.lane_of(id) else { return 0 };
        let place = |holder| self.waiting.get(holder)?.iter().position(|waiting| waiting == id);
        let place = place(&own).unwrap_or_default();
        let turn = self.turns.iter().position(|holder| *holder == own).unwrap_or_default();
        let before = self.turns.iter().enumerate().map(|(at, holder)| {
            let rounds = if at < turn { place + 1 } else { place };
            self.waiting_of(*holder).min(rounds)
        });
        before.sum()
    }

    fn lane_of(&self, id: &str) -> Option<Holder> {
        let holds = |lane: &VecDeque<String>| lane.iter().any(|waiting| waiting == id);
        self.waiting.iter().find(|(_, lane)| holds(lane)).map(|(holder, _)| *holder)
    }

    /// Forgets a lane in which nothing waits: there are as many keys as anybody ever had.
    fn tidy(&mut self, holder: Holder) {
        if self.waiting.get(&holder).is_some_and(VecDeque::is_empty) {
            self.waiting.remove(&holder);
            self.turns.retain(|turn| *turn != holder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Queries that wait, each named after whose it is and in the order of the text.
    fn lanes(text: &str) -> Lanes {
        let mut lanes = Lanes::default();
        for (at, name) in text.chars().enumerate() {
            lanes.wait(format!("{name}{at}"), name.to_digit(10).map(u64::from));
        }
        lanes
    }

    /// Whose queries get places, each of which is given back at once.
    fn served(mut lanes: Lanes) -> String {
        let mut text = String::new();
        while let Some(id) = lanes.next() {
            text.extend(id.chars().next());
            lanes.remove(&id);
        }
        assert_eq!(lanes, Lanes::default(), "nothing is kept of who asks nothing");
        text
    }

    #[test]
    fn those_that_wait_take_turns_and_each_has_its_own_in_order() {
        assert_eq!(served(lanes("111122")), "121211");
        assert_eq!(served(lanes("111x23")), "1x2311");
        let mut lanes = lanes("112");
        let order: Vec<String> = std::iter::from_fn(|| lanes.next()).collect();
        assert_eq!(order, ["10", "22", "11"]);
    }

    #[test]
    fn a_place_goes_to_whoever_has_the_fewest() {
        let mut lanes = lanes("11111");
        let first: Vec<String> = (0..3).filter_map(|_| lanes.next()).collect();
        assert_eq!(first, ["10", "11", "12"], "who is alone has them all");
        lanes.wait("2a".to_owned(), Some(2));
        lanes.wait("2b".to_owned(), Some(2));
        for (ended, next) in [("10", "2a"), ("11", "13"), ("12", "2b"), ("2a", "14")] {
            lanes.remove(ended);
            assert_eq!(lanes.next().as_deref(), Some(next));
        }
    }

    #[test]
    fn what_is_told_to_stand_before_a_query_does() {
        for text in ["1111", "111122", "2111x3", "123123"] {
            let all = lanes(text);
            let mut ids = Vec::new();
            let mut rest = all.clone();
            while let Some(id) = rest.next() {
                rest.remove(&id);
                ids.push(id);
            }
            for (place, id) in ids.iter().enumerate() {
                assert_eq!(all.ahead(id), place, "{id} of {text}");
            }
        }
        assert_eq!(lanes("1").ahead("other"), 0);
    }

    #[test]
    fn nobody_waits_twice_or_while_running() {
        let mut lanes = lanes("1");
        lanes.wait("10".to_owned(), Some(1));
        assert_eq!(lanes.waiting(), 1);
        assert_eq!(lanes.next().as_deref(), Some("10"));
        lanes.wait("10".to_owned(), Some(1));
        assert_eq!((lanes.running(), lanes.waiting()), (1, 0));
    }
}
