//! What people want of a query under way: by HTTP and by command line.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStderr};

use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::support::node::perennial_started;
use crate::support::process::signal;

use super::{World, gone, own_seconds, runs, statuses, step, text};

fn nap(seconds: &str) -> String {
    format!(
        "name: nap\nsteps:\n  - {{id: a, tool: shell, arguments: \
         {{command: nap, arguments: {{seconds: \"{seconds}\"}}}}}}\n  - {{id: b, needs: a, value: 1}}\n"
    )
}

#[tokio::test]
async fn a_query_that_is_cancelled_over_http_ends_with_everything_it_runs() {
    let world = World::start().await;
    let seconds = own_seconds(60, 60);
    let id = world.submit(&nap(&seconds)).await;
    runs(&seconds).await;
    let (status, body) = world.order(&id, "cancel", json!({"by": "ann", "reason": "enough"})).await;
    assert_eq!((status, &*body), (204, ""));
    let ended = world.ended(&id).await;
    assert_eq!(ended["outcome"], "cancelled", "{ended}");
    assert_eq!(ended["reason"], "cancelled by ann: enough");
    assert_eq!(statuses(&ended), ["cancelled", "not_run"]);
    gone(&seconds).await;
    assert_eq!(world.order(&id, "cancel", json!({})).await.0, 204, "once more changes nothing");
}

#[tokio::test]
async fn who_follows_a_query_that_is_cancelled_by_command_line_ends_with_130() {
    let world = World::start().await;
    let seconds = own_seconds(60, 61);
    let id = world.submit(&nap(&seconds)).await;
    runs(&seconds).await;
    let cancelled = world.query(&["cancel", &id]);
    assert_eq!(cancelled.code, 0, "{cancelled:?}");
    let followed = world.query(&["follow", &id, "--json"]);
    assert_eq!(followed.code, 130, "{followed:?}");
    assert_eq!(followed.json()["outcome"], "cancelled", "the result is printed all the same");
    gone(&seconds).await;
}

/// Has `pipeline` done by a command line that goes on until the query has ended. Returns when that shows that
/// the first step was begun.
async fn follows(world: &World, pipeline: &str) -> (Child, Lines<BufReader<ChildStderr>>) {
    world.file(pipeline);
    let url = world.node.url("");
    let arguments = ["query", "run", "plan.yaml", "--node", &url];
    let mut child = perennial_started(world.directory.path(), &arguments);
    let mut shown = BufReader::new(child.stderr.take().expect("it is read")).lines();
    let begun = spawn_blocking(move || {
        let begun =
            shown.by_ref().map_while(Result::ok).any(|line| line.starts_with("step started"));
        assert!(begun, "the command line ended before its query was begun");
        shown
    });
    (child, begun.await.expect("its progress can be read"))
}

/// The exit code of a command line that ends by itself, and what it printed.
async fn ends(child: Child) -> (Option<i32>, String) {
    let ended = spawn_blocking(|| child.wait_with_output().expect("a child can be waited for"));
    let output = ended.await.expect("the waiting thread does not panic");
    (output.status.code(), String::from_utf8(output.stdout).expect("the output is text"))
}

#[tokio::test]
async fn ctrl_c_cancels_the_query_that_a_command_line_follows_and_ends_it_with_130() {
    let world = World::start().await;
    let seconds = own_seconds(60, 62);
    let (child, _shown) = follows(&world, &nap(&seconds)).await;
    runs(&seconds).await;
    signal(child.id(), "INT");
    let (code, printed) = ends(child).await;
    assert_eq!(code, Some(130), "{printed}");
    assert!(printed.contains("cancelled"), "the result is printed all the same: {printed}");
    gone(&seconds).await;
}

#[tokio::test]
async fn a_command_line_whose_query_somebody_else_cancels_ends_with_130() {
    let world = World::start().await;
    let seconds = own_seconds(60, 63);
    let (child, _shown) = follows(&world, &nap(&seconds)).await;
    runs(&seconds).await;
    let listed = world.node.get_json("/v1/queries").await;
    let id = text(&listed["items"][0]["id"]).to_owned();
    assert_eq!(world.order(&id, "cancel", json!({"by": "bob"})).await.0, 204);
    let (code, printed) = ends(child).await;
    assert_eq!(code, Some(130), "{printed}");
    assert!(printed.contains("cancelled by bob"), "{printed}");
    gone(&seconds).await;
}

