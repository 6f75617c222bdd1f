//! What a drill showed: a table for people, JSON for machines, and whether the goals were met.

use std::time::Duration;

use serde_json::{Value, json};

use super::scenario::Outcome;
use crate::table::Table;

/// How soon, and with how little lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Goals {
    /// Recovery takes less than this.
    pub rto: Duration,
    /// The work of no longer than this is lost.
    pub rpo: Duration,
}

impl Goals {
    /// The goals of HemoStat's deployment guide, which this node replaces: 5 minutes and 1 minute.
    pub const STATED: Self = Self { rto: Duration::from_secs(300), rpo: Duration::from_secs(60) };
    /// Ours.
    pub const OURS: Self = Self { rto: Duration::from_secs(2), rpo: Duration::ZERO };

    /// Doing work twice is a miss of every goal.
    fn are_met(&self, outcome: &Outcome) -> bool {
        let in_time = outcome.rto.is_some_and(|rto| rto < self.rto);
        in_time && outcome.rpo <= self.rpo && outcome.balance.twice == 0
    }

    fn verdict(&self, outcome: &Outcome) -> String {
        if self.are_met(outcome) { "met".to_owned() } else { "MISSED".to_owned() }
    }

    fn title(&self, whose: &str) -> String {
        format!("{whose} (RTO < {}, RPO {})", time(self.rto), time(self.rpo))
    }
}

/// Whether both were met by all.
pub(super) fn all_met(outcomes: &[Outcome], ours: &Goals) -> bool {
    let both = [&Goals::STATED, ours];
    outcomes.iter().all(|outcome| both.iter().all(|goals| goals.are_met(outcome)))
}

/// For people.
pub(super) fn table(outcomes: &[Outcome], ours: &Goals) -> String {
    let (stated, own) = (Goals::STATED.title("STATED"), ours.title("OURS"));
    let head = ["DISASTER", "STRUCK", "WORK", "LOST", "TWICE", "RTO", "RPO", stated.as_str(), &own];
    let mut table = Table::new(&head);
    for outcome in outcomes {
        table.row([
            outcome.name.to_owned(),
            outcome.struck.clone(),
            outcome.balance.accepted.to_string(),
            outcome.balance.lost.to_string(),
            outcome.balance.twice.to_string(),
            outcome.rto.map_or("never".to_owned(), time),
            time(outcome.rpo),
            Goals::STATED.verdict(outcome),
            ours.verdict(outcome),
        ]);
    }
    table.to_string()
}

/// For machines; times in seconds.
pub(super) fn json(outcomes: &[Outcome], ours: &Goals) -> Value {
    let goals = |goals: &Goals| json!({ "rto_seconds": goals.rto.as_secs_f64(), "rpo_seconds": goals.rpo.as_secs_f64() });
    let rows = outcomes.iter().map(|outcome| {
        json!({
            "disaster": outcome.name,
            "struck": outcome.struck,
            "accepted": outcome.balance.accepted,
            "lost": outcome.balance.lost,
            "twice": outcome.balance.twice,
            "flaws": outcome.flaws,
            "rto_seconds": outcome.rto.map(|rto| rto.as_secs_f64()),
            "rpo_seconds": outcome.rpo.as_secs_f64(),
            "met": { "stated": Goals::STATED.are_met(outcome), "ours": ours.are_met(outcome) },
        })
    });
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "goals": { "stated": goals(&Goals::STATED), "ours": goals(ours) },
        "met": all_met(outcomes, ours),
        "disasters": rows.collect::<Vec<_>>(),
    })
}

/// In the unit that people would use.
pub(super) fn time(time: Duration) -> String {
    match time {
        Duration::ZERO => "0".to_owned(),
        short if short < Duration::from_micros(1) => format!("{} ns", short.as_nanos()),
        short if short < Duration::from_secs(1) => format!("{:.0} ms", short.as_secs_f64() * 1e3),
        whole if whole.as_secs() >= 60 && whole.as_secs().is_multiple_of(60) => {
            format!("{} min", whole.as_secs() / 60)
        }
        whole if whole.subsec_nanos() == 0 => format!("{} s", whole.as_secs()),
        long => format!("{:.2} s", long.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::ledger::Balance;

    fn outcome(rto: Option<u64>, rpo: u64) -> Outcome {
        let struck = "SIGKILL".to_owned();
        let rto = rto.map(Duration::from_millis);
        let rpo = Duration::from_millis(rpo);
        Outcome {
            name: "process",
            struck,
            rto,
            rpo,
            balance: Balance::default(),
            flaws: Vec::new(),
        }
    }

    #[track_caller]
    fn check(outcome: &Outcome, stated: bool, ours: bool) {
        let row = &json(std::slice::from_ref(outcome), &Goals::OURS)["disasters"][0];
        assert_eq!((&row["met"]["stated"], &row["met"]["ours"]), (&stated.into(), &ours.into()));
        assert_eq!(all_met(std::slice::from_ref(outcome), &Goals::OURS), stated && ours);
    }

    #[test]
    fn a_recovery_that_is_late_or_loses_work_misses_the_goal_it_is_measured_by() {
        check(&outcome(Some(1_999), 0), true, true);
        check(&outcome(Some(2_000), 0), true, false);
        check(&outcome(Some(10), 1), true, false);
        check(&outcome(Some(10), 60_001), false, false);
        check(&outcome(None, 0), false, false);
        let mut twice = outcome(Some(10), 0);
        twice.balance.twice = 1;
        check(&twice, false, false);
    }

    #[test]
    fn times_are_written_as_people_would() {
        let written = [0, 1, 412_000_000, 1_530_000_000, 2_000_000_000, 300_000_000_000];
        let written = written.map(|nanos| time(Duration::from_nanos(nanos)));
        assert_eq!(written, ["0", "1 ns", "412 ms", "1.53 s", "2 s", "5 min"]);
    }
}
