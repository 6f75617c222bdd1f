//! Workers outside the node: what they answer arrives.

use serde_json::{Value, json};

use crate::support::answers::{LONG, text};
use crate::support::node::Node;
use crate::support::wait::eventually;

const CONFIG: &str = "[docker]\nhost = \"unix:///nowhere/docker.sock\"\n\
    [query]\ntimeout = \"10m\"\n\
    [[query.workers.pools]]\nname = \"far\"\ntools = [{ name = \"tell\", timeout = \"5m\" }]\n";

/// The most that an answer may be, in bytes of JSON.
const LARGEST: usize = 256 * 1024;

/// What becomes of a query whose only step is answered so by a worker, as it is sent; and the status that the worker
/// is answered.
async fn answered(node: &Node, value: &str) -> (u16, Value) {
    let plan =
        json!({"yaml": "name: far\nsteps:\n  - {id: a, tool: tell, retry: {attempts: 1}}\n"});
    let (status, taken) = node.post("/v1/queries", &plan).await;
    assert_eq!(status, 202, "{taken}");
    let taken: Value = serde_json::from_str(&taken).expect("an answer is JSON");
    let job = eventually("a job for the worker", LONG, async || {
        let (status, job) = node.post("/v1/workers/far/poll", &json!({"worker": "w"})).await;
        if status == 200 { Ok(job) } else { Err((status, job)) }
    });
    let job: Value = serde_json::from_str(&job.await).expect("a job is JSON");
    let path = format!("/v1/workers/far/jobs/{}/result", job["id"]);
    let body = format!("{{\"lease\": {}, \"value\": {value}}}", job["lease"]);
    let request = node.http().post(node.url(&path)).header("content-type", "application/json");
    let status = request.body(body).send().await.expect("the node answers").status().as_u16();
    if status != 204 {
        return (status, Value::Null);
    }
    let path = format!("/v1/queries/{}", text(&taken["id"]));
    let document = eventually("the query has ended", LONG, async || {
        let document = node.get_json(&path).await;
        if document["status"] == "finished" {
            Ok(document)
        } else {
            Err(document["status"].clone())
        }
    });
    (status, document.await)
}

#[tokio::test]
async fn an_answer_of_the_documented_size_arrives_however_it_is_written() {
    let node = Node::builder().toml(CONFIG).start_listening().await;
    // Two quotes, and letters of two bytes each.
    let letters = LARGEST / 2 - 1;
    for letter in ["é", "\\u00e9"] {
        let value = format!("\"{}\"", letter.repeat(letters));
        let (status, query) = answered(&node, &value).await;
        assert_eq!((status, &query["outcome"]), (204, &json!("succeeded")), "{letter}");
        let result = text(&query["steps"][0]["result"]);
        assert!(result.len() == 2 * letters && result.chars().all(|one| one == 'é'), "{letter}");
    }
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_a_failure_that_says_so() {
    let node = Node::builder().toml(CONFIG).start_listening().await;
    let (status, query) = answered(&node, &format!("\"{}\"", "a".repeat(LARGEST))).await;
    assert_eq!((status, &query["outcome"]), (204, &json!("failed")), "{query}");
    let why = text(&query["steps"][0]["error"]["message"]);
    assert!(why.contains("over the limit of 262144; ask for less"), "{why}");
    let (status, _) = answered(&node, &format!("\"{}\"", "a".repeat(5 * LARGEST))).await;
    assert_eq!(status, 413, "what no answer can be is not read");
}
