//! The generic webhook.

use std::collections::BTreeSet;

use super::{failing, fated, node, text};
use crate::support::engine::Engine;
use crate::support::sink::{Answer, Sink};

const KEY: &str = "a key only both ends know";

#[tokio::test]
async fn a_webhook_is_signed_so_that_its_receiver_can_tell_it_from_a_forgery() {
    let (engine, sink) = (Engine::connect(), Sink::start());
    sink.answer(Answer::Status(500));
    let webhook = format!("[alert.webhook]\nurl = \"{}\"\nkey = \"{KEY}\"", sink.url("/hook"));
    let node = node(&engine, &webhook).start().await;
    let container = engine.run(failing("web"));
    sink.wait_for(1, super::LONG).await;
    sink.answer(Answer::Status(204));
    let found = fated(&node, &container, ("webhook", "suppressed", "delivered")).await;

    let received = sink.received();
    for request in &received {
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/hook"));
        let timestamp = request.header("x-perennial-timestamp").expect("a timestamp");
        let signed = [timestamp.as_bytes(), b".", &request.body].concat();
        assert!(request.is_signed("x-perennial-signature", KEY.as_bytes(), &signed));
        assert!(!request.is_signed("x-perennial-signature", b"another key", &signed));
        assert!(!request.is_signed("x-perennial-signature", KEY.as_bytes(), &request.body));
    }
    // A repetition carries the key of the first attempt; another notification one of its own.
    let key = |n: usize| received[n].header("idempotency-key").expect("a key").to_owned();
    let keys: BTreeSet<String> = (0..received.len()).map(key).collect();
    assert_eq!(keys.len(), 2, "{keys:?}");
    assert_eq!(key(0), key(1), "the first was refused and came again");

    let last = received.last().expect("a request").json();
    assert_eq!(last["version"], 1, "{last}");
    assert_eq!(last["change"], "suppressed", "{last}");
    assert_eq!(last["severity"], "critical", "{last}");
    assert_eq!(last["environment"], "proving ground", "{last}");
    assert_eq!(last["sequence"], 2, "{last}");
    let told = &last["incidents"][0];
    assert_eq!(text(&told["id"]), text(&found["id"]), "{last}");
    assert_eq!(told["container"]["id"], container.id(), "{last}");
    assert!(told["journal"].as_array().is_some_and(|steps| !steps.is_empty()), "{last}");
}
