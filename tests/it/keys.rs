//! API keys on a real node: who is let in, what each may, and where their secrets are not.

mod shares;

use std::fs;
use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::node::{Node, perennial, sent};
use crate::support::wait::eventually;

const TOKEN: &str = "0123456789abcdef";

/// No engine; a role that may nothing, one that may give out keys, and a tool that not everybody may call.
const CONFIG: &str = "[docker]\nhost = \"unix:///nowhere/docker.sock\"\n\
    [query.roles]\nnobody = []\nclerk = [\"keys\", \"queries\"]\nuser = [\"queries\"]\n\
    [query.shell]\ncommands = [{ name = \"nothing\", argv = [\"true\"] }]\n";

async fn node() -> Node {
    started(CONFIG).await
}

async fn started(config: &str) -> Node {
    let builder = Node::builder().toml(config).env("PERENNIAL__HTTP__TOKEN", TOKEN);
    builder.start_listening().await
}

async fn get(node: &Node, bearer: &str, path: &str) -> (u16, Value) {
    sent(node.http().get(node.url(path)).bearer_auth(bearer)).await
}

async fn post(node: &Node, bearer: &str, path: &str, body: &Value) -> (u16, Value) {
    sent(node.http().post(node.url(path)).bearer_auth(bearer).json(body)).await
}

async fn wanted(node: &Node, bearer: &str, (name, role): (&str, &str)) -> (u16, Value) {
    post(node, bearer, "/v1/keys", &json!({"name": name, "role": role, "teams": ["reds"]})).await
}

/// The key that the node gives to somebody.
async fn key(node: &Node, name: &str, role: &str) -> String {
    let (status, given) = wanted(node, TOKEN, (name, role)).await;
    assert_eq!(status, 201, "{given}");
    given["key"].as_str().expect("a key").to_owned()
}

/// Has a value given, and waits for it.
async fn ask(node: &Node, bearer: &str, body: &Value) -> (u16, Value) {
    post(node, bearer, "/v1/queries?wait=30", body).await
}

fn gives(value: u64) -> Value {
    json!({"yaml": format!("name: gives\nsteps:\n  - {{id: a, value: {value}}}\n")})
}

fn id(query: &Value) -> String {
    query["id"].as_str().unwrap_or_else(|| panic!("no id: {query}")).to_owned()
}

fn ids(list: &Value) -> Vec<String> {
    list["items"].as_array().expect("a list").iter().map(id).collect()
}

/// Every method and path below `/v1` that the router has.
fn routes() -> Vec<(Method, String)> {
    let source = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http.rs"));
    let source = source.expect("the router's source");
    let mut routes = Vec::new();
    for line in source.lines().filter(|line| line.contains(".route(\"/v1/")) {
        let path = line.split('"').nth(1).expect("a path");
        let path = path.replace("{id}", "1").replace("{name}", "x").replace("{pool}", "x");
        for method in [Method::GET, Method::POST, Method::DELETE] {
            let call = format!("{}(", method.as_str().to_lowercase());
            if line.contains(&format!(" {call}")) || line.contains(&format!(").{call}")) {
                routes.push((method, path.clone()));
            }
        }
    }
    assert!(routes.len() > 30, "{routes:?}");
    assert!(routes.iter().all(|(_, path)| !path.contains('{')), "{routes:?}");
    routes
}

#[tokio::test]
async fn a_key_opens_what_its_role_may_until_it_is_revoked() {
    let node = node().await;
    let (status, given) = wanted(&node, TOKEN, ("ann", "user")).await;
    assert_eq!((status, &given["name"], &given["teams"]), (201, &json!("ann"), &json!(["reds"])));
    let ann = given["key"].as_str().unwrap();
    let (status, query) = ask(&node, ann, &gives(1)).await;
    assert_eq!(status, 200, "{query}");
    assert_eq!((&query["by"], &query["role"]), (&json!("ann"), &json!("user")));
    assert_eq!(query["key"], given["id"]);
    let as_header = node.http().get(node.url("/v1/queries")).header("x-api-key", ann);
    assert_eq!(sent(as_header).await.0, 200);

    let path = format!("/v1/keys/{}", given["id"]);
    for _ in 0..2 {
        let revoke = node.http().delete(node.url(&path)).bearer_auth(TOKEN);
        assert_eq!(sent(revoke).await.0, 204, "revoking again changes nothing");
    }
    let (status, problem) = get(&node, ann, "/v1/queries").await;
    assert_eq!((status, &problem["title"]), (401, &json!("Token needed")));
    let (_, keys) = get(&node, TOKEN, "/v1/keys").await;
    assert!(keys["items"][0]["revoked_at"].is_string(), "{keys}");
    let unknown = node.http().delete(node.url("/v1/keys/99")).bearer_auth(TOKEN);
    assert_eq!(sent(unknown).await.0, 404);
}

