use super::*;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

/// Folds events given as (second, event) and says whether the container counts as stopped by wish.
fn stopped(events: &[(u64, EventKind)]) -> bool {
    let mut intent = Intent::default();
    for (second, event) in events {
        intent.observe(at(*second), event, Some(10), None);
    }
    intent.stopped().is_some()
}

#[test]
fn an_end_after_a_stop_or_kill_through_the_engine_is_wanted() {
    use EventKind::{Die, Kill, Start, Stop};
    let cases: &[(&[(u64, EventKind)], bool)] = &[
        (&[(1, Kill(15)), (2, Die(143)), (2, Stop)], true),
        (&[(1, Kill(15)), (11, Kill(9)), (11, Die(137)), (11, Stop)], true),
        (&[(1, Kill(9)), (1, Die(137))], true),
        (&[(1, Kill(2)), (1, Die(130))], true),
        (&[(1, Kill(3)), (1, Die(131))], true),
        // Its own stop signal (10 here).
        (&[(1, Kill(10)), (1, Die(0))], true),
        // A signal that reloads, or one that crashes, is no wish for it to be down.
        (&[(1, Kill(1)), (1, Die(129))], false),
        (&[(1, Kill(11)), (1, Die(139))], false),
        (&[(1, Die(137))], false),
        // It survived the signal, and fell over by itself much later.
        (&[(1, Kill(15)), (3600, Die(1))], false),
        // The stop event alone is enough: the kill may have been lost.
        (&[(1, Die(1)), (1, Stop)], true),
        // A restart: wanted down, then up again.
        (&[(1, Kill(15)), (2, Die(143)), (2, Stop), (3, Start)], false),
        (&[(1, Kill(15)), (2, Die(143)), (3, Start), (9, Die(1))], false),
    ];
    for (events, wanted) in cases {
        assert_eq!(stopped(events), *wanted, "{events:?}");
    }
}

#[test]
fn a_long_time_to_stop_is_respected() {
    let mut intent = Intent::default();
    intent.observe(at(0), &EventKind::Kill(15), None, Some(300));
    intent.observe(at(290), &EventKind::Die(0), None, Some(300));
    assert!(intent.stopped().is_some());
}

#[test]
fn with_events_lost_a_stopped_service_that_the_engine_leaves_down_was_stopped_by_somebody() {
    let exited = |restart_policy, oom_killed| Facts {
        status: Status::Exited,
        restart_policy,
        oom_killed,
        ..Facts::default()
    };
    let cases = [
        (exited(RestartPolicy::Always, false), true),
        (exited(RestartPolicy::UnlessStopped, false), true),
        (exited(RestartPolicy::Always, true), false),
        (exited(RestartPolicy::No, false), false),
        (exited(RestartPolicy::OnFailure(3), false), false),
        (Facts { status: Status::Restarting, ..exited(RestartPolicy::Always, false) }, false),
    ];
    for (facts, wanted) in cases {
        let mut intent = Intent::default();
        intent.infer(at(1), &facts);
        assert_eq!(intent.stopped().is_some(), wanted, "{facts:?}");
    }
}

#[test]
fn with_the_start_lost_a_running_container_is_not_stopped() {
    let mut intent = Intent::default();
    intent.observe(at(1), &EventKind::Stop, None, None);
    intent.infer(at(2), &Facts { status: Status::Running, ..Facts::default() });
    assert_eq!(intent.stopped(), None);
}

#[test]
fn an_end_seen_before_its_event_is_put_down_to_the_signal_before_it() {
    let ended = Facts { status: Status::Exited, exit_code: Some(137), ..Facts::default() };
    let mut intent = Intent::default();
    intent.observe(at(1), &EventKind::Kill(9), None, None);
    intent.infer(at(1), &ended);
    assert_eq!(intent.stopped(), Some(at(1)));
    let mut intent = Intent::default();
    intent.observe(at(1), &EventKind::Kill(1), None, None);
    intent.infer(at(1), &ended);
    assert_eq!(intent.stopped(), None);
}
