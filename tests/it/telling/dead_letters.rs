//! Notifications that were given up.

use serde_json::Value;

use super::{failing, fated, items, node, posts, slack, taken, text};
use crate::support::engine::Engine;
use crate::support::node::{Node, perennial};
use crate::support::sink::{Answer, Sink};
use crate::support::wait::eventually;

fn dead_letters(node: &Node, arguments: &[&str]) -> String {
    let address = node.url("");
    let all = [&["dead-letters"], arguments, &["--node", &address]].concat();
    let output = perennial(&std::env::temp_dir(), &all);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

fn listed(node: &Node) -> Vec<Value> {
    let text = dead_letters(node, &["list", "--json"]);
    items(&serde_json::from_str(&text).expect("JSON"))
}

#[tokio::test]
async fn an_expired_notification_is_a_dead_letter_that_can_be_listed_and_sent_again() {
    let (engine, sink) = (Engine::connect(), Sink::start());
    sink.answer(Answer::Status(500));
    let node = node(&engine, &format!("expires = \"3s\"\n{}", slack(&sink))).start().await;
    let container = engine.run(failing("web"));
    fated(&node, &container, ("slack", "opened", "expired")).await;
    fated(&node, &container, ("slack", "suppressed", "expired")).await;

    // Newest first.
    let letters = listed(&node);
    assert_eq!(letters.len(), 2, "{letters:?}");
    for letter in &letters {
        assert_eq!(text(&letter["effect"]), "deliver", "{letter}");
        assert!(text(&letter["reason"]).contains("expired"), "{letter}");
        assert!(letter["attempts"].as_u64() >= Some(1) || letter["last_error"] == "", "{letter}");
    }
    let (late, early) = (text(&letters[0]["id"]), text(&letters[1]["id"]));
    assert!(text(&letters[1]["last_error"]).contains("500"), "{letters:?}");
    assert!(dead_letters(&node, &["list"]).contains(early));
    let newest = dead_letters(&node, &["list", "--limit", "1"]);
    assert!(newest.contains(late) && !newest.contains(early), "{newest}");
    assert!(dead_letters(&node, &["show", early]).contains("deliver"));

    sink.answer(Answer::Status(200));
    dead_letters(&node, &["redrive", early]);
    fated(&node, &container, ("slack", "opened", "delivered")).await;
    let told = posts(&taken(&sink));
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].change, "opened");

    dead_letters(&node, &["discard", late]);
    eventually("no dead letters", super::LONG, async || {
        let left = listed(&node);
        if left.is_empty() { Ok(()) } else { Err(left) }
    })
    .await;
    assert_eq!(posts(&taken(&sink)).len(), 1, "what was discarded was not sent");
}
