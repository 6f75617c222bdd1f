use super::*;
use crate::clock::instant;

fn intensity() -> Intensity {
    Intensity { restarts: 2, within: Duration::from_secs(10), ..Intensity::default() }
}

#[tokio::test]
async fn every_case_of_restart_policy_and_exit_has_its_verdict() {
    let now = instant();
    let decide =
        |restart, exit| verdict((restart, exit), &intensity(), &mut History::default(), now, 0);
    let again = Verdict::Restart(Duration::ZERO);
    let cases = [
        (Restart::Permanent, Exit::Finished, again.clone()),
        (Restart::Permanent, Exit::Failed, again.clone()),
        (Restart::Transient, Exit::Finished, Verdict::Leave),
        (Restart::Transient, Exit::Failed, again),
        (Restart::Temporary, Exit::Finished, Verdict::Leave),
        (Restart::Temporary, Exit::Failed, Verdict::Leave),
        (Restart::Permanent, Exit::Escalated, Verdict::Escalate),
        (Restart::Transient, Exit::Escalated, Verdict::Escalate),
        (Restart::Temporary, Exit::Escalated, Verdict::Escalate),
    ];
    for (restart, exit, expected) in cases {
        assert_eq!(decide(restart, exit), expected, "{restart:?} {exit:?}");
    }
}

#[tokio::test]
async fn one_restart_too_many_within_the_period_escalates() {
    let (start, mut history) = (instant(), History::default());
    let mut fail = |after: u64| {
        let now = start + Duration::from_secs(after);
        verdict((Restart::Permanent, Exit::Failed), &intensity(), &mut history, now, 0)
    };
    assert!(matches!(fail(0), Verdict::Restart(_)));
    assert!(matches!(fail(5), Verdict::Restart(_)));
    assert!(matches!(fail(11), Verdict::Restart(_)), "the first one is out of the period");
    assert_eq!(fail(12), Verdict::Escalate);
}

#[tokio::test]
async fn waits_double_up_to_the_cap_and_begin_anew_after_a_stable_time() {
    let lenient = Intensity { restarts: 100, ..Intensity::default() };
    let (start, mut history) = (instant(), History::default());
    let mut wait = |after: u64| {
        let now = start + Duration::from_secs(after);
        let case = (Restart::Permanent, Exit::Failed);
        match verdict(case, &lenient, &mut history, now, u64::MAX) {
            Verdict::Restart(wait) => wait,
            other @ (Verdict::Leave | Verdict::Escalate) => panic!("{other:?}"),
        }
    };
    let waits: Vec<Duration> = (0..10).map(&mut wait).collect();
    assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(10)), "{waits:?}");
    assert!(wait(9 + 60) <= Duration::from_millis(100));
}

#[test]
fn a_back_off_is_between_nothing_and_the_doubled_base() {
    let (base, cap) = (Duration::from_millis(100), Duration::from_secs(1));
    for (attempt, longest) in
        [(1, 100_000), (2, 200_000), (4, 800_000), (5, 1_000_000), (40, 1_000_000)]
    {
        assert_eq!(backoff(base, cap, attempt, 0), Duration::ZERO);
        assert_eq!(backoff(base, cap, attempt, longest), Duration::from_micros(longest));
        assert_eq!(backoff(base, cap, attempt, longest + 1), Duration::ZERO, "jitter wraps");
    }
}

#[test]
fn each_strategy_affects_the_children_it_names() {
    assert_eq!(Strategy::OneForOne.affected(1, 4), 1..2);
    assert_eq!(Strategy::OneForAll.affected(1, 4), 0..4);
    assert_eq!(Strategy::RestForOne.affected(1, 4), 1..4);
}