#[tokio::test]
async fn what_is_no_good_key_is_no_key() {
    let node = node().await;
    let ann = key(&node, "ann", "user").await;
    let last = if ann.ends_with('0') { "1" } else { "0" };
    let other_secret = format!("{}{last}", &ann[..ann.len() - 1]);
    let other_number = ann.replace("pk_1_", "pk_2_");
    for wrong in [&other_secret, &other_number, &ann[..ann.len() - 1], "pk_1_", "pk_", ""] {
        assert_eq!(get(&node, wrong, "/v1/queries").await.0, 401, "{wrong}");
        let as_header = node.http().get(node.url("/v1/queries")).header("x-api-key", wrong);
        assert_eq!(sent(as_header).await.0, 401, "{wrong}");
    }
    let as_header = node.http().get(node.url("/v1/queries")).header("x-api-key", TOKEN);
    assert_eq!(sent(as_header).await.0, 401, "the node's token is no API key");
}

#[tokio::test]
async fn a_node_without_a_token_asks_for_nothing_and_still_knows_its_keys() {
    let node = Node::builder().toml(CONFIG).start_listening().await;
    let (status, given) = sent(
        node.http().post(node.url("/v1/keys")).json(&json!({"name": "ann", "role": "nobody"})),
    )
    .await;
    assert_eq!(status, 201, "{given}");
    let ann = given["key"].as_str().unwrap();
    assert_eq!(get(&node, ann, "/v1/tree").await.0, 403);
    assert_eq!(get(&node, &ann[..20], "/v1/tree").await.0, 401);
}

#[tokio::test]
async fn a_key_whose_role_may_nothing_opens_no_path_there_is() {
    let node = node().await;
    let nobody = key(&node, "nina", "nobody").await;
    for (method, path) in routes() {
        let request = node.http().request(method.clone(), node.url(&path)).bearer_auth(&nobody);
        let (status, problem) = sent(request.json(&json!({}))).await;
        assert_eq!(status, 403, "{method} {path}: {problem}");
        assert_eq!(problem["type"], "urn:perennial:problem:forbidden");
        let why = problem["detail"].as_str().unwrap();
        assert!(why.contains("`nobody` has no permission `"), "{method} {path}: {why}");
    }
    assert_eq!(get(&node, &nobody, "/metrics").await.0, 403);
    let head = node.http().head(node.url("/v1/tree")).bearer_auth(&nobody);
    assert_eq!(sent(head).await.0, 403);
}

#[tokio::test]
async fn queries_of_others_are_as_if_they_were_not_there() {
    let node = node().await;
    let (ann, bob) = (key(&node, "ann", "user").await, key(&node, "bob", "user").await);
    let anns = id(&ask(&node, &ann, &gives(1)).await.1);
    let bobs = id(&ask(&node, &bob, &gives(2)).await.1);
    let nodes = id(&ask(&node, TOKEN, &gives(3)).await.1);

    assert_eq!(ids(&get(&node, &ann, "/v1/queries").await.1), [anns.as_str()]);
    let (_, all) = get(&node, TOKEN, "/v1/queries").await;
    assert_eq!(ids(&all), [nodes.as_str(), &bobs, &anns]);
    let (_, audit) = get(&node, TOKEN, "/v1/queries?by=bob").await;
    assert_eq!(ids(&audit), [bobs.as_str()]);

    assert_eq!(get(&node, &ann, &format!("/v1/queries/{anns}")).await.0, 200);
    for other in [&bobs, &nodes] {
        let (_, unknown) = get(&node, &ann, "/v1/queries/q-none").await;
        let (status, problem) = get(&node, &ann, &format!("/v1/queries/{other}")).await;
        assert_eq!(status, 404);
        let why = problem["detail"].as_str().unwrap().replace(other.as_str(), "q-none");
        assert_eq!(why, unknown["detail"].as_str().unwrap(), "nothing tells the two apart");
        assert_eq!(get(&node, &ann, &format!("/v1/queries/{other}/events")).await.0, 404);
        for order in ["cancel", "pause", "resume", "retry", "discard"] {
            let path = format!("/v1/queries/{other}/{order}");
            assert_eq!(post(&node, &ann, &path, &json!({})).await.0, 404, "{order}");
        }
    }
    assert_eq!(get(&node, &ann, "/v1/dead-steps").await.0, 403);
}