/// A command that waits for the file `go`, and a step behind it.
const WAITING: &str = r#"
name: waiting
steps:
  - {id: wait, tool: shell, arguments: {command: wait, arguments: {name: go}}}
  - {id: after, needs: wait, tool: file_write, arguments: {path: after.txt, content: after}}
"#;

#[tokio::test]
async fn a_paused_query_begins_nothing_until_it_is_resumed() {
    let world = World::start().await;
    let id = world.submit(WAITING).await;
    world
        .when(&id, "runs a command", |document| step(document, "wait")["status"] == "running")
        .await;
    assert_eq!(world.order(&id, "pause", json!({"by": "ann"})).await.0, 204);
    world.write("go", "");
    let done = |document: &Value| step(document, "wait")["status"] == "succeeded";
    let paused = world.when(&id, "has done what was under way", done).await;
    assert_eq!((&paused["status"], &paused["deadline"]), (&json!("paused"), &json!(null)));
    assert_eq!(step(&paused, "after")["status"], "waiting", "{paused}");
    assert!(!world.path("after.txt").exists());

    let resumed = world.query(&["resume", &id]);
    assert_eq!(resumed.code, 0, "{resumed:?}");
    assert_eq!(world.ended(&id).await["outcome"], "succeeded");
    assert_eq!(world.read("after.txt"), "after");
    let again = world.query(&["pause", &id]);
    assert_eq!(again.code, 1, "{again:?}");
    assert!(again.stderr.contains("ended already"), "{again:?}");
}

#[tokio::test]
async fn a_pause_lasts_through_a_crash_and_needs_no_place() {
    let mut world = World::with("max_concurrent = 1").await;
    let id = world.submit(WAITING).await;
    world
        .when(&id, "runs a command", |document| step(document, "wait")["status"] == "running")
        .await;
    let paused = world.query(&["pause", &id]);
    assert_eq!(paused.code, 0, "{paused:?}");
    let other = world.run("name: other\nsteps:\n  - {id: a, value: 1}\n", &[]);
    assert_eq!(other.code, 0, "another one has the place: {other:?}");
    world.write("go", "");
    world.node.kill9();
    world.node.restart_listening().await;
    let done = |document: &Value| step(document, "wait")["status"] == "succeeded";
    let after = world.when(&id, "has done what was under way", done).await;
    assert_eq!(after["status"], "paused", "{after}");
    assert_eq!(world.order(&id, "resume", json!({})).await.0, 204);
    assert_eq!(world.ended(&id).await["outcome"], "succeeded");
}

const ASKING: &str = r#"
name: asking
inputs: {what: the moon}
steps:
  - {id: ask, approval: {prompt: "May I have {{ inputs.what }}?", wait: 10m}}
  - {id: take, needs: ask, tool: file_write, arguments: {path: taken.txt, content: "{{ steps.ask.result.by }}"}}
"#;

#[tokio::test]
async fn a_step_waits_for_a_person_and_goes_on_when_one_approves() {
    let mut world = World::start().await;
    let id = world.submit(ASKING).await;
    let asks = |document: &Value| document["status"] == "approval";
    world.when(&id, "waits for a person", asks).await;
    world.node.kill9();
    world.node.restart_listening().await;
    assert_eq!(world.document(&id).await["status"], "approval", "it waits through a crash");
    let unknown = world.query(&["approve", &id, "nobody", "--by", "ann"]);
    assert_eq!(unknown.code, 1, "{unknown:?}");
    assert!(unknown.stderr.contains("no such step"), "{unknown:?}");
    let early = world.order(&id, "approve", json!({"step": "take", "by": "ann"})).await;
    assert_eq!(early.0, 409, "{early:?}");

    let approved = world.query(&["approve", &id, "ask", "--by", "ann", "--note", "go on"]);
    assert_eq!(approved.code, 0, "{approved:?}");
    let ended = world.ended(&id).await;
    assert_eq!(ended["outcome"], "succeeded", "{ended}");
    assert_eq!(step(&ended, "ask")["result"], json!({"by": "ann", "note": "go on"}));
    assert_eq!(world.read("taken.txt"), "ann");
    let events = world.events(&id).await;
    let wanted = events.iter().find(|event| event["event"] == "approval_wanted");
    assert_eq!(wanted.expect("somebody was asked")["prompt"], "May I have the moon?");
}

