//! Starting and stopping in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::killed::known;
use super::{LONG, audit, count, curable, incident_is, node, told, told_of};
use crate::support::answers::restart_once;
use crate::support::engine::{ContainerSpec, Engine};
use crate::support::sink::Sink;
use crate::support::wait::eventually;

/// What the log of a start after an unclean end says.
const UNCLEAN: &str = "did not end in order";

/// X17. Twenty clients keep sending orders while containers fail.
#[tokio::test]
async fn sigterm_under_load_ends_within_two_seconds_and_keeps_everything_alone() {
    let (engine, sink) = (Engine::connect(), Sink::start());
    let mut node = node(&engine, &sink).start().await;
    let ordered = engine.run(ContainerSpec::idle("ordered").mode("observe"));
    known(&node, &ordered).await;
    let accepted = Arc::new(AtomicUsize::new(0));
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..20 {
        // Requests are made here: their names must not repeat, as the orders are counted.
        let requests: Vec<_> =
            (0..500).map(|n| restart_once(&node, &ordered, client * 1000 + n)).collect();
        let accepted = Arc::clone(&accepted);
        clients.spawn(async move {
            let mut unknown = 0;
            for request in requests {
                match request.send().await {
                    Ok(answer) if answer.status() == 202 => {
                        accepted.fetch_add(1, Ordering::SeqCst);
                    }
                    // Refused: not stored. Cut off or out of time: may be stored.
                    Ok(answer) if answer.status() == 429 => {}
                    Ok(_) | Err(_) => {
                        unknown += 1;
                        break;
                    }
                }
            }
            unknown
        });
    }
    let sick = engine.run(curable("sick"));
    eventually("the load to flow", LONG, async || {
        let taken = accepted.load(Ordering::SeqCst);
        if taken > 100 { Ok(()) } else { Err(taken) }
    })
    .await;

    let (status, took) = node.sigterm();
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(2), "took {took:?}");
    let unknown: usize = clients.join_all().await.into_iter().sum();
    let accepted = accepted.load(Ordering::SeqCst);

    node.restart().await;
    assert!(!node.log().contains(UNCLEAN), "a clean end");
    let answer = eventually("all orders to be recorded", LONG, async || {
        let answer = node.get_json("/v1/actions?limit=1").await;
        let entries = answer["chain"]["entries"].as_u64().expect("a count");
        if entries >= accepted as u64 { Ok(answer) } else { Err(answer) }
    })
    .await;
    assert_eq!(answer["chain"]["intact"], true, "{answer}");
    incident_is(&node, &sick, "resolved").await;
    told_of(&sink, &sick, "resolved").await;
    assert_eq!(told(&sink.received(), &sick), ["opened", "resolved"]);
    let all = node.get_json("/v1/actions?limit=1").await["chain"]["entries"].as_u64();
    let own = audit(&node, &sick).await;
    assert_eq!(count(&own, "intended"), 1, "{own:?}");
    let orders = all.expect("a count") as usize - own.len();
    assert!(orders >= accepted, "{accepted} accepted, {orders} recorded");
    assert!(
        orders <= accepted + unknown,
        "{accepted} accepted, {unknown} unknown, {orders} recorded"
    );
}

/// T8.
#[tokio::test]
async fn a_node_starts_heals_and_stops_in_order() {
    let (engine, sink) = (Engine::connect(), Sink::start());
    let mut node = node(&engine, &sink).start().await;
    let (status, lines) = node.get("/readyz?verbose").await;
    assert_eq!(status, 200);
    assert!(lines.contains("[+]docker ok"), "{lines}");
    let sick = engine.run(curable("sick"));
    incident_is(&node, &sick, "resolved").await;
    told_of(&sink, &sick, "resolved").await;
    let (status, took) = node.sigterm();
    assert!(status.success(), "{status}");
    // The documented `docker compose down` kills after ten seconds.
    assert!(took < Duration::from_secs(10), "took {took:?}");
    assert!(node.log().contains("stopped"));
    assert!(!node.data_dir().join("RUNNING").exists());
    node.restart().await;
    assert!(!node.log().contains(UNCLEAN));
    node.kill9();
    node.restart().await;
    assert!(node.log().contains(UNCLEAN), "the log does say so after a kill");
    incident_is(&node, &sick, "resolved").await;
}