#[tokio::test]
async fn who_holds_a_key_orders_and_decides_in_their_own_name_only() {
    let node = node().await;
    let ann = key(&node, "ann", "user").await;
    let text = "name: asks\nsteps:\n  - {id: a, approval: {prompt: well?}}\n";
    let (status, taken) = post(&node, &ann, "/v1/queries", &json!({"yaml": text})).await;
    assert_eq!(status, 202, "{taken}");
    let path = format!("/v1/queries/{}", id(&taken));
    let forged = json!({"by": "bob"});
    assert_eq!(post(&node, &ann, &format!("{path}/cancel"), &forged).await.0, 400);
    assert_eq!(post(&node, &ann, &format!("{path}/pause"), &json!({})).await.0, 204);
    assert_eq!(post(&node, &ann, &format!("{path}/cancel"), &json!({"by": "ann"})).await.0, 204);
    let events = node.http().get(node.url(&format!("{path}/events"))).bearer_auth(&ann);
    let (_, events) = sent(events).await;
    let paused = events.as_str().unwrap().split("event: paused").nth(1).expect("it was paused");
    assert!(paused.lines().nth(1).unwrap().contains("\"ann\""), "{paused}");
}

#[tokio::test]
async fn the_same_name_of_two_queries_is_two_names_for_two_keys() {
    let node = node().await;
    let (ann, bob) = (key(&node, "ann", "user").await, key(&node, "bob", "user").await);
    let once = async |bearer: &str, value| {
        let request = node.http().post(node.url("/v1/queries")).bearer_auth(bearer);
        sent(request.header("idempotency-key", "first").json(&gives(value))).await
    };
    let (_, anns) = once(&ann, 1).await;
    let (status, bobs) = once(&bob, 1).await;
    assert_eq!(status, 202, "{bobs}");
    assert_ne!(anns["id"], bobs["id"]);
    assert_eq!(once(&ann, 1).await.1["id"], anns["id"]);
    assert_eq!(once(&ann, 2).await.0, 409);
}

#[tokio::test]
async fn a_shared_result_is_read_by_those_of_the_same_role_and_teams_and_nobody_else() {
    let node = node().await;
    let (ann, bob) = (key(&node, "ann", "user").await, key(&node, "bob", "user").await);
    let clerk = key(&node, "cleo", "clerk").await;
    let mut asked = gives(1);
    asked["cache"] = json!(true);
    let anns = ask(&node, &ann, &asked).await.1;
    let bobs = ask(&node, &bob, &asked).await.1;
    assert_eq!((&bobs["id"], &bobs["by"]), (&anns["id"], &json!("ann")), "done once");
    let path = format!("/v1/queries/{}", id(&anns));
    assert_eq!(get(&node, &bob, &path).await.0, 200);
    assert_eq!(post(&node, &bob, &format!("{path}/discard"), &json!({})).await.0, 404);
    assert_eq!(get(&node, &clerk, &path).await.0, 404);
    assert_ne!(ask(&node, &clerk, &asked).await.1["id"], anns["id"], "another role");
}

