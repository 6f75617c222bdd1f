//! The HTTP interface of a real node: health, tokens, problem documents, and the commands that use
//! it. No engine is needed: the node is pointed at a socket that is not there.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::node::{Node, perennial, spawn};
use crate::support::process;

const NO_ENGINE: &str = "[docker]\nhost = \"unix:///nowhere/docker.sock\"\n";
const TOKEN: &str = "0123456789abcdef";

async fn node() -> Node {
    Node::builder().toml(NO_ENGINE).start_listening().await
}

async fn node_with_token(toml: &str) -> Node {
    let builder = Node::builder().toml(NO_ENGINE).toml(toml);
    builder.env("PERENNIAL__HTTP__TOKEN", TOKEN).start_listening().await
}

/// Status, content type and JSON body.
async fn problem(request: reqwest::RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.expect("the node answers");
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    assert_eq!(kind, "application/problem+json");
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.expect("a problem document is JSON");
    assert_eq!(body["status"], status);
    assert!(!body["detail"].as_str().unwrap().is_empty());
    (status, body)
}

fn run(node: &Node, command: &[&str]) -> (i32, String) {
    let url = node.url("");
    let output = perennial(Path::new("/"), &[command, &["--node", &url]].concat());
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    (output.status.code().expect("the command ended by itself"), text)
}

#[tokio::test]
async fn a_node_without_an_engine_lives_and_says_why_it_is_not_ready() {
    let node = node().await;
    for path in ["/livez", "/healthz", "/health"] {
        assert_eq!(node.get(path).await, (200, "ok\n".to_owned()), "{path}");
    }
    for path in ["/readyz?verbose", "/ready?verbose"] {
        let (status, text) = node.get(path).await;
        assert_eq!(status, 503);
        assert!(text.contains("[+]store ok"), "{text}");
        assert!(text.contains("[-]docker failed: "), "{text}");
        assert!(text.ends_with("not ready\n"), "{text}");
    }
    let (_, brief) = node.get("/readyz").await;
    assert!(!brief.contains("[+]"), "only what fails is listed: {brief}");
}

#[tokio::test]
async fn the_tree_shows_supervisors_kinds_performers_and_sensors() {
    let node = node().await;
    let tree = node.get_json("/v1/tree").await;
    assert_eq!(tree["key"], "node");
    let text = tree.to_string();
    for key in ["healing", "monitor", "analyzer", "responder", "alert", "docker-events", "deliver"]
    {
        assert!(text.contains(&format!("\"key\":\"{key}\"")), "{key} is missing in {text}");
    }
}

#[tokio::test]
async fn lists_are_empty_before_anything_has_happened() {
    let node = node().await;
    for path in ["/v1/containers", "/v1/incidents", "/v1/actions", "/v1/dead-letters"] {
        assert_eq!(node.get_json(path).await["items"], json!([]), "{path}");
    }
    assert_eq!(node.get_json("/v1/actions").await["chain"]["intact"], true);
}

#[tokio::test]
async fn whatever_is_wrong_is_answered_with_a_problem_document() {
    let node = node().await;
    let http = node.http();
    let cases = [
        (http.get(node.url("/nothing")), 404),
        (http.get(node.url("/v1/nothing")), 404),
        (http.get(node.url("/v1/incidents/inc-0")), 404),
        (http.post(node.url("/v1/tree")), 405),
        (http.get(node.url("/v1/incidents?status=closed")), 400),
        (http.get(node.url("/v1/incidents?severity=loud")), 400),
        (http.get(node.url("/v1/incidents?limit=0")), 400),
        (http.get(node.url("/v1/incidents?color=red")), 400),
        (http.get(node.url("/v1/incidents?after=yesterday")), 400),
        (http.get(node.url("/v1/actions?after=yesterday")), 400),
        (http.get(node.url("/v1/actions?verify=none")), 400),
        (http.get(node.url("/v1/dead-letters?limit=1001")), 400),
        (http.get(node.url("/v1/dead-letters/abc")), 400),
        (http.get(node.url("/v1/dead-letters/1-1")), 404),
        (http.post(node.url("/v1/dead-letters/1-1/redrive")), 404),
        (http.delete(node.url("/v1/dead-letters/1-1")), 404),
        (http.post(node.url("/v1/incidents/inc-0/acknowledge")), 415),
        (http.post(node.url("/v1/incidents/inc-0/acknowledge")).json(&json!({})), 400),
        (http.post(node.url("/v1/incidents/inc-0/acknowledge")).json(&json!({ "by": "" })), 400),
        (http.post(node.url("/v1/incidents/inc-0/acknowledge")).json(&json!({ "by": "me" })), 404),
    ];
    for (request, expected) in cases {
        let what = format!("{request:?}");
        let (status, body) = problem(request).await;
        assert_eq!(status, expected, "{what}: {body}");
    }
}

