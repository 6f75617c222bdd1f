//! What is wrong with a request is said, with its place, and nothing of it is done.

use serde_json::{Value, json};

use super::World;

/// Status and problem document.
async fn problem(request: reqwest::RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.expect("the node answers");
    assert_eq!(answer.headers()["content-type"], "application/problem+json", "{answer:?}");
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.expect("a problem document is JSON");
    assert_eq!(body["status"], status, "{body}");
    (status, body)
}

#[tokio::test]
async fn a_body_that_is_not_as_expected_is_refused_and_the_place_is_named() {
    let world = World::start().await;
    let step = json!({"id": "a", "value": 1});
    let typed = json!({"name": "p", "inputs": {"count": {"type": "integer"}}, "steps": [step]});
    let cases = [
        (json!({}), 400, "`plan`, `pipeline`, `yaml`"),
        (json!({"plan": {}, "yaml": ""}), 400, "exactly one of"),
        (json!({"plam": {}}), 400, "plam"),
        (json!({"yaml": 3}), 400, "yaml: invalid type"),
        (json!([]), 400, "body"),
        (json!(["note", null, null]), 400, "must be a JSON object"),
        (json!("plan"), 400, "must be a JSON object"),
        (json!({"plan": {}}), 422, "name"),
        (json!({"plan": {"name": "p", "steps": []}}), 422, "steps"),
        (json!({"plan": {"name": "p", "steps": [step, step]}}), 422, "step `a`"),
        (json!({"plan": {"name": "p", "steps": [{"id": "a", "valu": 1}]}}), 422, "`value`"),
        (
            json!({"yaml": "name: p\nsteps:\n  - {id: a, needs: b, value: 1}\n"}),
            422,
            "line 3: step `a`",
        ),
        (json!({"yaml": "name: [p\n"}), 422, "line"),
        (json!({"plan": typed}), 422, "count"),
        (json!({"plan": typed, "inputs": {"count": "three"}}), 422, "inputs.count"),
        (json!({"plan": typed, "inputs": {"cuont": 3}}), 422, "did you mean `count`"),
        (json!({"plan": typed, "inputs": [3]}), 422, "inputs"),
        (json!({"pipeline": "weekly"}), 404, "pipelines"),
        (json!({"rules": "weekly"}), 404, "rules"),
    ];
    for (body, expected, named) in cases {
        let (status, problem) =
            problem(world.node.http().post(world.node.url("/v1/queries")).json(&body)).await;
        assert_eq!(status, expected, "{body}: {problem}");
        let detail = problem["detail"].as_str().expect("a problem says what it is");
        assert!(detail.contains(named), "{body}: `{named}` is not in `{detail}`");
    }
    let text = world.node.http().post(world.node.url("/v1/queries")).body("name: p");
    assert_eq!(problem(text).await.0, 415);
    assert_eq!(world.node.get_json("/v1/queries").await["items"], json!([]), "nothing is stored");
}

#[tokio::test]
async fn a_query_that_nobody_gave_is_not_found_whatever_is_wanted_of_it() {
    let world = World::start().await;
    let (http, path) =
        (world.node.http(), |rest: &str| world.node.url(&format!("/v1/queries/q-0{rest}")));
    let decision = json!({"step": "a", "by": "ann"});
    let mut cases = vec![http.get(path("")), http.get(path("/events"))];
    cases.extend(
        ["cancel", "pause", "resume", "retry", "discard"]
            .map(|order| http.post(path(&format!("/{order}")))),
    );
    cases.extend(
        ["approve", "reject"].map(|order| http.post(path(&format!("/{order}"))).json(&decision)),
    );
    cases.push(http.get(world.node.url("/v1/pipelines/weekly")));
    for request in cases {
        let what = format!("{request:?}");
        let (status, body) = problem(request).await;
        assert_eq!(status, 404, "{what}: {body}");
    }
    for order in ["show", "follow", "cancel", "pause", "resume", "retry", "discard"] {
        let ran = world.query(&[order, "q-0"]);
        assert_eq!(ran.code, 1, "{order}: {ran:?}");
        assert!(ran.stderr.contains("there is no query q-0"), "{order}: {ran:?}");
    }
}