#[tokio::test]
async fn a_shared_result_is_read_no_more_by_a_role_that_may_not_ask_for_it_any_more() {
    let may = |permissions| CONFIG.replace("user = [\"queries\"]", permissions);
    let mut node = started(&may("user = [\"queries\", \"shell\"]")).await;
    let (ann, bob) = (key(&node, "ann", "user").await, key(&node, "bob", "user").await);
    let text = "name: runs\nsteps:\n  - {id: a, tool: shell, arguments: {command: nothing}}\n";
    let asked = json!({"yaml": text, "cache": true});
    let anns = ask(&node, &ann, &asked).await.1;
    assert_eq!(anns["outcome"], "succeeded", "{anns}");
    assert_eq!(ask(&node, &bob, &asked).await.1["id"], anns["id"], "done once");
    let path = format!("/v1/queries/{}", id(&anns));
    assert_eq!(get(&node, &bob, &path).await.0, 200);
    node.kill9();
    let config = node.data_dir().with_file_name("perennial.toml");
    fs::write(config, may("user = [\"queries\"]")).expect("the configuration can be written");
    node.restart_listening().await;
    assert_eq!(ask(&node, &bob, &asked).await.0, 403);
    for more in ["", "/events"] {
        assert_eq!(get(&node, &bob, &format!("{path}{more}")).await.0, 404);
    }
    assert_eq!(get(&node, &ann, &path).await.0, 200, "she has been told");
}

#[tokio::test]
async fn a_plan_is_refused_with_every_tool_that_its_role_may_not_call() {
    let node = node().await;
    let ann = key(&node, "ann", "user").await;
    let text = "name: runs\nsteps:\n  - {id: a, tool: shell, arguments: {command: nothing}}\n  \
                - {id: b, tool: fleet, arguments: {about: actors}}\n";
    let (status, problem) = ask(&node, &ann, &json!({"yaml": text})).await;
    assert_eq!(status, 403, "{problem}");
    let why = problem["detail"].as_str().unwrap();
    assert!(why.contains("`shell` needs") && why.contains("`fleet` needs"), "{why}");
    assert_eq!(ids(&get(&node, TOKEN, "/v1/queries").await.1), [""; 0], "nothing was begun");
    let (status, query) = ask(&node, TOKEN, &json!({"yaml": text})).await;
    assert_eq!((status, &query["outcome"]), (200, &json!("succeeded")), "{query}");
}

#[tokio::test]
async fn a_key_that_asks_too_often_is_told_when_to_ask_again_and_the_operator_is_not() {
    let config = CONFIG.replace("[query.roles]", "[query]\nrequests_per_minute = 3\n[query.roles]");
    let node = started(&config).await;
    let (ann, bob) = (key(&node, "ann", "user").await, key(&node, "bob", "user").await);
    for _ in 0..3 {
        assert_eq!(get(&node, &ann, "/v1/tools").await.0, 200);
    }
    let request = node.http().get(node.url("/v1/tools")).bearer_auth(&ann);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 429);
    let wait: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=21).contains(&wait), "{wait}");
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["type"], "urn:perennial:problem:rate-limited");
    assert_eq!(get(&node, &bob, "/v1/tools").await.0, 200, "others have their own");
    for _ in 0..10 {
        assert_eq!(get(&node, TOKEN, "/v1/tools").await.0, 200);
    }
}

#[tokio::test]
async fn keys_are_given_by_who_may_and_only_what_they_have() {
    let node = node().await;
    let (status, problem) = wanted(&node, TOKEN, ("ann", "usr")).await;
    assert_eq!(status, 422, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("user"), "it says which roles there are");
    assert_eq!(wanted(&node, TOKEN, ("operator", "user")).await.0, 400);
    let (status, problem) = wanted(&node, TOKEN, ("schedule:tick", "user")).await;
    assert_eq!(status, 400, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("how schedules sign"), "{problem}");
    let clerk = key(&node, "cleo", "clerk").await;
    assert_eq!(wanted(&node, &clerk, ("ann", "user")).await.0, 201);
    assert_eq!(wanted(&node, &clerk, ("ann", "coach")).await.0, 403);
    assert_eq!(wanted(&node, &clerk, ("ann", "admin")).await.0, 403);
    let all_teams = json!({"name": "ann", "role": "user", "teams": ["*"]});
    assert_eq!(post(&node, &clerk, "/v1/keys", &all_teams).await.0, 403);
    let user = key(&node, "bob", "user").await;
    assert_eq!(wanted(&node, &user, ("eve", "user")).await.0, 403);
    let (_, page) = get(&node, TOKEN, "/v1/keys?limit=2").await;
    let numbers = |page: &Value| -> Vec<u64> {
        page["items"].as_array().unwrap().iter().map(|key| key["id"].as_u64().unwrap()).collect()
    };
    assert_eq!((numbers(&page), &page["next"]), (vec![3, 2], &json!("2")));
    let (_, page) = get(&node, TOKEN, "/v1/keys?limit=2&after=2").await;
    assert_eq!((numbers(&page), &page["next"]), (vec![1], &Value::Null));
}