#[tokio::test]
async fn a_malformed_request_is_told_what_was_expected_in_the_nodes_own_words() {
    let node = node().await;
    let (_, body) = problem(node.http().get(node.url("/v1/incidents?severity=loud"))).await;
    let why = body["detail"].as_str().unwrap();
    assert!(why.starts_with("the query is not as expected: severity: unknown"), "{why}");
    let path = node.url("/v1/incidents/inc-0/acknowledge");
    let (_, body) = problem(node.http().post(path).json(&json!({ "by": 3 }))).await;
    let why = body["detail"].as_str().unwrap();
    assert!(why.starts_with("the body is not as expected: by: invalid type"), "{why}");
}

#[tokio::test]
async fn a_name_that_is_given_twice_is_refused_with_its_place() {
    let node = node().await;
    let post = async |path: &str, body: &'static str| {
        let request = node.http().post(node.url(path)).header("content-type", "application/json");
        problem(request.body(body)).await
    };
    for (path, body, place) in [
        ("/v1/queries", r#"{"yaml": "name: a", "yaml": "name: b"}"#, "yaml"),
        (
            "/v1/queries",
            r#"{"plan": {"name": "a", "steps": [{"id": "s", "value": {"n": 1, "n": 2}}]}}"#,
            "plan.steps[0].value.n",
        ),
        (
            "/v1/queries",
            r#"{"pipeline": "a", "inputs": {"x": [{"k": 1, "k": 1}]}}"#,
            "inputs.x[0].k",
        ),
        ("/v1/queries", r#"{"rules": "a", "facts": {"x": 1, "x": 2}}"#, "facts.x"),
        ("/v1/queries/q-1/cancel", r#"{"by": "a", "by": "b"}"#, "by"),
    ] {
        let (status, body) = post(path, body).await;
        let why = body["detail"].as_str().unwrap();
        assert_eq!(status, 400, "{why}");
        assert!(why.contains(&format!("`{place}`")), "{why}");
    }
    let (status, _) = problem(node.http().post(node.url("/v1/queries")).body("{}")).await;
    assert_eq!(status, 415, "what is not said to be JSON is none");
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused() {
    let builder = Node::builder().toml(NO_ENGINE).toml("[http]\nmax_body_bytes = 100\n");
    let node = builder.start_listening().await;
    let body = json!({ "by": "x".repeat(200) });
    let request = node.http().post(node.url("/v1/incidents/inc-0/acknowledge")).json(&body);
    assert_eq!(problem(request).await.0, 413);
}

#[tokio::test]
async fn no_web_page_orders_a_node_that_asks_for_no_token() {
    let node = node().await;
    let fired = || node.http().post(node.url("/v1/schedules/tick/fire"));
    let page = fired().header("origin", "https://evil.example");
    assert_eq!(problem(page).await.0, 403);
    let rebound = node.http().get(node.url("/v1/backup")).header("host", "evil.example");
    let (status, body) = problem(rebound).await;
    assert_eq!((status, body["detail"].to_string().contains("`http.token`")), (403, true));
    let mistyped = node.http().get(node.url("/v1/tree")).bearer_auth("k_2_mistyped");
    assert_eq!(problem(mistyped).await.0, 401);
    assert_eq!(problem(fired()).await.0, 404, "there is no such schedule");
    assert_eq!(node.get("/v1/tree").await.0, 200);
}

#[tokio::test]
async fn with_a_token_everything_but_health_needs_it() {
    let node = node_with_token("").await;
    assert_eq!(node.get("/livez").await.0, 200);
    assert_eq!(node.get("/readyz").await.0, 503);
    for path in ["/v1/tree", "/metrics", "/v1/incidents"] {
        let (status, body) = problem(node.http().get(node.url(path))).await;
        assert_eq!(status, 401, "{path}: {body}");
        let wrong = node.http().get(node.url(path)).bearer_auth("0123456789abcdeF");
        assert_eq!(problem(wrong).await.0, 401);
        let right = node.http().get(node.url(path)).bearer_auth(TOKEN).send().await.unwrap();
        assert_eq!(right.status(), 200, "{path}");
    }
    assert!(!node.log().contains(TOKEN), "the log holds the token");
}

#[tokio::test]
async fn metrics_can_be_opened_to_those_without_a_token() {
    let node = node_with_token("[http]\nopen_metrics = true\n").await;
    assert_eq!(node.get("/metrics").await.0, 200);
    assert_eq!(node.get("/v1/tree").await.0, 401);
}

#[tokio::test]
async fn the_metrics_are_open_metrics_text_with_the_nodes_figures() {
    let node = node().await;
    let answer = node.http().get(node.url("/metrics")).send().await.unwrap();
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
    let text = answer.text().await.unwrap();
    for name in [
        "perennial_build_info{",
        "perennial_commits_total ",
        "perennial_docker_event_gaps_total 0",
        "perennial_dead_letters 0",
        "perennial_ready{check=\"docker\"} 0",
        "perennial_ready{check=\"store\"} 1",
        "process_resident_memory_bytes ",
    ] {
        assert!(text.contains(name), "{name} is missing in {text}");
    }
    assert!(text.ends_with("# EOF\n"), "{text}");
}

#[tokio::test]
async fn a_connection_that_sends_no_request_is_closed() {
    let builder = Node::builder().toml(NO_ENGINE).toml("[http]\nheader_timeout = \"200ms\"\n");
    let node = builder.start_listening().await;
    let address = node.url("").replace("http://", "");
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET /livez HT").await.unwrap();
    let mut answer = Vec::new();
    let closed = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer);
    tokio::time::timeout(Duration::from_secs(60), closed)
        .await
        .expect("the node closes the connection")
        .expect("the connection ends in order");
}

#[tokio::test]
async fn the_commands_print_tables_or_json() {
    let node = node().await;
    let (code, text) = run(&node, &["tree"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.starts_with("ACTOR") && text.contains("supervisor node"), "{text}");
    let (code, text) = run(&node, &["tree", "--json"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["key"], "node");
    let (code, text) = run(&node, &["health"]);
    assert_eq!(code, 1);
    assert!(text.contains("[-]docker failed"), "{text}");
    assert_eq!(run(&node, &["health", "--live"]), (0, "ok\n".to_owned()));
    for command in [&["containers"][..], &["incidents"], &["actions"], &["dead-letters", "list"]] {
        let (code, text) = run(&node, command);
        assert_eq!(code, 0, "{command:?}: {text}");
    }
    let (code, text) = run(&node, &["dead-letters", "redrive", "1-1"]);
    assert_eq!(code, 1);
    assert!(text.contains("there is no dead letter 1-1"), "{text}");
}

#[tokio::test]
async fn a_command_without_the_nodes_token_says_how_to_give_it() {
    let node = node_with_token("").await;
    let (code, text) = run(&node, &["tree"]);
    assert_eq!(code, 1);
    assert!(text.contains("PERENNIAL__HTTP__TOKEN"), "{text}");
    let (code, text) = run(&node, &["tree", "--token", TOKEN]);
    assert_eq!(code, 0, "{text}");
}

#[tokio::test]
async fn a_second_node_on_the_same_data_is_refused() {
    let node = node().await;
    let data = node.data_dir().display().to_string();
    let output = perennial(Path::new("/"), &["--data-dir", &data, "--listen", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(69));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.lines().all(|line| line.starts_with('{')), "only lines of the log: {text}");
    assert_eq!(text.matches("in use by").count(), 1, "told once: {text}");
    assert!(text.contains(&format!("in use by pid {}", node.pid())), "{text}");
    assert!(!text.contains("listening"), "only who has the data says that it listens: {text}");
    assert_eq!(node.get("/livez").await.0, 200, "the first one goes on");
}

#[test]
fn a_node_whose_disk_hangs_while_it_starts_can_be_stopped() {
    let directory = tempfile::tempdir().unwrap();
    // To open a pipe takes until somebody opens its other end.
    let pipe = directory.path().join("FORMAT");
    process::run(Command::new("mkfifo").arg(&pipe));
    let node = spawn(directory.path());
    let opened = File::options().write(true).open(&pipe).unwrap();
    let status = process::end(node, Duration::from_secs(30));
    drop(opened);
    assert_eq!(status.code(), Some(1), "{status}");
}

#[tokio::test]
async fn an_idle_node_stops_alone_in_under_two_seconds_and_starts_again() {
    let mut node = node().await;
    let (status, took) = node.sigterm();
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    node.restart_listening().await;
    assert_eq!(node.get("/livez").await.0, 200);
    assert!(!node.log().contains("did not end in order"), "{}", node.log());
}
