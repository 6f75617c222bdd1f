//! What is told at once, what is told together, and when people are reminded.

use std::time::Duration;

use serde_json::json;

use super::{failing, fated, incident, node, posts, slack, taken, text, told};
use crate::support::engine::{ContainerSpec, Engine};
use crate::support::node::perennial;
use crate::support::sink::Sink;
use crate::support::wait::eventually;

/// Longer than a critical notification takes on the slowest machine.
const GROUP_WAIT: Duration = Duration::from_secs(15);

#[tokio::test]
async fn warnings_are_told_together_and_critical_incidents_at_once() {
    let (engine, sink) = (Engine::connect(), Sink::start());
    let alert = format!("group_wait = \"{GROUP_WAIT:?}\"\n{}", slack(&sink));
    let node = node(&engine, &alert).start().await;
    // One-shot jobs: a failure of theirs is a warning.
    let jobs = ["job-a", "job-b"].map(|name| engine.run(ContainerSpec::new(name, "exit 3")));
    for job in &jobs {
        incident(&node, job, "a warning", |found| found["severity"] == "warning").await;
    }
    let urgent = engine.run(failing("urgent"));
    for job in &jobs {
        fated(&node, job, ("slack", "no_safe_action", "delivered")).await;
    }

    let messages = taken(&sink);
    let grouped = messages.iter().position(|message| posts(&[(*message).clone()]).len() == 2);
    let grouped = grouped.expect("one message for both jobs");
    let mut named = posts(&messages[grouped..=grouped]);
    named.sort_by(|a, b| a.container.cmp(&b.container));
    for (post, job) in named.iter().zip(&jobs) {
        assert!(post.container.starts_with(job.name()), "{named:?}");
        assert_eq!(post.change, "no_safe_action", "the latest change of each");
    }
    let before = posts(&messages[..grouped]);
    assert!(before.iter().all(|post| post.container.starts_with(urgent.name())), "{before:?}");
    assert_eq!(before.len(), 2, "the critical one did not wait: {before:?}");
}

/// The second container's reminders show that time has passed in which the first would have been
/// reminded of.
#[tokio::test]
async fn nobody_is_reminded_of_what_a_person_has_taken_on() {
    let (engine, sink) = (Engine::connect(), Sink::start());
    let node = node(&engine, &format!("repeat_interval = \"1s\"\n{}", slack(&sink))).start().await;
    let taken_on = engine.run(failing("taken"));
    let left = engine.run(failing("left"));
    let reminders = |name: &str| {
        let all = posts(&taken(&sink));
        all.iter()
            .filter(|post| post.change == "reminder" && post.container.starts_with(name))
            .count()
    };
    let reach = async |name: &str, count: usize| {
        eventually(&format!("{count} reminders of {name}"), super::LONG, async || {
            let seen = reminders(name);
            if seen >= count { Ok(seen) } else { Err(seen) }
        })
        .await
    };
    reach(taken_on.name(), 2).await;
    reach(left.name(), 2).await;

    let found = incident(&node, &taken_on, "there", |_| true).await;
    let path = format!("/v1/incidents/{}/acknowledge", text(&found["id"]));
    let (status, body) = node.post(&path, &json!({ "by": "ada", "note": "on it" })).await;
    assert!((200..300).contains(&status), "{status}: {body}");
    let seen = reach(left.name(), reminders(left.name()) + 2).await;
    let at_rest = reminders(taken_on.name());
    reach(left.name(), seen + 3).await;
    assert_eq!(reminders(taken_on.name()), at_rest, "no reminder after the acknowledgement");
    let found = incident(&node, &taken_on, "taken on", |found| found["status"] == "acknowledged");
    assert_eq!(found.await["acknowledged_by"], "ada");

    // The same from the command line; the marker is a third container.
    let found = incident(&node, &left, "there", |_| true).await;
    let address = node.url("");
    let output = perennial(
        &std::env::temp_dir(),
        &["acknowledge", text(&found["id"]), "--by", "grace", "--node", &address],
    );
    assert!(output.status.success(), "{output:?}");
    let third = engine.run(failing("third"));
    reach(third.name(), 2).await;
    let at_rest = reminders(left.name());
    reach(third.name(), 5).await;
    assert_eq!(reminders(left.name()), at_rest, "no reminder after the acknowledgement");
    assert!(told(&sink, 1).await.iter().all(|post| post.change != "resolved"));
}
