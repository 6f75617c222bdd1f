//! The stream of what happens in a query.

use std::time::Duration;

use serde_json::{Value, json};

use super::{World, text};
use crate::support::answers::LONG;

/// A client of one query's stream.
struct Stream {
    answer: reqwest::Response,
    read: Vec<u8>,
}

impl Stream {
    /// Begins to read, behind the event with the number `after` if there is one.
    async fn open(world: &World, id: &str, after: Option<u64>) -> Stream {
        // A stream lasts as long as its query, so the request as a whole has no limit.
        let http = reqwest::Client::builder().no_proxy().build().expect("a client can be built");
        let mut request = http.get(world.node.url(&format!("/v1/queries/{id}/events")));
        if let Some(after) = after {
            request = request.header("last-event-id", after.to_string());
        }
        let answer = request.send().await.expect("the node answers");
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Stream { answer, read: Vec::new() }
    }

    /// The next event; none if the stream has ended, whichever way.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.read.windows(2).position(|bytes| bytes == b"\n\n") {
                let event: Vec<u8> = self.read.drain(..end + 2).collect();
                let event = String::from_utf8(event).expect("an event is text");
                if let Some(event) = parsed(&event) {
                    return Some(event);
                }
                continue;
            }
            let chunk = tokio::time::timeout(LONG, self.answer.chunk()).await;
            let chunk = chunk.expect("something happens, or the stream ends").ok().flatten()?;
            self.read.extend_from_slice(&chunk);
        }
    }

    /// All events up to and with the first of this name.
    async fn until(&mut self, name: &str) -> Vec<Value> {
        let mut seen = Vec::new();
        while seen.last().is_none_or(|event: &Value| event["event"] != name) {
            let next = self.next().await;
            seen.push(next.unwrap_or_else(|| panic!("no {name} behind {seen:?}")));
        }
        seen
    }
}

/// An event, whose fields must agree with each other. A comment is none.
fn parsed(block: &str) -> Option<Value> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
    let event: Value = serde_json::from_str(field("data: ")?).expect("an event is JSON");
    assert_eq!(field("id: "), Some(&*event["number"].to_string()), "{block}");
    assert_eq!(field("event: "), event["event"].as_str(), "{block}");
    Some(event)
}

fn numbers(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["number"].as_u64().expect("events have numbers")).collect()
}

/// A value, then a command that waits for the file `go`, then another value.
const WAITING: &str = r#"
name: waiting
steps:
  - {id: before, value: 1}
  - {id: wait, needs: before, tool: shell, arguments: {command: wait, arguments: {name: go}}}
  - {id: after, needs: wait, value: 2}
"#;

#[tokio::test]
async fn events_are_shown_as_they_happen_and_the_stream_ends_behind_the_last_one() {
    let world = World::start().await;
    let id = world.submit(WAITING).await;
    let mut stream = Stream::open(&world, &id, None).await;
    let mut seen = stream.until("step_started").await;
    assert_eq!(world.document(&id).await["status"], "running", "it was told before the end");
    world.write("go", "");
    seen.extend(stream.until("finished").await);
    assert_eq!(stream.next().await, None, "nothing comes behind the end");
    assert_eq!(numbers(&seen), (1..=seen.len() as u64).collect::<Vec<_>>());
    let told: Vec<&str> = seen.iter().map(|event| text(&event["event"])).collect();
    let expected = [
        "accepted",
        "started",
        "step_ended",
        "step_started",
        "step_ended",
        "step_ended",
        "finished",
    ];
    assert_eq!(told, expected);
    assert_eq!(world.events(&id).await, seen, "they can be read again");
}

#[tokio::test]
async fn a_stream_is_taken_up_again_behind_a_crash_without_a_gap_or_a_repetition() {
    let mut world = World::start().await;
    let id = world.submit(WAITING).await;
    let mut stream = Stream::open(&world, &id, None).await;
    let mut seen = stream.until("step_started").await;
    world.node.kill9();
    assert_eq!(stream.next().await, None, "a stream ends with its node");

    world.node.restart_listening().await;
    let last = *numbers(&seen).last().expect("something was seen");
    let mut stream = Stream::open(&world, &id, Some(last)).await;
    world.write("go", "");
    seen.extend(stream.until("finished").await);
    assert_eq!(stream.next().await, None);
    assert_eq!(numbers(&seen), (1..=seen.len() as u64).collect::<Vec<_>>(), "{seen:?}");
    assert_eq!(seen.last().expect("an end")["outcome"], "succeeded");
    assert_eq!(world.events(&id).await, seen);

    // Behind the end there is nothing to wait for.
    let all = seen.len() as u64;
    let mut behind = Stream::open(&world, &id, Some(all)).await;
    let ended = tokio::time::timeout(Duration::from_secs(60), behind.next()).await;
    assert_eq!(ended.expect("a stream that has nothing more to tell ends"), None);
}

#[tokio::test]
async fn an_answer_can_be_waited_for_and_is_not_when_it_takes_too_long() {
    let world = World::start().await;
    let body = json!({"yaml": WAITING});
    let (status, answer) = world.node.post("/v1/queries?wait=1", &body).await;
    assert_eq!(status, 202, "{answer}");
    world.write("go", "");
    let (status, answer) = world.node.post("/v1/queries?wait=60", &body).await;
    assert_eq!(status, 200, "{answer}");
    let document: Value = serde_json::from_str(&answer).expect("an answer is JSON");
    assert_eq!(
        (&document["status"], &document["outcome"]),
        (&json!("finished"), &json!("succeeded"))
    );
    let (status, answer) = world.node.post("/v1/queries?wait=301", &body).await;
    assert_eq!(status, 400, "{answer}");
    assert!(answer.contains("wait is 301"), "{answer}");
}

#[tokio::test]
async fn d7_replaying_the_events_of_a_query_ends_and_changes_nothing() {
    let world = World::start().await;
    let id = world.submit("name: small\nsteps:\n  - {id: a, value: 1}\n").await;
    let ended = world.ended(&id).await;
    let told = async || {
        let (status, body) = world.node.get("/metrics").await;
        assert_eq!(status, 200);
        let counted = body.lines().find(|line| line.starts_with("perennial_query_events_total"));
        counted.expect("events are counted").to_owned()
    };
    let (events, counted) = (world.events(&id).await, told().await);
    let names: Vec<&str> = events.iter().map(|event| text(&event["event"])).collect();
    assert_eq!(names, ["accepted", "started", "step_ended", "finished"]);
    for _ in 0..3 {
        assert_eq!(world.events(&id).await, events);
    }
    assert_eq!(told().await, counted);
    assert_eq!(world.document(&id).await, ended);
}
