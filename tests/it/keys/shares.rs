//! What one key may have of what is there for all: places of the queue, and connections.

use reqwest::Response;
use serde_json::{Value, json};

use super::{CONFIG, TOKEN, ask, get, id, key, post, started};
use crate::support::answers::LONG;
use crate::support::node::Node;
use crate::support::wait::eventually;

/// A command that does not end by itself.
const NAP: &str = "{ name = \"nap\", argv = [\"sleep\", \"600\"], timeout = \"10m\" }";

/// A query that keeps its place until it is cancelled.
fn sleeps() -> Value {
    let arguments = "{command: nap, arguments: {}}";
    json!({"yaml": format!("name: nap\nsteps:\n  - {{id: a, tool: shell, arguments: {arguments}}}\n")})
}

async fn submitted(node: &Node, bearer: &str, body: &Value) -> Response {
    submitted_to(node, bearer, "/v1/queries", body).await
}

async fn submitted_to(node: &Node, bearer: &str, path: &str, body: &Value) -> Response {
    let request = node.http().post(node.url(path)).bearer_auth(bearer).json(body);
    request.send().await.expect("the node answers")
}

/// The kind of the problem with which it is turned away, and that it may come again.
async fn turned_away(answer: Response) -> String {
    assert_eq!(answer.status(), 429);
    let wait = answer.headers()["retry-after"].to_str().expect("the wait is text");
    assert!(wait.parse::<u32>().expect("the wait is seconds") > 0);
    let problem: Value = answer.json().await.expect("a problem is JSON");
    problem["type"].as_str().expect("a problem has a type").to_owned()
}

#[tokio::test]
async fn one_key_cannot_fill_the_queue_and_is_told_which_bound_it_met() {
    let config = CONFIG
        .replace(
            "[query.roles]",
            "[query]\ntimeout = \"10m\"\nmax_concurrent = 1\nqueue = 4\n[query.roles]",
        )
        .replace("{ name = \"nothing\", argv = [\"true\"] }", NAP);
    let node = started(&config).await;
    let (ann, bob) = (key(&node, "ann", "user").await, key(&node, "bob", "user").await);
    let fails = json!({"yaml": "name: none\nsteps:\n  - {id: a, value: \"{{ 1 / 0 }}\"}\n"});
    let failed = ask(&node, &ann, &fails).await.1;
    assert_eq!(failed["outcome"], "failed", "{failed}");
    let retry = format!("/v1/queries/{}/retry", id(&failed));
    let holds: Value = submitted(&node, TOKEN, &sleeps()).await.json().await.expect("an answer");
    let value = json!({"yaml": "name: one\nsteps:\n  - {id: a, value: 1}\n"});
    let mut waiting = Vec::new();
    for bearer in [&ann, &ann, &bob, &bob] {
        let answer = submitted(&node, bearer, &value).await;
        assert_eq!(answer.status(), 202);
        waiting.push(id(&answer.json().await.expect("an answer")));
    }
    let own = turned_away(submitted(&node, &ann, &value).await).await;
    assert_eq!(own, "urn:perennial:problem:key-busy");
    let again = turned_away(submitted_to(&node, &ann, &retry, &json!({})).await).await;
    assert_eq!(again, own, "what is begun again is bounded as well");
    assert_eq!(submitted(&node, TOKEN, &value).await.status(), 202);
    let cleo = key(&node, "cleo", "user").await;
    assert_eq!(submitted(&node, &cleo, &value).await.status(), 202, "nothing of hers waits");
    let full = turned_away(submitted(&node, &cleo, &value).await).await;
    assert_eq!(full, "urn:perennial:problem:busy");

    let path = format!("/v1/queries/{}/cancel", id(&holds));
    assert_eq!(post(&node, TOKEN, &path, &json!({})).await.0, 204);
    for query in waiting {
        let path = format!("/v1/queries/{query}");
        eventually("a query that waited has ended", LONG, async || {
            let (_, query) = get(&node, TOKEN, &path).await;
            if query["outcome"] == "succeeded" { Ok(()) } else { Err(query) }
        })
        .await;
    }
    assert_eq!(ask(&node, &ann, &value).await.0, 200);
    assert_eq!(post(&node, &ann, &retry, &json!({})).await.0, 204, "there is room again");
}

/// A stream of the events of a query that does not end, which holds a connection.
async fn followed(node: &Node, bearer: &str, query: &str) -> Response {
    let request = node.http().get(node.url(&format!("/v1/queries/{query}/events")));
    request.bearer_auth(bearer).send().await.expect("the node answers")
}

#[tokio::test]
async fn one_key_has_its_share_of_the_connections_and_leaves_the_others() {
    let config = CONFIG.replace("[docker]", "[http]\nmax_connections = 8\n[docker]");
    let node = started(&config).await;
    let (ann, bob) = (key(&node, "ann", "user").await, key(&node, "bob", "user").await);
    let wanted =
        json!({"yaml": "name: w\nsteps:\n  - {id: a, approval: {prompt: Well?, wait: 10m}}\n"});
    let taken = submitted(&node, &ann, &wanted).await;
    let query = id(&taken.json().await.expect("an answer"));
    let mut streams = Vec::new();
    for _ in 0..2 {
        // A request is under way until its answer has been read, which may be a little after that.
        let stream = eventually("a connection of one's own", LONG, async || {
            let stream = followed(&node, &ann, &query).await;
            if stream.status() == 200 { Ok(stream) } else { Err(stream.status()) }
        });
        streams.push(stream.await);
    }
    let third = turned_away(followed(&node, &ann, &query).await).await;
    assert_eq!(third, "urn:perennial:problem:rate-limited");
    assert_eq!(get(&node, &bob, "/v1/tools").await.0, 200, "others have their own");
    assert_eq!(get(&node, TOKEN, "/v1/tools").await.0, 200);
    drop(streams.pop());
    eventually("what has ended is given back", LONG, async || {
        let (status, _) = get(&node, &ann, "/v1/tools").await;
        if status == 200 { Ok(()) } else { Err(status) }
    })
    .await;
}
