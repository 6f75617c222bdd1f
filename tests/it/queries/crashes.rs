//! What a query lives through: the node is killed in the middle of it.

use serde_json::json;

use super::{World, gone, own_seconds, runs, statuses, step, text};
use crate::support::answers::LONG;

/// Writes a line, runs a command, and ends with a file that shows both.
fn three_steps(seconds: &str) -> String {
    format!(
        r#"
name: crash
steps:
  - {{id: a, tool: file_write, arguments: {{path: once.txt, mode: append, content: "a line\n"}}}}
  - {{id: b, needs: a, tool: shell, arguments: {{command: nap, arguments: {{seconds: "{seconds}"}}}}}}
  - id: c
    tool: file_write
    arguments: {{path: last.txt, content: "{{{{ steps.a.result.bytes }}}} {{{{ steps.b.result.exit_code }}}}"}}
"#
    )
}

#[tokio::test]
async fn d1_a_node_that_is_killed_goes_on_with_what_had_not_ended_and_leaves_no_process() {
    let mut world = World::start().await;
    let seconds = own_seconds(3, 1);
    let id = world.submit(&three_steps(&seconds)).await;
    runs(&seconds).await;
    let before = world.document(&id).await;
    assert_eq!(statuses(&before), ["succeeded", "running", "waiting"], "{before}");
    world.node.kill9();
    gone(&seconds).await;
    let away = world.query(&["show", &id]);
    assert_eq!(away.code, 69, "a node that is away is not taken for an answer: {away:?}");
    assert!(!world.path("last.txt").exists());

    world.node.restart_listening().await;
    let again = world.document(&id).await;
    assert_eq!(again["outcome"], json!(null), "it has not ended: {again}");
    assert_eq!(step(&again, "a"), step(&before, "a"));
    runs(&seconds).await;
    let ended = world.ended(&id).await;
    assert_eq!(ended["outcome"], "succeeded", "{ended}");
    assert_eq!(step(&ended, "a"), step(&before, "a"), "it was not done again");
    assert_eq!(world.read("once.txt"), "a line\n");
    assert_eq!(world.read("last.txt"), "7 0", "the last step has what the others resulted in");
    gone(&seconds).await;
}

#[tokio::test]
async fn d1_a_query_is_followed_through_the_death_of_its_node() {
    let mut world = World::start().await;
    let seconds = own_seconds(2, 2);
    let id = world.submit(&three_steps(&seconds)).await;
    runs(&seconds).await;
    world.node.kill9();
    world.node.restart_listening().await;
    let followed = world.query(&["follow", &id, "--json"]);
    assert_eq!(followed.code, 0, "{followed:?}");
    assert_eq!(followed.json()["outcome"], "succeeded");
}

#[tokio::test]
async fn d4_every_step_of_a_query_that_was_answered_is_durable_at_that_moment() {
    let mut world = World::start().await;
    let plan = r#"
name: quick
steps:
  - {id: one, tool: file_write, arguments: {path: one.txt, mode: append, content: "1\n"}}
  - {id: two, needs: one, tool: file_write, arguments: {path: two.txt, mode: append, content: "2\n"}}
outputs: {bytes: "{{ steps.one.result.bytes + steps.two.result.bytes }}"}
"#;
    let (status, body) = world.node.post("/v1/queries?wait=60", &json!({"yaml": plan})).await;
    world.node.kill9();
    assert_eq!(status, 200, "{body}");
    let answered: serde_json::Value = serde_json::from_str(&body).expect("an answer is JSON");
    assert_eq!(answered["outputs"]["bytes"], 4, "{answered}");

    world.node.restart_listening().await;
    let id = text(&answered["id"]);
    assert_eq!(world.document(id).await, answered);
    let events = world.events(id).await;
    let started = events.iter().filter(|event| event["event"] == "step_started").count();
    assert_eq!(started, 2, "{events:?}");
    assert_eq!((&*world.read("one.txt"), &*world.read("two.txt")), ("1\n", "2\n"));
}

#[tokio::test]
async fn d4_what_ended_before_a_kill_is_known_after_it_level_by_level() {
    let mut world = World::start().await;
    let seconds = own_seconds(1, 4);
    let plan = format!(
        r#"
name: levels
steps:
  - {{id: one, tool: file_write, arguments: {{path: lines.txt, mode: append, content: "1\n"}}}}
  - {{id: two, needs: one, tool: file_write, arguments: {{path: lines.txt, mode: append, content: "2\n"}}}}
  - {{id: nap, needs: two, tool: shell, arguments: {{command: nap, arguments: {{seconds: "{seconds}"}}}}}}
"#
    );
    let id = world.submit(&plan).await;
    runs(&seconds).await;
    world.node.kill9();
    world.node.restart_listening().await;
    let after = world.document(&id).await;
    for done in ["one", "two"] {
        assert_eq!(step(&after, done)["status"], "succeeded", "{after}");
    }
    let ended = world.ended(&id).await;
    assert_eq!(ended["outcome"], "succeeded", "{ended}");
    assert_eq!(world.read("lines.txt"), "1\n2\n");
}

#[tokio::test]
async fn a_wait_between_attempts_goes_on_after_a_crash_and_the_attempts_are_not_forgotten() {
    let mut world = World::start().await;
    let seconds = own_seconds(60, 3);
    let plan = format!(
        r#"
name: backing_off
steps:
  - id: slow
    tool: shell
    arguments: {{command: nap, arguments: {{seconds: "{seconds}"}}}}
    timeout: 500ms
    retry: {{attempts: 2, base: 2s, jitter: 0}}
"#
    );
    let id = world.submit(&plan).await;
    let backing_off = "waits for another attempt";
    crate::support::wait::eventually(backing_off, LONG, async || {
        let (_, figures) = world.node.get("/metrics").await;
        let counted =
            figures.contains("perennial_tool_calls_total{tool=\"shell\",outcome=\"timeout\"} 1");
        if counted {
            Ok(())
        } else {
            Err(figures.lines().filter(|line| line.contains("tool_calls")).collect::<String>())
        }
    })
    .await;
    world.node.kill9();
    world.node.restart_listening().await;
    let ended = world.ended(&id).await;
    assert_eq!(step(&ended, "slow")["attempts"], 2, "{ended}");
    let events = world.events(&id).await;
    let failed = events.iter().filter(|event| event["event"] == "attempt_failed").count();
    assert_eq!(failed, 1, "{events:?}");
    gone(&seconds).await;
}