#[tokio::test]
async fn nobody_revokes_a_key_that_may_more_than_their_own() {
    let node = node().await;
    let clerk = key(&node, "cleo", "clerk").await;
    let admin = key(&node, "adam", "admin").await;
    let other_team = json!({"name": "bob", "role": "user", "teams": ["blues"]});
    assert_eq!(post(&node, TOKEN, "/v1/keys", &other_team).await.0, 201);
    key(&node, "ann", "user").await;
    let revoke = async |number: u32| {
        let request = node.http().delete(node.url(&format!("/v1/keys/{number}")));
        sent(request.bearer_auth(&clerk)).await
    };
    for (number, above) in
        [(2, "the role `admin` may do what your own"), (3, "of the team `blues`")]
    {
        let (status, problem) = revoke(number).await;
        assert_eq!(status, 403, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(above), "{problem}");
    }
    assert_eq!(get(&node, &admin, "/v1/tree").await.0, 200, "it is as good as before");
    assert_eq!(revoke(9).await.0, 404);
    assert_eq!(revoke(4).await.0, 204);
    assert_eq!(revoke(1).await.0, 204, "one's own is one's own");
}

#[tokio::test]
async fn keys_that_are_given_out_revoked_or_refused_are_in_the_audit() {
    let node = node().await;
    let clerk = key(&node, "cleo", "clerk").await;
    let (_, given) = wanted(&node, &clerk, ("ann", "user")).await;
    assert_eq!(wanted(&node, &clerk, ("eve", "admin")).await.0, 403);
    for _ in 0..2 {
        let revoke = node.http().delete(node.url(&format!("/v1/keys/{}", given["id"])));
        assert_eq!(sent(revoke.bearer_auth(&clerk)).await.0, 204);
    }
    let all = async || {
        let (status, list) = get(&node, TOKEN, "/v1/audit?of=keys").await;
        assert_eq!(status, 200, "{list}");
        let rows = list["items"].as_array().unwrap().clone();
        if rows.len() == 4 { Ok(rows) } else { Err(list.to_string()) }
    };
    let rows = eventually("everything is kept", Duration::from_secs(60), all).await;
    let cells = ["what", "id", "name", "by", "key", "success"];
    let rows: Vec<_> = rows.iter().map(|row| cells.map(|cell| row[cell].clone())).collect();
    for row in [
        json!(["key_created", "1", "cleo", "operator", null, true]),
        json!(["key_created", "2", "ann", "cleo", 1, true]),
        json!(["key_created", "", "eve", "cleo", 1, false]),
        json!(["key_revoked", "2", "ann", "cleo", 1, true]),
    ] {
        assert!(rows.iter().any(|found| row == json!(found)), "{row} of {rows:?}");
    }
    assert_eq!(get(&node, TOKEN, "/v1/audit?of=documents").await.1["items"], json!([]));
    assert_eq!(get(&node, TOKEN, "/v1/audit?of=tries").await.0, 400);
    let url = node.url("");
    let command = ["audit", "--of", "keys", "--by", "cleo", "--node", &url, "--token", TOKEN];
    let shown = String::from_utf8(perennial(Path::new("/"), &command).stdout).unwrap();
    assert_eq!(shown.lines().count(), 4, "a head, and what cleo did: {shown}");
    assert!(shown.contains("may do what your own"), "{shown}");
}