#[tokio::test]
async fn a_step_that_is_rejected_has_failed_with_who_and_why() {
    let world = World::start().await;
    for by_command in [false, true] {
        let id = world.submit(ASKING).await;
        world.when(&id, "waits for a person", |document| document["status"] == "approval").await;
        if by_command {
            let ran = world.query(&["reject", &id, "ask", "--by", "bob", "--note", "too dear"]);
            assert_eq!(ran.code, 0, "{ran:?}");
        } else {
            let body = json!({"step": "ask", "by": "bob", "note": "too dear"});
            assert_eq!(world.order(&id, "reject", body).await.0, 204);
        }
        let ended = world.ended(&id).await;
        assert_eq!(ended["outcome"], "failed", "{ended}");
        assert_eq!(step(&ended, "ask")["error"]["kind"], "denied");
        assert!(text(&ended["reason"]).contains("bob refused: too dear"), "{ended}");
        assert!(!world.path("taken.txt").exists());
    }
}

const FAILING: &str = r#"
name: failing
steps:
  - {id: a, tool: file_write, arguments: {path: lines.txt, mode: append, content: "a line\n"}}
  - {id: b, needs: a, tool: file_read, arguments: {path: missing.txt}}
  - {id: c, needs: b, tool: file_write, arguments: {path: c.txt, content: "{{ steps.b.result.content }}"}}
"#;

#[tokio::test]
async fn what_failed_is_done_again_and_what_succeeded_is_not() {
    let world = World::start().await;
    let id = world.submit(FAILING).await;
    assert_eq!(statuses(&world.ended(&id).await), ["succeeded", "failed", "not_run"]);
    let dead = world.node.get_json("/v1/dead-steps").await;
    assert_eq!((&dead["items"][0]["query"], &dead["items"][0]["step"]), (&json!(id), &json!("b")));

    assert_eq!(world.order(&id, "retry", json!({"by": "ann"})).await.0, 204);
    let ended = world.ended(&id).await;
    assert_eq!((&ended["outcome"], &ended["retries"]), (&json!("failed"), &json!(1)), "{ended}");
    world.write("missing.txt", "found");
    let retried = world.query(&["retry", &id]);
    assert_eq!(retried.code, 0, "{retried:?}");
    let ended = world.ended(&id).await;
    assert_eq!((&ended["outcome"], &ended["retries"]), (&json!("succeeded"), &json!(2)), "{ended}");
    assert_eq!((&*world.read("lines.txt"), &*world.read("c.txt")), ("a line\n", "found"));
    assert_eq!(world.node.get_json("/v1/dead-steps").await["items"], json!([]));
    let (status, body) = world.order(&id, "retry", json!({})).await;
    assert_eq!(status, 409, "{body}");
}

#[tokio::test]
async fn a_failed_step_that_nobody_will_do_again_is_taken_off_the_list() {
    let world = World::start().await;
    let id = world.submit(FAILING).await;
    world.ended(&id).await;
    let listed = world.query(&["dead-steps"]);
    assert!(listed.code == 0 && listed.stdout.contains(&id), "{listed:?}");
    let discarded = world.query(&["discard", &id]);
    assert_eq!(discarded.code, 0, "{discarded:?}");
    assert_eq!(world.node.get_json("/v1/dead-steps").await["items"], json!([]));
    assert_eq!(world.document(&id).await["outcome"], "failed", "it is not forgotten");
}

#[tokio::test]
async fn a_query_given_twice_under_one_name_is_done_once() {
    let world = World::start().await;
    world.file("name: once\nsteps:\n  - {id: a, tool: file_write, arguments: {path: l, mode: append, content: x}}\n");
    let give = || world.query(&["run", "plan.yaml", "--once", "monday", "--json"]);
    let (first, second) = (give(), give());
    assert_eq!((first.code, second.code), (0, 0), "{first:?}{second:?}");
    assert_eq!(first.json(), second.json());
    assert_eq!(world.read("l"), "x");
    world.file("name: other\nsteps:\n  - {id: a, value: 1}\n");
    let other = give();
    assert_eq!(other.code, 1, "another query under the same name: {other:?}");
    assert!(other.stderr.contains("another query before"), "{other:?}");
}
