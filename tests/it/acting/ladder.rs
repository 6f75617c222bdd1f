//! Restarts that "work" and do not help.

use super::{Scene, audited, held, ill, incident_is, stages, stubborn, text};

/// X10.
#[tokio::test]
async fn a_restart_after_which_the_symptom_persists_is_not_resolved_and_a_person_is_called() {
    let Scene { node, container, log, .. } =
        &ill(stubborn("web"), &[("restarts", "2"), ("identical_failures", "0")]).await;

    let audit = audited(node, container, "escalated", 1).await;
    let failed = ["intended", "finished", "not_resolved"];
    assert_eq!(stages(&audit), [&failed[..], &failed, &["escalated"]].concat());
    assert!(
        audit
            .iter()
            .filter(|entry| entry["stage"] == "finished")
            .all(|entry| { entry["outcome"] == "done" })
    );
    let incident = incident_is(node, container, "escalated").await;
    let journal = incident["journal"].as_array().unwrap();
    let next: Vec<_> = journal
        .iter()
        .filter(|entry| entry["kind"] == "not_resolved")
        .map(|e| &e["next"])
        .collect();
    assert!(next[0].is_string() && next[1].is_null(), "rungs announce what follows: {next:?}");
    assert!(text(&incident["reason"]).contains("did not help"), "{incident}");
    log.restarts(container, 2).await;
}

/// X10: with the rung `stop` at the end.
#[tokio::test]
async fn the_last_rung_stops_the_container_where_the_policy_says_so() {
    let policy = [("restarts", "1"), ("last_rung", "\"stop\""), ("identical_failures", "0")];
    let Scene { node, container, log, .. } = &ill(stubborn("web"), &policy).await;
    let audit = audited(node, container, "escalated", 1).await;
    let failed = ["intended", "finished", "not_resolved", "intended", "finished", "escalated"];
    assert_eq!(stages(&audit), failed);
    assert_eq!((&audit[3]["action"], container.status()), (&"stop".into(), "exited".to_owned()));
    assert_eq!(log.count("restart"), 1);
}

/// X10: three identical failures.
#[tokio::test]
async fn three_identical_failures_end_the_ladder_before_its_last_rung() {
    let policy = [("restarts", "9"), ("identical_failures", "3"), ("breaker_failures", "9")];
    // Time to turn unhealthy again after each restart, so that the failures look the same.
    let Scene { node, container, log, .. } =
        &ill(stubborn("web"), &[&policy[..], &[("stabilisation", "\"4s\"")]].concat()).await;

    let audit = audited(node, container, "escalated", 1).await;
    let failed = ["intended", "finished", "not_resolved"];
    assert_eq!(stages(&audit), [&failed[..], &failed, &failed, &["escalated"]].concat());
    let why = text(&audit[9]["reason"]);
    assert!(why.contains("3 times in a row in exactly the same way"), "{why}");
    log.restarts(container, 3).await;
}

#[tokio::test]
async fn a_budget_that_ends_within_a_ladder_calls_a_person() {
    let policy = [("restarts", "9"), ("identical_failures", "0"), ("budget_per_container", "1")];
    let Scene { node, container, log, .. } = &ill(stubborn("web"), &policy).await;
    let audit = audited(node, container, "escalated", 1).await;
    assert_eq!(stages(&audit), ["intended", "finished", "not_resolved", "refused", "escalated"]);
    assert_eq!(held(&audit[3])["gate"], "budget");
    log.restarts(container, 1).await;
}