#[tokio::test]
async fn a_role_that_is_no_longer_configured_may_nothing() {
    let mut node = node().await;
    let ann = key(&node, "ann", "user").await;
    assert!(node.sigterm().0.success());
    let config = node.data_dir().with_file_name("perennial.toml");
    fs::write(&config, CONFIG.replace("user = [\"queries\"]\n", "")).unwrap();
    node.restart_listening().await;
    let (status, problem) = get(&node, &ann, "/v1/queries").await;
    assert_eq!(status, 403, "the key is good, and its role may nothing: {problem}");
}

#[tokio::test]
async fn the_commands_give_out_list_and_revoke_keys() {
    let node = node().await;
    let url = node.url("");
    let run = |token: &str, command: &[&str]| {
        let place = ["--node", &url, "--token", token];
        let output = perennial(Path::new("/"), &[command, &place].concat());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    };
    let wanted = ["keys", "create", "--name", "ann", "--role", "user", "--teams", "reds, blues"];
    let (code, ann, note) = run(TOKEN, &wanted);
    assert_eq!(code, 0, "{note}");
    assert!(ann.starts_with("pk_1_") && ann.lines().count() == 1, "the key alone: {ann}");
    assert!(note.contains("not shown again"), "{note}");
    let (code, table, _) = run(TOKEN, &["keys", "list"]);
    assert_eq!(code, 0);
    assert!(table.contains("ann") && table.contains("blues, reds"), "{table}");
    assert!(!table.contains(ann.trim().rsplit('_').next().unwrap()), "{table}");
    assert_eq!(run(ann.trim(), &["query", "list", "--by", "ann"]).0, 0);
    let (code, _, why) = run(ann.trim(), &["keys", "list"]);
    assert_eq!(code, 1);
    assert!(why.contains("has no permission `keys`"), "{why}");
    assert_eq!(run(TOKEN, &["keys", "revoke", "1"]).0, 0);
    assert_eq!(run(ann.trim(), &["query", "list"]).0, 1);
    assert_eq!(run(TOKEN, &["keys", "create", "--name", "ann", "--role", "usr"]).0, 1);
}

/// Where the secret of `key` is found in `bytes`: as it is shown, or as the bytes it stands for.
fn leaks(key: &str, bytes: &[u8]) -> usize {
    let digits = key.rsplit('_').next().expect("a secret").as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let raw: Vec<u8> = digits.chunks(2).map(byte).collect();
    let found = |form: &[u8]| bytes.windows(form.len()).filter(|part| *part == form).count();
    found(digits) + found(&raw)
}

fn files(directory: &Path, found: &mut Vec<Vec<u8>>) {
    for entry in fs::read_dir(directory).expect("the data directory can be listed") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(fs::read(&path).expect("a data file can be read"));
        }
    }
}

#[tokio::test]
async fn the_secret_of_a_key_is_in_no_answer_but_the_first_in_no_log_and_not_on_the_disk() {
    let mut node = started(&format!("{CONFIG}[log]\nlevel = \"trace\"\n")).await;
    let ann = key(&node, "ann", "admin").await;
    assert_eq!(ask(&node, &ann, &gives(1)).await.0, 200);
    let near_miss = format!("{ann}0");
    assert_eq!(get(&node, &near_miss, "/v1/queries").await.0, 401);
    let query = id(&get(&node, &ann, "/v1/queries").await.1["items"][0]);
    let document = format!("/v1/queries/{query}");
    for path in ["/v1/keys", "/v1/audit", "/v1/tree", "/v1/dead-letters", "/metrics", &document] {
        let (status, answer) = get(&node, &ann, path).await;
        assert_eq!(status, 200, "{path}");
        assert_eq!(leaks(&ann, answer.to_string().as_bytes()), 0, "{path}: {answer}");
    }
    assert!(node.sigterm().0.success());
    assert!(node.log().contains("an API key was given out"), "{}", node.log());
    assert_eq!(leaks(&ann, node.log().as_bytes()), 0, "in the log");
    let mut found = Vec::new();
    files(&node.data_dir(), &mut found);
    assert!(found.iter().any(|bytes| bytes.windows(3).any(|part| part == b"ann")), "the row is");
    for bytes in &found {
        assert_eq!(leaks(&ann, bytes), 0, "in the data directory");
    }
    assert_eq!(leaks(&ann, ann.as_bytes()), 1, "the check itself sees a secret");
}