#[tokio::test]
async fn a_method_that_a_path_does_not_take_is_refused_as_that() {
    let world = World::start().await;
    let (http, url) = (world.node.http(), |path: &str| world.node.url(path));
    let mut cases = vec![
        http.delete(url("/v1/queries")),
        http.put(url("/v1/queries")),
        http.delete(url("/v1/queries/q-0")),
        http.post(url("/v1/queries/q-0/events")),
        http.post(url("/v1/tools")),
        http.post(url("/v1/pipelines")),
        http.delete(url("/v1/pipelines/x")),
        http.post(url("/v1/rules")),
        http.delete(url("/v1/dead-steps")),
    ];
    for order in ["cancel", "pause", "resume", "retry", "discard", "approve", "reject"] {
        cases.push(http.get(url(&format!("/v1/queries/q-0/{order}"))));
    }
    for request in cases {
        let what = format!("{request:?}");
        let (status, body) = problem(request).await;
        assert_eq!(status, 405, "{what}: {body}");
    }
}

#[tokio::test]
async fn parameters_of_lists_and_streams_and_decisions_are_checked() {
    let world = World::start().await;
    let (http, url) = (world.node.http(), |path: &str| world.node.url(path));
    let done = world.run("name: p\nsteps:\n  - {id: a, value: 1}\n", &[]).json();
    let own = |rest: &str| url(&format!("/v1/queries/{}{rest}", done["id"].as_str().unwrap()));
    let cases = [
        (http.get(url("/v1/queries?status=done")), 400, "status is done; expected one of waiting"),
        (http.get(url("/v1/queries?outcome=good")), 400, "expected one of succeeded"),
        (http.get(url("/v1/queries?limit=0")), 400, "limit"),
        (http.get(url("/v1/queries?color=red")), 400, "color"),
        (http.get(url("/v1/queries?after=nonsense")), 400, "after is `nonsense`"),
        (http.get(url("/v1/queries?after=")), 400, "after is ``"),
        (http.get(url("/v1/queries?by=%ff")), 400, "`by` is not UTF-8"),
        (
            http.get(url("/v1/queries/%ff")),
            400,
            "the path is not as expected: Invalid UTF-8 in `id`",
        ),
        (http.post(own("/cancel")).json(&json!([null, "ann"])), 400, "must be a JSON object"),
        (http.get(url("/v1/dead-steps?limit=1001")), 400, "limit"),
        (http.get(own("/events?after=first")), 400, "after"),
        (http.get(own("/events")).header("last-event-id", "first"), 400, "last-event-id"),
        (http.post(own("/approve")).json(&json!({})), 400, "`step`"),
        (http.post(own("/approve")).json(&json!({"step": "a"})), 400, "`by`"),
        (http.post(own("/approve")).json(&json!({"step": "b", "by": "ann"})), 404, "no such step"),
        (http.post(own("/approve")).json(&json!({"step": "a", "by": "ann"})), 409, "does not wait"),
        (http.post(own("/cancel")).body("{"), 400, "body"),
        (http.post(own("/cancel")).json(&json!({"why": "x"})), 400, "why"),
        (http.post(own("/cancel")), 409, "ended already"),
        (http.post(own("/pause")), 409, "ended already"),
        (http.post(own("/resume")), 409, "ended already"),
        (http.post(own("/retry")), 409, "has succeeded"),
        (http.post(url("/v1/queries?wait=long")).json(&json!({})), 400, "wait"),
    ];
    for (request, expected, named) in cases {
        let what = format!("{request:?}");
        let (status, body) = problem(request).await;
        assert_eq!(status, expected, "{what}: {body}");
        let detail = body["detail"].as_str().expect("a problem says what it is");
        assert!(detail.contains(named), "{what}: `{named}` is not in `{detail}`");
    }
}
